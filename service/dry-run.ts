/**
 * What a bid request would be answered now. Nothing is held, counted or told, budgets and caps are not asked, and the
 * answer has no notice addresses: nothing can be billed by it.
 */
import { unlimited } from './decision/allowance.ts'
import { NO_BID_REASON_NAMES } from './decision/reasons.ts'
import type { PickIndex } from './foundation/random.ts'
import { BidPath } from './http/bid-path.ts'
import type { Caps } from './http/caps.ts'
import { ServedCatalog } from './http/served-catalog.ts'
import { Serving } from './http/serving.ts'
import type { SegmentLookup } from './state/audience-reader.ts'
import type { Catalog } from './state/catalog.ts'
import { IdIndex } from './state/id-index.ts'
import type { StopList } from './stop-list.ts'
import { createRecorderBlock, Recorder } from './telemetry/recorder.ts'
import { noBidCounter } from './telemetry/signals.ts'

/** What is asked, and what it is asked of. */
export interface DryRunCall {
  /** A bid request, parsed. */
  readonly request: unknown
  /** Path name; the first active one without it. */
  readonly exchange: string | undefined
  /** This one alone takes part: it bids unless a check of its own stops it. */
  readonly lineItem: string | undefined
  /** The users that serve. */
  readonly audience: SegmentLookup
  readonly nowMs: number
  readonly pickIndex: PickIndex
  readonly stops: StopList
}

/** An answer, or why there is none. */
export type DryRun =
  | { readonly kind: 'refused'; readonly status: 404 | 503; readonly error: string }
  | {
      readonly kind: 'answered'
      readonly status: number
      /** The bid response, or what says that there is no bid; undefined for an empty answer. */
      readonly response: unknown
      /** Why impressions have no bid, with how many. */
      readonly reasons: Readonly<Record<string, number>>
    }

const NOT_HELD = Object.freeze({ lease: '', bucket: 0, day: undefined })
const WITHOUT_CAPS: Caps = {
  ...{ allowsLineItem: () => true, allowsCreative: () => true },
  ...{ begin: () => {}, take: () => '', giveBack: () => {} },
}

/** @param catalogs what serves: the catalog, then its overlay. Cost: O(line items), some ms at 100,000 */
export function dryRun([base, overlay]: readonly Catalog[], call: DryRunCall): DryRun {
  const { request, exchange: asked, lineItem, audience, nowMs, pickIndex, stops } = call
  if (base === undefined) return { kind: 'refused', status: 503, error: 'no state is served yet; see /state' }
  const served = (catalog: Catalog, below?: Catalog) =>
    new ServedCatalog(catalog, {
      below,
      budgets: { ...unlimited(catalog), hold: () => NOT_HELD, release: () => {} },
      caps: WITHOUT_CAPS,
    })
  const serving = new Serving(served(base), nowMs, overlay && served(overlay, base))
  serving.stop(stops)
  if (lineItem !== undefined && !isLeftAlone(serving, lineItem))
    return { kind: 'refused', status: 404, error: 'there is no such line item among those that are served' }
  const { exchanges } = serving.header
  const exchange = exchanges.find(({ id, status }) => (asked === undefined ? status === 'active' : id === asked))
  if (exchange === undefined) {
    const error = `there is no such exchange; there are ${exchanges.map(({ id }) => id).join(', ')}`
    return { kind: 'refused', status: 404, error }
  }
  const recorder = new Recorder(createRecorderBlock())
  const path = new BidPath({ recorder, pickIndex, audience, bidIdPrefix: 'dry-', alarm: () => {} })
  const moment = { nowMs, monotonicMs: nowMs, waitedMs: 0 }
  const { status, body } = path.answer(Buffer.from(JSON.stringify(request)), exchange, serving, moment)
  return {
    kind: 'answered',
    status,
    response: body === '' ? undefined : JSON.parse(body),
    reasons: reasonsIn(recorder),
  }
}

function ordinalOf({ columns: { lineItemIdStart, lineItemIds } }: Catalog, id: string): number {
  return new IdIndex(lineItemIdStart, lineItemIds).find(id)
}

/** Masks all others in both catalogs. @returns false when it is in neither */
function isLeftAlone({ base, overlay, header }: Serving, lineItem: string): boolean {
  const below = ordinalOf(base.catalog, lineItem)
  const above = overlay === undefined ? -1 : ordinalOf(overlay.catalog, lineItem)
  base.engine.mask(othersThan(base.catalog, below, overlay?.catalog.columns.maskedBelow), header.settings)
  overlay?.engine.mask(othersThan(overlay.catalog, above))
  return Math.max(below, above) >= 0
}

/** All line items but one, as bits: they are as if they were not there. @param before bits that are set already */
function othersThan({ header }: Catalog, ordinal: number, before?: Uint32Array): Uint32Array {
  const bits = new Uint32Array(Math.ceil(header.lineItems / 32)).fill(0xffff_ffff)
  const isGone = ((before?.[ordinal >>> 5] ?? 0) >>> (ordinal & 31)) & 1
  const word = ordinal >>> 5
  if (ordinal >= 0 && isGone === 0) bits[word] = (bits[word] as number) & ~(1 << (ordinal & 31))
  return bits
}

function reasonsIn(recorder: Recorder): Record<string, number> {
  const counters = recorder.counters()
  const counted = NO_BID_REASON_NAMES.map((reason, i) => [reason, counters[noBidCounter(i)] ?? 0] as const)
  return Object.fromEntries(counted.filter(([, count]) => count > 0))
}
