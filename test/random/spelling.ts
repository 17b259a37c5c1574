/** The same JSON value written in many ways, none of which may change what it means. Seeded by the caller. */
import type { Random } from '../../service/foundation/random.ts'

/** One freedom that JSON, or OpenRTB's tolerance, leaves to whoever writes a request. */
export type Freedom = 'field order' | 'unknown fields' | 'number spelling' | 'whitespace' | 'escapes'

/** All freedoms. */
export const FREEDOMS: readonly Freedom[] = [
  'field order',
  'unknown fields',
  'number spelling',
  'whitespace',
  'escapes',
]

const UNKNOWN_VALUES = ['null', '0', '"x"', '[]', '{}', '[1,{"w":1,"h":1}]', '{"banner":{"w":728,"h":90}}']

/** The value as JSON text that uses the freedoms; with none of them, as JSON.stringify writes it. Cost: O(size). */
export function spelt(value: unknown, freedoms: readonly Freedom[], random: Random): string {
  const free = new Set(freedoms)
  const gap = (): string => (free.has('whitespace') ? random.pick(['', '', ' ', '\n', '\t\r\n  ']) : '')
  const text = (plain: string): string => (free.has('escapes') ? escaped(plain, random) : JSON.stringify(plain))
  const write = (part: unknown): string => {
    if (typeof part === 'string') return text(part)
    if (typeof part === 'number') return free.has('number spelling') ? numeral(part, random) : JSON.stringify(part)
    if (Array.isArray(part))
      return `[${gap()}${part.map(item => write(item ?? null)).join(`${gap()},${gap()}`)}${gap()}]`
    if (typeof part !== 'object' || part === null) return JSON.stringify(part)
    const fields = Object.entries(part)
      .filter(([, field]) => field !== undefined)
      .map(([name, field]) => `${text(name)}${gap()}:${gap()}${write(field)}`)
    if (free.has('unknown fields')) fields.push(`"x_${random.next().toString(36)}":${random.pick(UNKNOWN_VALUES)}`)
    if (free.has('field order')) shuffle(fields, random)
    return `{${gap()}${fields.join(`${gap()},${gap()}`)}${gap()}}`
  }
  return `${gap()}${write(value)}${gap()}`
}

/** 1 = 1.0 = 1e0 = 10E-1: a spelling that parses to the very same number. */
function numeral(number: number, random: Random): string {
  const isShort = Number.isInteger(number) && Math.abs(number) < 1e15
  const spelling = random.pick([
    String(number),
    number.toExponential(),
    number.toExponential().replace('e', 'E'),
    isShort ? `${number}.0` : String(number),
    isShort ? `${number}.000e+00` : String(number),
    // JSON has no number that begins with 00.
    isShort && number !== 0 ? `${number}0e-1` : String(number),
  ])
  return Number(spelling) === number ? spelling : String(number)
}

/** Some characters as \u0061, and the slash as \/. */
function escaped(plain: string, random: Random): string {
  const units = Array.from({ length: plain.length }, (_, i) => {
    const unit = plain.charCodeAt(i)
    const code = unit.toString(16).padStart(4, '0')
    if (random.chance(0.3)) return `\\u${random.chance(0.5) ? code : code.toUpperCase()}`
    if (plain[i] === '/' && random.chance(0.5)) return '\\/'
    // Half of a surrogate pair must not stand alone in UTF-8.
    if (unit >= 0xd800 && unit <= 0xdfff) return `\\u${code}`
    return JSON.stringify(plain[i]).slice(1, -1)
  })
  return `"${units.join('')}"`
}

function shuffle<T>(list: T[], random: Random): void {
  for (let i = list.length - 1; i > 0; i--) {
    const other = random.pickIndex(i + 1)
    const kept = list[i] as T
    list[i] = list[other] as T
    list[other] = kept
  }
}
