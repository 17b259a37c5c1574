import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { publishTenant } from '../../service/remote-cache/publisher.ts'
import { readTenantDirectory } from '../../service/remote-cache/tenant-directory.ts'
import { type RedisServer, startRedis } from '../redis-server.ts'
import { type Load, startLoad } from '../wire/load.ts'
import { runService, type ServiceRun } from '../wire/service-run.ts'
import { FaultyProxy, TOXICS } from './faulty-proxy.ts'

const TENANT = 'acme-outdoor'
const DIRECTORY = fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))
/** The cache stands still for so long; by hand for longer. */
const PAUSE_MS = Number(process.env.PAUSE_MS ?? 2_500)
const MIB = 1024 * 1024
const WAIT = { timeout: 60_000, interval: 50 }

let server: RedisServer
let proxy: FaultyProxy
let run: ServiceRun
let load: Load

beforeAll(async () => {
  server = await startRedis()
  proxy = await FaultyProxy.start(server.port)
  await publish()
  const env = { TENANT_ID: TENANT, STATE_URL: proxy.url, CACHE_TIMEOUT_MS: '300', DRAIN_S: '2', BID_THREADS: '1' }
  run = await runService(env)
  await run.entry('ready')
  load = startLoad(run.port, `/${TENANT}/openrtb2/adx`, { connections: 2, pauseMs: 10 })
}, 60_000)
afterAll(async () => {
  await load.stop()
  run.kill('SIGKILL')
  await run.ended
  await proxy.close()
  await server.stop()
})

/** Not through the proxy. @returns the number of the announcement */
async function publish(): Promise<number> {
  const redis = new Redis(server.url)
  try {
    const outcome = await publishTenant({ redis, tenantId: TENANT, documents: readTenantDirectory(DIRECTORY) })
    return outcome.kind === 'published' ? outcome.announcement.number : 0
  } finally {
    redis.disconnect()
  }
}

async function announcementServed(): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${run.adminPort}/state`)
  return ((await answer.json()) as { announcement: number }).announcement
}

async function gauge(name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${run.adminPort}/metrics`)).text()
  return Number(new RegExp(`^bidcell_${name}\\{[^}]*\\} (\\S+)`, 'm').exec(text)?.[1])
}

/** Bids during something: none fails, none is an error, and there are some. */
async function bidsDuring(what: () => Promise<void>): Promise<void> {
  const before = load.seen.statuses.get(200) ?? 0
  await what()
  const { statuses, failed } = load.seen
  expect(failed).toBe(0)
  // A busy machine sheds some, with 204.
  expect([...statuses.keys()].filter(status => status !== 200 && status !== 204)).toEqual([])
  expect(statuses.get(200) ?? 0).toBeGreaterThan(before)
  expect(run.errors).toEqual([])
}

async function isUnreachable(): Promise<boolean> {
  return (await gauge('cache_reachable')) === 0
}

describe('a service under load, whose cache fails', () => {
  test.each(TOXICS)(
    '(fault 6) in the way of one %s, bids as ever and takes what was published meanwhile',
    async (_, faults) => {
      await bidsDuring(async () => {
        proxy.fail(faults)
        proxy.cut()
        await sleep(400)
        const number = await publish()
        await sleep(200)
        proxy.heal()
        await expect.poll(announcementServed, WAIT).toBe(number)
      })
    },
  )

  test('(fault 3) by standing still: it is noticed, nothing piles up, and it catches up', async () => {
    const rssBytes = run.rssBytes()
    await bidsDuring(async () => {
      server.pause()
      await expect.poll(isUnreachable, WAIT).toBe(true)
      await sleep(PAUSE_MS)
      // Of the young generation of a thread that bids, and of nothing that waits for the cache.
      expect((run.rssBytes() - rssBytes) / MIB).toBeLessThan(40)
      expect(await gauge('state_age_seconds')).toBeGreaterThan(PAUSE_MS / 1_000 / 2)
      server.resume()
      const number = await publish()
      await expect.poll(announcementServed, WAIT).toBe(number)
    })
    expect(await isUnreachable()).toBe(false)
  })

  test('(fault 2) by being killed: the age of the state rises, and what comes back is followed', async () => {
    await bidsDuring(async () => {
      await server.kill()
      await expect.poll(isUnreachable, WAIT).toBe(true)
      await expect.poll(() => gauge('state_age_seconds'), WAIT).toBeGreaterThan(1)
      server = await startRedis({ port: server.port })
      // It is empty: its numbers begin again.
      expect(await publish()).toBe(1)
      await expect.poll(announcementServed, WAIT).toBe(1)
    })
  })
})
