/** One shard of a tenant's users, to be changed: what a publisher reads, changes and writes. */
import { LIMITS } from '../limits.ts'
import { type AudienceChunk, encodeAudienceChunk, MEMBER_WORDS, USER_WORDS } from './audience-chunk.ts'
import { growingU32 } from './growing.ts'

/** Set 0 has no members: a user with it is none any more. */
const NO_MEMBERS = 0
const SLOTS_MIN = 256
const SLOTS_FULL = 0.7
/** More than any set has an ordinal, and any minute: a key of two numbers. */
const MINUTES = 2 ** 32

/** Users by hash, each with a set of segments; the same set is held once. Mutable. */
export class AudienceShard {
  /** Three words each: a user's hash, and the ordinal of its set plus 1; 0 = free. Open addressing. */
  #slots = new Uint32Array(SLOTS_MIN * USER_WORDS)
  #used = 0
  readonly #segments: string[] = []
  readonly #segmentOrdinals = new Map<string, number>()
  /** Members of each set: ordinals of segments, growing, each followed by its minute. */
  readonly #sets: (readonly number[])[] = [[]]
  readonly #setOrdinals = new Map<string, number>([['', NO_MEMBERS]])

  constructor(chunk?: AudienceChunk) {
    if (chunk === undefined) return
    const segments = chunk.segments.map(name => this.#segmentOrdinal(name))
    const ordinals = new Uint32Array(chunk.setEnds.length)
    let start = 0
    for (const [set, end] of chunk.setEnds.entries()) {
      const members: number[] = []
      for (let at = start * MEMBER_WORDS; at < end * MEMBER_WORDS; at += MEMBER_WORDS)
        members.push(segments[chunk.members[at]!]!, chunk.members[at + 1]!)
      ordinals[set] = this.#setOrdinal(members)
      start = end
    }
    const { users } = chunk
    for (let i = 0; i < users.length; i += USER_WORDS) {
      // Looked for first: it may make the slots grow.
      const slot = this.#slotOf(users[i]!, users[i + 1]!)
      this.#slots[slot + 2] = ordinals[users[i + 2]!]! + 1
    }
  }

  /** Users with any segment. Cost: O(users) */
  get users(): number {
    let users = 0
    for (let at = 2; at < this.#slots.length; at += USER_WORDS) if (this.#slots[at]! > NO_MEMBERS + 1) users++
    return users
  }

  /**
   * What makes members of a segment, until a minute since 1970, of users; a later end replaces an earlier one.
   * @returns a function of a user's hash. It says false for a user who has LIMITS.segmentsPerUserMax others already.
   */
  adder(segment: string): (first: number, second: number, minute: number) => boolean {
    const ordinal = this.#segmentOrdinal(segment)
    const known = new Map<number, number>()
    return (first, second, minute) => {
      const slot = this.#slotOf(first, second)
      const before = this.#slots[slot + 2]! - 1
      const key = before * MINUTES + minute
      let after = known.get(key)
      if (after === undefined) {
        after = this.#setOrdinal(withMember(this.#sets[before]!, ordinal, minute))
        known.set(key, after)
      }
      this.#slots[slot + 2] = after + 1
      if (this.#sets[after]!.length <= LIMITS.segmentsPerUserMax * MEMBER_WORDS) return true
      this.#slots[slot + 2] = before + 1
      return false
    }
  }

  /** What takes a segment from users, by their hashes. */
  remover(segment: string): (first: number, second: number) => void {
    const after = this.#mappedSets(members => without(members, this.#segmentOrdinal(segment)))
    return (first, second) => {
      const slot = this.#slotOf(first, second)
      this.#slots[slot + 2] = after(this.#slots[slot + 2]! - 1) + 1
    }
  }

  /** Takes a segment from everybody. Cost: O(users) */
  empty(segment: string): void {
    const ordinal = this.#segmentOrdinal(segment)
    this.#mapAll(this.#mappedSets(members => without(members, ordinal)))
  }

  /** Takes away what has ended at a minute since 1970. Cost: O(users) */
  dropEnded(minute: number): void {
    this.#mapAll(
      this.#mappedSets(members => {
        const left: number[] = []
        for (let i = 0; i < members.length; i += MEMBER_WORDS)
          if (members[i + 1]! > minute) left.push(members[i]!, members[i + 1]!)
        return left
      }),
    )
  }

  /** Takes a user out. @returns whether it was there */
  forget(first: number, second: number): boolean {
    const slot = this.#slotOf(first, second)
    const wasThere = this.#slots[slot + 2]! > NO_MEMBERS + 1
    this.#slots[slot + 2] = NO_MEMBERS + 1
    return wasThere
  }

  /**
   * As chunks of equal parts of the hashes' range, a power of two of them, in their order; undefined where nobody is.
   * Users, sets and segments that are needed no more are left out.
   * @param bits of the hash that all users of this shard share. @throws AudienceChunkProblem. Cost: O(users)
   */
  encode(bits: number, parts: number): readonly (EncodedShard | undefined)[] {
    const users = Array.from({ length: parts }, () => growingU32())
    const shift = 32 - bits - Math.log2(parts)
    for (let at = 0; at < this.#slots.length; at += USER_WORDS) {
      const set = this.#slots[at + 2]!
      if (set <= NO_MEMBERS + 1) continue
      const part = parts === 1 ? 0 : (this.#slots[at]! >>> shift) & (parts - 1)
      const list = users[part]!
      list.push(this.#slots[at]!)
      list.push(this.#slots[at + 1]!)
      list.push(set - 1)
    }
    return users.map(list => (list.length === 0 ? undefined : this.#encoded(list.take())))
  }

  #encoded(users: Uint32Array): EncodedShard {
    const sets = new Map<number, number>()
    for (let at = 2; at < users.length; at += USER_WORDS) {
      const set = sets.get(users[at]!) ?? sets.size
      sets.set(users[at]!, set)
      users[at] = set
    }
    const used = new Set<number>()
    for (const set of sets.keys()) for (const [i, word] of this.#sets[set]!.entries()) if (i % 2 === 0) used.add(word)
    // In the order of their ordinals here, so that members stay in order.
    const segments = [...used].sort((one, other) => one - other)
    const ordinals = new Map(segments.map((ordinal, i) => [ordinal, i]))
    const [setEnds, members] = [growingU32(), growingU32()]
    for (const set of sets.keys()) {
      const of = this.#sets[set]!
      for (let i = 0; i < of.length; i += MEMBER_WORDS) {
        members.push(ordinals.get(of[i]!)!)
        members.push(of[i + 1]!)
      }
      setEnds.push(members.length / MEMBER_WORDS)
    }
    const names = segments.map(ordinal => this.#segments[ordinal]!)
    const chunk = { segments: names, setEnds: setEnds.take(), members: members.take(), users }
    const memberCount = chunk.members.length / MEMBER_WORDS
    return {
      bytes: encodeAudienceChunk(chunk),
      users: users.length / USER_WORDS,
      sets: sets.size,
      members: memberCount,
    }
  }

  #mapAll(after: (set: number) => number): void {
    for (let at = 2; at < this.#slots.length; at += USER_WORDS)
      if (this.#slots[at] !== 0) this.#slots[at] = after(this.#slots[at]! - 1) + 1
  }

  #mappedSets(change: (members: readonly number[]) => readonly number[]): (set: number) => number {
    const known: (number | undefined)[] = []
    return set => {
      const after = known[set] ?? this.#setOrdinal(change(this.#sets[set]!))
      known[set] = after
      return after
    }
  }

  #segmentOrdinal(name: string): number {
    const known = this.#segmentOrdinals.get(name)
    if (known !== undefined) return known
    this.#segmentOrdinals.set(name, this.#segments.length)
    return this.#segments.push(name) - 1
  }

  #setOrdinal(members: readonly number[]): number {
    const key = members.join()
    const known = this.#setOrdinals.get(key)
    if (known !== undefined) return known
    this.#setOrdinals.set(key, this.#sets.length)
    return this.#sets.push(members) - 1
  }

  /** The slot of a user; the first free one, marked as its, for a user that was not here. */
  #slotOf(first: number, second: number): number {
    if (this.#used > (this.#slots.length / USER_WORDS) * SLOTS_FULL) this.#grow()
    const slots = this.#slots
    const mask = slots.length / USER_WORDS - 1
    for (let slot = second & mask; ; slot = (slot + 1) & mask) {
      const at = slot * USER_WORDS
      if (slots[at + 2] === 0) {
        slots[at] = first
        slots[at + 1] = second
        slots[at + 2] = NO_MEMBERS + 1
        this.#used++
        return at
      }
      if (slots[at] === first && slots[at + 1] === second) return at
    }
  }

  #grow(): void {
    const before = this.#slots
    this.#slots = new Uint32Array(before.length * 2)
    this.#used = 0
    for (let at = 0; at < before.length; at += USER_WORDS)
      if (before[at + 2]! > NO_MEMBERS + 1)
        this.#slots[this.#slotOf(before[at]!, before[at + 1]!) + 2] = before[at + 2]!
  }
}

/** A shard as bytes, and what is in it. */
export interface EncodedShard {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly users: number
  readonly sets: number
  /** Of all sets together. */
  readonly members: number
}

/** Members with one more, in the order of segments. */
function withMember(members: readonly number[], segment: number, minute: number): readonly number[] {
  const others = without(members, segment)
  let at = 0
  while (at < others.length && others[at]! < segment) at += MEMBER_WORDS
  return [...others.slice(0, at), segment, minute, ...others.slice(at)]
}

/** Members without one segment. */
function without(members: readonly number[], segment: number): readonly number[] {
  const left: number[] = []
  for (let i = 0; i < members.length; i += MEMBER_WORDS)
    if (members[i] !== segment) left.push(members[i]!, members[i + 1]!)
  return left
}
