import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { readTenantDirectory } from '../service/remote-cache/tenant-directory.ts'
import type { Creative } from '../service/state/creative-document.ts'
import { DIMENSION_NAMES } from '../service/state/dimensions.ts'
import {
  DOCUMENT_KIND_NAMES,
  DOCUMENT_KINDS,
  type DocumentKindName,
  type LineItem,
} from '../service/state/documents.ts'
import type { JsonSchema } from '../service/state/fields.ts'
import { DocumentReader, problemLine } from '../service/state/validate.ts'

const TENANTS = ['acme-outdoor', 'bluebird-games', 'cinema-now'] as const
type Holder = Record<string | number, unknown>

function recordsOf(tenant: string, kind: DocumentKindName): readonly unknown[] {
  const file = new URL(`tenants/${tenant}/${kind}.json`, import.meta.url)
  const value: unknown = JSON.parse(readFileSync(file, 'utf8'))
  return Array.isArray(value) ? value : [value]
}

/** Paths of a schema's fields that no value sets. `values` are all values found at the schema's place. */
function unsetFields(schema: JsonSchema, values: readonly unknown[], path: string): string[] {
  // A language of its own, which names every dimension again.
  if (schema.$id !== undefined) return []
  if (Array.isArray(schema.oneOf)) {
    // A shape is known by its constant field: the one whose enum has a single word.
    return (schema.oneOf as JsonSchema[]).flatMap(shape => {
      const fields = Object.entries(shape.properties as Record<string, JsonSchema>)
      const [by, { enum: words }] = fields.find(([, each]) => (each.enum as unknown[] | undefined)?.length === 1)!
      const of = values.filter(value => (value as Holder)[by] === (words as unknown[])[0])
      return unsetFields(shape, of, `${path}<${String((words as unknown[])[0])}>`)
    })
  }
  if (schema.type === 'array') return unsetFields(schema.items as JsonSchema, values.flat(), `${path}[]`)
  return Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>).flatMap(([name, each]) => {
    const set = values.flatMap(value => ((value as Holder)[name] === undefined ? [] : [(value as Holder)[name]]))
    return set.length === 0 ? [`${path}.${name}`] : unsetFields(each, set, `${path}.${name}`)
  })
}

/** Fields that no sample sets, each with the reason. */
const NOT_SAMPLED: readonly string[] = []

/** Words that need not all be used: media types and browsers are many; one paused record, version and cap will do. */
const NOT_ALL_WORDS =
  /\.(mime|mimes\[\]|status|vastVersion|olderVastVersions\[\])$|\.targeting\.|^(?!lineItems).*\.frequencyCaps/

/** Paths and words of a schema's enums that no value uses. */
function unusedWords(schema: JsonSchema, values: readonly unknown[], path: string): string[] {
  if (schema.$id !== undefined || NOT_ALL_WORDS.test(path)) return []
  if (Array.isArray(schema.enum)) {
    const used = new Set(values)
    return schema.enum.filter(word => !used.has(word)).map(word => `${path} ${String(word)}`)
  }
  if (Array.isArray(schema.oneOf))
    return (schema.oneOf as JsonSchema[]).flatMap(shape => {
      const fields = Object.entries(shape.properties as Record<string, JsonSchema>)
      const [by, { enum: words }] = fields.find(([, each]) => (each.enum as unknown[] | undefined)?.length === 1)!
      const word = (words as unknown[])[0]
      return unusedWords(
        shape,
        values.filter(value => (value as Holder)[by] === word),
        `${path}<${String(word)}>`,
      )
    })
  if (schema.type === 'array') return unusedWords(schema.items as JsonSchema, values.flat(), `${path}[]`)
  return Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>).flatMap(([name, each]) => {
    const set = values.flatMap(value => ((value as Holder)[name] === undefined ? [] : [(value as Holder)[name]]))
    return unusedWords(each, set, `${path}.${name}`)
  })
}

describe('the tenants together', () => {
  const all = (kind: DocumentKindName) => TENANTS.flatMap(tenant => recordsOf(tenant, kind))

  test.each(DOCUMENT_KIND_NAMES)('set every field of %s', kind => {
    const unset = unsetFields(DOCUMENT_KINDS[kind].field.schema, all(kind), kind)
    expect(unset).toEqual(NOT_SAMPLED.filter(path => path.startsWith(kind)))
  })

  test('use every word of every field that has a few', () => {
    expect(
      DOCUMENT_KIND_NAMES.flatMap(kind => unusedWords(DOCUMENT_KINDS[kind].field.schema, all(kind), kind)),
    ).toEqual([])
  })

  test.each(TENANTS)('%s shows each of its active creatives in some active line item', tenant => {
    const used = new Set(
      (recordsOf(tenant, 'lineItems') as LineItem[]).flatMap(each =>
        each.status === 'active' ? each.creativeIds : [],
      ),
    )
    const creatives = recordsOf(tenant, 'creatives') as Creative[]
    expect(creatives.filter(({ id, status }) => status === 'active' && !used.has(id)).map(({ id }) => id)).toEqual([])
  })

  test('include and exclude values of every dimension', () => {
    const lineItems = all('lineItems') as LineItem[]
    for (const name of DIMENSION_NAMES) {
      expect(
        lineItems.some(each => each.targeting[name]?.include),
        `${name}.include`,
      ).toBe(true)
      expect(
        lineItems.some(each => each.targeting[name]?.exclude),
        `${name}.exclude`,
      ).toBe(true)
    }
  })
})

const BANNER_SIZES =
  '300x250 320x50 728x90 300x600 160x600 970x250 300x50 320x480 320x100 336x280 290x260 640x100 900x450 500x300 ' +
  '250x250 300x400 1024x576'

describe('the run of network of acme-outdoor', () => {
  const byId = new Map((recordsOf('acme-outdoor', 'creatives') as Creative[]).map(each => [each.id, each]))
  const open = (recordsOf('acme-outdoor', 'lineItems') as LineItem[]).filter(
    each => Object.keys(each.targeting).length === 0 && each.deals === undefined && each.priority >= 12,
  )
  const creatives = open.flatMap(each => each.creativeIds.map(id => byId.get(id)!))

  test.each(BANNER_SIZES.split(' '))('has a banner of %s', size => {
    expect(creatives.some(each => each.format === 'banner' && `${each.width}x${each.height}` === size)).toBe(true)
  })

  test.each(['2.0', '3.0', '4.0', '4.2'])('has a video of VAST %s as mp4 and as webm', version => {
    const mimes = creatives.flatMap(each =>
      each.format === 'video' && each.vastVersion === version ? each.mediaFiles.map(file => file.mime) : [],
    )
    expect(mimes).toEqual(expect.arrayContaining(['video/mp4', 'video/webm']))
  })
})

describe('the tenants', () => {
  test.each(TENANTS)('%s is valid', async tenant => {
    const reader = new DocumentReader(() => {})
    const directory = fileURLToPath(new URL(`tenants/${tenant}`, import.meta.url))
    for await (const { kind, value, where } of readTenantDirectory(directory)) reader.read(kind, value, where)
    const report = reader.finish()
    expect(report.problems.map(problemLine)).toEqual([])
    expect(report.counts.lineItems.good).toBeGreaterThanOrEqual(6)
  })

  test('share no advertiser domain, so that a leak would show', () => {
    const domains = TENANTS.flatMap(each => recordsOf(each, 'advertisers').map(record => (record as Holder).domain))
    expect(new Set(domains).size).toBe(domains.length)
  })
})
