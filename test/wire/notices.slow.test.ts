import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterEach, describe, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../redis-server.ts'
import { runService, type ServiceRun } from './service-run.ts'

const TENANT = 'acme-outdoor'
const DIRECTORY = fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))
const BID_REQUEST = '{"id":"r1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'
const SETTINGS = {
  ...{ TENANT_ID: TENANT, PUBLIC_URL: 'https://ads.example.com', NOTICE_KEYS: `k1:${'s'.repeat(32)}` },
  ...{ BID_THREADS: '2', DRAIN_S: '4', CACHE_TIMEOUT_MS: '1000' },
}

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

interface SentBid {
  readonly id: string
  readonly price: number
  readonly cid: string
  readonly burl: string
  readonly nurl?: string
  readonly lurl?: string
}

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'bidcell-notices-'))
  cleanups.push(() => rm(made, { recursive: true, force: true }))
  return made
}

async function start(env: Readonly<Record<string, string>>): Promise<ServiceRun> {
  const run = await runService({ ...SETTINGS, STATE_URL: `file:${DIRECTORY}`, ...env })
  cleanups.push(() => run.kill('SIGKILL'))
  await run.entry('ready')
  return run
}

/** Asks until there is a bid: a machine that is busy sheds requests. */
async function bid(run: ServiceRun, exchange = 'adx'): Promise<SentBid> {
  const url = `http://127.0.0.1:${run.port}/${TENANT}/openrtb2/${exchange}`
  const headers = { 'content-type': 'application/json' }
  for (const untilMs = performance.now() + 10_000; performance.now() < untilMs; await sleep(20)) {
    const answer = await fetch(url, { method: 'POST', headers, body: BID_REQUEST })
    if (answer.status === 204) continue
    const { seatbid } = (await answer.json()) as { seatbid: { bid: SentBid[] }[] }
    return seatbid[0]?.bid[0] as SentBid
  }
  throw new Error('no bid')
}

/** Calls an address of a bid as an exchange does, at this task. */
async function call(run: ServiceRun, url: string, price: string, method = 'GET'): Promise<Response> {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the macro as an exchange finds it
  const filled = url.replace('${AUCTION_PRICE}', price)
  const { pathname, search } = new URL(filled)
  return await fetch(`http://127.0.0.1:${run.port}${pathname}${search}`, { method, redirect: 'manual' })
}

/** The sum of a metric's values whose labels hold a text. */
async function metric(run: ServiceRun, name: string, label = ''): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${run.adminPort}/metrics`)).text()
  const lines = text.split('\n').filter(line => /^bidcell_\w+/.exec(line)?.[0] === `bidcell_${name}`)
  const found = lines.filter(line => line.includes(label))
  if (found.length === 0) throw new Error(`no metric ${name} with ${label}:\n${lines.join('\n')}`)
  return found.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

/** A Redis whose ledger knows that nothing was ever spent, as `npm run spend -- begin` leaves it. */
async function openRedis(options: { readonly port?: number } = {}): Promise<{ server: RedisServer; redis: Redis }> {
  const server = await startRedis(options)
  cleanups.push(() => server.stop())
  const redis = new Redis(server.url)
  redis.on('error', () => {})
  cleanups.push(() => redis.disconnect())
  await redis.hset(`t:{${TENANT}}:spend:epoch`, { id: 'begun', opens: 0, at: 0, wall: 0 })
  return { server, redis }
}

async function spentNanos(redis: Redis, account: string): Promise<number> {
  const { base = '0', booked = '0' } = await redis.hgetall(`t:{${TENANT}}:spend:account:${account}`)
  return Number(base) + Number(booked)
}

async function events(redis: Redis): Promise<Record<string, string>[]> {
  const entries = await redis.xrange(`t:{${TENANT}}:event:stream`, '-', '+')
  return entries.map(([, fields]) => {
    return Object.fromEntries(fields.flatMap((name, i) => (i % 2 === 0 ? [[name, fields[i + 1] ?? '']] : [])))
  })
}

describe('a billing notice', () => {
  test('is booked once in all accounts, 100 times at two tasks, after an audit of it (fault 29)', async () => {
    const { server, redis } = await openRedis()
    const [first, second] = await Promise.all([start({ SPEND_URL: server.url }), start({ SPEND_URL: server.url })])
    const sent = await bid(first)
    expect((await call(first, sent.burl, 'AUDIT')).status).toBe(204)
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        call(i % 2 === 0 ? first : second, sent.burl, '1.5', i % 3 === 0 ? 'POST' : 'GET'),
      ),
    )
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([204]))
    expect(await spentNanos(redis, `c/${sent.cid}`)).toBe(1_500_000)
    const accounts = await redis.keys(`t:{${TENANT}}:spend:account:*`)
    const booked = await Promise.all(accounts.map(account => redis.hget(account, 'booked')))
    // Others may be there where the machine is so slow that leases are granted meanwhile.
    expect(booked.filter(nanos => nanos !== null)).toEqual(Array(5).fill('1500000'))
    const [audit, ...told] = (await events(redis)).filter(({ kind }) => kind === 'billing')
    expect(audit).toMatchObject({ key: `${sent.id}:billing:audit`, reading: 'audit' })
    expect(told[0]).toMatchObject({ key: `${sent.id}:billing`, bid: sent.id, campaign: sent.cid, nanos: '1500000' })
    expect(new Set(told.map(({ key }) => key)).size).toBe(1)
    expect(
      (await metric(first, 'bookings_total', '"booked"')) + (await metric(second, 'bookings_total', '"booked"')),
    ).toBe(1)
    expect((await metric(first, 'spend_total')) + (await metric(second, 'spend_total'))).toBe(0.0015)
  })
})

describe('notices while the ledger comes and goes', () => {
  test('are kept on the disk, over a kill, and booked once when it is back (fault 12)', async () => {
    const { server, redis } = await openRedis()
    const JOURNAL_DIR = await folder()
    const SPEND_URL = server.url
    const first = await start({ SPEND_URL, JOURNAL_DIR })
    const bids = await Promise.all(Array.from({ length: 30 }, () => bid(first)))
    const billed = (from: number, to: number) => bids.slice(from, to)
    for (const { burl } of billed(0, 10)) expect((await call(first, burl, '1')).status).toBe(204)
    server.pause()
    const away = await Promise.all(billed(5, 20).map(({ burl }) => call(first, burl, '1')))
    expect(away.map(({ status }) => status)).toEqual(away.map(() => 204))
    await first.entry('ledger-unreachable')
    first.kill('SIGKILL')
    await first.ended
    const second = await start({ SPEND_URL, JOURNAL_DIR })
    const later = await Promise.all(billed(15, 30).map(({ burl }) => call(second, burl, '1')))
    expect(later.map(({ status }) => status)).toEqual(later.map(() => 204))
    server.resume()
    await second.entry('ledger-reachable')
    const total = async () =>
      (await Promise.all([...new Set(bids.map(({ cid }) => cid))].map(cid => spentNanos(redis, `c/${cid}`)))).reduce(
        (sum, nanos) => sum + nanos,
      )
    await until(async () => (await total()) === 30_000_000)
    await until(async () => (await metric(second, 'notices_waiting')) === 0)
    expect(await total()).toBe(30_000_000)
    const keys = new Set((await events(redis)).filter(({ kind }) => kind === 'billing').map(({ bid: id }) => id))
    expect(keys).toEqual(new Set(bids.map(({ id }) => id)))
  })

  test('are turned away without a disk, to be sent again', async () => {
    const { server, redis } = await openRedis()
    const run = await start({ SPEND_URL: server.url })
    const sent = await bid(run)
    server.pause()
    const refused = await call(run, sent.burl, '1')
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '10'])
    server.resume()
    await until(async () => (await call(run, sent.burl, '1')).status === 204)
    expect(await spentNanos(redis, `c/${sent.cid}`)).toBe(1_000_000)
  })
})

test('SIGTERM amid notices: what was acknowledged is booked, and it ends in time with 0 (fault 11)', async () => {
  const { server, redis } = await openRedis()
  const run = await start({ SPEND_URL: server.url })
  const sent = await Promise.all(Array.from({ length: 60 }, () => bid(run)))
  const calls = sent.map(async ({ id, burl }, i) => {
    await sleep(i * 4)
    const status = await call(run, burl, '1').then(
      answer => answer.status,
      () => 0,
    )
    return { id, status }
  })
  await sleep(100)
  run.kill('SIGTERM')
  const answers = await Promise.all(calls)
  expect(await run.ended).toBe(0)
  const acknowledged = answers.filter(({ status }) => status === 204)
  expect(acknowledged.length).toBeGreaterThan(20)
  const known = await Promise.all(acknowledged.map(({ id }) => redis.exists(`t:{${TENANT}}:spend:key:${id}`)))
  expect(known.every(count => count === 1)).toBe(true)
  const told = new Set((await events(redis)).map(({ bid: id }) => id))
  expect(acknowledged.filter(({ id }) => !told.has(id))).toEqual([])
})

test('a ledger in files is of one process: a second one ends with 78 and says why', async () => {
  const SPEND_URL = `file:${await folder()}`
  const first = await start({ SPEND_URL })
  const second = await runService({ ...SETTINGS, STATE_URL: `file:${DIRECTORY}`, SPEND_URL })
  cleanups.push(() => second.kill('SIGKILL'))
  expect(await second.ended).toBe(78)
  expect(second.lines.join()).toMatch(/SPEND_URL or JOURNAL_DIR cannot be used: .*is the ledger of another process/)
  const sent = await bid(first)
  expect((await call(first, sent.burl, '1')).status).toBe(204)
  first.kill('SIGTERM')
  expect(await first.ended).toBe(0)
  const third = await start({ SPEND_URL })
  // What was booked before is known: the same notice changes nothing.
  expect((await call(third, sent.burl, '1')).status).toBe(204)
  expect(await metric(third, 'bookings_total', '"repeated"')).toBe(1)
})

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const untilMs = performance.now() + 10_000; !(await holds()); await sleep(50))
    if (performance.now() > untilMs) throw new Error('it did not come to hold in time')
}
