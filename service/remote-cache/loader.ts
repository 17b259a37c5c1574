import type { Clock } from '../foundation/clock.ts'
import type { ReadReport } from '../state/validate.ts'
import type { Announcement, ReadFrom, RecordBatch, StateSource, VersionSummary } from './source.ts'

/** What reading all batches of a version came to. */
export interface BatchesRead extends ReadReport {
  /** Time spent on parsing, summed over the threads that did it. */
  readonly parseMs: number
  /** Time spent on validating records and collecting the good ones, summed in the same way. */
  readonly validateMs: number
  /** Threads besides this one that worked. */
  readonly threads: number
}

/** Reads the records of one version, whose batches come in the order of the source. */
export interface BatchReader {
  /** Called once, first. */
  begin(summary: VersionSummary): void
  /** Takes a batch; resolves when there is room for another. Rejects to refuse the version. */
  read(batch: RecordBatch): Promise<void>
  /** Resolves when all batches are read. */
  finish(): Promise<BatchesRead>
  /** Ends what is still under way. Called last, whatever happened before. */
  close(): Promise<void>
}

/** A version that the task has no memory for. Nothing of it was read. */
export class NotAdmitted extends Error {
  override readonly name = 'NotAdmitted'
}

/** How far a load is. */
export interface LoadProgress {
  readonly records: number
  /** 0 where the source cannot know. */
  readonly recordsTotal: number
  readonly bytes: number
  readonly bytesTotal: number
}

/** What a load read, and how long its steps took. Steps overlap, and several threads may work on one. */
export interface LoadReport extends BatchesRead {
  readonly version: string
  readonly announcementNumber: number
  /** ISO 8601 instant. */
  readonly createdAt: string
  readonly bytes: number
  /** Whether the publisher's compilation was read; then nothing was parsed and validated here but the small kinds. */
  readonly compiled: boolean
  /** Time in which the source was waited for. */
  readonly fetchMs: number
  readonly totalMs: number
}

/** What a load needs besides a source and a reader. */
export interface LoadOptions {
  readonly clock: Clock
  /** Without it from the records. */
  readonly from?: ReadFrom
  /** Called after each batch, about once per MiB. */
  readonly onProgress?: (progress: LoadProgress) => void
  /** Asked before anything is read. @returns why the version must not be loaded */
  readonly admit?: (summary: VersionSummary) => string | undefined
  /** Ends the load between two batches with the signal's reason. */
  readonly signal?: AbortSignal
}

/**
 * Reads one version: fetch → checksum → parse → validate → collect. Bad records are left out and reported; whether the
 * rest is usable is in the report. Nothing is kept here. The caller closes the reader.
 * @throws SourceError, NotAdmitted, or whatever the reader throws. Cost: O(bytes).
 */
export async function loadVersion(
  source: StateSource,
  announcement: Announcement,
  reader: BatchReader,
  { clock, from = 'records', admit, onProgress, signal }: LoadOptions,
): Promise<LoadReport> {
  const startMs = clock.monotonicMs()
  const summary = await source.summary(announcement.version, from)
  const problem = admit?.(summary)
  if (problem !== undefined) throw new NotAdmitted(problem)
  reader.begin(summary)
  let [records, bytes, fetchMs] = [0, 0, 0]
  let mark = startMs
  for await (const batch of source.read(announcement.version, from)) {
    fetchMs += clock.monotonicMs() - mark
    signal?.throwIfAborted()
    await reader.read(batch)
    records += batch.count
    bytes += batch.bytes
    onProgress?.({ records, recordsTotal: summary.records, bytes, bytesTotal: summary.bytes })
    mark = clock.monotonicMs()
  }
  fetchMs += clock.monotonicMs() - mark
  const read = await reader.finish()
  return {
    ...read,
    version: announcement.version,
    announcementNumber: announcement.number,
    createdAt: summary.createdAt,
    bytes,
    compiled: summary.compiled,
    fetchMs,
    totalMs: clock.monotonicMs() - startMs,
  }
}
