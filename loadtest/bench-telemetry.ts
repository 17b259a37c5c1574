/**
 * `npm run bench:telemetry`: what telemetry costs a bid request. One service with all of it; a switch (see
 * telemetry-switch.ts) turns recording off and on between short windows of the same load: on, off, off, on. What
 * reports cost is told beside it, from the CPU time of services that have nothing else to do.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { bad, EXIT, newCommand, runCommand, startProgress } from '../service/commands/terminal.ts'
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
const SWITCH = ['--import', fileURLToPath(new URL('./telemetry-switch.ts', import.meta.url))]
/** The switch is a signal, and bid threads see it at once; what is under way has ended by then. */
const SWITCH_MS = 30
const WARM_UP_MS = 5_000
const IDLE_MS = 15_000

interface Options {
  readonly json: boolean
  readonly lineItems: string
  readonly rounds: string
  readonly seconds: string
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

/** A service that tells the collector and its stdout every so many seconds, and traces one request in a thousand. */
const reporting = (url: string, periodS: number) => ({
  ...{ METRICS_SINK: 'emf', METRICS_PERIOD_S: String(periodS) },
  ...{ OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_METRIC_EXPORT_INTERVAL: String(periodS * 1_000) },
})

function start(directory: string, env: Readonly<Record<string, string>>, nodeFlags: readonly string[] = []) {
  const settings = { TENANT_ID: TENANT, STATE_URL: `file:${directory}`, BID_THREADS: '1', NODE_ENV: 'production' }
  return startService({ cpus: SERVER_CPU, nodeFlags, env: { ...settings, ...env }, readyTimeoutMs: 120_000 })
}

async function cpuUsPerRequest({ pid, url }: ServiceProcess, requests: readonly Buffer[], durationMs: number) {
  const before = threadCpuSecondsOf(pid) ?? Number.NaN
  const { completed } = await runClosedLoop({ url, requests, connections: CONNECTIONS, durationMs })
  return (((threadCpuSecondsOf(pid) ?? Number.NaN) - before) / completed) * 1e6
}

/** What the service has counted. */
async function requestsCounted({ adminUrl }: ServiceProcess): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text()
  return Number(/^bidcell_bid_requests_total\{[^}]*\} (\d+)$/m.exec(text)?.[1])
}

/** CPU µs per request with and without, a pair per round. Each round begins and ends with telemetry on. */
async function measure(service: ServiceProcess, requests: readonly Buffer[], options: Options) {
  const [rounds, durationMs] = [Number(options.rounds), Number(options.seconds) * 1e3]
  const pairs: { readonly on: number; readonly off: number }[] = []
  const flip = async () => {
    process.kill(service.pid, 'SIGUSR2')
    await sleep(SWITCH_MS)
  }
  const window = () => cpuUsPerRequest(service, requests, durationMs)
  await cpuUsPerRequest(service, requests, WARM_UP_MS)
  await flip()
  const before = await requestsCounted(service)
  await cpuUsPerRequest(service, requests, WARM_UP_MS)
  if ((await requestsCounted(service)) !== before || before === 0) throw new Error('the switch does not work')
  await flip()
  const progress = startProgress('rounds', rounds)
  for (let round = 0; round < rounds; round++) {
    const first = await window()
    await flip()
    const off = ((await window()) + (await window())) / 2
    await flip()
    pairs.push({ on: (first + (await window())) / 2, off })
    progress.update(round + 1)
  }
  progress.stop()
  return pairs
}

/** Share by which one costs more, round by round: its median, and 95 % bounds of that by ranks. */
function costOf(pairs: readonly { readonly on: number; readonly off: number }[]) {
  const sorted = pairs.map(({ on, off }) => on / off - 1).sort((a, b) => a - b)
  const half = 0.98 * Math.sqrt(sorted.length)
  const at = (rank: number) => sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(rank)))] ?? Number.NaN
  return { low: at(sorted.length / 2 - half - 1), median: median(sorted), high: at(sorted.length / 2 + half) }
}

/** CPU ms of one report to stdout and one to the collector, together. */
async function reportMs(directory: string, url: string): Promise<number> {
  const [plain, telling] = [await start(directory, {}), await start(directory, reporting(url, 1))]
  await sleep(WARM_UP_MS)
  const cpu = () => [plain, telling].map(({ pid }) => threadCpuSecondsOf(pid) ?? Number.NaN)
  const before = cpu()
  await sleep(IDLE_MS)
  const [own = 0, more = 0] = cpu().map((after, index) => after - (before[index] ?? Number.NaN))
  await Promise.all([plain.stop(), telling.stop()])
  return ((more - own) * 1e3) / (IDLE_MS / 1e3)
}

const percent = (share: number) => `${(share * 100).toFixed(1)} %`

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
  let service: ServiceProcess | undefined
  try {
    const documents = benchDocuments(Number(options.lineItems), SEED)
    await writeTenantDirectory(documents, directory)
    const requests = benchTraffic(documents, REQUESTS, SEED).map(({ exchange, body }) =>
      rawRequest(`/${TENANT}/openrtb2/${exchange}`, body, {}),
    )
    service = await start(directory, reporting(collector.url, 10), SWITCH)
    const pairs = await measure(service, requests, options)
    await service.stop()
    report(pairs, await reportMs(directory, collector.url), options)
    if (collector.reports() === 0) throw new Error('OpenTelemetry sent nothing')
  } finally {
    await service?.stop()
    collector.close()
    await rm(directory, { recursive: true, force: true })
  }
}

function report(pairs: readonly { on: number; off: number }[], perReportMs: number, { json }: Options): void {
  const { low, median: middle, high } = costOf(pairs)
  const [on, off] = [median(pairs.map(pair => pair.on)), median(pairs.map(pair => pair.off))]
  console.log(`CPU per request: ${off.toFixed(1)} µs without recording, ${on.toFixed(1)} µs with it`)
  console.log(`recording costs ${percent(middle)} (95 %: ${percent(low)} to ${percent(high)}), ${pairs.length} rounds`)
  const share = percent(perReportMs / 60_000)
  console.log(`a report to stdout and one by OTLP cost ${perReportMs.toFixed(1)} ms: once a minute ${share} of a core`)
  if (json) console.log(JSON.stringify({ low, median: middle, high, on, off, perReportMs, seed: SEED }))
  if (high <= COST_MAX) return
  const what = low > COST_MAX ? 'objective missed' : 'objective not shown, more rounds may'
  console.error(bad(`${what}: recording may cost ${percent(high)}, ${percent(COST_MAX)} is allowed`))
  process.exitCode = EXIT.bad
}

await runCommand(
  newCommand('bench:telemetry', 'Measures what telemetry costs a request, switched on and off in one process.')
    .option('--json', 'end with one line of JSON', false)
    .option('--line-items <count>', 'size of the tenant', '10000')
    .option('--rounds <count>', 'rounds of four windows', '150')
    .option('--seconds <seconds>', 'length of one window', '0.15')
    .action(benchTelemetry),
)
