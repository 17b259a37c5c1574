/**
 * `npm run bench:telemetry`: what telemetry costs a bid request. Services of one tenant, interleaved, on one core:
 * some whose recorder records nothing and that report nowhere, some with all telemetry there is, reporting more often
 * than by default. Several of each, because two processes of the same code differ by some percent. CPU time is that of
 * the whole process, its control thread included.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bad, EXIT, newCommand, runCommand, startProgress, table } from '../service/commands/terminal.ts'
import { median } from './bench-engine.ts'
import { benchDocuments, benchTraffic, writeTenantDirectory } from './bench-workload.ts'
import { rawRequest, runClosedLoop } from './closed-loop.ts'
import { canPin, placed, threadCpuSecondsOf } from './cpu.ts'
import { type ServiceProcess, startService } from './service-process.ts'

const SEED = 20_261_121
const TENANT = 'bench-tenant'
const REQUESTS = 2_000
const CONNECTIONS = 32
const SERVER_CPU = '0'
const CLIENT_CPU = '1'
/** Telemetry may cost a request this share of its CPU time. */
const COST_MAX = 0.03
const OFF_FLAGS = ['--import', fileURLToPath(new URL('./telemetry-off.ts', import.meta.url))]
/** 97.5 % quantiles of Student's distribution, by degrees of freedom from 2 on. */
const STUDENT = [4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.2, 2.18, 2.16, 2.14]

interface Options {
  readonly json: boolean
  readonly lineItems: string
  readonly processes: string
  readonly rounds: string
  readonly seconds: string
}

/** One of the services that are compared. */
interface Contender {
  readonly isOn: boolean
  readonly service: ServiceProcess
  /** CPU µs per request, a value per round. */
  readonly cpuUs: number[]
}

/** Takes what OpenTelemetry sends. */
async function startCollector(): Promise<{ readonly url: string; close(): void; readonly reports: () => number }> {
  let reports = 0
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      reports++
      response.end()
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, close: () => server.close(), reports: () => reports }
}

/** Six reports a minute instead of one; traces as by default. */
const reportingTo = (collector: string) => ({
  ...{ METRICS_SINK: 'emf', METRICS_PERIOD_S: '10' },
  ...{ OTEL_EXPORTER_OTLP_ENDPOINT: collector, OTEL_METRIC_EXPORT_INTERVAL: '10000' },
})

async function startContender(directory: string, collector: string, isOn: boolean): Promise<Contender> {
  const settings = { TENANT_ID: TENANT, STATE_URL: `file:${directory}`, BID_THREADS: '1', NODE_ENV: 'production' }
  const env = { ...settings, ...(isOn ? reportingTo(collector) : {}) }
  const nodeFlags = isOn ? [] : OFF_FLAGS
  const service = await startService({ cpus: SERVER_CPU, nodeFlags, env, readyTimeoutMs: 120_000 })
  return { isOn, service, cpuUs: [] }
}

async function cpuUsPerRequest({ pid, url }: ServiceProcess, requests: readonly Buffer[], durationMs: number) {
  const before = threadCpuSecondsOf(pid) ?? Number.NaN
  const { completed } = await runClosedLoop({ url, requests, connections: CONNECTIONS, durationMs })
  return (((threadCpuSecondsOf(pid) ?? Number.NaN) - before) / completed) * 1e6
}

/** All in turn, round after round, each time beginning with another one. The first round warms up. */
async function measure(contenders: readonly Contender[], requests: readonly Buffer[], options: Options): Promise<void> {
  const [rounds, durationMs] = [Number(options.rounds), Number(options.seconds) * 1e3]
  const progress = startProgress('rounds', rounds + 1)
  for (let round = 0; round <= rounds; round++) {
    for (let i = 0; i < contenders.length; i++) {
      const { service, cpuUs } = contenders[(i + round) % contenders.length] as Contender
      const found = await cpuUsPerRequest(service, requests, round === 0 ? 3 * durationMs : durationMs)
      if (round > 0) cpuUs.push(found)
    }
    progress.update(round + 1)
  }
  progress.stop()
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** Of the mean, from values that are independent of each other. */
function varianceOfMean(values: readonly number[]): number {
  const mean = meanOf(values)
  return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1) / values.length
}

/** What the ones cost more than the others: the difference of the means of processes, and its 95 % bounds. */
function costOf(on: readonly number[], off: readonly number[]) {
  const [mean, base] = [meanOf(on) - meanOf(off), meanOf(off)]
  const t = STUDENT[on.length + off.length - 4] ?? 2.1
  const half = t * Math.sqrt(varianceOfMean(on) + varianceOfMean(off))
  return { low: (mean - half) / base, mean: mean / base, high: (mean + half) / base }
}

const percent = (share: number) => `${(share * 100).toFixed(1)} %`

function report(contenders: readonly Contender[], { json }: Options): void {
  const [on, off] = [true, false].map(isOn =>
    contenders.filter(each => each.isOn === isOn).map(({ cpuUs }) => median(cpuUs)),
  ) as [number[], number[]]
  const cost = costOf(on, off)
  const row = (name: string, all: number[]) => [name, meanOf(all).toFixed(1), all.map(us => us.toFixed(1)).join(' ')]
  console.log(table([['telemetry', 'CPU µs/request', 'each process'], row('off', off), row('on', on)]))
  console.log(`\ntelemetry costs ${percent(cost.mean)} (95 %: ${percent(cost.low)} to ${percent(cost.high)})`)
  if (json) console.log(JSON.stringify({ cost, on, off }))
  if (cost.high <= COST_MAX) return
  const what = cost.low > COST_MAX ? 'objective missed' : 'objective not shown: too few processes, or other work here'
  console.error(bad(`${what}: it may cost ${percent(cost.high)}, ${percent(COST_MAX)} is allowed`))
  process.exitCode = EXIT.bad
}

/** What a service has counted: the one that is off must not know. */
async function requestsCounted({ adminUrl }: ServiceProcess): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  return Number(/^bidcell_bid_requests_total\{[^}]*\} (\d+)$/m.exec(text)?.[1])
}

async function checkOnAndOff(contenders: readonly Contender[], reports: number): Promise<void> {
  for (const { isOn, service } of contenders)
    if ((await requestsCounted(service)) > 0 !== isOn)
      throw new Error(`a service with telemetry ${isOn ? 'on' : 'off'} counts otherwise`)
  if (reports === 0) throw new Error('OpenTelemetry sent nothing: there is nothing to compare')
}

/** The client has a core of its own. @returns false when this process is not the pinned one, which has run then */
async function isPinned(): Promise<boolean> {
  if (!canPin(CLIENT_CPU) || process.env.BENCH_PINNED !== undefined) return true
  const [command, ...args] = placed([process.execPath, ...process.argv.slice(1)], { cpus: CLIENT_CPU })
  const env = { ...process.env, BENCH_PINNED: '1' }
  const child: ChildProcess = spawn(command as string, args, { stdio: 'inherit', env })
  process.exitCode = await new Promise<number>(resolve => child.on('exit', code => resolve(code ?? 1)))
  return false
}

async function benchTelemetry(options: Options): Promise<void> {
  if (!(await isPinned())) return
  const directory = await mkdtemp(join(tmpdir(), 'bidcell-telemetry-'))
  const collector = await startCollector()
  const contenders: Contender[] = []
  try {
    const documents = benchDocuments(Number(options.lineItems), SEED)
    await writeTenantDirectory(documents, directory)
    for (let i = 0; i < 2 * Number(options.processes); i++)
      contenders.push(await startContender(directory, collector.url, i % 2 === 1))
    const requests = benchTraffic(documents, REQUESTS, SEED).map(({ exchange, body }) =>
      rawRequest(`/${TENANT}/openrtb2/${exchange}`, body, {}),
    )
    await measure(contenders, requests, options)
    await checkOnAndOff(contenders, collector.reports())
  } finally {
    for (const { service } of contenders) await service.stop()
    collector.close()
    await rm(directory, { recursive: true, force: true })
  }
  report(contenders, options)
}

await runCommand(
  newCommand('bench:telemetry', 'Measures what telemetry costs a request, against a service without any.')
    .option('--json', 'end with one line of JSON', false)
    .option('--line-items <count>', 'size of the tenant', '10000')
    .option('--processes <count>', 'services of each kind', '5')
    .option('--rounds <count>', 'rounds over all services', '15')
    .option('--seconds <seconds>', 'length of one window', '0.4')
    .action(benchTelemetry),
)
