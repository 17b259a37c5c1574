/**
 * Frequency caps of a tenant for some simulated minutes: tasks that count with the service's own code, users whom every
 * request brings to another task, a store that fails, all by one seed. What users saw is counted outside of the tasks.
 */
import { Random } from '../../service/foundation/random.ts'
import { CapSync } from '../../service/remote-cache/cap-sync.ts'
import { CapBoard, createCapBoard } from '../../service/spend/cap-board.ts'
import { CAP_EVENT, CapLog, countedOf } from '../../service/spend/cap-log.ts'
import { CapTable, createCapMemory } from '../../service/spend/cap-table.ts'
import { CapAsker } from '../../service/spend/thread-caps.ts'
import { capWords } from '../../service/state/cap-fields.ts'
import { type BrokenCount, FaultyCounts } from './faulty-counts.ts'

/** What one seed came to. */
export interface CapSimulationResult {
  readonly seed: number
  readonly impressions: number
  /** Impressions of users who had seen enough, 2 s before or earlier, while every task reached the store. */
  readonly above: number
  /** The same while one did not, or had just been killed. */
  readonly aboveInTrouble: number
  readonly faults: number
}

const START_S = 1_795_000_000
const STEP_MS = 50
const RUN_MS = 150_000
const REPORT_MS = 100
const TURN_MS = 150
/** As the service does it: a notice must not be told before its bid. */
const NOTICED_LATER_MS = 2 * TURN_MS
const OPENS_MS = 10_000
const USERS = 60
const CAP = 3
const CAP_WORDS = capWords('tenant', '', [{ impressions: CAP, per: { days: 1 } }])
const LIFE_S = 60
/** Users come back after so long; whatever happened before is known everywhere by then. */
const GAP_MS_MIN = 2_000
const GAP_MS_MAX = 9_000
/** A task that is killed had not told what it counted since so long before it last reached the store. */
const UNTOLD_MS = 1_000

interface CountedBid {
  readonly atMs: number
  readonly task: string
  /** Undefined until it is billed, and where the task that was told of it ended before it told others. */
  shownMs?: number | undefined
  shownBy?: string
  isLost: boolean
  isUntold: boolean
}

interface User {
  readonly number: number
  nextMs: number
  readonly bids: CountedBid[]
}

interface Later {
  readonly atMs: number
  readonly kind: number
  readonly text: string
  readonly bid: CountedBid
}

/** One task: the table, what its thread and its notices have counted, and who tells it. */
class CountingTask {
  readonly name: string
  readonly store: FaultyCounts
  readonly board = new CapBoard(createCapBoard(START_S))
  readonly table = new CapTable(createCapMemory(64 * 1024))
  readonly #thread = new CapLog(100_000)
  readonly #log = new CapLog(100_000)
  readonly #asker: CapAsker
  readonly #sync: CapSync
  readonly #startedMs: number
  readonly #noticed: { readonly atMs: number; readonly events: CapLog }[] = []
  pausedUntilMs = 0
  /** It has heard what was counted before it came; it bids without that once it has waited for long. */
  knowsOthers = false
  /** When it last told and heard all there was. */
  reachedMs: number

  constructor(name: string, store: FaultyCounts, clock: { readonly nowMs: number }) {
    this.name = name
    this.store = store
    this.#startedMs = clock.nowMs
    this.reachedMs = clock.nowMs
    const { board, table } = this
    this.#asker = new CapAsker({ board, table, log: this.#thread, onUntold: () => {}, onElsewhere: () => {} })
    const monotonicMs = () => clock.nowMs
    this.#sync = new CapSync({ store, table, board, log: this.#log, task: name, monotonicMs, onMissed: () => {} })
  }

  /** @returns what a token says of the bid; undefined when a cap lets none pass */
  bid(user: number, nowMs: number): string | undefined {
    const asker = this.#asker
    asker.begin(Uint32Array.of(user, ~user, 0, 0, 0, 0), nowMs, CAP_WORDS)
    if (!asker.allowsTenant()) return undefined
    const expiry = asker.expiry(LIFE_S)
    if (!asker.takeTenant(expiry)) {
      asker.giveBack(expiry)
      return undefined
    }
    return asker.taken(expiry)
  }

  notice(kind: number, text: string, nowMs: number): void {
    const nowS = this.board.nowS(nowMs)
    const events = new CapLog(100)
    const { expiry = 0, keys = [] } = countedOf(text) ?? {}
    for (const key of keys) {
      if (kind === CAP_EVENT.shown) this.table.show(key, expiry, nowS, nowS)
      else this.table.release(key, expiry, nowS)
      events.push(kind, key, expiry, nowS)
    }
    this.#noticed.push({ atMs: nowMs + NOTICED_LATER_MS, events })
  }

  /** What the bid thread tells the control thread. */
  report(): void {
    const events = this.#thread.takeAll()
    if (this.store.broken !== 'tells-no-bids') this.#log.append(events)
  }

  async turn(nowMs: number): Promise<void> {
    for (let first = this.#noticed[0]; first !== undefined && first.atMs <= nowMs; first = this.#noticed[0]) {
      this.#log.append(first.events.takeAll())
      this.#noticed.shift()
    }
    const wasHeard = await this.#sync.turn().then(
      () => true,
      () => false,
    )
    this.knowsOthers ||= wasHeard
    if (wasHeard) this.reachedMs = nowMs
    if (wasHeard || nowMs - this.#startedMs >= OPENS_MS) this.board.open()
  }
}

/** One run of one seed. */
export class CapSimulation {
  readonly #seed: number
  readonly #random: Random
  readonly #shared: FaultyCounts
  readonly #tasks: CountingTask[] = []
  readonly #users: User[]
  readonly #faultChance: number
  readonly #loss: number
  #later: Later[] = []
  nowMs = 0
  /** Until then a task may not know what others count. */
  #troubledUntilMs = 0
  #names = 0
  #faults = 0
  #impressions = 0
  #above = 0
  #aboveInTrouble = 0

  constructor(seed: number, broken?: BrokenCount) {
    this.#seed = seed
    this.#random = new Random(seed)
    const random = this.#random
    this.#loss = random.pick([0, 0.005, 0.02])
    this.#faultChance = random.pick([0, 0.001, 0.003])
    this.#shared = new FaultyCounts(random, broken)
    this.#users = Array.from({ length: USERS }, (_, number) => {
      return { number: number + 1, nextMs: random.between(1_000, GAP_MS_MAX), bids: [] }
    })
    for (let i = random.between(2, 5); i > 0; i--) this.#start()
  }

  /** Runs to the end. Cost: some 0.2 s. */
  async run(): Promise<CapSimulationResult> {
    for (; this.nowMs < RUN_MS; this.nowMs += STEP_MS) {
      this.#misfortune()
      await this.#turnTasks()
      this.#deliver()
      for (const user of this.#users) if (user.nextMs <= this.nowMs) this.#visit(user)
    }
    const [seed, impressions, above] = [this.#seed, this.#impressions, this.#above]
    return { seed, impressions, above, aboveInTrouble: this.#aboveInTrouble, faults: this.#faults }
  }

  #start(): void {
    this.#tasks.push(new CountingTask(`task-${this.#names++}`, this.#shared.link(), this))
  }

  async #turnTasks(): Promise<void> {
    const { nowMs } = this
    for (const [at, task] of this.#tasks.entries()) {
      if (nowMs < task.pausedUntilMs) continue
      task.store.loss = this.#loss
      if (nowMs % REPORT_MS === 0) task.report()
      // They do not turn at the same moment.
      if ((nowMs + at * STEP_MS) % TURN_MS === 0) await task.turn(nowMs)
      const isBlind = task.board.isOpen && !task.knowsOthers
      if (!task.store.wasReached || isBlind) this.#trouble(nowMs)
    }
  }

  #trouble(untilMs: number): void {
    this.#troubledUntilMs = Math.max(this.#troubledUntilMs, untilMs + GAP_MS_MIN)
  }

  #misfortune(): void {
    const random = this.#random
    if (this.nowMs < 5_000 || !random.chance(this.#faultChance)) return
    this.#faults++
    const at = random.pickIndex(this.#tasks.length)
    const task = this.#tasks[at] as CountingTask
    const untilMs = this.nowMs + random.between(1_000, 10_000)
    const kind = random.pick(['kill', 'pause', 'cut-off', 'down', 'scale'] as const)
    if (kind === 'scale') this.#start()
    else if (kind === 'kill') {
      this.#tasks.splice(at, 1)
      this.#forget(task)
      this.#start()
    } else if (kind === 'pause') {
      task.pausedUntilMs = untilMs
      this.#trouble(untilMs)
    } else {
      const cut = kind === 'down' ? this.#tasks : [task]
      for (const { store } of cut) store.awayUntil(untilMs, this)
      this.#trouble(untilMs)
    }
  }

  /** What it had not told, nobody knows; and its bids' notices count where they arrive. */
  #forget({ name, reachedMs }: CountingTask): void {
    const fromMs = reachedMs - UNTOLD_MS
    for (const { bids } of this.#users)
      for (const bid of bids) {
        if (bid.task === name && bid.atMs > fromMs) bid.isUntold = true
        if (bid.shownBy === name && (bid.shownMs ?? 0) > fromMs) bid.shownMs = undefined
      }
    this.#trouble(this.nowMs)
  }

  #running(): CountingTask[] {
    return this.#tasks.filter(({ pausedUntilMs, board }) => this.nowMs >= pausedUntilMs && board.isOpen)
  }

  #deliver(): void {
    const running = this.#running()
    if (running.length === 0) return
    const due = this.#later.filter(({ atMs }) => atMs <= this.nowMs)
    if (due.length === 0) return
    this.#later = this.#later.filter(({ atMs }) => atMs > this.nowMs)
    for (const { kind, text, bid } of due) {
      const told = this.#random.pick(running)
      told.notice(kind, text, this.nowMs)
      if (kind === CAP_EVENT.shown) {
        bid.shownMs = this.nowMs
        bid.shownBy = told.name
      } else bid.isLost = true
    }
  }

  /** A request at any task; what comes of it is told to any other, some seconds later. */
  #visit(user: User): void {
    const random = this.#random
    const { nowMs } = this
    user.nextMs = nowMs + random.between(GAP_MS_MIN, GAP_MS_MAX)
    const running = this.#running()
    if (running.length === 0) return
    const task = random.pick(running)
    const text = task.bid(user.number, nowMs)
    if (text === undefined) return
    const isAbove = user.bids.filter(bid => this.#isKnown(bid)).length >= CAP
    const bid: CountedBid = { atMs: nowMs, task: task.name, isLost: false, isUntold: false }
    user.bids.push(bid)
    const atMs = nowMs + random.between(50, 5_000)
    if (random.chance(0.3)) {
      // Half of the exchanges say nothing of a loss: then it counts until it expires.
      if (random.chance(0.5)) this.#later.push({ atMs, kind: CAP_EVENT.lost, text, bid })
      return
    }
    this.#later.push({ atMs, kind: CAP_EVENT.shown, text, bid })
    this.#impressions++
    if (isAbove && nowMs < this.#troubledUntilMs) this.#aboveInTrouble++
    else if (isAbove) this.#above++
  }

  /** Whether every task should count it by now: it was made 2 s ago, and was seen or may still be. */
  #isKnown({ atMs, shownMs, isLost, isUntold }: CountedBid): boolean {
    const knownMs = this.nowMs - GAP_MS_MIN
    if (isLost || atMs > knownMs) return false
    if (shownMs !== undefined && shownMs <= knownMs) return true
    return !isUntold && atMs + LIFE_S * 1_000 > this.nowMs
  }
}
