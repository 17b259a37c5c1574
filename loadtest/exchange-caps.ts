/**
 * Frequency caps as an exchange sees them kept or broken: by its own users and its own sales, with nothing that the
 * service says.
 */
import type { CapSubject, FrequencyCap } from '../service/state/cap-fields.ts'
import { type Json, objectFrom, textFrom } from './acceptance-rules.ts'
import type { TenantRecords } from './tenant-records.ts'

/** Who a request was about: an id per subject where the exchange told one that may be kept. */
export type Viewer = { readonly [K in CapSubject]?: string } & {
  /** A consent text came along, which this judge does not read: whether ids may be kept is open. */
  readonly inDoubt?: true
}

/** What a cap must know of a sale. */
export interface CappedSale {
  readonly bidId: string
  readonly campaignId: string
  /** Undefined where the creative is one of several line items. */
  readonly lineItemId: string | undefined
  readonly creativeId: string
  readonly viewer: Viewer
  readonly soldAtMs: number
}

/** How often somebody may see what is sold of some records. */
export interface CapRule {
  /** Whose cap it is, for reports. */
  readonly name: string
  readonly isOf: (sale: CappedSale) => boolean
  readonly subject: CapSubject
  readonly impressionsMax: number
  /** How far back impressions count; Infinity: for ever. */
  readonly periodMs: number
  /** From one impression to the next at least. */
  readonly gapMs: number
  /** Who cannot be told apart may see it, uncounted; else not at all. */
  readonly takesUnknown: boolean
}

/** What was found of all caps. */
export interface CapsVerdict {
  /** Impressions above a cap. */
  readonly aboveCap: number
  /** All impressions of what is capped, with somebody to count for. */
  readonly capped: number
  /** The first few above a cap. */
  readonly capExamples: readonly string[]
}

const EXAMPLES_MAX = 5
const MINUTE_MS = 60_000
/** Gaps are kept in whole seconds. */
const GAP_ERROR_MS = 1_000
const NO_IFA = /^[0-]*$/

/** The caps that documents state. */
export function capRulesOf({
  settings,
  advertisers,
  campaigns,
  lineItems,
  creatives,
}: TenantRecords): readonly CapRule[] {
  const advertiserOf = new Map(campaigns.map(({ id, advertiserId }) => [id, advertiserId]))
  return [
    ...rulesFrom('tenant', settings.frequencyCaps, () => true),
    ...advertisers.flatMap(({ id, frequencyCaps }) =>
      rulesFrom(`advertiser ${id}`, frequencyCaps, sale => advertiserOf.get(sale.campaignId) === id),
    ),
    ...campaigns.flatMap(({ id, frequencyCaps }) =>
      rulesFrom(`campaign ${id}`, frequencyCaps, sale => sale.campaignId === id),
    ),
    ...lineItems.flatMap(({ id, frequencyCaps }) =>
      rulesFrom(`line item ${id}`, frequencyCaps, sale => sale.lineItemId === id),
    ),
    ...creatives.flatMap(({ id, frequencyCaps }) =>
      rulesFrom(`creative ${id}`, frequencyCaps, sale => sale.creativeId === id),
    ),
  ]
}

function rulesFrom(name: string, caps: readonly FrequencyCap[] | undefined, isOf: CapRule['isOf']): readonly CapRule[] {
  return (caps ?? []).map(({ impressions, per, of: subject = 'user', minGapS = 0, withoutId }) => {
    const { minutes = 0, hours = 0, days = 0 } = per ?? {}
    const periodMs = per === undefined ? Number.POSITIVE_INFINITY : (minutes + 60 * hours + 1_440 * days) * MINUTE_MS
    const limits = { impressionsMax: impressions, periodMs, gapMs: minGapS * 1_000 }
    return { name, isOf, subject, ...limits, takesUnknown: withoutId === 'bid' }
  })
}

/** Who a request is about, as far as its signals of privacy let anybody keep it. OpenRTB 2.6, 3.2.3, 3.2.18, 3.2.20. */
export function viewerOf(request: Json): Viewer {
  const [user, device, regs] = [objectFrom(request.user), objectFrom(request.device), objectFrom(request.regs)]
  const told = { ...objectFrom(regs.ext), ...regs }
  const consents =
    textFrom(user.consent) ?? textFrom(objectFrom(user.ext).consent) ?? textFrom(told.gpp) ?? textFrom(told.us_privacy)
  if (consents !== undefined) return { inDoubt: true }
  if ([told.coppa, told.gdpr, told.gpc, device.lmt, device.dnt].some(isRaised)) return {}
  const ifa = textFrom(device.ifa)
  const ownDevice = ifa === undefined || NO_IFA.test(ifa) ? undefined : ifa.toLowerCase()
  const person = textFrom(user.buyeruid) ?? textFrom(user.id) ?? ownDevice
  const household = textFrom(device.ip) ?? textFrom(device.ipv6)
  return {
    ...(person === undefined ? {} : { user: person }),
    ...(ownDevice === undefined ? {} : { device: ownDevice }),
    ...(household === undefined ? {} : { household }),
  }
}

function isRaised(value: unknown): boolean {
  return value !== undefined && value !== null && value !== 0 && value !== '' && value !== '0' && value !== false
}

/** Holds what was shown against caps. Cost: O(sales × caps), and sorting. */
export function judgeCaps(caps: readonly CapRule[], shown: readonly CappedSale[]): CapsVerdict {
  const capped = new Set<string>()
  const above = new Map<string, string>()
  for (const cap of caps) {
    const own = shown.filter(sale => cap.isOf(sale) && sale.viewer.inDoubt !== true)
    for (const [person, seen] of Map.groupBy(own, sale => sale.viewer[cap.subject])) {
      if (person === undefined && cap.takesUnknown) continue
      for (const { bidId } of seen) capped.add(bidId)
      if (person === undefined) for (const { bidId } of seen) above.set(bidId, `${cap.name}: shown to who has no id`)
      else judgePerson(cap, person, seen, above)
    }
  }
  return { aboveCap: above.size, capped: capped.size, capExamples: [...above.values()].slice(0, EXAMPLES_MAX) }
}

function judgePerson(cap: CapRule, person: string, seen: readonly CappedSale[], above: Map<string, string>): void {
  const inOrder = [...seen].sort((a, b) => a.soldAtMs - b.soldAtMs)
  for (const [index, { bidId, soldAtMs }] of inOrder.entries()) {
    const first = inOrder[index - cap.impressionsMax]
    const last = inOrder[index - 1]
    const sinceMs = first === undefined ? Number.POSITIVE_INFINITY : soldAtMs - first.soldAtMs
    const gapMs = last === undefined ? Number.POSITIVE_INFINITY : soldAtMs - last.soldAtMs
    const who = `${cap.name}: ${cap.subject} ${person}`
    if (first !== undefined && sinceMs < cap.periodMs)
      above.set(bidId, `${who} saw it ${cap.impressionsMax + 1} times in ${sinceMs} ms`)
    else if (gapMs < cap.gapMs - GAP_ERROR_MS) above.set(bidId, `${who} saw it again after ${gapMs} ms`)
  }
}
