import { spawn } from 'node:child_process'
import { createServer } from 'node:http'
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { startReceiver } from '../../test/telemetry/receiver.ts'
import {
  bucketAt,
  busySnapshot,
  identity,
  type Json,
  numberOf,
  type OtlpPoint,
  readAllEmf,
  readCloudWatch,
  readEmf,
  readOtlp,
  readPrometheus,
} from '../../test/telemetry/sink-readers.ts'
import { LIMITS } from '../limits.ts'
import { type CloudMetric, cloudMetrics } from './cloud-metrics.ts'
import { emfLines } from './emf.ts'
import { type ExporterOptions, startExporters } from './exporters.ts'
import { TASK_GAUGES, THREAD_GAUGES } from './gauges.ts'
import { BOUNDS_SECONDS } from './histogram-bounds.ts'
import type { Logger } from './logger.ts'
import { otelSettings } from './otel-settings.ts'
import { prometheusText } from './prometheus.ts'
import { difference, percentile, type Snapshot } from './recorder.ts'
import { COUNTER, COUNTER_SLOTS, cloudName, HISTOGRAMS } from './signals.ts'

const seed = Number(process.env.SEED ?? Date.now() & 0x7fffffff)

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

async function listening(server: Server): Promise<string> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** An endpoint that accepts connections and never says a word. */
async function startBlackhole(): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createTcpServer(socket => sockets.add(socket.on('error', () => undefined)))
  closers.push(() => {
    for (const socket of sockets) socket.destroy()
  })
  return await listening(server)
}

const ENV = ['AWS_ENDPOINT_URL', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'OTEL_EXPORTER_OTLP_ENDPOINT']
const envBefore = ENV.map(name => process.env[name])
process.env.AWS_ACCESS_KEY_ID = 'fake'
process.env.AWS_SECRET_ACCESS_KEY = 'fake'
afterAll(() => {
  ENV.forEach((name, index) => {
    if (envBefore[index] === undefined) delete process.env[name]
    else process.env[name] = envBefore[index]
  })
})

interface Lines {
  readonly log: Logger
  readonly lines: string[]
}

/** Keeps what would be logged; the real logger has tests of its own. */
function keptLog(): Lines {
  const lines: string[] = []
  const keep = (code: string) => void lines.push(code)
  const log = { identity, writeLine: keep, sumUpRepeats: () => undefined, info: keep, warn: keep, error: keep }
  return { lines, log: log as unknown as Logger }
}

function options(given: Partial<ExporterOptions> & Pick<ExporterOptions, 'log' | 'config'>): ExporterOptions {
  const taken = busySnapshot(seed)
  return {
    snapshotNow: () => taken,
    otel: undefined,
    task: undefined,
    startedAtMs: taken.takenAtMs - 60_000,
    onLoss: () => undefined,
    ...given,
  }
}

describe(`exporters (seed ${seed})`, () => {
  test('embedded metrics keep the rules of the format and ours', () => {
    const taken = busySnapshot(seed)
    const lines = emfLines(cloudMetrics(taken, LIMITS.embeddedValuesMax), { identity, takenAtMs: taken.takenAtMs })
    const metrics = readAllEmf(lines)
    expect(metrics.size).toBe(
      COUNTER_SLOTS.length + [TASK_GAUGES, THREAD_GAUGES, HISTOGRAMS].flatMap(Object.keys).length,
    )
    for (const line of lines) expect(JSON.parse(line)).toMatchObject({ ...identity, level: 'info', code: 'metrics' })
  })

  test('more metrics than a line may hold are split, by number and by bytes', () => {
    const counts: CloudMetric[] = Array.from({ length: 250 }, (_, i) => ({ name: `M${i}`, unit: 'Count', data: i }))
    const short = emfLines(counts, { identity, takenAtMs: Date.now() })
    expect(short).toHaveLength(3)
    expect(readAllEmf(short).size).toBe(250)
    const wide = counts.map(({ name }) => ({ name: name.repeat(60), unit: 'Count' as const, data: 1 }))
    const split = emfLines(wide, { identity, takenAtMs: Date.now() })
    expect(split.length).toBeGreaterThan(3)
    expect(readAllEmf(split).size).toBe(250)
  })

  test('a quiet period bills no labelled counter and no histogram, and no number that is none', () => {
    const taken = { ...busySnapshot(seed), gauges: { ready: Number.NaN, lineItems: 0 } }
    const names = cloudMetrics(difference(taken, taken), 100).map(({ name }) => name)
    expect(names).toContain('Bids')
    expect(names).toContain('LineItems')
    for (const name of ['NoBidsPacedOut', 'Responses200', 'RequestTime', 'Ready']) expect(names).not.toContain(name)
  })

  test('counters and gauges are equal in all sinks, percentiles within one bucket', async () => {
    const { url, received, close } = await startReceiver()
    closers.push(close)
    process.env.OTEL_EXPORTER_OTLP_ENDPOINT = url
    process.env.AWS_ENDPOINT_URL = url
    const taken = busySnapshot(seed)
    const { log, lines } = keptLog()
    const otel = otelSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' })
    const shared = { log, snapshotNow: () => taken }
    const task = { taskId: 't-1', availabilityZone: 'eu-west-1a' }
    const first = await startExporters(
      options({ ...shared, otel, task, config: { metricsSink: 'emf', metricsPeriodS: 60 } }),
    )
    await first.stop()
    const second = await startExporters(
      options({ ...shared, config: { metricsSink: 'cloudwatch', metricsPeriodS: 60 } }),
    )
    await second.stop()

    const otlpBody = received.find(({ path }) => path === '/v1/metrics')!.body
    const sinks: Sinks = {
      emf: readAllEmf(lines.filter(line => line.startsWith('{'))),
      cloud: readCloudWatch(received.find(({ path }) => path === '/')!.body),
      prometheus: readPrometheus(prometheusText(taken, identity)),
      otlp: readOtlp(otlpBody),
    }
    expectEqualCounters(taken, sinks)
    expectEqualGauges(taken, sinks)
    expectNearPercentiles(taken, sinks)
    const attributes = JSON.stringify((otlpBody.resourceMetrics as { resource: Json }[])[0]?.resource)
    for (const [key, value] of Object.entries({
      ...{ 'service.name': 'bidcell', 'tenant.id': 'acme', 'tenant.tier': 'gold', 'cloud.region': 'eu-west-1' },
      'cloud.availability_zone': 'eu-west-1a',
    }))
      expect(attributes).toContain(JSON.stringify({ key, value: { stringValue: value } }))
  })

  test.each(['cloudwatch', 'opentelemetry'] as const)(
    'a silent %s endpoint stalls nothing and is counted',
    async sink => {
      const url = await startBlackhole()
      process.env.AWS_ENDPOINT_URL = url
      process.env.OTEL_EXPORTER_OTLP_ENDPOINT = url
      const { log, lines } = keptLog()
      const lost: string[] = []
      const otel =
        sink === 'opentelemetry'
          ? otelSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_METRIC_EXPORT_INTERVAL: '1000' })
          : undefined
      const config = { metricsSink: sink === 'cloudwatch' ? sink : 'none', metricsPeriodS: 1 } as const
      const exporters = await startExporters(options({ log, otel, config, onLoss: name => lost.push(name) }))
      const lag = await lagDuring(3_500)
      const begun = performance.now()
      await exporters.stop()
      expect(performance.now() - begun).toBeLessThan(2_500)
      // A busy machine holds an event loop up by itself; who waited for the endpoint would be held up for seconds.
      expect(lag).toBeLessThan(1_000)
      expect(new Set(lost)).toEqual(new Set([sink]))
      // OpenTelemetry has one log per process, the first one's: it is looked at in processes of their own below.
      if (sink === 'cloudwatch') expect(lines).toContain('report-lost')
    },
  )

  test('an endpoint that refuses, or credentials that do not exist, lose reports and nothing else', async () => {
    process.env.AWS_ENDPOINT_URL = 'http://127.0.0.1:1'
    const { log, lines } = keptLog()
    const lost: string[] = []
    const config = { metricsSink: 'cloudwatch', metricsPeriodS: 60 } as const
    const exporters = await startExporters(options({ log, config, onLoss: sink => lost.push(sink) }))
    await exporters.stop()
    expect(lost).toEqual(['cloudwatch'])
    expect(lines).toContain('report-lost')
  })
})

/** What arrived, by name. */
interface Sinks {
  readonly emf: ReadonlyMap<string, unknown>
  readonly cloud: ReadonlyMap<string, number>
  readonly prometheus: ReadonlyMap<string, number>
  readonly otlp: ReadonlyMap<string, OtlpPoint>
}

function expectEqualCounters(taken: Snapshot, { emf, cloud, prometheus, otlp }: Sinks): void {
  COUNTER_SLOTS.forEach(({ signal, labelValue }, slot) => {
    const count = taken.counters[slot]!
    const suffix = signal.unit === 'bytes' ? '_bytes' : ''
    const label = labelValue === undefined ? '' : `${signal.label?.name}="${labelValue}"`
    expect(emf.get(cloudName(signal, labelValue))).toBe(count)
    expect(cloud.get(cloudName(signal, labelValue))).toBe(count)
    expect(prometheus.get(`bidcell_${signal.name}${suffix}_total{${label}}`)).toBe(count)
    expect(numberOf(otlp.get(`bidcell.${signal.name}{${labelValue ?? ''}}`))).toBe(count)
  })
}

function expectEqualGauges(taken: Snapshot, { emf, cloud, otlp }: Sinks): void {
  for (const [key, signal] of Object.entries(TASK_GAUGES)) {
    const value = taken.gauges[key as keyof typeof TASK_GAUGES]
    expect(emf.get(cloudName(signal))).toBe(value)
    expect(cloud.get(cloudName(signal))).toBe(value)
    expect(numberOf(otlp.get(`bidcell.${signal.name}{}`))).toBe(value)
  }
  for (const [key, signal] of Object.entries(THREAD_GAUGES)) {
    const values = taken.threads.map(thread => thread.values[key as keyof typeof THREAD_GAUGES])
    expect((emf.get(cloudName(signal)) as { Values: number[] }).Values).toEqual([...values].sort((a, b) => a - b))
    expect(numberOf(otlp.get(`bidcell.${signal.name}{bid-2}`))).toBe(values[2])
  }
}

function expectNearPercentiles(taken: Snapshot, { emf, prometheus, otlp }: Sinks): void {
  Object.values(HISTOGRAMS).forEach((signal, index) => {
    const histogram = taken.histograms[index]!
    const point = otlp.get(`bidcell.${signal.name}{}`)!
    expect(point.count).toBe(histogram.count)
    expect(point.sum).toBeCloseTo(histogram.sumNs / 1e9, 6)
    expect(prometheus.get(`bidcell_${signal.name}_seconds_count{}`)).toBe(histogram.count)
    const bounds = [0, ...BOUNDS_SECONDS, Number.POSITIVE_INFINITY]
    for (const share of [0.5, 0.9, 0.99, 0.999]) {
      const exact = percentile(histogram, share)! / 1e9
      const bucket = bucketAt(point.bucketCounts!, share * histogram.count)
      expect(exact).toBeGreaterThanOrEqual(bounds[bucket]!)
      expect(exact).toBeLessThanOrEqual(bounds[bucket + 1]!)
      const below = prometheus.get(`bidcell_${signal.name}_seconds_bucket{le="${BOUNDS_SECONDS[bucket]}"}`)!
      expect(below).toBeGreaterThanOrEqual(Math.ceil(share * histogram.count))
      const { Values, Counts } = emf.get(cloudName(signal)) as { Values: number[]; Counts: number[] }
      const embedded = Values[bucketAt(Counts, share * histogram.count)]! / 1_000
      // At most 100 values: four or eight of the finest buckets in one.
      expect(Math.abs(embedded - exact) / exact).toBeLessThan(0.35)
    }
  })
}

/** The longest lag of the event loop within a time, in ms. */
async function lagDuring(ms: number): Promise<number> {
  let [longest, last] = [0, performance.now()]
  const end = last + ms
  while (last < end) {
    await new Promise(resolve => setTimeout(resolve, 5))
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
  }
  return longest
}

describe('settings', () => {
  test('OpenTelemetry is wanted only where an endpoint is set and it is not disabled', () => {
    expect(otelSettings({})).toBeUndefined()
    expect(otelSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: ' ' })).toBeUndefined()
    expect(otelSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://x', OTEL_SDK_DISABLED: 'TRUE' })).toBeUndefined()
    expect(otelSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://x' })).toEqual({
      protocol: 'http/protobuf',
      exportsMetrics: true,
      exportsTraces: true,
      traceRatio: 0.001,
      periodMs: 60_000,
    })
    expect(otelSettings({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://x' })).toMatchObject({ exportsMetrics: false })
    expect(
      otelSettings({ OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'http://x', OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: 'grpc' }),
    ).toMatchObject({ protocol: 'grpc', exportsMetrics: true })
  })

  test.each([
    [{ OTEL_TRACES_SAMPLER: 'always_on' }, 1],
    [{ OTEL_TRACES_SAMPLER: 'parentbased_always_off' }, 0],
    [{ OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.25' }, 0.25],
    [{ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '7' }, 0.001],
    [{ OTEL_TRACES_SAMPLER_ARG: '0.5' }, 0.5],
    [{ OTEL_TRACES_EXPORTER: 'none', OTEL_TRACES_SAMPLER: 'always_on' }, 0],
    [{ OTEL_TRACES_EXPORTER: 'console', OTEL_TRACES_SAMPLER: 'always_on' }, 0],
  ])('%j traces %d of all requests', (env, ratio) => {
    expect(otelSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://x', ...env })).toMatchObject({ traceRatio: ratio })
  })
})

/** Source of a process that reports every second and stops after `runMs`. */
function reporterSource(given: { readonly metricsSink: string; readonly runMs: number }): string {
  const module = (name: string) => JSON.stringify(new URL(name, import.meta.url).href)
  return `
    import { Logger } from ${module('./logger.ts')}
    import { startExporters } from ${module('./exporters.ts')}
    import { otelSettings } from ${module('./otel-settings.ts')}
    import { createRecorderBlock, Recorder, snapshot } from ${module('./recorder.ts')}
    const block = createRecorderBlock(), recorder = new Recorder(block)
    const clock = { nowMs: () => Date.now(), monotonicMs: () => performance.now() }
    const log = new Logger({ identity: ${JSON.stringify(identity)}, level: 'info', clock })
    const exporters = await startExporters({ config: { metricsSink: '${given.metricsSink}', metricsPeriodS: 1 }, log,
      snapshotNow: () => snapshot({ blocks: [block], gauges: { ready: 1 }, takenAtMs: Date.now() }),
      otel: otelSettings(process.env), task: undefined, startedAtMs: Date.now(), onLoss: () => {} })
    recorder.add(${COUNTER.bids}, 5)
    setTimeout(() => recorder.add(${COUNTER.bids}, 2), ${given.runMs - 200})
    setTimeout(async () => {
      await exporters.stop()
      process.exit((await log.flush(1000)) ? 0 : 9)
    }, ${given.runMs})`
}

/** Runs a source and answers its lines on stdout; it must end with 0. */
async function linesOf(source: string, env: Readonly<Record<string, string>> = {}): Promise<string[]> {
  const args = ['--input-type=module', '-e', source]
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH, ...env },
  })
  let stdout = ''
  child.stdout.setEncoding('utf8').on('data', text => {
    stdout += text
  })
  expect(await new Promise(resolve => child.once('close', resolve))).toBe(0)
  return stdout.trimEnd().split('\n')
}

test('a real process reports every period, and what is left when it stops', async () => {
  const lines = await linesOf(reporterSource({ metricsSink: 'emf', runMs: 1_700 }))
  const reports = lines.map(readEmf)
  expect(reports.map(metrics => metrics.get('Bids'))).toEqual([5, 2])
  expect(reports[0]?.get('Ready')).toBe(1)
})

/** An endpoint for OTLP over gRPC: HTTP/2 without TLS, an empty message and status 0. */
async function startGrpcReceiver(): Promise<{ url: string; paths: string[] }> {
  const paths: string[] = []
  const server = createHttp2Server()
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    paths.push(String(headers[':path']))
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.resume().on('end', () => stream.end(Buffer.alloc(5)))
  })
  return { url: await listening(server), paths }
}

test('OTLP goes by gRPC too, and the SDK prints nothing of its own', async () => {
  const { url, paths } = await startGrpcReceiver()
  const lines = await linesOf(reporterSource({ metricsSink: 'none', runMs: 500 }), {
    OTEL_EXPORTER_OTLP_ENDPOINT: url,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
    OTEL_LOG_LEVEL: 'debug',
  })
  expect(paths).toContain('/opentelemetry.proto.collector.metrics.v1.MetricsService/Export')
  for (const line of lines) expect(JSON.parse(line)).toMatchObject(identity)
  expect(lines).toHaveLength(1)
})

test('OTLP as protobuf is the default', async () => {
  const types: (string | undefined)[] = []
  const server = createServer((request, response) => {
    types.push(`${request.url} ${request.headers['content-type']}`)
    request.resume().on('end', () => response.end())
  })
  const url = await listening(server)
  const lines = await linesOf(reporterSource({ metricsSink: 'none', runMs: 500 }), { OTEL_EXPORTER_OTLP_ENDPOINT: url })
  expect(lines).toHaveLength(1)
  expect(types).toContain('/v1/metrics application/x-protobuf')
})

test('an OTLP endpoint that refuses is a log line', async () => {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1', OTEL_METRIC_EXPORT_INTERVAL: '300' }
  const lines = await linesOf(reporterSource({ metricsSink: 'none', runMs: 700 }), env)
  const records = lines.map(line => JSON.parse(line) as Json)
  for (const record of records) expect(record).toMatchObject(identity)
  expect(records.map(({ code }) => code)).toContain('report-lost')
})
