import { listSpace, SPACE } from './catalog.ts'
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

  /** CSR: lists of value v are memberLists[start[v] .. start[v + 1]]. Cost: O(values + members). */
  write(starts: Uint32Array, memberLists: Uint32Array): void {
    const members = this.#columns.members.view()
    if (members.length === 0) return
    for (const member of members) starts[member + 1]!++
    for (let value = 1; value < starts.length; value++) starts[value]! += starts[value - 1]!
    const next = starts.slice()
    const lists = this.#columns.lists.view()
    for (let i = 0; i < members.length; i++) memberLists[next[members[i]!]!++] = lists[i]!
  }
}
