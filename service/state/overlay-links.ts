/** What an overlay says about the catalog below it: which line items it replaces, and who is the same in both. */
import { type Catalog, type CatalogColumns, listSpace } from './catalog.ts'
import { LISTED_DIMENSIONS } from './dimensions.ts'
import { IdIndex } from './id-index.ts'
import { findText, type TextTableBuilder } from './text-table.ts'

/** Who is who in a base catalog. Made when the first delta comes; an index is made when it is first asked. */
export class BaseIds {
  readonly catalog: Catalog
  #lineItems: IdIndex | undefined
  #advertisers: IdIndex | undefined
  #creatives: IdIndex | undefined

  constructor(catalog: Catalog) {
    this.catalog = catalog
  }

  /** The ordinal of a line item, −1 where the base does not serve it. */
  lineItem(id: string): number {
    const { lineItemIdStart, lineItemIds } = this.catalog.columns
    this.#lineItems ??= new IdIndex(lineItemIdStart, lineItemIds)
    return this.#lineItems.find(id)
  }

  /** The ordinal of an advertiser, −1 where the base has none with this id. */
  advertiser(id: string): number {
    const { advertiserIdStart, advertiserIds } = this.catalog.columns
    this.#advertisers ??= new IdIndex(advertiserIdStart, advertiserIds)
    return this.#advertisers.find(id)
  }

  /** The ordinal of a creative's first rendition, −1 where the base does not serve it. */
  creative(id: string): number {
    const { creativeIdStart, creativeIds } = this.catalog.columns
    this.#creatives ??= new IdIndex(creativeIdStart, creativeIds)
    return this.#creatives.find(id)
  }
}

/** What an overlay is built upon. */
export interface OverlayLinks {
  readonly base: BaseIds
  /** Line items that the overlay replaces, or that are gone. Those that the base does not have count for nothing. */
  readonly maskedIds: Iterable<string>
}

/** The overlay's own names, by ordinal. */
interface OverlayNames {
  readonly advertisers: readonly string[]
  /** One per rendition. */
  readonly creatives: readonly string[]
  readonly texts: TextTableBuilder
}

/** Lengths of the columns that link, in elements: none where nothing lies below. */
export function linkSizes(links: OverlayLinks | undefined, names: OverlayNames) {
  if (links === undefined) return { maskedBelow: 0, advertiserBelow: 0, creativeBelow: 0, listsBelow: 0 }
  return {
    maskedBelow: links.base.catalog.header.words,
    advertiserBelow: names.advertisers.length,
    creativeBelow: names.creatives.length,
    listsBelow: 2 * sharedLists(links, names).length,
  }
}

/** Writes the columns that link. Cost: O(names + masked line items + words of a row below). */
export function writeLinks(columns: CatalogColumns, links: OverlayLinks, names: OverlayNames): void {
  const { base, maskedIds } = links
  for (const id of maskedIds) {
    const ordinal = base.lineItem(id)
    if (ordinal >= 0) columns.maskedBelow[ordinal >>> 5]! |= 1 << (ordinal & 31)
  }
  for (let i = 0; i < names.advertisers.length; i++) columns.advertiserBelow[i] = base.advertiser(names.advertisers[i]!)
  for (let i = 0; i < names.creatives.length; i++) columns.creativeBelow[i] = base.creative(names.creatives[i]!)
  columns.listsBelow.set(sharedLists(links, names).flat())
}

/** Lists that line items here name: their values below and here. */
function sharedLists({ base }: OverlayLinks, { texts }: OverlayNames): readonly (readonly [number, number])[] {
  return LISTED_DIMENSIONS.flatMap(dimension => {
    const space = listSpace(dimension)
    return texts.textsOf(space).flatMap(([id, number]) => {
      const below = findText(base.catalog.columns, space, id)
      return below < 0 ? [] : [[below, number] as const]
    })
  })
}
