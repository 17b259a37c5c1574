/** Wires frequency caps on the control thread: the counts, what notices say of them, and what other tasks count. */
import { randomInt } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Config } from './config.ts'
import type { Clock } from './foundation/clock.ts'
import { LIMITS } from './limits.ts'
import { CapSync } from './remote-cache/cap-sync.ts'
import { FileCounts } from './remote-cache/file-counts.ts'
import { directoryOfUrl } from './remote-cache/file-source.ts'
import { RedisCounts } from './remote-cache/redis-counts.ts'
import { CapBoard, createCapBoard } from './spend/cap-board.ts'
import { CAP_EVENT, CapLog, countedOf } from './spend/cap-log.ts'
import type { CapStore } from './spend/cap-store.ts'
import { CapTable, createCapMemory } from './spend/cap-table.ts'
import type { Recorder, TaskGauges } from './telemetry/recorder.ts'
import { COUNTER } from './telemetry/signals.ts'
import type { CapMemory } from './thread-messages.ts'
import type { ThreadsCaps } from './thread-ports.ts'

const DONE = ''
/** So many turns later than what bid threads count: a fast notice must not be told before its bid. */
const NOTICED_LATER = 2

/** What counting needs of the control thread. */
export interface FrequencyOptions {
  readonly config: Config
  readonly clock: Clock
  readonly recorder: Recorder
  /** The task's memory limit. */
  readonly memoryBytes: number
  /** Where counts are shared. */
  readonly url: string
  /** Distinct for every start of every task. */
  readonly task: string
}

/** Makes the memory for counts, an eighth of the task's at most, and begins to share them. */
export async function openFrequency(options: FrequencyOptions): Promise<TaskFrequency> {
  const { clock, memoryBytes } = options
  const startS = Math.round((clock.nowMs() - clock.monotonicMs()) / 1_000)
  const memory = {
    counts: createCapMemory(Math.min(LIMITS.capTableBytesMax, memoryBytes / 8)),
    board: createCapBoard(startS),
  }
  return new TaskFrequency(options, memory, await openStore(options))
}

async function openStore({ url, config }: FrequencyOptions): Promise<CapStore> {
  if (url.startsWith('file:')) return await FileCounts.open(directoryOfUrl(url))
  const { tenantId, cacheTimeoutMs: timeoutMs } = config
  return new RedisCounts({ url, tenantId, timeoutMs, pickIndex: count => randomInt(count) })
}

/** The counts of one task. Impressions come by notices, each counted once. */
export class TaskFrequency implements ThreadsCaps {
  readonly memory: CapMemory
  readonly #options: FrequencyOptions
  readonly #store: CapStore
  readonly #table: CapTable
  readonly #board: CapBoard
  readonly #log = new CapLog(LIMITS.capEventsWaitingMax)
  /** What notices have told, before it goes to the log. */
  readonly #fresh = new CapLog(LIMITS.capEventsWaitingMax)
  readonly #later: Uint32Array[] = Array.from({ length: NOTICED_LATER }, () => new Uint32Array(0))
  readonly #sync: CapSync
  /** What bids count for that notices have told of, until it is counted. */
  readonly #noticed = new LRUCache<string, string>({ max: LIMITS.noticesRecentMax })
  readonly #turning: NodeJS.Timeout
  readonly #opening: NodeJS.Timeout
  #turn: Promise<void> | undefined
  /** Resolves when earlier counts are there, or were waited for. */
  readonly opened: Promise<void>
  #onOpened: () => void = () => {}

  constructor(options: FrequencyOptions, memory: CapMemory, store: CapStore) {
    const { task, clock, recorder } = options
    this.#options = options
    this.memory = memory
    this.#store = store
    this.#table = new CapTable(memory.counts)
    this.#board = new CapBoard(memory.board)
    this.#sync = new CapSync({
      ...{ store, table: this.#table, board: this.#board, log: this.#log, task },
      monotonicMs: clock.monotonicMs,
      onMissed: () => recorder.count(COUNTER.capEventsMissed),
    })
    this.opened = new Promise(resolve => {
      this.#onOpened = resolve
    })
    this.#takeTurn()
    this.#turning = setInterval(() => this.#takeTurn(), LIMITS.capTurnMs)
    this.#opening = setTimeout(() => this.#open(), LIMITS.capOpenMs).unref()
  }

  /** Tasks of the tenant that live, this one included, as far as they are heard. */
  get tasks(): number {
    return this.#sync.tasks
  }

  /** What metrics show. */
  get gauges(): TaskGauges {
    return { capTasks: this.#sync.tasks, capEvictions: this.#table.evictions }
  }

  /** What a bid thread has counted. */
  counted(events: Uint32Array): void {
    if (!this.#log.append(events)) this.#options.recorder.count(COUNTER.capEventsLost)
  }

  /** A notice by which a bid is billed has come. @param counted what its token says */
  billed(bidId: string, counted: string): void {
    if (counted !== '' && !this.#noticed.has(bidId)) this.#noticed.set(bidId, counted)
  }

  /** The ledger has booked it, or had before: every bid counts once, however often it is told. */
  booked(bidId: string, isRepeated: boolean): void {
    if (isRepeated) this.#noticed.set(bidId, DONE)
    else this.#count(CAP_EVENT.shown, bidId)
  }

  /** It is in the journal, and will be booked later. */
  kept(bidId: string): void {
    this.#count(CAP_EVENT.shown, bidId)
  }

  /** The bid was lost: it counts no more. */
  lost(bidId: string, counted: string): void {
    this.billed(bidId, counted)
    this.#count(CAP_EVENT.lost, bidId)
  }

  /** Tells other tasks the rest, once there are no more bids and notices. */
  async drain(): Promise<void> {
    clearInterval(this.#turning)
    clearTimeout(this.#opening)
    await this.#turn
    for (let i = 0; i <= NOTICED_LATER; i++) this.#ripen()
    await this.#sync.leave().catch(() => this.#options.recorder.count(COUNTER.capFailures))
  }

  /** Ends everything at once. */
  async stop(): Promise<void> {
    clearInterval(this.#turning)
    await this.#store.close()
  }

  #takeTurn(): void {
    this.#ripen()
    this.#turn ??= this.#sync
      .turn()
      .then(() => this.#open())
      .catch(() => this.#options.recorder.count(COUNTER.capFailures))
      .finally(() => {
        this.#turn = undefined
      })
  }

  #ripen(): void {
    this.counted(this.#later.shift() ?? new Uint32Array(0))
    this.#later.push(this.#fresh.takeAll())
  }

  #open(): void {
    this.#board.open()
    this.#onOpened()
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
      if (!this.#fresh.push(kind, key, read.expiry, nowS)) this.#options.recorder.count(COUNTER.capEventsLost)
    }
  }
}
