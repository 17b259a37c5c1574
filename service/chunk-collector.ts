/** Reads chunks of one load, on whichever thread it lives: parses, validates and collects them into parts. */
import { systemClock } from './foundation/clock.ts'
import { creativeFragment } from './openrtb/creative-fragment.ts'
import { recordsOf } from './remote-cache/chunks.ts'
import { type CreativeTable, PartCollector } from './state/catalog-part.ts'
import { DocumentReader, type KnownKind } from './state/validate.ts'
import type { ChunkRead, ChunkToRead } from './thread-messages.ts'

/** One of several collectors of a load: what all must know they are told, and the other chunks are divided. */
export class ChunkCollector {
  readonly #parts: PartCollector
  readonly #reader: DocumentReader

  /** @param number tells it from the load's other collectors */
  constructor(number: number) {
    this.#parts = new PartCollector(number, creativeFragment)
    this.#reader = new DocumentReader(good => this.#parts.add(good))
  }

  /** Takes records to which others refer. Their problems are reported by another reader. Cost: O(bytes). */
  learn(chunk: ChunkToRead): void {
    this.#reader.readPart(chunk.kind, recordsOf(chunk), { file: chunk.file, record: chunk.firstRecord })
  }

  /** Takes all creatives of the version, before the first line item. Cost: O(creatives). */
  learnCreatives(known: KnownKind, table: CreativeTable): void {
    this.#reader.learn(known)
    this.#parts.learnCreatives(table)
  }

  /** Reads a chunk that no other collector gets. Cost: O(bytes). */
  read(chunk: ChunkToRead): ChunkRead {
    const { kind, records, file, firstRecord } = chunk
    const startMs = systemClock.monotonicMs()
    const values = recordsOf(chunk)
    const parsedMs = systemClock.monotonicMs()
    const read = this.#reader.readPart(kind, values, { file, record: firstRecord })
    const part = this.#parts.take()
    const validateMs = systemClock.monotonicMs() - parsedMs
    return { read, part, records, parseMs: parsedMs - startMs, validateMs }
  }
}
