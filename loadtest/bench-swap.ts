/**
 * `npm run bench:swap`: what loading a new version costs the bids that go on meanwhile, and whether memory stays flat.
 * A real Redis, the real service with one bid thread, an open loop at a fixed modest rate; a window in which a version
 * is loaded and swapped alternates with a quiet one of the same length. Bid thread and generator have one core;
 * everything else has the other, as in a task whose BID_THREADS leave the control thread a core. On a core that both
 * share, a wake-up waits for the end of the other's slice (3 ms on Linux), whatever the two do.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { bad, EXIT, newCommand, runCommand, startProgress, table } from '../service/commands/terminal.ts'
import { VersionCompiler } from '../service/compiled-chunks.ts'
import { stateKeys } from '../service/remote-cache/layout.ts'
import { publishTenant } from '../service/remote-cache/publisher.ts'
import { DOCUMENT_KIND_NAMES, type LineItem, type TenantDocuments } from '../service/state/documents.ts'
import { startRedis } from '../test/redis-server.ts'
import { median } from './bench-engine.ts'
import { benchDocuments, benchTraffic } from './bench-workload.ts'
import { canPin } from './cpu.ts'
import { GeneratorProcess } from './generator-process.ts'
import { Histogram, summaryOf } from './histogram.ts'
import { ms } from './report.ts'
import { type ServiceProcess, startService } from './service-process.ts'
import { ratesOf } from './tenant-records.ts'

const TENANT = 'bench-tenant'
const SEED = 20_261_121
const REQUESTS = 2_000
/** Of the bid thread and the generator; and of the control thread, what helps it, and Redis. */
const BID_CORE = '0'
const OTHER_CORE = '1'
const WARM_UP_S = 5
const LOAD_TIMEOUT_MS = 120_000
/** Swaps before memory counts: both slabs and all heaps have had their first catalog. */
const SETTLING_SWAPS = 2
const RSS_GROWTH_MAX = 0.05
const P99_RATIO_MAX = 1.2
/** One line item in so many differs between the two versions. */
const CHANGED_EVERY = 97

interface Options {
  readonly json: boolean
  readonly lineItems: string
  readonly swaps: string
  readonly rate: string
}

/** What one swap took and left. */
interface Swap {
  readonly loadMs: number
  readonly rssMib: number
}

function* recordsOf(documents: TenantDocuments) {
  for (const kind of DOCUMENT_KIND_NAMES) {
    const values: readonly unknown[] = [documents[kind]].flat()
    for (const [record, value] of values.entries()) yield { kind, value, where: { file: kind, record } }
  }
}

/** Two versions that differ a little; announcing them in turn makes the service load one completely each time. */
async function publishBoth(redis: Redis, documents: TenantDocuments): Promise<readonly string[]> {
  const changed = (lineItem: LineItem, index: number) =>
    index % CHANGED_EVERY === 0 ? { ...lineItem, price: { cpm: lineItem.price.cpm + 0.01 } } : lineItem
  const other = { ...documents, lineItems: documents.lineItems.map(changed) }
  const versions: string[] = []
  for (const each of [documents, other]) {
    const compiler = new VersionCompiler()
    const outcome = await publishTenant({ redis, tenantId: TENANT, documents: recordsOf(each), compiler })
    if (outcome.kind !== 'published') throw new Error(`not published: ${outcome.because}`)
    versions.push(outcome.announcement.version)
  }
  return versions
}

/** Announces a version and waits until the service says that it serves. @returns what it says it took */
async function swapTo(redis: Redis, service: ServiceProcess, version: string): Promise<Swap> {
  const { announced } = stateKeys(TENANT)
  await redis.multi().hincrby(announced, 'number', 1).hset(announced, 'version', version).exec()
  const number = Number(await redis.hget(announced, 'number'))
  for (const untilMs = performance.now() + LOAD_TIMEOUT_MS; performance.now() < untilMs; await sleep(20))
    for (const line of service.logLines.slice(-50)) {
      if (!line.includes('"state-loaded"')) continue
      const told = JSON.parse(line)
      if (told.announcement === number) return { loadMs: told.total_ms, rssMib: rssMibOf(service.pid) }
    }
  throw new Error(`version ${version} was not loaded:\n${service.logLines.slice(-10).join('\n')}`)
}

function rssMibOf(pid: number): number {
  const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Math.round(Number(kib ?? 0) / 1024)
}

/** The bid thread is the only worker of a service that does not load. Does nothing where threads cannot be pinned. */
function pinThreads(pid: number): void {
  if (!canPin(BID_CORE) || !canPin(OTHER_CORE)) return
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    const isWorker = readFileSync(`/proc/${pid}/task/${tid}/comm`, 'utf8').trim() === 'WorkerThread'
    spawnSync('taskset', ['-pc', isWorker ? BID_CORE : OTHER_CORE, tid], { stdio: 'ignore' })
  }
}

async function benchSwap(options: Options): Promise<void> {
  // What it starts, Redis above all, stays on its core.
  if (canPin(OTHER_CORE)) spawnSync('taskset', ['-apc', OTHER_CORE, String(process.pid)], { stdio: 'ignore' })
  const documents = benchDocuments(Number(options.lineItems), SEED)
  const folder = await mkdtemp(join(tmpdir(), 'bidcell-swap-'))
  const server = await startRedis()
  const redis = new Redis(server.url)
  const generator = new GeneratorProcess({ cpus: BID_CORE, precedence: 'urgent' })
  try {
    const versions = await publishBoth(redis, documents)
    const exchange = documents.exchanges[0]?.id ?? ''
    const file = join(folder, 'requests.ndjson')
    const drawn = benchTraffic(documents, REQUESTS, SEED).filter(request => request.exchange === exchange)
    await writeFile(file, drawn.map(({ body }) => `${body.toString()}\n`).join(''))
    await generator.load({ kind: 'recorded', file, exchange })
    const service = await startService({
      env: { TENANT_ID: TENANT, STATE_URL: server.url, BID_THREADS: '1', NODE_ENV: 'production' },
      readyTimeoutMs: LOAD_TIMEOUT_MS,
    })
    pinThreads(service.pid)
    const load = (durationS: number, seed: number) =>
      generator.openLoop({
        ...{ url: service.url, arrivals: 'poisson', ratePerS: Number(options.rate), durationS, seed },
        ...{ connectionsMax: 64, timeoutMs: 5_000, check: { judgeEvery: 1_000, rates: ratesOf(documents) } },
      })
    await load(WARM_UP_S, 0)
    // The first swap tells how long a window has to be.
    const first = await swapTo(redis, service, versions[0] as string)
    const windowS = Math.max(2, Math.ceil((first.loadMs * 1.2) / 1e3) + 1)
    const found = await measure({ swaps: Number(options.swaps), windowS, versions, redis, service, load })
    await service.stop()
    report(found, options)
  } finally {
    generator.stop()
    redis.disconnect()
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

interface Plan {
  readonly swaps: number
  readonly windowS: number
  readonly versions: readonly string[]
  readonly redis: Redis
  readonly service: ServiceProcess
  readonly load: (durationS: number, seed: number) => ReturnType<GeneratorProcess['openLoop']>
}

interface Found {
  readonly swaps: readonly Swap[]
  readonly quiet: Histogram
  readonly busy: Histogram
  /** Windows in which the generator itself lagged. */
  readonly invalidWindows: number
  readonly failures: number
}

async function measure({ swaps: count, windowS, versions, redis, service, load }: Plan): Promise<Found> {
  const [quiet, busy] = [new Histogram(), new Histogram()]
  const swaps: Swap[] = []
  let [invalidWindows, failures] = [0, 0]
  const progress = startProgress('swaps', count)
  for (let i = 0; i < count; i++) {
    const still = await load(windowS, 2 * i + 1)
    const loading = load(windowS, 2 * i + 2)
    swaps.push(await swapTo(redis, service, versions[(i + 1) % 2] as string))
    const swapped = await loading
    quiet.add(still.latencyUs)
    busy.add(swapped.latencyUs)
    for (const { invalid, planned, answered } of [still, swapped]) {
      if (invalid.length > 0) invalidWindows++
      failures += planned - answered
    }
    progress.update(i + 1)
  }
  progress.stop()
  return { swaps, quiet, busy, invalidWindows, failures }
}

function report({ swaps, quiet, busy, invalidWindows, failures }: Found, { json, lineItems }: Options): void {
  const rss = swaps.map(swap => swap.rssMib)
  const settled = rss.slice(SETTLING_SWAPS)
  const growth = Math.max(...settled) / (settled[0] ?? 1) - 1
  const ratio = busy.percentile(99) / quiet.percentile(99)
  const loadMs = Math.round(median(swaps.map(swap => swap.loadMs)))
  const row = (name: string, histogram: Histogram) => {
    const { count, p50, p90, p99, p999, max } = summaryOf(histogram)
    return [name, String(count), ms(p50), ms(p90), ms(p99), ms(p999), ms(max)]
  }
  const heading = ['window', 'requests', 'p50 ms', 'p90 ms', 'p99 ms', 'p99.9 ms', 'max ms']
  console.log(`${swaps.length} swaps of ${lineItems} line items, a load takes ${loadMs} ms (median)\n`)
  console.log(table([heading, row('quiet', quiet), row('load and swap', busy)]))
  console.log(`\nbid p99 ${ratio.toFixed(2)} x quiet; ${failures} requests failed; ${invalidWindows} windows lagged`)
  console.log(`rss MiB after each swap: ${rss.join(' ')} (${(growth * 100).toFixed(1)} % over the third)`)
  if (json)
    console.log(
      JSON.stringify({ ratio, growth, loadMs, rss, quiet: summaryOf(quiet), busy: summaryOf(busy), failures }),
    )
  const missed: string[] = []
  if (ratio > P99_RATIO_MAX)
    missed.push(`bid p99 during swaps is ${ratio.toFixed(2)} x quiet, ${P99_RATIO_MAX} is allowed`)
  if (growth > RSS_GROWTH_MAX) missed.push(`memory grew by ${(growth * 100).toFixed(1)} %, 5 % is allowed`)
  if (failures > 0) missed.push(`${failures} requests got no answer`)
  for (const each of missed) console.error(bad(`objective missed: ${each}`))
  if (missed.length > 0) process.exitCode = EXIT.bad
}

await runCommand(
  newCommand('bench:swap', 'Measures bids and memory while new versions are loaded and swapped.')
    .option('--json', 'end with one line of JSON', false)
    .option('--line-items <count>', 'size of the tenant', '100000')
    .option('--swaps <count>', 'versions to load', '20')
    .option('--rate <per-second>', 'bid requests per second', '200')
    .action(benchSwap),
)
