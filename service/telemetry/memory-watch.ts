/** Memory against its limit: two lines, and no flapping between them. The rules are pure; the watch reads and tells. */
import { getHeapStatistics } from 'node:v8'
import type { Logger } from './logger.ts'
import type { MemoryLimit } from './memory-limit.ts'

/** What the two lines make of a reading. */
export type MemoryLevel = 'ok' | 'warn' | 'critical'

/** The two lines, in percent of the limit. */
export interface MemoryLines {
  readonly warnPercent: number
  readonly criticalPercent: number
}

/** One heap against its own limit. */
export interface HeapReading {
  /** `control`, `bid-1`, … */
  readonly thread: string
  readonly usedBytes: number
  readonly limitBytes: number
}

/** What is compared with the lines. */
export interface MemoryUse {
  readonly rssBytes: number
  readonly limitBytes: number
  /** The greater of resident memory against the limit, and the fullest heap against its own. May exceed 100. */
  readonly usedPercent: number
  /** What `usedPercent` is about: `rss`, or the thread of the fullest heap. */
  readonly fullest: string
}

/** The state of the watch. */
export interface MemoryState extends MemoryUse {
  readonly level: MemoryLevel
}

/** A level is left only this many percent points below the line that led into it. */
const HYSTERESIS_POINTS = 5
const LEVELS: readonly MemoryLevel[] = ['ok', 'warn', 'critical']

/** 0 ok, 1 warn, 2 critical, as the metric has it. */
export function levelNumber(level: MemoryLevel): number {
  return LEVELS.indexOf(level)
}

/** The level after a reading. Up at a line at once; down only 5 points below it. */
export function nextLevel(level: MemoryLevel, usedPercent: number, lines: MemoryLines): MemoryLevel {
  const ease = (line: number, isAbove: boolean) => line - (isAbove ? HYSTERESIS_POINTS : 0)
  if (usedPercent >= ease(lines.criticalPercent, level === 'critical')) return 'critical'
  if (usedPercent >= ease(lines.warnPercent, level !== 'ok')) return 'warn'
  return 'ok'
}

/** A reading in percent. A heap whose limit is not known yet (0) is left out. Cost: O(threads). */
export function memoryUse(rssBytes: number, limitBytes: number, heaps: readonly HeapReading[]): MemoryUse {
  let usedPercent = (100 * rssBytes) / limitBytes
  let fullest = 'rss'
  for (const heap of heaps) {
    const percent = heap.limitBytes > 0 ? (100 * heap.usedBytes) / heap.limitBytes : 0
    if (percent <= usedPercent) continue
    usedPercent = percent
    fullest = heap.thread
  }
  return { rssBytes, limitBytes, usedPercent, fullest }
}

/** What a watch needs. */
export interface MemoryWatchOptions {
  readonly limit: MemoryLimit
  readonly lines: MemoryLines
  readonly log: Logger
  /** Heaps of the bid threads, as they report them; the control thread's own is added. */
  readonly bidHeaps: () => readonly HeapReading[]
  /** Resident memory. Default: this process's. */
  readonly rssBytes?: () => number
  /** Called after each check. */
  readonly onCheck?: (state: MemoryState) => void
  /** Called on each change of level, after the log line. */
  readonly onLevel?: (state: MemoryState) => void
}

/** Compares memory with the lines whenever it is asked to; each change of level is one log line. */
export class MemoryWatch {
  readonly #options: MemoryWatchOptions
  #state: MemoryState

  constructor(options: MemoryWatchOptions) {
    this.#options = options
    this.#state = { ...this.#read(), level: 'ok' }
    this.check()
  }

  /** The state at the last check. */
  get state(): MemoryState {
    return this.#state
  }

  /** The state beside the two lines, for whoever looks at a task's health. */
  get view(): MemoryState & MemoryLines {
    const { warnPercent, criticalPercent } = this.#options.lines
    const { level, usedPercent, fullest, rssBytes, limitBytes } = this.#state
    return { level, usedPercent: round1(usedPercent), warnPercent, criticalPercent, fullest, rssBytes, limitBytes }
  }

  /** Reads memory (about 20 µs) and moves the level. */
  check(): MemoryState {
    const use = this.#read()
    const before = this.#state.level
    const level = nextLevel(before, use.usedPercent, this.#options.lines)
    this.#state = { ...use, level }
    if (level !== before) this.#tell(this.#state)
    this.#options.onCheck?.(this.#state)
    return this.#state
  }

  /** Checks at once and then four times a second, until the returned function is called. Keeps no process alive. */
  start(periodMs = 250): () => void {
    this.check()
    const timer = setInterval(() => this.check(), periodMs)
    timer.unref()
    return () => clearInterval(timer)
  }

  #read(): MemoryUse {
    const heap = getHeapStatistics()
    const own = { thread: 'control', usedBytes: heap.used_heap_size, limitBytes: heap.heap_size_limit }
    const rssBytes = (this.#options.rssBytes ?? process.memoryUsage.rss)()
    return memoryUse(rssBytes, this.#options.limit.bytes, [own, ...this.#options.bidHeaps()])
  }

  #tell(state: MemoryState): void {
    const { log, limit, lines, onLevel } = this.#options
    const fields = {
      used_percent: round1(state.usedPercent),
      fullest: state.fullest,
      rss_bytes: state.rssBytes,
      limit_bytes: state.limitBytes,
      limit_from: limit.from,
      warn_percent: lines.warnPercent,
      critical_percent: lines.criticalPercent,
    }
    if (state.level === 'ok') log.info('memory-ok', 'memory is below its lines', { fields })
    if (state.level === 'warn') log.warn('memory-warn', 'memory is above its warning line', { fields })
    if (state.level === 'critical') log.error('memory-critical', 'memory is above its critical line', { fields })
    onLevel?.(state)
  }
}

function round1(value: number): number {
  return Math.round(value * 10) / 10
}
