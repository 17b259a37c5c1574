/** What the rows of faults that touch money have in common: a tenant with budgets, a ledger, tasks and an exchange. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { type RedisServer, startRedis } from '../redis-server.ts'
import { runService, type ServiceRun } from '../wire/service-run.ts'

/** Whose money it is. */
export const TENANT = 'acme-outdoor'
/** Of its keys in a ledger. */
export const SPEND = `t:{${TENANT}}:spend:`
const DIRECTORY = fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))
const REQUEST = '{"id":"r","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'
/** Signs the notices of all tasks, unless they are told otherwise. */
export const NOTICE_KEY = `k1:${'s'.repeat(32)}`
const SETTINGS = {
  ...{ TENANT_ID: TENANT, PUBLIC_URL: 'https://ads.example.com', NOTICE_KEYS: NOTICE_KEY },
  ...{ BID_THREADS: '1', DRAIN_S: '3', CACHE_TIMEOUT_MS: '1000' },
}
const UNTIL_MS = 60_000

/** A bid as the exchange has it. */
export interface SentBid {
  readonly id: string
  readonly price: number
  readonly burl: string
}

/** What a test has started; all of it ends with `end`. */
export class MoneyStage {
  readonly #cleanups: (() => unknown)[] = []

  /** Ends what was started, the last first. */
  async end(): Promise<void> {
    for (const cleanup of this.#cleanups.splice(0).reverse()) await cleanup()
  }

  later(cleanup: () => unknown): void {
    this.#cleanups.push(cleanup)
  }

  async folder(): Promise<string> {
    const made = await mkdtemp(join(tmpdir(), 'bidcell-money-'))
    this.later(() => rm(made, { recursive: true, force: true }))
    return made
  }

  /** The sample tenant with a strict budget on every line item and no plan. @returns its directory */
  async tenant(total: number): Promise<string> {
    const state = join(await this.folder(), TENANT)
    await cp(DIRECTORY, state, { recursive: true })
    await changed(join(state, 'lineItems.json'), ({ pacing: _, ...rest }) => ({ ...rest, budget: { total } }))
    await changed(join(state, 'campaigns.json'), ({ pacing: _, budget: __, ...rest }) => rest)
    return state
  }

  /** A Redis whose ledger knows that nothing was ever spent, as `npm run spend -- begin` leaves it. */
  async ledger(args: readonly string[] = []): Promise<{ server: RedisServer; redis: Redis }> {
    const server = await startRedis({ args })
    this.later(() => server.stop())
    const redis = this.client(server)
    await redis.hset(`${SPEND}epoch`, { id: 'begun', opens: 0, at: 0, wall: 0 })
    return { server, redis }
  }

  client(server: RedisServer): Redis {
    const redis = new Redis(server.url)
    redis.on('error', () => {})
    this.later(() => redis.disconnect())
    return redis
  }

  /** A task that is ready. */
  async task(env: Readonly<Record<string, string>>): Promise<ServiceRun> {
    const run = await runService({ ...SETTINGS, ...env })
    this.later(() => run.kill('SIGKILL'))
    await run.entry('ready')
    return run
  }
}

async function changed(file: string, change: (record: Record<string, unknown>) => object): Promise<void> {
  const records = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>[]
  await writeFile(file, JSON.stringify(records.map(change)))
}

/** One bid request. @returns its status, and the bid where there is one */
export async function ask(run: ServiceRun): Promise<{ readonly status: number; readonly bid?: SentBid }> {
  const url = `http://127.0.0.1:${run.port}/${TENANT}/openrtb2/adx`
  const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: REQUEST })
  const text = await answer.text()
  if (answer.status !== 200) return { status: answer.status }
  const { seatbid } = JSON.parse(text) as { seatbid: { bid: SentBid[] }[] }
  return { status: 200, bid: seatbid[0]?.bid[0] as SentBid }
}

/** So many bids, however often a busy task turns requests away. */
export async function bidsOf(run: ServiceRun, count: number): Promise<SentBid[]> {
  const found: SentBid[] = []
  await until(async () => {
    const { bid } = await ask(run)
    if (bid !== undefined) found.push(bid)
    return found.length === count
  }, 0)
  return found
}

/** Calls an address of a bid as an exchange does, at this task. @returns the status */
export async function call(run: ServiceRun, url: string, price = '1'): Promise<number> {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the macro as an exchange finds it
  const { pathname, search } = new URL(url.replace('${AUCTION_PRICE}', price))
  return (await fetch(`http://127.0.0.1:${run.port}${pathname}${search}`, { redirect: 'manual' })).status
}

/** Bills it until the task says that it has it, as an exchange does. */
export async function bill(run: ServiceRun, { burl }: SentBid, price = '1'): Promise<void> {
  let last: unknown
  await until(async () => {
    last = await call(run, burl, price).catch(error => error)
    return last === 204
  }).catch(error => {
    throw new Error(`no task takes the bill: ${last}\n${run.lines.slice(-3).join('\n')}`, { cause: error })
  })
}

/** What the ledger has booked for all exchanges: nanos and bookings. */
export async function tallied(redis: Redis): Promise<{ readonly nanos: number; readonly bookings: number }> {
  let [nanos, bookings] = [0, 0]
  for (const key of await redis.keys(`${SPEND}account:x/*`)) {
    const { base = '0', booked = '0', count = '0' } = await redis.hgetall(key)
    nanos += Number(base) + Number(booked)
    bookings += Number(count)
  }
  return { nanos, bookings }
}

/** All line items' accounts in nanos. */
export async function lineItemAccounts(redis: Redis) {
  const names = (await redis.smembers(`${SPEND}accounts`)).filter(name => name.startsWith('l/'))
  return await Promise.all(
    names.map(async name => {
      const fields = await redis.hgetall(`${SPEND}account:${name}`)
      const of = (field: string) => Number(fields[field] ?? 0)
      return { name, spent: of('base') + of('booked'), late: of('late'), excess: of('excess'), leased: of('leased') }
    }),
  )
}

/** The sum of a metric's values whose labels hold a text; 0 where there is none yet. */
export async function metric(run: ServiceRun, name: string, label = ''): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${run.adminPort}/metrics`)).text()
  const lines = text.split('\n').filter(line => /^bidcell_\w+/.exec(line)?.[0] === `bidcell_${name}`)
  const found = lines.filter(line => line.includes(label))
  return found.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

/** @throws Error when it does not come to hold in time, a minute if not told otherwise */
export async function until(holds: () => Promise<boolean> | boolean, pauseMs = 50, limitMs = UNTIL_MS): Promise<void> {
  for (const untilMs = performance.now() + limitMs; !(await holds()); await sleep(pauseMs))
    if (performance.now() > untilMs) throw new Error(`it did not come to hold: ${holds}`)
}
