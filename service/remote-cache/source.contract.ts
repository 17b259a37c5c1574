import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RawKinds, rawKinds } from '../../test/raw-version.ts'
import { DOCUMENT_KIND_NAMES } from '../state/documents.ts'
import { UnreadableRecord } from '../state/unreadable.ts'
import { recordsOf } from './chunks.ts'
import { type OpenSource, type RecordBatch, SourceError } from './source.ts'

/** One kind of source under test, and how documents get into it. */
export interface SourceHarness {
  readonly source: OpenSource
  /** A second source on the same documents, to be closed by the test. */
  open(): OpenSource
  /** Makes these the announced documents. */
  put(kinds: RawKinds): Promise<void>
  close(): Promise<void>
}

async function batchesOf(source: OpenSource, version: string): Promise<RecordBatch[]> {
  const batches: RecordBatch[] = []
  for await (const batch of source.read(version)) batches.push(batch)
  return batches
}

async function announcedBy(source: OpenSource) {
  const announced = await source.announced()
  if (announced === undefined) throw new Error('nothing is announced')
  return announced
}

/** What every StateSource promises. */
export function describeSource(name: string, makeHarness: () => Promise<SourceHarness>): void {
  describe(`${name} keeps the contract of a state source`, () => {
    let harness: SourceHarness
    const kinds = rawKinds({ lineItems: 700, seed: 11 })

    beforeAll(async () => {
      harness = await makeHarness()
    })
    afterAll(() => harness.close())

    test('nothing is announced before anything is there', async () => {
      expect(await harness.source.announced()).toBeUndefined()
    })

    test('an announcement stays the same until something changes, then its number grows by one', async () => {
      await harness.put(kinds)
      const first = await announcedBy(harness.source)
      expect(await harness.source.announced()).toEqual(first)
      await harness.put({ ...kinds, rates: [] })
      const second = await announcedBy(harness.source)
      expect(second.number).toBe(first.number + 1)
      expect(second.version).not.toBe(first.version)
      await harness.put(kinds)
      expect((await announcedBy(harness.source)).number).toBe(first.number + 2)
    })

    test('every record arrives once, in the order of the kinds, with its place', async () => {
      const { version } = await announcedBy(harness.source)
      const batches = await batchesOf(harness.source, version)
      const order = batches.map(({ kind }) => DOCUMENT_KIND_NAMES.indexOf(kind))
      expect(order).toEqual(order.toSorted((left, right) => left - right))
      for (const kind of DOCUMENT_KIND_NAMES) {
        const lines = (kinds[kind] ?? []).flat()
        const ofKind = batches.filter(batch => batch.kind === kind)
        expect(ofKind.flatMap(recordsOf)).toEqual(lines.map(line => JSON.parse(line)))
        let next = 0
        for (const { firstRecord, count, file } of ofKind) {
          expect(firstRecord).toBe(next)
          expect(file).toContain(kind)
          next += count
        }
      }
    })

    test('the summary tells the version, an instant and the bytes that reading gives', async () => {
      const { version } = await announcedBy(harness.source)
      const summary = await harness.source.summary(version)
      expect(summary.version).toBe(version)
      expect(Date.parse(summary.createdAt)).toBeGreaterThan(0)
      const batches = await batchesOf(harness.source, version)
      expect(batches.reduce((total, { bytes }) => total + bytes, 0)).toBe(summary.bytes)
    })

    test('a line that is not JSON is one unreadable record among good ones', async () => {
      const lines = (kinds.advertisers ?? []).flat()
      await harness.put({ ...kinds, advertisers: [[...lines, '{"id": "cut of', '{"id":1},{"id":2}', ...lines]] })
      const { version } = await announcedBy(harness.source)
      const batches = await batchesOf(harness.source, version)
      const values = batches.filter(({ kind }) => kind === 'advertisers').flatMap(recordsOf)
      expect(values).toHaveLength(2 * lines.length + 2)
      expect(values[lines.length]).toBeInstanceOf(UnreadableRecord)
      expect(values[lines.length + 1]).toBeInstanceOf(UnreadableRecord)
      expect(values[lines.length + 2]).toEqual(values[0])
    })

    test('a version that is not there is missing, for its summary and for reading', async () => {
      const isMissing = (error: unknown) => error instanceof SourceError && error.code === 'version-missing'
      await expect(harness.source.summary('nowhere')).rejects.toSatisfy(isMissing)
      await expect(batchesOf(harness.source, 'nowhere')).rejects.toSatisfy(isMissing)
    })

    test('whoever stops reading in the middle leaves nothing behind', async () => {
      await harness.put(kinds)
      const source = harness.open()
      const { version } = await announcedBy(source)
      for await (const batch of source.read(version)) if (batch.count > 0) break
      source.close()
    })

    test('a closed source is unreachable and says so', async () => {
      const source = harness.open()
      await source.announced()
      source.close()
      source.close()
      const isUnreachable = (error: unknown) => error instanceof SourceError && error.code === 'cache-unreachable'
      await expect(source.announced()).rejects.toSatisfy(isUnreachable)
    })
  })
}
