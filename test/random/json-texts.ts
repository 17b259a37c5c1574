/** JSON texts in all the ways that they can be written, a character for each byte. Seeded by the caller. */
import type { Random } from '../../service/foundation/random.ts'

/** Names that are likely in an object, and what is likely in the objects of each. */
export interface LikelyNames {
  readonly [name: string]: LikelyNames
}

const utf8 = (text: string): string => Buffer.from(text).toString('latin1')

/** Names that mean something to JavaScript, and are words like any other in JSON. */
export const FOREIGN_NAMES: readonly string[] = [
  ...['', ' ', '0', '12', '__proto__', 'constructor', 'toString', 'hasOwnProperty', 'length', 'ID', 'x\x7f'],
]
/** Names with escapes, and with bytes that are no ASCII. */
export const ODD_NAMES: readonly string[] = [
  ...['\\u0069d', 'i\\u0064', '\\u005f_proto__', 'id\\u0000', '\\"id', 'i\\/d', utf8('ïd'), 'id\xff', '\\\\'],
]
const STRING_PARTS = [
  ...['a', 'id', ' ', '{', '}', '[', ']', ',', ':', '/', "'", '\x7f', 'https://x.example/?a=b#c', 'null', '0'],
  ...['\\"', '\\\\', '\\/', '\\b', '\\f', '\\n', '\\r', '\\t', '\\u0000', '\\u0022', '\\u005C', '\\u00e9', '\\uFFFF'],
  ...['\\ud83e\\udd7e', '\\ud83e', '\\udd7e', '\\udd7e\\ud83e', '\\uD83E\\u0022', '\\ufeff'],
  ...[utf8('é'), utf8('Größe'), utf8('日本語'), utf8('🥾'), utf8('\u2028'), utf8('\ufeff'), utf8('\u00a0')],
  ...['\x80', '\xff', '\xc3', '\xc0\x80', '\xe2\x82', '\xed\xa0\x80', '\xf0\x9f\xa5', '\xf5\x80\x80\x80', '\xef\xbb'],
]
const BLANKS = ['', '', '', '', ' ', '\t', '\n', '\r', '\r\n\t  ']
const ODD_NUMBERS = ['-0', '0', '-0.0', '0e0', '1e400', '-1E+400', '1e-400', '9007199254740993']
const ITEMS_MAX = 6
const DEPTH_MAX = 4

/** Draws valid JSON texts. */
export class JsonTexts {
  readonly #random: Random
  readonly #likely: LikelyNames
  readonly #others: readonly string[]

  /** @param others names that stand among the likely ones, as they are written */
  constructor(random: Random, likely: LikelyNames, others: readonly string[]) {
    this.#random = random
    this.#likely = likely
    this.#others = others
  }

  /** One text, mostly an object. */
  next(): Buffer {
    const root = this.#random.chance(0.9) ? this.#object(DEPTH_MAX, this.#likely) : this.#value(DEPTH_MAX, this.#likely)
    return Buffer.from(this.#gap() + root + this.#gap(), 'latin1')
  }

  #gap(): string {
    return this.#random.pick(BLANKS)
  }

  #value(depth: number, likely: LikelyNames): string {
    const random = this.#random
    const isLikely = Object.keys(likely).length > 0
    if (depth > 0 && random.chance(isLikely ? 0.8 : 0.3))
      return random.chance(0.65) ? this.#object(depth - 1, likely) : this.#list(depth - 1, likely)
    if (random.chance(0.4)) return numberText(random)
    return random.chance(0.7) ? this.#string() : random.pick(['null', 'true', 'false', '[]', '{}', '""'])
  }

  #string(): string {
    const parts = Array.from({ length: this.#random.between(0, 5) }, () => this.#random.pick(STRING_PARTS))
    return `"${parts.join('')}"`
  }

  #object(depth: number, likely: LikelyNames): string {
    const names = Object.keys(likely)
    return this.#between('{}', () => {
      const name = this.#random.pick(names.length > 0 && this.#random.chance(0.75) ? names : this.#others)
      const inner = Object.hasOwn(likely, name) ? (likely[name] ?? {}) : {}
      return `"${name}"${this.#gap()}:${this.#gap()}${this.#value(depth, inner)}`
    })
  }

  #list(depth: number, likely: LikelyNames): string {
    return this.#between('[]', () => this.#value(depth, likely))
  }

  #between(ends: '{}' | '[]', item: () => string): string {
    const items = Array.from({ length: this.#random.between(0, ITEMS_MAX) }, item)
    return ends[0] + this.#gap() + items.join(`${this.#gap()},${this.#gap()}`) + this.#gap() + ends[1]
  }
}

/** From one digit to so many; a 0 may stand first. */
export function digits(random: Random, most: number): string {
  return Array.from({ length: random.between(1, most) }, () => random.pickIndex(10)).join('')
}

/** A whole number without a sign, of so many digits at most. */
export function wholeText(random: Random, most: number): string {
  return random.chance(0.2) ? '0' : random.between(1, 9) + digits(random, most).slice(1)
}

function numberText(random: Random): string {
  if (random.chance(0.1)) return random.pick(ODD_NUMBERS)
  const sign = random.chance(0.3) ? '-' : ''
  const parts = random.chance(0.6) ? `.${digits(random, 17)}` : ''
  const exponent = random.chance(0.15) ? random.pick(['e', 'E']) + random.pick(['', '+', '-']) + digits(random, 3) : ''
  return sign + wholeText(random, 20) + parts + exponent
}
