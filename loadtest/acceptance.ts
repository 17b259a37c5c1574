import { judgeBid } from './acceptance-bid.ts'
import {
  type AcceptanceOptions,
  type BrokenRule,
  isObject,
  type Json,
  numberFrom,
  objectFrom,
  objectsFrom,
  type Report,
  textFrom,
  textsFrom,
} from './acceptance-rules.ts'

export type { AcceptanceOptions, AcceptanceRule, BrokenRule } from './acceptance-rules.ts'
export { ACCEPTANCE_RULES } from './acceptance-rules.ts'

/** One answer as it came over the wire. */
export interface Answer {
  readonly status: number
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The body, inflated. */
  readonly bodyText: string
}

/**
 * Judges one answer to one bid request, as an exchange does. Pure.
 * @param request the bid request after JSON.parse; undefined when it was not JSON.
 * @returns every rule that is broken, none when the answer is good. Cost: O(bids × impressions).
 */
export function brokenRules(
  request: unknown,
  { status, headers, bodyText }: Answer,
  options: AcceptanceOptions = {},
): readonly BrokenRule[] {
  const broken: BrokenRule[] = []
  const report: Report = (rule, found) => broken.push({ rule, found: short(found) })
  if (status === 204) {
    if (bodyText !== '') report('no-content-is-empty', bodyText)
  } else if (status === 400) {
    if (isGoodRequest(request) && options.mayRefuse !== true) report('refused-good-request', bodyText)
  } else if (status >= 500) report('server-error', status)
  else if (status !== 200) report('status-code', status)
  else {
    judgeHeaders(headers, bodyText, report)
    const response = parsed(bodyText)
    if (isObject(response)) judgeResponse(objectFrom(request), response, options, broken)
    else report('json-body', bodyText)
  }
  return broken
}

/** Every bid of an answer, with its seat; none when there is no bid or the body is not JSON. */
export function bidsOf(bodyText: string): readonly { readonly seat: string | undefined; readonly bid: Json }[] {
  const response = objectFrom(parsed(bodyText))
  return objectsFrom(response.seatbid).flatMap(seatbid =>
    objectsFrom(seatbid.bid).map(bid => ({ seat: textFrom(seatbid.seat), bid })),
  )
}

/** Whether a request has what makes it one: an id, and impressions of which each has an id. */
export function isGoodRequest(request: unknown): boolean {
  if (!isObject(request) || textFrom(request.id) === undefined) return false
  const imp = request.imp
  return Array.isArray(imp) && imp.length > 0 && imp.every(each => isObject(each) && textFrom(each.id) !== undefined)
}

function judgeHeaders(headers: Answer['headers'], bodyText: string, report: Report): void {
  const type = headers['content-type']
  if (type === undefined || !/^application\/json\s*(;|$)/i.test(type)) report('json-content-type', type)
  const length = headers['content-length']
  // The length of a compressed body is not that of its text.
  const compressed = (headers['content-encoding'] ?? 'identity') !== 'identity'
  const right = compressed ? Number(length) > 0 : Number(length) === Buffer.byteLength(bodyText)
  if (length === undefined || !right) report('content-length', length)
}

function judgeResponse(request: Json, response: Json, options: AcceptanceOptions, broken: BrokenRule[]): void {
  const report: Report = (rule, found) => broken.push({ rule, found: short(found) })
  if (response.id !== request.id) report('response-id', response.id)
  const seatbids = response.seatbid
  // A no-bid with its reason has no seatbid, or an empty one.
  if (seatbids === undefined || (Array.isArray(seatbids) && seatbids.length === 0)) {
    const nbr = numberFrom(response.nbr)
    if (nbr === undefined || !Number.isInteger(nbr) || nbr < 0) report('response-shape', response)
    return
  }
  if (!Array.isArray(seatbids) || !seatbids.every(hasBids)) report('response-shape', seatbids)
  const currency = textFrom(response.cur) ?? 'USD'
  const allowed = textsFrom(request.cur)
  if (!(allowed.length > 0 ? allowed : [options.currency ?? 'USD']).includes(currency)) report('currency', currency)

  const bidIds = new Set<unknown>()
  for (const seatbid of objectsFrom(seatbids)) {
    const seat = textFrom(seatbid.seat)
    judgeSeat(request, seat, report)
    for (const bid of objectsFrom(seatbid.bid)) {
      if (bidIds.has(bid.id)) report('unique-bid-ids', bid.id)
      bidIds.add(bid.id)
      broken.push(...judgeBid(request, bid, { seat, currency, rates: options.rates, markup: options.markup }))
    }
  }
}

function hasBids(seatbid: unknown): boolean {
  const bids = objectFrom(seatbid).bid
  return Array.isArray(bids) && bids.length > 0 && bids.every(isObject)
}

function judgeSeat(request: Json, seat: string | undefined, report: Report): void {
  const wanted = textsFrom(request.wseat)
  if (wanted.length > 0 && (seat === undefined || !wanted.includes(seat))) report('seat-allowed', seat)
  if (seat !== undefined && textsFrom(request.bseat).includes(seat)) report('seat-allowed', seat)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function short(found: unknown): string {
  const text = typeof found === 'string' ? found : (JSON.stringify(found) ?? 'nothing')
  return text.length <= 160 ? text : `${text.slice(0, 157)}...`
}
