/**
 * What an opportunity asks of the index: a term per dimension that restricts, each a bit row with what the request's
 * values add to it and take from it. matcher.ts applies them to blocks; those of dimensions that most line items leave
 * open are looked up when the first line item asks.
 */
import { findAddressRange, readAddress } from '../state/addresses.ts'
import { type Catalog, ENTRY, ENTRY_WORDS, INDEX_DIMENSIONS, MASK_WORDS, SPACE } from '../state/catalog.ts'
import { eachCircleAround, placeOf } from '../state/circles.ts'
import {
  DIMENSION_NAMES,
  type Dimension,
  type DimensionName,
  dimensionOf,
  IMPRESSION_DIMENSIONS,
  REQUEST_DIMENSIONS,
} from '../state/dimensions.ts'
import { findText } from '../state/text-table.ts'
import { versionNumber } from '../state/version-ranges.ts'
import type { Facts, FactValue, Opportunity } from './opportunity.ts'
import { ADD, isInRow, Parts, REMOVE } from './parts.ts'

/**
 * A dimension that more of the line items leave open is asked of those only that are left of a block: most of a block
 * is not, and most requests end before anyone asks. (Every dimension: 16.7 → 9.5 µs; with 0.75 13, with 0.92 9.7.)
 */
const LATER_SHARE = 0.85
const TERMS_MAX = INDEX_DIMENSIONS.length
/** A dimension that line items restrict, and where the request's value is. */
interface Place {
  /** Position among INDEX_DIMENSIONS, which is also the space of its values and the number of its term. */
  readonly dimension: number
  readonly isOfImpression: boolean
  /** Among the values of the request or of the impression. */
  readonly position: number
  /** Row of the line items that include nothing in it; −1 when only programs ask for its values. */
  readonly base: number
  readonly match: Dimension['match']
  /** Blocks are asked, and not only the line items that are left: many have rules in it. */
  readonly isOfBlocks: boolean
}

/** The terms of one opportunity. Scratch of one bid thread for one catalog; keeps the last request's values. */
export class Terms {
  readonly #catalog: Catalog
  /** By dimension. */
  readonly #places: readonly (Place | undefined)[]
  readonly #requestPlaces: readonly Place[]
  readonly #impressionPlaces: readonly Place[]
  /** MASK_WORDS: bit d is set when the line items that are left are asked for their rules in dimension d. */
  readonly later = new Uint32Array(MASK_WORDS)
  /** A moment is a request's beginning or an impression's. Values of the request hold in all its impressions. */
  #moment = 0
  #request = 0
  /** Since when the values hold that are being looked up. */
  #lookUpMoment = 0
  #requestValues: readonly FactValue[] = []
  #impressionValues: readonly FactValue[] = []
  /** Terms, by dimension: the moment in which it was looked up, a base row (−1 = no line item), a run of parts. */
  readonly #lookedUpIn = new Uint32Array(TERMS_MAX)
  readonly base = new Int32Array(TERMS_MAX)
  readonly partStart = new Int32Array(TERMS_MAX)
  readonly partEnd = new Int32Array(TERMS_MAX)
  /** Line items that the term leaves, about; the smallest goes first. */
  readonly #weight = new Float64Array(TERMS_MAX)
  /** Terms that blocks are asked, as they were looked up, and by weight. */
  readonly #asked = new Int32Array(TERMS_MAX)
  readonly order = new Int32Array(TERMS_MAX)
  count = 0
  #preparedCount = 0
  readonly parts: Parts
  readonly #address = new Uint32Array(4)
  /** Per value that programs ask for: the moment at which a request last had it. */
  readonly #held: Uint32Array
  /** Of an overlay: the catalog that knows the members of lists, and what its lists' values are here. */
  readonly #below: Catalog | undefined
  readonly #listsBelow = new Map<number, number>()

  constructor(catalog: Catalog, below: Catalog | undefined) {
    this.#catalog = catalog
    const { askedDimension, listsBelow } = catalog.columns
    this.#below = listsBelow.length > 0 ? below : undefined
    for (let i = 0; i < listsBelow.length; i += 2) this.#listsBelow.set(listsBelow[i]!, listsBelow[i + 1]!)
    this.parts = new Parts(catalog.columns)
    this.#held = new Uint32Array(askedDimension.length)
    const places = placesOf(catalog)
    this.#places = INDEX_DIMENSIONS.map((_, dimension) => places.find(place => place.dimension === dimension))
    this.#requestPlaces = places.filter(place => place.isOfBlocks && !place.isOfImpression)
    this.#impressionPlaces = places.filter(place => place.isOfBlocks && place.isOfImpression)
    for (const { dimension, isOfBlocks } of places)
      if (!isOfBlocks) this.later[dimension >>> 5]! |= 1 << (dimension & 31)
  }

  /** Looks up what all impressions of a request have in common and blocks are asked. Cost: O(values of the request). */
  prepare(facts: Facts): void {
    this.#turn()
    this.#request = this.#moment
    this.#requestValues = facts.values
    this.count = 0
    this.parts.count = 0
    for (let i = 0; i < this.#requestPlaces.length; i++) this.#ask(this.#requestPlaces[i]!)
    this.#preparedCount = this.count
  }

  /** Starts over for one impression of the prepared request. Cost: O(its values, slots and deals). */
  begin(opportunity: Opportunity): void {
    this.#turn()
    this.#impressionValues = opportunity.values
    this.count = this.#preparedCount
    for (let i = 0; i < this.#impressionPlaces.length; i++) this.#ask(this.#impressionPlaces[i]!)
    this.#addSlots(opportunity)
    this.#addDeals(opportunity)
    this.#sort()
  }

  /** Whether the rules of a line item in one dimension take the opportunity. Cost: O(the request's values in it). */
  takes(dimension: number, lineItem: number): boolean {
    this.#know(dimension)
    const { kind } = this.parts
    let takes = isInRow(this.#catalog.columns, this.base[dimension]!, lineItem)
    const end = this.partEnd[dimension]!
    for (let part = this.partStart[dimension]!; part < end; part++) {
      const adds = kind[part] === ADD
      if ((adds && takes) || !this.parts.has(part, lineItem)) continue
      if (!adds) return false
      takes = true
    }
    return takes
  }

  /** Whether the request, or its impression at hand, has a value, by its number among those that programs ask for. */
  has(asked: number): boolean {
    this.#know(this.#catalog.columns.askedDimension[asked]!)
    const moment = this.#held[asked]!
    return moment === this.#request || moment === this.#moment
  }

  /** After 2^32 moments old ones would seem to be now. */
  #turn(): void {
    if (this.#moment > 0xffff_fff0) {
      this.#held.fill(0)
      this.#lookedUpIn.fill(0)
      this.#moment = 0
    }
    this.#moment++
  }

  /** Looks a dimension up, at most once per request or impression. */
  #know(dimension: number): void {
    const place = this.#places[dimension]!
    const moment = place.isOfImpression ? this.#moment : this.#request
    if (this.#lookedUpIn[dimension] !== moment) this.#lookUp(place)
  }

  #ask(place: Place): void {
    this.#lookUp(place)
    this.#asked[this.count++] = place.dimension
  }

  #lookUp(place: Place): void {
    const { dimension, isOfImpression, position } = place
    const value = isOfImpression ? this.#impressionValues[position]! : this.#requestValues[position]!
    this.#lookUpMoment = isOfImpression ? this.#moment : this.#request
    this.#lookedUpIn[dimension] = this.#lookUpMoment
    if (typeof value === 'string') this.#single(place, value)
    else this.#many(place, value)
  }
  #setTerm(dimension: number, base: number, partStart: number): void {
    this.base[dimension] = base
    this.partStart[dimension] = partStart
    this.partEnd[dimension] = this.parts.count
    this.#weight[dimension] = (base < 0 ? 0 : this.#catalog.columns.rowCount[base]!) + this.parts.weightFrom(partStart)
  }

  /** A dimension in which a request has at most one value: usually one row answers. */
  #single({ dimension, base }: Place, key: string): void {
    const { columns } = this.#catalog
    const value = key === '' ? -1 : findText(columns, dimension, key)
    const partStart = this.parts.count
    if (value < 0) {
      this.#setTerm(dimension, base, partStart)
      return
    }
    const at = value * ENTRY_WORDS
    const row = columns.entries[at + ENTRY.row]!
    this.#hold(at)
    if (row < 0) {
      this.#addIncludes(at)
      this.#addExcludes(at)
    }
    this.#setTerm(dimension, row < 0 ? base : row, partStart)
  }

  /** A dimension in which a request can have several values: what includes any of them, less what excludes any. */
  #many(place: Place, keys: readonly string[]): void {
    const partStart = this.parts.count
    for (let i = 0; i < keys.length; i++) {
      this.#find(this.#catalog, place, keys[i]!, this.#addFound)
      if (this.#below !== undefined) this.#find(this.#below, place, keys[i]!, this.#addListsBelow)
    }
    this.#setTerm(place.dimension, place.base, partStart)
  }

  /** Notes that the request has the value of an entry. */
  #hold(at: number): void {
    const asked = this.#catalog.columns.entries[at + ENTRY.asked]!
    if (asked >= 0) this.#held[asked] = this.#lookUpMoment
  }

  /** Values of a catalog that a request's value is, or lies in. */
  #find(catalog: Catalog, { dimension, match }: Place, key: string, found: (value: number) => void): void {
    const { columns } = catalog
    if (match === undefined) {
      const value = findText(columns, dimension, key)
      if (value >= 0) found(value)
    } else if (match === 'version') this.#findVersions(catalog, key, found)
    else if (match === 'address') this.#findAddresses(catalog, key, found)
    else {
      const place = placeOf(key)
      if (place !== undefined) eachCircleAround(columns, place, found)
    }
  }

  /** Ranges around a version such as `ios 15.2`. Cost: O(ranges of the system). */
  #findVersions({ header, columns }: Catalog, text: string, found: (value: number) => void): void {
    const space = text.lastIndexOf(' ')
    const ranges = header.versionSystems.get(text.slice(0, space))
    if (ranges === undefined) return
    const version = versionNumber(text.slice(space + 1))
    for (let i = ranges.start; i < ranges.end && columns.versionFrom[i]! <= version; i++)
      if (version <= columns.versionTo[i]!) found(columns.versionValue[i]!)
  }

  #findAddresses({ columns }: Catalog, text: string, found: (value: number) => void): void {
    if (!readAddress(text, this.#address)) return
    for (let range = findAddressRange(columns, this.#address); range >= 0; range = columns.addressParent[range]!)
      found(columns.addressValue[range]!)
  }

  /** A value that the request has, and the lists that it is in. A field, so that it can be called back. */
  readonly #addFound = (value: number): void => {
    this.#addValue(value)
    const { entries, memberLists } = this.#catalog.columns
    const at = value * ENTRY_WORDS + ENTRY.lists
    for (let i = entries[at]!; i < entries[at + ENTRY_WORDS]!; i++) this.#addValue(memberLists[i]!)
  }

  /** Of a value of the catalog below, the lists that line items here name. A field, so that it can be called back. */
  readonly #addListsBelow = (value: number): void => {
    const { entries, memberLists } = this.#below!.columns
    const at = value * ENTRY_WORDS + ENTRY.lists
    for (let i = entries[at]!; i < entries[at + ENTRY_WORDS]!; i++) {
      const list = this.#listsBelow.get(memberLists[i]!)
      if (list !== undefined) this.#addValue(list)
    }
  }

  #addSlots({ slots }: Opportunity): void {
    const { slotValues } = this.#catalog.header
    const partStart = this.parts.count
    for (let i = 0; i < slots.length; i++) {
      const value = slotValues.get(slots[i]!)
      if (value !== undefined) this.#addValue(value)
    }
    const isRow = this.parts.count === partStart + 1 && this.parts.row[partStart]! >= 0
    // One slot that many line items have: its row is the answer.
    if (isRow) this.parts.count = partStart
    this.#setTerm(SPACE.slot, isRow ? this.parts.row[partStart]! : -1, partStart)
    this.#asked[this.count++] = SPACE.slot
  }

  /** Line items without deals serve in the open auction, those with deals only in a deal that is offered. */
  #addDeals({ deals, privateAuction }: Opportunity): void {
    const { header, columns } = this.#catalog
    const base = header.baseRows.deal
    if (base < 0 && !privateAuction) return
    const partStart = this.parts.count
    for (let i = 0; i < deals.length; i++) {
      const value = findText(columns, SPACE.deal, deals[i]!.id)
      if (value >= 0) this.#addValue(value)
    }
    this.#setTerm(SPACE.deal, privateAuction ? -1 : base, partStart)
    this.#asked[this.count++] = SPACE.deal
  }

  #addValue(value: number): void {
    const { entries, rowCount } = this.#catalog.columns
    const at = value * ENTRY_WORDS
    const include = entries[at + ENTRY.row]!
    const exclude = entries[at + ENTRY.excludeRow]!
    this.#hold(at)
    if (include >= 0) this.parts.addRow(ADD, include, rowCount[include]!)
    else this.#addIncludes(at)
    if (exclude >= 0) this.parts.addRow(REMOVE, exclude, 1)
    else this.#addExcludes(at)
  }

  /** The list of those that include the value of an entry. */
  #addIncludes(at: number): void {
    const { entries } = this.#catalog.columns
    this.parts.addList(
      ADD,
      entries[at + ENTRY.includes]!,
      entries[at + ENTRY.excludes]!,
      entries[at + ENTRY.firstIncluded]!,
    )
  }

  /** The list of those that exclude it. */
  #addExcludes(at: number): void {
    const { entries } = this.#catalog.columns
    const end = entries[at + ENTRY_WORDS + ENTRY.includes]!
    this.parts.addList(REMOVE, entries[at + ENTRY.excludes]!, end, entries[at + ENTRY.firstExcluded]!)
  }

  /** Insertion sort of the order by weight: a dozen terms. What was asked stays as `prepare` left it. */
  #sort(): void {
    const order = this.order
    for (let i = 0; i < this.count; i++) {
      const term = this.#asked[i]!
      let j = i
      for (; j > 0 && this.#weight[order[j - 1]!]! > this.#weight[term]!; j--) order[j] = order[j - 1]!
      order[j] = term
    }
  }
}

function placesOf({ header, columns }: Catalog): readonly Place[] {
  return DIMENSION_NAMES.filter(name => header.targeted.includes(name)).map(name => {
    const { of, match } = dimensionOf(name)
    const names: readonly DimensionName[] = of === 'impression' ? IMPRESSION_DIMENSIONS : REQUEST_DIMENSIONS
    const base = header.baseRows[name]
    const isOfBlocks = base >= 0 && columns.rowCount[base]! < header.lineItems * LATER_SHARE
    return {
      ...{ dimension: SPACE[name], isOfImpression: of === 'impression', position: names.indexOf(name) },
      ...{ base, match, isOfBlocks },
    }
  })
}
