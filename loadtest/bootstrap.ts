import type { Random } from '../service/foundation/random.ts'
import { Histogram } from './histogram.ts'

/** A difference in µs, or a ratio, with its 95 % confidence interval. */
export interface Difference {
  readonly estimate: number
  readonly low: number
  readonly high: number
}

/** Two arms of one interleaved round. */
export interface Round {
  readonly treated: Histogram
  readonly control: Histogram
}

const RESAMPLES = 1_000

/**
 * By how much a percentile of the treated arm exceeds that of the control arm, all rounds pooled. The interval is a
 * bootstrap over rounds, which keeps what a round's two windows share (the state of the machine) together.
 * Cost: RESAMPLES × rounds.
 */
export function percentileDifference(rounds: readonly Round[], percent: number, random: Random): Difference {
  return bootstrapped(rounds, sample => differenceOf(sample, percent), random)
}

/** Geometric mean of ratios, one per round, with its interval by a bootstrap over them. */
export function meanRatio(ratios: readonly number[], random: Random): Difference {
  const logs = ratios.map(Math.log)
  return bootstrapped(logs, sample => Math.exp(sample.reduce((sum, each) => sum + each, 0) / sample.length), random)
}

function bootstrapped<T>(
  rounds: readonly T[],
  statistic: (sample: readonly T[]) => number,
  random: Random,
): Difference {
  const estimate = statistic(rounds)
  const resampled: number[] = []
  for (let i = 0; i < RESAMPLES; i++) resampled.push(statistic(Array.from(rounds, () => random.pick(rounds))))
  resampled.sort((a, b) => a - b)
  const at = (share: number) => resampled[Math.min(RESAMPLES - 1, Math.floor(share * RESAMPLES))] ?? estimate
  return { estimate, low: at(0.025), high: at(0.975) }
}

function differenceOf(rounds: readonly Round[], percent: number): number {
  const treated = new Histogram()
  const control = new Histogram()
  for (const round of rounds) {
    treated.add(round.treated)
    control.add(round.control)
  }
  return treated.percentile(percent) - control.percentile(percent)
}
