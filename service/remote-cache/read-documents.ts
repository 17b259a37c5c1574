/** Reads a whole version as documents, for whoever explains it. */
import { setImmediate as breathe } from 'node:timers/promises'
import { DocumentCollection } from '../state/document-collection.ts'
import type { TenantDocuments } from '../state/documents.ts'
import { DocumentReader } from '../state/validate.ts'
import { recordsOf } from './chunks.ts'
import type { Announcement, StateSource } from './source.ts'

/** What was read. */
export interface ReadDocuments {
  /** Undefined without good settings: then nobody could bid. */
  readonly documents: TenantDocuments | undefined
  /** Problems of records that are left out, as the service leaves them out. */
  readonly problems: number
}

/**
 * Reads what is announced, with its deltas. Memory and cost: O(documents).
 * @param onRead is told how many records were read so far
 * @throws SourceError
 */
export async function readDocuments(
  source: StateSource,
  { version, deltas }: Announcement,
  onRead: (records: number) => void = () => {},
): Promise<ReadDocuments> {
  const collection = new DocumentCollection()
  const reader = new DocumentReader(good => collection.add(good))
  let records = 0
  for await (const batch of source.read(version)) {
    const { kind, file, firstRecord } = batch
    for (const [i, value] of recordsOf(batch).entries()) reader.read(kind, value, { file, record: firstRecord + i })
    records += batch.count
    onRead(records)
    await breathe()
  }
  if (deltas !== undefined)
    for await (const { delta } of source.deltas(version, { length: 0, digest: '' }, deltas)) collection.apply(delta)
  return { documents: collection.documents(), problems: reader.finish().problemsTotal }
}
