/**
 * Counts of impressions by key, in memory that all threads of a task share: what frequency caps are held against.
 *
 * Open addressing in groups of eight entries of one cache line; a key lies in its group or nowhere, so entries never
 * move. A thread takes a group's lock for the few instructions that it reads or writes there. One that was suspended
 * with a lock is not waited for longer than some microseconds: then one entry may be off by one.
 * A full group gives up the entry that was used least recently.
 *
 * An entry counts impressions by parts of its window, of which there is always one more than the window needs: a cap
 * holds for its whole time, and up to 1/23 and some seconds longer. Bids that may still become impressions count until
 * they expire.
 */
import { assert } from '../foundation/assert.ts'
import { CAP_MINUTE_BITS } from '../state/cap-fields.ts'

/** What is counted: two words, of which the second ends with the window in minutes, 0 = for ever. */
export interface CapKey {
  high: number
  low: number
}

/** What a cap lets pass. */
export interface CapTerms {
  readonly impressions: number
  readonly gapS: number
}

const ENTRY_WORDS = 16
const GROUP_ENTRIES = 8
const GROUP_WORDS = ENTRY_WORDS * GROUP_ENTRIES
/** Words of an entry; the group's lock is in its first entry. An entry that was never used is 0. */
const LOCK = 0
const HIGH = 1
const LOW = 2
const USED_S = 3
/** Number of the newest part of the window that is counted. */
const PART = 4
const LAST_S = 5
const PENDING = 6
const PENDING_WORDS = 4
const SAVED_WORDS = ENTRY_WORDS - HIGH
const COUNTS = PENDING + PENDING_WORDS
const PARTS = (ENTRY_WORDS - COUNTS) * 4
const PARTS_COUNTED = PARTS - 1
const COUNT_MAX = 0xff
/** A pending word: when it expires, in units of four seconds that come round, and how many bids. */
const PENDING_COUNT_BITS = 6
const UNITS_MASK = 2 ** (32 - PENDING_COUNT_BITS) - 1
const PENDING_COUNT_MASK = (1 << PENDING_COUNT_BITS) - 1
/** Some microseconds. */
const SPINS_MAX = 4_000
const MINUTES_MASK = 2 ** CAP_MINUTE_BITS - 1

/** Words before the entries. */
const HEAD_WORDS = 16
const HEAD_EVICTIONS = 0

/** Parts in which counts are saved, by their keys' first words. */
export const CAP_PARTS = 64

/** Memory for about so many bytes of counts: a power of two of groups. */
export function createCapMemory(bytes: number): SharedArrayBuffer {
  const groups = 2 ** Math.floor(Math.log2(Math.max(CAP_PARTS, bytes / (GROUP_WORDS * 4))))
  return new SharedArrayBuffer((HEAD_WORDS + groups * GROUP_WORDS) * 4)
}

/** When a bid that is made now expires, as tokens and streams say it: in units that come round. */
export function expiryUnits(expiresS: number): number {
  return Math.ceil(expiresS / 4) & UNITS_MASK
}

/** Seconds of one part of a window; 0 = for ever. */
function partSeconds(low: number): number {
  return Math.ceil(((low & MINUTES_MASK) * 60) / PARTS_COUNTED)
}

/** One thread's view of the counts. Times are whole seconds since 1970. */
export class CapTable {
  readonly #words: Uint32Array
  readonly #groupsMask: number

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Uint32Array(memory)
    const groups = (this.#words.length - HEAD_WORDS) / GROUP_WORDS
    assert(Number.isInteger(Math.log2(groups)), 'a table has a power of two of groups', { groups })
    this.#groupsMask = groups - 1
  }

  /** Entries that still counted and had to make room. */
  get evictions(): number {
    return this.#words[HEAD_EVICTIONS]!
  }

  /** Whether a cap lets one more impression pass. */
  allows(key: CapKey, terms: CapTerms, nowS: number): boolean {
    const group = this.#lock(key)
    const entry = this.#find(group, key)
    const allowed = entry < 0 || this.#allowsIn(entry, terms, nowS)
    this.#unlock(group)
    return allowed
  }

  /** Counts a bid that may become an impression until it expires, if the cap lets it pass. @returns whether it did */
  take(key: CapKey, terms: CapTerms, nowS: number, expiry: number): boolean {
    const group = this.#lock(key)
    const entry = this.#findOrMake(group, key, nowS)
    const allowed = this.#allowsIn(entry, terms, nowS)
    if (allowed) this.#pend(entry, expiry, nowS)
    this.#unlock(group)
    return allowed
  }

  /** Counts a bid of another task, whatever caps say. */
  pend(key: CapKey, expiry: number, nowS: number): void {
    const group = this.#lock(key)
    this.#pend(this.#findOrMake(group, key, nowS), expiry, nowS)
    this.#unlock(group)
  }

  /** A bid that will not become an impression counts no more. */
  release(key: CapKey, expiry: number, nowS: number): void {
    const group = this.#lock(key)
    const entry = this.#find(group, key)
    if (entry >= 0) this.#release(entry, expiry, nowS)
    this.#unlock(group)
  }

  /** A bid has become an impression: it counts from `atS` on. */
  show(key: CapKey, expiry: number, atS: number, nowS: number): void {
    const group = this.#lock(key)
    const entry = this.#findOrMake(group, key, nowS)
    this.#release(entry, expiry, nowS)
    this.#count(entry, atS, 1)
    this.#unlock(group)
  }

  /** Impressions and open bids of a key now, as caps see them. */
  countOf(key: CapKey, nowS: number): number {
    const group = this.#lock(key)
    const entry = this.#find(group, key)
    const count = entry < 0 ? 0 : this.#shown(entry, nowS) + this.#pending(entry, nowS)
    this.#unlock(group)
    return count
  }

  /**
   * Entries of one part of the keys that still count or have open bids: their words without the lock, one entry after
   * another. Cost: O(groups / CAP_PARTS)
   */
  savedPart(part: number, nowS: number): Uint32Array {
    const words = this.#words
    const found: number[] = []
    for (let number = part; number <= this.#groupsMask; number += CAP_PARTS) {
      const group = HEAD_WORDS + number * GROUP_WORDS
      // Its first entry is used first, and for good: without it there is none.
      if (words[group + USED_S] === 0) continue
      this.#lockAt(group)
      for (let entry = group; entry < group + GROUP_WORDS; entry += ENTRY_WORDS)
        if (words[entry + USED_S] !== 0 && this.#shown(entry, nowS) + this.#pending(entry, nowS) > 0)
          for (let at = entry + HIGH; at < entry + ENTRY_WORDS; at++) found.push(words[at]!)
      this.#unlock(group)
    }
    return Uint32Array.from(found)
  }

  /** Takes in what savedPart gave, of a table of any size: of two counts of a key the greater. Cost: O(entries) */
  mergeSaved(entries: Uint32Array, nowS: number): void {
    assert(entries.length % SAVED_WORDS === 0, 'saved entries are whole', { words: entries.length })
    for (let at = 0; at < entries.length; at += SAVED_WORDS) this.#merge(entries.subarray(at, at + SAVED_WORDS), nowS)
  }

  #merge(saved: Uint32Array, nowS: number): void {
    const words = this.#words
    const key = { high: saved[HIGH - 1]!, low: saved[LOW - 1]! }
    const group = this.#lock(key)
    const entry = this.#findOrMake(group, key, nowS)
    if (sumOfCounts(saved, COUNTS - 1) > this.#shown(entry, nowS)) {
      words[entry + PART] = saved[PART - 1]!
      words.set(saved.subarray(COUNTS - 1), entry + COUNTS)
    }
    words[entry + LAST_S] = Math.max(words[entry + LAST_S]!, saved[LAST_S - 1]!)
    if (this.#pending(entry, nowS) === 0) words.set(saved.subarray(PENDING - 1, COUNTS - 1), entry + PENDING)
    this.#unlock(group)
  }

  #lock(key: CapKey): number {
    const group = HEAD_WORDS + (key.high & this.#groupsMask) * GROUP_WORDS
    this.#lockAt(group)
    return group
  }

  #lockAt(group: number): void {
    for (let spins = 0; spins < SPINS_MAX; spins++) if (Atomics.compareExchange(this.#words, group, 0, 1) === 0) return
  }

  #unlock(group: number): void {
    Atomics.store(this.#words, group + LOCK, 0)
  }

  /** @returns the entry's first word, −1 when there is none. The first that was never used ends a group's entries. */
  #find(group: number, { high, low }: CapKey): number {
    const words = this.#words
    for (let entry = group; entry < group + GROUP_WORDS && words[entry + USED_S] !== 0; entry += ENTRY_WORDS)
      if (words[entry + HIGH] === high && words[entry + LOW] === low) return entry
    return -1
  }

  #findOrMake(group: number, key: CapKey, nowS: number): number {
    const words = this.#words
    let entry = this.#find(group, key)
    if (entry < 0) {
      entry = this.#room(group, nowS)
      words.fill(0, entry + HIGH, entry + ENTRY_WORDS)
      words[entry + HIGH] = key.high
      words[entry + LOW] = key.low
      words[entry + PART] = partAt(key.low, nowS)
    }
    words[entry + USED_S] = nowS
    return entry
  }

  /** An entry that is free or counts nothing any more, else the least recently used, which is lost. */
  #room(group: number, nowS: number): number {
    const words = this.#words
    let oldest = group
    for (let entry = group; entry < group + GROUP_WORDS; entry += ENTRY_WORDS) {
      if (words[entry + USED_S] === 0 || this.#shown(entry, nowS) + this.#pending(entry, nowS) === 0) return entry
      if (words[entry + USED_S]! < words[oldest + USED_S]!) oldest = entry
    }
    Atomics.add(words, HEAD_EVICTIONS, 1)
    return oldest
  }

  #allowsIn(entry: number, { impressions, gapS }: CapTerms, nowS: number): boolean {
    const pending = this.#pending(entry, nowS)
    if (gapS > 0) {
      const lastS = this.#words[entry + LAST_S]!
      // A bid that is open may be seen at any moment.
      if (pending > 0 || (lastS !== 0 && nowS - lastS < gapS)) return false
    }
    return pending < impressions && pending + this.#shown(entry, nowS) < impressions
  }

  /** Impressions of the window that ends now. Forgets those before it. */
  #shown(entry: number, nowS: number): number {
    this.#turnTo(entry, partAt(this.#words[entry + LOW]!, nowS))
    return sumOfCounts(this.#words, entry + COUNTS)
  }

  /** Makes a later part the newest one. */
  #turnTo(entry: number, part: number): void {
    const words = this.#words
    const newest = words[entry + PART]!
    if (part <= newest) return
    if (part - newest >= PARTS) words.fill(0, entry + COUNTS, entry + ENTRY_WORDS)
    else for (let each = newest + 1; each <= part; each++) this.#setCount(entry, each % PARTS, 0)
    words[entry + PART] = part
  }

  #count(entry: number, atS: number, more: number): void {
    const part = partAt(this.#words[entry + LOW]!, atS)
    this.#turnTo(entry, part)
    this.#words[entry + LAST_S] = Math.max(this.#words[entry + LAST_S]!, atS)
    // One of the window that is told of late.
    if (this.#words[entry + PART]! - part >= PARTS) return
    const place = part % PARTS
    this.#setCount(entry, place, Math.min(COUNT_MAX, this.#countAt(entry, place) + more))
  }

  #countAt(entry: number, place: number): number {
    return (this.#words[entry + COUNTS + (place >> 2)]! >>> ((place & 3) * 8)) & COUNT_MAX
  }

  #setCount(entry: number, place: number, count: number): void {
    const at = entry + COUNTS + (place >> 2)
    const shift = (place & 3) * 8
    this.#words[at] = (this.#words[at]! & ~(COUNT_MAX << shift)) | (count << shift)
  }

  #pending(entry: number, nowS: number): number {
    const words = this.#words
    const now = nowUnits(nowS)
    let pending = 0
    for (let at = entry + PENDING; at < entry + COUNTS; at++) {
      const word = words[at]!
      if (word !== 0 && isAfter(word, now)) pending += word & PENDING_COUNT_MASK
    }
    return pending
  }

  /** Beyond four times at which bids expire, one more counts until the last of them. */
  #pend(entry: number, expiry: number, nowS: number): void {
    const words = this.#words
    const expires = expiry << PENDING_COUNT_BITS
    const now = nowUnits(nowS)
    let free = -1
    let last = entry + PENDING
    for (let at = entry + PENDING; at < entry + COUNTS; at++) {
      const word = words[at]!
      const count = word & PENDING_COUNT_MASK
      if (word === 0 || !isAfter(word, now)) free = at
      else if ((word & ~PENDING_COUNT_MASK) === expires && count < PENDING_COUNT_MASK) {
        words[at] = word + 1
        return
      } else if (isAfter(word, words[last]! & ~PENDING_COUNT_MASK)) last = at
    }
    if (free >= 0) words[free] = expires | 1
    else {
      const later = isAfter(expires, words[last]! & ~PENDING_COUNT_MASK) ? expires : words[last]! & ~PENDING_COUNT_MASK
      words[last] = later | Math.min(PENDING_COUNT_MASK, (words[last]! & PENDING_COUNT_MASK) + 1)
    }
  }

  /** Takes one bid away: of those that expire then, or of the next ones. */
  #release(entry: number, expiry: number, nowS: number): void {
    const words = this.#words
    const expires = expiry << PENDING_COUNT_BITS
    const now = nowUnits(nowS)
    let best = -1
    for (let at = entry + PENDING; at < entry + COUNTS; at++) {
      const word = words[at]!
      if (word === 0 || !isAfter(word, now)) continue
      const at0 = word & ~PENDING_COUNT_MASK
      if (at0 !== expires && !isAfter(word, expires)) continue
      if (best < 0 || isAfter(words[best]!, at0)) best = at
    }
    if (best < 0) return
    const left = (words[best]! & PENDING_COUNT_MASK) - 1
    words[best] = left === 0 ? 0 : words[best]! - 1
  }
}

/** The part of a window, counted from 1970, that an instant is in; always 0 for one that never ends. */
function partAt(low: number, atS: number): number {
  const seconds = partSeconds(low)
  return seconds === 0 ? 0 : Math.floor(atS / seconds)
}

function nowUnits(nowS: number): number {
  return (Math.floor(nowS / 4) & UNITS_MASK) << PENDING_COUNT_BITS
}

/** Whether a pending word expires later than another; both are near each other, and come round. */
function isAfter(word: number, other: number): boolean {
  return (((word & ~PENDING_COUNT_MASK) - other) | 0) > 0
}

/** Sum of all bytes of the counts that begin there. */
function sumOfCounts(words: Uint32Array, start: number): number {
  let pairs = 0
  for (let at = start; at < start + PARTS / 4; at++) {
    const word = words[at]!
    pairs += (word & 0x00ff00ff) + ((word >>> 8) & 0x00ff00ff)
  }
  return (pairs & 0xffff) + (pairs >>> 16)
}
