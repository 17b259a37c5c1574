/** Finds ordinals by id in a catalog's columns of ids, without a string per id. */
import type { Column } from './arena.ts'

/** Made once per column where it is needed. Cost: O(bytes of the ids); 8 to 16 bytes per id. */
export class IdIndex {
  readonly #start: Column<'u32'>
  readonly #ids: Column<'u8'>
  /** At most half full; 0 = empty, otherwise ordinal + 1. */
  readonly #slots: Uint32Array

  /** @param start where each id begins, and at the end where the last one ends */
  constructor(start: Column<'u32'>, ids: Column<'u8'>) {
    this.#start = start
    this.#ids = ids
    const count = start.length - 1
    this.#slots = new Uint32Array(2 ** Math.ceil(Math.log2(Math.max(8, count * 2))))
    for (let ordinal = 0; ordinal < count; ordinal++) this.#add(ordinal)
  }

  /** The first ordinal with this id, −1 where there is none. Cost: O(id.length). */
  find(id: string): number {
    const mask = this.#slots.length - 1
    let hash = HASH_START
    for (let i = 0; i < id.length; i++) hash = mixed(hash, id.charCodeAt(i))
    for (let at = finished(hash) & mask; ; at = (at + 1) & mask) {
      const ordinal = this.#slots[at]! - 1
      if (ordinal < 0 || this.#isId(ordinal, id)) return ordinal
    }
  }

  #add(ordinal: number): void {
    const mask = this.#slots.length - 1
    const end = this.#start[ordinal + 1]!
    let hash = HASH_START
    for (let i = this.#start[ordinal]!; i < end; i++) hash = mixed(hash, this.#ids[i]!)
    let at = finished(hash) & mask
    for (; this.#slots[at]! !== 0; at = (at + 1) & mask) if (this.#isSame(this.#slots[at]! - 1, ordinal)) return
    this.#slots[at] = ordinal + 1
  }

  #isId(ordinal: number, id: string): boolean {
    const start = this.#start[ordinal]!
    if (this.#start[ordinal + 1]! - start !== id.length) return false
    for (let i = 0; i < id.length; i++) if (this.#ids[start + i] !== id.charCodeAt(i)) return false
    return true
  }

  #isSame(one: number, other: number): boolean {
    const [start, length] = [this.#start[one]!, this.#start[one + 1]! - this.#start[one]!]
    const from = this.#start[other]!
    if (this.#start[other + 1]! - from !== length) return false
    for (let i = 0; i < length; i++) if (this.#ids[start + i] !== this.#ids[from + i]) return false
    return true
  }
}

/** FNV-1a, finished by a murmur mix. */
const HASH_START = 0x811c9dc5

function mixed(hash: number, unit: number): number {
  return Math.imul(hash ^ unit, 0x01000193)
}

function finished(hash: number): number {
  const mixedOnce = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b)
  return (mixedOnce ^ (mixedOnce >>> 13)) >>> 0
}
