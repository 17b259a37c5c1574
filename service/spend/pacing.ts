/**
 * Pacing: at which rate to take part so that a budget is spent along a plan. Every task steers by the same two things,
 * the plan and the total that the ledger tells, so that any number of them agrees without a word between them.
 */

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

/** Over so long rates are smoothed: longer than most bids take to be billed. */
const SMOOTHING_MS = 60_000
/** A first guess that spends too little rather than too much. */
const FIRST_RATE = 0.1
/** Below this rate too little is spent to learn what full participation would spend. */
const TELLING_RATE = 0.02
/** Where nothing is known, the rate doubles in so long. */
const DOUBLING_MS = 20_000
/** A clock that jumps further between two looks says nothing about rates. */
const LOOK_MS_MAX = 30_000

/** Steers one pass-through rate of one task. Changes only by `look`. */
export class Pacer {
  readonly #options: PacerOptions
  #passRate: number
  #lookedMs = Number.NaN
  #behind = 0
  #spentNanos = 0
  /** Smoothed alike, so that one explains the other: nanos per ms, and the rate at which they were spent. */
  #spending = 0
  #rateThen = 0
  /** What full participation would spend, nanos per ms; 0 while it is not known. */
  #potential = 0

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

  /**
   * Steers by what all tasks have spent; about once a second.
   * @param nowMs wall clock @param spentNanos as the ledger last told
   */
  look(nowMs: number, spentNanos: number): void {
    const elapsedMs = nowMs - this.#lookedMs
    this.#lookedMs = nowMs
    const isSteady = elapsedMs > 0 && elapsedMs <= LOOK_MS_MAX
    if (isSteady) this.#learn(elapsedMs, spentNanos)
    this.#spentNanos = spentNanos
    if (this.#options.plan.kind === 'asap') return
    this.#behind = this.#planned(nowMs) - spentNanos / this.#options.limitNanos
    if (!isSteady) return
    const wanted = this.#wanted(nowMs)
    if (this.#potential > 0) this.#passRate = Math.min(1, wanted / this.#potential)
    else if (wanted > 0) this.#passRate = Math.min(1, this.#passRate * 2 ** (elapsedMs / DOUBLING_MS))
  }

  #learn(elapsedMs: number, spentNanos: number): void {
    const weight = 1 - Math.exp(-elapsedMs / SMOOTHING_MS)
    this.#spending += (Math.max(0, spentNanos - this.#spentNanos) / elapsedMs - this.#spending) * weight
    this.#rateThen += (this.#passRate - this.#rateThen) * weight
    if (this.#rateThen < TELLING_RATE || this.#spending <= 0) return
    const potential = this.#spending / this.#rateThen
    if (this.#potential === 0) this.#potential = potential
    // The less is spent, the more of it is chance.
    else this.#potential += (potential - this.#potential) * weight * Math.min(1, this.#rateThen * 4)
  }

  /** Nanos per ms: what is left of the budget over what is left of the plan, so that an outage gives no burst. */
  #wanted(nowMs: number): number {
    const { limitNanos, startMs, endMs } = this.#options
    const aheadMs = Math.min(SMOOTHING_MS, endMs - nowMs)
    const planned = this.#planned(nowMs)
    const toCome = 1 - planned
    if (aheadMs <= 0 || toCome <= 0 || nowMs < startMs) return 0
    const soon = (this.#planned(nowMs + aheadMs) - planned) / toCome
    return (Math.max(0, limitNanos - this.#spentNanos) * soon) / aheadMs
  }

  #planned(atMs: number): number {
    const { plan, startMs, endMs } = this.#options
    return plannedShare(plan, (atMs - startMs) / (endMs - startMs))
  }
}
