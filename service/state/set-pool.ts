/** Distinct sets of segments in shared memory: each is held once, for as long as a shard has users with it. */
import { assert } from '../foundation/assert.ts'
import { mixWord } from '../foundation/hash.ts'
import { MEMBER_WORDS } from './audience-chunk.ts'

/** Words of a set before its members: shards that have it, and how many members it has. */
export const SET_HEAD_WORDS = 2
/** A set's place is never 0, which stands for none. */
const FIRST = 2
const SLOTS_MIN = 1_024
const SLOTS_FULL = 0.7

/** More users, sets or different segments than there is memory for: an operating error, what is served serves on. */
export class AudienceFull extends Error {
  override readonly name = 'AudienceFull'
}

/** The one writer. Readers look at a set's words by its place, which they have from a user's slot. */
export class SetPool {
  readonly #words: Uint32Array
  #end = FIRST
  /** Places of sets that nobody has any more, by their number of members: what the next of this size takes. */
  readonly #free = new Map<number, number[]>()
  /** Places of all sets by their hash; open addressing, 0 = free. */
  #slots = new Uint32Array(SLOTS_MIN)
  #sets = 0

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Uint32Array(memory)
  }

  /** Distinct sets that are held. */
  get sets(): number {
    return this.#sets
  }

  /** Memory that was ever touched; it is used again, but not given back. */
  get bytes(): number {
    return this.#end * 4 + this.#slots.byteLength
  }

  /** The place of a set, from now on held once more. @throws AudienceFull. Cost: O(members) */
  take(members: Uint32Array): number {
    if (this.#sets >= this.#slots.length * SLOTS_FULL) this.#grow()
    const mask = this.#slots.length - 1
    let slot = hashOf(members) & mask
    for (; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      const place = this.#slots[slot]!
      if (!this.has(place, members)) continue
      this.#words[place] = this.#words[place]! + 1
      return place
    }
    const place = this.#write(members)
    this.#slots[slot] = place
    this.#sets++
    return place
  }

  /** Holds the set at a place once less. Call it when no reader can have the place any more. Cost: O(members) */
  release(place: number): void {
    const holders = this.#words[place]! - 1
    assert(holders >= 0, 'a set that is held is let go', { place })
    this.#words[place] = holders
    if (holders > 0) return
    this.#unlist(place)
    this.#sets--
    const size = this.#words[place + 1]!
    const free = this.#free.get(size)
    if (free === undefined) this.#free.set(size, [place])
    else free.push(place)
  }

  /** Whether a place, any number, has these members. Cost: O(members) */
  has(place: number, members: Uint32Array): boolean {
    if (this.#words[place + 1]! * MEMBER_WORDS !== members.length) return false
    for (let i = 0; i < members.length; i++) if (this.#words[place + SET_HEAD_WORDS + i] !== members[i]) return false
    return true
  }

  #write(members: Uint32Array): number {
    const size = members.length / MEMBER_WORDS
    let place = this.#free.get(size)?.pop()
    if (place === undefined) {
      place = this.#end
      if (place + SET_HEAD_WORDS + members.length > this.#words.length)
        throw new AudienceFull(`more than ${this.#words.byteLength} bytes of distinct sets of segments`)
      this.#end += SET_HEAD_WORDS + members.length
    }
    this.#words[place] = 1
    this.#words[place + 1] = size
    this.#words.set(members, place + SET_HEAD_WORDS)
    return place
  }

  #membersAt(place: number): Uint32Array {
    const start = place + SET_HEAD_WORDS
    return this.#words.subarray(start, start + this.#words[place + 1]! * MEMBER_WORDS)
  }

  /** Takes a place out and closes the gap, so that every other one is still found. */
  #unlist(place: number): void {
    const slots = this.#slots
    const mask = slots.length - 1
    let gap = hashOf(this.#membersAt(place)) & mask
    while (slots[gap] !== place) gap = (gap + 1) & mask
    for (let next = (gap + 1) & mask; slots[next] !== 0; next = (next + 1) & mask) {
      const home = hashOf(this.#membersAt(slots[next]!)) & mask
      if (((next - home) & mask) < ((next - gap) & mask)) continue
      slots[gap] = slots[next]!
      gap = next
    }
    slots[gap] = 0
  }

  #grow(): void {
    const before = this.#slots
    this.#slots = new Uint32Array(before.length * 2)
    const mask = this.#slots.length - 1
    for (const place of before) {
      if (place === 0) continue
      let slot = hashOf(this.#membersAt(place)) & mask
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask
      this.#slots[slot] = place
    }
  }
}

function hashOf(members: Uint32Array): number {
  let hash = members.length
  for (let i = 0; i < members.length; i++) hash = mixWord(Math.imul(hash, 31) ^ members[i]!)
  return hash
}
