/** One task of a simulation: the service's own budgets, shares and ledger side, and a journal that outlives it. */
import type { Random } from '../../service/foundation/random.ts'
import { accountsOf } from '../../service/spend/accounts.ts'
import { lineItemIdAt } from '../../service/spend/catalog-budgets.ts'
import type { Forecast } from '../../service/spend/forecast.ts'
import type { BookOperation } from '../../service/spend/ledger.ts'
import { Shares } from '../../service/spend/shares.ts'
import { abandonedAfterMs, booksAfterMs, type LeaseRules, opensAfterMs } from '../../service/spend/slice.ts'
import { TaskBudgets } from '../../service/spend/task-budgets.ts'
import { TaskLedger } from '../../service/spend/task-ledger.ts'
import type { Catalog } from '../../service/state/catalog.ts'
import type { BrokenRule, FaultyCache } from './faulty-cache.ts'
import { CAMPAIGN, utcDay } from './tenant.ts'

/** What a bid's notice says of its hold. */
export interface Hold {
  readonly lease: string
  readonly bucket: number
  readonly accounts: readonly string[]
}

/** What a task is started with. */
export interface TaskOptions {
  readonly name: string
  readonly catalog: Catalog
  readonly rules: LeaseRules
  readonly random: Random
  readonly broken: BrokenRule | undefined
  /** Of a task that ended: what its disk still has. */
  readonly journal: ReadonlyMap<string, BookOperation>
  readonly nowMs: number
  readonly forecast?: Forecast | undefined
  /** Of all tasks; undefined: nobody tells. */
  readonly agreed?: Map<string, number> | undefined
}

const THREADS = [1, 2] as const
const PPM = 1_000_000

/** One running task with two bid threads. */
export class SimulatedTask {
  readonly name: string
  readonly ledger: TaskLedger
  readonly journal = new Map<string, BookOperation>()
  pausedUntilMs = 0
  cutOffUntilMs = 0
  readonly #random: Random
  readonly #budgets: TaskBudgets
  /** What tasks know of each other's rates, where they tell. */
  readonly #agreed: Map<string, number> | undefined
  readonly #threads = new Map<number, Shares>(THREADS.map(thread => [thread, new Shares()]))
  readonly #slices: Int32Array
  readonly #rates: Uint32Array
  readonly #catalog: Catalog
  readonly #holdsHalf: boolean
  readonly #forgetsThreads: boolean
  /** None: the first is new, too. */
  #connection = -1
  #names = 0

  constructor({ name, catalog, rules, random, broken, journal, nowMs, forecast, agreed }: TaskOptions) {
    this.name = name
    this.#agreed = agreed
    this.#random = random
    this.#catalog = catalog
    this.#holdsHalf = broken === 'holds-half'
    this.#forgetsThreads = broken === 'forgets-threads'
    const graceMs = broken === 'no-grace' ? 0 : rules.graceMs
    const settling = { ...rules, graceMs, ...(broken === 'abandons-early' ? { holdMsMax: -rules.leaseMsMax } : {}) }
    const newName = () => `${name}-${this.#names++}-${random.next()}`
    this.ledger = new TaskLedger({
      task: name,
      newEpoch: newName,
      graceMs: broken === 'hasty-after-failover' ? 0 : graceMs,
      opensAfterMs: opensAfterMs(rules),
      booksAfterMs: booksAfterMs(rules),
      abandonedAfterMs: abandonedAfterMs(rules),
      leases: () => this.#budgets.leases(),
    })
    this.#budgets = new TaskBudgets({
      ledger: this.ledger,
      rules: settling,
      threads: THREADS,
      newLease: newName,
      dayAt: utcDay,
      forecast: () => forecast,
      tell: (thread, message) => this.#threads.get(thread)?.take(message),
    })
    const serving = this.#budgets.sharesOf(catalog)
    this.#slices = new Int32Array(serving.shares.slices)
    this.#rates = new Uint32Array(serving.shares.rates)
    this.#budgets.serve([serving], { nowMs, monotonicMs: nowMs })
    for (const operation of journal.values()) this.take(operation)
  }

  /** Whether it runs at this moment. */
  runs(nowMs: number): boolean {
    return nowMs >= this.pausedUntilMs
  }

  /** Holds for one bid of a line item, unless its plan leaves it out. Any thread may be asked. */
  bid(ordinal: number, nowMs: number, holdMs: number): Hold | undefined {
    const random = this.#random
    if ((this.#rates[ordinal] as number) < PPM && random.pickIndex(PPM) >= (this.#rates[ordinal] as number))
      return undefined
    const shares = this.#threads.get(random.pick(THREADS)) as Shares
    const slice = this.#slices[ordinal] as number
    const price = this.#catalog.columns.lineItemPriceNanos[ordinal] as number
    const held = this.#holdsHalf ? Math.ceil(price / 2) : price
    if (!shares.covers(slice, held)) {
      shares.want(slice, held)
      return undefined
    }
    if (!shares.hold(slice, held, nowMs, holdMs)) return undefined
    const { lease, bucket, day } = shares
    return { lease, bucket, accounts: accountsOf(CAMPAIGN, lineItemIdAt(this.#catalog, ordinal), day) }
  }

  /** A billing notice: on the disk first, then in the ledger's queue. Acknowledged when this returns. */
  take(operation: BookOperation): void {
    this.journal.set(operation.key, operation)
    this.ledger.add(operation, () => this.journal.delete(operation.key))
  }

  /** One second of all threads: report, settle, lease, send. */
  turn(cache: FaultyCache, nowMs: number, loss: number): void {
    const now = { nowMs, monotonicMs: nowMs }
    for (const [thread, shares] of this.#threads) {
      const report = shares.report(nowMs)
      if (report !== undefined) this.#budgets.report(thread, report, now)
    }
    this.#budgets.turn(now)
    if (nowMs >= this.cutOffUntilMs) this.#send(cache, nowMs, loss)
    // What was granted now is handed out before the next bids.
    this.#budgets.turn(now)
  }

  /** Tells its rates, and takes those of others. */
  agree(): void {
    const { plans } = this.#budgets
    if (this.#agreed === undefined) return
    plans.agree(this.#agreed)
    for (const [owner, rate] of plans.rates) if (rate !== undefined) this.#agreed.set(owner, rate)
  }

  /** A bid thread ends with what it had not reported. */
  loseThread(nowMs: number): void {
    const thread = this.#random.pick(THREADS)
    this.#threads.set(thread, new Shares())
    const now = { nowMs, monotonicMs: nowMs }
    if (!this.#forgetsThreads) this.#budgets.threadLost(thread, now)
    else
      for (const lease of this.#budgets.leases())
        if (lease.sharedWith(thread) > 0) lease.unshare(thread, lease.sharedWith(thread))
  }

  /** No more bids; what is free goes back. */
  stop(nowMs: number): void {
    this.#budgets.stop({ nowMs, monotonicMs: nowMs })
  }

  /** Whether everything is told and returned. */
  get isIdle(): boolean {
    return this.ledger.waitingCount === 0 && this.#budgets.leases().length === 0
  }

  #send(cache: FaultyCache, nowMs: number, loss: number): void {
    if (this.#connection !== cache.connection) {
      this.#connection = cache.connection
      this.ledger.reconnected(nowMs)
    }
    for (let sends = 0; sends < 60; sends++) {
      const sent = this.ledger.next(nowMs)
      if (sent === undefined) return
      const reply = cache.send(sent, nowMs, loss)
      if (reply === undefined) continue
      if (reply.kind === 'rebuilt') this.ledger.rebuilt(reply.epoch)
      else if (reply.kind === 'booked' && sent.kind === 'book') {
        this.ledger.booked(sent.bookings, reply.answers, nowMs)
        if ('kind' in reply.answers && reply.answers.kind === 'rebuilding') return
      } else if (reply.kind === 'answered' && sent.kind === 'apply') {
        this.ledger.answered(sent.operation, reply.answer, nowMs)
        if (reply.answer.kind === 'rebuilding') return
      }
    }
  }
}
