/** Collects validated documents on one thread and hands them over in parts, from which one thread builds a catalog. */
import { assert } from '../foundation/assert.ts'
import { limitNanos, pacingText } from './budget-fields.ts'
import { capWords } from './cap-fields.ts'
import { SPACE } from './catalog.ts'
import type { Dictionary } from './conditions.ts'
import { CreativeColumns, type CreativesPart } from './creative-columns.ts'
import { type Creative, renditionsOf } from './creative-document.ts'
import { domainWithParents, type ListedDimension } from './dimensions.ts'
import type { Advertiser, Campaign, LineItem, Rates, Settings } from './documents.ts'
import { type Exchange, takesCreative } from './exchange-document.ts'
import { GrowingText, growingF64, growingU32 } from './growing.ts'
import {
  type ActiveCampaign,
  type ActiveCreative,
  instantMs,
  LineItemColumns,
  type LineItemsPart,
  OPEN_END_MS,
  OPEN_START_MS,
} from './line-item-columns.ts'
import { ListMembers, type ListMembersPart } from './list-members.ts'
import { type NewTexts, TextTableBuilder } from './text-table.ts'
import type { GoodDocument } from './validate.ts'

/** What a creative's bids say whatever the request: ASCII JSON members without braces, like `"crid":"c1","w":300`. */
export type RenderCreative = (creative: Creative, advertiser: Advertiser) => string

/** What a collector got since it last handed over. Plain data: its arrays can be transferred to another thread. */
export interface CatalogPart {
  /** Which collector; parts of one must be appended in the order in which it handed them over. */
  readonly collector: number
  /** Texts that this collector had not mentioned before. Its numbers of texts count them all. */
  readonly texts: NewTexts
  /** Ids of active creatives, in the order of the columns. */
  readonly creativeIds: readonly string[]
  readonly creatives: CreativesPart
  readonly members: ListMembersPart
  readonly lineItems: LineItemsPart
}

/** All active creatives of a version: the ordinal is the position. */
export interface CreativeTable {
  readonly ids: readonly string[]
  readonly slots: Uint32Array
}

/**
 * Collects documents in the order of DOCUMENT_KINDS. Those that others refer to are few: every collector of a load gets
 * them all, and keeps them. The kinds of DIVIDED_KINDS can be divided between collectors.
 */
export class PartCollector {
  readonly #collector: number
  readonly #render: RenderCreative
  readonly #texts = new TextTableBuilder()
  #textsTaken = 0
  readonly exchanges: Exchange[] = []
  settings: Settings | undefined
  rates: Rates | undefined
  readonly #advertisers = new Map<string, { readonly document: Advertiser; readonly index: number }>()
  /** CSR of each advertiser's domain and those above it, as numbers of texts of this collector. */
  readonly advertiserDomainStart = growingU32()
  readonly advertiserDomains = growingU32()
  /** Ids of advertisers, in the order of the columns. */
  readonly advertiserIds: string[] = []
  readonly #campaigns = new Map<string, ActiveCampaign>()
  /** Ids of active campaigns, one after another, and where each begins. */
  readonly campaignIds = new GrowingText()
  readonly campaignIdStart = growingU32()
  readonly campaignBudgets = {
    totalNanos: growingF64(),
    dailyNanos: growingF64(),
    flightStartMs: growingF64(),
    flightEndMs: growingF64(),
    pacing: growingU32(),
  }
  #creativeIds: string[] = []
  readonly #creatives = new CreativeColumns()
  readonly #activeCreatives = new Map<string, ActiveCreative>()
  readonly #lists = new Map<string, ListedDimension>()
  readonly #members = new ListMembers()
  readonly #lineItems = new LineItemColumns()
  readonly #dictionary: Dictionary = { texts: this.#texts, dimensionOfList: id => this.#dimensionOfList(id) }

  constructor(collector: number, render: RenderCreative) {
    this.#collector = collector
    this.#render = render
  }

  /** Takes one good document. Documents that it refers to must have come before it, creatives by learnCreatives. */
  add(good: GoodDocument): void {
    switch (good.kind) {
      case 'settings':
        this.settings = good.document
        return
      case 'rates':
        this.rates = good.document
        return
      case 'exchanges':
        this.exchanges.push(good.document)
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
      case 'lists':
        this.#lists.set(good.document.id, good.document.dimension)
        return
      case 'listParts':
        this.#members.add(good.document, this.#dimensionOfList(good.document.listId), this.#texts)
        return
      case 'lineItems':
        this.#addLineItem(good.document)
    }
  }

  #addAdvertiser(document: Advertiser): void {
    this.#advertisers.set(document.id, { document, index: this.advertiserDomainStart.length })
    this.advertiserIds.push(document.id)
    this.advertiserDomainStart.push(this.advertiserDomains.length)
    // A publisher may block a whole top-level domain.
    const topLevel = document.domain.slice(document.domain.lastIndexOf('.') + 1)
    for (const domain of [...domainWithParents(document.domain), topLevel])
      this.advertiserDomains.push(this.#texts.add(SPACE.blockedDomain, domain))
  }

  #addCampaign(document: Campaign): void {
    if (document.status !== 'active') return
    const advertiser = this.#advertisers.get(document.advertiserId)
    assert(advertiser !== undefined, 'a campaign comes after its advertiser', { id: document.id })
    const ordinal = this.campaignIdStart.length
    const caps = [
      ...capWords('advertiser', document.advertiserId, advertiser.document.frequencyCaps),
      ...capWords('campaign', document.id, document.frequencyCaps),
    ]
    this.campaignIdStart.push(this.campaignIds.length)
    this.campaignIds.push(document.id)
    const { budget, flight } = document
    this.campaignBudgets.totalNanos.push(limitNanos(budget?.total))
    this.campaignBudgets.dailyNanos.push(limitNanos(budget?.daily))
    const flightStartMs = instantMs(flight?.start, OPEN_START_MS)
    const flightEndMs = instantMs(flight?.end, OPEN_END_MS)
    this.campaignBudgets.flightStartMs.push(flightStartMs)
    this.campaignBudgets.flightEndMs.push(flightEndMs)
    const parts = { document, ordinal, advertiser: advertiser.index, caps }
    this.#campaigns.set(document.id, { ...parts, flightStartMs, flightEndMs })
    this.campaignBudgets.pacing.push(this.#texts.add(SPACE.pacing, pacingText(document.pacing)))
  }

  #addCreative(document: Creative): void {
    if (document.status !== 'active') return
    const advertiser = this.#advertisers.get(document.advertiserId)?.document
    assert(advertiser !== undefined, 'a creative comes after its advertiser', { id: document.id })
    const barred = this.#barredFrom(document)
    for (const rendition of renditionsOf(document)) {
      this.#creativeIds.push(document.id)
      this.#creatives.add(rendition, advertiser, { fragment: this.#render(rendition, advertiser), barred }, this.#texts)
    }
  }

  /** Positions of the exchanges that do not take a creative. */
  #barredFrom(document: Creative): readonly number[] {
    const barred: number[] = []
    for (let position = 0; position < this.exchanges.length; position++)
      if (!takesCreative(this.exchanges[position]!, document)) barred.push(position)
    return barred
  }

  #addLineItem(document: LineItem): void {
    const campaign = this.#campaigns.get(document.campaignId)
    const creatives = document.creativeIds.map(id => this.#activeCreatives.get(id)).filter(each => each !== undefined)
    if (document.status !== 'active' || campaign === undefined || creatives.length === 0) return
    this.#lineItems.add(document, campaign, creatives, this.#dictionary)
  }

  #dimensionOfList(id: string): ListedDimension {
    const dimension = this.#lists.get(id)
    assert(dimension !== undefined, 'a list comes before what refers to it', { id })
    return dimension
  }

  /** Tells which creatives all collectors found together; once, before the first line item. Cost: O(creatives). */
  learnCreatives({ ids, slots }: CreativeTable): void {
    for (let ordinal = 0; ordinal < ids.length; ordinal++) {
      // Renditions of one creative lie side by side.
      const first = ordinal
      while (ids[ordinal + 1] === ids[first]) ordinal++
      const id = ids[first]!
      const renditions = ordinal - first + 1
      this.#activeCreatives.set(id, { id, ordinal: first, renditions, slot: slots[first]! })
    }
  }

  /** Hands over the creatives, line items and texts since the last time. Cost: O(their bytes). */
  take(): CatalogPart {
    const texts = this.#texts.newTexts(this.#textsTaken)
    this.#textsTaken = this.#texts.count
    const creativeIds = this.#creativeIds
    this.#creativeIds = []
    const [creatives, members, lineItems] = [this.#creatives.take(), this.#members.take(), this.#lineItems.take()]
    return { collector: this.#collector, texts, creativeIds, creatives, members, lineItems }
  }
}
