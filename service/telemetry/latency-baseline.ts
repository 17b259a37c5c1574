/**
 * What response times usually are. CloudWatch can compare a metric with another one but not with its own past, so an
 * alarm at twice the baseline needs the baseline as a metric.
 */
import { difference, percentile, type Snapshot, type TaskGauges } from './recorder.ts'
import { HISTOGRAM } from './signals.ts'

/** It looks so often. */
export const BASELINE_PERIOD_MS = 60_000
/** Of fewer requests a 95th percentile is chance. */
const REQUESTS_MIN = 100
/** A minute counts for so little that 5 bad ones move it by a twelfth, and that it follows within hours. */
const WEIGHT = 1 / 60
/** A minute counts as no worse than this many times the baseline: an incident must not become the norm at once. */
const FACTOR_MAX = 2
const NS_PER_MS = 1e6

/** A mean of the 95th percentiles of minutes. Changed by `look` alone. */
export class LatencyBaseline {
  #before: Snapshot | undefined
  #p95Ms: number | undefined
  #baselineMs: number | undefined

  /** Takes in the time since the last look. */
  look(taken: Snapshot): void {
    const minute = difference(taken, this.#before).histograms[HISTOGRAM.requestTime]
    this.#before = taken
    if (minute === undefined || minute.count < REQUESTS_MIN) return
    const p95Ms = (percentile(minute, 0.95) ?? 0) / NS_PER_MS
    const baselineMs = this.#baselineMs ?? p95Ms
    this.#p95Ms = p95Ms
    this.#baselineMs = baselineMs + (Math.min(p95Ms, FACTOR_MAX * baselineMs) - baselineMs) * WEIGHT
  }

  /** Both, once they are known. */
  get gauges(): TaskGauges {
    if (this.#p95Ms === undefined || this.#baselineMs === undefined) return {}
    return { requestTimeP95: this.#p95Ms, requestTimeBaseline: this.#baselineMs }
  }
}
