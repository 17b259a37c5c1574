import { expect, test } from 'vitest'
import { publishRecords } from '../../test/raw-version.ts'
import { CatalogLoad } from '../catalog-load.ts'
import { systemClock as clock } from '../foundation/clock.ts'
import type { DocumentKindName } from '../state/documents.ts'
import { loadVersion } from './loader.ts'
import type { RecordBatch, StateSource } from './source.ts'

const announcement = { number: 7, version: 'v7' }

/** A source whose batches are known; each holds the records of one kind. */
function sourceOf(changes: Partial<Record<DocumentKindName, readonly unknown[]>> = {}): StateSource {
  const kinds = new Map<DocumentKindName, unknown[]>()
  for (const { kind, value } of publishRecords({ lineItems: 50, seed: 5 }))
    kinds.set(kind, [...(kinds.get(kind) ?? []), value])
  const batches: RecordBatch[] = [...kinds].map(([kind, values]) => {
    const all = [...values, ...(changes[kind] ?? [])]
    return { kind, records: all, count: all.length, file: kind, firstRecord: 0, bytes: 1_000 }
  })
  const records = batches.reduce((total, { count }) => total + count, 0)
  return {
    announced: async () => announcement,
    summary: async version => ({ version, createdAt: '2026-11-01T00:00:00Z', records, bytes: 9_000, compiled: false }),
    read: async function* () {
      yield* batches
    },
    deltas: async function* () {},
  }
}

test('every good document is collected, and the report adds up', async () => {
  const load = new CatalogLoad(true)
  const report = await loadVersion(sourceOf(), announcement, load, { clock })
  expect(report).toMatchObject({ version: 'v7', announcementNumber: 7, usable: true, problemsTotal: 0, bytes: 9_000 })
  expect(report.counts.lineItems).toEqual({ good: 50, bad: 0 })
  expect(report.threads).toBe(0)
  expect(report.fetchMs + report.parseMs + report.validateMs).toBeLessThanOrEqual(report.totalMs + 1)
  const identity = { version: 'v7', announcement: 7 }
  const { header } = load.builder.finish(new SharedArrayBuffer(16 * 1024 * 1024), identity)
  expect(header.lineItems).toBeGreaterThan(40)
})

test('a bad record is left out and named with its place, and the others are loaded', async () => {
  const source = sourceOf({ lineItems: [{ id: 'li-bad' }] })
  const report = await loadVersion(source, announcement, new CatalogLoad(true), { clock })
  expect(report.usable).toBe(true)
  expect(report.counts.lineItems).toEqual({ good: 50, bad: 1 })
  expect(report.problems[0]).toMatchObject({ file: 'lineItems', record: 50, id: 'li-bad' })
})

test('progress counts up to the totals, and other work of the thread runs between batches', async () => {
  let turns = 0
  const timer = setInterval(() => turns++, 0)
  const seen: number[] = []
  const onProgress = (progress: { records: number; recordsTotal: number; bytes: number; bytesTotal: number }) => {
    seen.push(progress.records)
    if (progress.bytes === progress.bytesTotal) expect(progress.records).toBe(progress.recordsTotal)
    // A batch that keeps the thread busy must not also keep the next turn of the loop away.
    const untilMs = performance.now() + 5
    while (performance.now() < untilMs);
  }
  await loadVersion(sourceOf(), announcement, new CatalogLoad(true), { clock, onProgress })
  clearInterval(timer)
  expect(seen).toEqual(seen.toSorted((left, right) => left - right))
  expect(seen).toHaveLength(9)
  expect(turns).toBeGreaterThanOrEqual(3)
})

test('an aborted signal ends the load between two batches', async () => {
  const abort = new AbortController()
  const onProgress = () => abort.abort()
  const load = loadVersion(sourceOf(), announcement, new CatalogLoad(true), { clock, onProgress, signal: abort.signal })
  await expect(load).rejects.toMatchObject({ name: 'AbortError' })
})

test('what the reader throws ends the load', async () => {
  const load = new CatalogLoad(true)
  load.read = () => Promise.reject(new Error('full'))
  await expect(loadVersion(sourceOf(), announcement, load, { clock })).rejects.toThrow('full')
})
