/** What happened to counts, so that other tasks count the same: as words for a stream, and as text for a token. */
import { assert } from '../foundation/assert.ts'
import { CAP_PARTS, type CapKey, type CapTable } from './cap-table.ts'

/** A bid was made; it was seen; it was lost. */
export const CAP_EVENT = { bid: 0, shown: 1, lost: 2 } as const

/** Words of one event: the key, what happened and when the bid expires, the second at which it happened. */
const CAP_EVENT_WORDS = 4
const EXPIRY_BITS = 26
const EXPIRY_MASK = 2 ** EXPIRY_BITS - 1

/** Events one after another, up to a limit. */
export class CapLog {
  #words = new Uint32Array(256 * CAP_EVENT_WORDS)
  #length = 0
  readonly #wordsMax: number

  constructor(eventsMax: number) {
    this.#wordsMax = eventsMax * CAP_EVENT_WORDS
  }

  /** Events that were not taken. */
  get count(): number {
    return this.#length / CAP_EVENT_WORDS
  }

  /** @returns false when there are too many: the event is not kept. Amortised O(1) */
  push(kind: number, { high, low }: CapKey, expiry: number, atS: number): boolean {
    const room = this.#reserve(CAP_EVENT_WORDS)
    if (!room) return false
    this.#words[this.#length++] = high
    this.#words[this.#length++] = low
    this.#words[this.#length++] = kind * 2 ** EXPIRY_BITS + expiry
    this.#words[this.#length++] = atS
    return true
  }

  /** Appends events that another log has given. @returns false when they are too many: none is kept */
  append(events: Uint32Array): boolean {
    if (!this.#reserve(events.length)) return false
    this.#words.set(events, this.#length)
    this.#length += events.length
    return true
  }

  /** The oldest events, which stay until they are dropped. Cost: O(events) */
  first(eventsMax: number): Uint32Array {
    return this.#words.slice(0, Math.min(this.#length, eventsMax * CAP_EVENT_WORDS))
  }

  /** All events, which are forgotten here. Cost: O(events) */
  takeAll(): Uint32Array {
    const events = this.#words.slice(0, this.#length)
    this.#length = 0
    return events
  }

  /** Forgets the oldest events. Cost: O(those that remain) */
  drop(words: number): void {
    this.#words.copyWithin(0, words, this.#length)
    this.#length -= words
  }

  #reserve(words: number): boolean {
    if (this.#length + words > this.#wordsMax) return false
    if (this.#length + words > this.#words.length) {
      const larger = new Uint32Array(Math.max(2 * this.#words.length, this.#length + words))
      larger.set(this.#words.subarray(0, this.#length))
      this.#words = larger
    }
    return true
  }
}

/**
 * Counts what another task tells. Mutates the table. Cost: O(events)
 * @param isNew of a part of the keys, see CAP_PARTS: whether it is not counted yet; without it all is new
 */
export function countEvents(
  table: CapTable,
  events: Uint32Array,
  nowS: number,
  isNew?: (part: number) => boolean,
): void {
  assert(events.length % CAP_EVENT_WORDS === 0, 'events are whole', { words: events.length })
  const key = { high: 0, low: 0 }
  for (let at = 0; at < events.length; at += CAP_EVENT_WORDS) {
    key.high = events[at]!
    if (isNew?.(key.high % CAP_PARTS) === false) continue
    key.low = events[at + 1]!
    const kind = events[at + 2]! >>> EXPIRY_BITS
    const expiry = events[at + 2]! & EXPIRY_MASK
    if (kind === CAP_EVENT.bid) table.pend(key, expiry, nowS)
    else if (kind === CAP_EVENT.shown) table.show(key, expiry, events[at + 3]!, nowS)
    else table.release(key, expiry, nowS)
  }
}

const WORD_CHARS = 7
const EXPIRY_CHARS = 6
const BASE = 36
const PAIRS = BASE * BASE
const PAIRS_AND_DIGIT = PAIRS * BASE
const DIGIT_TEXTS = Array.from({ length: BASE }, (_, digit) => digit.toString(BASE))
const PAIR_TEXTS = Array.from({ length: PAIRS }, (_, pair) => pair.toString(BASE).padStart(2, '0'))
const COUNTED = /^[0-9a-z]*$/

/** What a bid counts for, as a token carries it: when it expires, then its keys. Up to 286 characters. */
export function countedText(expiry: number, keys: readonly CapKey[]): string {
  let text = expiry.toString(36).padStart(EXPIRY_CHARS, '0')
  for (const { high, low } of keys) text += wordText(high) + wordText(low)
  return text
}

/** A word in base 36: two digits at a time take 0.12 µs, where V8 takes 0.44 for a word above 2^31. */
function wordText(word: number): string {
  const first = Math.floor(word / (PAIRS * PAIRS_AND_DIGIT))
  const rest = word - first * PAIRS * PAIRS_AND_DIGIT
  const second = Math.floor(rest / PAIRS_AND_DIGIT)
  const last = rest - second * PAIRS_AND_DIGIT
  const third = Math.floor(last / PAIRS)
  return PAIR_TEXTS[first]! + PAIR_TEXTS[second]! + DIGIT_TEXTS[third]! + PAIR_TEXTS[last - third * PAIRS]!
}

/** Reads countedText; undefined for '' and for what is none. */
export function countedOf(text: string): { readonly expiry: number; readonly keys: readonly CapKey[] } | undefined {
  const length = text.length - EXPIRY_CHARS
  if (length <= 0 || length % (2 * WORD_CHARS) !== 0 || !COUNTED.test(text)) return undefined
  const keys: CapKey[] = []
  const wordAt = (at: number) => Number.parseInt(text.slice(at, at + WORD_CHARS), 36) >>> 0
  for (let at = EXPIRY_CHARS; at < text.length; at += 2 * WORD_CHARS)
    keys.push({ high: wordAt(at), low: wordAt(at + WORD_CHARS) })
  return { expiry: Number.parseInt(text.slice(0, EXPIRY_CHARS), 36) & EXPIRY_MASK, keys }
}
