/**
 * Pacing: at which rate to take part so that a budget is spent along a plan. Every task steers by the same two things,
 * the plan and the total that the ledger tells, so that any number of them agrees without a word between them.
 */
import { type Forecast, hourAt, planLevel, type Slot } from './forecast.ts'

/** How a budget is to be spent over its time. */
export type PacingPlan =
  | { readonly kind: 'asap' }
  | { readonly kind: 'even' }
  /** Twice the even rate at first, falling to nothing. */
  | { readonly kind: 'front-loaded' }
  /** Shares of equal parts of the time, such as 24 hours of a day; not negative and not all 0. */
  | { readonly kind: 'custom'; readonly weights: readonly number[] }

/** The share of the budget that is to be spent by then. @param elapsed share of the time, 0 to 1. Cost: O(weights). */
export function plannedShare(plan: PacingPlan, elapsed: number): number {
  const x = Math.min(1, Math.max(0, elapsed))
  if (plan.kind === 'asap') return x > 0 ? 1 : 0
  if (plan.kind === 'even') return x
  if (plan.kind === 'front-loaded') return 1 - (1 - x) ** 2
  const { weights } = plan
  const at = x * weights.length
  let [sum, total] = [0, 0]
  for (const [index, weight] of weights.entries()) {
    total += weight
    sum += weight * Math.min(1, Math.max(0, at - index))
  }
  return sum / total
}

/** One budget and its time. */
export interface PacerOptions {
  readonly plan: PacingPlan
  readonly limitNanos: number
  readonly startMs: number
  readonly endMs: number
}

/** A plan as people see it. */
export interface PlanView {
  readonly options: PacerOptions
  /** As the ledger last told, all tasks together. */
  readonly spentNanos: number
  /** See Pacer.behind. */
  readonly behind: number
}

/** Over so long rates are smoothed: longer than most bids take to be billed. */
const SMOOTHING_MS = 60_000
/** A first guess that spends too little rather than too much. */
const FIRST_RATE = 0.1
/** At a low rate little is spent, and much of it by chance: then learning is slower, down to this part. */
const LEARNING_MIN = 0.1
/** Where nothing is known, the rate doubles in so long. */
const DOUBLING_MS = 20_000
/** A clock that jumps further between two looks says nothing about rates. */
const LOOK_MS_MAX = 30_000

const HOUR_MS = 3_600_000
/** Hours are looked at for so long ahead: what comes after that has time. */
const AHEAD_MS_MAX = 7 * 24 * HOUR_MS
/** Of what an hour is expected to take this part is relied on. */
const SURE_PART = 0.95
/** What a line item spends of a whole opportunity changes slowly, where traffic is reckoned with. */
const LONG_MS = 30 * 60_000
/** How often the hours to come are looked at. */
const LEVEL_MS = 10_000

/** Steers one pass-through rate of one task. */
export class Pacer {
  #options: PacerOptions
  #passRate: number
  #lookedMs = Number.NaN
  #behind = 0
  #spentNanos = 0
  /** Smoothed alike, so that one explains the other: nanos per ms, and the rate at which they were spent. */
  #spending = 0
  #rateThen = 0
  /** What full participation would spend, nanos per ms; 0 while it is not known. */
  #potential = 0
  /** The same over a longer time, which the forecast allows: its traffic is in the second of them. */
  #spendingLong = 0
  #takenLong = 0
  /** The highest rate at which anything of it took part since the last look. */
  #tookPart = 0
  /** What planLevel last said, and when. */
  #level = 0
  #leveledMs = Number.NaN

  constructor(options: PacerOptions) {
    this.#options = options
    this.#passRate = options.plan.kind === 'asap' ? 1 : FIRST_RATE
  }

  /** Share of the eligible opportunities to take part in, 0 to 1. */
  get passRate(): number {
    return this.#passRate
  }

  /** Share of the budget by which spend was behind its plan at the last look; below 0 ahead of it, 0 without a plan. */
  get behind(): number {
    return this.#behind
  }

  /** Undefined before the first look at what it follows now. */
  get view(): PlanView | undefined {
    if (Number.isNaN(this.#lookedMs)) return undefined
    return { options: this.#options, spentNanos: this.#spentNanos, behind: this.#behind }
  }

  /** Goes on with another budget or another day: what it has learned of its traffic stays. */
  follow(options: PacerOptions): void {
    this.#options = options
    this.#lookedMs = Number.NaN
    this.#leveledMs = Number.NaN
  }

  /** Whether it has seen what its rate comes to; before that it is a guess. */
  get isLearned(): boolean {
    return this.#potential > 0
  }

  /**
   * Comes half the way to the rate that the tasks agree on. Each explains the spend of all by its own rate, so that a
   * lower rate than that of others would stay lower for ever. A guess is given up for it.
   */
  agree(rate: number): void {
    const agreed = this.isLearned ? (this.#passRate + rate) / 2 : rate
    if (agreed <= 0 || this.#passRate <= 0) return
    this.#potential *= this.#passRate / agreed
    this.#passRate = agreed
  }

  /** A line item of it takes part at this rate, whatever sets it: by that its spend is explained. */
  note(rate: number): void {
    this.#tookPart = Math.max(this.#tookPart, rate)
  }

  /**
   * Steers by what all tasks have spent; about once a second.
   * @param nowMs wall clock @param spentNanos as the ledger last told @param forecast undefined: hours are all alike
   */
  look(nowMs: number, spentNanos: number, forecast?: Forecast): void {
    const elapsedMs = nowMs - this.#lookedMs
    this.#lookedMs = nowMs
    const isSteady = elapsedMs > 0 && elapsedMs <= LOOK_MS_MAX
    if (isSteady) this.#learn(elapsedMs, spentNanos, forecast?.at(nowMs) ?? 0)
    this.#spentNanos = spentNanos
    if (this.#options.plan.kind === 'asap') return
    this.#behind = this.#planned(nowMs) - spentNanos / this.#options.limitNanos
    if (!isSteady) return
    const wanted = this.#wanted(nowMs, forecast)
    if (this.#potential > 0) this.#passRate = Math.min(1, wanted / this.#potential)
    else if (wanted > 0) this.#passRate = Math.min(1, this.#passRate * 2 ** (elapsedMs / DOUBLING_MS))
  }

  #learn(elapsedMs: number, spentNanos: number, traffic: number): void {
    const weight = 1 - Math.exp(-elapsedMs / SMOOTHING_MS)
    const spending = Math.max(0, spentNanos - this.#spentNanos) / elapsedMs
    const long = 1 - Math.exp(-elapsedMs / LONG_MS)
    this.#spendingLong += (spending - this.#spendingLong) * long
    this.#takenLong += (this.#tookPart * traffic - this.#takenLong) * long
    this.#spending += (spending - this.#spending) * weight
    this.#rateThen += (this.#tookPart - this.#rateThen) * weight
    this.#tookPart = 0
    if (this.#rateThen <= 0 || this.#spending <= 0) return
    const potential = this.#spending / this.#rateThen
    if (this.#potential === 0) this.#potential = potential
    else
      this.#potential +=
        (potential - this.#potential) * weight * Math.max(LEARNING_MIN, Math.min(1, this.#rateThen * 4))
  }

  /** Nanos per ms: what is left of the budget over what is left of the plan, so that an outage gives no burst. */
  #wanted(nowMs: number, forecast: Forecast | undefined): number {
    const { startMs, endMs } = this.#options
    const aheadMs = Math.min(SMOOTHING_MS, endMs - nowMs)
    const leftNanos = this.#options.limitNanos - this.#spentNanos
    if (aheadMs <= 0 || nowMs < startMs || leftNanos <= 0) return 0
    if (!(Math.abs(nowMs - this.#leveledMs) < LEVEL_MS)) {
      this.#leveledMs = nowMs
      this.#level = planLevel(this.#slots(nowMs, forecast), leftNanos)
    }
    const soon = this.#planned(nowMs + aheadMs) - this.#planned(nowMs)
    return soon <= 0 ? 0 : (this.#level * soon) / aheadMs
  }

  /** The time to come, by hours where it is known what these can spend. Cost: O(hours). */
  #slots(nowMs: number, forecast: Forecast | undefined): Slot[] {
    const { endMs } = this.#options
    const slots: Slot[] = []
    let fromMs = nowMs
    if (forecast !== undefined && this.#takenLong > 0 && this.#spendingLong > 0) {
      const perOpportunity = (SURE_PART * this.#spendingLong) / this.#takenLong
      while (fromMs < Math.min(endMs, nowMs + AHEAD_MS_MAX)) {
        const hour = hourAt(fromMs)
        const untilMs = Math.min(endMs, (hour + 1) * HOUR_MS)
        const expected = forecast.ofHour(hour) ?? Number.POSITIVE_INFINITY
        const planned = this.#planned(untilMs) - this.#planned(fromMs)
        slots.push({ planned, nanosMax: perOpportunity * expected * (untilMs - fromMs) })
        fromMs = untilMs
      }
    }
    slots.push({ planned: 1 - this.#planned(fromMs), nanosMax: Number.POSITIVE_INFINITY })
    return slots
  }

  #planned(atMs: number): number {
    const { plan, startMs, endMs } = this.#options
    return plannedShare(plan, (atMs - startMs) / (endMs - startMs))
  }
}
