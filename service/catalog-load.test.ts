import { describe, expect, test } from 'vitest'
import { rawKinds } from '../test/raw-version.ts'
import { CatalogLoad } from './catalog-load.ts'
import type { BatchesRead } from './remote-cache/loader.ts'
import type { RecordBatch } from './remote-cache/source.ts'
import type { Catalog } from './state/catalog.ts'
import { DOCUMENT_KIND_NAMES, type DocumentKindName } from './state/documents.ts'

const CHUNK_LINES = 40
const SLAB_BYTES = 64 * 1024 * 1024

type Lines = Partial<Record<DocumentKindName, readonly string[]>>

function tenantLines(): Lines {
  const kinds = rawKinds({ lineItems: 1_000, seed: 3 })
  return Object.fromEntries(Object.entries(kinds).map(([kind, chunks]) => [kind, chunks.flat()]))
}

function* batchesOf(lines: Lines): Generator<RecordBatch> {
  for (const kind of DOCUMENT_KIND_NAMES) {
    const all = lines[kind] ?? []
    for (let at = 0; at < all.length; at += CHUNK_LINES) {
      const chunk = all.slice(at, at + CHUNK_LINES)
      const records = new Uint8Array(Buffer.from(chunk.join('\n')))
      yield { kind, records, count: chunk.length, file: kind, firstRecord: at, bytes: records.length }
    }
  }
}

/** @param bytes what the summary claims: threads are started by it */
async function load(lines: Lines, bytes: number): Promise<{ read: BatchesRead; catalog: Catalog; slab: Uint8Array }> {
  const reader = new CatalogLoad(true)
  try {
    reader.begin({ version: 'v', createdAt: '', records: 0, bytes, compiled: false })
    for (const batch of batchesOf(lines)) await reader.read(batch)
    const read = await reader.finish()
    const slab = new SharedArrayBuffer(SLAB_BYTES)
    return { read, catalog: reader.builder.finish(slab, { version: 'v', announcement: 1 }), slab: new Uint8Array(slab) }
  } finally {
    await reader.close()
  }
}

/** Everything that must not depend on how the work was divided. */
async function expectSame(lines: Lines): Promise<BatchesRead> {
  const here = await load(lines, 0)
  const divided = await load(lines, 2 ** 40)
  expect(here.read.threads).toBe(0)
  expect(divided.read.threads).toBeGreaterThan(0)
  expect(divided.read.counts).toEqual(here.read.counts)
  expect(divided.read.problems).toEqual(here.read.problems)
  expect(divided.read.problemsTotal).toBe(here.read.problemsTotal)
  expect(divided.catalog.header).toEqual(here.catalog.header)
  expect(Buffer.compare(divided.slab, here.slab)).toBe(0)
  return divided.read
}

describe('a load that is divided between threads', () => {
  test('gives the same catalog, byte for byte, as one on the control thread', async () => {
    const read = await expectSame(tenantLines())
    expect(read.problemsTotal).toBe(0)
    expect(read.counts.lineItems.good).toBe(1_000)
  })

  test('names bad records and bad references alike, in reading order', async () => {
    const lines = tenantLines()
    const change = (kind: DocumentKindName, every: number, how: (line: string) => string) =>
      (lines[kind] ?? []).map((line, index) => (index % every === 7 ? how(line) : line))
    const read = await expectSame({
      ...lines,
      campaigns: change('campaigns', 20, line => line.replace('"active"', '"on"')),
      creatives: change('creatives', 30, line => line.replace('"width":', '"widht":')),
      lineItems: change('lineItems', 90, line => line.slice(0, 40)),
    })
    expect(read.problemsTotal).toBeGreaterThan(30)
    expect(read.problems.some(({ remedy }) => remedy.includes('which is refused'))).toBe(true)
  })

  test('refuses an id that another chunk has, wherever the two were read', async () => {
    const lines = tenantLines()
    const twice = (all: readonly string[] = []) => [...all, ...all.slice(0, 1), ...all.slice(50, 95)]
    const read = await load({ ...lines, creatives: twice(lines.creatives), lineItems: twice(lines.lineItems) }, 2 ** 40)
    const here = await load({ ...lines, creatives: twice(lines.creatives), lineItems: twice(lines.lineItems) }, 0)
    expect(read.read.counts.creatives.bad).toBe(46)
    expect(read.read.counts.lineItems.bad).toBe(46)
    expect(read.read.problems).toEqual(here.read.problems)
    expect(read.catalog.header.lineItems).toBe(here.catalog.header.lineItems)
  })

  test('ends in the middle without leaving a thread behind', async () => {
    const reader = new CatalogLoad(false)
    reader.begin({ version: 'v', createdAt: '', records: 0, bytes: 2 ** 40, compiled: false })
    let batches = 0
    for (const batch of batchesOf(tenantLines())) if (batches++ < 20) await reader.read(batch)
    await reader.close()
    expect(process.getActiveResourcesInfo().filter(name => name === 'Worker')).toEqual([])
  })
})
