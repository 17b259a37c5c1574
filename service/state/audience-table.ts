/**
 * A tenant's users in shared memory, looked up by all bid threads in place: pages of 4 KiB, each an open-addressing
 * table of its own, so that any page can take any part of any shard and nothing is ever moved or fragmented. A shard
 * that changes is built in free pages; a new map names them; and when every bid thread has turned to that map, the
 * pages of before are free. So a change costs what it changes, and never twice the memory.
 */
import { assert } from '../foundation/assert.ts'
import { LIMITS } from '../limits.ts'
import { type AudienceChunk, MEMBER_WORDS, USER_WORDS } from './audience-chunk.ts'
import { AudienceFull, SetPool } from './set-pool.ts'

/** Words of a page, and users it can have; one slot stays free, so that every search ends. */
export const PAGE_WORDS = 1_024
/** Slots of a page: a user's hash and the place of its set, 0 = free. */
export const PAGE_SLOTS = Math.floor(PAGE_WORDS / USER_WORDS)
const PAGE_BYTES = PAGE_WORDS * 4
/** Users of a page on average: 17.1 bytes each. One that gets 100 more, 6 deviations, makes its shard take another. */
const PAGE_USERS = 240
/** A map: how many bits of a hash say the shard, then of each shard where its pages begin and how many, then pages. */
export const MAP_SHARDS = 1
const MAP_PAGES = MAP_SHARDS + 2 * LIMITS.audienceShardsMax

/** Shared with bid threads. */
export interface AudienceMemory {
  readonly pages: SharedArrayBuffer
  readonly sets: SharedArrayBuffer
  /** Read by turns. */
  readonly maps: readonly [SharedArrayBuffer, SharedArrayBuffer]
}

/** Memory for users, untouched. @param bytesMax of pages */
export function createAudienceMemory(bytesMax: number): AudienceMemory {
  const pages = Math.floor(Math.min(LIMITS.audienceBytesMax, bytesMax) / PAGE_BYTES)
  const map = () => new SharedArrayBuffer((MAP_PAGES + pages) * 4)
  return {
    pages: new SharedArrayBuffer(pages * PAGE_BYTES),
    sets: new SharedArrayBuffer(Math.min(LIMITS.audienceSetBytesMax, Math.ceil(bytesMax / 4))),
    maps: [map(), map()],
  }
}

/** Where a user's slots begin in a page. */
export function firstSlotOf(first: number): number {
  return (first & 0x3fff_ffff) % PAGE_SLOTS
}

/** Instead of an ordinal: no set has it. */
const NO_SEGMENT = 0xffff_ffff

interface ShardPages {
  readonly pages: readonly number[]
  readonly users: number
  /** Entries of the map that have it: several while a shard of before stands for its parts. */
  shares: number
  /** What the pages say of sets is not to be relied on. */
  isDamaged: boolean
}

/** The one writer, on the control thread. Nothing that is put is read before its map is. */
export class AudienceTable {
  readonly #memory: AudienceMemory
  readonly #words: Uint32Array
  readonly #sets: SetPool
  /** Pages that were used and are free; behind them those that never were. */
  readonly #free: number[] = []
  #touched = 0
  #bits = 0
  #shards: (ShardPages | undefined)[] = [undefined]
  /** Of shards that were replaced, and may still be read. */
  #left: ShardPages[] = []
  #slot: 0 | 1 = 0
  #users = 0
  readonly #segments: string[] = []
  readonly #segmentOrdinals = new Map<string, number>()

  constructor(memory: AudienceMemory) {
    this.#memory = memory
    this.#words = new Uint32Array(memory.pages)
    this.#sets = new SetPool(memory.sets)
  }

  get users(): number {
    return this.#users
  }

  /** Names of segments by the ordinals that sets have. It only grows. */
  get segments(): readonly string[] {
    return this.#segments
  }

  /** Memory that was touched, and is kept for what comes. */
  get bytes(): number {
    return this.#touched * PAGE_BYTES + this.#sets.bytes
  }

  /** Distinct sets of segments, and their memory. */
  get sets(): { readonly count: number; readonly bytes: number } {
    return { count: this.#sets.sets, bytes: this.#sets.bytes }
  }

  /** Memory of pages that would be filled since the last map, and are not free again before it is settled. */
  get spareBytes(): number {
    return this.#left.reduce((sum, { pages }) => sum + pages.length, 0) * PAGE_BYTES
  }

  /**
   * Builds one shard of 2 to the power of `bits`, in place of what its users had before.
   * @throws AudienceFull; then the shard is as before. Cost: O(users)
   */
  put(shard: number, bits: number, chunk: AudienceChunk | undefined): void {
    const built = this.#build(chunk)
    if (bits > this.#bits) this.#split(bits)
    const parts = 1 << (this.#bits - bits)
    for (let i = shard * parts; i < (shard + 1) * parts; i++) {
      this.#letGo(this.#shards[i])
      this.#shards[i] = built
      built.shares++
    }
    this.#users += built.users
  }

  /**
   * Whether readers of the last map find exactly these users in a shard of 2 to the power of `bits`. Pure.
   * Cost: O(users)
   */
  isSame(shard: number, bits: number, chunk: AudienceChunk | undefined): boolean {
    const map = new Uint32Array(this.#memory.maps[this.#slot])
    if (map[0] !== this.#bits || bits > this.#bits) return false
    const parts = 1 << (this.#bits - bits)
    const at = MAP_SHARDS + 2 * shard * parts
    const [start = 0, count = 0] = map.subarray(at, at + 2)
    for (let i = 1; i < parts; i++) if (map[at + 2 * i] !== start || map[at + 2 * i + 1] !== count) return false
    const pages = map.subarray(start, start + count)
    if (this.#usersIn(pages) !== (chunk?.users.length ?? 0) / USER_WORDS) return false
    return chunk === undefined || this.#haveAll(pages, chunk)
  }

  /** As put, for a shard that is not what it was: its sets are not let go of, because nothing says which they are. */
  replace(shard: number, bits: number, chunk: AudienceChunk | undefined): void {
    const parts = 1 << Math.max(0, this.#bits - bits)
    for (const each of this.#shards.slice(shard * parts, (shard + 1) * parts)) if (each) each.isDamaged = true
    this.put(shard, bits, chunk)
  }

  #usersIn(pages: Uint32Array): number {
    let users = 0
    for (const page of pages) {
      const end = (page + 1) * PAGE_WORDS - 1
      for (let at = page * PAGE_WORDS + 2; at < end; at += USER_WORDS) if (this.#words[at] !== 0) users++
    }
    return users
  }

  #haveAll(pages: Uint32Array, chunk: AudienceChunk): boolean {
    const { segments, setEnds, users } = chunk
    const ordinals = segments.map(name => this.#segmentOrdinals.get(name) ?? NO_SEGMENT)
    /** Where each set was found last: nearly always all its users have the same place. */
    const places = new Uint32Array(setEnds.length)
    for (let i = 0; i < users.length; i += USER_WORDS) {
      const [place, set] = [this.#placeOf(pages, users[i]!, users[i + 1]!), users[i + 2]!]
      if (place === 0 || (place !== places[set] && !this.#sets.has(place, setWords(chunk, set, ordinals)))) return false
      places[set] = place
    }
    return true
  }

  /** The place of a user's set, as readers find it; 0 = none. */
  #placeOf(pages: Uint32Array, first: number, second: number): number {
    const start = pages[pageOf(second, pages.length)]! * PAGE_WORDS
    let slot = firstSlotOf(first)
    for (let i = 0; i < PAGE_SLOTS; i++) {
      const at = start + slot * USER_WORDS
      const place = this.#words[at + 2] ?? 0
      if (place === 0 || (this.#words[at] === first && this.#words[at + 1] === second)) return place
      slot = slot === PAGE_SLOTS - 1 ? 0 : slot + 1
    }
    return 0
  }

  /** Writes the map of all that was put. @returns which of the two it is, for the bid threads to turn to */
  place(): 0 | 1 {
    this.#slot = this.#slot === 0 ? 1 : 0
    const map = new Uint32Array(this.#memory.maps[this.#slot])
    map[0] = this.#bits
    let end = MAP_PAGES
    const starts = new Map<ShardPages, number>()
    for (const [i, shard] of this.#shards.entries()) {
      let start = shard && starts.get(shard)
      if (shard !== undefined && start === undefined) {
        start = end
        starts.set(shard, start)
        map.set(shard.pages, end)
        end += shard.pages.length
      }
      map[MAP_SHARDS + 2 * i] = start ?? MAP_PAGES
      map[MAP_SHARDS + 2 * i + 1] = shard?.pages.length ?? 0
    }
    return this.#slot
  }

  /** Frees what the map before had. Call it when every reader has turned to the last map. Cost: O(users of that) */
  settle(): void {
    for (const shard of this.#left) this.#freePages(shard)
    this.#left = []
  }

  #letGo(shard: ShardPages | undefined): void {
    if (shard === undefined || --shard.shares > 0) return
    this.#users -= shard.users
    this.#left.push(shard)
  }

  /** Each shard is several from now on, that have the pages of before until they are replaced. */
  #split(bits: number): void {
    assert(2 ** bits <= LIMITS.audienceShardsMax, 'shards fit the map', { bits })
    const parts = 1 << (bits - this.#bits)
    this.#shards = this.#shards.flatMap(shard => Array.from({ length: parts }, () => shard))
    for (const shard of new Set(this.#shards)) if (shard !== undefined) shard.shares *= parts
    this.#bits = bits
  }

  #build(chunk: AudienceChunk | undefined): ShardPages {
    if (chunk === undefined) return { pages: [], users: 0, shares: 0, isDamaged: false }
    const places = this.#takeSets(chunk)
    const users = chunk.users.length / USER_WORDS
    for (let count = Math.ceil(users / PAGE_USERS); ; count++) {
      const pages = this.#takePages(count, places)
      if (this.#fill(pages, chunk.users, places)) return { pages, users, shares: 0, isDamaged: false }
      this.#free.push(...pages)
    }
  }

  /** Places of those sets that any user has. */
  #takeSets(chunk: AudienceChunk): Uint32Array {
    const { segments, setEnds, users } = chunk
    const ordinals = segments.map(name => this.#segmentOrdinal(name))
    const places = new Uint32Array(setEnds.length)
    try {
      for (let at = 2; at < users.length; at += USER_WORDS) {
        const set = users[at]!
        if (places[set] !== 0) continue
        places[set] = this.#sets.take(setWords(chunk, set, ordinals))
      }
    } catch (error) {
      this.#releaseSets(places)
      throw error
    }
    return places
  }

  #segmentOrdinal(name: string): number {
    const known = this.#segmentOrdinals.get(name)
    if (known !== undefined) return known
    if (this.#segments.length >= LIMITS.audienceSegmentsMax)
      throw new AudienceFull(`more than ${LIMITS.audienceSegmentsMax} different segments since the task began`)
    this.#segmentOrdinals.set(name, this.#segments.length)
    return this.#segments.push(name) - 1
  }

  #takePages(count: number, places: Uint32Array): readonly number[] {
    if (count > this.#free.length + this.#words.length / PAGE_WORDS - this.#touched) {
      this.#releaseSets(places)
      throw new AudienceFull(`users need more than the ${this.#words.byteLength} bytes that there are for them`)
    }
    const pages: number[] = []
    for (let i = 0; i < count; i++) {
      const page = this.#free.pop() ?? this.#touched++
      this.#words.fill(0, page * PAGE_WORDS, (page + 1) * PAGE_WORDS)
      pages.push(page)
    }
    return pages
  }

  /** @returns whether all pages had room. */
  #fill(pages: readonly number[], users: Uint32Array, places: Uint32Array): boolean {
    const words = this.#words
    const filled = new Uint16Array(pages.length)
    for (let i = 0; i < users.length; i += USER_WORDS) {
      const [first, second] = [users[i]!, users[i + 1]!]
      const page = pageOf(second, pages.length)
      if (++filled[page]! >= PAGE_SLOTS) return false
      const start = pages[page]! * PAGE_WORDS
      let slot = firstSlotOf(first)
      while (words[start + slot * USER_WORDS + 2] !== 0) slot = slot === PAGE_SLOTS - 1 ? 0 : slot + 1
      const at = start + slot * USER_WORDS
      words[at] = first
      words[at + 1] = second
      words[at + 2] = places[users[i + 2]!]!
    }
    return true
  }

  #freePages({ pages, isDamaged }: ShardPages): void {
    const places = new Set<number>()
    for (const page of pages) {
      const end = (page + 1) * PAGE_WORDS - 1
      for (let at = page * PAGE_WORDS + 2; at < end; at += USER_WORDS) places.add(this.#words[at]!)
      this.#free.push(page)
    }
    if (!isDamaged) this.#releaseSets(places)
  }

  #releaseSets(places: Iterable<number>): void {
    for (const place of places) if (place !== 0) this.#sets.release(place)
  }
}

/** Which of a shard's pages has a user. */
export function pageOf(second: number, pages: number): number {
  return Math.floor((second * pages) / 2 ** 32)
}

/** Members of one set, as the pool has them. @param ordinals of the chunk's segments */
function setWords({ setEnds, members }: AudienceChunk, set: number, ordinals: readonly number[]): Uint32Array {
  const start = set === 0 ? 0 : setEnds[set - 1]!
  const words = members.slice(start * MEMBER_WORDS, setEnds[set]! * MEMBER_WORDS)
  for (let i = 0; i < words.length; i += MEMBER_WORDS) words[i] = ordinals[words[i]!]!
  return inOrder(words)
}

/** Members sorted by segment, in place: those of one shard have another order than those of the next. */
function inOrder(members: Uint32Array): Uint32Array {
  for (let i = MEMBER_WORDS; i < members.length; i += MEMBER_WORDS) {
    const [segment, minute] = [members[i]!, members[i + 1]!]
    let at = i
    for (; at > 0 && members[at - MEMBER_WORDS]! > segment; at -= MEMBER_WORDS) {
      members[at] = members[at - MEMBER_WORDS]!
      members[at + 1] = members[at - MEMBER_WORDS + 1]!
    }
    members[at] = segment
    members[at + 1] = minute
  }
  return members
}
