/** Wires what keeps money right on the control thread: the ledger and who sends to it, notices and the event stream. */
import { randomBytes, randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { arrivedNotice } from './arrived-notice.ts'
import type { Config } from './config.ts'
import type { EventTail } from './event-tail.ts'
import type { Clock } from './foundation/clock.ts'
import { openFrequency, type TaskFrequency } from './frequency.ts'
import { Guards } from './guards.ts'
import { openJournals } from './journal-disk.ts'
import { LIMITS } from './limits.ts'
import type { Notice } from './openrtb/notice.ts'
import { TaskPlans } from './plans.ts'
import { EventOutbox } from './remote-cache/event-outbox.ts'
import type { JournalFolders } from './remote-cache/journal-folders.ts'
import { LedgerDriver } from './remote-cache/ledger-driver.ts'
import { NoticeIntake } from './remote-cache/notice-intake.ts'
import { accountName } from './spend/accounts.ts'
import type { KnownBudget } from './spend/budgets-view.ts'
import type { BookOperation } from './spend/ledger.ts'
import type { PlanView } from './spend/pacing.ts'
import type { SharesMessage } from './spend/shares.ts'
import { abandonedAfterMs, booksAfterMs, type LeaseRules, opensAfterMs } from './spend/slice.ts'
import { TaskBudgets } from './spend/task-budgets.ts'
import { TaskLedger } from './spend/task-ledger.ts'
import { openSpendStore, type SpendStore, spendUrlOf } from './spend-store.ts'
import { dayAt } from './state/calendar.ts'
import type { Catalog } from './state/catalog.ts'
import type { LineItemCounts } from './telemetry/line-item-counts.ts'
import type { Logger } from './telemetry/logger.ts'
import { Recorder, type RecorderBlock, type TaskGauges } from './telemetry/recorder.ts'
import { bookingCounter, COUNTER, HISTOGRAM } from './telemetry/signals.ts'
import type { ThreadsBudgets } from './thread-ports.ts'

/** What the money side needs of the control thread. */
export interface MoneyOptions {
  readonly config: Config
  readonly clock: Clock
  readonly log: Logger
  readonly recorder: Recorder
  /** How many bid threads there are; they count from 1. */
  readonly threads: number
  /** Gives a thread what it may hold. */
  readonly share: (thread: number, message: SharesMessage) => void
  /** Told of each bill and each win, once. */
  readonly counts: LineItemCounts
  /** Told of each notice and event. */
  readonly tail: EventTail
  /** The task's memory limit. */
  readonly memoryBytes: number
  /** Notices that its journal takes, which are in memory, too. */
  readonly journalNoticesMax: number
  /** Of all threads. */
  readonly recorderBlocks: readonly RecorderBlock[]
}

/** Times by which leases are made; see ARCHITECTURE.md, Money. */
const LEASE_RULES: LeaseRules = {
  leaseMsMin: 5_000,
  // Half of it is covered at any moment: 15 minutes without the cache.
  leaseMsMax: 30 * 60_000,
  bucketMs: 5_000,
  graceMs: 10_000,
  holdMsMax: 60 * 60_000,
  clockAllowanceMs: 60_000,
  parts: 8,
  shareMs: 1_000,
}

const NANOS = 1e9
const DRAIN_LOOK_MS = 20

/** Opens ledger, event stream and journal, and begins to send. @throws Error of the file system */
export async function openMoney(options: MoneyOptions): Promise<Money> {
  const { config, clock } = options
  const url = spendUrlOf(config)
  const isAlone = url.startsWith('file:')
  const task = `${config.tenantId}-${randomBytes(6).toString('hex')}`
  const ledger = new TaskLedger({
    ...{ task, graceMs: LEASE_RULES.graceMs, abandonedAfterMs: abandonedAfterMs(LEASE_RULES) },
    leases: () => budgets.leases(),
    newEpoch: () => randomBytes(8).toString('hex'),
    // A ledger that is a file of this task alone knows all that any task knew.
    opensAfterMs: isAlone ? 0 : opensAfterMs(LEASE_RULES),
    booksAfterMs: isAlone ? 0 : booksAfterMs(LEASE_RULES),
  })
  let leaseCount = 0
  const budgets = new TaskBudgets({
    ...{ ledger, rules: LEASE_RULES, dayAt, tell: options.share },
    threads: Array.from({ length: options.threads }, (_, i) => i + 1),
    newLease: () => `${task}-${(leaseCount++).toString(36)}`,
    forecast: () => plans.forecast,
  })
  const remote = await openSpendStore({ ...options, url, task: ledger })
  const { board } = remote
  const onFailure = (): void => options.recorder.count(COUNTER.ledgerFailures)
  const opportunities = (): number => options.recorderBlocks.reduce((sum, block) => sum + impressionsOf(block), 0)
  const plans = new TaskPlans({ board, clock, onFailure, opportunities })
  const journals = await openJournals(options, task, isAlone)
  // Without a public address nobody tells what was seen, so nothing can be counted.
  const frequency = config.publicUrl === undefined ? undefined : await openFrequency({ ...options, url, task })
  plans.start(budgets.plans)
  return new Money(options, { ...remote, task, taskLedger: ledger, budgets, plans, journals, frequency })
}

/** Opportunities of a thread since the task started. */
function impressionsOf(block: RecorderBlock): number {
  return new Recorder(block).counters()[COUNTER.impressions] ?? 0
}

/** The money side of one task. */
class Money {
  readonly ledger: TaskLedger
  /** What caps are held against; without it nothing that has one bids. */
  readonly frequency: TaskFrequency | undefined
  readonly #options: MoneyOptions
  readonly #parts: SpendStore & { readonly plans: TaskPlans; readonly journals: JournalFolders | undefined }
  readonly #budgets: TaskBudgets
  readonly #turning: NodeJS.Timeout
  readonly #beating: NodeJS.Timeout
  readonly #driver: LedgerDriver
  readonly #outbox: EventOutbox
  readonly #intake: NoticeIntake
  readonly #guards: Guards
  #isClosed = false
  #unreachableSinceMs: number | undefined
  #isAdopting = false
  /** Resolves when the ledger leases, or is known not to, or was waited for. */
  readonly begun: Promise<void>
  #onBegun: (() => void) | undefined
  readonly #startedMs: number

  constructor(
    options: MoneyOptions,
    parts: SpendStore & {
      readonly task: string
      taskLedger: TaskLedger
      budgets: TaskBudgets
      readonly plans: TaskPlans
      readonly journals: JournalFolders | undefined
      readonly frequency: TaskFrequency | undefined
    },
  ) {
    const { clock, recorder } = options
    this.#options = options
    this.#parts = parts
    this.ledger = parts.taskLedger
    this.frequency = parts.frequency
    this.#budgets = parts.budgets
    this.#guards = new Guards(options.log)
    this.#driver = new LedgerDriver({
      ledger: parts.ledger,
      task: parts.taskLedger,
      monotonicMs: clock.monotonicMs,
      pickIndex: count => randomInt(count),
      onReached: (reached, error) => this.#tellReached(reached, error),
    })
    this.#outbox = new EventOutbox({
      stream: parts.stream,
      onAppended: count => recorder.add(COUNTER.eventsAppended, count),
      onFailure: () => recorder.count(COUNTER.ledgerFailures),
    })
    this.#intake = new NoticeIntake({
      task: parts.task,
      book: operation => this.#book(operation),
      append: event => {
        if (event.kind === 'win') options.counts.add(String(event.about.lineItem), 'wins', 1)
        return this.#outbox.add(event)
      },
      journal: parts.journals?.own,
      onJournaled: () => recorder.count(COUNTER.noticesJournaled),
      onEmptied: journal => void parts.journals?.remove(journal).catch(error => this.#tellJournal(error)),
      onJournalFailure: error => this.#tellJournal(error),
    })
    this.#startedMs = clock.monotonicMs()
    this.begun = new Promise(resolve => {
      this.#onBegun = resolve
    })
    this.#driver.start()
    void this.#adopt()
    this.#beating = setInterval(() => void this.#adopt(), LIMITS.journalOwnerBeatMs)
    this.#turning = setInterval(() => this.#turn(), LIMITS.sharesReportMs)
  }

  /** Budgets as bid threads use them; see BidThreadsOptions. Without a public address nothing is ever billed. */
  get threadsBudgets(): ThreadsBudgets | undefined {
    if (this.#options.config.publicUrl === undefined) return undefined
    const budgets = this.#budgets
    return {
      guard: this.#guards.memory,
      sharesOf: catalog => budgets.sharesOf(catalog),
      serve: layers => {
        budgets.serve(layers, this.#now())
        this.#guards.serve(layers)
      },
      report: (thread, report) => budgets.report(thread, report, this.#now()),
      threadLost: thread => budgets.threadLost(thread, this.#now()),
    }
  }

  #turn(): void {
    const now = this.#now()
    this.#budgets.turn(now)
    this.#tellBegun(now.monotonicMs)
    this.#guards.turn(now.monotonicMs, this.frequency?.tasks ?? 1)
    this.#tellClosed(this.ledger.opensInMs(now.monotonicMs))
  }

  #tellBegun(monotonicMs: number): void {
    const isWaited = monotonicMs - this.#startedMs >= LIMITS.leasesAwaitedMs
    if (this.#onBegun === undefined || !(isWaited || this.ledger.hasBegun(monotonicMs))) return
    this.#onBegun()
    this.#onBegun = undefined
  }

  #tellClosed(opensInMs: number): void {
    const { log } = this.#options
    if (opensInMs > 0 === this.#isClosed) return
    this.#isClosed = opensInMs > 0
    const fields = { opens_in_s: Math.ceil(opensInMs / 1_000) }
    if (this.#isClosed) log.error('ledger-closed', 'the spend ledger is new or has lost its memory', { fields })
    else log.info('ledger-open', 'the spend ledger leases again')
  }

  #now(): { nowMs: number; monotonicMs: number } {
    const { clock } = this.#options
    return { nowMs: clock.nowMs(), monotonicMs: clock.monotonicMs() }
  }

  /** What health and metrics show. */
  get view(): { readonly reachable: boolean; readonly waiting: number; readonly journaled: number } {
    const journaled = this.#parts.journals?.own.count ?? 0
    return { reachable: this.#unreachableSinceMs === undefined, waiting: this.#intake.waitingCount, journaled }
  }

  /** What metrics show beside counters. Cost: O(leases + plans). */
  get gauges(): TaskGauges {
    const { leases, heldNanos, roomNanos, plans, behind, ahead, passRate } = this.#budgets.view
    return {
      ledgerOpensIn: this.ledger.opensInMs(this.#options.clock.monotonicMs()) / 1_000,
      ledgerReachable: this.view.reachable ? 1 : 0,
      noticesWaiting: this.view.waiting,
      ...{ leases, leaseHeld: heldNanos / NANOS, leaseRoom: roomNanos / NANOS },
      ...{ plans, plansBehind: behind, plansAhead: ahead, passRate },
      ...this.frequency?.gauges,
    }
  }

  /** See TaskBudgets.known. */
  knownBudgets(): readonly KnownBudget[] {
    return this.#budgets.known()
  }

  /** The rates at which line items of a catalog that serves take part, by ordinal: see Allowance. They change. */
  passRatesOf({ header }: Catalog): Uint32Array | undefined {
    return this.#budgets.layers.find(({ catalog }) => catalog.header === header)?.rates
  }

  /** Plans that line items follow, by owner. Cost: O(those). */
  get plans(): ReadonlyMap<string, PlanView> {
    return this.#budgets.plans.views
  }

  /** Takes a notice or an event. @returns whether it is safe and may be acknowledged */
  async take(notice: Notice): Promise<boolean> {
    const { log, recorder, tail } = this.#options
    const { token, price } = notice
    tail.takeNotice(notice)
    if (price?.reading === 'above') {
      const fields = { exchange: token.exchangeId, line_item: token.lineItemId, bid: token.bidId }
      log.error('price-above', 'a bill is above what was bid', { fields })
    }
    const arrived = arrivedNotice(notice)
    if (arrived.booking !== undefined) this.frequency?.billed(token.bidId, token.counted)
    if (notice.kind === 'loss') this.frequency?.lost(token.bidId, token.counted)
    const begunMs = performance.now()
    const isSafe = await this.#intake.take(arrived)
    recorder.time(HISTOGRAM.noticeTime, (performance.now() - begunMs) * 1e6)
    if (isSafe) this.frequency?.kept(token.bidId)
    if (!isSafe) recorder.count(arrived.comesAgain ? COUNTER.noticesTurnedAway : COUNTER.eventsLost)
    return isSafe
  }

  /** Waits for what is under way, as long as the caller does. */
  async drain(): Promise<void> {
    // The threads have ended and said what they held: what is not held goes back.
    this.#budgets.stop(this.#now())
    this.#budgets.turn(this.#now())
    this.ledger.leave()
    await this.#intake.drain()
    while (this.ledger.waitingCount > 0) await sleep(DRAIN_LOOK_MS)
    await this.frequency?.drain()
  }

  /** Ends everything at once; what is not done stays in the journal. */
  async stop(): Promise<void> {
    const { closeLedger, stream, journals, plans } = this.#parts
    clearInterval(this.#turning)
    clearInterval(this.#beating)
    await Promise.all([this.#driver.stop(), this.#outbox.close(), this.frequency?.stop(), plans.stop()])
    await Promise.all([closeLedger(), stream.close(), journals?.close()])
  }

  /** Says that this task lives, and goes on with what tasks that ended have kept. */
  async #adopt(): Promise<void> {
    const { journals } = this.#parts
    if (this.#isAdopting) return
    this.#isAdopting = true
    try {
      await journals?.beat()
      for (const journal of (await journals?.adopt()) ?? []) {
        if (journal.count > 0) {
          const fields = { notices: journal.count }
          this.#options.log.info('journal', 'the journal of a task that ended goes on here', { fields })
        }
        this.#intake.adopt(journal)
      }
    } catch (error) {
      this.#tellJournal(error)
    }
    this.#isAdopting = false
  }

  #tellJournal(error: unknown): void {
    this.#options.log.error('journal-failed', 'the journal could not be used', { error })
  }

  #book(operation: BookOperation): Promise<void> {
    const { recorder } = this.#options
    return new Promise(resolve => {
      this.ledger.add(operation, answer => {
        const late = answer?.nanos ?? 0
        this.frequency?.booked(operation.key, late < 0)
        recorder.count(bookingCounter(late < 0 ? 'repeated' : late > 0 ? 'late' : 'booked'))
        if (late >= 0) this.#countBill(operation)
        resolve()
      })
      this.#driver.hurry()
    })
  }

  #countBill({ accounts: [account = ''], amountNanos }: BookOperation): void {
    const { counts, recorder } = this.#options
    recorder.add(COUNTER.spend, amountNanos / NANOS)
    this.#guards.booked(amountNanos)
    const id = accountName(account)?.id ?? ''
    counts.add(id, 'billed', 1)
    counts.add(id, 'spendNanos', amountNanos)
  }

  #tellReached(reached: boolean, error: unknown): void {
    const { clock, log, recorder } = this.#options
    const sinceMs = this.#unreachableSinceMs
    if (!reached) recorder.count(COUNTER.ledgerFailures)
    if (reached === (sinceMs === undefined)) return
    const nowMs = clock.monotonicMs()
    this.#unreachableSinceMs = reached ? undefined : nowMs
    if (sinceMs === undefined) {
      const fields = { detail: error instanceof Error ? error.message : String(error) }
      log.warn('ledger-unreachable', 'the spend ledger does not answer', { fields })
      return
    }
    const fields = { away_ms: Math.round(nowMs - sinceMs), ...this.view }
    log.info('ledger-reachable', 'the spend ledger answers again', { fields })
  }
}
