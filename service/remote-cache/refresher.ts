/** Keeps a task on what is announced: look → plan → load or take deltas → swap, for ever, through all that fails. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../foundation/clock.ts'
import type { PickIndex } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import { shrinkProblem } from '../state/shrinkage.ts'
import type { ReadReport, RecordProblem } from '../state/validate.ts'
import { NO_DELTAS } from './deltas.ts'
import { type BatchReader, type LoadProgress, type LoadReport, loadVersion, NotAdmitted } from './loader.ts'
import type { RefreshEvent, RefusalCode } from './refresh-events.ts'
import {
  type Announcement,
  type DeltaChain,
  type ReadFrom,
  SourceError,
  type SourceErrorCode,
  type StateSource,
  type StoredDelta,
  type VersionSummary,
} from './source.ts'
import { type LoadCause, planUpdate } from './update-plan.ts'

/** What a refresher works with. */
export interface RefresherParts<R extends BatchReader> {
  readonly source: StateSource
  /** Called for each load. @param isFirst nothing is served yet, so that nothing is disturbed by haste */
  readonly openReader: (isFirst: boolean) => R
  /** A copy of an earlier state, for a start without the source; see state-copy.ts. */
  readonly copy?: StateSource
  /** Asked before a version is read. @returns why the task must not load it; then what it serves serves on */
  readonly admit?: (summary: VersionSummary) => string | undefined
  /** Builds aside. A throw refuses the version, and the previous one serves on. */
  readonly onLoaded: (reader: R, report: LoadReport) => void | Promise<void>
  /** Takes the next delta: of what was built aside, else of what is served, which it does not reach before the swap. */
  readonly onDelta: (stored: StoredDelta) => ReadReport
  /** Everything built and taken is to be served. A throw refuses it, and what was served before serves on. */
  readonly swap: () => Promise<void>
  /** Whether what was built aside is not what is served. */
  readonly differs: () => boolean
  /** Forgets what was built aside, if anything was. */
  readonly drop: () => void
  /** Must not throw. */
  readonly onEvent: (event: RefreshEvent) => void
  readonly clock: Clock
  readonly pickIndex: PickIndex
  readonly pollMs: number
  /** So often what is served is compared with what the source has. */
  readonly checkMs: number
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
  /** Good ones of the held version. */
  #lineItems = 0
  #answeredMs: number | undefined
  #unreachable: { sinceMs: number; code: SourceErrorCode; failures: number } | undefined
  #toldNothing = false
  /** Whether deltas were taken that could not be served: then only a snapshot is known to be right. */
  #isAhead = false
  #checkAtMs = Number.POSITIVE_INFINITY
  /** How long the last look's build is to be followed by none. */
  #restMs = 0
  #loop: Promise<void> | undefined
  #startedMs = 0
  #wasCopyTried = false

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
    this.#startedMs = this.#parts.clock.monotonicMs()
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
      if (plan.kind === 'up-to-date' && this.#parts.clock.monotonicMs() >= this.#checkAtMs) await this.#check()
      const restMs = this.#restMs
      this.#restMs = 0
      return Math.max(restMs, this.#pollMs())
    } catch (error) {
      if (this.#abort.signal.aborted) return 0
      const pauseMs = this.#noteFailure(error)
      await this.#startFromCopy()
      return pauseMs
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
    this.#setCheck()
  }

  /** Compares what is served with what the source has of it; what differs, and nobody has noticed, is replaced. */
  async #check(): Promise<void> {
    const { clock, differs, drop, swap, onEvent } = this.#parts
    const announcement = this.#held
    this.#setCheck()
    if (announcement === undefined) return
    const startMs = clock.monotonicMs()
    try {
      await this.#build('compiled', announcement)
      const isSame = !differs()
      if (isSame) drop()
      else await swap()
      onEvent({ kind: 'state-checked', announcement, isSame, totalMs: clock.monotonicMs() - startMs })
    } catch (error) {
      drop()
      if (this.#abort.signal.aborted || (error instanceof SourceError && error.retry)) throw error
      onEvent({ kind: 'check-failed', announcement, code: codeOf(error), message: messageOf(error) })
    }
  }

  /** Once, after a failure. Never rejects. What the source announces later is newer, whatever it is. */
  async #startFromCopy(): Promise<void> {
    const { copy, swap, drop, onEvent, clock } = this.#parts
    if (copy === undefined || this.#held !== undefined || this.#wasCopyTried) return
    if (clock.monotonicMs() - this.#startedMs < LIMITS.stateCopyAfterMs) return
    this.#wasCopyTried = true
    try {
      const found = await copy.announced()
      if (found === undefined) throw new Error('there is no copy yet')
      const { createdAt, counts } = await this.#build('records', found, copy)
      await swap()
      this.#lineItems = counts.lineItems.good
      this.#held = { number: 0, version: found.version }
      onEvent({ kind: 'copy-serves', announcement: this.#held, createdAt })
    } catch (error) {
      drop()
      onEvent({ kind: 'copy-unusable', message: messageOf(error) })
    }
  }

  /** Half to all of the period. */
  #setCheck(): void {
    const { clock, checkMs, pickIndex } = this.#parts
    const half = Math.ceil(checkMs / 2)
    this.#checkAtMs = clock.monotonicMs() + half + pickIndex(half + 1)
  }

  /** Builds a version with its deltas aside. @throws Unusable, or the source's */
  async #build(from: ReadFrom, announcement: Announcement, source = this.#parts.source): Promise<LoadReport> {
    const { clock, openReader, onLoaded, onDelta, admit } = this.#parts
    const reader = openReader(this.#held === undefined)
    try {
      const onProgress = this.#progressTeller(announcement)
      const { signal } = this.#abort
      const options = { clock, from, onProgress, signal, ...(admit === undefined ? {} : { admit }) }
      const report = await loadVersion(source, announcement, reader, options)
      if (!report.usable) throw new Unusable(report)
      await onLoaded(reader, report)
      for await (const stored of this.#deltas(announcement, NO_DELTAS)) onDelta(stored)
      return report
    } finally {
      await reader.close()
    }
  }

  async #loadFrom(from: ReadFrom, announcement: Announcement): Promise<void> {
    const { source, clock, swap, drop, onEvent } = this.#parts
    const startMs = clock.monotonicMs()
    try {
      const report = await this.#build(from, announcement)
      const lineItems = report.counts.lineItems.good
      const problem = announcement.isMeant === true ? undefined : shrinkProblem(this.#lineItems, lineItems)
      if (problem !== undefined) throw new Shrunk(problem)
      await swap()
      this.#isAhead = false
      this.#held = announcement
      this.#lineItems = lineItems
      onEvent({ kind: 'version-loaded', announcement, report, buildMs: clock.monotonicMs() - startMs - report.totalMs })
    } catch (error) {
      drop()
      if (this.#abort.signal.aborted || (error instanceof SourceError && error.retry)) throw error
      // A version that was replaced and removed while it was read is not broken.
      if (error instanceof SourceError && (await source.announced())?.version !== announcement.version) return
      if (error instanceof Unusable) this.#refuse(announcement, 'documents-unusable', error.message, error.report)
      else this.#refuse(announcement, codeOf(error), messageOf(error))
    }
  }

  /**
   * Takes what has come since. Deltas before one that cannot be had are served; for what cannot be had at all, and when
   * the swap fails, only a snapshot is known to be right.
   */
  async #take(announcement: Announcement, after: DeltaChain): Promise<void> {
    if (this.#isAhead) return await this.#load(announcement, 'gap-in-deltas')
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
      this.#isAhead = true
      return false
    }
    this.#held = { ...announcement, deltas: taken.chain }
    const { chars, problems, fetchMs } = taken
    const deltas = taken.chain.length - after.length
    const buildMs = clock.monotonicMs() - startMs
    // Where deltas come without end, building leaves the thread time for leases and notices: two thirds of it, and less
    // where a build is so long that a change would not bid within a second.
    this.#restMs = Math.min(LIMITS.deltaRestMsMax, 2 * buildMs)
    onEvent({ kind: 'deltas-taken', announcement: this.#held, deltas, chars, problems, fetchMs, buildMs })
    return true
  }

  #deltas({ version, deltas }: Announcement, after: DeltaChain): AsyncIterable<StoredDelta> | readonly StoredDelta[] {
    return deltas === undefined ? [] : this.#parts.source.deltas(version, after, deltas)
  }

  #refuse(announcement: Announcement, code: RefusalCode, message: string, report?: LoadReport): void {
    this.#refused.add(keyOf(announcement))
    for (const oldest of this.#refused) {
      if (this.#refused.size <= LIMITS.versionsRefusedKeptMax) break
      this.#refused.delete(oldest)
    }
    const read = report === undefined ? {} : { report }
    this.#parts.onEvent({ kind: 'version-refused', announcement, code, message, ...read })
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

/** A version without usable settings. */
class Unusable extends Error {
  readonly report: LoadReport

  constructor(report: LoadReport) {
    super('the settings are missing or bad')
    this.report = report
  }
}

/** See shrinkage.ts. */
class Shrunk extends Error {}

function codeOf(error: unknown): RefusalCode {
  if (error instanceof NotAdmitted) return 'memory-short'
  if (error instanceof Shrunk) return 'line-items-lost'
  return error instanceof SourceError ? error.code : 'build-failed'
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function keyOf({ number, version, deltas }: Announcement): string {
  return `${number} ${version} ${deltas?.digest ?? ''}`
}
