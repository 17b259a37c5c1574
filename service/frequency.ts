/** Wires frequency caps on the control thread: the counts, what notices say of them. */
import { LRUCache } from 'lru-cache'
import type { ThreadsCaps } from './bid-threads.ts'
import type { Clock } from './foundation/clock.ts'
import { LIMITS } from './limits.ts'
import type { NoticeCounts } from './money.ts'
import { CapBoard, createCapBoard } from './spend/cap-board.ts'
import { CAP_EVENT, CapLog, countedOf } from './spend/cap-log.ts'
import { CapTable, createCapMemory } from './spend/cap-table.ts'
import type { Recorder } from './telemetry/recorder.ts'
import { COUNTER } from './telemetry/signals.ts'
import type { CapMemory } from './thread-messages.ts'

const DONE = ''

/** What counting needs of the control thread. */
export interface FrequencyOptions {
  readonly clock: Clock
  readonly recorder: Recorder
  /** The task's limit. */
  readonly memoryBytes: number
}

/** Makes the memory for counts. Of the task's memory they take an eighth at most. */
export function openFrequency(options: FrequencyOptions): TaskFrequency {
  const { clock, memoryBytes } = options
  const startS = Math.round((clock.nowMs() - clock.monotonicMs()) / 1_000)
  const memory = {
    counts: createCapMemory(Math.min(LIMITS.capTableBytesMax, memoryBytes / 8)),
    board: createCapBoard(startS),
  }
  return new TaskFrequency(options, memory)
}

/** The counts of one task. */
class TaskFrequency implements ThreadsCaps, NoticeCounts {
  readonly memory: CapMemory
  readonly #options: FrequencyOptions
  readonly #table: CapTable
  readonly #board: CapBoard
  readonly #log = new CapLog(LIMITS.capEventsWaitingMax)
  /** What bids count for that notices have told of, until it is counted. */
  readonly #noticed = new LRUCache<string, string>({ max: LIMITS.noticesRecentMax })

  constructor(options: FrequencyOptions, memory: CapMemory) {
    this.#options = options
    this.memory = memory
    this.#table = new CapTable(memory.counts)
    this.#board = new CapBoard(memory.board)
    this.#board.open()
  }

  /** See CapTable. */
  get evictions(): number {
    return this.#table.evictions
  }

  /** Takes what a bid thread has counted. */
  counted(events: Uint32Array): void {
    if (!this.#log.append(events)) this.#options.recorder.count(COUNTER.capEventsLost)
  }

  billed(bidId: string, counted: string): void {
    if (counted !== '' && !this.#noticed.has(bidId)) this.#noticed.set(bidId, counted)
  }

  booked(bidId: string, isRepeated: boolean): void {
    if (isRepeated) this.#noticed.set(bidId, DONE)
    else this.#count(CAP_EVENT.shown, bidId)
  }

  kept(bidId: string): void {
    this.#count(CAP_EVENT.shown, bidId)
  }

  lost(bidId: string, counted: string): void {
    this.billed(bidId, counted)
    this.#count(CAP_EVENT.lost, bidId)
  }

  /** Counts what a token says, unless that is done. */
  #count(kind: number, bidId: string): void {
    const read = countedOf(this.#noticed.get(bidId) ?? DONE)
    if (read === undefined) return
    this.#noticed.set(bidId, DONE)
    const nowS = this.#board.nowS(this.#options.clock.monotonicMs())
    for (const key of read.keys) {
      if (kind === CAP_EVENT.shown) this.#table.show(key, read.expiry, nowS, nowS)
      else this.#table.release(key, read.expiry, nowS)
      if (!this.#log.push(kind, key, read.expiry, nowS)) this.#options.recorder.count(COUNTER.capEventsLost)
    }
  }
}
