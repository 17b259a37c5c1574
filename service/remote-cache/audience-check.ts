/** Compares the users that serve with all that the source has, some shards at a time; what differs is replaced. */
import type { Clock } from '../foundation/clock.ts'
import type { PickIndex } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import { type AudienceChunk, readAudienceChunk } from '../state/audience-chunk.ts'
import type { AudienceTable } from '../state/audience-table.ts'
import type { ShardRecord } from './audience-layout.ts'
import type { AudienceSource } from './audience-source.ts'

/** What a check works with. */
export interface AudienceCheckParts {
  readonly source: AudienceSource
  readonly table: AudienceTable
  /** Has everybody read what the table has now. */
  readonly turn: () => Promise<void>
  readonly clock: Clock
  readonly pickIndex: PickIndex
  /** From half of it to all of it passes between two checks. */
  readonly checkMs: number
}

/** What a whole check has found. */
export interface AudienceChecked {
  readonly shards: number
  /** That had other users, or other segments of them; they were replaced. */
  readonly shardsReplaced: number
  readonly totalMs: number
}

/** One check after another. Users change meanwhile as ever: a shard that is new was compared when it was taken. */
export class AudienceCheck {
  readonly #parts: AudienceCheckParts
  #atMs: number
  #startMs = 0
  #next = 0
  #replaced = 0

  constructor(parts: AudienceCheckParts) {
    this.#parts = parts
    this.#atMs = this.#nextMs()
  }

  get isDue(): boolean {
    return this.#next > 0 || this.#parts.clock.monotonicMs() >= this.#atMs
  }

  /**
   * Looks at some more shards, if the change is still the one that serves.
   * @returns what was found once all are through
   * @throws SourceError, AudienceChunkProblem, AudienceFull; what serves serves on. Cost: O(users of the shards)
   */
  async step(change: string): Promise<AudienceChecked | undefined> {
    const { source, turn, clock } = this.#parts
    if (this.#next === 0) this.#startMs = clock.monotonicMs()
    const index = await source.index()
    if (index?.change !== change) return undefined
    const replacedBefore = this.#replaced
    const end = Math.min(index.shards.length, this.#next + LIMITS.audienceShardsCheckedMax)
    try {
      for (; this.#next < end; this.#next++) await this.#compare(this.#next, index.bits, index.shards[this.#next])
    } finally {
      if (this.#replaced > replacedBefore) await turn()
    }
    if (this.#next < index.shards.length) return undefined
    const shardsReplaced = this.#replaced
    const totalMs = clock.monotonicMs() - this.#startMs
    this.end()
    return { shards: index.shards.length, shardsReplaced, totalMs }
  }

  /** Begins anew when it is time. */
  end(): void {
    this.#next = 0
    this.#replaced = 0
    this.#atMs = this.#nextMs()
  }

  async #compare(shard: number, bits: number, record: ShardRecord | undefined): Promise<void> {
    const { source, table } = this.#parts
    let chunk: AudienceChunk | undefined
    if (record !== undefined) chunk = readAudienceChunk(await source.chunk(record))
    if (table.isSame(shard, bits, chunk)) return
    table.replace(shard, bits, chunk)
    this.#replaced++
  }

  /** Tasks that started together must not all read at once. */
  #nextMs(): number {
    const { clock, checkMs, pickIndex } = this.#parts
    const half = Math.ceil(checkMs / 2)
    return clock.monotonicMs() + half + pickIndex(half + 1)
  }
}
