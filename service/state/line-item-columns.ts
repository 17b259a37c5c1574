/** Collects line items, one at a time, and writes them into a catalog's columns, best first. */
import { nanosFromCpm } from '../foundation/units.ts'
import type { Column, ElementKind } from './arena.ts'
import { budgetKind, limitNanos, pacingText } from './budget-fields.ts'
import { capWords } from './cap-fields.ts'
import { type CatalogColumns, SPACE } from './catalog.ts'
import type { Dictionary } from './conditions.ts'
import { type Campaign, CREATIVE_CHOICES, type LineItem } from './documents.ts'
import { type Growing, GrowingText, growingF64, growingU32, mapColumns } from './growing.ts'
import { dealsOf } from './roadblocks.ts'
import { TargetingColumns, type TargetingPart } from './targeting-columns.ts'

/** Start of a flight that names none. */
export const OPEN_START_MS = 0
/** End of a flight that names none. */
export const OPEN_END_MS = Number.MAX_SAFE_INTEGER

/** An active campaign, its ordinal, and that of its advertiser. */
export interface ActiveCampaign {
  readonly document: Campaign
  readonly ordinal: number
  readonly advertiser: number
  readonly flightStartMs: number
  readonly flightEndMs: number
  /** See capWords: its advertiser's and its own. */
  readonly caps: readonly number[]
}

/** An active creative, as line items refer to it. */
export interface ActiveCreative {
  readonly id: string
  /** Of its first rendition; the others follow. See renditionsOf. */
  readonly ordinal: number
  readonly renditions: number
  /** See bannerSlot and VIDEO_SLOT. */
  readonly slot: number
}

type U32Name = 'priority' | 'passRatePpm' | 'advertiser' | 'campaign' | 'creativeChoice' | 'budgetKind'
type F64Name = 'priceNanos' | 'flightStartMs' | 'flightEndMs' | 'totalNanos' | 'dailyNanos'

/**
 * Line items as one collector has them: columns in the order in which they were added, texts by its own numbers.
 * Lists lie one after another, the first of a line item at its start.
 */
export interface LineItemsPart {
  readonly u32: Readonly<Record<U32Name, Uint32Array>>
  readonly f64: Readonly<Record<F64Name, Float64Array>>
  /** Texts of the plans, see pacingText. */
  readonly pacing: Uint32Array
  readonly idStart: Uint32Array
  readonly ids: Uint8Array
  readonly creativeStart: Uint32Array
  readonly creatives: Uint32Array
  readonly creativeWeights: Uint32Array
  readonly dealStart: Uint32Array
  readonly deals: Uint32Array
  readonly capStart: Uint32Array
  readonly caps: Uint32Array
  readonly targeting: TargetingPart
}

/** Line items of one build. Texts are numbers, of whoever adds. */
export class LineItemColumns {
  readonly #u32: Readonly<Record<U32Name, Growing<Uint32Array>>> = {
    priority: growingU32(),
    passRatePpm: growingU32(),
    advertiser: growingU32(),
    campaign: growingU32(),
    creativeChoice: growingU32(),
    budgetKind: growingU32(),
  }
  readonly #f64: Readonly<Record<F64Name, Growing<Float64Array>>> = {
    priceNanos: growingF64(),
    flightStartMs: growingF64(),
    flightEndMs: growingF64(),
    totalNanos: growingF64(),
    dailyNanos: growingF64(),
  }
  readonly #pacing = growingU32()
  readonly #idStart = growingU32()
  readonly #ids = new GrowingText()
  readonly #creativeStart = growingU32()
  readonly #creatives = growingU32()
  readonly #creativeWeights = growingU32()
  readonly #dealStart = growingU32()
  readonly #deals = growingU32()
  readonly #capStart = growingU32()
  readonly #caps = growingU32()
  readonly targeting = new TargetingColumns()

  /** Takes one active line item with its active creatives, at least one. Cost: O(what it targets). */
  add(
    document: LineItem,
    campaign: ActiveCampaign,
    creatives: readonly ActiveCreative[],
    dictionary: Dictionary,
  ): void {
    const { texts } = dictionary
    const { flight } = document
    this.#u32.priority.push(document.priority)
    this.#f64.priceNanos.push(nanosFromCpm(document.price.cpm, 'down'))
    this.#f64.flightStartMs.push(Math.max(campaign.flightStartMs, instantMs(flight?.start, OPEN_START_MS)))
    this.#f64.flightEndMs.push(Math.min(campaign.flightEndMs, instantMs(flight?.end, OPEN_END_MS)))
    this.#f64.totalNanos.push(limitNanos(document.budget?.total))
    this.#f64.dailyNanos.push(limitNanos(document.budget?.daily))
    this.#u32.budgetKind.push(budgetKind(campaign.document.budget, document.budget))
    this.#pacing.push(texts.add(SPACE.pacing, pacingText(document.pacing)))
    this.#u32.passRatePpm.push(Math.round((document.passThroughRate ?? 1) * 1_000_000))
    this.#u32.advertiser.push(campaign.advertiser)
    this.#u32.campaign.push(campaign.ordinal)
    this.#idStart.push(this.#ids.length)
    this.#ids.push(document.id)
    this.#creativeStart.push(this.#creatives.length)
    this.#u32.creativeChoice.push(CREATIVE_CHOICES.indexOf(document.creativeChoice ?? 'first'))
    for (const { id, ordinal, renditions } of creatives)
      for (let i = 0; i < renditions; i++) {
        this.#creatives.push(ordinal + i)
        this.#creativeWeights.push(document.creativeWeights?.[id] ?? 1)
      }
    this.#dealStart.push(this.#deals.length)
    const deals = dealsOf(document)
    for (const deal of deals ?? []) this.#deals.push(texts.add(SPACE.deal, deal))
    this.#capStart.push(this.#caps.length)
    for (const word of campaign.caps) this.#caps.push(word)
    for (const word of capWords('line-item', document.id, document.frequencyCaps)) this.#caps.push(word)
    this.targeting.add(document.targeting, { slots: creatives.map(each => each.slot), deals }, dictionary)
  }

  /** Whether any line item chooses between its creatives in another way than by order. Cost: O(line items). */
  choosesCreatives(): boolean {
    return this.#u32.creativeChoice.view().some(choice => choice !== 0)
  }

  /** Hands over all line items and has none any more. Cost: O(bytes). */
  take(): LineItemsPart {
    return {
      u32: mapColumns(this.#u32, column => column.take()),
      f64: mapColumns(this.#f64, column => column.take()),
      pacing: this.#pacing.take(),
      idStart: this.#idStart.take(),
      ids: this.#ids.take(),
      creativeStart: this.#creativeStart.take(),
      creatives: this.#creatives.take(),
      creativeWeights: this.#creativeWeights.take(),
      dealStart: this.#dealStart.take(),
      deals: this.#deals.take(),
      capStart: this.#capStart.take(),
      caps: this.#caps.take(),
      targeting: this.targeting.take(),
    }
  }

  /** Adds what another one handed over; `numberOf` are its texts' numbers here. Cost: O(bytes). */
  append(part: LineItemsPart, numberOf: Growing<Uint32Array>): void {
    mapColumns(this.#u32, (column, name) => column.append(part.u32[name]))
    mapColumns(this.#f64, (column, name) => column.append(part.f64[name]))
    this.#pacing.appendMapped(part.pacing, numberOf)
    this.#idStart.append(part.idStart, this.#ids.length)
    this.#ids.append(part.ids)
    this.#creativeStart.append(part.creativeStart, this.#creatives.length)
    this.#creatives.append(part.creatives)
    this.#creativeWeights.append(part.creativeWeights)
    this.#dealStart.append(part.dealStart, this.#deals.length)
    this.#deals.appendMapped(part.deals, numberOf)
    this.#capStart.append(part.capStart, this.#caps.length)
    this.#caps.append(part.caps)
    this.targeting.append(part.targeting, numberOf)
  }

  /** Positions of line items as they were added, best first: priority, then price, then as added. */
  winningOrder(): Uint32Array {
    const priority = this.#u32.priority.view()
    const price = this.#f64.priceNanos.view()
    return Uint32Array.from(priority.keys()).sort(
      (a, b) => priority[a]! - priority[b]! || price[b]! - price[a]! || a - b,
    )
  }

  /** Lengths of the line items' columns, in elements. */
  sizes() {
    const lineItems = this.#idStart.length
    return {
      lineItemPriority: lineItems,
      lineItemPriceNanos: lineItems,
      lineItemFlightStartMs: lineItems,
      lineItemFlightEndMs: lineItems,
      lineItemRankEnd: lineItems,
      lineItemPriorityEnd: lineItems,
      lineItemPassRatePpm: lineItems,
      lineItemTotalNanos: lineItems,
      lineItemDailyNanos: lineItems,
      lineItemBudgetKind: lineItems,
      lineItemPacing: lineItems,
      lineItemAdvertiser: lineItems,
      lineItemCampaign: lineItems,
      lineItemIdStart: lineItems + 1,
      lineItemIds: this.#ids.length,
      lineItemCreativeStart: lineItems + 1,
      lineItemCreatives: this.#creatives.length,
      lineItemCreativeWeights: this.#creatives.length,
      lineItemCreativeChoice: lineItems,
      lineItemDealStart: lineItems + 1,
      lineItemDeals: this.#deals.length,
      lineItemCapStart: lineItems + 1,
      lineItemCaps: this.#caps.length,
    }
  }

  /** Writes all line items into columns of those lengths. Cost: O(bytes of the columns). */
  write(columns: CatalogColumns, order: Uint32Array): void {
    permute(columns.lineItemPriority, this.#u32.priority.view(), order)
    permute(columns.lineItemPriceNanos, this.#f64.priceNanos.view(), order)
    permute(columns.lineItemFlightStartMs, this.#f64.flightStartMs.view(), order)
    permute(columns.lineItemFlightEndMs, this.#f64.flightEndMs.view(), order)
    permute(columns.lineItemPassRatePpm, this.#u32.passRatePpm.view(), order)
    permute(columns.lineItemTotalNanos, this.#f64.totalNanos.view(), order)
    permute(columns.lineItemDailyNanos, this.#f64.dailyNanos.view(), order)
    permute(columns.lineItemBudgetKind, this.#u32.budgetKind.view(), order)
    permute(columns.lineItemPacing, this.#pacing.view(), order)
    permute(columns.lineItemAdvertiser, this.#u32.advertiser.view(), order)
    permute(columns.lineItemCreativeChoice, this.#u32.creativeChoice.view(), order)
    permute(columns.lineItemCampaign, this.#u32.campaign.view(), order)
    permuteLists(
      { start: columns.lineItemIdStart, items: columns.lineItemIds },
      { start: this.#idStart.view(), items: this.#ids.view() },
      order,
    )
    permuteLists(
      { start: columns.lineItemCreativeStart, items: columns.lineItemCreatives },
      { start: this.#creativeStart.view(), items: this.#creatives.view() },
      order,
    )
    permuteLists(
      { start: columns.lineItemCreativeStart, items: columns.lineItemCreativeWeights },
      { start: this.#creativeStart.view(), items: this.#creativeWeights.view() },
      order,
    )
    permuteLists(
      { start: columns.lineItemDealStart, items: columns.lineItemDeals },
      { start: this.#dealStart.view(), items: this.#deals.view() },
      order,
    )
    permuteLists(
      { start: columns.lineItemCapStart, items: columns.lineItemCaps },
      { start: this.#capStart.view(), items: this.#caps.view() },
      order,
    )
    this.#writeEnds(columns, order)
  }

  /** Where the run of equal rank and where the priority ends, per ordinal, from the last to the first. */
  #writeEnds(columns: CatalogColumns, order: Uint32Array): void {
    const { priority } = this.#u32
    const { priceNanos } = this.#f64
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

/** Milliseconds since 1970 of an instant in documents. */
export function instantMs(text: string | undefined, absent: number): number {
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
interface Lists<T extends Uint32Array | Uint8Array> {
  readonly start: Uint32Array
  readonly items: T
}

/** Writes the source's lists in the given order, with one start more than there are lists. */
function permuteLists<T extends Uint32Array | Uint8Array>(
  target: Lists<T>,
  source: Lists<T>,
  order: Uint32Array,
): void {
  let at = 0
  for (let ordinal = 0; ordinal < order.length; ordinal++) {
    target.start[ordinal] = at
    const from = order[ordinal]!
    const end = from + 1 < source.start.length ? source.start[from + 1]! : source.items.length
    for (let i = source.start[from]!; i < end; i++) target.items[at++] = source.items[i]!
  }
  target.start[order.length] = at
}
