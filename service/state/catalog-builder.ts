/** Builds a catalog in a slab from parts, which any number of collectors have made. */
import { assert } from '../foundation/assert.ts'
import { sortedAddressRanges, writeAddressRanges } from './addresses.ts'
import { ArenaWriter, type Column, type Layout, viewColumns } from './arena.ts'
import { CATALOG_COLUMNS, type Catalog, type CatalogColumns, SPACE } from './catalog.ts'
import { type CatalogPart, type CreativeTable, PartCollector, type RenderCreative } from './catalog-part.ts'
import { circleSizes, planCircles, writeCircles } from './circles.ts'
import { CreativeColumns, writeStarts } from './creative-columns.ts'
import { DIMENSION_NAMES } from './dimensions.ts'
import { type Growing, growingU32 } from './growing.ts'
import { buildIndex, indexSizes, planRows } from './index-builder.ts'
import { LineItemColumns } from './line-item-columns.ts'
import { ListMembers } from './list-members.ts'
import { linkSizes, type OverlayLinks, writeLinks } from './overlay-links.ts'
import { isRoadblock } from './roadblocks.ts'
import { programSizes, writePrograms } from './targeting-columns.ts'
import { TextTableBuilder } from './text-table.ts'
import type { GoodDocument } from './validate.ts'
import { sortedVersionRanges, writeVersionRanges } from './version-ranges.ts'

/** How a catalog is told apart. */
export interface CatalogIdentity {
  readonly version: string
  readonly announcement: number
  /** Of an overlay: the number of the last delta in it. */
  readonly deltas?: number
}

const HOUR_MS = 3_600_000
const NO_END_MS = Number.MAX_SAFE_INTEGER
/** The number of the builder's own collector; others count from 1. */
const OWN = 0
/** So that a build holds what it collects once, not twice. */
const OWN_DOCUMENTS_MAX = 1_000

/**
 * One build: add every document, or append the part that another collector made of it, in the order of DOCUMENT_KINDS;
 * then finish once. Numbers of texts come out in the order of first mention, however the work was divided.
 */
export class CatalogBuilder {
  readonly #own: PartCollector
  /** Documents that it has collected and not handed over. */
  #ownDocuments = 0
  #ownKnowsCreatives = false
  readonly #texts = new TextTableBuilder()
  /** Per collector: the number here of each of its texts. */
  readonly #numbersOf: Growing<Uint32Array>[] = []
  readonly #creativeIds: string[] = []
  readonly #creatives = new CreativeColumns()
  #blockValues: number | undefined
  readonly #members = new ListMembers()
  readonly #lineItems = new LineItemColumns()

  constructor(render: RenderCreative) {
    this.#own = new PartCollector(OWN, render)
  }

  /** Takes one good document. Documents that a record refers to must have come before it. */
  add(good: GoodDocument): void {
    if (good.kind === 'lineItems' && !this.#ownKnowsCreatives) {
      this.#own.learnCreatives(this.creativeTable())
      this.#ownKnowsCreatives = true
    }
    // What the records before these say can block; it must be counted before their texts come.
    if (good.kind === 'listParts' && this.#blockValues === undefined) this.#appendOwn()
    this.#own.add(good)
    if (++this.#ownDocuments === OWN_DOCUMENTS_MAX) this.#appendOwn()
  }

  /** Takes what another collector made of its documents. Cost: O(bytes of the part). */
  append(part: CatalogPart): void {
    this.#appendOwn()
    this.#append(part)
  }

  /** Takes only the texts of a part whose documents are added in another way: later parts count on them. */
  appendTexts({ collector, texts }: CatalogPart): Growing<Uint32Array> {
    let numbers = this.#numbersOf[collector]
    if (numbers === undefined) {
      numbers = growingU32()
      this.#numbersOf[collector] = numbers
    }
    numbers.append(this.#texts.addTexts(texts))
    return numbers
  }

  /** The creatives so far; for other collectors, before they take line items. Cost: O(creatives). */
  creativeTable(): CreativeTable {
    this.#appendOwn()
    return { ids: this.#creativeIds, slots: this.#creatives.numbers.slot.view() }
  }

  #appendOwn(): void {
    if (this.#ownDocuments === 0) return
    this.#ownDocuments = 0
    this.#append(this.#own.take())
  }

  #append(part: CatalogPart): void {
    if (part.lineItems.idStart.length + part.members.lists.length > 0) this.#blockValues ??= this.#texts.count
    const numbers = this.appendTexts(part)
    for (const id of part.creativeIds) this.#creativeIds.push(id)
    this.#creatives.append(part.creatives, numbers)
    this.#members.append(part.members, numbers)
    this.#lineItems.append(part.lineItems, numbers)
  }

  /**
   * Compiles what was added into the slab, whose earlier content is lost. Cost: O(documents), the sort apart.
   * @param links where this is an overlay: what it says about the catalog below it
   * @throws ArenaFull when the slab is too small; AssertionFailure when settings are missing
   */
  finish(slab: SharedArrayBuffer, identity: CatalogIdentity, links?: OverlayLinks): Catalog {
    this.#appendOwn()
    const { settings, exchanges } = this.#own
    assert(settings !== undefined, 'a catalog has settings')
    const writer = new ArenaWriter(slab)
    const order = this.#lineItems.winningOrder()
    const { references } = this.#lineItems.targeting
    const programs = this.#lineItems.targeting.planPrograms(this.#texts)
    const plan = planRows(references, this.#texts, order.length)
    const around = planAround(this.#texts)
    const ids = { advertisers: this.#own.advertiserIds, creatives: this.#creativeIds, texts: this.#texts }
    const sizes: Record<keyof typeof CATALOG_COLUMNS, number> = {
      ...{ ...this.#sizes(), ...indexSizes(plan), ...programSizes(programs) },
      ...this.#aroundSizes(around),
      ...linkSizes(links, ids),
    }
    const layout = Object.fromEntries(
      Object.entries(CATALOG_COLUMNS).map(([name, kind]) => [
        name,
        writer.column(kind, sizes[name as keyof typeof sizes]).span,
      ]),
    ) as Layout<typeof CATALOG_COLUMNS>
    const columns = viewColumns(slab, layout)
    this.#texts.write(columns)
    this.#creatives.write(columns)
    this.#writeAdvertisers(columns)
    writeStarts(columns.campaignIdStart, this.#own.campaignIdStart.view(), this.#own.campaignIds.length)
    columns.campaignIds.set(this.#own.campaignIds.view())
    this.#writeCampaignBudgets(columns)
    writeIds(columns.advertiserIdStart, columns.advertiserIds, this.#own.advertiserIds)
    writeIds(columns.creativeIdStart, columns.creativeIds, this.#creativeIds)
    if (links !== undefined) writeLinks(columns, links, ids)
    this.#lineItems.write(columns, order)
    writeCircles(columns, around.circles)
    writeAddressRanges(columns, around.addresses)
    const index = buildIndex(columns, plan, references, order)
    writePrograms(columns, programs, order)
    this.#members.write(columns)
    const { asOf = '', maxAgeHours = Number.POSITIVE_INFINITY } = this.#own.rates ?? {}
    const rates = new Map(Object.entries(this.#own.rates?.rates ?? {}))
    rates.set(settings.currency, 1)
    return {
      columns,
      header: {
        ...identity,
        settings,
        exchanges,
        rates,
        ratesEndMs: maxAgeHours === Number.POSITIVE_INFINITY ? NO_END_MS : Date.parse(asOf) + maxAgeHours * HOUR_MS,
        lineItems: order.length,
        choosesCreatives: this.#lineItems.choosesCreatives(),
        needsFrameworks: this.#creatives.needsFrameworks(),
        roadblocks: this.#texts.textsOf(SPACE.deal).flatMap(([deal]) => (isRoadblock(deal) ? [deal] : [])),
        words: plan.words,
        pacingPlans: new Map(this.#texts.textsOf(SPACE.pacing).map(([text, number]) => [number, text])),
        ...index,
        targeted: DIMENSION_NAMES.filter(name => index.baseRows[name] >= 0 || programs.askedDimensions.includes(name)),
        versionSystems: writeVersionRanges(columns, around.versions),
        blockValues: this.#blockValues ?? this.#texts.count,
        bytes: writer.bytesUsed,
        layout,
      },
    }
  }

  #aroundSizes({ versions, circles, addresses }: ReturnType<typeof planAround>) {
    return {
      ...{ versionFrom: versions.length, versionTo: versions.length, versionValue: versions.length },
      ...circleSizes(circles),
      ...{ addressWords: addresses.length * 4, addressBits: addresses.length },
      ...{ addressParent: addresses.length, addressValue: addresses.length },
      memberLists: this.#members.length,
    }
  }

  #sizes() {
    const campaigns = this.#own.campaignIdStart.length
    return {
      ...this.#lineItems.sizes(),
      ...this.#creatives.sizes(),
      advertiserDomainStart: this.#own.advertiserDomainStart.length + 1,
      advertiserDomains: this.#own.advertiserDomains.length,
      campaignIdStart: this.#own.campaignIdStart.length + 1,
      campaignIds: this.#own.campaignIds.length,
      campaignTotalNanos: campaigns,
      campaignDailyNanos: campaigns,
      campaignPacing: campaigns,
      campaignFlightStartMs: campaigns,
      campaignFlightEndMs: campaigns,
      advertiserIdStart: this.#own.advertiserIds.length + 1,
      advertiserIds: charsOf(this.#own.advertiserIds),
      creativeIdStart: this.#creativeIds.length + 1,
      creativeIds: charsOf(this.#creativeIds),
      textSlots: this.#texts.slotWords(),
      textChars: this.#texts.charCount,
    }
  }

  #writeCampaignBudgets(columns: CatalogColumns): void {
    const { totalNanos, dailyNanos, flightStartMs, flightEndMs, pacing } = this.#own.campaignBudgets
    columns.campaignTotalNanos.set(totalNanos.view())
    columns.campaignDailyNanos.set(dailyNanos.view())
    columns.campaignFlightStartMs.set(flightStartMs.view())
    columns.campaignFlightEndMs.set(flightEndMs.view())
    const numbers = this.#numbersOf[OWN]
    for (let i = 0; i < pacing.length; i++) columns.campaignPacing[i] = numbers!.at(pacing.at(i))
  }

  #writeAdvertisers(columns: CatalogColumns): void {
    const { advertiserDomainStart: starts, advertiserDomains: domains } = this.#own
    writeStarts(columns.advertiserDomainStart, starts.view(), domains.length)
    const numbers = this.#numbersOf[OWN]
    for (let i = 0; i < domains.length; i++) columns.advertiserDomains[i] = numbers!.at(domains.at(i))
  }
}

function charsOf(texts: readonly string[]): number {
  let chars = 0
  for (let i = 0; i < texts.length; i++) chars += texts[i]!.length
  return chars
}

/** Writes ASCII texts as CSR. Cost: O(characters). */
function writeIds(starts: Column<'u32'>, bytes: Column<'u8'>, texts: readonly string[]): void {
  let at = 0
  for (let i = 0; i < texts.length; i++) {
    starts[i] = at
    const text = texts[i]!
    for (let k = 0; k < text.length; k++) bytes[at++] = text.charCodeAt(k)
  }
  starts[texts.length] = at
}

/** Values around a request's: ranges of versions, circles and ranges of addresses. Cost: O(texts). */
function planAround(texts: TextTableBuilder) {
  return {
    versions: sortedVersionRanges(texts.textsOf(SPACE.osVersion)),
    circles: planCircles(texts.textsOf(SPACE.near)),
    addresses: sortedAddressRanges(texts.textsOf(SPACE.ip)),
  }
}
