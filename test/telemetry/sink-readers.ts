/** Reads what the exporters send, as strictly as the real receivers do. */
import { Ajv } from 'ajv'
import { expect } from 'vitest'
import { Random } from '../../service/foundation/random.ts'
import { LIMITS } from '../../service/limits.ts'
import { DIMENSIONS } from '../../service/telemetry/emf.ts'
import { TASK_GAUGES, THREAD_GAUGE } from '../../service/telemetry/gauges.ts'
import { createRecorderBlock, Recorder, type Snapshot, snapshot } from '../../service/telemetry/recorder.ts'
import { COUNTER_SLOTS, HISTOGRAM } from '../../service/telemetry/signals.ts'

/** Whose metrics the readers expect. */
export const identity = { tenant_id: 'acme', tier_id: 'gold', region: 'eu-west-1', task_id: 't-1' }

/** A task of three threads after some time: every column counted, every histogram wide. */
export function busySnapshot(seed: number): Snapshot {
  const random = new Random(seed)
  const blocks = Array.from({ length: 3 }, createRecorderBlock)
  for (const block of blocks) {
    const recorder = new Recorder(block)
    for (const slot of COUNTER_SLOTS.keys()) recorder.add(slot, random.between(1, 1e9))
    for (const gauge of Object.values(THREAD_GAUGE)) recorder.set(gauge, random.unit() * 1e6)
    for (const histogram of Object.values(HISTOGRAM))
      for (let i = 0; i < 5_000; i++) recorder.time(histogram, 200 * Math.exp(random.unit() * 18))
  }
  const gauges = Object.fromEntries(Object.keys(TASK_GAUGES).map(key => [key, random.between(0, 1e9)]))
  return snapshot({ blocks, gauges, takenAtMs: Date.now() })
}

/** Some JSON object. */
export type Json = Readonly<Record<string, unknown>>

/** The schema of the embedded metric format's specification, as far as it binds us, with today's limits. */
const isEmf = new Ajv({ allowUnionTypes: true }).compile({
  type: 'object',
  required: ['_aws'],
  properties: {
    _aws: {
      type: 'object',
      required: ['Timestamp', 'CloudWatchMetrics'],
      properties: {
        Timestamp: { type: 'integer', minimum: 1_600_000_000_000 },
        CloudWatchMetrics: {
          type: 'array',
          items: {
            type: 'object',
            additionalProperties: false,
            required: ['Namespace', 'Dimensions', 'Metrics'],
            properties: {
              Namespace: { type: 'string', minLength: 1, maxLength: 1_024 },
              Dimensions: {
                type: 'array',
                minItems: 1,
                items: { type: 'array', minItems: 1, maxItems: 30, items: { type: 'string', maxLength: 250 } },
              },
              Metrics: {
                type: 'array',
                minItems: 1,
                maxItems: 100,
                items: {
                  type: 'object',
                  additionalProperties: false,
                  required: ['Name'],
                  properties: {
                    Name: { type: 'string', minLength: 1, maxLength: 1_024 },
                    Unit: { enum: ['Count', 'Bytes', 'Percent', 'Seconds', 'Milliseconds', 'None'] },
                  },
                },
              },
            },
          },
        },
      },
    },
  },
})

interface Directive {
  readonly Namespace: string
  readonly Dimensions: readonly (readonly string[])[]
  readonly Metrics: readonly { readonly Name: string }[]
}

/** Checks one line as CloudWatch does and answers its metrics by name. */
export function readEmf(line: string): Map<string, unknown> {
  expect(Buffer.byteLength(`${line}\n`)).toBeLessThanOrEqual(LIMITS.logLineBytesMax)
  const json = JSON.parse(line) as Json
  expect(isEmf(json), JSON.stringify(isEmf.errors)).toBe(true)
  const [directive, ...others] = (json._aws as { CloudWatchMetrics: Directive[] }).CloudWatchMetrics
  expect(others).toEqual([])
  expect(directive).toMatchObject({ Namespace: 'Bidcell', Dimensions: [DIMENSIONS] })
  for (const dimension of DIMENSIONS) expect(json[dimension]).toBeTypeOf('string')
  const names = directive!.Metrics.map(({ Name }) => Name)
  expect(new Set(names).size).toBe(names.length)
  for (const name of names) expect(isEmfValue(json[name]), `${name} ${JSON.stringify(json[name])}`).toBe(true)
  return new Map(names.map(name => [name, json[name]]))
}

function isEmfValue(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value)
  const { Values, Counts, Count } = value as { Values: number[]; Counts: number[]; Count: number }
  const isNumbers = [...Values, ...Counts].every(number => Number.isFinite(number))
  const isComplete = Values.length === Counts.length && Counts.reduce((sum, n) => sum + n, 0) === Count
  return isNumbers && isComplete && Values.length > 0 && Values.length <= 100
}

/** The metrics of several lines by name. */
export function readAllEmf(lines: readonly string[]): Map<string, unknown> {
  return new Map(lines.flatMap(line => [...readEmf(line)]))
}

/** Numbers by series, such as `bidcell_bids_total{}`; the identity's labels are checked and left out. */
export function readPrometheus(text: string): Map<string, number> {
  const series = new Map<string, number>()
  for (const line of text.trimEnd().split('\n')) {
    if (/^# (HELP|TYPE) bidcell_[a-z0-9_]+ /.test(line)) continue
    const match = /^(bidcell_[a-z0-9_]+)\{tenant_id="acme",tier_id="gold",region="eu-west-1",?([^}]*)\} (\S+)$/.exec(
      line,
    )
    expect(match, line).not.toBeNull()
    series.set(`${match![1]}{${match![2]}}`, Number(match![3]))
  }
  return series
}

/** One point of a metric as OTLP carries it. */
export interface OtlpPoint {
  readonly asDouble?: number
  readonly asInt?: number
  readonly count?: number
  readonly sum?: number
  readonly bucketCounts?: readonly number[]
  readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue: string } }[]
}

/** Points by metric and attribute values. */
export function readOtlp(body: Json): Map<string, OtlpPoint> {
  const points = new Map<string, OtlpPoint>()
  const [resource] = body.resourceMetrics as { scopeMetrics: { metrics: Json[] }[] }[]
  for (const metric of resource!.scopeMetrics.flatMap(({ metrics }) => metrics)) {
    const data = (metric.sum ?? metric.gauge ?? metric.histogram) as { dataPoints: OtlpPoint[] }
    for (const point of data.dataPoints)
      points.set(`${metric.name}{${point.attributes.map(({ value }) => value.stringValue).join()}}`, point)
  }
  return points
}

/** The number of a point that is no histogram. */
export function numberOf(point: OtlpPoint | undefined): number {
  return Number(point?.asDouble ?? point?.asInt)
}

/** Checks a PutMetricData call as CloudWatch does and answers its single values by name. */
export function readCloudWatch(body: Json): Map<string, number> {
  expect(body.Namespace).toBe('Bidcell')
  const data = body.MetricData as {
    MetricName: string
    Value?: number
    Values?: number[]
    Counts?: number[]
    Dimensions: Json[]
  }[]
  expect(data.length).toBeLessThanOrEqual(LIMITS.cloudWatchMetricsMax)
  for (const { Dimensions, Values, Counts } of data) {
    expect(Dimensions.map(({ Name }) => Name)).toEqual(DIMENSIONS)
    expect(Values?.length ?? 0).toBeLessThanOrEqual(LIMITS.cloudWatchValuesMax)
    expect(Counts?.length).toBe(Values?.length)
  }
  return new Map(data.map(({ MetricName, Value }) => [MetricName, Value ?? Number.NaN]))
}

/** The bucket in which the value of a rank lies. */
export function bucketAt(counts: readonly number[], rank: number): number {
  let seen = 0
  return counts.findIndex(count => {
    seen += count
    return seen >= Math.ceil(rank)
  })
}
