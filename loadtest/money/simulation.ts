/**
 * A whole tenant's money for some simulated minutes: tasks, exchanges, a cache, and everything that can go wrong with
 * them, all by one seed. The invariants are those of ARCHITECTURE.md, checked every second and at every booking.
 */
import { Random } from '../../service/foundation/random.ts'
import type { BookOperation } from '../../service/spend/ledger.ts'
import { spentNanos } from '../../service/spend/ledger-memory.ts'
import { type LeaseRules, opensAfterMs } from '../../service/spend/slice.ts'
import type { Budget } from '../../service/state/budget-fields.ts'
import type { Catalog } from '../../service/state/catalog.ts'
import { type BrokenRule, FaultyCache } from './faulty-cache.ts'
import { SimulatedTask } from './task.ts'
import { CAMPAIGN, simulatedCatalog, utcDay } from './tenant.ts'

/** What one seed came to. */
export interface SimulationResult {
  readonly seed: number
  readonly isStrict: boolean
  /** The first few, in words; empty when every invariant held at every step. */
  readonly violations: readonly string[]
  readonly bids: number
  readonly billed: number
  readonly faults: number
  /** Spend ÷ budget of the campaign, and the part of the spend above the budget ÷ budget. */
  readonly used: number
  readonly over: number
  readonly late: number
}

const RULES: LeaseRules = {
  leaseMsMin: 5_000,
  leaseMsMax: 120_000,
  bucketMs: 5_000,
  graceMs: 8_000,
  holdMsMax: 60_000,
  clockAllowanceMs: 60_000,
  parts: 8,
  shareMs: 2_000,
}
/** Ten minutes before midnight: every run begins a new day. */
const START_MS = Date.UTC(2026, 10, 21, 23, 50)
const BIDDING_S = 1_200
const SETTLING_S = 900
const REMEMBER_MS = 48 * 3_600_000
const HOUR_MS = 3_600_000
const TELLING_MS = 60_000
const VIOLATIONS_MAX = 5
const PRICE_NANOS = 1_000_000
const NANOS_PER_UNIT = 1e9
const CAMPAIGN_ACCOUNT = `c/${CAMPAIGN}`

interface Notice {
  readonly operation: BookOperation
  readonly expiresMs: number
}

/** One run of one seed. */
export class Simulation {
  readonly #seed: number
  readonly #random: Random
  readonly #broken: BrokenRule | undefined
  readonly #cache: FaultyCache
  readonly #isStrict: boolean
  readonly #limits: ReadonlyMap<string, number>
  readonly #catalog: Catalog
  readonly #tasks: SimulatedTask[] = []
  readonly #notices = new Map<number, Notice[]>()
  readonly #expires = new Map<string, number>()
  /** When the first notice of a bid was acknowledged, and its amount. */
  readonly #acknowledged = new Map<string, { readonly atMs: number; readonly nanos: number }>()
  readonly #acknowledgedNanos = new Map<string, number>()
  readonly #loss: number
  readonly #faultChance: number
  readonly #winProbability: number
  readonly #violations: string[] = []
  /** Bids of tasks that had ended when all memory was lost: no witness tells of their leases. */
  readonly #unwitnessed = new Set<string>()
  /** Bookings that a ledger without memory cannot know to be repeated; see `#emptied`. */
  #unknowableNanos = 0
  /** Late spend and excess by account of memories that were lost: totals are witnessed, these parts are not. */
  readonly #lateNanos = new Map<string, number>()
  #nowMs = START_MS
  #cacheBackMs = START_MS
  /** Since then the cache was away, or had to be told again, until it was back. */
  #cacheAwayMs = START_MS
  #calmUntilMs = START_MS
  /** Some time after a task ended, another one has been told what it knew. */
  #toldMs = START_MS
  #failOverMs = Number.POSITIVE_INFINITY
  #hasForgotten = false
  #hasBeenEmpty = false
  #names = 0
  #bids = 0
  #faults = 0

  constructor(seed: number, broken?: BrokenRule) {
    this.#seed = seed
    this.#random = new Random(seed)
    this.#broken = broken
    const random = this.#random
    const isStrict = broken !== undefined || random.chance(0.6)
    this.#loss = random.pick([0, 0.01, 0.1])
    const faultChance = random.pick([0, 0.005, 0.02])
    // A rule that is left out shows where something fails.
    this.#faultChance = broken === undefined ? faultChance : 0.02
    this.#winProbability = random.pick([0.1, 0.4, 0.8])
    const tasks = random.between(1, 5)
    const demandNanos = BIDDING_S * tasks * 3 * PRICE_NANOS * this.#winProbability
    const campaignNanos = Math.floor(demandNanos * (0.2 + 0.6 * random.unit()))
    const kind = isStrict ? 'strict' : 'smooth'
    const budgetOf = (part: number): Budget => ({ total: Math.floor(campaignNanos * part) / NANOS_PER_UNIT, kind })
    // The third has a budget for each of the run's two days.
    const dailyNanos = Math.floor(campaignNanos * 0.4)
    this.#isStrict = isStrict
    this.#catalog = simulatedCatalog(
      [
        { id: 'a', priceNanos: PRICE_NANOS, budget: budgetOf(0.2) },
        { id: 'b', priceNanos: 2 * PRICE_NANOS, budget: budgetOf(0.5) },
        { id: 'c', priceNanos: 3 * PRICE_NANOS, budget: { daily: dailyNanos / NANOS_PER_UNIT, kind } },
      ],
      budgetOf(1),
    )
    const day = utcDay(START_MS).number
    this.#limits = new Map([
      ['l/a', Math.floor(campaignNanos * 0.2)],
      ['l/b', Math.floor(campaignNanos * 0.5)],
      [`l/c/${day}`, dailyNanos],
      [`l/c/${day + 1}`, dailyNanos],
      [CAMPAIGN_ACCOUNT, campaignNanos],
    ])
    this.#cache = new FaultyCache(random, broken, (operation, nanos) => this.#checkBooked(operation, nanos))
    for (let i = 0; i < tasks; i++) this.#start(new Map())
  }

  /** Runs to the end. Cost: some 0.1 s. */
  run(): SimulationResult {
    for (let second = 0; second < BIDDING_S && this.#violations.length === 0; second++) this.#second(true)
    this.#heal()
    for (let second = 0; second < SETTLING_S && !this.#isSettled(); second++) this.#second(false)
    if (this.#violations.length === 0) this.#checkEnd()
    const campaign = this.#account(CAMPAIGN_ACCOUNT)
    const limitNanos = this.#limits.get(CAMPAIGN_ACCOUNT) ?? 1
    return {
      seed: this.#seed,
      isStrict: this.#isStrict,
      violations: this.#violations,
      bids: this.#bids,
      billed: this.#acknowledged.size,
      faults: this.#faults,
      used: campaign.spent / limitNanos,
      over: Math.max(0, campaign.spent - campaign.late - limitNanos) / limitNanos,
      late: campaign.late / limitNanos,
    }
  }

  #start(journal: ReadonlyMap<string, BookOperation>): void {
    const name = `task-${this.#names++}`
    const [random, broken, catalog, nowMs] = [this.#random, this.#broken, this.#catalog, this.#nowMs]
    this.#tasks.push(new SimulatedTask({ name, catalog, rules: RULES, random, broken, journal, nowMs }))
  }

  #second(isBidding: boolean): void {
    this.#nowMs += 1_000
    if (isBidding) this.#misfortune()
    this.#cache.deliverTwins(this.#nowMs)
    for (const task of this.#tasks) {
      if (!task.runs(this.#nowMs)) continue
      task.turn(this.#cache, this.#nowMs, isBidding ? this.#loss : 0)
      for (let i = 0; isBidding && i < 3; i++) this.#bid(task)
    }
    this.#deliver()
    this.#checkAccounts()
  }

  #bid(task: SimulatedTask): void {
    const random = this.#random
    const ordinal = random.pickIndex(this.#catalog.header.lineItems)
    const holdMs = random.pick([20_000, RULES.holdMsMax])
    const hold = task.bid(ordinal, this.#nowMs, holdMs)
    if (hold === undefined) return
    const key = `bid-${this.#bids++}`
    if (!random.chance(this.#winProbability)) return
    const priceNanos = this.#catalog.columns.lineItemPriceNanos[ordinal] as number
    const operation: BookOperation = {
      kind: 'book',
      key,
      ...hold,
      amountNanos: random.chance(0.7) ? priceNanos : random.between(1, priceNanos),
      rememberMs: REMEMBER_MS,
    }
    const notice = { operation, expiresMs: this.#nowMs + holdMs }
    this.#expires.set(key, notice.expiresMs)
    const isLate = random.chance(0.01)
    this.#schedule(notice, isLate ? random.between(holdMs, 2 * holdMs) : random.between(0, holdMs - 1_000))
    if (random.chance(0.1)) this.#schedule(notice, random.between(0, 3 * holdMs))
  }

  #schedule(notice: Notice, afterMs: number): void {
    const second = Math.floor((this.#nowMs + afterMs) / 1_000)
    const there = this.#notices.get(second)
    if (there === undefined) this.#notices.set(second, [notice])
    else there.push(notice)
  }

  /** Each notice comes to any running task; where none runs, the exchange tries again. */
  #deliver(): void {
    const second = Math.floor(this.#nowMs / 1_000)
    const due = this.#notices.get(second) ?? []
    this.#notices.delete(second)
    const running = this.#tasks.filter(task => task.runs(this.#nowMs))
    for (const notice of due) {
      if (running.length === 0) {
        this.#schedule(notice, 2_000)
        continue
      }
      const { key, amountNanos: nanos, accounts } = notice.operation
      if (!this.#acknowledged.has(key)) {
        this.#acknowledged.set(key, { atMs: this.#nowMs, nanos })
        for (const name of accounts) this.#acknowledgedNanos.set(name, (this.#acknowledgedNanos.get(name) ?? 0) + nanos)
      }
      this.#random.pick(running).take(notice.operation)
    }
  }

  /** One or no new fault. Lost memory never meets a task that is away: that is beyond the stated bound. */
  #misfortune(): void {
    const random = this.#random
    if (this.#nowMs >= this.#failOverMs) {
      this.#failOverMs = Number.POSITIVE_INFINITY
      this.#cacheAwayMs = this.#nowMs
      this.#cacheBackMs = this.#nowMs
      this.#cache.failOver()
      // They find the new one one after another, all within half of the grace.
      for (const task of this.#tasks) task.cutOffUntilMs = this.#nowMs + random.between(0, 3) * 1_000
      // Who starts now has nothing to repeat, and must not lease what others have.
      if (this.#tasks.length < 6 && random.chance(0.5)) this.#start(new Map())
    }
    if (this.#cache.isDown && this.#nowMs >= this.#cacheBackMs) {
      this.#cache.isDown = false
      this.#cache.connection++
    }
    if (this.#nowMs < this.#calmUntilMs || !random.chance(this.#faultChance)) return
    this.#faults++
    const at = random.pickIndex(this.#tasks.length)
    const task = this.#tasks[at] as SimulatedTask
    const kind = random.pick([
      'kill',
      'pause',
      'cut-off',
      'down',
      'clock',
      'fail-over',
      'empty',
      'scale',
      'thread',
    ] as const)
    if (kind === 'kill') this.#kill(at)
    else if (kind === 'thread') task.loseThread(this.#nowMs)
    else if (kind === 'pause') task.pausedUntilMs = this.#nowMs + random.between(1_000, 40_000)
    else if (kind === 'cut-off') task.cutOffUntilMs = this.#nowMs + random.between(1_000, 60_000)
    else if (kind === 'clock') this.#cache.wallOffsetMs += random.pick([-HOUR_MS, HOUR_MS, 12 * HOUR_MS])
    else if (kind === 'scale' && this.#tasks.length < 6) this.#start(new Map())
    else if (kind === 'down') {
      this.#cache.isDown = true
      this.#cacheAwayMs = this.#nowMs
      this.#cacheBackMs = this.#nowMs + random.between(1_000, 60_000)
    } else if (this.#isWhole() && (kind !== 'empty' || this.#nowMs >= this.#toldMs)) this.#forget(kind)
  }

  #kill(at: number): void {
    const [task] = this.#tasks.splice(at, 1)
    this.#toldMs = this.#nowMs + TELLING_MS
    this.#start(task?.journal ?? new Map())
  }

  /** Every task is there and reaches the cache. */
  #isWhole(): boolean {
    return !this.#cache.isDown && this.#tasks.every(task => task.runs(this.#nowMs) && task.cutOffUntilMs <= this.#nowMs)
  }

  #forget(kind: string): void {
    const restMs = RULES.graceMs + 20_000
    this.#hasForgotten = true
    if (kind === 'empty') {
      this.#hasBeenEmpty = true
      this.#emptied()
      this.#cacheAwayMs = this.#nowMs
      this.#cacheBackMs = this.#nowMs + opensAfterMs(RULES)
      this.#calmUntilMs = this.#cacheBackMs + 2 * restMs
      return
    }
    this.#cache.replicate()
    this.#failOverMs = this.#nowMs + this.#random.between(1, 3) * 1_000
    this.#calmUntilMs = this.#failOverMs + restMs
  }

  /** A booking whose answer was lost, and one that is billed again, cannot be told from new ones afterwards. */
  #emptied(): void {
    const { keys } = this.#cache.state
    const again = [...this.#notices.values()].flat().map(({ operation }) => operation)
    const waiting = this.#tasks.flatMap(task => [...task.journal.values()])
    const repeated = new Map([...again, ...waiting].map(operation => [operation.key, operation]))
    for (const { key, amountNanos, lease } of repeated.values()) {
      if (keys.has(key)) this.#unknowableNanos += amountNanos
      if (!this.#tasks.some(({ name }) => lease.startsWith(`${name}-`))) this.#unwitnessed.add(key)
    }
    for (const [name, { lateNanos, excessNanos }] of this.#cache.state.accounts)
      this.#lateNanos.set(name, (this.#lateNanos.get(name) ?? 0) + lateNanos + excessNanos)
    this.#cache.empty()
  }

  #heal(): void {
    if (this.#failOverMs < Number.POSITIVE_INFINITY) this.#cache.failOver()
    if (this.#cache.isDown) this.#cache.connection++
    this.#cache.isDown = false
    for (const task of this.#tasks) {
      task.pausedUntilMs = 0
      task.cutOffUntilMs = 0
      task.stop(this.#nowMs)
    }
  }

  #isSettled(): boolean {
    return this.#notices.size === 0 && this.#tasks.every(({ isIdle }) => isIdle)
  }

  #account(name: string) {
    const account = this.#cache.state.accounts.get(name)
    const lost = this.#lateNanos.get(name) ?? 0
    if (account === undefined) return { spent: 0, leased: 0, late: lost, excess: 0 }
    const { leasedNanos: leased, lateNanos, excessNanos: excess } = account
    return { spent: spentNanos(account), leased, late: lost + lateNanos, excess }
  }

  #violated(what: string): void {
    if (this.#violations.length < VIOLATIONS_MAX)
      this.#violations.push(`${(this.#nowMs - START_MS) / 1_000} s: ${what}`)
  }

  /** A strict budget covers every notice that came in time and was applied within the grace. */
  #checkBooked({ key }: BookOperation, uncoveredNanos: number): void {
    if (uncoveredNanos === 0 || this.#unwitnessed.has(key) || !this.#isStrict) return
    const expiresMs = this.#expires.get(key) ?? 0
    const receivedMs = this.#acknowledged.get(key)?.atMs ?? 0
    const wasAway = expiresMs + RULES.graceMs >= this.#cacheAwayMs
    const untilMs = (wasAway ? Math.max(expiresMs, this.#cacheBackMs) : expiresMs) + RULES.graceMs
    if (receivedMs > expiresMs || this.#nowMs >= untilMs) return
    this.#violated(`${key} came in time, and ${uncoveredNanos} nanos of it are not covered`)
  }

  #checkAccounts(): void {
    const open = new Map<string, number>()
    for (const { accounts, amountNanos, bookedNanos } of this.#cache.state.leases.values())
      for (const name of accounts) open.set(name, (open.get(name) ?? 0) + Math.max(0, amountNanos - bookedNanos))
    for (const [name, limitNanos] of this.#limits) {
      const { spent, leased, late, excess } = this.#account(name)
      const acknowledged = (this.#acknowledgedNanos.get(name) ?? 0) + this.#unknowableNanos
      if (leased !== (open.get(name) ?? 0))
        this.#violated(`${name}: leased is not the sum of what its leases have open`)
      if (spent > acknowledged) this.#violated(`${name}: ${spent - acknowledged} nanos are booked and were not billed`)
      if (excess > 0 && this.#isStrict) this.#violated(`${name}: ${excess} nanos beyond what was held`)
      // A ledger that is told again reserves too much for a while.
      const reserved = this.#hasForgotten ? 0 : leased
      const overNanos = spent + reserved - late - excess - limitNanos - this.#unknowableNanos
      if (overNanos > 0) this.#violated(`${name}: ${overNanos} nanos above the budget`)
    }
  }

  #checkEnd(): void {
    if (!this.#isSettled()) this.#violated('the ledger did not come to rest')
    const yesterday = `/${utcDay(START_MS).number}`
    for (const [name, acknowledged] of this.#acknowledgedNanos) {
      // Of a day that is over, only tasks that ran then know the total, and none of them may be left.
      if (this.#hasBeenEmpty && name.endsWith(yesterday)) continue
      const { spent } = this.#account(name)
      if (spent < acknowledged) this.#violated(`${name}: ${acknowledged - spent} nanos were billed and are not booked`)
    }
  }
}
