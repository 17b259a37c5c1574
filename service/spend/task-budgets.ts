/**
 * The budgets of one task: a slice for every line item that bids, what the bid threads hold of it, and the rates at
 * which plans let line items take part. A slice is opened when a bid thread first wants it, so that cost follows what
 * bids, not what documents hold. Synchronous; whoever drives it calls `turn` some times a second.
 */
import { LIMITS } from '../limits.ts'
import type { Day } from '../state/calendar.ts'
import type { Catalog } from '../state/catalog.ts'
import { type BudgetLayer, type Place, placeOf } from './budget-layer.ts'
import { type BudgetsView, budgetsView, type KnownBudget, knownBudget } from './budgets-view.ts'
import { type BudgetedLineItem, budgetedOrdinals, budgetKeyAt, budgetsOf } from './catalog-budgets.ts'
import type { Forecast } from './forecast.ts'
import type { Lease } from './lease.ts'
import { type Now, PlanRates } from './plan-rates.ts'
import { Rounds } from './rounds.ts'
import type { Share, SharesMessage, SharesReport } from './shares.ts'
import { type LeaseRules, Slice, type SliceTerms } from './slice.ts'
import type { TaskLedger } from './task-ledger.ts'

/** What the budgets of a task are made of. */
export interface TaskBudgetsOptions {
  readonly ledger: TaskLedger
  readonly rules: LeaseRules
  /** Bid threads, by number. */
  readonly threads: readonly number[]
  /** A name that no lease ever had. */
  readonly newLease: () => string
  readonly tell: (thread: number, message: SharesMessage) => void
  /** The tenant's day at an instant. */
  readonly dayAt: (nowMs: number, timeZone: string) => Day
  /** What traffic plans reckon with; without it hours are all alike. */
  readonly forecast?: () => Forecast | undefined
}

interface OpenSlice {
  readonly number: number
  readonly slice: Slice
  lineItem: BudgetedLineItem
  day: number
  /** When a thread last wanted it. */
  wantedMs: number
  /** The part of all opportunities that plans let it take part in. */
  planRate: number
}

interface NumberedLease {
  readonly number: number
  readonly lease: Lease
  readonly open: OpenSlice
  isRecalled: boolean
  /** Threads that have had a share of it: they are told numbers only. */
  told: readonly number[]
}

const LOOK_MS = 1_000
/** Days before today whose totals are kept, for what is still billed, and as a witness. */
const DAYS_KNOWN = 2
/** A wall clock that has moved by so much against the task's own was set. */
const CLOCK_SET_MS = 1_000
const PPM = 1_000_000

/** Every method changes it. */
export class TaskBudgets {
  readonly #options: TaskBudgetsOptions
  readonly #numbers = new Map<string, number>()
  readonly #open = new Map<number, OpenSlice>()
  readonly #leases = new Map<number, NumberedLease>()
  readonly #numberedOf = new Map<Lease, NumberedLease>()
  readonly plans: PlanRates
  #names = 0
  #leaseNames = 0
  /** The catalog that serves, then its overlay. Empty when nothing serves. */
  #layers: readonly BudgetLayer[] = []
  #day: Day | undefined
  #timeZone = ''
  /** What the wall clock was ahead of the task's own when days were last laid upon that. */
  #wallMs = Number.NaN
  #lookedMs = Number.NEGATIVE_INFINITY
  readonly #looks = new Rounds(this.#open, LOOK_MS)

  constructor(options: TaskBudgetsOptions) {
    this.#options = options
    this.plans = new PlanRates(options.ledger, options.forecast)
  }

  /** Leases that are out, for the ledger's witness. Cost: O(open slices). */
  leases(): readonly Lease[] {
    return [...this.#open.values()].flatMap(({ slice }) => slice.leases)
  }

  get openCount(): number {
    return this.#open.size
  }

  /** What metrics show. Cost: O(leases + plans). */
  get view(): BudgetsView {
    const leases = [...this.#leases.values()].map(({ lease }) => lease)
    return budgetsView(leases, this.plans.pacers)
  }

  /** What this task knows of the served budgets that bids have asked for. Cost: O(their leases). */
  known(): readonly KnownBudget[] {
    const placed = [...this.#open.values()].map(open => ({ open, place: placeOf(this.#layers, open.number) }))
    return placed.flatMap(({ open, place }) => (place === undefined ? [] : [knownBudget(open, place)]))
  }

  /** The catalog that serves, then its overlay. */
  get layers(): readonly BudgetLayer[] {
    return this.#layers
  }

  /** What goes with a catalog to the bid threads. It is given to `serve` once it serves. Cost: O(line items). */
  sharesOf(catalog: Catalog): BudgetLayer {
    const { lineItems } = catalog.header
    const slices = new SharedArrayBuffer(Math.max(4, lineItems * 4))
    const rates = new SharedArrayBuffer(Math.max(4, lineItems * 4))
    const numbers = new Int32Array(slices).fill(-1)
    const rateOf = new Uint32Array(rates)
    rateOf.set(catalog.columns.lineItemPassRatePpm)
    const ordinals = new Map<number, number>()
    for (const ordinal of budgetedOrdinals(catalog)) {
      const key = budgetKeyAt(catalog, ordinal)
      let number = this.#numbers.get(key)
      if (number === undefined) {
        number = this.#names++
        this.#numbers.set(key, number)
      }
      // A new catalog goes on at the rates of the one before: the first look comes after it serves.
      const planRate = this.#open.get(number)?.planRate ?? 1
      rateOf[ordinal] = rateAt(catalog.columns.lineItemPassRatePpm[ordinal] as number, planRate)
      numbers[ordinal] = number
      ordinals.set(number, ordinal)
    }
    return { catalog, shares: { slices, rates }, rates: rateOf, ordinals }
  }

  /** They serve: their limits, prices and plans count, and what they do not have any more ends. */
  serve(layers: readonly BudgetLayer[], now: Now): void {
    this.#layers = layers
    for (const open of this.#open.values()) this.#renew(open, now)
    for (const [id, number] of this.#numbers)
      if (!this.#open.has(number) && !layers.some(({ ordinals }) => ordinals.has(number))) this.#numbers.delete(id)
    this.#lookAtAllNext()
    if (this.#open.size === 0) this.#begin(now)
  }

  /** The best line items have their first lease before a request asks for it. */
  #begin(now: Now): void {
    for (const layer of this.#layers)
      for (const [number, ordinal] of layer.ordinals) {
        if (this.#open.size >= LIMITS.leasesAtStartMax) return
        this.#want(number, layer.catalog.columns.lineItemPriceNanos[ordinal] as number, now)
      }
  }

  /**
   * Takes what a thread held, gives back and wants. Nothing of it counts once the thread was lost: then all of its
   * share counts as held.
   */
  report(thread: number, { held, returned, wanted, isLast }: SharesReport, now: Now): void {
    const numbers = new Set<number>()
    for (let i = 0; i < held.length; i += 3) {
      const found = this.#leases.get(held[i] as number)
      if (found === undefined) continue
      numbers.add(found.open.number)
      const nanos = Math.min(held[i + 2] as number, found.lease.sharedWith(thread))
      found.open.slice.hold(found.lease, thread, held[i + 1] as number, nanos)
    }
    for (let i = 0; i < returned.length; i += 2) {
      const lease = this.#leases.get(returned[i] as number)?.lease
      lease?.unshare(thread, Math.min(returned[i + 1] as number, lease.sharedWith(thread)))
    }
    if (isLast) {
      this.#takeBack(thread)
      return
    }
    for (let i = 0; i < wanted.length; i += 2) {
      numbers.add(wanted[i] as number)
      this.#want(wanted[i] as number, wanted[i + 1] as number, now)
    }
    this.#give(thread, numbers, now)
  }

  /** A thread has said its last: what was on its way to it is not held. It gets nothing more. */
  #takeBack(thread: number): void {
    this.#ended.add(thread)
    for (const { lease } of this.#leases.values()) lease.unshare(thread, lease.sharedWith(thread))
  }

  /** A thread ended: what it had may be held until the longest hold is over. */
  threadLost(thread: number, { monotonicMs }: Now): void {
    const expiresMs = monotonicMs + this.#options.rules.holdMsMax
    for (const numbered of this.#leases.values()) {
      numbered.told = numbered.told.filter(each => each !== thread)
      if (numbered.lease.sharedWith(thread) > 0) numbered.lease.threadLost(thread, expiresMs)
    }
  }

  /** Settles, leases and paces each slice once a second, and hands out what was leased since. */
  turn(now: Now): void {
    const isSecond = now.monotonicMs - this.#lookedMs >= LOOK_MS
    if (isSecond) this.#lookAtDay(now)
    for (const open of this.#looks.due(now.monotonicMs)) this.#look(open, now)
    if (isSecond) {
      this.#lookedMs = now.monotonicMs
      this.#forgetLeases()
      this.#recall(now.monotonicMs)
    }
    for (const thread of this.#options.threads) this.#give(thread, this.#waiting, now)
    for (const number of this.#waiting) {
      const slice = this.#open.get(number)?.slice
      if (slice === undefined || slice.hasAnswer) this.#waiting.delete(number)
    }
  }

  /** No more leases. */
  stop({ monotonicMs }: Now): void {
    for (const { slice } of this.#open.values()) slice.stop(monotonicMs)
    this.#layers = []
    this.#recall(monotonicMs)
    // What is not held goes back at the next turn: the task may have no second left.
    this.#lookAtAllNext()
  }

  /** Threads that have said their last. */
  readonly #ended = new Set<number>()
  /** Slices that some thread wanted and that had nothing to give. */
  readonly #waiting = new Set<number>()

  #want(number: number, nanos: number, now: Now): void {
    this.#waiting.add(number)
    const there = this.#open.get(number)
    if (there !== undefined) {
      there.wantedMs = now.monotonicMs
      there.slice.want(nanos, now.monotonicMs)
    }
    const place = placeOf(this.#layers, number)
    if (there !== undefined || place === undefined) return
    const { ledger, rules, threads, newLease } = this.#options
    const { lineItem, terms, day } = this.#termsOf(place, now)
    const slice = new Slice(terms, { ledger, rules, threads: threads.length, newLease })
    const open = { number, slice, lineItem, day, wantedMs: now.monotonicMs, planRate: 1 }
    this.#open.set(number, open)
    slice.want(nanos, now.monotonicMs)
  }

  #give(thread: number, numbers: ReadonlySet<number>, { monotonicMs }: Now): void {
    if (this.#ended.has(thread)) return
    const shares: Share[] = []
    const more: number[] = []
    for (const number of numbers) {
      const open = this.#open.get(number)
      const given = open?.slice.share(thread, monotonicMs)
      if (open === undefined || given === undefined) continue
      const { lease, nanos } = given
      const { holdPart } = open.slice
      const numbered = this.#numbered(lease, open)
      const { number: leaseNumber, told } = numbered
      if (told.includes(thread)) {
        more.push(leaseNumber, nanos, holdPart)
        continue
      }
      numbered.told = [...told, thread]
      const { startMs, bucketMs, lease: name } = lease.terms
      const times = { startMs, endMs: lease.endMs, bucketMs }
      shares.push({ ...{ slice: number, leaseNumber, lease: name, day: open.day, nanos, holdPart }, ...times })
    }
    if (shares.length + more.length === 0) return
    this.#options.tell(thread, { shares, more: Float64Array.from(more), recalled: new Set() })
  }

  #numbered(lease: Lease, open: OpenSlice): NumberedLease {
    const known = this.#numberedOf.get(lease)
    if (known !== undefined) return known
    const numbered = { number: this.#leaseNames++, lease, open, isRecalled: false, told: [] }
    this.#numberedOf.set(lease, numbered)
    this.#leases.set(numbered.number, numbered)
    return numbered
  }

  #termsOf(
    { layer: { catalog }, ordinal }: Place,
    { nowMs, monotonicMs }: Now,
  ): { lineItem: BudgetedLineItem; terms: SliceTerms; day: number } {
    const day = this.#dayAt(nowMs)
    const lineItem = budgetsOf(catalog, ordinal, day)
    const { accounts, priceNanos, isStrict } = lineItem
    const endsMs = monotonicMs + (day.endMs - nowMs)
    return { lineItem, terms: { accounts, priceNanosMax: priceNanos, isStrict, endsMs }, day: day.number }
  }

  #dayAt(nowMs: number): Day {
    const timeZone = this.#layers.at(-1)?.catalog.header.settings.timeZone ?? 'UTC'
    if (this.#day === undefined || nowMs < this.#day.startMs || nowMs >= this.#day.endMs || timeZone !== this.#timeZone)
      this.#day = this.#options.dayAt(nowMs, timeZone)
    this.#timeZone = timeZone
    return this.#day
  }

  /** Takes over what the catalog that serves says of a slice, or the next day. */
  #renew(open: OpenSlice, now: Now): void {
    const place = placeOf(this.#layers, open.number)
    if (place === undefined) {
      open.slice.stop(now.monotonicMs)
      return
    }
    const { lineItem, terms, day } = this.#termsOf(place, now)
    const { accounts, priceNanosMax, isStrict } = open.slice.terms
    const isSame =
      day === open.day &&
      priceNanosMax === terms.priceNanosMax &&
      isStrict === terms.isStrict &&
      accounts.every(({ limitNanos }, i) => limitNanos === terms.accounts[i]?.limitNanos)
    open.lineItem = lineItem
    open.day = day
    if (!isSame || open.slice.isStopped) open.slice.change(terms, now.monotonicMs)
    else open.slice.endAt(terms.endsMs)
  }

  /** Another day, or a clock that was set. What bids no more has no plan to follow. */
  #newDay(now: Now): void {
    for (const open of this.#open.values()) this.#renew(open, now)
    this.#options.ledger.forgetDaysBefore((this.#day?.number ?? 0) - DAYS_KNOWN)
    const owners = [...this.#open.values()].flatMap(({ lineItem }) => lineItem.paced.map(({ owner }) => owner))
    this.plans.keep(new Set(owners))
  }

  #lookAtDay(now: Now): void {
    const { monotonicMs, nowMs } = now
    const dayBefore = this.#day
    const wallMs = nowMs - monotonicMs
    const isSet = !(Math.abs(wallMs - this.#wallMs) <= CLOCK_SET_MS)
    if (isSet) this.#wallMs = wallMs
    if (this.#layers.length > 0 && (this.#dayAt(nowMs) !== dayBefore || isSet)) this.#newDay(now)
  }

  #lookAtAllNext(): void {
    this.#lookedMs = Number.NEGATIVE_INFINITY
    this.#looks.hurry()
  }

  #look(open: OpenSlice, now: Now): void {
    open.slice.look(now.monotonicMs)
    this.#pace(open, now)
    if (this.#isDone(open, now.monotonicMs)) this.#open.delete(open.number)
  }

  #forgetLeases(): void {
    for (const [number, { lease }] of this.#leases) {
      if (!lease.isReturned || lease.sharedNanos > 0) continue
      this.#leases.delete(number)
      this.#numberedOf.delete(lease)
    }
  }

  /** A plan goes on for as long as its line item is served: who is paced out altogether wants nothing. */
  #isDone({ number, slice, lineItem, wantedMs }: OpenSlice, monotonicMs: number): boolean {
    if (!slice.isIdle || monotonicMs - wantedMs <= this.#options.rules.leaseMsMax) return false
    return lineItem.paced.length === 0 || placeOf(this.#layers, number) === undefined
  }

  /** Threads give back what is left of leases that ended before they knew. */
  #recall(monotonicMs: number): void {
    const recalled = new Set<number>()
    for (const [number, numbered] of this.#leases) {
      if (numbered.isRecalled || numbered.lease.endMs > monotonicMs || numbered.lease.sharedNanos === 0) continue
      numbered.isRecalled = true
      recalled.add(number)
    }
    if (recalled.size === 0) return
    for (const thread of this.#options.threads)
      this.#options.tell(thread, { shares: [], more: new Float64Array(), recalled })
  }

  /** Steers the rate of a line item. */
  #pace(open: OpenSlice, now: Now): void {
    const { number, lineItem } = open
    const place = placeOf(this.#layers, number)
    if (place === undefined || lineItem.paced.length === 0) return
    open.planRate = this.plans.rateOf(lineItem, now)
    place.layer.rates[place.ordinal] = rateAt(lineItem.passRatePpm, open.planRate)
  }
}

function rateAt(passRatePpm: number, planRate: number): number {
  return Math.min(PPM, Math.round(passRatePpm * planRate))
}
