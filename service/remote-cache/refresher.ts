/** Keeps a task on what is announced: look → plan → load or take deltas → swap, for ever, through all that fails. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../foundation/clock.ts'
import type { PickIndex } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import type { ReadReport, RecordProblem } from '../state/validate.ts'
import { NO_DELTAS } from './deltas.ts'
import { type BatchReader, type LoadProgress, type LoadReport, loadVersion } from './loader.ts'
import {
  type Announcement,
  type DeltaChain,
  type ReadFrom,
  SourceError,
  type SourceErrorCode,
  type StateSource,
  type StoredDelta,
} from './source.ts'

/** What to do about an announcement; decided before anything happens. */
export type UpdatePlan =
  | { readonly kind: 'up-to-date' }
  | { readonly kind: 'keep'; readonly because: 'nothing-announced' | 'refused-before' }
  | { readonly kind: 'take-deltas'; readonly after: DeltaChain; readonly announcement: Announcement }
  | { readonly kind: 'load-snapshot'; readonly because: LoadCause; readonly announcement: Announcement }

/**
 * `number-went-back`: the cache was lost or restored; its word still counts. `deltas-differ`: it has lost deltas that
 * are served, or has others in their place. `gap-in-deltas`: it lacks one.
 */
export type LoadCause = 'first-load' | 'new-version' | 'number-went-back' | 'deltas-differ' | 'gap-in-deltas'

/** What a plan follows from. */
export interface PlanInput {
  /** What is being served. */
  readonly held: Announcement | undefined
  readonly announced: Announcement | undefined
  readonly wasRefused: (announcement: Announcement) => boolean
}

/** Pure. A version never changes its content, so announcing the held one again is no work: only its deltas grow. */
export function planUpdate({ held, announced, wasRefused }: PlanInput): UpdatePlan {
  if (announced === undefined) return { kind: 'keep', because: 'nothing-announced' }
  const [after, end] = [held?.deltas ?? NO_DELTAS, announced.deltas ?? NO_DELTAS]
  if (held?.version === announced.version && after.digest === end.digest) return { kind: 'up-to-date' }
  if (wasRefused(announced)) return { kind: 'keep', because: 'refused-before' }
  if (held?.version === announced.version) {
    if (after.length < end.length) return { kind: 'take-deltas', after, announcement: announced }
    return { kind: 'load-snapshot', because: 'deltas-differ', announcement: announced }
  }
  if (held === undefined) return { kind: 'load-snapshot', because: 'first-load', announcement: announced }
  const because = announced.number < held.number ? 'number-went-back' : 'new-version'
  return { kind: 'load-snapshot', because, announcement: announced }
}

/** Why a version that could be read is not served. */
const REFUSAL_ERRORS = {
  'documents-unusable': { meaning: 'the settings of the tenant are missing or bad, so that no catalog can be made' },
  'build-failed': { meaning: 'no catalog could be built from the version' },
} as const satisfies Record<string, { readonly meaning: string }>

/** Why a version is not served and never tried again under the same announcement. */
export type RefusalCode = SourceErrorCode | keyof typeof REFUSAL_ERRORS

/** What happened, for logs and metrics. Repeated states are told once. */
export type RefreshEvent =
  | { readonly kind: 'cache-unreachable'; readonly code: SourceErrorCode; readonly message: string }
  | { readonly kind: 'cache-back'; readonly awayMs: number }
  | { readonly kind: 'nothing-announced' }
  | { readonly kind: 'version-loading'; readonly announcement: Announcement; readonly because: LoadCause }
  /** It is read again, from its records. */
  | { readonly kind: 'compiled-unusable'; readonly announcement: Announcement; readonly message: string }
  | { readonly kind: 'version-progress'; readonly announcement: Announcement; readonly progress: LoadProgress }
  | {
      readonly kind: 'version-loaded'
      readonly announcement: Announcement
      readonly report: LoadReport
      /** What building, its deltas and the swap took. */
      readonly buildMs: number
    }
  | {
      readonly kind: 'deltas-taken'
      /** Up to where. */
      readonly announcement: Announcement
      readonly deltas: number
      readonly chars: number
      /** Of records that were refused, each named by its delta. */
      readonly problems: readonly RecordProblem[]
      readonly fetchMs: number
      readonly buildMs: number
    }
  | {
      readonly kind: 'version-refused'
      readonly announcement: Announcement
      readonly code: RefusalCode
      readonly message: string
      /** Where the version could be read. */
      readonly report?: LoadReport
    }

/** What a refresher works with. */
export interface RefresherParts<R extends BatchReader> {
  readonly source: StateSource
  /** Called for each load. @param isFirst nothing is served yet, so that nothing is disturbed by haste */
  readonly openReader: (isFirst: boolean) => R
  /** Builds aside. A throw refuses the version, and the previous one serves on. */
  readonly onLoaded: (reader: R, report: LoadReport) => void | Promise<void>
  /** Takes the next delta of what was built last, aside. A throw refuses it. */
  readonly onDelta: (stored: StoredDelta) => ReadReport
  /** Everything built and taken is to be served. A throw refuses it, and what was served before serves on. */
  readonly swap: () => Promise<void>
  /** Must not throw. */
  readonly onEvent: (event: RefreshEvent) => void
  readonly clock: Clock
  readonly pickIndex: PickIndex
  readonly pollMs: number
}

/** Deltas that were applied and are not served yet. */
interface Taken {
  readonly chain: DeltaChain
  readonly chars: number
  readonly problems: readonly RecordProblem[]
  readonly fetchMs: number
}

/** Where the refresher stands; for readiness and for the age of state. Times are the clock's monotonic ones. */
export interface RefresherView {
  readonly held: Announcement | undefined
  /** When the source last answered; undefined = never. The state's age counts from here. */
  readonly answeredMs: number | undefined
  /** Undefined while the source answers. */
  readonly unreachableSinceMs: number | undefined
}

const RETRY_MS_MIN = 50
/** With the connection's own RECONNECT_MS_MAX: a cache that returns is used again well within 2 s. */
const RETRY_MS_MAX = 500
const PROGRESS_MS_MIN = 1_000

/** The loop. start() once, stop() once. Holds no documents between loads. */
export class Refresher<R extends BatchReader> {
  readonly #parts: RefresherParts<R>
  readonly #abort = new AbortController()
  /** Announcements that failed, oldest first: a new announcement of the same version is tried once more. */
  readonly #refused = new Set<string>()
  #held: Announcement | undefined
  #answeredMs: number | undefined
  #unreachable: { sinceMs: number; code: SourceErrorCode; failures: number } | undefined
  #toldNothing = false
  /** Whether what was built last is what is served. */
  #takesDeltas = false
  #loop: Promise<void> | undefined

  constructor(parts: RefresherParts<R>) {
    this.#parts = parts
  }

  get view(): RefresherView {
    return { held: this.#held, answeredMs: this.#answeredMs, unreachableSinceMs: this.#unreachable?.sinceMs }
  }

  start(): void {
    this.#loop ??= this.#run()
  }

  /**
   * Resolves once nothing is under way any more: at the latest after the source's time limit. Close the source first
   * where that is too long.
   */
  async stop(): Promise<void> {
    this.#abort.abort()
    await this.#loop
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort
    while (!signal.aborted) {
      const pauseMs = await this.#turn()
      await sleep(pauseMs, undefined, { signal }).catch(() => {})
    }
  }

  /** One look and what follows from it. Never rejects. @returns how long to wait, in ms. */
  async #turn(): Promise<number> {
    try {
      const announced = await this.#parts.source.announced()
      this.#noteAnswer()
      const plan = planUpdate({
        held: this.#held,
        announced,
        wasRefused: announcement => this.#refused.has(keyOf(announcement)),
      })
      this.#noteNothing(plan.kind === 'keep' && plan.because === 'nothing-announced')
      if (plan.kind === 'load-snapshot') await this.#load(plan.announcement, plan.because)
      if (plan.kind === 'take-deltas') await this.#take(plan.announcement, plan.after)
      return this.#pollMs()
    } catch (error) {
      return this.#abort.signal.aborted ? 0 : this.#noteFailure(error)
    }
  }

  /** @throws SourceError that allows a retry; everything else refuses the version. */
  async #load(announcement: Announcement, because: LoadCause): Promise<void> {
    const { onEvent } = this.#parts
    onEvent({ kind: 'version-loading', announcement, because })
    try {
      await this.#loadFrom('compiled', announcement)
    } catch (error) {
      if (!(error instanceof SourceError) || error.code !== 'compiled-unusable') throw error
      onEvent({ kind: 'compiled-unusable', announcement, message: error.message })
      await this.#loadFrom('records', announcement)
    }
  }

  async #loadFrom(from: ReadFrom, announcement: Announcement): Promise<void> {
    const { source, clock, openReader, onLoaded, onDelta, swap, onEvent } = this.#parts
    const { signal } = this.#abort
    let report: LoadReport | undefined
    const reader = openReader(this.#held === undefined)
    try {
      const onProgress = this.#progressTeller(announcement)
      report = await loadVersion(source, announcement, reader, { clock, from, onProgress, signal })
      if (!report.usable) {
        this.#refuse(announcement, 'documents-unusable', { message: 'the settings are missing or bad', report })
        return
      }
      const startMs = clock.monotonicMs()
      await onLoaded(reader, report)
      // From here on deltas go onto what was built: what is served now takes no more of them.
      this.#takesDeltas = false
      for await (const stored of this.#deltas(announcement, NO_DELTAS)) onDelta(stored)
      await swap()
      this.#takesDeltas = true
      this.#held = announcement
      onEvent({ kind: 'version-loaded', announcement, report, buildMs: clock.monotonicMs() - startMs })
    } catch (error) {
      if (signal.aborted || (error instanceof SourceError && error.retry)) throw error
      // A version that was replaced and removed while it was read is not broken.
      if (error instanceof SourceError && (await source.announced())?.version !== announcement.version) return
      const code = error instanceof SourceError ? error.code : 'build-failed'
      const message = error instanceof Error ? error.message : String(error)
      this.#refuse(announcement, code, report === undefined ? { message } : { message, report })
    } finally {
      await reader.close()
    }
  }

  /**
   * Takes what has come since. Deltas before one that cannot be had are served; for what cannot be had at all, and when
   * the swap fails, only a snapshot is known to be right.
   */
  async #take(announcement: Announcement, after: DeltaChain): Promise<void> {
    if (!this.#takesDeltas) return await this.#load(announcement, 'gap-in-deltas')
    const { clock, onDelta } = this.#parts
    const taken = { chain: after, chars: 0, problems: [] as RecordProblem[], fetchMs: 0 }
    let mark = clock.monotonicMs()
    let failure: unknown
    try {
      for await (const stored of this.#deltas(announcement, after)) {
        taken.fetchMs += clock.monotonicMs() - mark
        taken.problems.push(...onDelta(stored).problems)
        taken.chain = stored.chain
        taken.chars += stored.chars
        mark = clock.monotonicMs()
      }
    } catch (error) {
      failure = error
    }
    if (taken.chain !== after && !(await this.#swapTaken(announcement, after, taken))) failure ??= new Error('no swap')
    if (failure === undefined) return
    if (this.#abort.signal.aborted || (failure instanceof SourceError && failure.retry)) throw failure
    await this.#load(announcement, 'gap-in-deltas')
  }

  /** @returns false when the swap failed: then what was taken is not served. */
  async #swapTaken(announcement: Announcement, after: DeltaChain, taken: Taken): Promise<boolean> {
    const { clock, swap, onEvent } = this.#parts
    const startMs = clock.monotonicMs()
    try {
      await swap()
    } catch {
      // The load that follows fails in the same way, and tells why.
      this.#takesDeltas = false
      return false
    }
    this.#held = { ...announcement, deltas: taken.chain }
    const { chars, problems, fetchMs } = taken
    const deltas = taken.chain.length - after.length
    const buildMs = clock.monotonicMs() - startMs
    onEvent({ kind: 'deltas-taken', announcement: this.#held, deltas, chars, problems, fetchMs, buildMs })
    return true
  }

  #deltas({ version, deltas }: Announcement, after: DeltaChain): AsyncIterable<StoredDelta> | readonly StoredDelta[] {
    return deltas === undefined ? [] : this.#parts.source.deltas(version, after, deltas)
  }

  #refuse(announcement: Announcement, code: RefusalCode, more: { message: string; report?: LoadReport }): void {
    this.#refused.add(keyOf(announcement))
    for (const oldest of this.#refused) {
      if (this.#refused.size <= LIMITS.versionsRefusedKeptMax) break
      this.#refused.delete(oldest)
    }
    this.#parts.onEvent({ kind: 'version-refused', announcement, code, ...more })
  }

  #progressTeller(announcement: Announcement): (progress: LoadProgress) => void {
    const { clock, onEvent } = this.#parts
    let toldMs = clock.monotonicMs()
    return progress => {
      const nowMs = clock.monotonicMs()
      if (nowMs - toldMs < PROGRESS_MS_MIN) return
      toldMs = nowMs
      onEvent({ kind: 'version-progress', announcement, progress })
    }
  }

  /** Half to all of the period: tasks that started together drift apart and do not fetch at once. */
  #pollMs(): number {
    const half = Math.ceil(this.#parts.pollMs / 2)
    return half + this.#parts.pickIndex(half + 1)
  }

  #noteAnswer(): void {
    const nowMs = this.#parts.clock.monotonicMs()
    this.#answeredMs = nowMs
    if (this.#unreachable === undefined) return
    const awayMs = nowMs - this.#unreachable.sinceMs
    this.#unreachable = undefined
    this.#parts.onEvent({ kind: 'cache-back', awayMs })
  }

  #noteNothing(nothing: boolean): void {
    if (nothing && !this.#toldNothing) this.#parts.onEvent({ kind: 'nothing-announced' })
    this.#toldNothing = nothing
  }

  /** @returns the pause before the next try: full jitter, growing to RETRY_MS_MAX. */
  #noteFailure(error: unknown): number {
    const failure = error instanceof SourceError ? error : new SourceError('cache-answer', String(error))
    // The cache is there; the files just changed under the reader.
    if (failure.code === 'version-changed') return this.#pollMs()
    const before = this.#unreachable
    const sinceMs = before?.sinceMs ?? this.#parts.clock.monotonicMs()
    const failures = (before?.failures ?? 0) + 1
    this.#unreachable = { sinceMs, code: failure.code, failures }
    if (before?.code !== failure.code)
      this.#parts.onEvent({ kind: 'cache-unreachable', code: failure.code, message: failure.message })
    return 1 + this.#parts.pickIndex(Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(failures, 10)))
  }
}

function keyOf({ number, version, deltas }: Announcement): string {
  return `${number} ${version} ${deltas?.digest ?? ''}`
}
