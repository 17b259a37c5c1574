/**
 * `npm run bench:swap`: what loading a new version costs the bids that go on meanwhile, and whether memory stays flat.
 * A window in which a version is loaded and swapped alternates with a quiet one of the same length; live-stage.ts says
 * on what.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { bad, EXIT, newCommand, runCommand, startProgress, table } from '../service/commands/terminal.ts'
import { VersionCompiler } from '../service/compiled-chunks.ts'
import { stateKeys } from '../service/remote-cache/layout.ts'
import { publishTenant } from '../service/remote-cache/publisher.ts'
import type { LineItem, TenantDocuments } from '../service/state/documents.ts'
import { median } from './bench-engine.ts'
import { benchDocuments } from './bench-workload.ts'
import type { GeneratorProcess } from './generator-process.ts'
import { Histogram, summaryOf } from './histogram.ts'
import { LOAD_TIMEOUT_MS, P99_RATIO_MAX, recordsOf, SEED, startLiveStage, TENANT } from './live-stage.ts'
import { ms } from './report.ts'
import type { ServiceProcess } from './service-process.ts'
import { lineThrough } from './soak.ts'

/** Swaps before memory counts: both slabs and all heaps have had their first catalog. */
const SETTLING_SWAPS = 2
/** Of the straight line through what follows: a collection that has not come yet is no growth. */
const RSS_GROWTH_MAX = 0.05
const LOOK_MS = 100
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
  /** The least in the quiet window that follows. */
  readonly rssMib: number
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

/** Announces a version and waits until the service says that it serves. @returns milliseconds that it says it took */
async function swapTo(redis: Redis, service: ServiceProcess, version: string): Promise<number> {
  const { announced } = stateKeys(TENANT)
  await redis.multi().hincrby(announced, 'number', 1).hset(announced, 'version', version).exec()
  const number = Number(await redis.hget(announced, 'number'))
  for (const untilMs = performance.now() + LOAD_TIMEOUT_MS; performance.now() < untilMs; await sleep(20))
    for (const line of service.logLines.slice(-50)) {
      if (!line.includes('"state-loaded"')) continue
      const told = JSON.parse(line)
      if (told.announcement === number) return told.total_ms
    }
  throw new Error(`version ${version} was not loaded:\n${service.logLines.slice(-10).join('\n')}`)
}

function rssMibOf(pid: number): number {
  const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Math.round(Number(kib ?? 0) / 1024)
}

/** Looks until something is done. @returns the least that was resident */
async function leastRssMib(pid: number, done: Promise<unknown>): Promise<number> {
  let least = rssMibOf(pid)
  let isDone = false
  const noted = done.finally(() => {
    isDone = true
  })
  while (!isDone) {
    await sleep(LOOK_MS)
    least = Math.min(least, rssMibOf(pid))
  }
  await noted
  return least
}

async function benchSwap(options: Options): Promise<void> {
  const documents = benchDocuments(Number(options.lineItems), SEED)
  const stage = await startLiveStage(documents, Number(options.rate))
  const { redis } = stage
  try {
    const versions = await publishBoth(redis, documents)
    const service = await stage.startService()
    const load = (durationS: number, seed: number) => stage.load(service, durationS, seed)
    await stage.warmUp(service)
    // The first swap tells how long a window has to be.
    const firstMs = await swapTo(redis, service, versions[0] as string)
    const windowS = Math.max(2, Math.ceil((firstMs * 1.2) / 1e3) + 1)
    const found = await measure({ swaps: Number(options.swaps), windowS, versions, redis, service, load })
    await service.stop()
    report(found, options)
  } finally {
    await stage.close()
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
    const loading = load(windowS, 2 * i + 1)
    const loadMs = await swapTo(redis, service, versions[(i + 1) % 2] as string)
    const swapped = await loading
    const resting = load(windowS, 2 * i + 2)
    swaps.push({ loadMs, rssMib: await leastRssMib(service.pid, resting) })
    const still = await resting
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
  const { mean, drift } = lineThrough(rss.slice(SETTLING_SWAPS).map((each, swap) => [swap, each]))
  const growth = drift / (mean - drift / 2)
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
  const percent = (growth * 100).toFixed(1)
  console.log(`least rss MiB after each swap: ${rss.join(' ')}; from the third on the line rises by ${percent} %`)
  if (json)
    console.log(
      JSON.stringify({ ratio, growth, loadMs, rss, quiet: summaryOf(quiet), busy: summaryOf(busy), failures }),
    )
  const missed: string[] = []
  if (ratio > P99_RATIO_MAX)
    missed.push(`bid p99 during swaps is ${ratio.toFixed(2)} x quiet, ${P99_RATIO_MAX} is allowed`)
  if (growth > RSS_GROWTH_MAX) missed.push(`memory grew by ${percent} %, 5 % is allowed`)
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
