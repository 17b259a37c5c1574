import { Random } from '../service/foundation/random.ts'

/** How requests arrive: evenly, or with exponential gaps as from many independent users. */
type ArrivalKind = 'fixed' | 'poisson'

/** Which arrivals, fully determined by its numbers. */
export interface ArrivalPlan {
  readonly arrivals: ArrivalKind
  readonly ratePerS: number
  readonly durationS: number
  readonly seed: number
}

/** The planned send times of a run. Two of the same plan are the same, in any thread. */
export class Arrivals {
  readonly #plan: ArrivalPlan
  readonly #random: Random
  #index = 0
  #atUs = 0

  constructor(plan: ArrivalPlan) {
    this.#plan = plan
    this.#random = new Random(plan.seed)
  }

  /** The next planned instant in µs after the start, or undefined after the last. */
  next(): number | undefined {
    const gapUs = 1e6 / this.#plan.ratePerS
    if (this.#plan.arrivals === 'fixed') this.#atUs = this.#index++ * gapUs
    else this.#atUs += -Math.log(1 - this.#random.unit()) * gapUs
    return this.#atUs < this.#plan.durationS * 1e6 ? this.#atUs : undefined
  }
}

// performance.now starts anew in each thread; hrtime is one clock for all of them. What passes between the two calls
// makes the origin too early, by a millisecond when a young thread makes its first: the latest of some is right.
const originUs = Math.max(...Array.from({ length: 20 }, originNow))

function originNow(): number {
  const [seconds, nanos] = process.hrtime()
  return seconds * 1e6 + nanos / 1e3 - performance.now() * 1e3
}

/** Monotonic µs on a clock that all threads and processes of the machine share. */
export function monotonicUs(): number {
  return originUs + performance.now() * 1e3
}
