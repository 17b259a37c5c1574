/**
 * `npm run bench`: what Bidcell costs beside what it could cost at best. Engine: nanoseconds per decision beside the
 * naive scan. Service: requests per second and CPU per request beside bare servers that parse the whole same body and
 * answer the same bytes, interleaved, server and client on different cores.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Option } from 'commander'
import type { TargetingStyle } from '../service/commands/generator-targeting.ts'
import { newCommand, runCommand, startProgress, table } from '../service/commands/terminal.ts'
import type { TenantDocuments } from '../service/state/documents.ts'
import { type EngineFigures, measureEngine, median } from './bench-engine.ts'
import { benchDocuments, benchTraffic, withMoney, writeTenantDirectory } from './bench-workload.ts'
import { Client } from './client.ts'
import { rawRequest, runClosedLoop } from './closed-loop.ts'
import { canPin, cpuSecondsOf, placed } from './cpu.ts'
import { type ServiceProcess, startService } from './service-process.ts'
import type { WorkloadRequest } from './workload.ts'

const SEED = 20_261_121
const SIZES = [100, 1_000, 10_000, 100_000] as const
const SMALL = SIZES[0]
const LARGE = SIZES[SIZES.length - 1] as number
const REQUESTS = 2_000
const CONNECTIONS = 32
const TENANT = 'bench-tenant'
const WITH_MONEY = `bidcell ${LARGE}, budgets`
/** Nobody calls the address: holds expire, and are leased again. */
const MONEY_SETTINGS = { PUBLIC_URL: 'https://ads.example.com', NOTICE_KEYS: `bench:${'k'.repeat(32)}` }
const LEASED_SHARE = 0.98
const LEASES_MS_MAX = 120_000
const SERVER_CPU = '0'
const CLIENT_CPU = '1'

interface Options {
  readonly json: boolean
  readonly rounds: string
  readonly seconds: string
  readonly warm: string
  readonly targeting: TargetingStyle
  readonly money: boolean
  readonly only?: string
}

/** One of the servers that are compared. */
interface Contender {
  readonly name: string
  readonly pid: number
  readonly url: string
  readonly requests: readonly Buffer[]
  stop(): Promise<unknown>
}

/** One window of load on one server. */
interface Window {
  readonly perSecond: number
  readonly cpuUs: number
}

async function bareServer(
  name: 'http' | 'fastify',
  answersFile: string,
): Promise<{ child: ChildProcess; url: string }> {
  const script = fileURLToPath(new URL('./bare-server.ts', import.meta.url))
  const [command, ...args] = placed([process.execPath, script, name, answersFile], { cpus: SERVER_CPU })
  const child = spawn(command as string, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  for await (const line of createInterface({ input: child.stdout }))
    return { child, url: `http://127.0.0.1:${JSON.parse(line).port}` }
  throw new Error(`the bare ${name} server ended`)
}

async function bidcell(lineItems: number, directory: string, more = {}): Promise<ServiceProcess> {
  const service = await startService({
    cpus: SERVER_CPU,
    env: { TENANT_ID: TENANT, STATE_URL: `file:${directory}`, BID_THREADS: '1', NODE_ENV: 'production', ...more },
    readyTimeoutMs: 120_000,
  })
  process.stderr.write(`started Bidcell with ${lineItems} line items\n`)
  return service
}

/** Every answer of a tenant, so that the bare servers can give the same bytes. */
async function recordAnswers(service: ServiceProcess, traffic: readonly WorkloadRequest[]): Promise<readonly string[]> {
  const client = new Client(service.url, { connections: 4, timeoutMs: 10_000 })
  const answers: string[] = []
  for (const { exchange, body } of traffic) {
    const answer = await client.send('POST', `/openrtb2/${exchange}`, body)
    if ('failure' in answer) throw new Error(`the service does not answer: ${answer.failure}`)
    answers.push(answer.bodyText)
  }
  client.close()
  return answers
}

/** @returns traffic that every service bids on, so that the size of the catalog is all that differs. */
async function commonTraffic(services: readonly ServiceProcess[], drawn: readonly WorkloadRequest[]) {
  let kept = drawn
  for (const service of services) {
    const answers = await recordAnswers(service, kept)
    kept = kept.filter((_, index) => answers[index] !== '')
  }
  if (kept.length < REQUESTS) throw new Error(`only ${kept.length} requests are bid on by all tenants`)
  return kept.slice(0, REQUESTS)
}

/** Asks a tenant whose line items have no lease before somebody asks, until nearly all of them have one. */
async function untilLeased(service: ServiceProcess, traffic: readonly WorkloadRequest[]): Promise<void> {
  const endMs = performance.now() + LEASES_MS_MAX
  for (;;) {
    const answers = await recordAnswers(service, traffic)
    const bids = answers.filter(answer => answer !== '').length
    if (bids >= traffic.length * LEASED_SHARE) return
    if (performance.now() > endMs) throw new Error(`only ${bids} of ${traffic.length} requests have a budget for a bid`)
  }
}

/** What is compared, and what is sent to it. */
interface Field {
  readonly contenders: readonly Contender[]
  readonly traffic: readonly WorkloadRequest[]
  readonly bidShare: number
  readonly withMoney: ServiceProcess | undefined
}

async function startContenders(folder: string, { targeting, money }: Options): Promise<Field> {
  const large = benchDocuments(LARGE, SEED, targeting)
  const small = benchDocuments(SMALL, SEED, targeting)
  const start = async (documents: TenantDocuments, more = {}) => {
    const directory = await mkdtemp(join(folder, 'tenant-'))
    await writeTenantDirectory(documents, directory)
    return await bidcell(documents.lineItems.length, directory, more)
  }
  const services = [await start(small), await start(large)] as const
  const traffic = await commonTraffic(services, [
    ...benchTraffic(small, 2 * REQUESTS, SEED),
    ...benchTraffic(large, REQUESTS, SEED),
  ])
  const service = money ? await start(withMoney(large), MONEY_SETTINGS) : undefined
  if (service !== undefined) await untilLeased(service, traffic)
  const answers = await recordAnswers(service ?? services[1], traffic)
  const answersFile = join(folder, 'answers.ndjson')
  await writeFile(answersFile, answers.map(answer => `${JSON.stringify(answer)}\n`).join(''))
  const requests = traffic.map(({ exchange, body }, index) =>
    rawRequest(`/${TENANT}/openrtb2/${exchange}`, body, { 'x-answer': String(index) }),
  )
  const contenders: Contender[] = services.map(({ pid, url, stop }, index) => {
    return { name: `bidcell ${[SMALL, LARGE][index]}`, pid, url, requests, stop }
  })
  if (service !== undefined) {
    const { pid, url, stop } = service
    contenders.push({ name: WITH_MONEY, pid, url, requests, stop })
  }
  for (const name of ['http', 'fastify'] as const) {
    const { child, url } = await bareServer(name, answersFile)
    contenders.push({ name: `bare ${name}`, pid: child.pid ?? 0, url, requests, stop: async () => child.kill() })
  }
  const bidShare = answers.filter(answer => answer !== '').length / answers.length
  return { contenders, traffic, bidShare, withMoney: service }
}

/** First while servers compile and lease, then when they have. */
async function measureField({ contenders, traffic, withMoney: service }: Field, options: Options): Promise<Measured> {
  const seconds = Number(options.seconds)
  const warming = await measureAll(contenders, Math.ceil(Number(options.warm) / seconds), seconds)
  if (service !== undefined) await untilLeased(service, traffic)
  return { warming, windows: await measureAll(contenders, Number(options.rounds), seconds) }
}

async function measure({ pid, url, requests }: Contender, durationMs: number): Promise<Window> {
  const cpuBefore = cpuSecondsOf(pid) ?? 0
  const { completed, elapsedMs } = await runClosedLoop({ url, requests, connections: CONNECTIONS, durationMs })
  const cpuS = (cpuSecondsOf(pid) ?? 0) - cpuBefore
  return { perSecond: completed / (elapsedMs / 1e3), cpuUs: (cpuS / completed) * 1e6 }
}

/** What was measured while servers compiled and leased, and after that. */
interface Measured {
  readonly warming: ReadonlyMap<string, readonly Window[]>
  readonly windows: ReadonlyMap<string, readonly Window[]>
}

/** All servers in turn, round after round, each time beginning with another one. */
async function measureAll(contenders: readonly Contender[], rounds: number, seconds: number) {
  const windows = new Map<string, Window[]>(contenders.map(({ name }) => [name, []]))
  const progress = startProgress('rounds', rounds * contenders.length)
  let done = 0
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < contenders.length; i++) {
      const contender = contenders[(i + round) % contenders.length] as Contender
      windows.get(contender.name)?.push(await measure(contender, seconds * 1e3))
      progress.update(++done)
    }
  }
  progress.stop()
  return windows
}

/** The median over rounds of one server's throughput by another's in the same round, with its 95 % interval. */
function ratio(windows: ReadonlyMap<string, readonly Window[]>, ours: string, theirs: string) {
  const other = windows.get(theirs) ?? []
  const ratios = (windows.get(ours) ?? []).map((window, round) => window.perSecond / (other[round]?.perSecond ?? 1))
  const [low, middle, high] = interval(ratios)
  return { median: middle, low, high }
}

/** Of the median: by ranks, which needs no shape of the values. */
function interval(values: readonly number[]): readonly [number, number, number] {
  const sorted = [...values].sort((a, b) => a - b)
  const half = 0.98 * Math.sqrt(sorted.length)
  const at = (rank: number) => round3(sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(rank)))] ?? Number.NaN)
  return [at(sorted.length / 2 - half - 1), round3(median(values)), at(sorted.length / 2 + half)]
}

const round3 = (value: number) => Math.round(value * 1e3) / 1e3

function printEngine(figures: ReadonlyMap<number, EngineFigures>): void {
  const rows = [['line items', 'median ns', 'p99 ns', 'scan ns', 'bids', 'eligible (median)', 'catalog MB']]
  for (const [size, figure] of figures)
    rows.push([
      String(size),
      ...[figure.medianNs, figure.p99Ns, figure.scanNs].map(ns => ns.toLocaleString('en')),
      `${Math.round(figure.bidShare * 100)} %`,
      String(figure.eligibleMedian),
      (figure.catalogBytes / 1e6).toFixed(1),
    ])
  console.log(`Engine, one decision of one impression\n\n${table(rows)}\n`)
}

function printService(windows: ReadonlyMap<string, readonly Window[]>): void {
  const rows = [['server', 'requests/s', 'min', 'max', 'CPU µs/request']]
  for (const [name, all] of windows) {
    const rates = all.map(window => window.perSecond)
    const numbers = [median(rates), Math.min(...rates), Math.max(...rates)].map(rate => Math.round(rate).toString())
    rows.push([name, ...numbers, median(all.map(window => window.cpuUs)).toFixed(1)])
  }
  console.log(`${table(rows)}\n`)
}

async function bench(options: Options): Promise<void> {
  if (canPin(CLIENT_CPU) && process.env.BENCH_PINNED === undefined) {
    const [command, ...args] = placed([process.execPath, ...process.argv.slice(1)], { cpus: CLIENT_CPU })
    const child = spawn(command as string, args, { stdio: 'inherit', env: { ...process.env, BENCH_PINNED: '1' } })
    process.exitCode = await new Promise<number>(resolve => child.on('exit', code => resolve(code ?? 1)))
    return
  }
  const figures = new Map<number, EngineFigures>()
  for (const size of options.only === 'service' ? [] : SIZES) {
    const documents = benchDocuments(size, SEED, options.targeting)
    figures.set(size, measureEngine(documents, benchTraffic(documents, REQUESTS, SEED), 10))
  }
  if (figures.size > 0) printEngine(figures)
  if (options.only === 'engine') return
  const folder = await mkdtemp(join(tmpdir(), 'bidcell-bench-'))
  try {
    const field = await startContenders(folder, options)
    const measured = await measureField(field, options)
    for (const contender of field.contenders) await contender.stop()
    printService(measured.windows)
    report(measured, { figures, bidShare: field.bidShare, json: options.json })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** CPU that one server takes more than another, by windows of the same round. */
function printMore(title: string, windows: ReadonlyMap<string, readonly Window[]>, one: string, other: string): void {
  const more = (windows.get(one) ?? []).map(({ cpuUs }, round) => cpuUs - (windows.get(other)?.[round]?.cpuUs ?? 0))
  const [low, middle, high] = interval(more)
  console.log(`${title.padEnd(15)} +${middle} µs of CPU per request (95 %: ${low} to ${high})`)
}

function report(
  { warming, windows }: Measured,
  more: { figures: ReadonlyMap<number, EngineFigures>; bidShare: number; json: boolean },
): void {
  const ours = `bidcell ${LARGE}`
  const hasMoney = windows.has(WITH_MONEY)
  const ratios = {
    bareHttp: ratio(windows, ours, 'bare http'),
    bareFastify: ratio(windows, ours, 'bare fastify'),
    scale: ratio(windows, ours, `bidcell ${SMALL}`),
    ...(hasMoney && { budgetsHttp: ratio(windows, WITH_MONEY, 'bare http') }),
    ...(hasMoney && { budgetsFastify: ratio(windows, WITH_MONEY, 'bare fastify') }),
  }
  for (const [name, { median: middle, low, high }] of Object.entries(ratios))
    console.log(`${name.padEnd(15)} ${middle} (95 %: ${low} to ${high})`)
  if (hasMoney) {
    printMore('budgets', windows, WITH_MONEY, ours)
    printMore('warming up', warming, WITH_MONEY, ours)
  }
  console.log(`bids            ${Math.round(more.bidShare * 100)} % of requests, seed ${SEED}`)
  if (!more.json) return
  const last = {
    ratios: Object.fromEntries(Object.entries(ratios).map(([name, { median: middle }]) => [name, middle])),
    engine: Object.fromEntries([...more.figures].map(([size, { medianNs }]) => [size, medianNs])),
    engineP99: Object.fromEntries([...more.figures].map(([size, { p99Ns }]) => [size, p99Ns])),
    scan: Object.fromEntries([...more.figures].map(([size, { scanNs }]) => [size, scanNs])),
    spread: ratios,
    cpuUs: Object.fromEntries([...windows].map(([name, all]) => [name, median(all.map(({ cpuUs }) => cpuUs))])),
    requestsPerSecond: Object.fromEntries(
      [...windows].map(([name, all]) => [name, Math.round(median(all.map(({ perSecond }) => perSecond)))]),
    ),
    bidShare: more.bidShare,
    seed: SEED,
  }
  console.log(JSON.stringify(last))
}

await runCommand(
  newCommand('bench', 'Compares the engine with a naive scan, and the service with bare servers, in one run.')
    .option('--json', 'end with one line of JSON', false)
    .option('--rounds <count>', 'rounds over all servers', '14')
    .option('--seconds <seconds>', 'length of one window', '3')
    .option('--warm <seconds>', 'load on each server before the rounds, while it compiles and leases', '15')
    .addOption(
      new Option('--targeting <style>', 'what line items restrict: what most do, or every dimension')
        .choices(['usual', 'everything'])
        .default('usual'),
    )
    .option(
      '--money',
      'beside it the large tenant with budgets, plans and frequency caps, and bids with notices',
      false,
    )
    .addOption(new Option('--only <part>', 'measure one part').choices(['engine', 'service']))
    .action(bench),
)
