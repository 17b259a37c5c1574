/** What each thread measures about itself, the control thread too: event loop, garbage collection, heap. */
import { PerformanceObserver, performance } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'
import { THREAD_GAUGE } from './gauges.ts'
import type { HeapReading } from './memory-watch.ts'
import type { Recorder, Snapshot } from './recorder.ts'
import { HISTOGRAM } from './signals.ts'

/** A running watch. */
export interface ThreadWatch {
  /** Milliseconds by which the event loop came late to the last timer; a request should expect to wait as long. */
  lagMs(): number
  stop(): void
}

/** The lag is sampled this often: 20 wake-ups a second, some 2 µs each. */
const LAG_PERIOD_MS = 50
const GAUGE_PERIOD_MS = 1_000
const NS_PER_MS = 1e6
/** Sinks look once a minute: what happened in any second of it must still be seen. */
const WINDOW_S = 60

/** Durations of the last minute, by the second. */
class LastMinute {
  readonly #longestMs = new Float64Array(WINDOW_S)
  readonly #sumsMs = new Float64Array(WINDOW_S)
  #second = 0

  add(ms: number): void {
    this.#longestMs[this.#second] = Math.max(this.#longestMs[this.#second]!, ms)
    this.#sumsMs[this.#second]! += ms
  }

  get longestMs(): number {
    return Math.max(...this.#longestMs)
  }

  /** Of a minute; of a thread younger than that, too. */
  get share(): number {
    return this.#sumsMs.reduce((sum, ms) => sum + ms, 0) / (WINDOW_S * 1_000)
  }

  turn(): void {
    this.#second = (this.#second + 1) % WINDOW_S
    this.#longestMs[this.#second] = 0
    this.#sumsMs[this.#second] = 0
  }
}

/**
 * Starts measuring this thread into its recorder. Keeps no process alive. One per thread.
 * @param recorder the thread's own.
 */
export function startThreadWatch(recorder: Recorder): ThreadWatch {
  const lag = { lastMs: 0, dueMs: performance.now() + LAG_PERIOD_MS }
  const [lags, collected] = [new LastMinute(), new LastMinute()]
  const lagTimer = setInterval(() => {
    const nowMs = performance.now()
    lag.lastMs = Math.max(0, nowMs - lag.dueMs)
    lags.add(lag.lastMs)
    lag.dueMs = nowMs + LAG_PERIOD_MS
    recorder.time(HISTOGRAM.loopLag, lag.lastMs * NS_PER_MS)
  }, LAG_PERIOD_MS)

  let loopBefore = performance.eventLoopUtilization()
  const setGauges = () => {
    const loopNow = performance.eventLoopUtilization()
    recorder.set(THREAD_GAUGE.loopUtilization, performance.eventLoopUtilization(loopNow, loopBefore).utilization)
    loopBefore = loopNow
    recorder.set(THREAD_GAUGE.loopLagMax, lags.longestMs)
    recorder.set(THREAD_GAUGE.gcPauseMax, collected.longestMs)
    recorder.set(THREAD_GAUGE.gcShare, collected.share)
    for (const each of [lags, collected]) each.turn()
    const heap = getHeapStatistics()
    recorder.set(THREAD_GAUGE.heapUsed, heap.used_heap_size)
    recorder.set(THREAD_GAUGE.heapLimit, heap.heap_size_limit)
    recorder.set(THREAD_GAUGE.externalMemory, heap.external_memory)
  }
  setGauges()
  const gaugeTimer = setInterval(setGauges, GAUGE_PERIOD_MS)

  const collections = new PerformanceObserver(list => {
    for (const { duration } of list.getEntries()) {
      recorder.time(HISTOGRAM.gcPause, duration * NS_PER_MS)
      collected.add(duration)
    }
  })
  collections.observe({ entryTypes: ['gc'] })

  for (const timer of [lagTimer, gaugeTimer]) timer.unref()
  return {
    lagMs: () => lag.lastMs,
    stop: () => {
      for (const timer of [lagTimer, gaugeTimer]) clearInterval(timer)
      collections.disconnect()
    },
  }
}

/** Heaps of the bid threads, out of what they reported about themselves; the first thread is the control thread. */
export function bidHeapsOf(snapshot: Pick<Snapshot, 'threads'>): HeapReading[] {
  return snapshot.threads
    .slice(1)
    .map(({ thread, values }) => ({ thread, usedBytes: values.heapUsed, limitBytes: values.heapLimit }))
}
