/** What each thread measures about itself, the control thread too: event loop, garbage collection, heap. */
import { PerformanceObserver, performance } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'
import type { HeapReading } from './memory-watch.ts'
import type { Recorder, Snapshot } from './recorder.ts'
import { HISTOGRAM, THREAD_GAUGE } from './signals.ts'

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

/**
 * Starts measuring this thread into its recorder. Keeps no process alive. One per thread.
 * @param recorder the thread's own.
 */
export function startThreadWatch(recorder: Recorder): ThreadWatch {
  const lag = { lastMs: 0, maxMs: 0, dueMs: performance.now() + LAG_PERIOD_MS }
  const lagTimer = setInterval(() => {
    const nowMs = performance.now()
    lag.lastMs = Math.max(0, nowMs - lag.dueMs)
    lag.maxMs = Math.max(lag.maxMs, lag.lastMs)
    lag.dueMs = nowMs + LAG_PERIOD_MS
    recorder.time(HISTOGRAM.loopLag, lag.lastMs * NS_PER_MS)
  }, LAG_PERIOD_MS)

  let loopBefore = performance.eventLoopUtilization()
  const setGauges = () => {
    const loopNow = performance.eventLoopUtilization()
    recorder.set(THREAD_GAUGE.loopUtilization, performance.eventLoopUtilization(loopNow, loopBefore).utilization)
    loopBefore = loopNow
    recorder.set(THREAD_GAUGE.loopLagMax, lag.maxMs)
    lag.maxMs = 0
    const heap = getHeapStatistics()
    recorder.set(THREAD_GAUGE.heapUsed, heap.used_heap_size)
    recorder.set(THREAD_GAUGE.heapLimit, heap.heap_size_limit)
  }
  setGauges()
  const gaugeTimer = setInterval(setGauges, GAUGE_PERIOD_MS)

  const collections = new PerformanceObserver(list => {
    for (const { duration } of list.getEntries()) recorder.time(HISTOGRAM.gcPause, duration * NS_PER_MS)
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
