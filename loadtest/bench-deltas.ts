/**
 * `npm run bench:deltas`: what changes of single records cost the bids that go on meanwhile, and how soon they bid. A
 * window with many deltas a second alternates with a quiet one of the same length; live-stage.ts says on what. Then
 * single changes are published at random moments to two tasks, each of which is asked until it bids the new price.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { bad, EXIT, newCommand, runCommand, startProgress, table } from '../service/commands/terminal.ts'
import { VersionCompiler } from '../service/compiled-chunks.ts'
import { Random } from '../service/foundation/random.ts'
import { DeltaPublisher } from '../service/remote-cache/delta-publisher.ts'
import { chained, NO_DELTAS } from '../service/remote-cache/deltas.ts'
import { chainText, stateKeys } from '../service/remote-cache/layout.ts'
import { publishTenant } from '../service/remote-cache/publisher.ts'
import { RedisSource } from '../service/remote-cache/redis-source.ts'
import { DOCUMENT_KIND_NAMES, type LineItem, type TenantDocuments } from '../service/state/documents.ts'
import { WorkingCopy } from '../service/state/working-copy.ts'
import { benchDocuments } from './bench-workload.ts'
import { Client } from './client.ts'
import { Histogram, summaryOf } from './histogram.ts'
import {
  type LiveStage,
  LOAD_TIMEOUT_MS,
  P99_RATIO_MAX,
  recordsOf,
  SEED,
  startLiveStage,
  TENANT,
} from './live-stage.ts'
import { ms } from './report.ts'
import type { ServiceProcess } from './service-process.ts'

/** Distinct line items that change: as many as an overlay may hold come to about this in an hour of such a rate. */
const CHANGED_LINE_ITEMS = 2_000
const BATCH_MS = 20
const LOOK_MS = 5
const FRESHNESS_MS_MAX = 1_000
const keys = stateKeys(TENANT)

interface Options {
  readonly json: boolean
  readonly lineItems: string
  readonly windows: string
  readonly windowS: string
  readonly deltasPerS: string
  readonly changes: string
  readonly rate: string
}

/** Deltas as a publisher would write them: each a new price of one line item. */
function drawnDeltas(documents: TenantDocuments, count: number): readonly string[] {
  const random = new Random(SEED)
  const copy = new WorkingCopy()
  for (const kind of DOCUMENT_KIND_NAMES) for (const each of [documents[kind]].flat()) copy.put(kind, each)
  const some = Array.from({ length: CHANGED_LINE_ITEMS }, () => random.pick(documents.lineItems))
  return Array.from({ length: count }, () => {
    const lineItem = random.pick(some)
    const price = { cpm: lineItem.price.cpm + random.between(1, 99) / 100 }
    const outcome = copy.change([{ kind: 'lineItems', put: { ...lineItem, price } }], 'bench')
    if (outcome.kind !== 'delta') throw new Error(`no delta but ${outcome.kind}`)
    return outcome.text
  })
}

/** Appends deltas at an even rate, each in a transaction of its own, as publishers do. */
async function appendEvenly(redis: Redis, version: string, texts: readonly string[], perS: number): Promise<void> {
  const startMs = performance.now()
  let chain = NO_DELTAS
  for (let at = 0; at < texts.length; ) {
    const due = Math.min(texts.length, Math.ceil(((performance.now() - startMs) / 1_000) * perS))
    const written: Promise<unknown>[] = []
    for (; at < due; at++) {
      const text = texts[at] ?? ''
      chain = chained(chain, text)
      const transaction = redis
        .multi()
        .xadd(keys.deltas(version), `${chain.length}-0`, 'delta', text, 'digest', chain.digest)
      written.push(transaction.hset(keys.announced, 'deltas', chainText(version, chain)).exec())
    }
    await Promise.all(written)
    await sleep(BATCH_MS)
  }
}

/** Takes all deltas away again, and waits until the service serves the version alone. */
async function reset(redis: Redis, version: string, service: ServiceProcess): Promise<void> {
  const loaded = () => service.logLines.filter(line => line.includes('"state-loaded"')).length
  const before = loaded()
  await redis
    .multi()
    .unlink(keys.deltas(version))
    .hdel(keys.announced, 'deltas')
    .hincrby(keys.announced, 'number', 1)
    .exec()
  for (const untilMs = performance.now() + LOAD_TIMEOUT_MS; loaded() === before; await sleep(20))
    if (performance.now() > untilMs) throw new Error(`not reset:\n${service.logLines.slice(-5).join('\n')}`)
}

interface Costs {
  readonly quiet: Histogram
  readonly busy: Histogram
  readonly invalidWindows: number
  readonly failures: number
  /** Milliseconds of each building and swap that the service told of. */
  readonly buildMs: readonly number[]
}

async function measureCosts(
  stage: LiveStage,
  version: string,
  documents: TenantDocuments,
  options: Options,
): Promise<Costs> {
  const [windowS, perS] = [Number(options.windowS), Number(options.deltasPerS)]
  const texts = drawnDeltas(documents, windowS * perS)
  const service = await stage.startService()
  const [quiet, busy] = [new Histogram(), new Histogram()]
  let [invalidWindows, failures] = [0, 0]
  await stage.warmUp(service)
  const progress = startProgress('windows', Number(options.windows))
  for (let i = 0; i < Number(options.windows); i++) {
    const still = await stage.load(service, windowS, 2 * i + 1)
    const changing = stage.load(service, windowS, 2 * i + 2)
    await appendEvenly(stage.redis, version, texts, perS)
    const changed = await changing
    quiet.add(still.latencyUs)
    busy.add(changed.latencyUs)
    for (const { invalid, planned, answered } of [still, changed]) {
      if (invalid.length > 0) invalidWindows++
      failures += planned - answered
    }
    await reset(stage.redis, version, service)
    progress.update(i + 1)
  }
  progress.stop()
  const told = service.logLines.filter(line => line.includes('"deltas-taken"')).map(line => JSON.parse(line))
  await service.stop()
  // Where a line tells that a version took over, nothing was built above it.
  const buildMs = told.flatMap(({ build_ms }) => (typeof build_ms === 'number' ? [build_ms] : []))
  return { quiet, busy, invalidWindows, failures, buildMs }
}

/** Milliseconds from the call that publishes a change to a bid with it, one per change and task. */
async function measureFreshness(
  stage: LiveStage,
  documents: TenantDocuments,
  count: number,
): Promise<readonly number[]> {
  const winner = winnerOf(documents)
  const random = new Random(SEED)
  const services = await Promise.all([stage.startService(), stage.startService()])
  const redis = new Redis(stage.server.url)
  const source = new RedisSource({
    url: stage.server.url,
    tenantId: TENANT,
    timeoutMs: 10_000,
    pickIndex: random.pickIndex,
  })
  const publisher = new DeltaPublisher({ redis, tenantId: TENANT, source, compiler: () => new VersionCompiler() })
  const found: number[] = []
  const progress = startProgress('changes', count)
  try {
    for (let i = -1; i < count; i++) {
      const cpm = 1_000 + i
      await sleep(random.between(0, 400))
      const startMs = performance.now()
      const outcome = await publisher.publish(
        [{ kind: 'lineItems', put: { ...winner.lineItem, price: { cpm } } }],
        'bench',
      )
      if (outcome.kind !== 'delta') throw new Error(`no delta but ${outcome.kind}`)
      const took = await Promise.all(services.map(service => bidsAfterMs(service, winner.body, cpm, startMs)))
      // The first one reads all records.
      if (i >= 0) found.push(...took)
      progress.update(i + 1)
    }
  } finally {
    progress.stop()
    source.close()
    redis.disconnect()
    await Promise.all(services.map(service => service.stop()))
  }
  return found
}

/** A line item that wins every banner of one creative's size, and a bid request for that. */
function winnerOf({ creatives, lineItems, campaigns, exchanges }: TenantDocuments) {
  const active = new Set(
    campaigns.flatMap(({ id, status, flight }) => (status === 'active' && flight === undefined ? [id] : [])),
  )
  for (const lineItem of lineItems) {
    const creative = creatives.find(({ id }) => lineItem.creativeIds.includes(id))
    if (!active.has(lineItem.campaignId) || creative?.format !== 'banner' || creative.status !== 'active') continue
    const { id, name, campaignId } = lineItem
    const won: LineItem = {
      id,
      name,
      campaignId,
      status: 'active',
      priority: 1,
      price: { cpm: 1 },
      targeting: {},
      creativeIds: [creative.id],
    }
    const imp = [{ id: '1', banner: { w: creative.width, h: creative.height } }]
    const body = JSON.stringify({ id: 'fresh', imp, site: { domain: 'news.example' } })
    return { lineItem: won, body: { path: `/openrtb2/${exchanges[0]?.id ?? ''}`, text: body } }
  }
  throw new Error('no line item with a banner')
}

async function bidsAfterMs(
  service: ServiceProcess,
  body: { path: string; text: string },
  cpm: number,
  startMs: number,
) {
  const client = new Client(service.url, { connections: 1, timeoutMs: 2_000 })
  try {
    for (;;) {
      const answer = await client.send('POST', body.path, Buffer.from(body.text))
      const nowMs = performance.now()
      const isThere = 'status' in answer && answer.status === 200 && answer.bodyText.includes(`"price":${cpm}`)
      if (isThere) return nowMs - startMs
      if (nowMs - startMs > LOAD_TIMEOUT_MS)
        throw new Error(`no bid at ${cpm}: ${JSON.stringify(answer).slice(0, 400)}`)
      await sleep(LOOK_MS)
    }
  } finally {
    client.close()
  }
}

async function benchDeltas(options: Options): Promise<void> {
  const documents = benchDocuments(Number(options.lineItems), SEED)
  const stage = await startLiveStage(documents, Number(options.rate))
  try {
    const compiler = new VersionCompiler()
    const published = await publishTenant({
      redis: stage.redis,
      tenantId: TENANT,
      documents: recordsOf(documents),
      compiler,
    })
    if (published.kind !== 'published') throw new Error(`not published: ${published.because}`)
    const costs = await measureCosts(stage, published.version, documents, options)
    const freshness = await measureFreshness(stage, documents, Number(options.changes))
    report(costs, freshness, options)
  } finally {
    await stage.close()
  }
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

function report(costs: Costs, freshnessMs: readonly number[], { json, lineItems, deltasPerS }: Options): void {
  const { quiet, busy, invalidWindows, failures, buildMs } = costs
  const ratio = busy.percentile(99) / quiet.percentile(99)
  const row = (name: string, histogram: Histogram) => {
    const { count, p50, p90, p99, p999, max } = summaryOf(histogram)
    return [name, String(count), ms(p50), ms(p90), ms(p99), ms(p999), ms(max)]
  }
  const heading = ['window', 'requests', 'p50 ms', 'p90 ms', 'p99 ms', 'p99.9 ms', 'max ms']
  console.log(`${deltasPerS} deltas a second on ${lineItems} line items\n`)
  console.log(table([heading, row('quiet', quiet), row('deltas', busy)]))
  console.log(`\nbid p99 ${ratio.toFixed(2)} x quiet; ${failures} requests failed; ${invalidWindows} windows lagged`)
  const builds = buildMs.toSorted((a, b) => a - b)
  console.log(`building and swapping an overlay: median ${quantile(builds, 0.5)} ms, p99 ${quantile(builds, 0.99)} ms`)
  const fresh = freshnessMs.toSorted((a, b) => a - b)
  const [p50, p99, max] = [0.5, 0.99, 1].map(share => Math.round(quantile(fresh, share)))
  console.log(`a change bids after ${p50} ms (median), ${p99} ms (p99), ${max} ms at most; ${fresh.length} samples`)
  if (json)
    console.log(JSON.stringify({ ratio, quiet: summaryOf(quiet), busy: summaryOf(busy), failures, p50, p99, max }))
  const missed: string[] = []
  if (ratio > P99_RATIO_MAX) missed.push(`bid p99 is ${ratio.toFixed(2)} x quiet, ${P99_RATIO_MAX} is allowed`)
  if ((p99 ?? Number.NaN) > FRESHNESS_MS_MAX) missed.push(`a change bids after ${p99} ms at p99, 1 s is allowed`)
  if (failures > 0) missed.push(`${failures} requests got no answer`)
  for (const each of missed) console.error(bad(`objective missed: ${each}`))
  if (missed.length > 0) process.exitCode = EXIT.bad
}

await runCommand(
  newCommand('bench:deltas', 'Measures bids while single records change, and how soon changes bid.')
    .option('--json', 'end with one line of JSON', false)
    .option('--line-items <count>', 'size of the tenant', '100000')
    .option('--windows <count>', 'quiet ones, and as many with deltas', '6')
    .option('--window-s <seconds>', 'length of a window', '8')
    .option('--deltas-per-s <count>', 'changes of single records', '1000')
    .option('--changes <count>', 'changes whose freshness is measured', '100')
    .option('--rate <per-second>', 'bid requests per second', '200')
    .action(benchDeltas),
)
