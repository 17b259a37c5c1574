/**
 * Sampled bid requests, judged completely on the control thread: a ring of the last ones with their decisions, and what
 * they let one estimate of each line item and deal. What tells of a person is used to judge, and never kept.
 */

import { unlimited } from './decision/allowance.ts'
import { Engine, STAGES } from './decision/decide.ts'
import { LayeredEngine } from './decision/layered-engine.ts'
import type { Opportunity } from './decision/opportunity.ts'
import { type Estimate, Tally } from './estimates.ts'
import type { RecentCall } from './http/insight-routes.ts'
import { ServedCatalog } from './http/served-catalog.ts'
import { Serving } from './http/serving.ts'
import { LIMITS } from './limits.ts'
import { isObject, type Json, listOf, objectOf, textOf } from './openrtb/json.ts'
import { readRequest } from './openrtb/read-request.ts'
import { readAgent } from './openrtb/user-agent.ts'
import { withoutPerson } from './openrtb/without-person.ts'
import type { SegmentLookup } from './state/audience-reader.ts'
import { type Catalog, idAt, SPACE } from './state/catalog.ts'
import { findText } from './state/text-table.ts'
import type { RequestSample } from './telemetry/request-sampler.ts'

/** One line item that targets an impression, and what stops it; 'eligible' is left to pacing, budget and caps. */
export interface SeenLineItem {
  readonly id: string
  readonly outcome: (typeof STAGES)[number] | 'eligible'
}

/** One impression of a sampled request. */
export interface SeenImpression {
  readonly id: string
  /** Ids of the deals that it offers us. */
  readonly deals: readonly string[]
  readonly bids: readonly {
    readonly campaignId: string
    readonly creativeId: string
    readonly dealId: string
    readonly price: number
  }[]
  readonly targeted: number
  readonly eligible: number
  readonly lineItems: readonly SeenLineItem[]
}

/** A sampled request as it is kept. */
export interface SeenRequest {
  readonly atMs: number
  readonly exchange: string
  readonly weight: number
  /** Without what tells of a person. */
  readonly request: Json
  /** Ids of line items that bid. */
  readonly bidders: readonly string[]
  /** Why impressions got no bid. */
  readonly reasons: readonly string[]
  readonly impressions: readonly SeenImpression[]
}

/** How often a line item was wanted, estimated since its version serves. */
export interface Funnel {
  readonly targeted: Estimate
  readonly eligible: Estimate
  /** Of these, how many pacing lets through; budgets and caps come after it. */
  readonly paced: Estimate
}

/** A deal that requests offered, since the task began. */
export interface DealRow {
  readonly id: string
  /** Impressions that offered it, and those with a bid in it. */
  readonly seen: Estimate
  readonly bids: Estimate
  /** Whether any line item is in it. */
  readonly isOurs: boolean
  /** Of impressions without a bid in it: the last check that any of its line items reached. */
  readonly reasons: readonly (readonly [reason: string, impressions: Estimate])[]
}

interface Layer {
  readonly catalog: Catalog
  readonly engine: Engine
  readonly funnels: Map<number, FunnelTally>
}

type FunnelTally = { readonly [K in keyof Funnel]: Tally }

interface DealTally {
  readonly seen: Tally
  readonly bids: Tally
  isOurs: boolean
  readonly reasons: Map<string, Tally>
}

const NOT_HELD = Object.freeze({ lease: '', bucket: 0, day: undefined })
const NO_CAPS = { allowsLineItem: () => true, allowsCreative: () => true }
const ELIGIBLE = STAGES.length
const PPM = 1e6
/** By ordinal of a catalog that serves; undefined where none is steered. */
type PassRates = (catalog: Catalog) => Uint32Array | undefined

/** Judges samples with what serves now. */
export class SampledRequests {
  readonly #catalogs: () => readonly Catalog[]
  readonly #audience: SegmentLookup
  readonly #recent: SeenRequest[] = []
  readonly #deals = new Map<string, DealTally>()
  readonly #passRates: PassRates
  #serving: Serving | undefined
  #layers: readonly Layer[] = []
  #samples = 0

  /**
   * @param catalogs what serves: the catalog, then its overlay
   * @param audience the users that serve @param passRates at which line items of a catalog take part
   */
  constructor(catalogs: () => readonly Catalog[], audience: SegmentLookup, passRates: PassRates) {
    this.#catalogs = catalogs
    this.#audience = audience
    this.#passRates = passRates
  }

  get samples(): number {
    return this.#samples
  }

  /** Reads what serves now: a slab is written again after it is announced no more. What stays served is counted on. */
  #refresh(nowMs: number): void {
    const catalogs = this.#catalogs()
    const [base, overlay] = catalogs
    if (base === undefined || catalogs.length === 0) return
    if (catalogs.length === this.#layers.length && catalogs.every((each, i) => isIn(this.#layers[i], each))) return
    this.#layers = catalogs.map(
      catalog =>
        this.#layers.find(layer => isIn(layer, catalog)) ?? {
          catalog,
          engine: new Engine(catalog, unlimited(catalog), NO_CAPS, catalog === base ? undefined : base),
          funnels: new Map(),
        },
    )
    const [below, above] = this.#layers
    // Masks what the overlay replaces.
    if (below !== undefined) new LayeredEngine(below.engine, above?.engine)
    const served = (catalog: Catalog, under?: Catalog) =>
      new ServedCatalog(catalog, { below: under, budgets: free(catalog) })
    this.#serving = new Serving(served(base), nowMs, overlay && served(overlay, base))
  }

  /** Takes a sample in. Never throws: what cannot be read is left out. */
  take(sample: RequestSample): void {
    this.#refresh(sample.atMs)
    const serving = this.#serving
    const exchange = serving?.exchange(sample.exchange)
    if (serving === undefined || exchange === undefined) return
    serving.turnClock(sample.atMs)
    const { targeted, slotsKnown, needsFrameworks, rates, daypart } = serving
    const terms = { exchange, rates, slotsKnown, needsFrameworks, targeted, daypart, nowMs: sample.atMs, waitedMs: 0 }
    const body = parsed(sample.request)
    const read = readRequest(body, { ...terms, audience: this.#audience, readAgent })
    if (read.kind === 'malformed' || !isObject(body)) return
    this.#samples++
    const bids = bidsOf(parsed(sample.answer))
    for (const { engine } of this.#layers) engine.prepare(read.facts)
    const impressions = read.impressions.flatMap(({ id, opportunity }) =>
      opportunity === undefined
        ? []
        : [
            this.#judge(
              id,
              opportunity,
              bids.filter(bid => bid.impId === id),
              sample,
            ),
          ],
    )
    const { atMs, weight, bidders, reasons } = sample
    this.#keep({
      atMs,
      exchange: exchange.id,
      weight,
      request: withoutPerson(read.request),
      bidders,
      reasons,
      impressions,
    })
  }

  #keep(seen: SeenRequest): void {
    this.#recent.push(seen)
    if (this.#recent.length > LIMITS.samplesKept) this.#recent.shift()
  }

  #judge(id: string, opportunity: Opportunity, bids: readonly AnsweredBid[], sample: RequestSample): SeenImpression {
    const lineItems: SeenLineItem[] = []
    const furthestIn = new Map<string, number>()
    let targeted = 0
    let eligible = 0
    for (const layer of this.#layers) {
      const passRatePpm = this.#passRates(layer.catalog) ?? layer.catalog.columns.lineItemPassRatePpm
      layer.engine.judge(opportunity, sample.atMs, (ordinal, stage) => {
        targeted++
        const part = stage === ELIGIBLE ? (passRatePpm[ordinal] as number) / PPM : undefined
        if (part !== undefined) eligible++
        countFunnel(layer, ordinal, part, sample.weight)
        for (const deal of dealsAt(layer.catalog, ordinal, opportunity))
          furthestIn.set(deal, Math.max(stage, furthestIn.get(deal) ?? 0))
        const { lineItemIdStart, lineItemIds } = layer.catalog.columns
        if (lineItems.length < LIMITS.sampleLineItemsMax)
          lineItems.push({ id: idAt(lineItemIdStart, lineItemIds, ordinal), outcome: STAGES[stage] ?? 'eligible' })
      })
    }
    const deals = opportunity.deals.map(deal => deal.id)
    for (const deal of deals) this.#countDeal(deal, furthestIn.get(deal), bids, sample.weight)
    return { id, deals, bids: bids.map(({ impId: _, ...bid }) => bid), targeted, eligible, lineItems }
  }

  #countDeal(id: string, furthest: number | undefined, bids: readonly AnsweredBid[], weight: number): void {
    let tally = this.#deals.get(id)
    if (tally === undefined) {
      if (this.#deals.size >= LIMITS.dealsWatchedMax) return
      tally = { seen: new Tally(), bids: new Tally(), isOurs: false, reasons: new Map() }
      this.#deals.set(id, tally)
    }
    tally.seen.add(weight)
    tally.isOurs = this.#layers.some(({ catalog }) => findText(catalog.columns, SPACE.deal, id) >= 0)
    if (bids.some(bid => bid.dealId === id)) {
      tally.bids.add(weight)
      return
    }
    const reason = tally.isOurs ? dealReason(furthest) : 'no line item is in it'
    const count = tally.reasons.get(reason) ?? new Tally()
    tally.reasons.set(reason, count)
    count.add(weight)
  }

  /** The last ones that fit, newest first. Cost: O(kept) */
  recent({ lineItem, deal, reason, limit }: RecentCall): readonly SeenRequest[] {
    const fits = ({ bidders, reasons, impressions }: SeenRequest) =>
      (lineItem === undefined ||
        bidders.includes(lineItem) ||
        impressions.some(each => each.lineItems.some(({ id }) => id === lineItem))) &&
      (deal === undefined || impressions.some(({ deals }) => deals.includes(deal))) &&
      (reason === undefined || reasons.includes(reason))
    return this.#recent.filter(fits).reverse().slice(0, limit)
  }

  /** Of line items that serve, by their ids. Cost: O(line items that were seen) */
  funnels(nowMs: number): ReadonlyMap<string, Funnel> {
    this.#refresh(nowMs)
    return new Map(
      this.#layers.flatMap(({ catalog: { columns }, funnels }) =>
        [...funnels].map(([ordinal, { targeted, eligible, paced }]) => {
          const id = idAt(columns.lineItemIdStart, columns.lineItemIds, ordinal)
          return [id, { targeted: targeted.estimate, eligible: eligible.estimate, paced: paced.estimate }] as const
        }),
      ),
    )
  }

  /** Deals that were offered, most seen first. */
  deals(): readonly DealRow[] {
    const rows = [...this.#deals].map(([id, { seen, bids, isOurs, reasons }]) => ({
      ...{ id, seen: seen.estimate, bids: bids.estimate, isOurs },
      reasons: [...reasons]
        .map(([reason, tally]) => [reason, tally.estimate] as const)
        .sort((a, b) => b[1].value - a[1].value),
    }))
    return rows.sort((a, b) => b.seen.value - a.seen.value)
  }
}

interface AnsweredBid {
  readonly impId: string
  readonly campaignId: string
  readonly creativeId: string
  readonly dealId: string
  readonly price: number
}

function bidsOf(answer: unknown): readonly AnsweredBid[] {
  return listOf(objectOf(answer).seatbid).flatMap(seat =>
    listOf(objectOf(seat).bid).map(each => {
      const { impid, cid, crid, dealid, price } = objectOf(each)
      const ids = { campaignId: textOf(cid), creativeId: textOf(crid), dealId: textOf(dealid) }
      return { impId: textOf(impid), ...ids, price: Number(price) }
    }),
  )
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** @param part of an eligible one that pacing lets through, 0 to 1; undefined for one that is not eligible */
function countFunnel({ funnels }: Layer, ordinal: number, part: number | undefined, weight: number): void {
  let funnel = funnels.get(ordinal)
  if (funnel === undefined) {
    funnel = { targeted: new Tally(), eligible: new Tally(), paced: new Tally() }
    funnels.set(ordinal, funnel)
  }
  funnel.targeted.add(weight)
  if (part === undefined) return
  funnel.eligible.add(weight)
  funnel.paced.add(weight, part)
}

/** Ids of the offered deals that a line item is in. */
function dealsAt({ columns }: Catalog, ordinal: number, { deals }: Opportunity): readonly string[] {
  const start = columns.lineItemDealStart[ordinal] as number
  const end = columns.lineItemDealStart[ordinal + 1] as number
  if (start === end) return []
  const own = columns.lineItemDeals.subarray(start, end)
  return deals.filter(({ id }) => own.includes(findText(columns, SPACE.deal, id))).map(({ id }) => id)
}

function dealReason(furthest: number | undefined): string {
  if (furthest === undefined) return 'no-eligible-line-item'
  return STAGES[furthest] ?? 'outranked, or held back by pacing, budget or caps'
}

/** A header is made once per catalog that is announced. */
function isIn(layer: Layer | undefined, { header }: Catalog): boolean {
  return layer?.catalog.header === header
}

function free(catalog: Catalog) {
  return { ...unlimited(catalog), hold: () => NOT_HELD, release: () => {} }
}
