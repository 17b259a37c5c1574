/** One immutable version of a tenant's campaigns as the bid threads read it: columns in a slab and a small header. */

import { ADDRESS_COLUMNS } from './addresses.ts'
import { type Column, type ColumnKinds, type Columns, type Layout, viewColumns } from './arena.ts'
import { CIRCLE_COLUMNS } from './circles.ts'
import { DIMENSION_NAMES, type DimensionName, LISTED_DIMENSIONS, type ListedDimension } from './dimensions.ts'
import type { Settings } from './documents.ts'
import type { Exchange } from './exchange-document.ts'
import { TEXT_COLUMNS } from './text-table.ts'
import { VERSION_COLUMNS, type VersionSystems } from './version-ranges.ts'

/** Line items have dense ordinals in the order in which they would win: priority, then price. */
const LINE_ITEM_COLUMNS = {
  lineItemPriority: 'u8',
  lineItemPriceNanos: 'f64',
  lineItemFlightStartMs: 'f64',
  lineItemFlightEndMs: 'f64',
  /** The first ordinal after those of equal priority and price. */
  lineItemRankEnd: 'u32',
  /** The first ordinal of the next priority. */
  lineItemPriorityEnd: 'u32',
  /** Of 1,000,000 opportunities, how many it takes part in. */
  lineItemPassRatePpm: 'u32',
  /** Its own budget, NO_LIMIT_NANOS where it has none. */
  lineItemTotalNanos: 'f64',
  lineItemDailyNanos: 'f64',
  /** BUDGET_KIND of its own and its campaign's together. */
  lineItemBudgetKind: 'u8',
  /** Key of the header's pacingPlans. */
  lineItemPacing: 'u32',
  lineItemAdvertiser: 'u32',
  /** Ordinal of the campaign. */
  lineItemCampaign: 'u32',
  /** CSR of ids, ASCII, see idAt. */
  lineItemIdStart: 'u32',
  lineItemIds: 'u8',
  /** CSR: creatives of ordinal o are lineItemCreatives[start[o] .. start[o + 1]]. */
  lineItemCreativeStart: 'u32',
  lineItemCreatives: 'u32',
  /** Beside each of them its weight; counts only where the choice is by weight. */
  lineItemCreativeWeights: 'u32',
  /** Position in CREATIVE_CHOICES. */
  lineItemCreativeChoice: 'u8',
  /** CSR of deal values; none = serves in the open auction. */
  lineItemDealStart: 'u32',
  lineItemDeals: 'u32',
  /** CSR of caps, CAP_WORDS each: its advertiser's, its campaign's and its own. */
  lineItemCapStart: 'u32',
  lineItemCaps: 'u32',
} as const satisfies ColumnKinds

const CREATIVE_COLUMNS = {
  /** FORMAT of the creative. */
  creativeFormat: 'u8',
  /** Masks with bit n set for OpenRTB code n (mimes: for MIMES[n]). */
  creativeAttributes: 'u32',
  creativeBannerTypes: 'u32',
  creativeMimes: 'u32',
  creativeProtocols: 'u32',
  /** TRANSPARENCY of it. */
  creativeTransparency: 'u8',
  /** Frameworks of the place's that it needs. */
  creativeFrameworks: 'u32',
  creativeSecure: 'u8',
  creativeDurationS: 'u16',
  creativeWidth: 'u16',
  creativeHeight: 'u16',
  /** What a bid with this creative says that does not depend on the request: ASCII JSON members. */
  creativeFragmentStart: 'u32',
  fragmentBytes: 'u8',
  /** Two letters of its ISO 639-1 language, see languageCode; 0 = none. */
  creativeLanguage: 'u16',
  /** Of its categories, how many are its own or its advertiser's; those above them follow. */
  creativeOwnCategories: 'u8',
  /** CSR of block values: its own and its advertiser's categories, then their parents, then the app it advertises. */
  creativeCategoryStart: 'u32',
  creativeCategories: 'u32',
  creativeSlot: 'u32',
  /** CSR: positions in the header's exchanges of those that the creative must not be sent to. */
  creativeBarredStart: 'u32',
  creativeBarred: 'u8',
  /** Renditions of one creative have ordinals one after another: how many are before this one. */
  creativeRendition: 'u8',
  /** CSR of assetWords; only native creatives have any. */
  creativeAssetStart: 'u32',
  creativeAssets: 'u32',
  /** As those of line items, and its own only. */
  creativeCapStart: 'u32',
  creativeCaps: 'u32',
  /** CSR of ids, ASCII, see idAt. Renditions of one creative have the same. */
  creativeIdStart: 'u32',
  creativeIds: 'u8',
} as const satisfies ColumnKinds

const ADVERTISER_COLUMNS = {
  /** CSR of block values: the domain and those above it. */
  advertiserDomainStart: 'u32',
  advertiserDomains: 'u32',
  /** CSR of ids, ASCII, see idAt. */
  advertiserIdStart: 'u32',
  advertiserIds: 'u8',
} as const satisfies ColumnKinds

const CAMPAIGN_COLUMNS = {
  /** CSR of ids, ASCII, see idAt. */
  campaignIdStart: 'u32',
  campaignIds: 'u8',
  /** As those of line items. */
  campaignTotalNanos: 'f64',
  campaignDailyNanos: 'f64',
  campaignPacing: 'u32',
  campaignFlightStartMs: 'f64',
  campaignFlightEndMs: 'f64',
} as const satisfies ColumnKinds

/** Words of a row that lie together. */
export const TILE_WORDS = 32

/**
 * Where word w of a row lies. The tiles of all rows for the same line items lie side by side: most requests end among
 * the first thousand, and what they need of all rows is then 70 KB in one place instead of a cache line in each of 500
 * pages.
 * @param rows how many rows there are
 */
export function rowPlace(rows: number, row: number, word: number): number {
  return ((word >>> 5) * rows + row) * TILE_WORDS + (word & (TILE_WORDS - 1))
}

/** Words of a value's entry, half a cache line. */
export const ENTRY_WORDS = 8
/** Positions in an entry. Rows are −1 where there is none. What ends where the next value's begins has no end here. */
export const ENTRY = {
  /** A row that answers a single-valued dimension by itself, or has those that include a many-valued one's value. */
  row: 0,
  /** The row of those that exclude a many-valued dimension's value. */
  excludeRow: 1,
  /** Where in postings those that include it begin, then those that exclude it: until the next value's begin. */
  includes: 2,
  excludes: 3,
  /** The first ordinal of each of the two, so that what begins later need not be looked into. */
  firstIncluded: 4,
  firstExcluded: 5,
  /** Where in memberLists the lists begin that it is in. */
  lists: 6,
  /** Its number among the values that programs ask for, −1 when none does. */
  asked: 7,
} as const

const INDEX_COLUMNS = {
  /** Bit matrix in tiles, see rowPlace: bit n of row r stands for ordinal n. Row 0 has every line item. */
  rows: 'u32',
  rowCount: 'u32',
  /** Per value its ENTRY_WORDS, see ENTRY, side by side, so that a request's value costs one cache line; and an end. */
  entries: 'i32',
  /** Ordinals that include value v, then those that exclude it, in growing order. */
  postings: 'u32',
  /** Per line item MASK_WORDS: bit d is set when it has a rule in dimension d, by its position in INDEX_DIMENSIONS. */
  lineItemRules: 'u32',
} as const satisfies ColumnKinds

const PROGRAM_COLUMNS = {
  /** Per line item 0 = the index answers all of its targeting, else program + 1. */
  lineItemProgram: 'u32',
  /** CSR: words of program p, see conditions.ts, are programWords[start[p] .. start[p + 1]]. */
  programStart: 'u32',
  programWords: 'u32',
  /** Per value that a program asks for: its dimension, by its position in INDEX_DIMENSIONS. */
  askedDimension: 'u8',
  /** Per split: the hash of its salt, and its first and last part. */
  splitSalt: 'u32',
  splitFrom: 'u16',
  splitTo: 'u16',
} as const satisfies ColumnKinds

const MEMBER_COLUMNS = {
  /** Values of the lists that a value is in, see ENTRY.lists. */
  memberLists: 'u32',
} as const satisfies ColumnKinds

/** What an overlay says about the catalog below it, see overlay.ts. Empty in other catalogs. */
const OVERLAY_COLUMNS = {
  /** Bit n is set when line item n below is replaced here, or gone. */
  maskedBelow: 'u32',
  /** Per advertiser, and per first rendition of a creative: the same one's ordinal below, −1 when it is new. */
  advertiserBelow: 'i32',
  creativeBelow: 'i32',
  /** Pairs: a list's value below, and here. Members of lists are looked up below. */
  listsBelow: 'u32',
} as const satisfies ColumnKinds

/** All columns of a catalog, in the order in which they lie in the slab. */
export const CATALOG_COLUMNS = {
  ...TEXT_COLUMNS,
  ...LINE_ITEM_COLUMNS,
  ...CREATIVE_COLUMNS,
  ...ADVERTISER_COLUMNS,
  ...CAMPAIGN_COLUMNS,
  ...INDEX_COLUMNS,
  ...VERSION_COLUMNS,
  ...PROGRAM_COLUMNS,
  ...MEMBER_COLUMNS,
  ...CIRCLE_COLUMNS,
  ...ADDRESS_COLUMNS,
  ...OVERLAY_COLUMNS,
} as const

/** Views of a catalog's columns. */
export type CatalogColumns = Columns<typeof CATALOG_COLUMNS>

/** Dimensions of the index beyond those that documents target by name. */
export const INDEX_DIMENSIONS = [...DIMENSION_NAMES, 'slot', 'deal'] as const
/** Words of a mask with a bit per dimension. */
export const MASK_WORDS = Math.ceil(INDEX_DIMENSIONS.length / 32)
/** What the index can select by. */
export type IndexDimension = DimensionName | 'slot' | 'deal'

/** Spaces of the text table: the index dimensions first, then words that only block. */
export const SPACE = {
  ...(Object.fromEntries(INDEX_DIMENSIONS.map((name, space) => [name, space])) as Record<IndexDimension, number>),
  blockedCategory: INDEX_DIMENSIONS.length,
  blockedDomain: INDEX_DIMENSIONS.length + 1,
  blockedApp: INDEX_DIMENSIONS.length + 2,
  userSplit: INDEX_DIMENSIONS.length + 3,
  pacing: INDEX_DIMENSIONS.length + 3,
} as const

/** The space of the ids of lists of a dimension's values. */
export function listSpace(name: ListedDimension): number {
  return SPACE.pacing + 1 + LISTED_DIMENSIONS.indexOf(name)
}

/** The dimension whose values a space holds, or whose lists; undefined for other spaces. */
export function dimensionOfSpace(space: number): IndexDimension | undefined {
  return INDEX_DIMENSIONS[space] ?? LISTED_DIMENSIONS[space - SPACE.pacing - 1]
}

/** Bits: bids tell who pays for the creative, and the creative shows it itself. */
export const TRANSPARENCY = { told: 1, rendered: 2 } as const

/** Creative formats by OpenRTB's `mtype` codes. */
export const FORMAT = { banner: 1, video: 2, audio: 3, native: 4 } as const

/** What a creative needs from the page, as one number: a banner's size, or its format. */
export function bannerSlot(width: number, height: number): number {
  return width * 16_384 + height
}
/** The size of a banner's slot. */
export function bannerSizeOf(slot: number): { readonly width: number; readonly height: number } {
  return { width: Math.floor(slot / 16_384), height: slot % 16_384 }
}
/** The slot of every video; above all slots of banners. */
export const VIDEO_SLOT = 0x1000_0000
/** The slot of everything that is only heard. */
export const AUDIO_SLOT = 0x1000_0001
/** The slot of every native creative. */
export const NATIVE_SLOT = 0x1000_0002

/** The part of a catalog that is not columns. Plain data, so that it can be posted to another thread. */
export interface CatalogHeader {
  readonly version: string
  /** The announcement's own number: grows with every announcement, also with one of an older version. */
  readonly announcement: number
  /** Of an overlay: the number of the last delta in it. */
  readonly deltas?: number
  readonly settings: Settings
  readonly exchanges: readonly Exchange[]
  /** Value of one unit of a currency in the ledger currency, the ledger currency itself included. */
  readonly rates: ReadonlyMap<string, number>
  /** When the rates are too old to convert with, in ms since 1970; beyond all time where they do not age. */
  readonly ratesEndMs: number
  readonly lineItems: number
  /** Whether any line item chooses between its creatives in another way than by order. */
  readonly choosesCreatives: boolean
  /** Ids of the deals that stand for roadblocks, see roadblocks.ts. */
  readonly roadblocks: readonly string[]
  /** Whether any creative needs a framework: else no request is asked which ones it has. */
  readonly needsFrameworks: boolean
  /** 32-bit words of one row. */
  readonly words: number
  /** Per dimension the row of line items without an include list, −1 where no line item restricts the dimension. */
  readonly baseRows: Readonly<Record<IndexDimension, number>>
  readonly slotValues: ReadonlyMap<number, number>
  /** See pacingText. */
  readonly pacingPlans: ReadonlyMap<number, string>
  /** Dimensions that any line item restricts: a request's values in others need not be read. */
  readonly targeted: readonly DimensionName[]
  readonly versionSystems: VersionSystems
  /** Values below this number are those that block. */
  readonly blockValues: number
  readonly bytes: number
  readonly layout: Layout<typeof CATALOG_COLUMNS>
}

/** The id of a line item or campaign, from its columns of ids. Makes a string; not for the bid path's common case. */
export function idAt(start: Column<'u32'>, ids: Column<'u8'>, ordinal: number): string {
  return String.fromCharCode(...ids.subarray(start[ordinal]!, start[ordinal + 1]!))
}

/** A catalog as a thread reads it. Nobody changes it; its slab is reused once no thread reads it any more. */
export interface Catalog {
  readonly header: CatalogHeader
  readonly columns: CatalogColumns
}

/** Reads a catalog that another thread has built. Copies nothing. */
export function openCatalog(header: CatalogHeader, slab: SharedArrayBuffer): Catalog {
  return { header, columns: viewColumns(slab, header.layout) }
}
