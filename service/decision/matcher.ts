/**
 * Finds the line items whose targeting takes an opportunity, best first, by AND-ing rows of the catalog's bit matrix
 * block by block (1,024 line items, a tile of each row), the most selective dimension first, until a block is empty or
 * enough have been seen. Dimensions that few line items restrict are asked of those only that are left.
 */
import { type Catalog, MASK_WORDS, TILE_WORDS } from '../state/catalog.ts'
import { Conditions } from './conditions.ts'
import type { Facts, Opportunity } from './opportunity.ts'
import { ADD, REMOVE } from './parts.ts'
import { Terms } from './terms.ts'

/**
 * The scratch of one bid thread for one catalog. `prepare` once per bid request, `begin` once per impression, then
 * `next` until −1. Keeps the last request's values until the next.
 */
export class Matcher {
  readonly #catalog: Catalog
  readonly #terms: Terms
  /** Undefined when the index answers all targeting of all line items. */
  readonly #conditions: Conditions | undefined
  readonly #block = new Int32Array(TILE_WORDS)
  readonly #patched = new Int32Array(TILE_WORDS)
  /** A bit per line item that an overlay replaces; undefined when none does. */
  #masked: Uint32Array | undefined
  /** The same for this impression only. */
  #passedOver: Uint32Array | undefined
  #blockStart = 0
  #blockWords = 0
  /** Where the block's tile of row 0 begins. */
  #tile = 0
  #wordIndex = 0
  #word = 0

  /** @param below where the catalog is an overlay: the one whose lists it uses */
  constructor(catalog: Catalog, below: Catalog | undefined) {
    this.#catalog = catalog
    this.#terms = new Terms(catalog, below)
    this.#conditions = catalog.columns.programWords.length > 0 ? new Conditions(catalog, this.#terms) : undefined
  }

  /** From now on line items with a set bit are as if they were not there. */
  mask(lineItems: Uint32Array | undefined): void {
    this.#masked = lineItems
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
    this.#passedOver = undefined
    this.#rewind(0)
    this.#nextBlock()
  }

  /** For the rest of this impression line items with a set bit are as if they were not there. Cost: O(one block). */
  passOver(lineItems: Uint32Array | undefined): void {
    this.#passedOver = lineItems
    if (lineItems === undefined) return
    this.#clear(lineItems)
    this.#word &= ~lineItems[this.#blockStart + this.#wordIndex]!
  }

  /** Takes the line items with a set bit out of the block at hand. */
  #clear(lineItems: Uint32Array): void {
    const block = this.#block
    for (let i = 0; i < this.#blockWords; i++) block[i]! &= ~lineItems[this.#blockStart + i]!
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
      if (this.#takes(ordinal)) return ordinal
    }
  }

  /** Whether a line item that is left of its block takes the opportunity. Most have few rules to be asked for. */
  #takes(ordinal: number): boolean {
    const { lineItemRules } = this.#catalog.columns
    const terms = this.#terms
    for (let word = 0; word < MASK_WORDS; word++) {
      let rules = lineItemRules[ordinal * MASK_WORDS + word]! & terms.later[word]!
      for (; rules !== 0; rules &= rules - 1)
        if (!terms.takes((word << 5) + 31 - Math.clz32(rules & -rules), ordinal)) return false
    }
    return this.#conditions === undefined || this.#conditions.take(ordinal)
  }

  /** Continues with the first ordinal >= the given one, forward or back. Cost: O(parts × log) and one block. */
  seek(ordinal: number): void {
    const word = ordinal >>> 5
    if (word < this.#blockStart || word >= this.#blockStart + this.#blockWords) {
      const start = word - (word % TILE_WORDS)
      this.#rewind(start)
      if (!this.#nextBlock() || this.#blockStart !== start) return
    }
    this.#wordIndex = word - this.#blockStart
    // Past the last word lies what an earlier block left behind.
    this.#word = this.#wordIndex < this.#blockWords ? this.#block[this.#wordIndex]! & (-1 << (ordinal & 31)) : 0
  }

  /** The next block will begin with this word, a tile's first. */
  #rewind(word: number): void {
    const terms = this.#terms
    const { parts } = terms
    for (let rank = 0; rank < terms.count; rank++) {
      const term = terms.order[rank]!
      const end = terms.partEnd[term]!
      for (let part = terms.partStart[term]!; part < end; part++)
        if (parts.row[part]! < 0) parts.rewind(part, word << 5)
    }
    this.#blockStart = word
    this.#blockWords = 0
  }

  /** Goes on to the next block with a line item in it. @returns false after the last. */
  #nextBlock(): boolean {
    const { header, columns } = this.#catalog
    this.#word = 0
    for (;;) {
      this.#blockStart += this.#blockWords
      this.#blockWords = Math.min(TILE_WORDS, header.words - this.#blockStart)
      if (this.#blockWords <= 0) {
        this.#blockWords = 0
        return false
      }
      this.#tile = this.#blockStart * columns.rowCount.length
      if (this.#matchBlock()) {
        this.#wordIndex = 0
        this.#word = this.#block[0]!
        return true
      }
    }
  }

  /** Whether any line item of the block is left after the terms that blocks are asked. */
  #matchBlock(): boolean {
    const { rows } = this.#catalog.columns
    const terms = this.#terms
    const block = this.#block
    const patched = this.#patched
    const words = this.#blockWords
    const tile = this.#tile
    for (let i = 0; i < words; i++) block[i] = rows[tile + i]!
    if (this.#masked !== undefined) this.#clear(this.#masked)
    if (this.#passedOver !== undefined) this.#clear(this.#passedOver)
    for (let rank = 0; rank < terms.count; rank++) {
      const term = terms.order[rank]!
      let left = 0
      if (this.#touches(term)) {
        this.#patch(term)
        for (let i = 0; i < words; i++) left |= block[i]! &= patched[i]!
      } else {
        const base = terms.base[term]!
        if (base < 0) return false
        const at = tile + base * TILE_WORDS
        for (let i = 0; i < words; i++) left |= block[i]! &= rows[at + i]!
      }
      if (left === 0) return false
    }
    return true
  }

  /** Whether parts of a term change its base row in this block: most posting lists have nothing in most blocks. */
  #touches(term: number): boolean {
    const terms = this.#terms
    const { parts } = terms
    const start = this.#blockStart << 5
    const end = start + (this.#blockWords << 5)
    const partEnd = terms.partEnd[term]!
    for (let part = terms.partStart[term]!; part < partEnd; part++) {
      if (parts.row[part]! >= 0) return true
      // Blocks that were empty before this term's turn were passed without it.
      if (parts.next[part]! < start) parts.passTo(part, start)
      if (parts.next[part]! < end) return true
    }
    return false
  }

  /** The term's row for this block: the base row, with its parts added and removed. */
  #patch(term: number): void {
    const { rows } = this.#catalog.columns
    const patched = this.#patched
    const base = this.#terms.base[term]!
    const at = this.#tile + base * TILE_WORDS
    if (base < 0) patched.fill(0)
    else for (let i = 0; i < this.#blockWords; i++) patched[i] = rows[at + i]!
    this.#apply(term, ADD)
    this.#apply(term, REMOVE)
  }

  /** Excludes are stronger than includes, so what removes is applied after what adds. */
  #apply(term: number, kind: number): void {
    const terms = this.#terms
    const { parts } = terms
    const { rows } = this.#catalog.columns
    const patched = this.#patched
    const words = this.#blockWords
    const end = terms.partEnd[term]!
    for (let part = terms.partStart[term]!; part < end; part++) {
      if (parts.kind[part] !== kind) continue
      const row = parts.row[part]!
      const at = this.#tile + row * TILE_WORDS
      if (row < 0) this.#patchFromList(part, kind === ADD)
      else if (kind === ADD) for (let i = 0; i < words; i++) patched[i]! |= rows[at + i]!
      else for (let i = 0; i < words; i++) patched[i]! &= ~rows[at + i]!
    }
  }

  #patchFromList(part: number, add: boolean): void {
    const { parts } = this.#terms
    const { postings } = this.#catalog.columns
    const patched = this.#patched
    const start = this.#blockStart << 5
    const end = start + (this.#blockWords << 5)
    if (parts.next[part]! < start) parts.passTo(part, start)
    const last = parts.last[part]!
    for (let at = parts.cursor[part]!; at < last && postings[at]! < end; at++) {
      const offset = postings[at]! - start
      if (add) patched[offset >>> 5]! |= 1 << (offset & 31)
      else patched[offset >>> 5]! &= ~(1 << (offset & 31))
    }
  }
}
