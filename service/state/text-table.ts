/**
 * A dictionary in the arena: (space, text) → a dense number. Spaces keep words apart that mean different things, such
 * as a country and an operating system. Open addressing, exact comparison, no strings on the V8 heap.
 */
import type { ColumnKinds, Columns } from './arena.ts'
import { scanAny } from './text-scans.ts'

/** The table's columns: findText reads them, TextTableBuilder writes them. */
export const TEXT_COLUMNS = {
  /**
   * A power of two of slots with SLOT_WORDS each: hash, number + 1 (0 = empty), where its UTF-16 units begin, how many.
   * Side by side, because a request's texts are mostly in no cache: most that are unknown cost one line of memory, one
   * that is known costs two.
   */
  textSlots: 'u32',
  textChars: 'u16',
} as const satisfies ColumnKinds

const SLOT_WORDS = 4

/** A text's own hash and its space, mixed. 32 bits; each step is reversible. @param scanned what scanAny says of it */
function mixedHash(space: number, scanned: number): number {
  let hash = scanned ^ Math.imul(space, 0x9e3779b1)
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b)
  return (hash ^ (hash >>> 13)) >>> 0
}

function hashText(space: number, text: string): number {
  return mixedHash(space, scanAny(text))
}

/** @returns the number of a text, −1 when the table does not have it. Cost: O(text.length). */
export function findText(table: Columns<typeof TEXT_COLUMNS>, space: number, text: string): number {
  const { textSlots, textChars } = table
  const mask = textSlots.length - 1
  const hash = hashText(space, text)
  for (let at = (hash * SLOT_WORDS) & mask; ; at = (at + SLOT_WORDS) & mask) {
    const entry = textSlots[at + 1]!
    if (entry === 0) return -1
    // Spaces are not compared: each step of mixedHash is reversible, so equal texts of two spaces differ in their hash.
    const isIt =
      textSlots[at] === hash && textSlots[at + 3] === text.length && startsAt(textChars, textSlots[at + 2]!, text)
    if (isIt) return entry - 1
  }
}

function startsAt(chars: Uint16Array, start: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (chars[start + i] !== text.charCodeAt(i)) return false
  return true
}

/** Texts on their way to another thread's table: text i ends at ends[i] in chars, and begins where i - 1 ends. */
export interface NewTexts {
  readonly spaces: Uint8Array
  readonly ends: Uint32Array
  readonly chars: string
}

/**
 * Collects texts before the table's size is known. The hash table is our own because a load looks up millions of texts
 * that were just parsed: a Map hashes each of them in V8's runtime.
 */
export class TextTableBuilder {
  readonly #texts: string[] = []
  readonly #spaces: number[] = []
  /**
   * Pairs of hash and number + 1 (0 = empty), side by side so that a probe costs one cache line; at most half full.
   * The space is not compared, as in findText.
   */
  #slots = new Uint32Array(2 * 8_192)
  #chars = 0

  get count(): number {
    return this.#texts.length
  }

  get charCount(): number {
    return this.#chars
  }

  /** Space per number. */
  spaces(): readonly number[] {
    return this.#spaces
  }

  /** The texts of one space with their numbers. Cost: O(texts). */
  textsOf(space: number): readonly (readonly [text: string, number: number])[] {
    return this.#texts.flatMap((text, number) => (this.#spaces[number] === space ? [[text, number] as const] : []))
  }

  space(index: number): number {
    return this.#spaces[index]!
  }

  text(index: number): string {
    return this.#texts[index]!
  }

  /** The number of a text, new or known. Numbers are dense and in the order of first mention. Cost: O(text.length). */
  add(space: number, text: string): number {
    return this.addScanned(space, text, scanAny(text))
  }

  /** The same without reading the text. @param scanned what scanAny says of it */
  addScanned(space: number, text: string, scanned: number): number {
    const slots = this.#slots
    const mask = slots.length / 2 - 1
    const hash = mixedHash(space, scanned)
    let slot = hash & mask
    for (let entry = slots[2 * slot + 1]!; entry !== 0; entry = slots[2 * slot + 1]!) {
      if (slots[2 * slot] === hash && this.#texts[entry - 1] === text) return entry - 1
      slot = (slot + 1) & mask
    }
    const next = this.#texts.length
    slots[2 * slot] = hash
    slots[2 * slot + 1] = next + 1
    this.#texts.push(text)
    this.#spaces.push(space)
    this.#chars += text.length
    if (this.count * 2 > mask) this.#grow()
    return next
  }

  /** Texts from number `first` on, to be told to another table. Cost: O(their characters). */
  newTexts(first: number): NewTexts {
    const ends = new Uint32Array(this.count - first)
    let end = 0
    for (let i = 0; i < ends.length; i++) {
      end += this.#texts[first + i]!.length
      ends[i] = end
    }
    return { spaces: Uint8Array.from(this.#spaces.slice(first)), ends, chars: this.#texts.slice(first).join('') }
  }

  /** Adds what newTexts of another table gave. @returns their numbers here. Cost: O(characters). */
  addTexts({ spaces, ends, chars }: NewTexts): Uint32Array {
    const numbers = new Uint32Array(spaces.length)
    let start = 0
    for (let i = 0; i < numbers.length; i++) {
      numbers[i] = this.add(spaces[i]!, chars.slice(start, ends[i]!))
      start = ends[i]!
    }
    return numbers
  }

  #grow(): void {
    const old = this.#slots
    const slots = new Uint32Array(old.length * 2)
    const mask = slots.length / 2 - 1
    for (let from = 0; from < old.length; from += 2) {
      if (old[from + 1] === 0) continue
      let slot = old[from]! & mask
      while (slots[2 * slot + 1] !== 0) slot = (slot + 1) & mask
      slots[2 * slot] = old[from]!
      slots[2 * slot + 1] = old[from + 1]!
    }
    this.#slots = slots
  }

  /** Words of the slots: at most two thirds full, so that a miss ends after about three steps. */
  slotWords(): number {
    return SLOT_WORDS * 2 ** Math.ceil(Math.log2(Math.max(8, this.count * 1.5)))
  }

  /** Writes everything into columns of the sizes given above. Cost: O(characters). */
  write({ textSlots, textChars }: Columns<typeof TEXT_COLUMNS>): void {
    const mask = textSlots.length - 1
    let start = 0
    for (let index = 0; index < this.#texts.length; index++) {
      const text = this.#texts[index]!
      const hash = hashText(this.#spaces[index]!, text)
      let at = (hash * SLOT_WORDS) & mask
      while (textSlots[at + 1] !== 0) at = (at + SLOT_WORDS) & mask
      textSlots[at] = hash
      textSlots[at + 1] = index + 1
      textSlots[at + 2] = start
      textSlots[at + 3] = text.length
      for (let i = 0; i < text.length; i++) textChars[start++] = text.charCodeAt(i)
    }
  }
}
