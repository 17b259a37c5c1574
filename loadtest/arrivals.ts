import { Random } from '../service/foundation/random.ts'

/** How requests arrive: evenly, or with exponential gaps as from many independent users. */
type ArrivalKind = 'fixed' | 'poisson'

/** One rate for a while. */
export interface RateStep {
  readonly ratePerS: number
  readonly durationS: number
}

/** Which arrivals, fully determined by its numbers. */
export interface ArrivalPlan extends RateStep {
  readonly arrivals: ArrivalKind
  readonly seed: number
  /** Rates that follow this one without a pause. */
  readonly laterSteps?: readonly RateStep[]
}

/** Seconds from the first to the last planned instant. */
export function plannedSeconds({ durationS, laterSteps = [] }: Pick<ArrivalPlan, 'durationS' | 'laterSteps'>): number {
  return laterSteps.reduce((sum, each) => sum + each.durationS, durationS)
}

/** The planned send times of a run. Two of the same plan are the same, in any thread. */
export class Arrivals {
  readonly #isFixed: boolean
  readonly #random: Random
  readonly #steps: readonly RateStep[]
  #step = 0
  #stepStartUs = 0
  #index = 0
  #atUs = 0

  constructor({ arrivals, seed, ratePerS, durationS, laterSteps = [] }: ArrivalPlan) {
    this.#isFixed = arrivals === 'fixed'
    this.#random = new Random(seed)
    this.#steps = [{ ratePerS, durationS }, ...laterSteps]
  }

  /** The next planned instant in µs after the start, or undefined after the last. */
  next(): number | undefined {
    for (let step = this.#steps[this.#step]; step !== undefined; step = this.#steps[this.#step]) {
      const gapUs = 1e6 / step.ratePerS
      const endUs = this.#stepStartUs + step.durationS * 1e6
      if (this.#isFixed) this.#atUs = this.#stepStartUs + this.#index++ * gapUs
      else this.#atUs += -Math.log(1 - this.#random.unit()) * gapUs
      if (this.#atUs < endUs) return this.#atUs
      // Exponential gaps have no memory: the next step starts at its first instant, not after an old gap.
      this.#atUs = endUs
      this.#stepStartUs = endUs
      this.#index = 0
      this.#step++
    }
    return undefined
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
