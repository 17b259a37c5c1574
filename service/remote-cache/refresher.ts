/** Keeps a task on the announced version: look → plan → load → hand on, for ever, through everything that fails. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../foundation/clock.ts'
import type { PickIndex } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import { type BatchReader, type LoadProgress, type LoadReport, loadVersion } from './loader.ts'
import { type Announcement, type ReadFrom, SourceError, type SourceErrorCode, type StateSource } from './source.ts'

/** What to do about an announcement; decided before anything happens. */
export type UpdatePlan =
  | { readonly kind: 'up-to-date' }
  | { readonly kind: 'keep'; readonly because: 'nothing-announced' | 'refused-before' }
  | { readonly kind: 'load-snapshot'; readonly because: LoadCause; readonly announcement: Announcement }

/** `number-went-back`: the cache was lost or restored; its word still counts. */
export type LoadCause = 'first-load' | 'new-version' | 'number-went-back'

/** What a plan follows from. */
export interface PlanInput {
  /** What is being served. */
  readonly held: Announcement | undefined
  readonly announced: Announcement | undefined
  readonly wasRefused: (announcement: Announcement) => boolean
}

/** Pure. A version never changes its content, so announcing the held one again is no work. */
export function planUpdate({ held, announced, wasRefused }: PlanInput): UpdatePlan {
  if (announced === undefined) return { kind: 'keep', because: 'nothing-announced' }
  if (held?.version === announced.version) return { kind: 'up-to-date' }
  if (wasRefused(announced)) return { kind: 'keep', because: 'refused-before' }
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
      /** What onLoaded took. */
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
  /** Builds and swaps. A throw refuses the version, and the previous one serves on. */
  readonly onLoaded: (reader: R, report: LoadReport) => void | Promise<void>
  /** Must not throw. */
  readonly onEvent: (event: RefreshEvent) => void
  readonly clock: Clock
  readonly pickIndex: PickIndex
  readonly pollMs: number
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
    const { source, clock, openReader, onLoaded, onEvent } = this.#parts
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

function keyOf({ number, version }: Announcement): string {
  return `${number} ${version}`
}
