/** What values of an opportunity add to terms and take from them: bit rows, and posting lists that are walked once. */
import { type CatalogColumns, rowPlace } from '../state/catalog.ts'

/** Room at first: 2 per value of a many-valued dimension. It grows with requests that need more. */
const PARTS_FIRST = 1_024
/** Above all ordinals. */
const ORDINAL_NONE = 0x7fff_ffff
/** Kind of a part that a value adds to its dimension's base row. */
export const ADD = 0
/** Kind of a part that a value takes from it, after all that add. */
export const REMOVE = 1

/** The parts of all terms of one request, side by side. Scratch of one bid thread for one catalog. */
export class Parts {
  readonly #columns: CatalogColumns
  count = 0
  kind = new Uint8Array(PARTS_FIRST)
  /** A row, or −1 for a posting list. */
  row = new Int32Array(PARTS_FIRST)
  /** Where a list begins and ends among the postings, and the position reached in it. */
  first = new Int32Array(PARTS_FIRST)
  last = new Int32Array(PARTS_FIRST)
  cursor = new Int32Array(PARTS_FIRST)
  /** The first ordinal of a list. */
  firstOrdinal = new Int32Array(PARTS_FIRST)
  /** The ordinal at the position reached; after the last one above all ordinals. */
  next = new Int32Array(PARTS_FIRST)

  constructor(columns: CatalogColumns) {
    this.#columns = columns
  }

  /** @param lineItems that it adds, for the term's weight */
  addRow(kind: number, row: number, lineItems: number): void {
    const part = this.#add(kind)
    this.row[part] = row
    this.first[part] = 0
    this.last[part] = lineItems
  }

  /** A list that is a run of the postings; nothing when it is empty. */
  addList(kind: number, first: number, last: number, firstOrdinal: number): void {
    if (first === last) return
    const part = this.#add(kind)
    this.row[part] = -1
    this.first[part] = first
    this.last[part] = last
    this.firstOrdinal[part] = firstOrdinal
  }

  #add(kind: number): number {
    const part = this.count++
    if (part === this.kind.length) this.#grow()
    this.kind[part] = kind
    return part
  }

  /** Line items that the parts from here on add, at most. */
  weightFrom(start: number): number {
    let weight = 0
    for (let part = start; part < this.count; part++)
      if (this.kind[part] === ADD) weight += this.last[part]! - this.first[part]!
    return weight
  }

  /** Whether a line item is among those of a part. Cost: O(log of its place in a list). */
  has(part: number, lineItem: number): boolean {
    const row = this.row[part]!
    if (row >= 0) return isInRow(this.#columns, row, lineItem)
    if (this.firstOrdinal[part]! >= lineItem) return this.firstOrdinal[part] === lineItem
    const { postings } = this.#columns
    const first = this.first[part]!
    const last = this.last[part]!
    // Those that are asked for are mostly near the beginning.
    let end = first + 1
    for (let step = 1; end < last && postings[end]! < lineItem; step *= 2) end += step
    return postings[lowerBound(postings, first, Math.min(end, last - 1), lineItem)] === lineItem
  }

  /** Puts a list's position at the first ordinal >= the given one. Cost: O(log), and nothing for ordinal 0. */
  rewind(part: number, ordinal: number): void {
    const first = this.first[part]!
    if (ordinal > 0) this.#reach(part, lowerBound(this.#columns.postings, first, this.last[part]!, ordinal))
    else {
      this.cursor[part] = first
      this.next[part] = this.firstOrdinal[part]!
    }
  }

  /** Moves a list's position on to the first ordinal >= the given one. */
  passTo(part: number, ordinal: number): void {
    const { postings } = this.#columns
    const last = this.last[part]!
    let cursor = this.cursor[part]!
    while (cursor < last && postings[cursor]! < ordinal) cursor++
    this.#reach(part, cursor)
  }

  #reach(part: number, cursor: number): void {
    this.cursor[part] = cursor
    this.next[part] = cursor < this.last[part]! ? this.#columns.postings[cursor]! : ORDINAL_NONE
  }

  #grow(): void {
    this.kind = grown(this.kind, new Uint8Array(this.count * 2))
    this.row = grown(this.row, new Int32Array(this.count * 2))
    this.first = grown(this.first, new Int32Array(this.count * 2))
    this.last = grown(this.last, new Int32Array(this.count * 2))
    this.cursor = grown(this.cursor, new Int32Array(this.count * 2))
    this.firstOrdinal = grown(this.firstOrdinal, new Int32Array(this.count * 2))
    this.next = grown(this.next, new Int32Array(this.count * 2))
  }
}

/** Whether a row has the bit of a line item. */
export function isInRow({ rows, rowCount }: CatalogColumns, row: number, lineItem: number): boolean {
  return (rows[rowPlace(rowCount.length, row, lineItem >>> 5)]! & (1 << (lineItem & 31))) !== 0
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

function grown<T extends Int32Array | Uint8Array>(from: T, to: T): T {
  to.set(from)
  return to
}
