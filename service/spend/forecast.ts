/**
 * What traffic a tenant has to expect, by the hour, from what it had: so that a plan does not leave to some hour more
 * than its traffic can take. Only its shape counts, not its height: that is what a pacer learns of its own line item.
 */

const HOUR_MS = 3_600_000
const HOURS_PER_DAY = 24
const HOURS_PER_WEEK = 168
/** Of several known hours each counts this part of the one after it. */
const FADING = 0.5
const WEEKS_MAX = 4
const DAYS_MAX = 7

/** Whole hours since 1970. In UTC: where clocks change twice a year the shape is off by an hour for some days. */
export function hourAt(atMs: number): number {
  return Math.floor(atMs / HOUR_MS)
}

/** Opportunities of an hour to come. Immutable. */
export class Forecast {
  readonly #known: ReadonlyMap<number, number>
  readonly #hours = new Map<number, number | undefined>()

  /**
   * @param known opportunities by whole hours since 1970. The first of them may have been seen in part, and that of
   *   `nowMs` is; both are left out
   */
  constructor(known: ReadonlyMap<number, number>, nowMs: number) {
    const [first, now] = [Math.min(...known.keys()), hourAt(nowMs)]
    this.#known = new Map([...known].filter(([hour]) => hour > first && hour < now))
  }

  /**
   * What is to be expected of an hour: of the same hour of the weeks before, or else of the days before.
   * @returns opportunities, undefined where nothing like it is known
   */
  ofHour(hour: number): number | undefined {
    if (!this.#hours.has(hour)) {
      const likely = this.#mean(hour, HOURS_PER_WEEK, WEEKS_MAX) ?? this.#mean(hour, HOURS_PER_DAY, DAYS_MAX)
      this.#hours.set(hour, likely)
    }
    return this.#hours.get(hour)
  }

  /** As many an hour as at that instant: traffic does not jump where hours end. */
  at(atMs: number): number | undefined {
    const hours = atMs / HOUR_MS - 0.5
    const [before, after] = [this.ofHour(Math.floor(hours)), this.ofHour(Math.floor(hours) + 1)]
    if (before === undefined || after === undefined) return this.ofHour(hourAt(atMs))
    return before + (after - before) * (hours - Math.floor(hours))
  }

  #mean(hour: number, step: number, countMax: number): number | undefined {
    let [sum, weights, weight] = [0, 0, 1]
    for (let i = 1; i <= countMax; i++) {
      const known = this.#known.get(hour - i * step)
      if (known === undefined) continue
      sum += known * weight
      weights += weight
      weight *= FADING
    }
    return weights === 0 ? undefined : sum / weights
  }
}

/** A part of a plan's time that is to come. */
export interface Slot {
  /** Share of the budget that the plan gives it. */
  readonly planned: number
  /** The most that it can spend; Infinity where that is not known. */
  readonly nanosMax: number
}

/**
 * The budget by which slots are to be planned, so that together they spend what is left though some cannot spend their
 * share: Σ min(level × planned, nanosMax) = left.
 * @returns nanos; Infinity when all together cannot spend so much. Cost: O(n log n)
 */
export function planLevel(slots: readonly Slot[], leftNanos: number): number {
  const open = slots.filter(({ planned }) => planned > 0)
  let planned = open.reduce((sum, slot) => sum + slot.planned, 0)
  let left = leftNanos
  for (const slot of open.toSorted((a, b) => a.nanosMax / a.planned - b.nanosMax / b.planned)) {
    const level = left / planned
    if (level * slot.planned <= slot.nanosMax) return level
    left -= slot.nanosMax
    planned -= slot.planned
  }
  return left > 0 ? Number.POSITIVE_INFINITY : 0
}
