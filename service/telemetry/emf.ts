/** Metrics as log lines in CloudWatch's embedded metric format: no SDK and no network of our own. */
import { LIMITS } from '../limits.ts'
import type { CloudMetric } from './cloud-metrics.ts'
import type { Identity } from './logger.ts'

/** CloudWatch namespace of all metrics. */
export const NAMESPACE = 'Bidcell'
/** The only dimensions: each further value is billed for every metric. */
export const DIMENSIONS = ['tenant_id', 'tier_id', 'region'] as const

/** Whose metrics, and when. */
export interface EmfHead {
  readonly identity: Identity
  readonly takenAtMs: number
}

/** A metric as it stands in a line: its definition and its value. */
interface Member {
  readonly definition: string
  readonly value: string
}

/**
 * Lines that hold all metrics, each a JSON object within the format's limits (100 metrics, 100 values) and ours (16
 * KiB). Distributions come after single values, and what CloudWatch itself reads comes last: Logs Insights finds only
 * the first 200 fields of a line.
 */
export function emfLines(metrics: readonly CloudMetric[], { identity, takenAtMs }: EmfHead): string[] {
  const members = [...metrics].sort((a, b) => Number(isWide(a)) - Number(isWide(b))).map(memberOf)
  const lines: string[] = []
  const head = { level: 'info', time: new Date(takenAtMs).toISOString(), ...identity, code: 'metrics', msg: 'metrics' }
  let batch: Member[] = []
  // Everything but the members, which are added with one comma each on both sides.
  const emptyBytes = Buffer.byteLength(lineOf(head, takenAtMs, []))
  let bytes = emptyBytes
  for (const member of members) {
    const memberBytes = Buffer.byteLength(member.definition) + Buffer.byteLength(member.value) + 2
    const isFull = batch.length >= LIMITS.embeddedMetricsMax || bytes + memberBytes > LIMITS.logLineBytesMax - 1
    if (isFull && batch.length > 0) {
      lines.push(lineOf(head, takenAtMs, batch))
      batch = []
      bytes = emptyBytes
    }
    batch.push(member)
    bytes += memberBytes
  }
  if (batch.length > 0) lines.push(lineOf(head, takenAtMs, batch))
  return lines
}

function isWide({ data }: CloudMetric): boolean {
  return typeof data !== 'number'
}

function memberOf({ name, unit, data }: CloudMetric): Member {
  return {
    definition: JSON.stringify({ Name: name, Unit: unit }),
    value: `${JSON.stringify(name)}:${JSON.stringify(typeof data === 'number' ? data : embeddedDistribution(data))}`,
  }
}

/** The form in which AWS's own collector embeds a histogram. */
function embeddedDistribution({ values, counts, sum }: Exclude<CloudMetric['data'], number>): unknown {
  return {
    Max: values.at(-1),
    Min: values[0],
    Count: counts.reduce((total, count) => total + count, 0),
    Sum: sum,
    Values: values,
    Counts: counts,
  }
}

function lineOf(head: Readonly<Record<string, unknown>>, takenAtMs: number, members: readonly Member[]): string {
  const definitions = members.map(({ definition }) => definition).join(',')
  const dimensions = JSON.stringify([DIMENSIONS])
  const directive = `{"Namespace":"${NAMESPACE}","Dimensions":${dimensions},"Metrics":[${definitions}]}`
  const meta = `"_aws":{"Timestamp":${takenAtMs},"CloudWatchMetrics":[${directive}]}`
  const values = members.map(({ value }) => `,${value}`).join('')
  return `${JSON.stringify(head).slice(0, -1)}${values},${meta}}`
}
