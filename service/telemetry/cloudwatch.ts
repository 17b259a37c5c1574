/** Metrics by CloudWatch's API: one call per period, dropped when it is not taken in time, never waited for. */
import type { CloudWatchClient, MetricDatum } from '@aws-sdk/client-cloudwatch'
import { LIMITS } from '../limits.ts'
import type { CloudMetric } from './cloud-metrics.ts'
import { DIMENSIONS, NAMESPACE } from './emf.ts'
import type { Identity } from './logger.ts'

/** Sends reports one at a time. */
export interface CloudWatchSink {
  /** @returns whether the report was taken. Never throws, and never takes longer than the time limit. */
  send(metrics: readonly CloudMetric[], takenAtMs: number): Promise<true | { readonly problem: unknown }>
  stop(): void
}

/**
 * Loads the SDK, which nobody else does, so that it costs nothing where it is not used (75 ms and 17 MB).
 * Credentials and endpoint come from the SDK's own standard sources.
 */
export async function createCloudWatchSink(identity: Identity): Promise<CloudWatchSink> {
  const { CloudWatchClient, PutMetricDataCommand } = await import('@aws-sdk/client-cloudwatch')
  const timeoutMs = LIMITS.metricsTimeoutMs
  const client: CloudWatchClient = new CloudWatchClient({
    ...(identity.region === undefined ? {} : { region: identity.region }),
    // A retry would be a second call in the period; what is lost is counted, and the next report comes soon.
    maxAttempts: 1,
    requestHandler: { requestTimeout: timeoutMs, connectionTimeout: timeoutMs, throwOnRequestTimeout: true },
  })
  const dimensions = DIMENSIONS.map(name => ({ Name: name, Value: identity[name] ?? 'unknown' }))
  let isSending = false
  return {
    send: async (metrics, takenAtMs) => {
      // Looking for credentials cannot be aborted: what hangs there must not pile up.
      if (isSending) return { problem: 'the report before is still on its way' }
      isSending = true
      const MetricData = metrics.slice(0, LIMITS.cloudWatchMetricsMax).map(metric => ({
        ...datumOf(metric),
        Dimensions: dimensions,
        Timestamp: new Date(takenAtMs),
      }))
      const abort = AbortSignal.timeout(timeoutMs)
      const command = new PutMetricDataCommand({ Namespace: NAMESPACE, MetricData })
      const sent = client.send(command, { abortSignal: abort }).finally(() => {
        isSending = false
      })
      return await firstOf(sent, abort)
    },
    stop: () => client.destroy(),
  }
}

/** Waits for a call or its time limit, whichever comes first; a later failure of the call is nobody's. */
function firstOf(call: Promise<unknown>, abort: AbortSignal): Promise<true | { readonly problem: unknown }> {
  return new Promise(resolve => {
    call.then(
      () => resolve(true),
      (problem: unknown) => resolve({ problem }),
    )
    abort.addEventListener('abort', () => resolve({ problem: abort.reason }), { once: true })
  })
}

function datumOf({ name, unit, data }: CloudMetric): MetricDatum {
  if (typeof data === 'number') return { MetricName: name, Unit: unit, Value: data }
  return { MetricName: name, Unit: unit, Values: [...data.values], Counts: [...data.counts] }
}
