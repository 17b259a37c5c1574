/** Keeps a task on its tenant's users: look → fetch the shards that are others now → build → turn, for ever. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../foundation/clock.ts'
import type { PickIndex } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import { AudienceChunkProblem, readAudienceChunk } from '../state/audience-chunk.ts'
import type { AudienceTurn } from '../state/audience-reader.ts'
import type { AudienceTable } from '../state/audience-table.ts'
import { AudienceFull } from '../state/set-pool.ts'
import { AudienceCheck, type AudienceChecked } from './audience-check.ts'
import type { AudienceFolder } from './audience-folder.ts'
import { type AudienceIndex, audienceTotals, type ShardRecord } from './audience-layout.ts'
import type { AudienceSource } from './audience-source.ts'
import { SourceError } from './source.ts'

/** What taking a change came to. */
interface AudienceTaken {
  readonly index: AudienceIndex
  readonly users: number
  readonly sets: number
  /** That were fetched. */
  readonly shards: number
  readonly bytes: number
  readonly fetchMs: number
  readonly totalMs: number
}

/** What happened, for logs and metrics. Repeated failures are told once. */
export type AudienceEvent =
  | ({ readonly kind: 'audience-loaded' } & AudienceTaken)
  /** The source cannot be reached at the start: what the disk has of an earlier time serves until it can. */
  | ({ readonly kind: 'audience-copy-serves'; readonly copiedAt: string } & AudienceTaken)
  | { readonly kind: 'audience-copy-unusable'; readonly message: string }
  /** What is served was compared with the source's; if it differed, it was replaced. */
  | ({ readonly kind: 'audience-checked' } & AudienceChecked)
  /** What is served serves on. */
  | { readonly kind: 'audience-check-failed'; readonly message: string }
  /** The users before serve on; shards that were taken before the failure are the new ones. */
  | { readonly kind: 'audience-refused'; readonly change: string; readonly message: string }

/** What a follower works with. */
export interface AudienceFollowerParts {
  readonly source: AudienceSource
  /** For a start without the source. */
  readonly copy?: AudienceFolder
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
  /** So often what is served is compared with what the source has. */
  readonly checkMs: number
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
  #startedMs = 0
  #wasCopyTried = false
  readonly #check: AudienceCheck

  constructor(parts: AudienceFollowerParts) {
    this.#parts = parts
    this.#check = new AudienceCheck({ ...parts, turn: () => this.#turn() })
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
    this.#startedMs = clock.monotonicMs()
    while (!signal.aborted) {
      const pauseMs = await this.#look()
      // A task whose cache is away at the start serves what it has: a copy of the state, and nobody's segments.
      if (clock.monotonicMs() - this.#startedMs > LIMITS.audienceOpenMs) await this.#open()
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
      else if (change !== this.#change && change !== this.#refused) await this.#loadNow()
      else if (change === this.#change && this.#check.isDue) await this.#checkSome()
    } catch (error) {
      if (this.#abort.signal.aborted) return 0
      // A shard that is gone was replaced while it was on its way: the next look finds the one that is there now.
      if (isGone(error) && (await source.change().catch(() => change)) !== change) return 0
      if (!isFinal(error)) {
        await this.#startFromCopy()
        return RETRY_MS_MAX
      }
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

  async #loadNow(): Promise<void> {
    const { source, onEvent } = this.#parts
    const taken = await this.#load(source)
    if (taken !== undefined) onEvent({ kind: 'audience-loaded', ...taken })
  }

  /** Before anything serves. Never rejects. What the source has later is newer, whatever it is. */
  async #startFromCopy(): Promise<void> {
    const { copy, onEvent, clock } = this.#parts
    if (copy === undefined || this.#isOpen || this.#wasCopyTried) return
    if (clock.monotonicMs() - this.#startedMs < LIMITS.stateCopyAfterMs) return
    this.#wasCopyTried = true
    try {
      const taken = await this.#load(copy)
      // A tenant without users has no copy of them, and nothing to wait for.
      if (taken === undefined) await this.#open()
      else onEvent({ kind: 'audience-copy-serves', copiedAt: await copy.copiedAt(), ...taken })
    } catch (error) {
      onEvent({ kind: 'audience-copy-unusable', message: error instanceof Error ? error.message : String(error) })
    }
  }

  /** @throws what the next look repairs: a source that is away, or a change that has come meanwhile */
  async #checkSome(): Promise<void> {
    const { source, onEvent } = this.#parts
    try {
      const checked = await this.#check.step(this.#change)
      if (checked !== undefined) onEvent({ kind: 'audience-checked', ...checked })
    } catch (error) {
      if (!isFinal(error)) throw error
      if (isGone(error) && (await source.change()) !== this.#change) return
      this.#check.end()
      onEvent({ kind: 'audience-check-failed', message: error.message })
    }
  }

  /** @returns undefined where there never was a change */
  async #load(source: AudienceSource): Promise<AudienceTaken | undefined> {
    const { table, admit, clock } = this.#parts
    const startMs = clock.monotonicMs()
    const index = await source.index()
    if (index === undefined) return undefined
    const problem = admit(index)
    if (problem !== undefined) throw new AudienceFull(problem)
    this.#key = index.key
    if (index.bits !== this.#bits) {
      this.#bits = index.bits
      this.#held = index.shards.map(() => undefined)
    }
    const taken = { shards: 0, bytes: 0, fetchMs: 0 }
    try {
      for await (const { shard, record, bytes } of this.#fetches(source, index)) {
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
    return { index, users: table.users, sets, ...taken, totalMs: clock.monotonicMs() - startMs }
  }

  /** Shards that are others than those held, some of them on their way while one is built. */
  async *#fetches(source: AudienceSource, { shards }: AudienceIndex): AsyncGenerator<Fetch, void, undefined> {
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
