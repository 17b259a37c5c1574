import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterEach, expect, test } from 'vitest'
import { Random } from '../../service/foundation/random.ts'
import { type RedisServer, startRedis } from '../redis-server.ts'
import { runService, type ServiceRun } from '../wire/service-run.ts'
import { LossyProxy } from './lossy-proxy.ts'

const TENANT = 'acme-outdoor'
const DIRECTORY = fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))
const BID_REQUEST = '{"id":"r1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'
const SPEND = `t:{${TENANT}}:spend:`
const TASKS = 3
const BIDS = 400
const CHAOS_MS = 20_000

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

interface SentBid {
  readonly id: string
  readonly burl: string
  /** In nanos, what the exchange bills. */
  readonly nanos: number
}

/** Tasks that are killed and started again, in front of one ledger that stops and goes on. */
class Endpoint {
  readonly #settings: Readonly<Record<string, string>>
  readonly #tasks: ServiceRun[] = []
  kills = 0

  constructor(settings: Readonly<Record<string, string>>) {
    this.#settings = settings
    cleanups.push(() => {
      for (const task of this.#tasks) task.kill('SIGKILL')
    })
  }

  get tasks(): readonly ServiceRun[] {
    return this.#tasks
  }

  async start(count: number): Promise<void> {
    const started = await Promise.all(Array.from({ length: count }, () => runService(this.#settings)))
    this.#tasks.push(...started)
    await Promise.all(started.map(task => task.entry('ready')))
  }

  async killOne(random: Random): Promise<void> {
    const [task] = this.#tasks.splice(random.pickIndex(this.#tasks.length), 1)
    task?.kill('SIGKILL')
    await task?.ended
    this.kills++
    await this.start(1)
  }
}

async function bids(task: ServiceRun, random: Random): Promise<SentBid[]> {
  const url = `http://127.0.0.1:${task.port}/${TENANT}/openrtb2/openx`
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: BID_REQUEST }
  const found: SentBid[] = []
  while (found.length < BIDS) {
    const answer = await fetch(url, init)
    // A machine that is busy sheds requests.
    if (answer.status === 204) continue
    const { seatbid } = (await answer.json()) as { seatbid: { bid: SentBid[] }[] }
    const bid = seatbid[0]?.bid[0]
    if (bid === undefined) throw new Error('no bid')
    found.push({ id: bid.id, burl: bid.burl, nanos: random.between(1, 900_000) })
  }
  return found
}

/** Sends a notice to any task, as a load balancer does. @returns whether it was acknowledged */
async function bill(endpoint: Endpoint, { burl, nanos }: SentBid, random: Random): Promise<boolean> {
  const price = (nanos / 1e6).toFixed(6)
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the macro as an exchange finds it
  const { pathname, search } = new URL(burl.replace('${AUCTION_PRICE}', price))
  try {
    const signal = AbortSignal.timeout(6_000)
    const to = `http://127.0.0.1:${random.pick(endpoint.tasks).port}${pathname}${search}`
    return (await fetch(to, { signal })).status === 204
  } catch {
    return false
  }
}

/** An exchange that sends each notice until it is acknowledged, some of them once more after that. */
async function billAll(endpoint: Endpoint, sent: readonly SentBid[], random: Random, untilMs: number) {
  const acknowledged = new Set<string>()
  const queue = [...sent]
  const worker = async () => {
    while (queue.length > 0 && performance.now() < untilMs) {
      const bid = queue.shift() as SentBid
      const isAcknowledged = await bill(endpoint, bid, random)
      if (isAcknowledged) acknowledged.add(bid.id)
      if (!isAcknowledged || random.chance(0.2)) queue.push(bid)
      await sleep(random.between(0, 100))
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  return acknowledged
}

async function chaos(endpoint: Endpoint, server: RedisServer, random: Random, untilMs: number): Promise<void> {
  while (performance.now() < untilMs - 3_000) {
    await sleep(random.between(200, 1_000))
    if (random.chance(0.5)) {
      server.pause()
      await sleep(random.between(300, 2_000))
      if (random.chance(0.7)) await endpoint.killOne(random)
      server.resume()
    } else await endpoint.killOne(random)
  }
}

async function metric(task: ServiceRun, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${task.adminPort}/metrics`)).text()
  return Number(new RegExp(`^bidcell_${name}(?:\\{.*\\})? (.*)$`, 'm').exec(text)?.[1])
}

test.each([1, 2])(
  'kills, lost replies and a ledger that stops lose no acknowledged notice and book none twice (seed %d)',
  async seed => {
    console.log(`seed ${seed}`)
    const random = new Random(seed)
    const server = await startRedis()
    cleanups.push(() => server.stop())
    const redis = new Redis(server.url)
    cleanups.push(() => redis.disconnect())
    await redis.hset(`${SPEND}epoch`, { id: 'begun', opens: 0, at: 0, wall: 0 })
    const proxy = await LossyProxy.start(server.port, random)
    cleanups.push(() => proxy.close())
    const JOURNAL_DIR = await mkdtemp(join(tmpdir(), 'bidcell-journals-'))
    cleanups.push(() => rm(JOURNAL_DIR, { recursive: true, force: true }))
    const endpoint = new Endpoint({
      ...{
        TENANT_ID: TENANT,
        STATE_URL: `file:${DIRECTORY}`,
        SPEND_URL: `redis://127.0.0.1:${proxy.port}`,
        JOURNAL_DIR,
      },
      ...{ PUBLIC_URL: 'https://ads.example.com', NOTICE_KEYS: `k1:${'s'.repeat(32)}` },
      ...{ BID_THREADS: '1', CACHE_TIMEOUT_MS: '1000' },
    })
    await endpoint.start(TASKS)
    const sent = await bids(endpoint.tasks[0] as ServiceRun, random)
    proxy.cutChance = 0.02
    const untilMs = performance.now() + CHAOS_MS
    const [acknowledged] = await Promise.all([
      billAll(endpoint, sent, random, untilMs),
      chaos(endpoint, server, random, untilMs),
    ])
    proxy.cutChance = 0
    for (const limitMs = performance.now() + 30_000; ; await sleep(200)) {
      const waiting = await Promise.all(endpoint.tasks.map(task => metric(task, 'notices_waiting')))
      // Journals of tasks that ended are adopted every few seconds; each task has one of its own.
      const folders = await readdir(JOURNAL_DIR)
      if (waiting.every(count => count === 0) && folders.length === TASKS) break
      if (performance.now() > limitMs) throw new Error(`not done: ${waiting} waiting, ${folders}`)
    }
    const known = await Promise.all(sent.map(({ id }) => redis.exists(`${SPEND}key:${id}`)))
    const booked = sent.filter((_, i) => known[i] === 1)
    expect(booked.length).toBeGreaterThanOrEqual(acknowledged.size)
    expect(new Set(booked.map(({ id }) => id))).toEqual(new Set([...acknowledged, ...booked.map(({ id }) => id)]))
    const [tally = ''] = await redis.keys(`${SPEND}account:x/*`)
    const { booked: nanos, count } = await redis.hgetall(tally)
    expect([Number(nanos), Number(count)]).toEqual([booked.reduce((sum, bid) => sum + bid.nanos, 0), booked.length])
    const entries = await redis.xrange(`t:{${TENANT}}:event:stream`, '-', '+')
    const told = new Set(entries.map(([, fields]) => fields[fields.indexOf('bid') + 1]))
    expect([...acknowledged].filter(id => !told.has(id))).toEqual([])
    const happened = `${endpoint.kills} kills, ${proxy.cuts} replies cut off`
    console.log(`${happened}, ${acknowledged.size} of ${sent.length} acknowledged, ${booked.length} booked`)
    expect(acknowledged.size).toBeGreaterThan(sent.length / 2)
    expect(endpoint.kills).toBeGreaterThan(1)
    expect(proxy.cuts).toBeGreaterThan(2)
  },
)
