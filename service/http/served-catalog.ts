/** One catalog as one bid thread serves it, with what it keeps of it as text. */
import { LRUCache } from 'lru-cache'
import type { Allowance } from '../decision/allowance.ts'
import { Engine } from '../decision/decide.ts'
import type { NativeOffer } from '../decision/opportunity.ts'
import { LIMITS } from '../limits.ts'
import type { Said } from '../openrtb/acceptance-words.ts'
import { saidBy } from '../openrtb/creative-fragment.ts'
import { type Fragment, fragmentWithHoles } from '../openrtb/macro-values.ts'
import { nativeFragment } from '../openrtb/native-markup.ts'
import { withTrackers } from '../openrtb/notice-markup.ts'
import type { NoticeUrls } from '../openrtb/notice-urls.ts'
import { countedSubjects } from '../state/cap-fields.ts'
import { type Catalog, FORMAT, idAt } from '../state/catalog.ts'
import { IdIndex } from '../state/id-index.ts'
import { type Budgets, withoutLeases } from './budgets.ts'
import { type Caps, withoutCounts } from './caps.ts'

/** What a hole and what is said cost beside the text, as characters. */
const HOLE_CHARS = 128
const SAID_CHARS = 512

/** Of one creative. */
interface Kept {
  readonly creative: number
  readonly fragment: Fragment
  /** Read when a request first asks for it. */
  said: Said | undefined
}

/** How many bids line items have made, by their ids. */
export type BidsTold = readonly (readonly [lineItemId: string, bids: number])[]

/** What goes with a catalog. */
export interface ServedWith {
  /** Where the catalog is an overlay: the one below it. */
  readonly below?: Catalog | undefined
  /** For trackers of ours in the markup of bids. */
  readonly notices?: NoticeUrls | undefined
  /** Without them no line item that has a budget bids. */
  readonly budgets?: Budgets | undefined
  /** Without them nothing that has a frequency cap bids. */
  readonly caps?: Caps | undefined
}

/** A catalog with its engine and kept markup. Used by one thread; its making costs O(values that block). */
export class ServedCatalog {
  readonly catalog: Catalog
  readonly engine: Engine
  readonly budgets: Budgets
  readonly caps: Caps
  /** Whom its caps count, see countedSubjects. */
  readonly capSubjects: number
  /** Markup lives in the arena as bytes; what wins often is kept as text. */
  readonly #fragments = new LRUCache<number, Kept>({
    maxSize: LIMITS.fragmentCacheCharsMax,
    sizeCalculation: ({ fragment: { text, holes } }) => text.length + holes.length * HOLE_CHARS + SAID_CHARS,
  })
  #lastKept: Kept | undefined
  /** At most one per campaign of the tenant. */
  readonly #campaignIds = new Map<number, string>()
  /** Bytes of all line items' ids, to cut texts from. */
  readonly #lineItemIds: Buffer
  /** Per line item 1 where it is stopped by hand; undefined where none is. */
  #stopped: Uint8Array | undefined

  /** Bids per line item since they were last told, and which have any. */
  readonly #bids: Uint32Array
  #bidding: number[] = []
  /** Made when a win notice first asks for markup. */
  #creativeIds: IdIndex | undefined
  readonly #notices: NoticeUrls | undefined

  constructor(catalog: Catalog, { below, budgets, caps, notices }: ServedWith = {}) {
    this.catalog = catalog
    this.#notices = notices
    const { lineItemIds: ids, lineItemCaps, creativeCaps } = catalog.columns
    this.capSubjects = countedSubjects(lineItemCaps) | countedSubjects(creativeCaps)
    this.budgets = budgets ?? withoutLeases(catalog)
    this.caps = caps ?? withoutCounts(catalog)
    const allowance: Allowance = {
      passRatePpm: this.budgets.passRatePpm,
      covers: (lineItem, nanos) => this.#stopped?.[lineItem] !== 1 && this.budgets.covers(lineItem, nanos),
      want: (lineItem, nanos) => this.budgets.want(lineItem, nanos),
      empty: () => this.budgets.empty(),
    }
    this.engine = new Engine(catalog, allowance, this.caps, below)
    this.#bids = new Uint32Array(catalog.header.lineItems)
    this.#lineItemIds = Buffer.from(ids.buffer, ids.byteOffset, ids.byteLength)
  }

  /** Line items of these ids and campaigns bid no more; ids that are not here are none of its. Cost: O(line items) */
  stop(lineItems: readonly string[], campaigns: readonly string[]): void {
    this.#stopped = undefined
    if (lineItems.length + campaigns.length === 0) return
    const { columns, header } = this.catalog
    const stopped = new Uint8Array(header.lineItems)
    const ids = new IdIndex(columns.lineItemIdStart, columns.lineItemIds)
    for (const id of lineItems) if (ids.find(id) >= 0) stopped[ids.find(id)] = 1
    const campaignIds = new IdIndex(columns.campaignIdStart, columns.campaignIds)
    const ordinals = new Set(campaigns.map(id => campaignIds.find(id)))
    for (let i = 0; i < stopped.length; i++) if (ordinals.has(columns.lineItemCampaign[i] as number)) stopped[i] = 1
    this.#stopped = stopped
  }

  /** Counts a bid of the line item with this ordinal. */
  countBid(lineItem: number): void {
    const before = this.#bids[lineItem] as number
    if (before === 0) this.#bidding.push(lineItem)
    this.#bids[lineItem] = before + 1
  }

  /** Bids since the last call, by line item id. Cost: O(line items that bid) */
  takeBids(): BidsTold {
    const bidding = this.#bidding
    const told = bidding.map(lineItem => [this.lineItemIdOf(lineItem), this.#bids[lineItem] as number] as const)
    for (const lineItem of bidding) this.#bids[lineItem] = 0
    this.#bidding = []
    return told
  }

  /** JSON members of a creative's bid. @param native what the place asks for, when it takes native creatives */
  fragmentOf(creative: number, native: NativeOffer | undefined): Fragment {
    const kept = this.#keptOf(creative).fragment
    if (native === undefined || this.catalog.columns.creativeFormat[creative] !== FORMAT.native) return kept
    return fragmentWithHoles(nativeFragment(kept.text, this.catalog.columns, creative, native))
  }

  /** JSON members of a creative that is not native, by its id; undefined where there is none. */
  renditionOf(creativeId: string, rendition: number): Fragment | undefined {
    const { creativeIdStart, creativeIds, creativeRendition } = this.catalog.columns
    this.#creativeIds ??= new IdIndex(creativeIdStart, creativeIds)
    const first = this.#creativeIds.find(creativeId)
    return first < 0 || creativeRendition[first + rendition] !== rendition
      ? undefined
      : this.#keptOf(first + rendition).fragment
  }

  /** What the bids of a creative say of it. */
  saidOf(creative: number): Said {
    const kept = this.#keptOf(creative)
    kept.said ??= saidBy(kept.fragment.text)
    return kept.said
  }

  /** See creativeFragment. A bid asks for it up to four times. */
  #keptOf(creative: number): Kept {
    if (this.#lastKept?.creative === creative) return this.#lastKept
    this.#lastKept = this.#fragments.get(creative) ?? this.#keep(creative)
    return this.#lastKept
  }

  #keep(creative: number): Kept {
    const { creativeFragmentStart, fragmentBytes } = this.catalog.columns
    const start = creativeFragmentStart[creative] as number
    const end = creativeFragmentStart[creative + 1] as number
    const bytes = Buffer.from(fragmentBytes.buffer, fragmentBytes.byteOffset + start, end - start)
    const text = bytes.toString('latin1')
    const told = this.#notices === undefined ? text : withTrackers(text, this.#notices)
    const kept: Kept = { creative, fragment: fragmentWithHoles(told), said: undefined }
    this.#fragments.set(creative, kept)
    return kept
  }

  /** Drops what is kept as text. */
  forgetMarkup(): void {
    this.#lastKept = undefined
    this.#fragments.clear()
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
