/**
 * Finds the line items whose targeting takes an opportunity, best first, by AND-ing rows of the catalog's bit matrix
 * block by block (1,024 line items), the most selective dimension first, until a block is empty or enough have been
 * seen.
 */
import type { Catalog } from '../state/catalog.ts'
import { Conditions } from './conditions.ts'
import type { Facts, Opportunity } from './opportunity.ts'
import { ADD, REMOVE, Terms } from './terms.ts'

const BLOCK_WORDS = 32

/**
 * The scratch of one bid thread for one catalog. `prepare` once per bid request, `begin` once per impression, then
 * `next` until −1. Holds no reference to a request between calls.
 */
export class Matcher {
  readonly #catalog: Catalog
  readonly #terms: Terms
  /** Undefined when the index answers all targeting of all line items. */
  readonly #conditions: Conditions | undefined
  readonly #block = new Int32Array(BLOCK_WORDS)
  readonly #patched = new Int32Array(BLOCK_WORDS)
  #blockStart = 0
  #blockWords = 0
  #wordIndex = 0
  #word = 0

  constructor(catalog: Catalog) {
    this.#catalog = catalog
    this.#conditions = catalog.columns.programWords.length > 0 ? new Conditions(catalog) : undefined
    this.#terms = new Terms(catalog, this.#conditions)
  }

  /** Looks up what all impressions of a request have in common. Cost: O(values of the request). */
  prepare(facts: Facts): void {
    this.#conditions?.beginRequest(facts.userId)
    this.#terms.prepare(facts)
  }

  /** Starts over for one impression of the prepared request. Cost: O(its values, slots and deals). */
  begin(opportunity: Opportunity): void {
    this.#conditions?.beginImpression()
    this.#terms.begin(opportunity)
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
      const ordinal = ((this.#blockStart + this.#wordIndex) << 5) + 31 - Math.clz32(word & -word)
      if (this.#conditions === undefined || this.#conditions.take(ordinal)) return ordinal
    }
  }

  /** Continues with the first ordinal >= the given one, forward or back. Cost: O(parts × log) and one block. */
  seek(ordinal: number): void {
    const { postings } = this.#catalog.columns
    const word = ordinal >>> 5
    const blockStart = word - (word % BLOCK_WORDS)
    const terms = this.#terms
    for (let part = 0; part < terms.parts; part++)
      if (terms.partRow[part]! < 0)
        terms.partCursor[part] =
          blockStart === 0
            ? terms.partFirst[part]!
            : lowerBound(postings, terms.partFirst[part]!, terms.partLast[part]!, blockStart * 32)
    this.#blockStart = blockStart - BLOCK_WORDS
    this.#blockWords = 0
    this.#word = 0
    if (!this.#nextBlock()) return
    if (this.#blockStart !== blockStart) return
    this.#wordIndex = word - blockStart
    // Past the last word lies what an earlier block left behind.
    this.#word = this.#wordIndex < this.#blockWords ? this.#block[this.#wordIndex]! & (-1 << (ordinal & 31)) : 0
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
    const terms = this.#terms
    const block = this.#block
    const count = this.#blockWords
    for (let i = 0; i < count; i++) block[i] = rows[this.#blockStart + i]!
    for (let rank = 0; rank < terms.count; rank++) {
      const term = terms.order[rank]!
      let left = 0
      if (!this.#touches(term)) {
        const base = terms.base[term]!
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
    const terms = this.#terms
    const { postings } = this.#catalog.columns
    const start = this.#blockStart << 5
    const end = start + (this.#blockWords << 5)
    for (let part = terms.partStart[term]!; part < terms.partEnd[term]!; part++) {
      if (terms.partRow[part]! >= 0) return true
      const last = terms.partLast[part]!
      let cursor = terms.partCursor[part]!
      while (cursor < last && postings[cursor]! < start) cursor++
      terms.partCursor[part] = cursor
      if (cursor < last && postings[cursor]! < end) return true
    }
    return false
  }

  /** The term's row for this block: the base row, with its parts added and removed. */
  #patch(term: number): void {
    const terms = this.#terms
    const { rows } = this.#catalog.columns
    const { words } = this.#catalog.header
    const patched = this.#patched
    const count = this.#blockWords
    const base = terms.base[term]!
    if (base < 0) patched.fill(0)
    else for (let i = 0; i < count; i++) patched[i] = rows[base * words + this.#blockStart + i]!
    this.#apply(term, ADD)
    this.#apply(term, REMOVE)
  }

  /** Excludes are stronger than includes, so what removes is applied after what adds. */
  #apply(term: number, kind: number): void {
    const terms = this.#terms
    const { rows } = this.#catalog.columns
    const { words } = this.#catalog.header
    const patched = this.#patched
    const count = this.#blockWords
    for (let part = terms.partStart[term]!; part < terms.partEnd[term]!; part++) {
      if (terms.partKind[part] !== kind) continue
      const row = terms.partRow[part]!
      const at = row * words + this.#blockStart
      if (row < 0) this.#patchFromList(part, kind === ADD)
      else if (kind === ADD) for (let i = 0; i < count; i++) patched[i]! |= rows[at + i]!
      else for (let i = 0; i < count; i++) patched[i]! &= ~rows[at + i]!
    }
  }

  #patchFromList(part: number, add: boolean): void {
    const terms = this.#terms
    const { postings } = this.#catalog.columns
    const patched = this.#patched
    const start = this.#blockStart << 5
    const end = start + (this.#blockWords << 5)
    const last = terms.partLast[part]!
    let cursor = terms.partCursor[part]!
    while (cursor < last && postings[cursor]! < start) cursor++
    for (; cursor < last && postings[cursor]! < end; cursor++) {
      const offset = postings[cursor]! - start
      if (add) patched[offset >>> 5]! |= 1 << (offset & 31)
      else patched[offset >>> 5]! &= ~(1 << (offset & 31))
    }
    terms.partCursor[part] = cursor
  }
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
