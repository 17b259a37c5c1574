/** Changes of inputs: of bytes, of JSON and of HTTP heads. All chance comes from the seed. */

import { MALFORMED_WAYS, malformedBody } from '../../loadtest/malformed.ts'
import type { Random } from '../../service/foundation/random.ts'
import { isBeyond } from '../../service/http/json-bounds.ts'

/** Makes another input of one; `others` lends parts. */
export type Mutate = (input: Buffer, random: Random, others: readonly Buffer[]) => Buffer

/** Larger ones find nothing more, and cost time. */
const INPUT_BYTES_MAX = 300 * 1_024
const DEPTH_MAX = 300
const INTERESTING_BYTES = [0, 9, 10, 13, 32, 34, 37, 44, 47, 58, 92, 123, 125, 127, 128, 195, 240, 255]

function part(input: Buffer, random: Random, bytesMax: number): readonly [number, number] {
  const start = random.pickIndex(input.length + 1)
  return [start, Math.min(input.length, start + random.between(1, bytesMax))]
}

function replaced(input: Buffer, start: number, end: number, by: Buffer): Buffer {
  return Buffer.concat([input.subarray(0, start), by, input.subarray(end)])
}

/** Changes of bytes that know nothing of what they mean, and `words` that mean something. */
export function byteMutation(words: readonly string[]): Mutate {
  const changes: readonly Mutate[] = [
    (input, random) => {
      const copy = Buffer.from(input)
      if (copy.length > 0) copy[random.pickIndex(copy.length)]! ^= 1 << random.pickIndex(8)
      return copy
    },
    (input, random) => {
      const copy = Buffer.from(input)
      if (copy.length > 0) copy[random.pickIndex(copy.length)] = random.pick(INTERESTING_BYTES)
      return copy
    },
    (input, random) => replaced(input, ...part(input, random, random.chance(0.1) ? 4_096 : 8), Buffer.alloc(0)),
    (input, random) => {
      const [start, end] = part(input, random, random.chance(0.1) ? 4_096 : 16)
      const times = random.chance(0.05) ? random.between(2, 2_000) : 2
      return replaced(input, end, end, Buffer.concat(Array.from({ length: times }, () => input.subarray(start, end))))
    },
    (input, random) => replaced(input, ...part(input, random, 8), Buffer.from(random.pick(words), 'latin1')),
    (input, random) => {
      const at = random.pickIndex(input.length + 1)
      return replaced(input, at, at, Buffer.from(random.pick(words), 'latin1'))
    },
    (input, random, others) => {
      const other = others.length === 0 ? input : random.pick(others)
      return replaced(input, ...part(input, random, 64), other.subarray(...part(other, random, 256)))
    },
    (input, random) => input.subarray(0, random.pickIndex(input.length + 1)),
  ]
  return (input, random, others) => {
    let changed = input
    const rounds = random.chance(0.7) ? 1 : random.between(2, 6)
    for (let round = 0; round < rounds; round++) changed = random.pick(changes)(changed, random, others)
    return changed.subarray(0, INPUT_BYTES_MAX)
  }
}

/** Values as they stand in JSON, some of which JSON.stringify would not write. */
const VALUES: readonly string[] = [
  ...['null', 'true', 'false', '0', '-0', '-1', '1', '0.1', '1e400', '-1e400', '1e-400', '9007199254740993', '1e21'],
  ...['4294967296', '2147483648', '-2147483649', '65536', '255', '256', '""', '"\\u0000"', '"\\ud800"', '"__proto__"'],
  ...['"constructor"', '"1"', '"NaN"', '"USD"', '"EUR"', '"2026-02-30T00:00:00Z"', '"::1"', '"0.0.0.0/0"', '"../x"'],
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a macro as creatives and exchanges write it
  ...['"${AUCTION_PRICE}"', '"{{bidId}}"', '"<script>"', '"]]>"', '"\\r\\nX: y"', '[]', '{}', '[[]]', '[null]', '[{}]'],
  ...['{"__proto__":{"polluted":1}}', '{"constructor":{"prototype":{"polluted":1}}}', '{"toString":1,"valueOf":2}'],
  `"${'x'.repeat(600)}"`,
  `"${'é'.repeat(5_000)}"`,
  `${'['.repeat(100)}${']'.repeat(100)}`,
  `[${Array.from({ length: 1_200 }, (_, i) => i).join()}]`,
  `[${Array.from({ length: 300 }, (_, i) => `"v${i}"`).join()}]`,
]
const KEYS = ['__proto__', 'constructor', 'prototype', 'toString', 'length', 'id', 'ext', '0', '', 'hasOwnProperty']
/** Stands for what JSON.stringify would not write. */
const HOLE = '@@hole@@'

interface Place {
  readonly owner: Record<string, unknown>
  readonly key: string
}

function placesIn(root: unknown): readonly Place[] {
  const found: Place[] = []
  const left: unknown[] = [root]
  for (let at = left.pop(); at !== undefined && found.length < 20_000; at = left.pop()) {
    if (typeof at !== 'object' || at === null) continue
    const owner = at as Record<string, unknown>
    for (const key of Object.keys(owner)) {
      found.push({ owner, key })
      left.push(owner[key] ?? undefined)
    }
  }
  return found
}

/** undefined for what is no JSON, and for what lies too deep for values to be copied. */
function parsed(text: Buffer | undefined): unknown {
  if (text === undefined || isBeyond(text, { depthMax: DEPTH_MAX, membersMax: Number.POSITIVE_INFINITY }))
    return undefined
  try {
    return JSON.parse(String(text))
  } catch {
    return undefined
  }
}

/** Sets, without asking a setter of a prototype. */
function put({ owner, key }: Place, value: unknown): void {
  if (Array.isArray(owner)) owner[Number(key)] = value
  else Object.defineProperty(owner, key, { value, enumerable: true, configurable: true, writable: true })
}

const JSON_CHANGES: readonly ((place: Place, random: Random, lent: readonly Place[]) => void)[] = [
  place => put(place, HOLE),
  ({ owner, key }) => void Reflect.deleteProperty(owner, key),
  (place, random, lent) => {
    if (lent.length === 0) return
    const { owner, key } = random.pick(lent)
    put(place, structuredClone(owner[key]))
  },
  ({ owner, key }, random, lent) => {
    if (lent.length === 0) return put({ owner, key }, HOLE)
    const from = random.pick(lent)
    put({ owner, key: from.key }, structuredClone(from.owner[from.key]))
  },
  ({ owner, key }, random) => put({ owner, key: random.pick(KEYS) }, structuredClone(owner[key])),
  ({ owner, key }, random) => {
    const value = owner[key]
    if (Array.isArray(value) && value.length > 0)
      put({ owner, key }, [...value, ...Array.from({ length: random.between(1, 80) }, () => value[0])])
    else if (typeof value === 'number') put({ owner, key }, value * random.pick([-1, 0, 2, 10, 1_000, 1e9, 0.001]))
    else if (typeof value === 'string') put({ owner, key }, value.repeat(random.pick([0, 2, 3, 100])))
    else put({ owner, key }, [value])
  },
]

/** Changes of values in JSON; a text that is none, or is large, is changed as bytes are. */
export function jsonMutation(bytes: Mutate): Mutate {
  return (input, random, others) => {
    if (random.chance(0.15)) return bytes(input, random, others)
    const root = input.length > 64 * 1_024 ? undefined : parsed(input)
    if (typeof root !== 'object' || root === null) return bytes(input, random, others)
    if (random.chance(0.1)) return malformedBody(root, random.pick(MALFORMED_WAYS), random).body
    const rounds = random.chance(0.6) ? 1 : random.between(2, 8)
    const lent = random.chance(0.5) && others.length > 0 ? placesIn(parsed(random.pick(others))) : []
    let text = ''
    // Rounds multiply each other: eight of them can make gigabytes.
    for (let round = 0; round < rounds && text.length < INPUT_BYTES_MAX; round++) {
      const places = placesIn(root)
      if (places.length > 0) random.pick(JSON_CHANGES)(random.pick(places), random, lent)
      text = JSON.stringify(root)
    }
    text = text.slice(0, INPUT_BYTES_MAX).replaceAll(`"${HOLE}"`, () => random.pick(VALUES))
    return Buffer.from(text).subarray(0, INPUT_BYTES_MAX)
  }
}

/** Changes of lines that end with CRLF: heads of requests. */
export function lineMutation(bytes: Mutate, words: readonly string[]): Mutate {
  return (input, random, others) => {
    if (random.chance(0.35)) return bytes(input, random, others)
    const lines = input.toString('latin1').split('\r\n')
    const at = random.pickIndex(lines.length)
    const line = lines[at] ?? ''
    const colon = line.indexOf(':')
    const changes: readonly (() => unknown)[] = [
      () => lines.splice(at, 1),
      () => lines.splice(at, 0, line),
      () => lines.splice(at, 0, ...Array.from({ length: random.between(1, 150) }, (_, i) => `X-${i}: ${i}`)),
      () => lines.splice(at, 0, random.pick(words)),
      () => lines.splice(at, 1, line.slice(0, colon + 1) + random.pick(words)),
      () => lines.splice(at, 1, random.pick([line.toUpperCase(), ` ${line}`, `${line} `, line.replace(':', ' :')])),
      () => lines.splice(at, 1, line + random.pick(['\t', '\0', ',', ';', '\x80', 'x'.repeat(20_000), '\r', '\n'])),
      () => lines.splice(random.pickIndex(lines.length), 0, random.pick(lines)),
    ]
    random.pick(changes)()
    return Buffer.from(lines.join('\r\n'), 'latin1').subarray(0, INPUT_BYTES_MAX)
  }
}
