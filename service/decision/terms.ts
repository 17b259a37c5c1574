/**
 * What an opportunity asks of the index: a term per dimension that restricts, each a bit row with what the request's
 * values add to it and take from it. matcher.ts applies them.
 */
import { findAddressRange, readAddress } from '../state/addresses.ts'
import { type Catalog, ENTRY, ENTRY_WORDS, INDEX_DIMENSIONS, SPACE } from '../state/catalog.ts'
import { eachCircleAround, placeOf } from '../state/circles.ts'
import {
  type Dimension,
  type DimensionName,
  dimensionOf,
  IMPRESSION_DIMENSIONS,
  REQUEST_DIMENSIONS,
} from '../state/dimensions.ts'
import { findText } from '../state/text-table.ts'
import { versionNumber } from '../state/version-ranges.ts'
import type { Conditions } from './conditions.ts'
import type { Facts, FactValue, Opportunity } from './opportunity.ts'

const TERMS_MAX = INDEX_DIMENSIONS.length
/** Room for parts at first: 2 per value of a many-valued dimension. It grows with requests that need more. */
const PARTS_FIRST = 1_024
/** Above all ordinals. */
export const ORDINAL_NONE = 0x7fff_ffff
/** Kind of a part that a value adds to its dimension's base row. */
export const ADD = 0
/** Kind of a part that a value takes from it, after all that add. */
export const REMOVE = 1

/** A dimension that line items restrict, and where the request's value is. */
interface Place {
  readonly position: number
  readonly space: number
  /** Row of the line items that include nothing in it; −1 when only programs ask for its values. */
  readonly base: number
  readonly match: Dimension['match']
}

/** The terms of one opportunity. Scratch of one bid thread for one catalog; holds no reference to a request. */
export class Terms {
  readonly #catalog: Catalog
  /** Is told of every value of the request that is found; undefined when no line item asks. */
  readonly #conditions: Conditions | undefined
  readonly #requestPlaces: readonly Place[]
  readonly #impressionPlaces: readonly Place[]
  /** Terms: a base row (−1 = no line item) and a run of parts. */
  readonly base = new Int32Array(TERMS_MAX)
  readonly partStart = new Int32Array(TERMS_MAX)
  readonly partEnd = new Int32Array(TERMS_MAX)
  /** Line items that the term leaves, about; the smallest goes first. */
  readonly #weight = new Float64Array(TERMS_MAX)
  /** Terms by weight. */
  readonly order = new Int32Array(TERMS_MAX)
  count = 0
  #preparedCount = 0
  /** Parts: a row (cursor −1), or a posting list with the position reached in it. */
  partKind = new Uint8Array(PARTS_FIRST)
  partRow = new Int32Array(PARTS_FIRST)
  partCursor = new Int32Array(PARTS_FIRST)
  partFirst = new Int32Array(PARTS_FIRST)
  partLast = new Int32Array(PARTS_FIRST)
  /** The first ordinal of each list. */
  partFirstOrdinal = new Int32Array(PARTS_FIRST)
  /** The ordinal at the position reached; ORDINAL_NONE after the last. */
  partNext = new Int32Array(PARTS_FIRST)
  parts = 0
  readonly #address = new Uint32Array(4)
  #preparedParts = 0

  constructor(catalog: Catalog, conditions: Conditions | undefined) {
    this.#catalog = catalog
    this.#conditions = conditions
    this.#requestPlaces = placesOf(catalog, REQUEST_DIMENSIONS)
    this.#impressionPlaces = placesOf(catalog, IMPRESSION_DIMENSIONS)
  }

  /** Looks up what all impressions of a request have in common. Cost: O(values of the request). */
  prepare(facts: Facts): void {
    this.count = 0
    this.parts = 0
    this.#lookUp(this.#requestPlaces, facts.values)
    this.#preparedCount = this.count
    this.#preparedParts = this.parts
  }

  /** Starts over for one impression of the prepared request. Cost: O(its values, slots and deals). */
  begin(opportunity: Opportunity): void {
    this.count = this.#preparedCount
    this.parts = this.#preparedParts
    this.#lookUp(this.#impressionPlaces, opportunity.values)
    this.#addSlots(opportunity)
    this.#addDeals(opportunity)
    this.#sort()
  }

  #lookUp(places: readonly Place[], values: readonly FactValue[]): void {
    for (let i = 0; i < places.length; i++) {
      const place = places[i]!
      const value = values[place.position]!
      if (typeof value === 'string') this.#single(place, value)
      else this.#many(place, value)
    }
  }

  #addTerm(base: number, partStart: number, weight: number): void {
    const term = this.count++
    this.base[term] = base
    this.partStart[term] = partStart
    this.partEnd[term] = this.parts
    this.#weight[term] = weight
  }

  /** A dimension in which a request has at most one value: usually one row answers. */
  #single({ space, base }: Place, key: string): void {
    const { columns } = this.#catalog
    const value = key === '' ? -1 : findText(columns, space, key)
    if (value >= 0) this.#conditions?.hold(value)
    if (base < 0) return
    const row = value < 0 ? base : columns.entries[value * ENTRY_WORDS + ENTRY.row]!
    if (row >= 0) {
      this.#addTerm(row, this.parts, columns.rowCount[row]!)
      return
    }
    const partStart = this.parts
    this.#addLists(value)
    this.#addTerm(base, partStart, columns.rowCount[base]! + this.#partWeight(partStart))
  }

  /** A dimension in which a request can have several values: what includes any of them, less what excludes any. */
  #many({ space, base, match }: Place, keys: readonly string[]): void {
    const { columns } = this.#catalog
    const partStart = this.parts
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i]!
      if (match === undefined) {
        const value = findText(columns, space, key)
        if (value >= 0) this.#addFound(value)
      } else if (match === 'version') this.#addVersions(key)
      else if (match === 'address') this.#addAddresses(key)
      else this.#addCircles(key)
    }
    if (base >= 0) this.#addTerm(base, partStart, columns.rowCount[base]! + this.#partWeight(partStart))
  }

  /** Ranges around a version such as `ios 15.2`. Cost: O(ranges of the system). */
  #addVersions(text: string): void {
    const { header, columns } = this.#catalog
    const space = text.lastIndexOf(' ')
    const ranges = header.versionSystems.get(text.slice(0, space))
    if (ranges === undefined) return
    const version = versionNumber(text.slice(space + 1))
    for (let i = ranges.start; i < ranges.end && columns.versionFrom[i]! <= version; i++)
      if (version <= columns.versionTo[i]!) this.#addFound(columns.versionValue[i]!)
  }

  #addAddresses(text: string): void {
    const { columns } = this.#catalog
    if (!readAddress(text, this.#address)) return
    for (let range = findAddressRange(columns, this.#address); range >= 0; range = columns.addressParent[range]!)
      this.#addFound(columns.addressValue[range]!)
  }

  #addCircles(text: string): void {
    const place = placeOf(text)
    if (place !== undefined) eachCircleAround(this.#catalog.columns, place, this.#addFound)
  }

  /** A value that the request has, and the lists that it is in. A field, so that it can be called back. */
  readonly #addFound = (value: number): void => {
    this.#addValue(value)
    const { memberStart, memberLists } = this.#catalog.columns
    if (memberLists.length === 0) return
    for (let i = memberStart[value]!; i < memberStart[value + 1]!; i++) this.#addValue(memberLists[i]!)
  }

  #addSlots(opportunity: Opportunity): void {
    const { slotValues } = this.#catalog.header
    const partStart = this.parts
    const { slots } = opportunity
    for (let i = 0; i < slots.length; i++) {
      const value = slotValues.get(slots[i]!)
      if (value !== undefined) this.#addValue(value)
    }
    if (this.parts === partStart + 1 && this.partRow[partStart]! >= 0) {
      // One slot that many line items have: its row is the answer.
      this.parts = partStart
      const row = this.partRow[partStart]!
      this.#addTerm(row, partStart, this.#catalog.columns.rowCount[row]!)
    } else this.#addTerm(-1, partStart, this.#partWeight(partStart))
  }

  /** Line items without deals serve in the open auction, those with deals only in a deal that is offered. */
  #addDeals(opportunity: Opportunity): void {
    const { header, columns } = this.#catalog
    const base = header.baseRows.deal
    const { deals, privateAuction } = opportunity
    if (base < 0 && !privateAuction) return
    const partStart = this.parts
    for (let i = 0; i < deals.length; i++) {
      const value = findText(columns, SPACE.deal, deals[i]!.id)
      if (value >= 0) this.#addValue(value)
    }
    const open = privateAuction ? -1 : base
    this.#addTerm(open, partStart, (open < 0 ? 0 : columns.rowCount[open]!) + this.#partWeight(partStart))
  }

  #addValue(value: number): void {
    const { entries, rowCount } = this.#catalog.columns
    this.#conditions?.hold(value)
    const at = value * ENTRY_WORDS
    const include = entries[at + ENTRY.includeRow]!
    const exclude = entries[at + ENTRY.excludeRow]!
    const middle = entries[at + ENTRY.excludes]!
    if (include >= 0) this.#addRow(ADD, include, rowCount[include]!)
    else this.#addList(ADD, entries[at + ENTRY.includes]!, middle, entries[at + ENTRY.firstIncluded]!)
    if (exclude >= 0) this.#addRow(REMOVE, exclude, 1)
    else this.#addList(REMOVE, middle, entries[at + ENTRY.end]!, entries[at + ENTRY.firstExcluded]!)
  }

  #addLists(value: number): void {
    const { entries } = this.#catalog.columns
    const at = value * ENTRY_WORDS
    const middle = entries[at + ENTRY.excludes]!
    this.#addList(ADD, entries[at + ENTRY.includes]!, middle, entries[at + ENTRY.firstIncluded]!)
    this.#addList(REMOVE, middle, entries[at + ENTRY.end]!, entries[at + ENTRY.firstExcluded]!)
  }

  /** @param lineItems that it adds, for the term's weight */
  #addRow(kind: number, row: number, lineItems: number): void {
    const part = this.#newPart(kind)
    this.partRow[part] = row
    this.partFirst[part] = 0
    this.partLast[part] = lineItems
  }

  #addList(kind: number, first: number, last: number, firstOrdinal: number): void {
    if (first === last) return
    const part = this.#newPart(kind)
    this.partRow[part] = -1
    this.partFirst[part] = first
    this.partLast[part] = last
    this.partFirstOrdinal[part] = firstOrdinal
  }

  #newPart(kind: number): number {
    const part = this.parts++
    if (part === this.partKind.length) this.#growParts()
    this.partKind[part] = kind
    return part
  }

  /** Line items that the parts from here on add, at most. */
  #partWeight(partStart: number): number {
    let weight = 0
    for (let part = partStart; part < this.parts; part++)
      if (this.partKind[part] === ADD) weight += this.partLast[part]! - this.partFirst[part]!
    return weight
  }

  /** Insertion sort of the order by weight: a dozen terms. The terms stay where `prepare` left them. */
  #sort(): void {
    const order = this.order
    for (let i = 0; i < this.count; i++) {
      let j = i
      for (; j > 0 && this.#weight[order[j - 1]!]! > this.#weight[i]!; j--) order[j] = order[j - 1]!
      order[j] = i
    }
  }

  #growParts(): void {
    this.partKind = grown(this.partKind, new Uint8Array(this.parts * 2))
    this.partRow = grown(this.partRow, new Int32Array(this.parts * 2))
    this.partCursor = grown(this.partCursor, new Int32Array(this.parts * 2))
    this.partFirst = grown(this.partFirst, new Int32Array(this.parts * 2))
    this.partLast = grown(this.partLast, new Int32Array(this.parts * 2))
    this.partFirstOrdinal = grown(this.partFirstOrdinal, new Int32Array(this.parts * 2))
    this.partNext = grown(this.partNext, new Int32Array(this.parts * 2))
  }
}

function placesOf({ header }: Catalog, names: readonly DimensionName[]): readonly Place[] {
  return names.flatMap((name, position) => {
    const place = { position, space: SPACE[name], base: header.baseRows[name], match: dimensionOf(name).match }
    return header.targeted.includes(name) ? [place] : []
  })
}

function grown<T extends Int32Array | Uint8Array>(from: T, to: T): T {
  to.set(from)
  return to
}
