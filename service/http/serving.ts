/** What one bid thread needs of one catalog: made when the catalog is announced, dropped whole at the next. */
import { LRUCache } from 'lru-cache'
import { Engine } from '../decision/decide.ts'
import type { NativeOffer } from '../decision/opportunity.ts'
import { LIMITS } from '../limits.ts'
import { type Fragment, fragmentWithHoles } from '../openrtb/macro-values.ts'
import { nativeFragment } from '../openrtb/native-markup.ts'
import { BUDGET_KIND } from '../state/budget-fields.ts'
import { dayNumber, hourOfWeek } from '../state/calendar.ts'
import { type Catalog, FORMAT, idAt } from '../state/catalog.ts'
import type { Exchange } from '../state/exchange-document.ts'

/** What a hole costs beside the text, as characters. */
const HOLE_CHARS = 128

/** One catalog with its engine, kept markup and hour. Used by one thread; its making costs O(values that block). */
export class Serving {
  readonly catalog: Catalog
  readonly engine: Engine
  readonly #exchanges: ReadonlyMap<string, Exchange>
  /** Markup lives in the arena as bytes; what wins often is kept as text. */
  readonly #fragments = new LRUCache<number, Fragment>({
    maxSize: LIMITS.fragmentCacheCharsMax,
    sizeCalculation: ({ text, holes }) => text.length + holes.length * HOLE_CHARS + 1,
  })
  /** At most one per campaign of the tenant. */
  readonly #campaignIds = new Map<number, string>()
  readonly #ownRate: ReadonlyMap<string, number>
  /** Bytes of all line items' ids, to cut texts from. */
  readonly #lineItemIds: Buffer
  #daypart = ''
  #day = 0
  #ratesAreOld = false

  constructor(catalog: Catalog, nowMs: number) {
    this.catalog = catalog
    const { lineItemPassRatePpm: passRatePpm, lineItemBudgetKind: kinds } = catalog.columns
    this.engine = new Engine(catalog, { passRatePpm, covers: lineItem => kinds[lineItem] === BUDGET_KIND.none })
    this.#exchanges = new Map(catalog.header.exchanges.map(exchange => [exchange.id, exchange]))
    this.#ownRate = new Map([[catalog.header.settings.currency, 1]])
    const { lineItemIds: ids } = catalog.columns
    this.#lineItemIds = Buffer.from(ids.buffer, ids.byteOffset, ids.byteLength)
    this.turnClock(nowMs)
  }

  /** The exchange of a path name, paused ones included. */
  exchange(id: string): Exchange | undefined {
    return this.#exchanges.get(id)
  }

  /** Hour of the week in the tenant's time zone, as text. */
  get daypart(): string {
    return this.#daypart
  }

  /** Whole days since 1970 in the tenant's time zone. */
  get day(): number {
    return this.#day
  }

  /** Value of one unit of a currency in the ledger currency: of this one alone once the rates are too old. */
  get rates(): ReadonlyMap<string, number> {
    return this.#ratesAreOld ? this.#ownRate : this.catalog.header.rates
  }

  /** To be called at least once a second; formatting a date is too slow for the bid path. */
  turnClock(nowMs: number): void {
    this.#daypart = String(hourOfWeek(nowMs, this.catalog.header.settings.timeZone))
    this.#day = dayNumber(nowMs, this.catalog.header.settings.timeZone)
    this.#ratesAreOld = nowMs >= this.catalog.header.ratesEndMs
  }

  /** JSON members of a creative's bid. @param native what the place asks for, when it takes native creatives */
  fragmentOf(creative: number, native: NativeOffer | undefined): Fragment {
    const kept = this.#keptFragmentOf(creative)
    if (native === undefined || this.catalog.columns.creativeFormat[creative] !== FORMAT.native) return kept
    return fragmentWithHoles(nativeFragment(kept.text, this.catalog.columns, creative, native))
  }

  /** See creativeFragment. */
  #keptFragmentOf(creative: number): Fragment {
    const kept = this.#fragments.get(creative)
    if (kept !== undefined) return kept
    const { creativeFragmentStart, fragmentBytes } = this.catalog.columns
    const start = creativeFragmentStart[creative] as number
    const end = creativeFragmentStart[creative + 1] as number
    const bytes = Buffer.from(fragmentBytes.buffer, fragmentBytes.byteOffset + start, end - start)
    const fragment = fragmentWithHoles(bytes.toString('latin1'))
    this.#fragments.set(creative, fragment)
    return fragment
  }

  /** Id of the campaign of the line item with this ordinal. Makes a string. */
  campaignIdOf(lineItem: number): string {
    const { lineItemCampaign, campaignIdStart, campaignIds } = this.catalog.columns
    const campaign = lineItemCampaign[lineItem] as number
    const kept = this.#campaignIds.get(campaign)
    if (kept !== undefined) return kept
    const id = idAt(campaignIdStart, campaignIds, campaign)
    this.#campaignIds.set(campaign, id)
    return id
  }

  /** Id of the line item with this ordinal. Makes a string. */
  lineItemIdOf(lineItem: number): string {
    const { lineItemIdStart: start } = this.catalog.columns
    return this.#lineItemIds.toString('latin1', start[lineItem], start[lineItem + 1])
  }
}
