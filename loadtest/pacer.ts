/**
 * Worker thread that wakes the open-loop driver at each planned instant. Timers of the event loop have a resolution of
 * 1 ms and would bunch the requests; this thread sleeps on a futex instead, which is exact to about 0.1 ms.
 */
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { type ArrivalPlan, Arrivals, monotonicUs } from './arrivals.ts'

/** What the driver hands to the pacer. */
export interface PacerStart {
  readonly plan: ArrivalPlan
  /** Wakes for several arrivals at once, this far apart; 0 for each of its own. */
  readonly gridUs: number
  /** Element 0: the start on monotonicUs, once WORDS.started is 1. */
  readonly startUs: Float64Array
  readonly words: Int32Array
}

/** Words that driver and pacer share. */
export const WORDS = {
  /** 1 while a wake-up is under way, so that a busy driver is not flooded. */
  woken: 0,
  /** 1 once the start is known. */
  started: 1,
  /** 1 to stop. */
  stopped: 2,
  /** Never changes: to sleep on. */
  sleep: 3,
} as const

const SLICE_US = 200_000
/** Linux adds 50 µs of timer slack to every sleep. */
const OVERSLEEP_US = 60

function pace({ plan, gridUs, startUs, words }: PacerStart): void {
  parentPort?.postMessage('ready')
  Atomics.wait(words, WORDS.started, 0)
  const arrivals = new Arrivals(plan)
  const start = startUs[0] ?? 0
  let wokenUs = -1
  for (let at = arrivals.next(); at !== undefined; at = arrivals.next()) {
    if (at <= wokenUs) continue
    wokenUs = gridUs > 0 ? Math.ceil(at / gridUs) * gridUs : at
    for (;;) {
      if (Atomics.load(words, WORDS.stopped) === 1) return
      const waitUs = start + wokenUs - monotonicUs()
      if (waitUs <= 0) break
      // In slices, so that a stop is seen soon. The last moment is spent spinning: a futex would oversleep it.
      const sleepUs = Math.min(waitUs, SLICE_US) - OVERSLEEP_US
      if (sleepUs > 0) Atomics.wait(words, WORDS.sleep, 0, sleepUs / 1e3)
    }
    if (Atomics.exchange(words, WORDS.woken, 1) === 0) parentPort?.postMessage('due')
  }
  parentPort?.postMessage('due')
}

if (!isMainThread) pace(workerData as PacerStart)
