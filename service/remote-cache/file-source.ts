import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { DocumentKindName } from '../state/documents.ts'
import { type Announcement, type OpenSource, type RecordBatch, SourceError, type VersionSummary } from './source.ts'
import { type DirectoryRecord, readTenantDirectory, TenantDirectoryError } from './tenant-directory.ts'

/** Records between two breaths of the thread that loads. */
const BATCH_RECORDS_MAX = 500

/** What the files of a directory look like from outside. */
interface Look {
  readonly version: string
  readonly createdAt: string
  readonly bytes: number
}

/**
 * A tenant's state in a directory of documents: the embedded stand-in for the remote cache. Each change of a file is
 * a new announcement; a version is a fingerprint of names, sizes and times of the files.
 */
export class FileSource implements OpenSource {
  readonly #directory: string
  #announced: Announcement | undefined
  #closed = false

  /** @param url `file:` URL of the directory; `file:some/dir` is relative to the working directory */
  constructor(url: string) {
    this.#directory = directoryOfUrl(url)
  }

  async announced(): Promise<Announcement | undefined> {
    const look = await this.#look()
    if (look === undefined) return undefined
    if (this.#announced?.version !== look.version)
      // Who edits a directory sees what is in it, and has no other way to say that it is meant.
      this.#announced = { number: (this.#announced?.number ?? 0) + 1, version: look.version, isMeant: true }
    return this.#announced
  }

  async summary(version: string): Promise<VersionSummary> {
    const look = await this.#lookOf(version)
    return { version, createdAt: look.createdAt, records: 0, bytes: look.bytes, compiled: false }
  }

  async *read(version: string): AsyncGenerator<RecordBatch, void, undefined> {
    const { bytes } = await this.#lookOf(version)
    const documents = readTenantDirectory(this.#directory)
    try {
      yield* this.#batches(documents, version, bytes)
    } finally {
      // Whoever stops in the middle leaves a file open otherwise.
      await documents.return()
    }
    // A file that changed while it was read may have given half of each content.
    if ((await this.#look())?.version !== version) throw new SourceError('version-changed', `was ${version}`)
  }

  async *#batches(documents: AsyncIterator<DirectoryRecord, void>, version: string, bytes: number) {
    let share = bytes
    let batch: { kind: DocumentKindName; records: unknown[]; file: string; firstRecord: number } | undefined
    for (;;) {
      const { value: next } = await this.#next(documents, version)
      if (batch !== undefined && (next === undefined || !continues(batch, next))) {
        // Bytes are known of the whole only; the first batch carries them.
        yield { ...batch, count: batch.records.length, bytes: share }
        share = 0
        batch = undefined
      }
      if (next === undefined) return
      batch ??= { kind: next.kind, records: [], file: next.where.file, firstRecord: next.where.record }
      batch.records.push(next.value)
    }
  }

  /** A directory has none: whoever edits it makes a version of it. */
  async *deltas(): AsyncGenerator<never, void, undefined> {}

  close(): void {
    this.#closed = true
  }

  async #next(documents: AsyncIterator<DirectoryRecord, void>, version: string) {
    try {
      if (this.#closed) throw new SourceError('cache-unreachable', 'the source is closed')
      return await documents.next()
    } catch (error) {
      if (!(error instanceof TenantDirectoryError)) throw error
      // An editor that is saving shows half a file: not the fault of the version that comes out of it.
      if ((await this.#look())?.version !== version) throw new SourceError('version-changed', error.message)
      throw new SourceError('document-unreadable', error.message)
    }
  }

  async #lookOf(version: string): Promise<Look> {
    const look = await this.#look()
    if (look?.version !== version) throw new SourceError('version-missing', `the files are not those of ${version}`)
    return look
  }

  /** @returns undefined for a directory without documents. */
  async #look(): Promise<Look | undefined> {
    if (this.#closed) throw new SourceError('cache-unreachable', 'the source is closed')
    try {
      const names = (await readdir(this.#directory)).filter(name => /\.(nd)?json$/.test(name)).sort()
      if (names.length === 0) return undefined
      const fingerprint = createHash('sha256')
      let bytes = 0
      let newestMs = 0
      for (const name of names) {
        const { size, mtimeNs, ino } = await stat(join(this.#directory, name), { bigint: true })
        fingerprint.update(`${name}/${size}/${mtimeNs}/${ino}\n`)
        bytes += Number(size)
        newestMs = Math.max(newestMs, Number(mtimeNs / 1_000_000n))
      }
      const createdAt = new Date(newestMs).toISOString()
      return { version: `files-${fingerprint.digest('hex').slice(0, 16)}`, createdAt, bytes }
    } catch (error) {
      throw new SourceError('directory-unreadable', error instanceof Error ? error.message : String(error))
    }
  }
}

function continues(
  batch: { readonly kind: string; readonly records: readonly unknown[]; readonly firstRecord: number },
  next: DirectoryRecord,
): boolean {
  const full = batch.records.length === BATCH_RECORDS_MAX
  return !full && batch.kind === next.kind && next.where.record === batch.firstRecord + batch.records.length
}

/** The directory that a `file:` URL names; without a slash after the colon relative to the working directory. */
export function directoryOfUrl(url: string): string {
  return /^file:\//.test(url) ? fileURLToPath(url) : decodeURIComponent(url.slice('file:'.length))
}
