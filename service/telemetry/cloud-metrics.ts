/**
 * A snapshot as CloudWatch sees it: what happened in one period, each signal and label value a metric of its own.
 * The embedded format and the API both send exactly these.
 */
import { assert } from '../foundation/assert.ts'
import { TASK_GAUGES, THREAD_GAUGES } from './gauges.ts'
import { bucketMiddleNs, bucketStartNs, type Snapshot, type SnapshotHistogram } from './recorder.ts'
import { COUNTER_SLOTS, cloudName, HISTOGRAMS, type Signal, type Unit } from './signals.ts'

/** CloudWatch's words for units. */
export type CloudUnit = 'Count' | 'Bytes' | 'Percent' | 'Seconds' | 'Milliseconds' | 'None'

/** Values with how often each came; percentiles can be taken from them. */
export interface Distribution {
  /** In the metric's unit, growing. */
  readonly values: readonly number[]
  /** As many as values, each above 0. */
  readonly counts: readonly number[]
  readonly sum: number
}

/** One metric of one period: one value, or a distribution. */
export interface CloudMetric {
  readonly name: string
  readonly unit: CloudUnit
  readonly data: number | Distribution
}

const CLOUD_UNITS: Readonly<Record<Unit, CloudUnit>> = {
  count: 'Count',
  bytes: 'Bytes',
  percent: 'Percent',
  ratio: 'None',
  seconds: 'Seconds',
  milliseconds: 'Milliseconds',
  none: 'None',
}
const NS_PER_MS = 1e6
/** CloudWatch refuses numbers beyond 2^360; those nearer to 0 than 2^-360 too, but 0 is fine. */
const VALUE_MAX = 2 ** 360

/**
 * All metrics of a period. A counter with a label is left out while it is 0: each one is billed. A histogram without
 * values is left out, and so is a number that is none.
 * @param period a difference of two snapshots.
 * @param valuesMax most values of one distribution; finer buckets are joined.
 */
export function cloudMetrics(period: Snapshot, valuesMax: number): CloudMetric[] {
  const metrics: CloudMetric[] = []
  COUNTER_SLOTS.forEach(({ signal, labelValue }, slot) => {
    const count = period.counters[slot]!
    if (labelValue !== undefined && count === 0) return
    metrics.push({ name: cloudName(signal, labelValue), unit: CLOUD_UNITS[signal.unit], data: count })
  })
  for (const [key, signal] of Object.entries(TASK_GAUGES)) {
    const value = period.gauges[key as keyof typeof TASK_GAUGES]
    if (value !== undefined) metrics.push({ name: cloudName(signal), unit: CLOUD_UNITS[signal.unit], data: value })
  }
  for (const [key, signal] of Object.entries(THREAD_GAUGES)) {
    const values = period.threads.map(thread => thread.values[key as keyof typeof THREAD_GAUGES])
    metrics.push({ name: cloudName(signal), unit: CLOUD_UNITS[signal.unit], data: distributionOf(values) })
  }
  Object.values(HISTOGRAMS).forEach((signal: Signal, index) => {
    const histogram = period.histograms[index]!
    if (histogram.count === 0) return
    // People and alarms speak of milliseconds here; CloudWatch does not convert.
    metrics.push({ name: cloudName(signal), unit: 'Milliseconds', data: joinedBuckets(histogram, valuesMax) })
  })
  return metrics.filter(({ data }) => isPublishable(data))
}

function isPublishable(data: CloudMetric['data']): boolean {
  const isGood = (value: number) => Number.isFinite(value) && Math.abs(value) < VALUE_MAX
  return typeof data === 'number' ? isGood(data) : data.values.length > 0 && data.values.every(isGood)
}

function distributionOf(values: readonly number[]): Distribution {
  const counts = new Map<number, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  const sorted = [...counts].sort(([a], [b]) => a - b)
  return {
    values: sorted.map(([value]) => value),
    counts: sorted.map(([, count]) => count),
    sum: values.reduce((sum, value) => sum + value, 0),
  }
}

/** Non-empty buckets in ms; neighbours are joined 2, 4, 8 … at a time until they fit. */
function joinedBuckets(histogram: SnapshotHistogram, valuesMax: number): Distribution {
  for (let width = 1; width <= histogram.buckets.length; width *= 2) {
    const { values, counts } = bucketsOfWidth(histogram, width)
    if (values.length <= valuesMax) return { values, counts, sum: histogram.sumNs / NS_PER_MS }
  }
  assert(false, 'all buckets in one always fit', { valuesMax })
}

function bucketsOfWidth({ buckets }: SnapshotHistogram, width: number): Pick<Distribution, 'values' | 'counts'> {
  const values: number[] = []
  const counts: number[] = []
  for (let first = 0; first < buckets.length; first += width) {
    let count = 0
    for (let bucket = first; bucket < first + width && bucket < buckets.length; bucket++) count += buckets[bucket]!
    if (count <= 0) continue
    const middleNs = width === 1 ? bucketMiddleNs(first) : (bucketStartNs(first) + bucketStartNs(first + width)) / 2
    values.push(middleNs / NS_PER_MS)
    counts.push(count)
  }
  return { values, counts }
}
