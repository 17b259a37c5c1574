/**
 * A snapshot as OpenTelemetry metric data. Handed to the SDK's reader as finished data: instruments would count a
 * second time, and none of them takes a histogram that is already made.
 */
import { type HrTime, ValueType } from '@opentelemetry/api'
import { emptyResource } from '@opentelemetry/resources'
import {
  AggregationTemporality,
  type DataPoint,
  DataPointType,
  type MetricData,
  type MetricProducer,
} from '@opentelemetry/sdk-metrics'
import { TASK_GAUGES, THREAD_GAUGES } from './gauges.ts'
import { BOUNDS_SECONDS, coarseCounts } from './histogram-bounds.ts'
import type { Snapshot, SnapshotHistogram } from './recorder.ts'
import { COUNTER_SLOTS, COUNTERS, HISTOGRAMS, type Signal, type Unit } from './signals.ts'

/** UCUM codes. */
const UCUM: Readonly<Record<Unit, string>> = {
  count: '1',
  bytes: 'By',
  percent: '%',
  ratio: '1',
  seconds: 's',
  milliseconds: 'ms',
  none: '1',
}

/** Answers each collection from one snapshot. @param startedAtMs since when counters count, wall clock. */
export function snapshotProducer(snapshotNow: () => Snapshot, startedAtMs: number): MetricProducer {
  return {
    collect: async () => ({
      // The reader puts the SDK's own resource in its place.
      resourceMetrics: {
        resource: emptyResource(),
        scopeMetrics: [{ scope: { name: 'bidcell' }, metrics: otelMetrics(snapshotNow(), startedAtMs) }],
      },
      errors: [],
    }),
  }
}

/** All signals since `startedAtMs`, cumulative. */
function otelMetrics(taken: Snapshot, startedAtMs: number): MetricData[] {
  const span = { startTime: hrTimeOf(startedAtMs), endTime: hrTimeOf(taken.takenAtMs) }
  const point = (value: number, attributes: Record<string, string> = {}): DataPoint<number> => ({
    ...span,
    attributes,
    value,
  })
  const counters = Object.entries<Signal>(COUNTERS).map(([key, signal]) => {
    const points = COUNTER_SLOTS.flatMap((slot, index) => {
      if (slot.key !== key) return []
      const { label } = signal
      return [point(taken.counters[index]!, label === undefined ? {} : { [label.name]: slot.labelValue ?? '' })]
    })
    return sumOf(signal, points)
  })
  const taskGauges = Object.entries<Signal>(TASK_GAUGES).flatMap(([key, signal]) => {
    const value = taken.gauges[key as keyof typeof TASK_GAUGES]
    return value === undefined ? [] : [gaugeOf(signal, [point(value)])]
  })
  const threadGauges = Object.entries<Signal>(THREAD_GAUGES).map(([key, signal]) =>
    gaugeOf(
      signal,
      taken.threads.map(({ thread, values }) => point(values[key as keyof typeof THREAD_GAUGES], { thread })),
    ),
  )
  const histograms = Object.values(HISTOGRAMS).map((signal, index) =>
    histogramOf(signal, { ...span, attributes: {}, value: histogramValue(taken.histograms[index]!) }),
  )
  return [...counters, ...taskGauges, ...threadGauges, ...histograms]
}

function sumOf(signal: Signal, dataPoints: DataPoint<number>[]): MetricData {
  return { ...baseOf(signal), dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints }
}

function gaugeOf(signal: Signal, dataPoints: DataPoint<number>[]): MetricData {
  return { ...baseOf(signal), dataPointType: DataPointType.GAUGE, dataPoints }
}

type HistogramValue = Extract<MetricData, { dataPointType: DataPointType.HISTOGRAM }>['dataPoints'][number]

function histogramOf(signal: Signal, dataPoint: HistogramValue): MetricData {
  return { ...baseOf(signal), dataPointType: DataPointType.HISTOGRAM, dataPoints: [dataPoint] }
}

function histogramValue(histogram: SnapshotHistogram): HistogramValue['value'] {
  return {
    buckets: { boundaries: [...BOUNDS_SECONDS], counts: coarseCounts(histogram) },
    sum: histogram.sumNs / 1e9,
    count: histogram.count,
  }
}

function baseOf(signal: Signal) {
  return {
    descriptor: {
      name: `bidcell.${signal.name}`,
      description: signal.meaning,
      unit: UCUM[signal.unit],
      valueType: ValueType.DOUBLE,
    },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  }
}

/** Wall clock ms as OpenTelemetry's seconds and nanoseconds. */
export function hrTimeOf(ms: number): HrTime {
  return [Math.floor(ms / 1_000), Math.round((ms % 1_000) * 1e6)]
}
