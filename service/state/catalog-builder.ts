/** Collects validated documents, one at a time, and compiles them into a slab. */

import { assert } from '../foundation/assert.ts'
import { nanosFromCpm } from '../foundation/units.ts'
import { ArenaWriter, type Column, type ElementKind, type Layout, viewColumns } from './arena.ts'
import { CATALOG_COLUMNS, type Catalog, type CatalogColumns, SPACE } from './catalog.ts'
import { CreativeColumns, writeStarts } from './creative-columns.ts'
import { DIMENSION_NAMES, DIMENSIONS, type DimensionName, domainWithParents } from './dimensions.ts'
import type { Advertiser, Campaign, Creative, Exchange, LineItem, Rates, Settings, Targeting } from './documents.ts'
import { growingF64, growingU32 } from './growing.ts'
import { buildIndex, indexSizes, planRows, type References } from './index-builder.ts'
import { TextTableBuilder } from './text-table.ts'
import type { GoodDocument } from './validate.ts'

/** What a creative's bids say whatever the request: ASCII JSON members without braces, as in `"crid":"c1","w":300`. */
export type RenderCreative = (creative: Creative, advertiser: Advertiser) => string

/** How a catalog is told apart. */
export interface CatalogIdentity {
  readonly version: string
  readonly announcement: number
}

const OPEN_START_MS = 0
const OPEN_END_MS = Number.MAX_SAFE_INTEGER

interface ActiveCampaign {
  readonly document: Campaign
  readonly advertiser: number
}

/** One build: add every document in the order of DOCUMENT_KINDS, then finish once. */
export class CatalogBuilder {
  readonly #render: RenderCreative
  readonly #texts = new TextTableBuilder()
  #settings: Settings | undefined
  #rates: Rates | undefined
  readonly #exchanges: Exchange[] = []

  readonly #advertisers = new Map<string, { readonly document: Advertiser; readonly index: number }>()
  readonly #advertiserDomainStart = growingU32()
  readonly #advertiserDomains = growingU32()
  readonly #campaigns = new Map<string, ActiveCampaign>()

  /** Ordinals of active creatives. */
  readonly #creatives = new Map<string, number>()
  readonly #creative: CreativeColumns
  #blockValues: number | undefined

  readonly #lineItem = {
    priority: growingU32(),
    priceNanos: growingF64(),
    flightStartMs: growingF64(),
    flightEndMs: growingF64(),
    passRatePpm: growingU32(),
    advertiser: growingU32(),
    idText: growingU32(),
    campaignText: growingU32(),
    creativeStart: growingU32(),
    creatives: growingU32(),
    dealStart: growingU32(),
    deals: growingU32(),
  }
  readonly #references: References = { start: growingU32(), lists: growingU32(), includes: growingU32() }

  constructor(render: RenderCreative) {
    this.#render = render
    this.#creative = new CreativeColumns(this.#texts)
  }

  /** Takes one good document. Documents that a record refers to must have come before it. */
  add(good: GoodDocument): void {
    switch (good.kind) {
      case 'settings':
        this.#settings = good.document
        return
      case 'rates':
        this.#rates = good.document
        return
      case 'exchanges':
        this.#exchanges.push(good.document)
        return
      case 'advertisers':
        this.#addAdvertiser(good.document)
        return
      case 'campaigns':
        this.#addCampaign(good.document)
        return
      case 'creatives':
        this.#addCreative(good.document)
        return
      case 'lineItems':
        this.#addLineItem(good.document)
    }
  }

  #addAdvertiser(document: Advertiser): void {
    this.#advertisers.set(document.id, { document, index: this.#advertiserDomainStart.length })
    this.#advertiserDomainStart.push(this.#advertiserDomains.length)
    for (const domain of domainWithParents(document.domain))
      this.#advertiserDomains.push(this.#texts.add(SPACE.blockedDomain, domain))
  }

  #addCampaign(document: Campaign): void {
    if (document.status !== 'active') return
    const advertiser = this.#advertisers.get(document.advertiserId)
    assert(advertiser !== undefined, 'a campaign comes after its advertiser', { id: document.id })
    this.#campaigns.set(document.id, { document, advertiser: advertiser.index })
  }

  #addCreative(document: Creative): void {
    if (document.status !== 'active') return
    const advertiser = this.#advertisers.get(document.advertiserId)?.document
    assert(advertiser !== undefined, 'a creative comes after its advertiser', { id: document.id })
    this.#creatives.set(document.id, this.#creative.add(document, advertiser, this.#render(document, advertiser)))
  }

  #addLineItem(document: LineItem): void {
    this.#blockValues ??= this.#texts.count
    const campaign = this.#campaigns.get(document.campaignId)
    const creatives = document.creativeIds.map(id => this.#creatives.get(id)).filter(index => index !== undefined)
    if (document.status !== 'active' || campaign === undefined || creatives.length === 0) return
    const columns = this.#lineItem
    const flights = [campaign.document.flight, document.flight]
    columns.priority.push(document.priority)
    columns.priceNanos.push(nanosFromCpm(document.price.cpm, 'down'))
    columns.flightStartMs.push(Math.max(...flights.map(flight => instantMs(flight?.start, OPEN_START_MS))))
    columns.flightEndMs.push(Math.min(...flights.map(flight => instantMs(flight?.end, OPEN_END_MS))))
    columns.passRatePpm.push(Math.round((document.passThroughRate ?? 1) * 1_000_000))
    columns.advertiser.push(campaign.advertiser)
    columns.idText.push(this.#texts.add(SPACE.id, document.id))
    columns.campaignText.push(this.#texts.add(SPACE.id, document.campaignId))
    columns.creativeStart.push(columns.creatives.length)
    for (const creative of creatives) columns.creatives.push(creative)
    columns.dealStart.push(columns.deals.length)
    for (const deal of document.deals ?? []) columns.deals.push(this.#texts.add(SPACE.deal, deal))
    this.#addReferences(document, creatives)
  }

  /** Notes which values the line item includes and excludes, per dimension of the index. */
  #addReferences(document: LineItem, creatives: readonly number[]): void {
    const references = this.#references
    references.start.push(references.lists.length)
    let includes = 0
    for (const name of DIMENSION_NAMES) {
      const rule: Targeting[typeof name] = document.targeting[name]
      if (rule === undefined) continue
      if (rule.include !== undefined) {
        includes |= 1 << SPACE[name]
        this.#refer(name, rule.include, 0)
      }
      if (rule.exclude !== undefined) this.#refer(name, rule.exclude, 1)
    }
    for (let i = 0; i < creatives.length; i++) {
      const slot = String(this.#creative.slotOf(creatives[i]!))
      references.lists.push(this.#texts.add(SPACE.slot, slot) * 2)
    }
    for (const deal of document.deals ?? []) references.lists.push(this.#texts.add(SPACE.deal, deal) * 2)
    if (document.deals !== undefined) includes |= 1 << SPACE.deal
    references.includes.push(includes | (1 << SPACE.slot))
  }

  /** One list of one dimension. A value that comes twice, as dayparts can overlap, does no harm: bits are only set. */
  #refer(name: DimensionName, values: readonly (string | number)[], exclude: 0 | 1): void {
    const { keys } = DIMENSIONS[name]
    const { lists } = this.#references
    const space = SPACE[name]
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!
      if (keys === undefined) lists.push(this.#texts.add(space, String(value)) * 2 + exclude)
      else for (const key of keys(value)) lists.push(this.#texts.add(space, key) * 2 + exclude)
    }
  }

  /**
   * Compiles what was added into the slab, whose earlier content is lost. Cost: O(documents), the sort apart.
   * @throws ArenaFull when the slab is too small; AssertionFailure when settings are missing
   */
  finish(slab: SharedArrayBuffer, identity: CatalogIdentity): Catalog {
    const settings = this.#settings
    assert(settings !== undefined, 'a catalog has settings')
    const writer = new ArenaWriter(slab)
    const order = this.#winningOrder()
    const plan = planRows(this.#references, this.#texts, order.length)
    const sizes: Record<keyof typeof CATALOG_COLUMNS, number> = {
      ...this.#documentSizes(order.length),
      ...indexSizes(plan),
      textSlots: this.#texts.slotCount(),
      textStart: this.#texts.count + 1,
      textChars: this.#texts.charCount,
      textSpace: this.#texts.count,
    }
    const layout = Object.fromEntries(
      Object.entries(CATALOG_COLUMNS).map(([name, kind]) => [
        name,
        writer.column(kind, sizes[name as keyof typeof sizes]).span,
      ]),
    ) as Layout<typeof CATALOG_COLUMNS>
    const columns = viewColumns(slab, layout)
    this.#texts.write(columns)
    this.#creative.write(columns)
    this.#writeAdvertisers(columns)
    this.#writeLineItems(columns, order)
    const index = buildIndex(columns, plan, this.#references, order)
    const rates = new Map(Object.entries(this.#rates?.rates ?? {}))
    rates.set(settings.currency, 1)
    return {
      columns,
      header: {
        ...identity,
        settings,
        exchanges: this.#exchanges,
        rates,
        lineItems: order.length,
        words: plan.words,
        baseRows: index.baseRows,
        slotValues: index.slotValues,
        blockValues: this.#blockValues ?? this.#texts.count,
        bytes: writer.bytesUsed,
        layout,
      },
    }
  }

  /** Positions of line items as they were added, best first: priority, then price, then as added. */
  #winningOrder(): Uint32Array {
    const priority = this.#lineItem.priority.view()
    const price = this.#lineItem.priceNanos.view()
    return Uint32Array.from(priority.keys()).sort(
      (a, b) => priority[a]! - priority[b]! || price[b]! - price[a]! || a - b,
    )
  }

  #documentSizes(lineItems: number) {
    return {
      lineItemPriceNanos: lineItems,
      lineItemFlightStartMs: lineItems,
      lineItemFlightEndMs: lineItems,
      lineItemRankEnd: lineItems,
      lineItemPriorityEnd: lineItems,
      lineItemPassRatePpm: lineItems,
      lineItemAdvertiser: lineItems,
      lineItemIdText: lineItems,
      lineItemCampaignText: lineItems,
      lineItemCreativeStart: lineItems + 1,
      lineItemCreatives: this.#lineItem.creatives.length,
      lineItemDealStart: lineItems + 1,
      lineItemDeals: this.#lineItem.deals.length,
      ...this.#creative.sizes(),
      advertiserDomainStart: this.#advertiserDomainStart.length + 1,
      advertiserDomains: this.#advertiserDomains.length,
    }
  }

  #writeAdvertisers(columns: CatalogColumns): void {
    writeStarts(columns.advertiserDomainStart, this.#advertiserDomainStart.view(), this.#advertiserDomains.length)
    columns.advertiserDomains.set(this.#advertiserDomains.view())
  }

  #writeLineItems(columns: CatalogColumns, order: Uint32Array): void {
    const from = this.#lineItem
    permute(columns.lineItemPriceNanos, from.priceNanos.view(), order)
    permute(columns.lineItemFlightStartMs, from.flightStartMs.view(), order)
    permute(columns.lineItemFlightEndMs, from.flightEndMs.view(), order)
    permute(columns.lineItemPassRatePpm, from.passRatePpm.view(), order)
    permute(columns.lineItemAdvertiser, from.advertiser.view(), order)
    permute(columns.lineItemIdText, from.idText.view(), order)
    permute(columns.lineItemCampaignText, from.campaignText.view(), order)
    permuteLists(
      { start: columns.lineItemCreativeStart, items: columns.lineItemCreatives },
      { start: from.creativeStart.view(), items: from.creatives.view() },
      order,
    )
    permuteLists(
      { start: columns.lineItemDealStart, items: columns.lineItemDeals },
      { start: from.dealStart.view(), items: from.deals.view() },
      order,
    )
    this.#writeEnds(columns, order)
  }

  /** Where the run of equal rank and where the priority ends, per ordinal, from the last to the first. */
  #writeEnds(columns: CatalogColumns, order: Uint32Array): void {
    const { priority, priceNanos } = this.#lineItem
    let rankEnd = order.length
    let priorityEnd = order.length
    for (let ordinal = order.length - 1; ordinal >= 0; ordinal--) {
      const here = order[ordinal]!
      const after = ordinal + 1 < order.length ? order[ordinal + 1]! : here
      if (priority.at(here) !== priority.at(after)) priorityEnd = ordinal + 1
      if (priorityEnd === ordinal + 1 || priceNanos.at(here) !== priceNanos.at(after)) rankEnd = ordinal + 1
      columns.lineItemRankEnd[ordinal] = rankEnd
      columns.lineItemPriorityEnd[ordinal] = priorityEnd
    }
  }
}

function instantMs(text: string | undefined, absent: number): number {
  return text === undefined ? absent : Date.parse(text)
}

function permute<K extends ElementKind>(
  target: Column<K>,
  source: Uint32Array | Float64Array,
  order: Uint32Array,
): void {
  for (let ordinal = 0; ordinal < order.length; ordinal++) target[ordinal] = source[order[ordinal]!]!
}

/** Lists one after another: those of n are items[start[n] .. start[n + 1]], or up to the end for the last n. */
interface Lists {
  readonly start: Uint32Array
  readonly items: Uint32Array
}

/** Writes the source's lists in the given order, with one start more than there are lists. */
function permuteLists(target: Lists, source: Lists, order: Uint32Array): void {
  let at = 0
  for (let ordinal = 0; ordinal < order.length; ordinal++) {
    target.start[ordinal] = at
    const from = order[ordinal]!
    const end = from + 1 < source.start.length ? source.start[from + 1]! : source.items.length
    for (let i = source.start[from]!; i < end; i++) target.items[at++] = source.items[i]!
  }
  target.start[order.length] = at
}
