import { setImmediate as breathe } from 'node:timers/promises'
import type { Clock } from '../foundation/clock.ts'
import { DocumentReader, type GoodDocument, type ReadReport } from '../state/validate.ts'
import type { Announcement, StateSource } from './source.ts'

/** Takes the good documents of one version, in the order of DOCUMENT_KIND_NAMES: the catalog's builder. */
export interface DocumentSink {
  /** May throw an AssertionFailure, which refuses the version. */
  add(document: GoodDocument): void
}

/** How far a load is. */
export interface LoadProgress {
  readonly records: number
  /** 0 where the source cannot know. */
  readonly recordsTotal: number
  readonly bytes: number
  readonly bytesTotal: number
}

/** What a load read, and how long its steps took. Steps overlap: fetching goes on while the others work. */
export interface LoadReport extends ReadReport {
  readonly version: string
  readonly announcementNumber: number
  /** ISO 8601 instant. */
  readonly createdAt: string
  readonly bytes: number
  /** Time in which nothing but waiting for the source was done. */
  readonly fetchMs: number
  readonly parseMs: number
  /** Validation, and what the sink does in `add`. */
  readonly validateMs: number
  readonly totalMs: number
}

/** What a load needs besides a source and a sink. */
export interface LoadOptions {
  readonly clock: Clock
  /** Called after each batch, about once per MiB. */
  readonly onProgress?: (progress: LoadProgress) => void
  /** Ends the load between two batches with the signal's reason. */
  readonly signal?: AbortSignal
}

/**
 * Reads one version: fetch → checksum → parse → validate → sink. Bad records are left out and reported; whether the
 * rest is usable is in the report. Nothing is kept here. Lets other work of the thread run after each batch.
 * @throws SourceError, or whatever the sink throws. Cost: O(bytes).
 */
export async function loadVersion(
  source: StateSource,
  announcement: Announcement,
  sink: DocumentSink,
  { clock, onProgress, signal }: LoadOptions,
): Promise<LoadReport> {
  const startMs = clock.monotonicMs()
  const summary = await source.summary(announcement.version)
  const reader = new DocumentReader(document => sink.add(document))
  let [records, bytes, waitMs, parseMs, validateMs] = [0, 0, 0, 0, 0]
  let mark = startMs
  for await (const batch of source.read(announcement.version)) {
    signal?.throwIfAborted()
    const gotMs = clock.monotonicMs()
    waitMs += gotMs - mark
    parseMs += batch.parseMs
    const { kind, values, file, firstRecord } = batch
    for (let i = 0; i < values.length; i++) reader.read(kind, values[i], { file, record: firstRecord + i })
    records += values.length
    bytes += batch.bytes
    validateMs += clock.monotonicMs() - gotMs
    onProgress?.({ records, recordsTotal: summary.records, bytes, bytesTotal: summary.bytes })
    await breathe()
    mark = clock.monotonicMs()
  }
  const endMs = clock.monotonicMs()
  return {
    ...reader.finish(),
    version: announcement.version,
    announcementNumber: announcement.number,
    createdAt: summary.createdAt,
    bytes,
    fetchMs: waitMs + (endMs - mark) - parseMs,
    parseMs,
    validateMs,
    totalMs: endMs - startMs,
  }
}
