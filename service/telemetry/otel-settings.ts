/** Whether OpenTelemetry is wanted, from the standard OTEL_* variables. The SDK itself reads the rest of them. */

/** How metrics travel. */
export type OtlpProtocol = 'grpc' | 'http/protobuf' | 'http/json'

/** What the standard variables say, as far as it is decided here. */
export interface OtelSettings {
  readonly protocol: OtlpProtocol
  /** False when only traces have an endpoint, or OTEL_METRICS_EXPORTER is none. */
  readonly exportsMetrics: boolean
  /** False when only metrics have an endpoint, or OTEL_TRACES_EXPORTER is anything but otlp. */
  readonly exportsTraces: boolean
  /** Share of the bid requests that are traced, from 0 to 1. */
  readonly traceRatio: number
  readonly periodMs: number
}

const PROTOCOLS: readonly OtlpProtocol[] = ['grpc', 'http/protobuf', 'http/json']
const PERIOD_MS = 60_000
/** One request in a thousand, where OTEL_TRACES_SAMPLER does not say. */
const TRACE_RATIO = 0.001

/**
 * Reads the decision from an environment.
 * @returns undefined unless an OTLP endpoint is set and OTEL_SDK_DISABLED is not true: then nothing is loaded.
 */
export function otelSettings(env: Readonly<Record<string, string | undefined>>): OtelSettings | undefined {
  const set = (name: string) => (env[name]?.trim() === '' ? undefined : env[name]?.trim())
  if (set('OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return undefined
  const everything = set('OTEL_EXPORTER_OTLP_ENDPOINT')
  const metrics = everything ?? set('OTEL_EXPORTER_OTLP_METRICS_ENDPOINT')
  const traces = everything ?? set('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT')
  if ((metrics ?? traces) === undefined) return undefined
  const exportsTraces = traces !== undefined && (set('OTEL_TRACES_EXPORTER') ?? 'otlp') === 'otlp'
  const given = set('OTEL_EXPORTER_OTLP_METRICS_PROTOCOL') ?? set('OTEL_EXPORTER_OTLP_PROTOCOL')
  const periodMs = Number(set('OTEL_METRIC_EXPORT_INTERVAL') ?? PERIOD_MS)
  return {
    // The specification's default, also where the value is unknown.
    protocol: PROTOCOLS.find(protocol => protocol === given) ?? 'http/protobuf',
    exportsMetrics: metrics !== undefined && set('OTEL_METRICS_EXPORTER') !== 'none',
    exportsTraces,
    traceRatio: exportsTraces ? traceRatio(set('OTEL_TRACES_SAMPLER'), set('OTEL_TRACES_SAMPLER_ARG')) : 0,
    periodMs: Number.isInteger(periodMs) && periodMs > 0 ? periodMs : PERIOD_MS,
  }
}

/** `parentbased_…` is as without: what a request says of sampling is not believed, whoever sends it. */
function traceRatio(sampler: string | undefined, given: string | undefined): number {
  const kind = sampler?.toLowerCase().replace(/^parentbased_/, '')
  if (kind === 'always_off') return 0
  if (kind === 'always_on') return 1
  const ratio = Number(given ?? (kind === undefined ? TRACE_RATIO : 1))
  return ratio >= 0 && ratio <= 1 ? ratio : TRACE_RATIO
}
