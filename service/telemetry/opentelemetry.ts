/**
 * The OpenTelemetry SDK on the control thread, started only where an endpoint is set. Import this file lazily: the SDK
 * costs some 250 ms and 25 MB. It instruments nothing by itself.
 */
import { DiagLogLevel, diag, trace } from '@opentelemetry/api'
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources'
import { type IMetricReader, PeriodicExportingMetricReader, type PushMetricExporter } from '@opentelemetry/sdk-metrics'
import { NodeSDK } from '@opentelemetry/sdk-node'
import { LIMITS } from '../limits.ts'
import type { EcsTask } from './ecs-task.ts'
import type { Identity, Logger } from './logger.ts'
import { snapshotProducer } from './otel-metrics.ts'
import type { OtelSettings, OtlpProtocol } from './otel-settings.ts'
import { TAKE_ALL, TraceIds, writeTrace } from './otel-traces.ts'
import type { Snapshot } from './recorder.ts'
import type { TraceMessage } from './request-tracer.ts'

/** What the SDK needs of us; endpoints, headers and samplers it reads from the standard variables. */
export interface OpenTelemetryOptions {
  readonly settings: OtelSettings
  readonly identity: Identity
  readonly task: EcsTask | undefined
  readonly snapshotNow: () => Snapshot
  /** Since when counters count, wall clock. */
  readonly startedAtMs: number
  readonly log: Logger
  /** Called for each report that was not taken. */
  readonly onLoss: () => void
}

/** The SDK at work. */
export interface OpenTelemetry {
  /** Makes spans of a traced request; they are dropped while 2,048 wait. */
  trace(thread: number, message: TraceMessage): void
  /** Sends a last report; takes 2 s at most. */
  stop(): Promise<void>
}

/** Starts the SDK. */
export async function startOpenTelemetry(options: OpenTelemetryOptions): Promise<OpenTelemetry> {
  const { settings, identity, task, log } = options
  sendDiagnosticsTo(log)
  const ids = new TraceIds()
  const sdk = new NodeSDK({
    metricReaders: settings.exportsMetrics ? [await readerOf(options)] : [],
    logRecordProcessors: [],
    ...(settings.exportsTraces ? { sampler: TAKE_ALL, idGenerator: ids } : { spanProcessors: [] }),
    instrumentations: [],
    resource: defaultResource().merge(resourceFromAttributes(resourceAttributes(identity, task))),
  })
  sdk.start()
  const tracer = trace.getTracer('bidcell')
  return {
    trace: (thread, message) => writeTrace(tracer, ids, thread, message),
    stop: async () => {
      const timeout = new Promise(resolve => setTimeout(resolve, LIMITS.metricsTimeoutMs).unref())
      await Promise.race([sdk.shutdown().catch(() => undefined), timeout])
    },
  }
}

/**
 * The SDK's own complaints become log lines. With OTEL_LOG_LEVEL set it would put a logger of its own in our place and
 * print plain text to stdout, where every line must be ours: so no further logger is taken.
 */
function sendDiagnosticsTo(log: Logger): void {
  const tell = (message: string) => log.warn('report-lost', 'opentelemetry', { fields: { detail: message } })
  const quiet = () => undefined
  const logger = { error: tell, warn: tell, info: quiet, debug: quiet, verbose: quiet }
  diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true })
  diag.setLogger = () => false
}

async function readerOf(options: OpenTelemetryOptions): Promise<IMetricReader> {
  const { settings, snapshotNow, startedAtMs, onLoss } = options
  return new PeriodicExportingMetricReader({
    exporter: countingLosses(await exporterOf(settings.protocol), onLoss),
    exportIntervalMillis: settings.periodMs,
    exportTimeoutMillis: Math.min(LIMITS.metricsTimeoutMs, settings.periodMs),
    metricProducers: [snapshotProducer(snapshotNow, startedAtMs)],
  })
}

async function exporterOf(protocol: OtlpProtocol): Promise<PushMetricExporter> {
  const timeoutMillis = LIMITS.metricsTimeoutMs
  switch (protocol) {
    case 'grpc': {
      const { OTLPMetricExporter } = await import('@opentelemetry/exporter-metrics-otlp-grpc')
      return new OTLPMetricExporter({ timeoutMillis })
    }
    case 'http/json': {
      const { OTLPMetricExporter } = await import('@opentelemetry/exporter-metrics-otlp-http')
      return new OTLPMetricExporter({ timeoutMillis })
    }
    case 'http/protobuf': {
      const { OTLPMetricExporter } = await import('@opentelemetry/exporter-metrics-otlp-proto')
      return new OTLPMetricExporter({ timeoutMillis })
    }
  }
}

/** The same exporter, telling of each report that did not arrive. Result code 0 is success. */
function countingLosses(exporter: PushMetricExporter, onLoss: () => void): PushMetricExporter {
  const exportOnce = exporter.export.bind(exporter)
  exporter.export = (metrics, done) =>
    exportOnce(metrics, result => {
      if (result.code !== 0) onLoss()
      done(result)
    })
  return exporter
}

/** `tenant.*` are our own: the semantic conventions have no general attribute for a tenant. */
function resourceAttributes(identity: Identity, task: EcsTask | undefined): Record<string, string> {
  const attributes = {
    'service.name': 'bidcell',
    'tenant.id': identity.tenant_id,
    'tenant.tier': identity.tier_id,
    'cloud.region': identity.region,
    'cloud.availability_zone': task?.availabilityZone,
    'cloud.platform': task === undefined ? undefined : 'aws_ecs',
    'cloud.provider': task === undefined ? undefined : 'aws',
    // arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID
    'cloud.account.id': task?.taskArn?.split(':')[4],
    'cloud.resource_id': task?.taskArn,
    'aws.ecs.container.arn': task?.containerArn,
    'aws.ecs.task.arn': task?.taskArn,
    'aws.ecs.task.id': task?.taskId,
    'aws.ecs.task.family': task?.family,
    'aws.ecs.task.revision': task?.revision,
    'aws.ecs.cluster.arn': task?.cluster?.startsWith('arn:') ? task.cluster : undefined,
    'aws.ecs.launchtype': task?.launchType?.toLowerCase(),
  }
  const known = Object.entries(attributes).filter(([, value]) => value !== undefined)
  return Object.fromEntries(known) as Record<string, string>
}
