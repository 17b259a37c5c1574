import type { Random } from '../service/foundation/random.ts'
import { type Json, objectFrom } from './acceptance-rules.ts'

/** A body that an exchange should not send, and how it came about. */
export interface MalformedBody {
  readonly how: string
  readonly body: Buffer
}

type Spoil = (request: Json, random: Random) => string | Buffer

const text = (value: unknown): string => JSON.stringify(value) ?? ''

/** Every way in which a good request is spoilt. The result may still be a request that can be answered. */
const SPOILS: Readonly<Record<string, Spoil>> = {
  truncated: (request, random) => cut(Buffer.from(text(request)), random),
  empty: () => '',
  'not JSON': request => `${text(request)}]`,
  'a list': request => text([request]),
  'only null': () => 'null',
  'not UTF-8': request =>
    Buffer.concat([Buffer.from(`${text(request).slice(0, -1)},"x":"`), Buffer.from([0xff, 0x22, 0x7d])]),
  'control characters': request => text(request).replace('{', '{"x":"a\u0000b",'),
  'half a surrogate pair': request => text(request).replace('{', '{"x":"\\ud800",'),
  'id removed': ({ id: _, ...rest }) => text(rest),
  'imp removed': ({ imp: _, ...rest }) => text(rest),
  'imp empty': request => text({ ...request, imp: [] }),
  'imp not a list': request => text({ ...request, imp: objectFrom(request) }),
  'imp of nulls': request => text({ ...request, imp: [null, 1, 'x', []] }),
  'impression twice': request => text({ ...request, imp: [...listFrom(request.imp), ...listFrom(request.imp)] }),
  'many impressions': request => text({ ...request, imp: manyOf(listFrom(request.imp)[0], 200) }),
  'id of another type': (request, random) => text({ ...request, id: random.pick([1, true, null, {}, ['a'], '']) }),
  'long id': request => text({ ...request, id: 'i'.repeat(100_000) }),
  'value of another type': (request, random) => text(changed(request, random, value => otherType(value, random))),
  'value removed': (request, random) => text(changed(request, random, () => undefined)),
  'value null': (request, random) => text(changed(request, random, () => null)),
  'several of another type': (request, random) => {
    let spoilt: unknown = request
    for (let i = 0; i < 5; i++) spoilt = changed(spoilt, random, value => otherType(value, random))
    return text(spoilt)
  },
  'huge number': (request, random) =>
    text(changed(request, random, () => '@@')).replace('"@@"', random.pick(HUGE_NUMBERS)),
  'huge floor': (request, random) => text(withFloors(request, random)),
  'key twice': request => text(request).replace('{', '{"id":"first","imp":[],'),
  'key twice at the end': request => `${text(request).slice(0, -1)},"tmax":"soon","cur":{},"badv":"x"}`,
  'deep list': request => text(request).replace('{', `{"x":${'['.repeat(5_000)}${']'.repeat(5_000)},`),
  'deep object': request => text(request).replace('{', `{"x":${'{"a":'.repeat(3_000)}1${'}'.repeat(3_000)},`),
  'prototype keys': request => text(request).replace('{', '{"__proto__":{"imp":1},"constructor":{"prototype":{}},'),
  'long lists': request => text({ ...request, badv: manyOf('a.example', 5_000), cur: manyOf('USD', 2_000) }),
  'empty objects': request => text({ ...request, site: {}, device: {}, user: {}, regs: {}, source: {}, ext: {} }),
}

const HUGE_NUMBERS = ['1e308', '-1e308', '1e999', '9007199254740993', '-1', '0.1e-400', '4294967296'] as const

/** The names of all ways, in the order of their table. */
export const MALFORMED_WAYS: readonly string[] = Object.keys(SPOILS)

/** One request spoilt in one way; the same seed gives the same bytes. */
export function malformedBody(request: unknown, how: string, random: Random): MalformedBody {
  const spoilt = SPOILS[how]?.(objectFrom(request), random) ?? ''
  return { how, body: typeof spoilt === 'string' ? Buffer.from(spoilt) : spoilt }
}

function listFrom(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function manyOf(value: unknown, count: number): unknown[] {
  return Array.from({ length: count }, () => value)
}

function cut(body: Buffer, random: Random): Buffer {
  return body.subarray(0, random.between(1, Math.max(1, body.length - 1)))
}

function otherType(value: unknown, random: Random): unknown {
  const others = [0, -1, 1.5, 'x', '', '7', true, false, [], {}, [[]], [null], { a: 1 }]
  return random.pick(
    others.filter(other => typeof other !== typeof value || Array.isArray(other) !== Array.isArray(value)),
  )
}

function withFloors(request: Json, random: Random): unknown {
  const bidfloor = random.pick([1e308, -5, Number.MAX_SAFE_INTEGER, 1e-320])
  return { ...request, imp: listFrom(request.imp).map(imp => ({ ...objectFrom(imp), bidfloor })) }
}

/** A copy in which one value, at any depth, is what `change` makes of it; undefined removes it. Cost: O(values). */
function changed(root: unknown, random: Random, change: (value: unknown) => unknown): unknown {
  const copy: unknown = structuredClone(root)
  const places: { owner: Record<string, unknown>; key: string }[] = []
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    const owner = value as Record<string, unknown>
    for (const key of Object.keys(owner)) {
      places.push({ owner, key })
      visit(owner[key])
    }
  }
  visit(copy)
  if (places.length === 0) return copy
  const { owner, key } = random.pick(places)
  const next = change(owner[key])
  if (next === undefined && !Array.isArray(owner)) delete owner[key]
  else owner[key] = next
  return copy
}
