/** Looks up what segments a user has, in shared memory that a control thread changes meanwhile. */
import { type HashKey, keyedHash } from '../foundation/keyed-hash.ts'
import { LIMITS } from '../limits.ts'
import { MEMBER_WORDS, USER_WORDS } from './audience-chunk.ts'
import { type AudienceMemory, firstSlotOf, MAP_SHARDS, PAGE_SLOTS, PAGE_WORDS, pageOf } from './audience-table.ts'
import { SET_HEAD_WORDS } from './set-pool.ts'

/** What bid threads are told when users have changed. */
export interface AudienceTurn {
  /** The map to read from now on. */
  readonly map: 0 | 1
  /** Of the hashes of the tenant's users. */
  readonly key: HashKey
  /** Whether all users there are have been taken once, or cannot be. */
  readonly isOpen: boolean
  /** By ordinal; only where there are more than the last time. */
  readonly segments: readonly string[] | undefined
}

/** Who knows what segments a user has. */
export type SegmentLookup = Pick<AudienceReader, 'isEmpty' | 'addSegments'>

/** One thread's view. No lookup lasts from one turn to the next, so that whatever a turn left can be overwritten. */
export class AudienceReader {
  readonly #pages: Uint32Array
  readonly #sets: Uint32Array
  readonly #maps: readonly [Uint32Array, Uint32Array]
  #map: Uint32Array
  #segments: readonly string[] = []
  #key: HashKey = [0, 0]
  #isOpen = false
  readonly #hash = new Uint32Array(2)

  constructor({ pages, sets, maps }: AudienceMemory) {
    this.#pages = new Uint32Array(pages)
    this.#sets = new Uint32Array(sets)
    this.#maps = [new Uint32Array(maps[0]), new Uint32Array(maps[1])]
    this.#map = this.#maps[0]
  }

  /** False until all users there are have been taken once: till then it is not known who must not see something. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Whether nobody was ever in a segment: then no id has to be hashed. */
  get isEmpty(): boolean {
    return this.#segments.length === 0
  }

  /** Reads another map from now on. */
  turn({ map, key, isOpen, segments }: AudienceTurn): void {
    this.#isOpen = isOpen
    this.#map = this.#maps[map]
    this.#key = key
    this.#segments = segments ?? this.#segments
  }

  /**
   * Appends the segments of the user with an id, each once, up to LIMITS.segmentsPerUserMax more.
   * @param idText see user-ids.ts. @param nowMs what has ended by then does not count. Mutates `found`.
   */
  addSegments(idText: string, nowMs: number, found: string[]): void {
    keyedHash(idText, this.#key, this.#hash)
    const set = this.#setOf(this.#hash[0]!, this.#hash[1]!)
    if (set === 0) return
    const nowMinute = Math.floor(nowMs / 60_000)
    const sets = this.#sets
    const start = set + SET_HEAD_WORDS
    const end = start + sets[set + 1]! * MEMBER_WORDS
    for (let at = start; at < end && found.length < LIMITS.segmentsFoundMax; at += MEMBER_WORDS) {
      if (sets[at + 1]! <= nowMinute) continue
      const segment = this.#segments[sets[at]!]
      if (segment !== undefined && !found.includes(segment)) found.push(segment)
    }
  }

  /** The place of a user's set; 0 = none. */
  #setOf(first: number, second: number): number {
    const map = this.#map
    const bits = map[0]!
    const entry = MAP_SHARDS + 2 * (bits === 0 ? 0 : first >>> (32 - bits))
    const pages = map[entry + 1]!
    if (pages === 0) return 0
    const start = map[map[entry]! + pageOf(second, pages)]! * PAGE_WORDS
    let slot = firstSlotOf(first)
    for (;;) {
      const at = start + slot * USER_WORDS
      const set = this.#pages[at + 2]!
      if (set === 0 || (this.#pages[at] === first && this.#pages[at + 1] === second)) return set
      slot = slot === PAGE_SLOTS - 1 ? 0 : slot + 1
    }
  }
}
