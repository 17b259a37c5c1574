/** The last minutes, second by second, for people who look at a task. */
import { NO_BID_REASON_NAMES } from '../decision/reasons.ts'
import { difference, percentile, type Snapshot } from './recorder.ts'
import { COUNTER, HISTOGRAM, noBidCounter } from './signals.ts'

/** What happened in one second. */
export interface LiveSecond {
  readonly atMs: number
  readonly bidRequests: number
  readonly impressions: number
  readonly bids: number
  readonly shed: number
  readonly spend: number
  /** By reason; only those that came. */
  readonly noBids: Readonly<Record<string, number>>
  /** Of the time of a bid request; undefined without any. */
  readonly p50Ms: number | undefined
  readonly p99Ms: number | undefined
  readonly memoryPercent: number
}

const SECONDS_KEPT = 300
const NS_PER_MS = 1e6

/** Keeps the last five minutes. Costs some 100 bytes and 50 µs per second. */
export class LiveSeconds {
  readonly #seconds: LiveSecond[] = []
  #before: Snapshot | undefined

  /** Oldest first. */
  get all(): readonly LiveSecond[] {
    return this.#seconds
  }

  /** To be called once a second. @returns what happened since the last call; undefined at the first */
  look(now: Snapshot): LiveSecond | undefined {
    const before = this.#before
    this.#before = now
    if (before === undefined) return undefined
    const second = secondBetween(before, now)
    this.#seconds.push(second)
    if (this.#seconds.length > SECONDS_KEPT) this.#seconds.shift()
    return second
  }
}

function secondBetween(before: Snapshot, now: Snapshot): LiveSecond {
  const { counters, histograms, gauges } = difference(now, before)
  const count = (slot: number) => counters[slot] ?? 0
  const reasons = NO_BID_REASON_NAMES.map((reason, i) => [reason, count(noBidCounter(i))] as const)
  const times = histograms[HISTOGRAM.requestTime]
  const shareMs = (share: number) => {
    const ns = times === undefined ? undefined : percentile(times, share)
    return ns === undefined ? undefined : ns / NS_PER_MS
  }
  return {
    atMs: now.takenAtMs,
    bidRequests: count(COUNTER.bidRequests),
    impressions: count(COUNTER.impressions),
    bids: count(COUNTER.bids),
    shed: shedIn(counters),
    spend: count(COUNTER.spend),
    noBids: Object.fromEntries(reasons.filter(([, n]) => n > 0)),
    p50Ms: shareMs(0.5),
    p99Ms: shareMs(0.99),
    memoryPercent: gauges.memoryUsed ?? 0,
  }
}

function shedIn(counters: Float64Array): number {
  let sum = 0
  for (let slot = COUNTER.shed; slot < COUNTER.callersRefused; slot++) sum += counters[slot] ?? 0
  return sum
}
