/** Explains what a bid request is answered: the same steps as the bid path, each asked for all that it finds. */

import { type ExplainScope, explainLot, type JudgedLineItem, type LotExplanation } from '../decision/explain.ts'
import { type Finding, side } from '../decision/finding.ts'
import { lotsOf, roadblockLot } from '../decision/lots.ts'
import type { Opportunity } from '../decision/opportunity.ts'
import type { NoBidReason } from '../decision/reasons.ts'
import { scan } from '../decision/scan.ts'
import { type Asked, findingsOf, type ScanTables } from '../decision/scan-line-item.ts'
import { LIMITS } from '../limits.ts'
import type { SegmentLookup } from '../state/audience-reader.ts'
import { hourOfWeek } from '../state/calendar.ts'
import { bannerSlot } from '../state/catalog.ts'
import { DIMENSION_NAMES } from '../state/dimensions.ts'
import type { LineItem, TenantDocuments } from '../state/documents.ts'
import type { Exchange } from '../state/exchange-document.ts'
import { dealsOf, isRoadblock } from '../state/roadblocks.ts'
import { type BidRequest, type Impression, type Malformed, readRequest } from './read-request.ts'
import { readAgent } from './user-agent.ts'

/** What a request is explained with. */
export interface ExplainTerms {
  /** What the tenant knows of users; without it only what the request tells. */
  readonly audience?: SegmentLookup
  readonly tables: ScanTables
  readonly exchange: Exchange
  readonly nowMs: number
  readonly scope: ExplainScope
  /** Ids of line items that are known to hold no bid: their budget does not, or somebody stopped them. */
  readonly spent?: ReadonlySet<string>
  /** Whether tenant or exchange are stopped by hand. */
  readonly isStopped?: boolean
  /**
   * Of the line items between which chance decides, the one that is taken to bid; later impressions of the page depend
   * on it. Without it the first.
   */
  readonly choose?: (impressionId: string, winners: readonly JudgedLineItem[]) => JudgedLineItem
}

/** What one impression comes to. */
interface ImpressionExplanation {
  readonly id: string
  /** Why there is no bid; undefined when there is one. */
  readonly reason: NoBidReason | undefined
  /** What is decided on its own: each deal where the exchange takes many bids, else all at once. */
  readonly lots: readonly (LotExplanation & { readonly of: string })[]
}

/** What a bid request comes to, with the reasons. Plain data. */
export interface Explanation {
  readonly kind: 'explanation'
  readonly requestId: string
  readonly exchange: string
  /** ISO 8601 instant that it is explained for. */
  readonly at: string
  /** Whether anything about the person may be used; otherwise what tells of the person is unknown. */
  readonly userDataAllowed: boolean
  /** Why nothing is bid at all, whatever the impressions say. They are explained as if it were not so. */
  readonly reason: NoBidReason | undefined
  readonly impressions: readonly ImpressionExplanation[]
}

const HOUR_MS = 3_600_000
const NOBODY: ReadonlySet<string> = new Set()

/**
 * Explains a parsed body. Frequency caps, and budgets that terms.spent does not name, are taken to allow every bid; so
 * is the time that a request may take. Pure. Cost: O(impressions × line items).
 */
export function explainRequest(body: unknown, terms: ExplainTerms): Explanation | Malformed {
  const { tables, exchange, nowMs } = terms
  const { settings } = tables.documents
  const read = readRequest(body, {
    exchange,
    rates: ratesAt(tables.documents, nowMs),
    daypart: String(hourOfWeek(nowMs, settings.timeZone)),
    nowMs,
    slotsKnown: bannerSlots(tables.documents),
    needsFrameworks: true,
    targeted: DIMENSION_NAMES,
    audience: terms.audience,
    readAgent,
    waitedMs: 0,
  })
  if (read.kind === 'malformed') return read
  return {
    kind: 'explanation',
    requestId: read.id,
    exchange: exchange.id,
    at: new Date(nowMs).toISOString(),
    userDataAllowed: read.userDataAllowed,
    reason: settings.status !== 'active' ? 'tenant-paused' : terms.isStopped === true ? 'stopped' : read.reason,
    impressions: new RequestExplainer(read, terms).explain(),
  }
}

/** Holds who is on the page while impression after impression is explained. */
class RequestExplainer {
  readonly #read: BidRequest
  readonly #terms: ExplainTerms
  readonly #onPage = new Set<string>()
  /** By campaign: on how many impressions of a whole page its roadblock could bid. */
  readonly #roadblocks: ReadonlyMap<string, number>
  readonly #ourDeals: ReadonlySet<string>

  constructor(read: BidRequest, terms: ExplainTerms) {
    this.#read = read
    this.#terms = terms
    const { lineItems } = terms.tables.documents
    this.#ourDeals = new Set(lineItems.flatMap(lineItem => dealsOf(lineItem) ?? []))
    this.#roadblocks = new Map(isOpenPage(read) ? this.#tryRoadblocks([...this.#ourDeals].filter(isRoadblock)) : [])
  }

  explain(): readonly ImpressionExplanation[] {
    const { impressions } = this.#read
    const filling = [...this.#roadblocks].find(([, filled]) => filled === impressions.length)?.[0]
    return impressions.map(impression => this.#explainImpression(impression, filling))
  }

  #tryRoadblocks(deals: readonly string[]): (readonly [string, number])[] {
    const { impressions } = this.#read
    return deals.slice(0, LIMITS.roadblocksTriedMax).map(deal => {
      const lots = impressions.map(({ opportunity }) => roadblockLot(opportunity as Opportunity, deal))
      return [deal, lots.filter(lot => scan(this.#terms.tables, this.#asked(lot)).kind === 'winners').length]
    })
  }

  #explainImpression({ id, opportunity, reason }: Impression, filling: string | undefined): ImpressionExplanation {
    if (opportunity === undefined) return { id, reason: reason ?? 'no-supported-format', lots: [] }
    const lots = this.#lotsOf(opportunity, filling).map(lot => ({ of: this.#nameOf(lot), ...this.#explainLot(lot) }))
    // Bids for one impression are alternatives: only later impressions are on a page with them.
    for (const { winners } of lots) this.#take(id, winners)
    const isBid = lots.some(lot => lot.reason === undefined)
    return { id, reason: isBid ? undefined : lots.at(-1)?.reason, lots }
  }

  #lotsOf(opportunity: Opportunity, filling: string | undefined): readonly Opportunity[] {
    if (filling !== undefined) return [roadblockLot(opportunity, filling)]
    if (this.#terms.exchange.bidsPerImpression !== 'many') return [opportunity]
    return lotsOf(opportunity, deal => this.#ourDeals.has(deal))
  }

  #nameOf({ deals, privateAuction }: Opportunity): string {
    const [deal] = deals
    if (deal === undefined) return 'open auction'
    if (isRoadblock(deal.id)) return `roadblock of ${deal.id.slice(1)}`
    const ids = deals.map(({ id }) => id).join(', ')
    return privateAuction ? `deals ${ids}` : `open auction and deals ${ids}`
  }

  #explainLot(lot: Opportunity): LotExplanation {
    const { tables, scope } = this.#terms
    const roadblock = (lineItem: LineItem) => this.#roadblockFindings(lineItem, lot)
    return explainLot(tables, this.#asked(lot), scope, this.#roadblocks.size > 0 ? roadblock : undefined)
  }

  /** Of a roadblock that a whole page was offered to: what it fails here, or that it does not fill the others. */
  #roadblockFindings(lineItem: LineItem, lot: Opportunity): readonly Finding[] | undefined {
    const deal = lineItem.roadblock === true ? dealsOf(lineItem)?.[0] : undefined
    if (deal === undefined || lot.deals[0]?.id === deal) return undefined
    const filled = this.#roadblocks.get(deal)
    const found = [...findingsOf(this.#terms.tables, lineItem, this.#asked(roadblockLot(lot, deal)))]
    if (found.length > 0 || filled === undefined) return found.length > 0 ? found : undefined
    const ours = side('wants', 'all impressions of the page')
    const theirs = side('its campaign could bid for', `${filled} of ${this.#read.impressions.length}`)
    return [{ reason: 'no-eligible-line-item', what: 'roadblock', ours, theirs }]
  }

  #asked(opportunity: Opportunity): Asked {
    return {
      facts: this.#read.facts,
      opportunity,
      nowMs: this.#terms.nowMs,
      onPage: this.#onPage,
      cappedLineItems: NOBODY,
      cappedCreatives: NOBODY,
      spent: this.#terms.spent ?? NOBODY,
    }
  }

  /** Notes who is on the page from now on. */
  #take(impressionId: string, winners: readonly JudgedLineItem[]): void {
    if (winners.length === 0) return
    const { documents, creatives } = this.#terms.tables
    const chosen = this.#terms.choose?.(impressionId, winners) ?? winners[0]
    const [creativeId = ''] = chosen?.bid?.creativeIds ?? []
    const { onPage = 'one-per-advertiser' } = documents.settings
    if (onPage === 'one-per-creative') this.#onPage.add(creativeId)
    if (onPage === 'one-per-advertiser') this.#onPage.add(creatives.get(creativeId)?.advertiserId ?? '')
  }
}

/** Whether roadblocks are tried: all impressions of the page are there, and open to everybody. */
function isOpenPage({ impressions, isWholePage }: BidRequest): boolean {
  const isOpen = impressions.every(({ opportunity }) => opportunity?.privateAuction === false)
  return isWholePage && impressions.length > 1 && isOpen
}

/** What one unit of a currency is worth in the ledger's: of that one alone once the rates are too old. */
function ratesAt({ settings, rates }: TenantDocuments, nowMs: number): ReadonlyMap<string, number> {
  const { asOf, maxAgeHours = Number.POSITIVE_INFINITY } = rates
  const areOld = nowMs >= Date.parse(asOf) + maxAgeHours * HOUR_MS
  return new Map([...(areOld ? [] : Object.entries(rates.rates)), [settings.currency, 1]])
}

/** For places that ask for a shape. */
function bannerSlots({ creatives }: TenantDocuments): ReadonlyMap<number, unknown> {
  return new Map(
    creatives.flatMap(creative =>
      creative.format === 'banner' ? [[bannerSlot(creative.width, creative.height), undefined] as const] : [],
    ),
  )
}
