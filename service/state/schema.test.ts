import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, test } from 'vitest'
import { Random } from '../foundation/random.ts'
import { DOCUMENT_KIND_NAMES, DOCUMENT_KINDS, type DocumentKindName } from './documents.ts'
import type { Problem } from './fields.ts'
import { kindSchema, tenantSchema } from './schema.ts'

/** What the validator refuses and JSON Schema cannot say, by its remedy. Everything else must agree. */
const BEYOND_THE_SCHEMA = [
  /ISO 4217 currency|^must be like "EUR"$/, // the list of currencies
  /ISO 3166-1 alpha-3/, // the list of countries
  /ISO 3166-2/, // a region's country is one
  /IANA time zone/,
  /absolute URL/, // what the URL parser refuses
  /ISO 8601 instant/, // the 31st of November, 25 o'clock
  /split what passes midnight/, // a daypart's order
  /^must be lower case/,
  /^must be a latitude, a longitude and a radius/, // degrees
  /^must be an address,? or the first (one )?of a range/,
  /^must be a system and a version/, // from before to
  /^must not be less than from/,
  /^must be at most \d+ levels deep/,
  /^must have at most \d+ parts altogether/,
  /^must be an ISO 3166-1 alpha-3 country and a code/,
  /^must have \d+ to \d+ characters/, // the schema counts code points, the limit is in UTF-16 units
]

const DIRECTORY = new URL('../../test/tenants/acme-outdoor/', import.meta.url)

function recordsOf(kind: DocumentKindName): readonly unknown[] {
  const value: unknown = JSON.parse(readFileSync(new URL(`${kind}.json`, DIRECTORY), 'utf8'))
  return Array.isArray(value) ? value : [value]
}

type Holder = Record<string | number, unknown>

/** Every place of a value where something else can be put. */
function placesOf(value: unknown): { holder: Holder; key: string | number }[] {
  if (typeof value !== 'object' || value === null) return []
  const keys = Array.isArray(value) ? value.map((_, i) => i) : Object.keys(value)
  const holder = value as Holder
  return keys.flatMap(key => [{ holder, key }, ...placesOf(holder[key])])
}

const ODD_VALUES: readonly unknown[] = [
  null,
  true,
  0,
  1,
  -1,
  0.5,
  7,
  32,
  10_001,
  1e308,
  '',
  ' ',
  'x',
  'USA',
  'usa',
  'XXX',
  'US-CA',
  'IAB9',
  'IAB99',
  'a.b',
  'active',
  'banner',
  'video',
  'html',
  'image/png',
  'mon 10-09',
  'mon-fri 08-20',
  '2026-02-30T00:00:00Z',
  'https://',
  'https://a.example/',
  'x'.repeat(70),
  'x'.repeat(300),
  'x'.repeat(66_000),
  '😀'.repeat(40),
  'é',
  [],
  {},
  [1, 1],
  ['USA', 'USA'],
  { include: [] },
  { include: ['USA'] },
  { start: '2026-01-01T00:00:00Z' },
  [[]],
  [{}],
]

/** Changes one place of a record: another value, a missing field, an unknown field, an item twice. */
function mutate(random: Random, record: unknown): void {
  const places = placesOf(record)
  const { holder, key } = random.pick(places)
  const now = holder[key]
  const way = random.pickIndex(5)
  if (way === 0 && !Array.isArray(holder)) delete holder[key]
  else if (way === 1 && !Array.isArray(holder)) holder[`${key}x`] = now
  else if (way === 2 && Array.isArray(now)) now.push(structuredClone(now[0]))
  else if (way === 3 && typeof now === 'string')
    holder[key] = now.slice(random.between(0, 2), random.between(1, now.length + 3))
  else holder[key] = structuredClone(random.pick(ODD_VALUES))
}

describe('the JSON Schema', () => {
  const seed = Number(process.env.SEED ?? Date.now() & 0x7fffffff)
  const ajv = new Ajv2020({ strict: true, strictRequired: false, allErrors: false })

  test.each(DOCUMENT_KIND_NAMES)('of %s accepts the sample tenant', kind => {
    const records = recordsOf(kind)
    expect(ajv.validate(kindSchema(kind), DOCUMENT_KINDS[kind].count === 'one' ? records[0] : records)).toBe(true)
  })

  test('of a whole tenant accepts the sample tenant and asks for settings', () => {
    const tenant = Object.fromEntries(
      DOCUMENT_KIND_NAMES.map(kind => [
        kind,
        DOCUMENT_KINDS[kind].count === 'one' ? recordsOf(kind)[0] : recordsOf(kind),
      ]),
    )
    expect(ajv.validate(tenantSchema(), tenant)).toBe(true)
    expect(ajv.validate(tenantSchema(), { ...tenant, settings: undefined })).toBe(false)
  })

  test.each(DOCUMENT_KIND_NAMES)(`of %s and the validator agree on mutated records (seed ${seed})`, kind => {
    const random = new Random(seed)
    const { field } = DOCUMENT_KINDS[kind]
    const judge = ajv.compile(field.schema)
    const records = recordsOf(kind)
    for (let round = 0; round < 3_000; round++) {
      const record = structuredClone(random.pick(records))
      for (let i = random.between(1, 2); i > 0; i--) mutate(random, record)
      const found: Problem[] = []
      field.check(record, '', found)
      const quick: Problem[] = []
      field.check(record, undefined, quick)
      const good = found.length === 0
      expect(quick.length === 0, `with and without paths: ${JSON.stringify(record)}`).toBe(good)
      if (judge(record)) {
        const others = found.filter(each => !BEYOND_THE_SCHEMA.some(known => known.test(each.remedy)))
        expect(others, JSON.stringify(record)).toEqual([])
      } else expect(good, `${JSON.stringify(judge.errors)} in ${JSON.stringify(record)}`).toBe(false)
    }
  })
})
