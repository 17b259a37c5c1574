import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterEach, expect, test } from 'vitest'
import { Random } from '../../service/foundation/random.ts'
import { startRedis } from '../redis-server.ts'
import { runService, type ServiceRun } from '../wire/service-run.ts'

const TENANT = 'acme-outdoor'
const DIRECTORY = fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))
const TASKS = 4
const BIDDING_MS = 30_000
const KILL_EVERY_MS = 5_000
/** In the tenant's currency, of each line item: some 60 bids. */
const BUDGET = 0.25
const NANOS = 1e9
const REQUEST = {
  id: 'r',
  imp: [{ id: '1', banner: { w: 300, h: 250 } }],
  site: { domain: 'news.example', page: 'https://news.example/' },
}

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'bidcell-four-'))
  cleanups.push(() => rm(made, { recursive: true, force: true }))
  return made
}

/** The sample tenant with a strict budget on every line item. */
async function budgetedTenant(): Promise<string> {
  const state = await folder()
  await cp(DIRECTORY, state, { recursive: true })
  const file = join(state, 'lineItems.json')
  const lineItems = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>[]
  for (const lineItem of lineItems) {
    lineItem.budget = { total: BUDGET }
    delete lineItem.pacing
  }
  await writeFile(file, JSON.stringify(lineItems))
  const campaignsFile = join(state, 'campaigns.json')
  const campaigns = JSON.parse(await readFile(campaignsFile, 'utf8')) as Record<string, unknown>[]
  for (const campaign of campaigns) {
    delete campaign.budget
    delete campaign.pacing
  }
  await writeFile(campaignsFile, JSON.stringify(campaigns))
  return state
}

interface Bid {
  readonly id: string
  readonly price: number
  readonly burl: string
}

/** Tasks that die and come back, and an exchange that bills at any of them until one says that it has it. */
class Market {
  readonly acknowledged = new Map<string, number>()
  readonly #random: Random
  readonly #env: Readonly<Record<string, string>>
  readonly #journals: readonly string[]
  readonly #tasks: (ServiceRun | undefined)[] = []
  readonly #bills: Promise<void>[] = []
  bids = 0
  kills = 0

  constructor(env: Readonly<Record<string, string>>, journals: readonly string[], random: Random) {
    this.#env = env
    this.#journals = journals
    this.#random = random
  }

  async start(at: number): Promise<void> {
    const run = await runService({ ...this.#env, JOURNAL_DIR: this.#journals[at] as string })
    cleanups.push(() => run.kill('SIGKILL'))
    await run.entry('ready')
    this.#tasks[at] = run
  }

  #running(): ServiceRun | undefined {
    const running = this.#tasks.filter(task => task !== undefined)
    return running.length === 0 ? undefined : this.#random.pick(running)
  }

  async kill(): Promise<void> {
    const at = this.#random.pickIndex(TASKS)
    const task = this.#tasks[at]
    if (task === undefined) return
    this.#tasks[at] = undefined
    this.kills++
    task.kill('SIGKILL')
    await task.ended
    await this.start(at)
  }

  async bid(): Promise<void> {
    const task = this.#running()
    if (task === undefined) return
    const url = `http://127.0.0.1:${task.port}/${TENANT}/openrtb2/adx`
    const headers = { 'content-type': 'application/json' }
    let bid: Bid | undefined
    try {
      const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(REQUEST) })
      if (answer.status !== 200) return
      bid = ((await answer.json()) as { seatbid: { bid: Bid[] }[] }).seatbid[0]?.bid[0]
    } catch {
      // The task died with the request.
    }
    if (bid === undefined) return
    this.bids++
    const random = this.#random
    if (random.chance(0.3)) return
    const cpm = random.chance(0.5) ? bid.price : bid.price * random.unit()
    const price = cpm.toFixed(6)
    for (let times = random.chance(0.1) ? 2 : 1; times > 0; times--)
      this.#bills.push(this.#bill(bid, price, random.between(0, 3_000)))
  }

  async #bill({ id, burl }: Bid, price: string, afterMs: number): Promise<void> {
    await sleep(afterMs)
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the macro as an exchange finds it
    const { pathname, search } = new URL(burl.replace('${AUCTION_PRICE}', price))
    for (let tries = 0; tries < 200; tries++, await sleep(200)) {
      try {
        const answer = await fetch(`http://127.0.0.1:${this.#running()?.port}${pathname}${search}`)
        if (answer.status >= 500) continue
        expect(answer.status).toBeLessThan(300)
        this.acknowledged.set(id, Number(price) * 1e6)
        return
      } catch {
        // Another task, another time.
      }
    }
    throw new Error(`nobody takes the bill of ${id}`)
  }

  async settle(): Promise<void> {
    await Promise.all(this.#bills)
  }

  async end(): Promise<void> {
    await Promise.all(
      this.#tasks.map(async task => {
        task?.kill('SIGTERM')
        expect(await task?.ended).toBe(0)
      }),
    )
  }
}

async function lineItemAccounts(redis: Redis) {
  const names = (await redis.smembers(`t:{${TENANT}}:spend:accounts`)).filter(name => name.startsWith('l/'))
  return await Promise.all(
    names.map(async name => {
      const fields = await redis.hgetall(`t:{${TENANT}}:spend:account:${name}`)
      const of = (field: string) => Number(fields[field] ?? 0)
      return { name, spent: of('base') + of('booked'), late: of('late'), excess: of('excess'), leased: of('leased') }
    }),
  )
}

test('four tasks, kills and a cache that pauses: each bill counts once, and no budget is exceeded', async () => {
  const seed = Number(process.env.SEED ?? 21)
  console.log(`seed ${seed}`)
  const random = new Random(seed)
  const server = await startRedis()
  cleanups.push(() => server.stop())
  const redis = new Redis(server.url)
  cleanups.push(() => redis.disconnect())
  await redis.hset(`t:{${TENANT}}:spend:epoch`, { id: 'begun', opens: 0, at: 0, wall: 0 })
  const state = await budgetedTenant()
  const env = {
    ...{ TENANT_ID: TENANT, STATE_URL: `file:${state}`, SPEND_URL: server.url, PUBLIC_URL: 'https://ads.example.com' },
    ...{ NOTICE_KEYS: `k1:${'s'.repeat(32)}`, BID_THREADS: '2', DRAIN_S: '5', CACHE_TIMEOUT_MS: '500' },
  }
  const journals = await Promise.all(Array.from({ length: TASKS }, folder))
  const market = new Market(env, journals, random)
  await Promise.all(journals.map((_, at) => market.start(at)))

  const endMs = performance.now() + BIDDING_MS
  const killing = (async () => {
    while (performance.now() + KILL_EVERY_MS < endMs) {
      await sleep(KILL_EVERY_MS)
      await market.kill()
    }
  })()
  const pausing = (async () => {
    await sleep(BIDDING_MS / 2)
    server.pause()
    await sleep(2_000)
    server.resume()
  })()
  while (performance.now() < endMs) {
    await Promise.all(Array.from({ length: 8 }, () => market.bid()))
    await sleep(10)
  }
  await Promise.all([killing, pausing])
  await market.settle()
  // What journals hold is told to the ledger before a task ends.
  await market.end()

  const accounts = await lineItemAccounts(redis)
  const spent = accounts.reduce((sum, account) => sum + account.spent, 0)
  const billed = [...market.acknowledged.values()].reduce((sum, nanos) => sum + nanos, 0)
  const facts = { bids: market.bids, billed: market.acknowledged.size, kills: market.kills, spent, accounts }
  console.log(`bids ${facts.bids}, billed ${facts.billed}, kills ${facts.kills}, spent ${spent / NANOS}`)
  expect(market.kills).toBeGreaterThan(0)
  expect(Math.abs(spent - billed), JSON.stringify(facts)).toBeLessThan(market.acknowledged.size)
  for (const { name, spent: its, late, excess, leased } of accounts) {
    expect(its - late + leased, name).toBeLessThanOrEqual(BUDGET * NANOS)
    expect(excess, name).toBe(0)
  }
  expect(accounts.some(({ spent: its, leased }) => its + leased > 0.8 * BUDGET * NANOS)).toBe(true)
})
