import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterEach, expect, test } from 'vitest'
import { publishTenant } from '../../service/remote-cache/publisher.ts'
import { readTenantDirectory } from '../../service/remote-cache/tenant-directory.ts'
import { freePort, startRedis } from '../redis-server.ts'
import { RawConnection, rawPost } from '../wire/raw-connection.ts'
import { runService, type ServiceRun } from '../wire/service-run.ts'
import { type LoadBalancer, startLoadBalancer } from './haproxy.ts'

const REPETITIONS = Number(process.env.ROLLING_REPETITIONS ?? 20)
/** Checkout of another version, whose tasks are replaced by ours, and ours by its, and so on. */
const OTHER = process.env.ROLLING_OTHER
const TENANT = 'acme-outdoor'
const DIRECTORY = fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))
const BODY = '{"id":"r1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'
const BID = rawPost({ path: `/${TENANT}/openrtb2/adx`, body: BODY })
/** As many as keep one after the other busy: the machine is full. */
const CONNECTIONS = 24
/** One bid in so many is billed: each is made safe on a disk or in the ledger before it is acknowledged. */
const BILLED_EVERY = 20

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** What the exchange behind the proxy has seen. */
interface Seen {
  readonly statuses: Record<string, number>
  readonly billed: string[]
}

/** An exchange with kept connections, each with one request after another, until told to stop. */
function startExchange(proxy: LoadBalancer): { seen: Seen; stop: () => Promise<void> } {
  const seen: Seen = { statuses: {}, billed: [] }
  let isOver = false
  const exchange = async (connection: RawConnection, bytes: Buffer | string, kind: string) => {
    connection.write(bytes)
    const answer = await connection.answer().catch(() => undefined)
    const what = `${kind} ${answer?.status ?? 'unanswered'}`
    seen.statuses[what] = (seen.statuses[what] ?? 0) + 1
    return answer
  }
  const one = async () => {
    let connection = await RawConnection.open(proxy.port)
    for (let n = 0; !isOver; n++) {
      if (connection.isClosed) connection = await RawConnection.open(proxy.port)
      const answer = await exchange(connection, BID, 'bid')
      if (answer?.status !== 200 || n % BILLED_EVERY !== 0) continue
      const { burl, id, price } = JSON.parse(answer.body.toString()).seatbid[0].bid[0]
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the macro as an exchange finds it
      const { pathname, search } = new URL(String(burl).replace('${AUCTION_PRICE}', String(price)))
      const billed = await exchange(connection, `GET ${pathname}${search} HTTP/1.1\r\nHost: x\r\n\r\n`, 'notice')
      if (billed?.status === 204) seen.billed.push(String(id))
    }
    connection.close()
  }
  const all = Promise.all(Array.from({ length: CONNECTIONS }, one))
  // Whoever waits for it is told; a test that failed before does not.
  all.catch(() => {})
  return {
    seen,
    stop: async () => {
      isOver = true
      await all
    },
  }
}

async function startTask(env: Readonly<Record<string, string>>, port: number, isOther: boolean): Promise<ServiceRun> {
  const settings = { ...env, PORT: String(port) }
  const run = isOther ? await runService(settings, join(String(OTHER), 'service/main.ts')) : await runService(settings)
  cleanups.push(() => run.kill('SIGKILL'))
  return run
}

/** Cache with the tenant's state, and the settings of its tasks. */
async function ground(): Promise<{ redis: Redis; env: Record<string, string> }> {
  const server = await startRedis()
  cleanups.push(() => server.stop())
  const redis = new Redis(server.url)
  cleanups.push(() => redis.disconnect())
  await redis.hset(`t:{${TENANT}}:spend:epoch`, { id: 'begun', opens: 0, at: 0, wall: 0 })
  await publishTenant({ redis, tenantId: TENANT, documents: readTenantDirectory(DIRECTORY) })
  const journal = await mkdtemp(join(tmpdir(), 'bidcell-rolling-'))
  cleanups.push(() => rm(journal, { recursive: true, force: true }))
  return {
    redis,
    env: {
      ...{ TENANT_ID: TENANT, STATE_URL: server.url, JOURNAL_DIR: journal, PUBLIC_URL: 'https://ads.example.com' },
      ...{ NOTICE_KEYS: `k1:${'s'.repeat(32)}`, BID_THREADS: '2', DRAIN_S: '8' },
    },
  }
}

test(`${REPETITIONS} rolling updates of two tasks under load lose no request and no notice (fault 11)`, async () => {
  const { redis, env } = await ground()
  const ports = await Promise.all(Array.from({ length: 4 }, freePort))
  const proxy = await startLoadBalancer(TENANT, ports)
  cleanups.push(() => proxy.stop())
  const start = async (at: number) => {
    const task = await startTask(env, ports[at] as number, OTHER !== undefined && at < 2)
    await proxy.untilState(ports[at] as number, 'UP').catch((error: unknown) => {
      throw new Error(`${String(error)}:\n${[...task.lines, ...task.errors].slice(-5).join('\n')}`)
    })
    return task
  }
  let serving = [await start(0), await start(1)]
  const exchange = startExchange(proxy)
  for (let repetition = 1; repetition <= REPETITIONS; repetition++) {
    const free = repetition % 2 === 1 ? [2, 3] : [0, 1]
    // As a scheduler does: the new ones first, and then SIGTERM, of which the load balancer learns by readiness alone.
    const next = [await start(free[0] as number), await start(free[1] as number)]
    for (const task of serving) {
      task.kill('SIGTERM')
      expect(await task.ended, `repetition ${repetition}`).toBe(0)
      expect(String((await task.entry('stopped')).phases)).not.toMatch(/failed|close timed-out|ledger timed-out/)
    }
    serving = next
    console.log(`repetition ${repetition}: ${JSON.stringify(exchange.seen.statuses)}`)
    expect(Object.keys(exchange.seen.statuses).filter(what => !/^(bid 20[04]|notice 204)$/.test(what))).toEqual([])
  }
  await exchange.stop()
  for (const task of serving) task.kill('SIGTERM')
  for (const task of serving) expect(await task.ended).toBe(0)

  expect(exchange.seen.statuses['bid 200']).toBeGreaterThan(200 * REPETITIONS)
  const events = await redis.xrange(`t:{${TENANT}}:event:stream`, '-', '+')
  const billed = new Set(events.filter(([, fields]) => fields.includes('billing')).map(([, fields]) => bidOf(fields)))
  expect(exchange.seen.billed.length).toBeGreaterThan(0)
  expect(exchange.seen.billed.filter(id => !billed.has(id))).toEqual([])
})

/** The bid that an event of the stream is about. */
function bidOf(fields: readonly string[]): string | undefined {
  return fields[fields.indexOf('bid') + 1]
}
