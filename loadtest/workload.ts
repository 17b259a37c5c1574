import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { Random } from '../service/foundation/random.ts'
import { isObject } from './acceptance-rules.ts'
import { MALFORMED_WAYS, malformedBody } from './malformed.ts'
import type { TenantRecords } from './tenant-records.ts'
import { drawRequest, newTrafficPools } from './traffic.ts'

/** One request to send. */
export interface WorkloadRequest {
  /** Path name of the exchange that sends it. */
  readonly exchange: string
  readonly body: Buffer
  /** Where it came from, for reports. */
  readonly source: string
  /** It was spoilt, or was not JSON to begin with: 400 is a right answer. */
  readonly malformed: boolean
}

/** How much traffic to draw from a tenant's documents, and which. */
export interface TenantTraffic {
  readonly count: number
  readonly seed: number
  /** 0 to 1 */
  readonly malformedShare: number
  /** Only requests of this exchange. */
  readonly exchange?: string
  /** Of every request; else one, seldom two or three. */
  readonly impressions?: number
  /** How many people send them; else a million. */
  readonly users?: number
}

/** Realistic requests drawn from a tenant's own documents; the same seed gives the same bytes. Cost: O(documents). */
export function tenantWorkload(records: TenantRecords, traffic: TenantTraffic): readonly WorkloadRequest[] {
  const random = new Random(traffic.seed)
  const pools = newTrafficPools(records, traffic.exchange)
  return Array.from({ length: traffic.count }, (_, index) => {
    const { exchange, request } = drawRequest(pools, random, { ...traffic, index })
    const malformed = random.chance(traffic.malformedShare)
    const how = random.pick(MALFORMED_WAYS)
    const body = malformed ? malformedBody(request, how, random).body : Buffer.from(JSON.stringify(request))
    return { exchange, body, malformed, source: malformed ? `drawn ${index}, ${how}` : `drawn ${index}` }
  })
}

/** A recorded line that is not a request. */
export class RecordedProblem extends Error {
  override readonly name = 'RecordedProblem'
}

/** One line of a recorded file. */
export interface RecordedRequest {
  readonly source: string
  readonly request: unknown
}

/**
 * Reads recorded requests, one JSON object a line: a bare bid request, or `{"source", "request"}`. Empty lines are
 * skipped. Throws RecordedProblem for a line that is not a JSON object, and the file system's error.
 */
export async function* readRecorded(file: string): AsyncGenerator<RecordedRequest, void, undefined> {
  let line = 0
  for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY })) {
    line++
    if (text.trim() === '') continue
    const value = parsed(text)
    if (!isObject(value)) throw new RecordedProblem(`${file} line ${line}: not a JSON object`)
    const wrapped = value.request !== undefined
    const source = typeof value.source === 'string' ? value.source : `line ${line}`
    yield { source, request: wrapped ? value.request : value }
  }
}

/** A recorded file as a workload of one exchange. */
export async function recordedWorkload(file: string, exchange: string): Promise<readonly WorkloadRequest[]> {
  const found: WorkloadRequest[] = []
  for await (const { source, request } of readRecorded(file))
    found.push({ exchange, source, malformed: false, body: Buffer.from(JSON.stringify(request)) })
  return found
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
