/** Reads a parsed bid request. OpenRTB 2.6 section 3.2.1. Pure: time and terms are arguments. */
import type { Facts, Opportunity } from '../decision/opportunity.ts'
import type { NoBidReason } from '../decision/reasons.ts'
import { LIMITS } from '../limits.ts'
import type { SegmentLookup } from '../state/audience-reader.ts'
import { type Identities, NO_IDENTITIES } from '../state/cap-fields.ts'
import type { DimensionName } from '../state/dimensions.ts'
import { type Exchange, seatsOf } from '../state/exchange-document.ts'
import { type IdentityTerms, readIdentities } from './identities.ts'
import { isObject, isOne, type Json, numberOf, textOf, textsOf } from './json.ts'
import { userDataAllowed } from './privacy.ts'
import { blocksKnownCategories, readFacts } from './read-facts.ts'
import { type FloorTerms, readImpression } from './read-impression.ts'
import type { ReadAgent } from './user-agent.ts'

/** What reading needs to know beside the request itself. */
export interface ReadTerms {
  readonly exchange: Exchange
  /** Value of one unit of a currency in the ledger currency. */
  readonly rates: ReadonlyMap<string, number>
  /** Hour of the week in the tenant's time zone as text. */
  readonly daypart: string
  readonly nowMs: number
  /** Slots that any line item has, as keys. */
  readonly slotsKnown: ReadonlyMap<number, unknown>
  /** Whether any creative needs a framework of the place's. */
  readonly needsFrameworks: boolean
  /** The dimensions that any line item restricts: only these are read. */
  readonly targeted: readonly DimensionName[]
  readonly readAgent: ReadAgent
  /** What the tenant knows of users; without it only what the request tells. */
  readonly audience?: SegmentLookup | undefined
  /** Without it nobody asks who a request is about. */
  readonly identity?: IdentityTerms | undefined
  /** Time since the request's head came, and that it lay behind other work of this thread before. */
  readonly waitedMs: number
}

/** One impression: what the engine decides on, or why there is nothing to decide. */
export interface Impression {
  readonly id: string
  /** As it came, for the acceptance check. */
  readonly imp: Json
  readonly opportunity: Opportunity | undefined
  readonly reason: NoBidReason | undefined
}

/** A bid request that can be answered, as the engine needs it. Holds the request as it came as well. */
export interface BidRequest {
  readonly kind: 'request'
  readonly id: string
  /** As it came, for the acceptance check. */
  readonly request: Json
  /** The currency that bids are made in, '' = none that both sides know. */
  readonly currency: string
  /** The seat of bids outside of deals, '' = none. */
  readonly seat: string
  /** Why no impression is bid on at all. */
  readonly reason: NoBidReason | undefined
  readonly facts: Facts
  /** See ReadTerms.identity. */
  readonly identities: Identities
  readonly impressions: readonly Impression[]
  /** These are all impressions of the page. */
  readonly isWholePage: boolean
  /** False = only the context may be used. */
  readonly userDataAllowed: boolean
}

/** A body that is not a bid request, for a 400. The problem holds nothing of the body. */
export interface Malformed {
  readonly kind: 'malformed'
  readonly problem: string
}

/** Less time than this cannot be kept: reading, deciding and sending together, at the 99.9th percentile. */
const WORK_MS_MIN = 8

/** @returns the request in our words, or what makes it malformed (answered 400): no object, no id, no imp. */
export function readRequest(body: unknown, terms: ReadTerms): BidRequest | Malformed {
  if (!isObject(body)) return { kind: 'malformed', problem: 'the body is not a JSON object' }
  const id = textOf(body.id)
  if (id === '') return { kind: 'malformed', problem: `id is not a string of 1 to ${LIMITS.idCharsMax} characters` }
  if (!Array.isArray(body.imp) || body.imp.length === 0)
    return { kind: 'malformed', problem: 'imp is not a list of impressions' }
  const currency = currencyOf(body, terms)
  const seats = allowedSeats(body, terms.exchange)
  const personal = userDataAllowed(body)
  const impressions = readImpressions(body.imp, {
    rates: terms.rates,
    slotsKnown: terms.slotsKnown,
    targeted: terms.targeted,
    frameworks: terms.needsFrameworks,
    isTest: isOne(body.test),
    currency,
    seats: seats ?? [],
  })
  return {
    kind: 'request',
    id,
    request: body,
    currency,
    seat: seats?.[0] ?? '',
    reason: seats === undefined ? 'seat-not-allowed' : reasonFor(body, currency, terms),
    facts: readFacts(body, {
      exchangeId: terms.exchange.id,
      daypart: terms.daypart,
      nowMs: terms.nowMs,
      personal,
      targeted: terms.targeted,
      audience: terms.audience,
      readAgent: terms.readAgent,
    }),
    identities:
      personal && terms.identity !== undefined
        ? readIdentities(body, terms.exchange.id, terms.identity)
        : NO_IDENTITIES,
    impressions,
    isWholePage: isOne(body.allimps) && impressions.length === body.imp.length,
    userDataAllowed: personal,
  }
}

/** Impressions with an id that no earlier one has; the others cannot be answered and are left out. */
function readImpressions(imps: readonly unknown[], floors: FloorTerms): readonly Impression[] {
  const impressions: Impression[] = []
  for (let i = 0; i < imps.length && impressions.length < LIMITS.impressionsMax; i++) {
    const imp = imps[i]
    if (!isObject(imp)) continue
    const id = textOf(imp.id)
    if (id === '' || impressions.some(other => other.id === id)) continue
    const read = readImpression(imp, floors)
    impressions.push({
      id,
      imp,
      opportunity: read.kind === 'opportunity' ? read.opportunity : undefined,
      reason: read.kind === 'no-bid' ? read.reason : undefined,
    })
  }
  return impressions
}

function reasonFor(request: Json, currency: string, terms: ReadTerms): NoBidReason | undefined {
  const { exchange } = terms
  if (exchange.status !== 'active') return 'exchange-paused'
  const leftMs =
    numberOf(request.tmax, exchange.tmaxDefaultMs ?? Number.POSITIVE_INFINITY) -
    exchange.networkAllowanceMs -
    terms.waitedMs
  if (leftMs < WORK_MS_MIN) return 'deadline-too-short'
  if (currency === '') return 'currency-not-accepted'
  return blocksKnownCategories(request) ? undefined : 'category-blocked'
}

/**
 * Our seats that may bid, in our order; none also where we have none and need none. Undefined = none may.
 * OpenRTB 2.6, 3.2.1: wseat, bseat.
 */
function allowedSeats(request: Json, exchange: Exchange): readonly string[] | undefined {
  const wanted = textsOf(request.wseat)
  const blocked = textsOf(request.bseat)
  const ours = seatsOf(exchange)
  if (wanted.length === 0 && (blocked.length === 0 || ours.length === 0)) return ours
  const allowed = ours.filter(seat => (wanted.length === 0 || wanted.includes(seat)) && !blocked.includes(seat))
  return allowed.length === 0 ? undefined : allowed
}

/** Ours if the request takes it, else the first that it takes and that we have a rate for. */
function currencyOf(request: Json, { exchange, rates }: ReadTerms): string {
  const accepted = textsOf(request.cur)
  const ours = exchange.currency
  if (accepted.length === 0 || accepted.includes(ours)) return rates.has(ours) ? ours : ''
  return accepted.find(currency => rates.has(currency)) ?? ''
}
