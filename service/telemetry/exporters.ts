/** All ways out for metrics behind one port. Each takes snapshots from the same source; none can hold up another. */
import { randomInt } from 'node:crypto'
import { LIMITS } from '../limits.ts'
import { cloudMetrics } from './cloud-metrics.ts'
import { type CloudWatchSink, createCloudWatchSink } from './cloudwatch.ts'
import type { EcsTask } from './ecs-task.ts'
import { emfLines } from './emf.ts'
import type { Logger } from './logger.ts'
import type { OtelSettings } from './otel-settings.ts'
import { difference, type Snapshot } from './recorder.ts'
import type { TraceMessage } from './request-tracer.ts'
import type { MetricSink } from './signals.ts'

/** What the exporters need. */
export interface ExporterOptions {
  /** METRICS_SINK and METRICS_PERIOD_S. */
  readonly config: { readonly metricsSink: 'emf' | 'cloudwatch' | 'none'; readonly metricsPeriodS: number }
  readonly snapshotNow: () => Snapshot
  readonly log: Logger
  /** From otelSettings; undefined: not wanted, and nothing of it is loaded. */
  readonly otel: OtelSettings | undefined
  readonly task: EcsTask | undefined
  /** Since when counters count, wall clock. */
  readonly startedAtMs: number
  /** Called for each report that a sink did not take. */
  readonly onLoss: (sink: MetricSink) => void
}

/** Running exporters. */
export interface Exporters {
  /** Takes a traced request; goes nowhere without OpenTelemetry. */
  trace(thread: number, message: TraceMessage): void
  /** Sends what is left and stops. Takes 2 s at most; never throws. */
  stop(): Promise<void>
}

/** Starts the configured exporters. One that cannot start says so in the log; the service goes on without it. */
export async function startExporters(options: ExporterOptions): Promise<Exporters> {
  const { config, log, otel } = options
  const starts: Promise<Exporter>[] = []
  if (config.metricsSink === 'emf') starts.push(startEmf(options))
  if (config.metricsSink === 'cloudwatch') starts.push(startCloudWatch(options))
  if (otel !== undefined) starts.push(startOtel(options, otel))
  const running: Exporter[] = []
  for (const started of await Promise.allSettled(starts)) {
    if (started.status === 'fulfilled') running.push(started.value)
    else log.error('report-lost', 'a metric exporter could not start', { error: started.reason })
  }
  return {
    trace: (thread, message) => {
      for (const exporter of running) exporter.trace?.(thread, message)
    },
    stop: async () => {
      await Promise.allSettled(running.map(exporter => exporter.stop()))
    },
  }
}

/** One way out. */
type Exporter = Pick<Exporters, 'stop'> & Partial<Pick<Exporters, 'trace'>>

async function startEmf({ config, snapshotNow, log }: ExporterOptions): Promise<Exporter> {
  let before: Snapshot | undefined
  const report = () => {
    const taken = snapshotNow()
    const metrics = cloudMetrics(difference(taken, before), LIMITS.embeddedValuesMax)
    before = taken
    for (const line of emfLines(metrics, { identity: log.identity, takenAtMs: taken.takenAtMs })) log.writeLine(line)
    log.sumUpRepeats()
  }
  const timer = setInterval(report, config.metricsPeriodS * 1_000)
  timer.unref()
  return {
    stop: async () => {
      clearInterval(timer)
      report()
    },
  }
}

async function startCloudWatch(options: ExporterOptions): Promise<Exporter> {
  const { config, log } = options
  const sink = await createCloudWatchSink(log.identity)
  log.info('exporter-started', 'cloudwatch')
  const report = reporterOf(options, sink)
  const periodMs = config.metricsPeriodS * 1_000
  // All callers of an account share one quota: tasks that start together must not call together ever after.
  let timer = setTimeout(
    () => {
      void report()
      timer = setInterval(() => void report(), periodMs)
      timer.unref()
    },
    randomInt(1, periodMs),
  )
  timer.unref()
  return {
    stop: async () => {
      clearTimeout(timer)
      await report()
      sink.stop()
    },
  }
}

function reporterOf(options: ExporterOptions, sink: CloudWatchSink): () => Promise<void> {
  const { snapshotNow, log, onLoss } = options
  let before: Snapshot | undefined
  return async () => {
    const taken = snapshotNow()
    const metrics = cloudMetrics(difference(taken, before), LIMITS.cloudWatchValuesMax)
    // A report that is lost stays lost: sent later it would be counted in the wrong minute.
    before = taken
    log.sumUpRepeats()
    const sent = await sink.send(metrics, taken.takenAtMs)
    if (sent === true) return
    onLoss('cloudwatch')
    log.warn('report-lost', 'cloudwatch did not take a report', { error: sent.problem })
  }
}

async function startOtel(options: ExporterOptions, settings: OtelSettings): Promise<Exporter> {
  const { startOpenTelemetry } = await import('./opentelemetry.ts')
  const { log, onLoss } = options
  const running = await startOpenTelemetry({
    settings,
    identity: log.identity,
    task: options.task,
    snapshotNow: options.snapshotNow,
    startedAtMs: options.startedAtMs,
    log,
    onLoss: () => onLoss('opentelemetry'),
  })
  const { protocol, traceRatio: trace_ratio } = settings
  log.info('exporter-started', 'opentelemetry', { fields: { protocol, trace_ratio } })
  return running
}
