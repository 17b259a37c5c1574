import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterEach, describe, expect, test } from 'vitest'
import { LIMITS } from '../../service/limits.ts'
import { startRedis } from '../redis-server.ts'
import { RawConnection, rawPost } from './raw-connection.ts'
import { runService, type ServiceRun } from './service-run.ts'

const TENANT = 'acme-outdoor'
const DIRECTORY = fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))
const BODY = '{"id":"r1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'
const bidAt = (exchange: string) => rawPost({ path: `/${TENANT}/openrtb2/${exchange}`, body: BODY })
const READY = `GET /${TENANT}/health/ready HTTP/1.1\r\nHost: x\r\n\r\n`
const NOTICES = { PUBLIC_URL: 'https://ads.example.com', NOTICE_KEYS: `k1:${'s'.repeat(32)}` }

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function start(env: Readonly<Record<string, string>>): Promise<ServiceRun> {
  const run = await runService({ TENANT_ID: TENANT, BID_THREADS: '2', DRAIN_S: '2', ...env })
  cleanups.push(() => run.kill('SIGKILL'))
  await run.entry('ready')
  return run
}

/** The sample tenant, changed, in a folder of its own. */
async function tenantWith(change: (file: string, value: unknown) => unknown): Promise<string> {
  const state = await mkdtemp(join(tmpdir(), 'bidcell-turned-away-'))
  cleanups.push(() => Promise.all([state, `${state}.spend`].map(path => rm(path, { recursive: true, force: true }))))
  await cp(DIRECTORY, state, { recursive: true })
  for (const file of ['settings', 'exchanges']) {
    const path = join(state, `${file}.json`)
    await writeFile(path, JSON.stringify(change(file, JSON.parse(await readFile(path, 'utf8')))))
  }
  return `file:${state}`
}

/** Answers by status to requests that some connections send one after another. */
async function answers(run: ServiceRun, bytes: Buffer | string, how: { connections: number; ms: number }) {
  const statuses: Record<number, number> = {}
  const untilMs = performance.now() + how.ms
  const one = async () => {
    let connection = await RawConnection.open(run.port)
    while (performance.now() < untilMs) {
      if (connection.isClosed) connection = await RawConnection.open(run.port)
      connection.write(bytes)
      const status = (await connection.answer())?.status ?? 0
      statuses[status] = (statuses[status] ?? 0) + 1
    }
    connection.close()
  }
  const startMs = performance.now()
  await Promise.all(Array.from({ length: how.connections }, one))
  return { statuses, seconds: (performance.now() - startMs) / 1_000 }
}

async function shed(run: ServiceRun, cause: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${run.adminPort}/metrics`)).text()
  const line = text.split('\n').find(each => each.startsWith('bidcell_shed_total{') && each.includes(`"${cause}"`))
  return Number(line?.slice(line.lastIndexOf(' ')))
}

describe('a task whose memory fills', () => {
  const LIMIT_MIB = 800
  const BRIEF = { connections: 4, ms: 400 }
  let run: ServiceRun

  async function fillTo(percent: number): Promise<void> {
    run.inject({ thread: 0, kind: 'take-memory', mib: Math.round((LIMIT_MIB * percent) / 100) })
    // A look every quarter of a second, and the time to take or give back.
    await sleep(1_500)
  }
  async function sharesOf(): Promise<{ bids: number; shed: number }> {
    const before = await shed(run, 'memory')
    const { statuses } = await answers(run, bidAt('adx'), BRIEF)
    const all = Object.values(statuses).reduce((sum, count) => sum + count, 0)
    expect(Object.keys(statuses).filter(status => status !== '200' && status !== '204')).toEqual([])
    return { bids: (statuses[200] ?? 0) / all, shed: ((await shed(run, 'memory')) - before) / all }
  }

  test('warns, stops growing, sheds a share, sheds all bids and no notice, and recovers (fault 17)', {
    timeout: 60_000,
  }, async () => {
    const STATE_URL = await tenantWith((_file, value) => value)
    run = await start({ ...NOTICES, STATE_URL, MEMORY_LIMIT_MIB: String(LIMIT_MIB) })
    const bid = await fetch(`http://127.0.0.1:${run.port}/${TENANT}/openrtb2/adx`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: BODY },
    })
    const { burl, price } = ((await bid.json()) as { seatbid: { bid: { burl: string; price: number }[] }[] })
      .seatbid[0]!.bid[0]!
    expect((await sharesOf()).shed).toBe(0)

    await fillTo(73)
    expect(await run.entry('memory-warn')).toMatchObject({ level: 'warn' })
    expect((await sharesOf()).shed).toBe(0)

    await fillTo(88)
    expect(await run.entry('memory-critical')).toMatchObject({ level: 'error' })
    expect((await sharesOf()).shed).toBe(0)
    // A body in parts is kept until it is whole: that is growth.
    const slow = await RawConnection.open(run.port)
    const bytes = bidAt('adx')
    slow.write(bytes.subarray(0, bytes.length - 10))
    expect((await slow.answer())?.status).toBe(204)

    await fillTo(93.5)
    const { shed: part } = await sharesOf()
    expect(part).toBeGreaterThan(0.05)
    expect(part).toBeLessThan(0.95)

    await fillTo(98)
    expect((await sharesOf()).shed).toBe(1)
    expect((await answers(run, READY, { connections: 1, ms: 50 })).statuses).toHaveProperty('200')
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the macro as an exchange finds it
    const { pathname, search } = new URL(burl.replace('${AUCTION_PRICE}', String(price)))
    expect((await fetch(`http://127.0.0.1:${run.port}${pathname}${search}`)).status).toBe(204)

    await fillTo(60)
    await run.entry('memory-ok')
    expect((await sharesOf()).shed).toBe(0)
    expect((await sharesOf()).bids).toBeGreaterThan(0)
  })
})

describe('a quota of bid requests', () => {
  const PER_S = 100
  const quotas = (file: string, value: unknown): unknown => {
    if (file !== 'exchanges') return value
    const over = { adx: 'status-429', prebid: 'no-bid' } as Readonly<Record<string, string>>
    return (value as { id: string }[]).map(each =>
      each.id in over ? { ...each, requestsPerS: PER_S, overQuota: over[each.id] } : each,
    )
  }

  test('holds over all threads of a task, is answered as the exchange wants it, and is counted', async () => {
    const run = await start({ STATE_URL: await tenantWith(quotas) })
    for (const [exchange, status] of [
      ['adx', 429],
      ['prebid', 204],
    ] as const) {
      const before = await shed(run, 'exchange-quota')
      const { statuses, seconds } = await answers(run, bidAt(exchange), { connections: 8, ms: 2_000 })
      const turnedAway = (await shed(run, 'exchange-quota')) - before
      const all = Object.values(statuses).reduce((sum, count) => sum + count, 0)
      expect(all).toBeGreaterThan(4 * PER_S * seconds)
      expect(all - turnedAway).toBeGreaterThan(0.9 * PER_S * seconds)
      expect(all - turnedAway).toBeLessThanOrEqual(PER_S * (seconds + 0.25) + 2)
      expect(statuses[status]).toBeGreaterThanOrEqual(turnedAway)
    }
    const { statuses } = await answers(run, bidAt('magnite'), { connections: 4, ms: 300 })
    expect(statuses[429]).toBeUndefined()
  })

  test('is divided among the tasks that live', { timeout: 60_000 }, async () => {
    const server = await startRedis()
    cleanups.push(() => server.stop())
    const redis = new Redis(server.url)
    cleanups.push(() => redis.disconnect())
    await redis.hset(`t:{${TENANT}}:spend:epoch`, { id: 'begun', opens: 0, at: 0, wall: 0 })
    const env = { ...NOTICES, STATE_URL: await tenantWith(quotas), SPEND_URL: server.url }
    const first = await start(env)
    const second = await start(env)
    const offered = { connections: 8, ms: 2_000 }
    // Told by the counts that tasks share, some times a second.
    await sleep(2_000)
    const passed = await Promise.all(
      [first, second].map(async run => {
        const { statuses, seconds } = await answers(run, bidAt('adx'), offered)
        return { count: (statuses[200] ?? 0) + (statuses[204] ?? 0), seconds }
      }),
    )
    for (const { count, seconds } of passed) {
      expect(count).toBeGreaterThan(0.4 * PER_S * seconds)
      // Undivided it would be twice as many.
      expect(count).toBeLessThan(1.4 * (PER_S / 2) * seconds)
    }
    second.kill('SIGTERM')
    await second.ended
    await sleep(LIMITS.capTaskSilentMs + 1_500)
    const { statuses, seconds } = await answers(first, bidAt('adx'), offered)
    expect((statuses[200] ?? 0) + (statuses[204] ?? 0)).toBeGreaterThan(0.9 * PER_S * seconds)
  })
})
