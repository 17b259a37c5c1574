/** Whether OpenTelemetry is wanted, from the standard OTEL_* variables. The SDK itself reads the rest of them. */

/** How metrics travel. */
export type OtlpProtocol = 'grpc' | 'http/protobuf' | 'http/json'

/** What the standard variables say, as far as it is decided here. */
export interface OtelSettings {
  readonly protocol: OtlpProtocol
  /** False when only traces have an endpoint, or OTEL_METRICS_EXPORTER is none. */
  readonly exportsMetrics: boolean
  readonly periodMs: number
}

const PROTOCOLS: readonly OtlpProtocol[] = ['grpc', 'http/protobuf', 'http/json']
const PERIOD_MS = 60_000

/**
 * Reads the decision from an environment.
 * @returns undefined unless an OTLP endpoint is set and OTEL_SDK_DISABLED is not true: then nothing is loaded.
 */
export function otelSettings(env: Readonly<Record<string, string | undefined>>): OtelSettings | undefined {
  const set = (name: string) => (env[name]?.trim() === '' ? undefined : env[name]?.trim())
  if (set('OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return undefined
  const everything = set('OTEL_EXPORTER_OTLP_ENDPOINT')
  const metrics = everything ?? set('OTEL_EXPORTER_OTLP_METRICS_ENDPOINT')
  if ((metrics ?? set('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT')) === undefined) return undefined
  const given = set('OTEL_EXPORTER_OTLP_METRICS_PROTOCOL') ?? set('OTEL_EXPORTER_OTLP_PROTOCOL')
  const periodMs = Number(set('OTEL_METRIC_EXPORT_INTERVAL') ?? PERIOD_MS)
  return {
    // The specification's default, also where the value is unknown.
    protocol: PROTOCOLS.find(protocol => protocol === given) ?? 'http/protobuf',
    exportsMetrics: metrics !== undefined && set('OTEL_METRICS_EXPORTER') !== 'none',
    periodMs: Number.isInteger(periodMs) && periodMs > 0 ? periodMs : PERIOD_MS,
  }
}
