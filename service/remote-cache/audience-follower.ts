/** Keeps a task on its tenant's users: look → fetch the shards that are others now → build → turn, for ever. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../foundation/clock.ts'
import type { PickIndex } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import { AudienceChunkProblem, readAudienceChunk } from '../state/audience-chunk.ts'
import type { AudienceTurn } from '../state/audience-reader.ts'
import type { AudienceTable } from '../state/audience-table.ts'
import { AudienceFull } from '../state/set-pool.ts'
import { type AudienceIndex, audienceTotals, type ShardRecord } from './audience-layout.ts'
import type { AudienceSource } from './audience-source.ts'
import { SourceError } from './source.ts'

/** What happened, for logs and metrics. Repeated failures are told once. */
export type AudienceEvent =
  | {
      readonly kind: 'audience-loaded'
      readonly number: number
      readonly users: number
      readonly sets: number
      /** That were fetched. */
      readonly shards: number
      readonly bytes: number
      readonly fetchMs: number
      readonly totalMs: number
    }
  /** The users before serve on; shards that were taken before the failure are the new ones. */
  | { readonly kind: 'audience-refused'; readonly change: string; readonly message: string }

/** What a follower works with. */
export interface AudienceFollowerParts {
  readonly source: AudienceSource
  readonly table: AudienceTable
  /** Resolves when no bid thread reads what was before. */
  readonly turn: (turn: AudienceTurn) => Promise<void>
  /** Asked before anything is fetched. @returns why the task must not load it */
  readonly admit: (index: AudienceIndex) => string | undefined
  /** Must not throw. */
  readonly onEvent: (event: AudienceEvent) => void
  readonly clock: Clock
  readonly pickIndex: PickIndex
  readonly pollMs: number
}

/** What is fetched before the one before is built. */
interface Fetch {
  readonly shard: number
  readonly record: ShardRecord | undefined
  readonly bytes: Promise<Uint8Array<ArrayBuffer> | undefined>
}

const RETRY_MS_MAX = 1_000

/** The loop. start() once, stop() once. */
export class AudienceFollower {
  readonly #parts: AudienceFollowerParts
  readonly #abort = new AbortController()
  readonly #opened = Promise.withResolvers<void>()
  #loop: Promise<void> | undefined
  #bits = 0
  /** Names of the chunks whose users are in the table, by shard; '' = nobody. Undefined = not known to be right. */
  #held: (string | undefined)[] = ['']
  /** An index that could not be loaded is not tried again. */
  #refused = ''
  #change = ''
  #segmentsTold = -1
  #key: AudienceTurn['key'] = [0, 0]
  #isOpen = false

  constructor(parts: AudienceFollowerParts) {
    this.#parts = parts
  }

  /** Resolves when the users that there are have been taken, or cannot be. */
  get opened(): Promise<void> {
    return this.#opened.promise
  }

  /** Name of the change that serves; '' before the first. */
  get change(): string {
    return this.#change
  }

  start(): void {
    this.#loop ??= this.#run()
  }

  /** Resolves once nothing is under way any more. Close the source first, or it may take its time limit. */
  async stop(): Promise<void> {
    this.#abort.abort()
    await this.#loop
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort
    const { clock } = this.#parts
    const startMs = clock.monotonicMs()
    while (!signal.aborted) {
      const pauseMs = await this.#look()
      // A task whose cache is away at the start serves what it has: a copy of the state, and nobody's segments.
      if (clock.monotonicMs() - startMs > LIMITS.audienceOpenMs) await this.#open()
      await sleep(pauseMs, undefined, { signal }).catch(() => {})
    }
  }

  /** One look and what follows from it. Never rejects. @returns how long to wait, in ms */
  async #look(): Promise<number> {
    const { source, pollMs, pickIndex, onEvent } = this.#parts
    let change = ''
    try {
      change = await source.change()
      if (change === '') await this.#open()
      // A cache that lost its memory is no reason to forget who is in a segment, nor who must not see something.
      else if (change !== this.#change && change !== this.#refused) await this.#load()
    } catch (error) {
      if (this.#abort.signal.aborted) return 0
      // A shard that is gone was replaced while it was on its way: the next look finds the one that is there now.
      if (isGone(error) && (await source.change().catch(() => change)) !== change) return 0
      if (!isFinal(error)) return RETRY_MS_MAX
      this.#refused = change
      await this.#open()
      onEvent({ kind: 'audience-refused', change, message: error.message })
    }
    const half = Math.ceil(pollMs / 2)
    return half + pickIndex(half + 1)
  }

  async #open(): Promise<void> {
    if (this.#isOpen) return
    this.#isOpen = true
    await this.#turn()
    this.#opened.resolve()
  }

  async #load(): Promise<void> {
    const { source, table, admit, onEvent, clock } = this.#parts
    const startMs = clock.monotonicMs()
    const index = await source.index()
    if (index === undefined) return
    const problem = admit(index)
    if (problem !== undefined) throw new AudienceFull(problem)
    this.#key = index.key
    if (index.bits !== this.#bits) {
      this.#bits = index.bits
      this.#held = index.shards.map(() => undefined)
    }
    const taken = { shards: 0, bytes: 0, fetchMs: 0 }
    try {
      for await (const { shard, record, bytes } of this.#fetches(index)) {
        const mark = clock.monotonicMs()
        const chunk = await bytes
        taken.fetchMs += clock.monotonicMs() - mark
        this.#abort.signal.throwIfAborted()
        // The pages of some shards more are free again before the next are filled.
        if (table.spareBytes > LIMITS.audienceSpareBytes) await this.#turn()
        table.put(shard, index.bits, chunk && readAudienceChunk(chunk))
        this.#held[shard] = record?.name ?? ''
        taken.shards++
        taken.bytes += record?.bytes ?? 0
      }
    } finally {
      // What was taken before a failure is right, and the next load goes on behind it.
      await this.#turn()
    }
    this.#change = index.change
    await this.#open()
    const { count: sets } = table.sets
    const totalMs = clock.monotonicMs() - startMs
    onEvent({ kind: 'audience-loaded', number: index.number, users: table.users, sets, ...taken, totalMs })
  }

  /** Shards that are others than those held, some of them on their way while one is built. */
  async *#fetches({ shards }: AudienceIndex): AsyncGenerator<Fetch, void, undefined> {
    const { source } = this.#parts
    const wanted = [...shards.entries()].filter(([shard, record]) => this.#held[shard] !== (record?.name ?? ''))
    const inFlight: Fetch[] = []
    for (const [shard, record] of wanted) {
      const bytes = record === undefined ? Promise.resolve(undefined) : source.chunk(record)
      // Whoever comes to it meets its error; who stops earlier must not leave it unhandled.
      bytes.catch(() => {})
      inFlight.push({ shard, record, bytes })
      if (inFlight.length >= LIMITS.audienceChunksInFlightMax) yield inFlight.shift() as Fetch
    }
    yield* inFlight
  }

  async #turn(): Promise<void> {
    const { table, turn } = this.#parts
    const isKnown = this.#segmentsTold === table.segments.length
    this.#segmentsTold = table.segments.length
    await turn({
      map: table.place(),
      key: this.#key,
      isOpen: this.#isOpen,
      segments: isKnown ? undefined : [...table.segments],
    })
    table.settle()
  }
}

function isGone(error: unknown): boolean {
  return error instanceof SourceError && error.code === 'version-incomplete'
}

/** Whether the same index can never be loaded. */
function isFinal(error: unknown): error is Error {
  if (error instanceof SourceError) return !error.retry
  return error instanceof AudienceChunkProblem || error instanceof AudienceFull
}

/**
 * Whether a task has the memory for users, judged before any of them is fetched. Pure.
 * @param heldBytes what the table has touched, which is used again
 * @returns why they must not be loaded, and the remedy
 */
export function audienceProblem(
  index: AudienceIndex,
  { limitBytes, residentBytes, heldBytes }: { limitBytes: number; residentBytes: number; heldBytes: number },
): string | undefined {
  const { users, members, sets } = audienceTotals(index)
  // Sets are counted per shard: in the table each is held once, so this is the most that they can take.
  const needed = users * BYTES_PER_USER + members * 8 + sets * BYTES_PER_SET
  const more = Math.max(0, needed - heldBytes) + LIMITS.audienceSpareBytes
  if (residentBytes + more <= limitBytes * LIMITS.loadMemoryShareMax) return undefined
  const mib = (bytes: number) => Math.round(bytes / (1024 * 1024))
  const has = `${mib(residentBytes)} of ${mib(limitBytes)} MiB are in use`
  return `its ${users} users take about ${mib(more)} MiB more, and ${has}; give the task more memory, or it fewer users`
}

const BYTES_PER_USER = 18
/** Head, and its share of the table that finds it. */
const BYTES_PER_SET = 20
