/** Compiles which line items take which values into bit rows and posting lists. */
import type { Column } from './arena.ts'
import {
  type CatalogColumns,
  dimensionOfSpace,
  ENTRY,
  ENTRY_WORDS,
  INDEX_DIMENSIONS,
  type IndexDimension,
  MASK_WORDS,
  rowPlace,
  SPACE,
  TILE_WORDS,
} from './catalog.ts'
import { dimensionOf } from './dimensions.ts'
import type { growingU32 } from './growing.ts'
import type { TextTableBuilder } from './text-table.ts'

type Growing = ReturnType<typeof growingU32>

/** What every line item, as added, says: its lists (value × 2 + 1 if excluded) and the dimensions it includes in. */
export interface References {
  readonly start: Growing
  readonly lists: Growing
  /** MASK_WORDS per line item: bit d is set when it includes values of dimension d. */
  readonly includes: Growing
}

/** Which rows the matrix gets, decided from counts before anything is written. */
interface RowPlan {
  readonly lineItems: number
  readonly words: number
  readonly values: number
  readonly references: number
  readonly rows: number
  /** As ENTRY.row and ENTRY.excludeRow. */
  readonly valueRow: Int32Array
  readonly valueExcludeRow: Int32Array
  readonly baseRows: Record<IndexDimension, number>
  readonly spaces: readonly number[]
  readonly listCount: Uint32Array
  readonly slotValues: ReadonlyMap<number, number>
}

const isMany = (name: IndexDimension): boolean => {
  return name === 'slot' || name === 'deal' || dimensionOf(name).many === true
}

/**
 * A value gets a row when its posting list would be larger than the row: the break-even of time and of memory.
 * Cost: O(references + values).
 */
export function planRows(references: References, texts: TextTableBuilder, lineItems: number): RowPlan {
  const words = Math.ceil(lineItems / 32)
  const values = texts.count
  const listCount = new Uint32Array(values * 2)
  for (const listNumber of references.lists.view()) listCount[listNumber]!++
  let rows = 1
  const baseRows = Object.fromEntries(INDEX_DIMENSIONS.map(name => [name, -1])) as Record<IndexDimension, number>
  const valueRow = new Int32Array(values).fill(-1)
  const valueExcludeRow = new Int32Array(values).fill(-1)
  const spaces = texts.spaces()
  const slotValues = new Map<number, number>()
  for (let value = 0; value < values; value++) {
    const includes = listCount[value * 2]!
    const excludes = listCount[value * 2 + 1]!
    if (includes + excludes === 0) continue
    const name = dimensionOfSpace(spaces[value]!)
    if (name === undefined) continue
    const many = isMany(name)
    if (baseRows[name] < 0) baseRows[name] = rows++
    if (name === 'slot') slotValues.set(Number(texts.text(value)), value)
    if ((many ? includes : includes + excludes) > words) valueRow[value] = rows++
    if (many && excludes > words) valueExcludeRow[value] = rows++
  }
  const plan = { lineItems, words, values, references: references.lists.length, rows, spaces, listCount }
  return { ...plan, valueRow, valueExcludeRow, baseRows, slotValues }
}

/** Lengths of the index's columns, in elements. */
export function indexSizes(plan: RowPlan) {
  return {
    rows: plan.rows * Math.ceil(plan.words / TILE_WORDS) * TILE_WORDS,
    rowCount: plan.rows,
    entries: (plan.values + 1) * ENTRY_WORDS,
    postings: plan.references,
    lineItemRules: plan.lineItems * MASK_WORDS,
  }
}

/**
 * Writes postings, then rows from them.
 * @param order positions of line items as added, best first
 * @returns the header's part. Cost: O(references + rows × words).
 */
export function buildIndex(columns: CatalogColumns, plan: RowPlan, references: References, order: Uint32Array) {
  const postingStart = writePostings(columns, plan, references, order)
  for (let value = 0; value < plan.values; value++) writeEntry(columns, plan, postingStart, value)
  columns.entries[plan.values * ENTRY_WORDS + ENTRY.includes] = plan.references
  writeBaseRows(columns, plan, references, order)
  for (let value = 0; value < plan.values; value++) writeValueRows(columns, plan, value)
  for (let row = 0; row < plan.rows; row++) columns.rowCount[row] = countBits(columns.rows, plan, row)
  return { baseRows: plan.baseRows, slotValues: plan.slotValues }
}

/**
 * Lists get their ordinals in growing order because line items are visited in growing order. Notes on the way which
 * dimensions each has rules in.
 * @returns where each list begins, and the end of the last
 */
function writePostings(columns: CatalogColumns, plan: RowPlan, references: References, order: Uint32Array) {
  const postingStart = new Uint32Array(plan.listCount.length + 1)
  let start = 0
  for (let listNumber = 0; listNumber < plan.listCount.length; listNumber++) {
    postingStart[listNumber] = start
    start += plan.listCount[listNumber]!
  }
  postingStart[plan.listCount.length] = start
  const next = postingStart.slice(0, plan.listCount.length)
  const starts = references.start.view()
  const lists = references.lists.view()
  const includes = references.includes.view()
  const { postings, lineItemRules } = columns
  const dimensions = Uint8Array.from(plan.spaces, space => SPACE[dimensionOfSpace(space) ?? 'slot'])
  for (let ordinal = 0; ordinal < order.length; ordinal++) {
    const source = order[ordinal]!
    const end = source + 1 < starts.length ? starts[source + 1]! : lists.length
    for (let word = 0; word < MASK_WORDS; word++)
      lineItemRules[ordinal * MASK_WORDS + word] = includes[source * MASK_WORDS + word]!
    for (let i = starts[source]!; i < end; i++) {
      const list = lists[i]!
      const dimension = dimensions[list >>> 1]!
      postings[next[list]!++] = ordinal
      lineItemRules[ordinal * MASK_WORDS + (dimension >>> 5)]! |= 1 << (dimension & 31)
    }
  }
  return postingStart
}

function writeEntry(
  { entries, postings }: CatalogColumns,
  plan: RowPlan,
  postingStart: Uint32Array,
  value: number,
): void {
  const at = value * ENTRY_WORDS
  entries[at + ENTRY.row] = plan.valueRow[value]!
  entries[at + ENTRY.excludeRow] = plan.valueExcludeRow[value]!
  entries[at + ENTRY.includes] = postingStart[value * 2]!
  entries[at + ENTRY.excludes] = postingStart[value * 2 + 1]!
  // Of an empty list, which nobody looks into, it may be anything.
  entries[at + ENTRY.firstIncluded] = postings[postingStart[value * 2]!] ?? 0
  entries[at + ENTRY.firstExcluded] = postings[postingStart[value * 2 + 1]!] ?? 0
  entries[at + ENTRY.asked] = -1
}

/**
 * Row 0 has every line item; a dimension's base row has those that include nothing in it. Word by word of each row,
 * because there are some 40 dimensions for each line item.
 */
function writeBaseRows(columns: CatalogColumns, plan: RowPlan, references: References, order: Uint32Array): void {
  const { rows } = columns
  const includes = references.includes.view()
  const based = INDEX_DIMENSIONS.filter(name => plan.baseRows[name] >= 0)
  const baseRows = Uint32Array.from(based, name => plan.baseRows[name])
  const spaces = Uint32Array.from(based, name => SPACE[name])
  for (let word = 0; word < plan.words; word++) {
    const first = word * 32
    const count = Math.min(32, order.length - first)
    const all = count === 32 ? -1 : (1 << count) - 1
    rows[rowPlace(plan.rows, 0, word)] = all
    for (let i = 0; i < baseRows.length; i++) {
      const space = spaces[i]!
      let including = 0
      for (let bit = 0; bit < count; bit++)
        including |= ((includes[order[first + bit]! * MASK_WORDS + (space >>> 5)]! >>> (space & 31)) & 1) << bit
      rows[rowPlace(plan.rows, baseRows[i]!, word)] = all & ~including
    }
  }
}

function writeValueRows(columns: CatalogColumns, plan: RowPlan, value: number): void {
  const include = plan.valueRow[value]!
  // Most values have no row.
  if (include < 0 && plan.valueExcludeRow[value]! < 0) return
  const name = dimensionOfSpace(plan.spaces[value]!)
  const fused = include >= 0 && name !== undefined && !isMany(name)
  const exclude = fused ? include : plan.valueExcludeRow[value]!
  const { rows, postings, entries } = columns
  if (fused)
    for (let word = 0; word < plan.words; word += TILE_WORDS) {
      const from = rowPlace(plan.rows, plan.baseRows[name], word)
      rows.copyWithin(rowPlace(plan.rows, include, word), from, from + TILE_WORDS)
    }
  const at = value * ENTRY_WORDS
  const middle = entries[at + ENTRY.excludes]!
  if (include >= 0)
    for (let i = entries[at + ENTRY.includes]!; i < middle; i++)
      rows[rowPlace(plan.rows, include, postings[i]! >>> 5)]! |= 1 << (postings[i]! & 31)
  if (exclude >= 0)
    for (let i = middle; i < entries[at + ENTRY_WORDS + ENTRY.includes]!; i++) {
      const place = rowPlace(plan.rows, exclude, postings[i]! >>> 5)
      const bit = 1 << (postings[i]! & 31)
      rows[place] = fused ? rows[place]! & ~bit : rows[place]! | bit
    }
}

function countBits(rows: Column<'u32'>, plan: RowPlan, row: number): number {
  let count = 0
  for (let i = 0; i < plan.words; i++) {
    let word = rows[rowPlace(plan.rows, row, i)]!
    word -= (word >>> 1) & 0x55555555
    word = (word & 0x33333333) + ((word >>> 2) & 0x33333333)
    count += Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
  }
  return count
}
