/**
 * Finds the line items whose targeting takes an opportunity, best first, by AND-ing rows of the catalog's bit matrix
 * block by block (1,024 line items), the most selective dimension first, until a block is empty or enough have been
 * seen.
 */
import { assert } from '../foundation/assert.ts'
import { type Catalog, INDEX_DIMENSIONS, type IndexDimension, SPACE } from '../state/catalog.ts'
import { findText } from '../state/text-table.ts'
import type { Facts, Opportunity } from './opportunity.ts'

const BLOCK_WORDS = 32
const TERMS_MAX = INDEX_DIMENSIONS.length
/** Rows and posting lists of one opportunity, all dimensions together: 2 per value of a many-valued dimension. */
const PARTS_MAX = 8_192
/** Kinds of part: what a value adds to or takes from its dimension's base row. */
const ADD = 0
const REMOVE = 1

/**
 * The scratch of one bid thread for one catalog. `prepare` once per bid request, `begin` once per impression, then
 * `next` until −1. Holds no reference to a request between calls.
 */
export class Matcher {
  readonly #catalog: Catalog
  /** Terms: one per dimension that restricts. A term is a base row (−1 = no line item) and a run of parts. */
  readonly #base = new Int32Array(TERMS_MAX)
  readonly #partStart = new Int32Array(TERMS_MAX)
  readonly #partEnd = new Int32Array(TERMS_MAX)
  /** Line items that the term leaves, about; the smallest goes first. */
  readonly #weight = new Float64Array(TERMS_MAX)
  /** Terms by weight. */
  readonly #order = new Int32Array(TERMS_MAX)
  #terms = 0
  #preparedTerms = 0
  /** Parts: a row (cursor −1), or a posting list with the position reached in it. */
  readonly #partKind = new Uint8Array(PARTS_MAX)
  readonly #partRow = new Int32Array(PARTS_MAX)
  readonly #partCursor = new Int32Array(PARTS_MAX)
  readonly #partFirst = new Int32Array(PARTS_MAX)
  readonly #partLast = new Int32Array(PARTS_MAX)
  #parts = 0
  #preparedParts = 0

  readonly #block = new Int32Array(BLOCK_WORDS)
  readonly #patched = new Int32Array(BLOCK_WORDS)
  #blockStart = 0
  #blockWords = 0
  #wordIndex = 0
  #word = 0

  constructor(catalog: Catalog) {
    this.#catalog = catalog
  }

  /** Looks up what all impressions of a request have in common. Cost: O(values of the request). */
  prepare(facts: Facts): void {
    this.#terms = 0
    this.#parts = 0
    this.#single('exchange', facts.exchange)
    this.#single('country', facts.country)
    this.#single('region', facts.region)
    this.#single('deviceType', facts.deviceType)
    this.#single('os', facts.os)
    this.#single('language', facts.language)
    this.#many('domain', facts.domain)
    this.#single('app', facts.app)
    this.#many('category', facts.category)
    this.#single('daypart', facts.daypart)
    this.#preparedTerms = this.#terms
    this.#preparedParts = this.#parts
  }

  /** Starts over for one impression of the prepared request. Cost: O(slots + deals). */
  begin(opportunity: Opportunity): void {
    this.#terms = this.#preparedTerms
    this.#parts = this.#preparedParts
    this.#addSlots(opportunity)
    this.#addDeals(opportunity)
    this.#sortTerms()
    this.seek(0)
  }

  /** The next ordinal from here on, −1 after the last. Ordinals grow. */
  next(): number {
    for (;;) {
      while (this.#word === 0) {
        if (++this.#wordIndex < this.#blockWords) this.#word = this.#block[this.#wordIndex]!
        else if (!this.#nextBlock()) return -1
      }
      const word = this.#word
      this.#word = word & (word - 1)
      return ((this.#blockStart + this.#wordIndex) << 5) + 31 - Math.clz32(word & -word)
    }
  }

  /** Continues with the first ordinal >= the given one, forward or back. Cost: O(parts × log) and one block. */
  seek(ordinal: number): void {
    const { postings } = this.#catalog.columns
    const word = ordinal >>> 5
    const blockStart = word - (word % BLOCK_WORDS)
    for (let part = 0; part < this.#parts; part++)
      if (this.#partRow[part]! < 0)
        this.#partCursor[part] =
          blockStart === 0
            ? this.#partFirst[part]!
            : lowerBound(postings, this.#partFirst[part]!, this.#partLast[part]!, blockStart * 32)
    this.#blockStart = blockStart - BLOCK_WORDS
    this.#blockWords = 0
    this.#word = 0
    if (!this.#nextBlock()) return
    if (this.#blockStart !== blockStart) return
    this.#wordIndex = word - blockStart
    // Past the last word lies what an earlier block left behind.
    this.#word = this.#wordIndex < this.#blockWords ? this.#block[this.#wordIndex]! & (-1 << (ordinal & 31)) : 0
  }

  #addTerm(base: number, partStart: number, weight: number): void {
    const term = this.#terms++
    this.#base[term] = base
    this.#partStart[term] = partStart
    this.#partEnd[term] = this.#parts
    this.#weight[term] = weight
  }

  /** A dimension in which a request has at most one value: usually one row answers. */
  #single(name: Exclude<IndexDimension, 'slot' | 'deal'>, key: string): void {
    const { header, columns } = this.#catalog
    const base = header.baseRows[name]
    if (base < 0) return
    const value = key === '' ? -1 : findText(columns, SPACE[name], key)
    const row = value < 0 ? base : columns.valueRow[value]!
    if (row >= 0) {
      this.#addTerm(row, this.#parts, columns.rowCount[row]!)
      return
    }
    const partStart = this.#parts
    this.#addLists(value)
    this.#addTerm(base, partStart, columns.rowCount[base]! + this.#partWeight(partStart))
  }

  /** A dimension in which a request can have several values: what includes any of them, less what excludes any. */
  #many(name: 'domain' | 'category', keys: readonly string[]): void {
    const { header, columns } = this.#catalog
    const base = header.baseRows[name]
    if (base < 0) return
    const partStart = this.#parts
    for (let i = 0; i < keys.length; i++) {
      const value = findText(columns, SPACE[name], keys[i]!)
      if (value >= 0) this.#addValue(value)
    }
    this.#removalsLast(partStart)
    this.#addTerm(base, partStart, columns.rowCount[base]! + this.#partWeight(partStart))
  }

  #addSlots(opportunity: Opportunity): void {
    const { slotValues } = this.#catalog.header
    const partStart = this.#parts
    const { slots } = opportunity
    for (let i = 0; i < slots.length; i++) {
      const value = slotValues.get(slots[i]!)
      if (value !== undefined) this.#addValue(value)
    }
    if (this.#parts === partStart + 1 && this.#partRow[partStart]! >= 0) {
      // One slot that many line items have: its row is the answer.
      this.#parts = partStart
      const row = this.#partRow[partStart]!
      this.#addTerm(row, partStart, this.#catalog.columns.rowCount[row]!)
    } else this.#addTerm(-1, partStart, this.#partWeight(partStart))
  }

  /** Line items without deals serve in the open auction, those with deals only in a deal that is offered. */
  #addDeals(opportunity: Opportunity): void {
    const { header, columns } = this.#catalog
    const base = header.baseRows.deal
    const { deals, privateAuction } = opportunity
    if (base < 0 && !privateAuction) return
    const partStart = this.#parts
    for (let i = 0; i < deals.length; i++) {
      const value = findText(columns, SPACE.deal, deals[i]!.id)
      if (value >= 0) this.#addValue(value)
    }
    const open = privateAuction ? -1 : base
    this.#addTerm(open, partStart, (open < 0 ? 0 : columns.rowCount[open]!) + this.#partWeight(partStart))
  }

  #addValue(value: number): void {
    const { columns } = this.#catalog
    const include = columns.valueIncludeRow[value]!
    const exclude = columns.valueExcludeRow[value]!
    const middle = columns.postingStart[value * 2 + 1]!
    if (include >= 0) this.#addPart(ADD, include, 0, columns.rowCount[include]!)
    else this.#addPart(ADD, -1, columns.postingStart[value * 2]!, middle)
    if (exclude >= 0) this.#addPart(REMOVE, exclude, 0, 1)
    else this.#addPart(REMOVE, -1, middle, columns.postingStart[value * 2 + 2]!)
  }

  #addLists(value: number): void {
    const { postingStart } = this.#catalog.columns
    const middle = postingStart[value * 2 + 1]!
    this.#addPart(ADD, -1, postingStart[value * 2]!, middle)
    this.#addPart(REMOVE, -1, middle, postingStart[value * 2 + 2]!)
  }

  #addPart(kind: number, row: number, first: number, last: number): void {
    if (first === last) return
    const part = this.#parts++
    assert(part < PARTS_MAX, 'the reader bounds the values of a request')
    this.#partKind[part] = kind
    this.#partRow[part] = row
    this.#partFirst[part] = first
    this.#partLast[part] = last
  }

  /** Line items that the parts from here on add, at most. */
  #partWeight(partStart: number): number {
    let weight = 0
    for (let part = partStart; part < this.#parts; part++)
      if (this.#partKind[part] === ADD) weight += this.#partLast[part]! - this.#partFirst[part]!
    return weight
  }

  /** Excludes are stronger than includes, so they are applied after them. */
  #removalsLast(partStart: number): void {
    for (let i = partStart + 1; i < this.#parts; i++)
      for (let j = i; j > partStart && this.#partKind[j]! < this.#partKind[j - 1]!; j--) this.#swapParts(j, j - 1)
  }

  #swapParts(a: number, b: number): void {
    swap(this.#partKind, a, b)
    swap(this.#partRow, a, b)
    swap(this.#partFirst, a, b)
    swap(this.#partLast, a, b)
  }

  /** Insertion sort of the order by weight: a dozen terms. The terms stay where `prepare` left them. */
  #sortTerms(): void {
    const order = this.#order
    for (let i = 0; i < this.#terms; i++) {
      let j = i
      for (; j > 0 && this.#weight[order[j - 1]!]! > this.#weight[i]!; j--) order[j] = order[j - 1]!
      order[j] = i
    }
  }

  /** Goes on to the next block with a line item in it. @returns false after the last. */
  #nextBlock(): boolean {
    const { words } = this.#catalog.header
    for (;;) {
      this.#blockStart += BLOCK_WORDS
      if (this.#blockStart >= words) {
        this.#blockWords = 0
        this.#word = 0
        return false
      }
      this.#blockWords = Math.min(BLOCK_WORDS, words - this.#blockStart)
      if (this.#matchBlock()) {
        this.#wordIndex = 0
        this.#word = this.#block[0]!
        return true
      }
    }
  }

  /** @returns whether any line item of the block is left after all terms. */
  #matchBlock(): boolean {
    const { rows } = this.#catalog.columns
    const { words } = this.#catalog.header
    const block = this.#block
    const count = this.#blockWords
    for (let i = 0; i < count; i++) block[i] = rows[this.#blockStart + i]!
    for (let rank = 0; rank < this.#terms; rank++) {
      const term = this.#order[rank]!
      let left = 0
      if (!this.#touches(term)) {
        const base = this.#base[term]!
        if (base < 0) return false
        const at = base * words + this.#blockStart
        for (let i = 0; i < count; i++) left |= block[i]! &= rows[at + i]!
      } else {
        this.#patch(term)
        for (let i = 0; i < count; i++) left |= block[i]! &= this.#patched[i]!
      }
      if (left === 0) return false
    }
    return true
  }

  /** Whether parts of a term change its base row in this block: most posting lists have nothing in most blocks. */
  #touches(term: number): boolean {
    const { postings } = this.#catalog.columns
    const start = this.#blockStart << 5
    const end = start + (this.#blockWords << 5)
    for (let part = this.#partStart[term]!; part < this.#partEnd[term]!; part++) {
      if (this.#partRow[part]! >= 0) return true
      const last = this.#partLast[part]!
      let cursor = this.#partCursor[part]!
      while (cursor < last && postings[cursor]! < start) cursor++
      this.#partCursor[part] = cursor
      if (cursor < last && postings[cursor]! < end) return true
    }
    return false
  }

  /** The term's row for this block: the base row, with its parts added and removed. */
  #patch(term: number): void {
    const { rows } = this.#catalog.columns
    const { words } = this.#catalog.header
    const patched = this.#patched
    const count = this.#blockWords
    const base = this.#base[term]!
    if (base < 0) patched.fill(0)
    else for (let i = 0; i < count; i++) patched[i] = rows[base * words + this.#blockStart + i]!
    for (let part = this.#partStart[term]!; part < this.#partEnd[term]!; part++) {
      const row = this.#partRow[part]!
      const add = this.#partKind[part] === ADD
      if (row < 0) this.#patchFromList(part, add)
      else {
        const at = row * words + this.#blockStart
        if (add) for (let i = 0; i < count; i++) patched[i]! |= rows[at + i]!
        else for (let i = 0; i < count; i++) patched[i]! &= ~rows[at + i]!
      }
    }
  }

  #patchFromList(part: number, add: boolean): void {
    const { postings } = this.#catalog.columns
    const patched = this.#patched
    const start = this.#blockStart << 5
    const end = start + (this.#blockWords << 5)
    const last = this.#partLast[part]!
    let cursor = this.#partCursor[part]!
    while (cursor < last && postings[cursor]! < start) cursor++
    for (; cursor < last && postings[cursor]! < end; cursor++) {
      const offset = postings[cursor]! - start
      if (add) patched[offset >>> 5]! |= 1 << (offset & 31)
      else patched[offset >>> 5]! &= ~(1 << (offset & 31))
    }
    this.#partCursor[part] = cursor
  }
}

function swap(numbers: Int32Array | Uint8Array, a: number, b: number): void {
  const kept = numbers[a]!
  numbers[a] = numbers[b]!
  numbers[b] = kept
}

/** The first position in a growing list whose number is >= the wanted one. Cost: O(log). */
function lowerBound(numbers: Uint32Array, first: number, last: number, wanted: number): number {
  let low = first
  let high = last
  while (low < high) {
    const middle = (low + high) >>> 1
    if (numbers[middle]! < wanted) low = middle + 1
    else high = middle
  }
  return low
}
