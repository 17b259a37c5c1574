import { isDeepStrictEqual } from 'node:util'
import { describe, expect, test } from 'vitest'
import { byteMutation } from '../../test/fuzz/mutation.ts'
import {
  digits,
  FOREIGN_NAMES,
  JsonTexts,
  type LikelyNames,
  ODD_NAMES,
  wholeText,
} from '../../test/random/json-texts.ts'
import { Random } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import { parseRequest, type Shape, shape } from './request-json.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const ORDINARY = 2_500
const ODD = 2_500
const MUTATED = 6_000
const NUMBERS = 20_000
/** Longer bodies are JSON.parse's. */
const BYTES_MAX = 64 * 1_024

const SIZE = shape(([w, h]) => ({ w, h }))
const ITEM = shape(([id, size, sizes, raw, wlang, wlangb]) => ({ id, size, sizes, raw, wlang, wlangb }), {
  ...{ size: SIZE, sizes: SIZE },
  raw: 'whole',
})
const ROOT = shape(
  ([id, imp, item, items, raw, bidfloor, bidfloorcur]) => ({
    ...{ id, imp, item, items, raw, bidfloor, bidfloorcur },
  }),
  { item: ITEM, items: ITEM, raw: 'whole' },
)

/** What is left of a value when nobody reads more of it than the shape has. */
function projected(value: unknown, known: Shape | 'whole'): unknown {
  if (known === 'whole' || typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(item => projected(item, known))
  const own = value as Readonly<Record<string, unknown>>
  const read = (name: string): unknown => (Object.hasOwn(own, name) ? own[name] : undefined)
  return Object.fromEntries(
    known.names.map((name, place) => [name, projected(read(name), known.inner[place] as Shape | 'whole')]),
  )
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return undefined
  }
}

/** Whether both readers say the same of the body: that it is no JSON, or what is in it. */
function agrees(body: Buffer, root: Shape = ROOT): boolean {
  return isDeepStrictEqual(projected(parseRequest(body, root), root), projected(parsed(body), root))
}

/** Names and values in their order, missing ones included. */
function written(value: unknown): string {
  return JSON.stringify(value, (_, member: unknown) => (member === undefined ? 'missing' : member))
}

/** As text with a character per byte, so that a failure shows bytes that are no UTF-8. */
const shown = (body: Buffer): string => JSON.stringify(body.toString('latin1'))
const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1')
const rootOf = (text: string): unknown => parseRequest(Buffer.from(text), ROOT)

/** The names of a shape, and of what is in its members. */
function likelyNames(known: Shape | 'whole'): LikelyNames {
  if (known === 'whole') return { id: {}, x: { id: {}, y: {} } }
  const { names, inner } = known
  return Object.fromEntries(names.map((name, place) => [name, likelyNames(inner[place] as Shape | 'whole')]))
}

const LIKELY = likelyNames(ROOT)
const KNOWN = [...new Set([ROOT, ITEM, SIZE].flatMap(({ names }) => names))]
/** Beginnings of names, longer ones, and some that have the same length, first two letters and last one. */
const LIKE_KNOWN = KNOWN.flatMap(name => [name.slice(0, -1), `${name}s`, `${name.slice(0, 2)}_${name.slice(3)}`])
const FOREIGN = [...LIKE_KNOWN, ...FOREIGN_NAMES]

/** No JSON, a character for each byte; some would be as a part of something larger. */
const MALFORMED = [
  ...['', ' ', '\t\r\n', '{', '[', '}', ']', '{]', '[}', ',', ':', '{"a"}', '{"a":}', '{"a":1,}', '{,}', '{,"a":1}'],
  ...['{"a" 1}', '{"a":1 "b":2}', '{"a":1,,"b":2}', '{"a"::1}', '{"a",1}', '{"a"=1}'],
  ...['{a:1}', "{'a':1}", '{1:1}', '{"a":1}}', '{"a":1]'],
  ...['{"a":1:"b":2}', '{"id":1:"imp":2}', '[1:2]', '{a":1}', '{xa":1}', '{"a:1}', '{true:1}', '{[]:1}', '{null}'],
  ...['{"id":1}}', '{"id":1},', '{"id":1}{}', '{"id":1} x', '{"id":1}\0', '{"id":1} \0', '\0{"id":1}', '{"id":1\0}'],
  ...['{"id":}', '{"id":1,}', '{"id"}', '{"id":1 "imp":2}'],
  ...['{"item":{"id":1}', '{"item":[{"id":1]}', '{"raw":{"a":}}'],
  ...['[1,]', '[,1]', '[1 2]', '[1,,2]', '[1', '[1,', '[[]'],
  ...['[]]', '1 2', '""""', '{}[]', 'null null', '//\n1', '1/**/'],
  ...['01', '-01', '00', '1.', '-1.', '1.e1', '.5', '-.5', '-'],
  ...['--1', '+1', '1e', '1e+', '1E-', '1e1.5', '0x10', '1_0'],
  ...['1234567890123456.', '1234567890123456e', '0123456789012345', '0.1.2', '1,5', 'NaN', 'Infinity', '-Infinity'],
  ...['nul', 'nulL', 'truex', 'tru', 'fals', 'falsee', 'True', 'undefined', 'nullnull', 'n', 't', 'f'],
  ...['"', '"a', '"\\', '"\\"', '"\x01"', '"\n"', '"\0"', '"a\x1f"', '"\\x"', '"\\u12g4"', '"\\u123"', '"\\u"'],
  ...['"\\u 123"', '"\\u12', '"\\ud83e\\"', '"\xe9\x01"', '"\\\n"'],
  ...['{"a\x01":1}', '{"\\x":1}', '{"a', '{"a\\', "'a'"],
  ...['\xef\xbb\xbf{"id":1}', '\xef\xbb\xbf', '\xa0{}', '{}\xa0', '{\xc2\xa0}', '\x0b1', '\x0c{}', '\xff', '{}\xff'],
]
const VALID = [
  ...['null', 'true', 'false', '0', '-0', '-0.0', '1e5', '""', '"x"', '[]', '{}', '[[]]', '[{}]', ' \t\r\n{ \t\r\n} '],
  ...['"\x7f"', '"\xef\xbb\xbf"', '"\xff\xc3"', '"\\u0000"', '"\\ud83e"', '"\\/"', '1234567890123456', '0.1'],
  ...['0.12345678901234', '0.123456789012345', '1e400', '-1e400', '1E-400', '9'.repeat(30), `0.${'0'.repeat(30)}1`],
  ...['{"":1}', '{"":{"":[]}}', '{"\xe9":1}', '{"\xff":1,"id":"\xff"}', '[1,"a",null,true,{"id":[]}]'],
]

/** As a member that is read, that is whole, that nobody reads; in lists; as a name; with something around it. */
function placesFor(text: string): readonly string[] {
  const values = ['id', 'item', 'raw', 'x'].flatMap(name => [`{"${name}":${text}}`, `{"${name}":[${text}]}`])
  const deeper = [`{"item":{"size":${text}}}`, `{"raw":{"x":${text}}}`, `{"x":{"x":${text},"y":1}}`]
  return [...values, ...deeper, `[${text}]`, `[0,${text},0]`, `{${text}:1}`, `{"id":1,${text}}`, `${text} `, ` ${text}`]
}

describe(`a request that is read by its shape (seed ${SEED})`, () => {
  test('is what JSON.parse makes of it, with exactly the members that the shape has, in its order', () => {
    const texts = new JsonTexts(new Random(SEED), LIKELY, FOREIGN)
    const wrong: string[] = []
    let members = 0
    for (let i = 0; i < ORDINARY; i++) {
      const body = texts.next()
      const found = parseRequest(body, ROOT)
      const wanted = projected(parsed(body), ROOT)
      if (!isDeepStrictEqual(found, wanted) || written(found) !== written(wanted)) wrong.push(shown(body))
      members += JSON.stringify(wanted).match(/":/g)?.length ?? 0
    }
    expect(wrong.slice(0, 3)).toEqual([])
    expect(members, 'so that there was something to read').toBeGreaterThan(5 * ORDINARY)
  })

  test('says the same as JSON.parse where names are spelt in odd ways', () => {
    const texts = new JsonTexts(new Random(SEED + 1), LIKELY, [...FOREIGN, ...ODD_NAMES])
    const wrong = Array.from({ length: ODD }, () => texts.next()).filter(body => !agrees(body))
    expect(wrong.slice(0, 3).map(shown)).toEqual([])
  })

  test('is none exactly where JSON.parse throws, whatever became of its bytes', () => {
    const random = new Random(SEED + 2)
    const words = [
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '\\',
      '\\u',
      '\\ud83e',
      'null',
      'tru',
      '-',
      '.',
      '0',
      '1e',
      '"id":',
    ]
    const mutate = byteMutation([...words, '\0', '\x1f', '\xa0', '\xef\xbb\xbf', '{"raw":', '"size":{"w":1', '\\u0069'])
    const texts = new JsonTexts(random, LIKELY, [...FOREIGN, ...ODD_NAMES])
    const good = Array.from({ length: 300 }, () => texts.next())
    const wrong: string[] = []
    let malformed = 0
    for (let i = 0; i < MUTATED; i++) {
      const body = mutate(random.pick(good), random, good)
      if (!agrees(body)) wrong.push(shown(body))
      if (parsed(body) === undefined) malformed++
    }
    expect(wrong.slice(0, 3)).toEqual([])
    expect(malformed).toBeGreaterThan(MUTATED / 4)
    expect(malformed).toBeLessThan(MUTATED * 0.95)
  })

  test('has every number of up to 15 digits as it is meant', () => {
    const random = new Random(SEED + 3)
    for (let count = 0; count < NUMBERS; count += 100) {
      const texts = Array.from({ length: 100 }, () => {
        const before = wholeText(random, 14)
        const parts = random.chance(0.9) ? `.${digits(random, 15 - before.length)}` : ''
        return (random.chance(0.3) ? '-' : '') + before + parts
      })
      const found = rootOf(`{"x":[${texts}],"id":[${texts}]}`) as { readonly id: readonly number[] }
      expect(Object.keys(found), 'read by the shape').toEqual(ROOT.names)
      expect(texts.filter((text, i) => !Object.is(found.id[i], Number(text)))).toEqual([])
    }
  })

  test('has its members in one order, however they are ordered and whichever are left out', () => {
    const random = new Random(SEED + 4)
    const some = (names: readonly string[]) =>
      names
        .filter(() => random.chance(0.6))
        .map(name => `"${name}":1`)
        .sort(() => random.unit() - 0.5)
    for (let i = 0; i < 300; i++) {
      const items = `"items":[{"sizes":[{${some(SIZE.names)}}],"x":0}]`
      const found = rootOf(`{${[...some(ROOT.names), items, ...some(['x', 'y'])]}}`) as Reading
      expect(Object.keys(found)).toEqual(ROOT.names)
      expect(found.items.map(Object.keys)).toEqual([ITEM.names])
      expect(found.items[0]?.sizes.map(Object.keys)).toEqual([SIZE.names])
    }
  })
})

interface Reading {
  readonly items: readonly { readonly sizes: readonly object[] }[]
}

describe('a member', () => {
  const NOTHING = projected({}, ROOT)

  test.each([
    ['is undefined where it is missing', '{}', {}],
    ['is its last value where it comes twice', '{"id":1,"id":{"a":1},"id":"r"}', { id: 'r' }],
    ['is null where it is null at last', '{"id":1,"id":null}', { id: null }],
    ['is left out where the shape does not have it', '{"x":{"id":1,"item":[{}]},"id":"r","ids":2,"i":3}', { id: 'r' }],
    ['is not found by a name of a prototype', '{"__proto__":{"id":"r"},"constructor":1,"toString":{}}', {}],
    ['is an empty object where nobody reads what is in it', '{"imp":{"id":1,"w":[2]}}', { imp: {} }],
    ['has empty objects in lists, too', '{"imp":[{"id":1},[{}],2,[]]}', { imp: [{}, [{}], 2, []] }],
    ['is whole where all of it is asked for', '{"raw":{"x":{"id":[{"y":-0}]}}}', { raw: { x: { id: [{ y: -0 }] } } }],
    ['is whole in lists, too', '{"raw":[{"x":1},[{"y":"\\u0041"}]]}', { raw: [{ x: 1 }, [{ y: 'A' }]] }],
    [
      'has the shape of its place',
      '{"item":{"size":{"w":1,"d":3}}}',
      { item: itemOf({ size: { w: 1, h: undefined } }) },
    ],
    ['has that in lists of lists', '{"item":[[{"id":7,"z":0}],null]}', { item: [[itemOf({ id: 7 })], null] }],
    ['has another shape in another place', '{"size":{"w":1},"raw":{"w":1}}', { raw: { w: 1 } }],
  ])('%s', (_, text, members) => {
    expect(rootOf(text)).toStrictEqual({ ...(NOTHING as object), ...members })
  })

  function itemOf(members: object): object {
    return { ...(projected({}, ITEM) as object), ...members }
  }

  test('is found by a name with escapes as well, and all that JSON.parse finds with it', () => {
    expect(rootOf('{"\\u0069d":"r","x":1}')).toStrictEqual({ id: 'r', x: 1 })
    expect(rootOf('{"item":{"\\u0069d":"r","x":1}}')).toStrictEqual({ item: { id: 'r', x: 1 } })
  })

  test('of a name with escapes does no harm where nobody reads it', () => {
    expect(rootOf('{"raw":{"\\u0069d":1},"x":{"\\u0069d":1}}')).toStrictEqual({
      ...(NOTHING as object),
      raw: { id: 1 },
    })
  })
})

describe('a text of any kind', () => {
  test.each(MALFORMED)('%j is malformed, alone and within a request', text => {
    expect(parsed(bytesOf(text))).toBeUndefined()
    expect(parseRequest(bytesOf(text), ROOT)).toBeUndefined()
    expect(placesFor(text).filter(place => !agrees(bytesOf(place)))).toEqual([])
  })

  test.each(VALID)('%j is valid, alone and within a request', text => {
    expect(parsed(bytesOf(text))).toBeDefined()
    expect(agrees(bytesOf(text))).toBe(true)
    expect(placesFor(text).filter(place => !agrees(bytesOf(place)))).toEqual([])
  })

  test.each([-1, 0, 1])('may go to the limit of depth and beyond it (%i)', more => {
    for (const levels of [LIMITS.jsonDepthMax + more, 300])
      for (const [open, shut] of [
        ['[', ']'],
        ['{"x":', '}'],
        ['{"id":', '}'],
        ['{"raw":', '}'],
      ] as const) {
        const text = `${open.repeat(levels - 1)}[]${shut.repeat(levels - 1)}`
        for (const body of [
          text,
          `{"id":${text}}`,
          `{"item":${text}}`,
          `{"raw":${text},"id":"r"}`,
          `[${text},${text}]`,
        ])
          expect(agrees(Buffer.from(body)), body).toBe(true)
        expect(parseRequest(Buffer.from(text.slice(0, -1)), ROOT)).toBeUndefined()
      }
    expect(parseRequest(Buffer.from('['.repeat(BYTES_MAX)), ROOT)).toBeUndefined()
    expect(parseRequest(Buffer.from('{"id":'.repeat(10_000)), ROOT)).toBeUndefined()
  })

  test.each([-1, 0, 1, 10_000])('may be as long as 64 KiB and longer (%i)', more => {
    const around = (pad: string) => Buffer.from(`{"id":"r","x":"${pad}","item":{"id":-0,"y":1}}`)
    const body = around('x'.repeat(BYTES_MAX + more - around('').length))
    expect(body.length).toBe(BYTES_MAX + more)
    expect(agrees(body)).toBe(true)
    expect(Object.keys(parseRequest(body, ROOT) as object).length).toBe(more > 0 ? 3 : ROOT.names.length)
    expect(parseRequest(body.subarray(0, -1), ROOT)).toBeUndefined()
    expect(parseRequest(Buffer.concat([body, Buffer.from([0])]), ROOT)).toBeUndefined()
  })

  test('takes nothing from the one that was read before', () => {
    const before = '{"id":"abcdef","item":{"size":{"w":123456}}}'
    for (let end = 0; end < before.length; end++) {
      rootOf(before)
      expect(rootOf(before.slice(0, end)), before.slice(0, end)).toBeUndefined()
    }
    expect([rootOf('123456'), rootOf('12'), rootOf('"abc"'), rootOf('""')]).toEqual([123_456, 12, 'abc', ''])
  })

  test('leaves what was read before as it was', () => {
    const found = rootOf('{"id":"abcdefghijklmnopqrstuvwxyz","raw":{"x":[1]},"bidfloor":1.5}')
    rootOf('{"id":"ABCDEFGHIJKLMNOPQRSTUVWXYZ","raw":{"y":[2]},"bidfloor":2.5}')
    expect(found).toMatchObject({ id: 'abcdefghijklmnopqrstuvwxyz', raw: { x: [1] }, bidfloor: 1.5 })
  })
})

describe('a shape', () => {
  test.each([
    ['of one name', ['id']],
    ['of names of one letter', [...'abcdefghijklmnop']],
    ['of names that begin alike', ['bidfloor', 'bidfloorcur', 'bid', 'bidder', 'bi', 'b']],
    ['of names that end alike', ['sectioncat', 'pagecat', 'cat', 'acat', 'bcat', 'xcat', 'nocat']],
    [
      'of as many names as the longest has',
      Array.from({ length: 24 }, (_, i) => `${'abcdefgh'[i % 8]}${'ijklm'[i % 5]}name${i}`),
    ],
  ])('%s tells them apart, and from all that are like them', (_, names) => {
    const known = shape(values => Object.fromEntries(names.map((name, place) => [name, values[place]])))
    expect(known.names).toEqual(names)
    const like = names.flatMap(name => [`${name}_`, name.slice(0, -1), name.slice(1), name.toUpperCase()])
    const body = (every: readonly string[]) =>
      Buffer.from(`{${every.map((name, i) => `${JSON.stringify(name)}:${i}`).join()}}`)
    expect(parseRequest(body(names), known)).toStrictEqual(Object.fromEntries(names.map((name, i) => [name, i])))
    for (const name of [...names, ...like]) expect(agrees(body([name]), known), name).toBe(true)
    expect(parseRequest(body(like.filter(name => !names.includes(name))), known)).toStrictEqual(projected({}, known))
  })

  test('is refused when its names cannot be told apart', () => {
    expect(() => shape(([wlang, wling]) => ({ wlang, wling }))).toThrow(RangeError)
  })
})
