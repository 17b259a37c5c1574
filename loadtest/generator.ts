/**
 * The process that makes load. It is apart from the one that draws progress and judges, so that it can be pinned and
 * nothing else takes its time; it is told what to do over IPC and lives through many runs, so that its code is warm.
 */
import { compileEarly, setUpV8 } from '../service/v8-settings.ts'
import { AnswerCheck, type AnswerCheckOptions, type AnswerFindings } from './answer-check.ts'
import type { ArrivalPlan } from './arrivals.ts'
import { type CapacityResult, measureCapacity } from './capacity.ts'
import { type BooksVerdict, rulesOf } from './exchange-books.ts'
import { type Goodput, GoodputLog } from './goodput.ts'
import type { HistogramData } from './histogram.ts'
import { postRequest } from './http-response.ts'
import { loopbackTarget } from './loopback.ts'
import { type ExchangeFindings, MockExchange } from './mock-exchange.ts'
import { type OpenLoopOptions, type OpenLoopResult, runOpenLoop } from './open-loop.ts'
import type { SeriesPoint } from './series.ts'
import { readTenantRecords, type TenantRecords } from './tenant-records.ts'
import { recordedWorkload, type TenantTraffic, tenantWorkload, type WorkloadRequest } from './workload.ts'

/** Where the requests come from. */
export type WorkloadSource =
  | ({ readonly kind: 'tenant'; readonly directory: string } & TenantTraffic)
  | { readonly kind: 'recorded'; readonly file: string; readonly exchange: string }

/** An open-loop run against a tenant's path, such as `http://127.0.0.1:8080/acme`. */
export interface OpenLoopTask extends ArrivalPlan {
  readonly url: string
  readonly connectionsMax: number
  readonly timeoutMs: number
  readonly sendLagP99UsMax?: number
  readonly connectionsAtStart?: number
  readonly gridUs?: number
  readonly check: AnswerCheckOptions
  /** Count what is worth something to an exchange that waits so long. */
  readonly goodputWithinMs?: number
  /** Buy what is bid, and keep books: see MockExchange. Only for traffic of a tenant. */
  readonly exchange?: { readonly seed: number }
}

/** What the mock exchange found in a run, and its books against the documents' budgets. */
export type ExchangeReport = ExchangeFindings & { readonly books: BooksVerdict }

/** A closed-loop run against a tenant's path. */
export interface CapacityTask {
  readonly url: string
  readonly connections: number
  readonly durationS: number
  readonly timeoutS: number
}

/** A result with its histograms as JSON. */
type Plain<T> = { [K in keyof T]: T[K] extends { toJSON(): HistogramData } ? HistogramData : T[K] }

/** What the generator is told. */
export type GeneratorTask =
  | { readonly kind: 'load'; readonly source: WorkloadSource }
  | ({ readonly kind: 'open-loop' } & OpenLoopTask)
  | ({ readonly kind: 'capacity' } & CapacityTask)

/** What the generator tells. */
export type GeneratorReply =
  | { readonly kind: 'loaded'; readonly requests: number; readonly bytesMean: number }
  | {
      readonly kind: 'open-loop'
      readonly result: Plain<OpenLoopResult>
      readonly findings: AnswerFindings
      readonly goodput: Goodput<HistogramData> | undefined
      readonly exchange: ExchangeReport | undefined
    }
  | { readonly kind: 'capacity'; readonly result: Plain<CapacityResult> }
  | { readonly kind: 'progress'; readonly share: number; readonly newest: SeriesPoint | undefined }
  | { readonly kind: 'failed'; readonly message: string }

const PROGRESS_MS = 250

let workload: readonly WorkloadRequest[] = []
/** Of the tenant whose traffic it is; undefined for recorded traffic. */
let records: TenantRecords | undefined

async function load(source: WorkloadSource): Promise<GeneratorReply> {
  records = source.kind === 'tenant' ? await readTenantRecords(source.directory) : undefined
  if (source.kind === 'tenant') workload = tenantWorkload(records as TenantRecords, source)
  else workload = await recordedWorkload(source.file, source.exchange)
  const bytes = workload.reduce((sum, each) => sum + each.body.length, 0)
  return { kind: 'loaded', requests: workload.length, bytesMean: Math.round(bytes / Math.max(1, workload.length)) }
}

function pathOf(url: string, exchange: string): string {
  return `${new URL(url).pathname.replace(/\/$/, '')}/openrtb2/${encodeURIComponent(exchange)}`
}

async function openLoop(task: OpenLoopTask): Promise<GeneratorReply> {
  const { host } = loopbackTarget(task.url)
  const requests = workload.map(({ exchange, body }) => postRequest({ host, path: pathOf(task.url, exchange) }, body))
  const markups = Object.fromEntries((records?.exchanges ?? []).map(({ id, markup }) => [id, markup]))
  const check = new AnswerCheck(workload, { ...task.check, markups })
  const log = task.goodputWithinMs === undefined ? undefined : new GoodputLog(task, task.goodputWithinMs)
  const exchange = records && task.exchange && new MockExchange({ url: task.url, records, ...task.exchange })
  let toldMs = 0
  const onAnswer: OpenLoopOptions['onAnswer'] = (response, index, timing) => {
    check.look(response, index)
    log?.look(response, timing)
    exchange?.look(response, workload[index] as WorkloadRequest)
  }
  const onProgress = (share: number, newest: SeriesPoint | undefined) => {
    log?.tick()
    // Each message costs the generator time; a person sees no more than a few a second.
    if (performance.now() - toldMs < PROGRESS_MS) return
    toldMs = performance.now()
    tell({ kind: 'progress', share, newest })
  }
  const result = await runOpenLoop({ ...task, requests, onAnswer, onProgress })
  const plain = { ...result, latencyUs: result.latencyUs.toJSON(), sendLagUs: result.sendLagUs.toJSON() }
  const found = { findings: check.findings(), goodput: log?.end(), exchange: exchange && (await reportOf(exchange)) }
  return { kind: 'open-loop', result: plain, ...found }
}

async function reportOf(exchange: MockExchange): Promise<ExchangeReport> {
  const findings = await exchange.end()
  const { books } = exchange
  return { ...findings, books: books.judge(records === undefined ? { budgets: [], caps: [] } : rulesOf(records)) }
}

async function capacity(task: CapacityTask): Promise<GeneratorReply> {
  const requests = workload.map(({ exchange, body }) => ({ path: pathOf(task.url, exchange), body }))
  const result = await measureCapacity({ ...task, requests })
  return { kind: 'capacity', result: { ...result, latencyUs: result.latencyUs.toJSON() } }
}

function perform(task: GeneratorTask): Promise<GeneratorReply> {
  if (task.kind === 'load') return load(task.source)
  return task.kind === 'open-loop' ? openLoop(task) : capacity(task)
}

function tell(reply: GeneratorReply): void {
  process.send?.(reply)
}

setUpV8()
compileEarly()
process.on('message', (task: GeneratorTask) => {
  perform(task).then(tell, (error: unknown) => {
    tell({ kind: 'failed', message: error instanceof Error ? error.message : String(error) })
  })
})
process.on('disconnect', () => process.exit(0))
