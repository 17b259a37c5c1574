/** Collects what line items target, as references for the index and programs for what it cannot answer. */
import { type CatalogColumns, dimensionOfSpace, ENTRY, ENTRY_WORDS, listSpace, MASK_WORDS, SPACE } from './catalog.ts'
import {
  addProgram,
  type Dictionary,
  divideTargeting,
  HAS,
  keysOf,
  type PlainRule,
  SPLIT,
  WORD_BITS,
} from './conditions.ts'
import type { DimensionName, ListedDimension } from './dimensions.ts'
import type { Targeting } from './documents.ts'
import { type Growing, growingU32, mapColumns } from './growing.ts'
import type { References } from './index-builder.ts'
import { hashAt, NO_HASHES, placeOfHashes } from './list-hashes.ts'
import type { TextTableBuilder } from './text-table.ts'
import { splitHash } from './user-split.ts'

/** What a line item has beside its targeting that the index selects by. */
export interface Selected {
  readonly slots: readonly number[]
  readonly deals: readonly string[] | undefined
}

/** Targeting as one collector has it, texts by its own numbers. Lists lie one after another, as in LineItemsPart. */
export interface TargetingPart {
  readonly start: Uint32Array
  readonly lists: Uint32Array
  readonly includes: Uint32Array
  readonly programStart: Uint32Array
  readonly programs: Uint32Array
}

/** Distinct programs of a catalog, and which line items have which. */
interface ProgramPlan {
  /** Per line item as added: 0 = none, else program + 1. */
  readonly ofLineItem: Uint32Array
  readonly starts: readonly number[]
  readonly words: readonly number[]
  readonly splits: readonly (readonly [salt: string, from: number, to: number])[]
  /** Values that programs ask for, and their dimensions. */
  readonly asked: readonly number[]
  readonly askedDimensions: readonly DimensionName[]
}

/** Targeting of one build's line items. Texts are numbers, of whoever adds. */
export class TargetingColumns {
  readonly #columns = {
    start: growingU32(),
    lists: growingU32(),
    includes: growingU32(),
    programStart: growingU32(),
    programs: growingU32(),
  }
  /** Of the line item at hand. */
  readonly #includeMask = new Uint32Array(MASK_WORDS)

  /** What the index is built from. */
  get references(): References {
    return this.#columns
  }

  /** Takes the targeting of one line item. Cost: O(its values). */
  add(targeting: Targeting, { slots, deals }: Selected, dictionary: Dictionary): void {
    const { texts } = dictionary
    const { start, lists, includes, programStart, programs } = this.#columns
    const { rules, demands } = divideTargeting(targeting)
    start.push(lists.length)
    this.#includeMask.fill(0)
    for (const rule of rules) this.#addRule(rule, texts)
    for (const slot of slots) lists.push(texts.add(SPACE.slot, String(slot)) * 2)
    for (const deal of deals ?? []) lists.push(texts.add(SPACE.deal, deal) * 2)
    if (deals !== undefined) this.#includesIn(SPACE.deal)
    this.#includesIn(SPACE.slot)
    includes.append(this.#includeMask)
    programStart.push(programs.length)
    addProgram(demands, dictionary, programs)
  }

  #addRule(rule: PlainRule, texts: TextTableBuilder): void {
    const { name, include, exclude, includeLists, excludeLists } = rule
    if (include !== undefined || includeLists.length > 0) this.#includesIn(SPACE[name])
    if (include !== undefined) this.#refer(name, include, 0, texts)
    this.#refer(name, exclude, 1, texts)
    const { lists } = this.#columns
    for (const id of includeLists) lists.push(texts.add(listSpace(name as ListedDimension), id) * 2)
    for (const id of excludeLists) lists.push(texts.add(listSpace(name as ListedDimension), id) * 2 + 1)
  }

  #includesIn(space: number): void {
    this.#includeMask[space >>> 5]! |= 1 << (space & 31)
  }

  /** One list of one dimension. A value that comes twice, as dayparts can overlap, does no harm: bits are only set. */
  #refer(name: DimensionName, values: readonly (string | number)[], exclude: 0 | 1, texts: TextTableBuilder): void {
    const { lists } = this.#columns
    const space = SPACE[name]
    const place = placeOfHashes(values)
    if (place !== NO_HASHES) {
      for (let i = 0; i < values.length; i++)
        lists.push(texts.addScanned(space, values[i] as string, hashAt(place, i)) * 2 + exclude)
      return
    }
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!
      if (typeof value === 'string' && name !== 'daypart' && name !== 'viewerDaypart')
        lists.push(texts.add(space, value) * 2 + exclude)
      else for (const key of keysOf(name, value)) lists.push(texts.add(space, key) * 2 + exclude)
    }
  }

  /** Hands over everything and has nothing any more. Cost: O(bytes). */
  take(): TargetingPart {
    return mapColumns(this.#columns, column => column.take())
  }

  /** Adds what another one handed over; `numberOf` are its texts' numbers here. Cost: O(bytes). */
  append(part: TargetingPart, numberOf: Growing<Uint32Array>): void {
    const { start, lists, includes, programStart, programs } = this.#columns
    start.append(part.start, lists.length)
    const numbers = numberOf.view()
    const ours = part.lists.map(value => numbers[value >>> 1]! * 2 + (value & 1))
    lists.append(ours)
    includes.append(part.includes)
    programStart.append(part.programStart, programs.length)
    for (let i = 0; i < part.programs.length; i++) {
      const word = part.programs[i]!
      const operation = word & ((1 << WORD_BITS) - 1)
      const named = operation === HAS || operation === SPLIT
      programs.push(named ? (numberOf.at(word >>> WORD_BITS) << WORD_BITS) | operation : word)
    }
  }

  /** Line items that say the same have one program, which a request runs at most once. Cost: O(words). */
  planPrograms(texts: TextTableBuilder): ProgramPlan {
    const { programStart, programs } = this.#columns
    const ofLineItem = new Uint32Array(programStart.length)
    const known = new Map<string, number>()
    const linked = { splits: [] as number[], asked: [] as number[], numbers: new Map<number, number>() }
    const plan = { starts: [0], words: [] as number[] }
    for (let at = 0; at < ofLineItem.length; at++) {
      const end = at + 1 < programStart.length ? programStart.at(at + 1) : programs.length
      const words = programs.view().subarray(programStart.at(at), end)
      if (words.length === 0) continue
      const key = words.join()
      let program = known.get(key)
      if (program === undefined) {
        program = known.size
        known.set(key, program)
        for (const word of words) plan.words.push(linkedWord(word, linked))
        plan.starts.push(plan.words.length)
      }
      ofLineItem[at] = program + 1
    }
    return {
      ...{ ...plan, ofLineItem, asked: linked.asked, splits: linked.splits.map(split => splitOf(texts.text(split))) },
      askedDimensions: linked.asked.map(value => dimensionOfSpace(texts.space(value)) as DimensionName),
    }
  }
}

/** What programs name, numbered by kind in the order of first mention; `numbers` has the number of each. */
interface Linked {
  readonly splits: number[]
  readonly asked: number[]
  readonly numbers: Map<number, number>
}

/** A word as the catalog has it: splits and values by their own numbers. */
function linkedWord(word: number, { splits, asked, numbers }: Linked): number {
  const operation = word & ((1 << WORD_BITS) - 1)
  if (operation !== HAS && operation !== SPLIT) return word
  const text = word >>> WORD_BITS
  const named = operation === HAS ? asked : splits
  const number = numbers.get(text) ?? named.push(text) - 1
  numbers.set(text, number)
  return (number << WORD_BITS) | operation
}

function splitOf(text: string): readonly [salt: string, from: number, to: number] {
  const [salt = '', from, to] = text.split(' ')
  return [salt, Number(from), Number(to)]
}

/** Lengths of the programs' columns, in elements. */
export function programSizes(plan: ProgramPlan) {
  return {
    lineItemProgram: plan.ofLineItem.length,
    programStart: plan.starts.length,
    programWords: plan.words.length,
    askedDimension: plan.asked.length,
    splitSalt: plan.splits.length,
    splitFrom: plan.splits.length,
    splitTo: plan.splits.length,
  }
}

/** Writes programs, and their numbers into the entries of values that they ask. Cost: O(line items + words). */
export function writePrograms(columns: CatalogColumns, plan: ProgramPlan, order: Uint32Array): void {
  for (let ordinal = 0; ordinal < order.length; ordinal++)
    columns.lineItemProgram[ordinal] = plan.ofLineItem[order[ordinal]!]!
  columns.programStart.set(plan.starts)
  columns.programWords.set(plan.words)
  for (let i = 0; i < plan.asked.length; i++) {
    columns.askedDimension[i] = SPACE[plan.askedDimensions[i]!]
    columns.entries[plan.asked[i]! * ENTRY_WORDS + ENTRY.asked] = i
  }
  for (let i = 0; i < plan.splits.length; i++) {
    const [salt, from, to] = plan.splits[i]!
    columns.splitSalt[i] = splitHash(salt)
    columns.splitFrom[i] = from
    columns.splitTo[i] = to
  }
}
