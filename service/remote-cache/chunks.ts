/** Chunks: records as lines of JSON, readable by anything. */
import { hash } from 'node:crypto'
import { assert } from '../foundation/assert.ts'
import { LIMITS } from '../limits.ts'
import type { DocumentKindName } from '../state/documents.ts'
import { UnreadableRecord } from '../state/unreadable.ts'
import type { ChunkRecord, KindRecord } from './layout.ts'
import { CompiledRecords, type RecordBatch } from './source.ts'

/** One full chunk and where it belongs. */
export interface Chunk {
  readonly kind: DocumentKindName
  readonly index: number
  readonly bytes: Buffer
  readonly record: ChunkRecord
}

/**
 * Collects records into chunks of about LIMITS.chunkBytesAim. A record is at most recordBytesMax, so that no chunk
 * exceeds chunkBytesMax. Records of a kind must come together.
 */
export class ChunkWriter {
  readonly #kinds = new Map<DocumentKindName, { records: number; bytes: number; chunks: ChunkRecord[] }>()
  #kind: DocumentKindName | undefined
  #lines: string[] = []
  #units = 0

  /** @returns the chunk that became full or ended with its kind, to be stored. */
  add(kind: DocumentKindName, document: unknown): Chunk | undefined {
    const full = this.#kind !== kind || this.#units >= LIMITS.chunkBytesAim ? this.end() : undefined
    this.#kind = kind
    const line = JSON.stringify(document)
    this.#lines.push(line)
    this.#units += line.length + 1
    return full
  }

  /** @returns the last chunk, if one is open. */
  end(): Chunk | undefined {
    if (this.#kind === undefined || this.#lines.length === 0) return undefined
    const kind = this.#kind
    const bytes = Buffer.from(this.#lines.join('\n'))
    const record = { bytes: bytes.length, records: this.#lines.length, sha256: hash('sha256', bytes) }
    this.#lines = []
    this.#units = 0
    let total = this.#kinds.get(kind)
    if (total === undefined) {
      total = { records: 0, bytes: 0, chunks: [] }
      this.#kinds.set(kind, total)
    }
    total.records += record.records
    total.bytes += record.bytes
    return { kind, index: total.chunks.push(record) - 1, bytes, record }
  }

  /** Notes what a chunk was compiled to. Cost: O(bytes) */
  noteCompiled({ kind, index }: Chunk, compiled: Uint8Array): void {
    const chunks = this.#kinds.get(kind)?.chunks ?? []
    const record = chunks[index]
    assert(record !== undefined, 'a chunk that is compiled was written', { kind, index })
    chunks[index] = { ...record, compiled: { bytes: compiled.length, sha256: hash('sha256', compiled) } }
  }

  /** What was written so far, as the manifest wants it. */
  get kinds(): Partial<Record<DocumentKindName, KindRecord>> {
    return Object.fromEntries(this.#kinds)
  }
}

/** SHA-256 as hexadecimal digits. Runs on the thread pool, so that it overlaps with parsing. Cost: O(bytes). */
export async function sha256Of(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex')
}

/** The records of a batch that is not compiled, see parseChunk. */
export function recordsOf({ records }: Pick<RecordBatch, 'records'>): readonly unknown[] {
  assert(!(records instanceof CompiledRecords), 'compiled records are not read again')
  return records instanceof Uint8Array ? parseChunk(records) : records
}

/**
 * The records of a chunk. For a line that is not JSON stands an UnreadableRecord: validation refuses and names it.
 * Cost: O(bytes). Making one list of all lines and parsing that was measured and is no faster.
 */
function parseChunk(bytes: Uint8Array): unknown[] {
  return new TextDecoder().decode(bytes).split('\n').map(parsedLine)
}

function parsedLine(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    return new UnreadableRecord(line, `must be one JSON object on one line: ${message}`)
  }
}
