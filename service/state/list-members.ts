import { type CatalogColumns, ENTRY, ENTRY_WORDS, listSpace, SPACE } from './catalog.ts'
import type { ListedDimension } from './dimensions.ts'
import { type Growing, growingU32, mapColumns } from './growing.ts'
import type { ListPart } from './lists.ts'
import type { TextTableBuilder } from './text-table.ts'

/** Members of lists as one collector has them: pairs of numbers of texts. */
export interface ListMembersPart {
  readonly members: Uint32Array
  readonly lists: Uint32Array
}

/** Which values are in which lists, of one build. Texts are numbers, of whoever adds. */
export class ListMembers {
  readonly #columns = { members: growingU32(), lists: growingU32() }

  /** Takes a part of a list of a dimension. Cost: O(values). */
  add({ listId, values }: ListPart, dimension: ListedDimension, texts: TextTableBuilder): void {
    const list = texts.add(listSpace(dimension), listId)
    for (let i = 0; i < values.length; i++) {
      this.#columns.members.push(texts.add(SPACE[dimension], values[i] as string))
      this.#columns.lists.push(list)
    }
  }

  get length(): number {
    return this.#columns.members.length
  }

  /** Hands over everything and has nothing any more. Cost: O(bytes). */
  take(): ListMembersPart {
    return mapColumns(this.#columns, column => column.take())
  }

  /** Adds what another one handed over; `numberOf` are its texts' numbers here. Cost: O(members). */
  append(part: ListMembersPart, numberOf: Growing<Uint32Array>): void {
    this.#columns.members.appendMapped(part.members, numberOf)
    this.#columns.lists.appendMapped(part.lists, numberOf)
  }

  /** Writes the lists of each value, and into its entry where they begin. Cost: O(values + members). */
  write({ entries, memberLists }: CatalogColumns): void {
    const members = this.#columns.members.view()
    if (members.length === 0) return
    const next = new Uint32Array(entries.length / ENTRY_WORDS)
    for (const member of members) next[member + 1]!++
    for (let value = 0; value < next.length; value++) {
      if (value > 0) next[value]! += next[value - 1]!
      entries[value * ENTRY_WORDS + ENTRY.lists] = next[value]!
    }
    const lists = this.#columns.lists.view()
    for (let i = 0; i < members.length; i++) memberLists[next[members[i]!]!++] = lists[i]!
  }
}
