import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterAll, describe, expect, test } from 'vitest'
import { publishTenant } from '../../service/remote-cache/publisher.ts'
import { readTenantDirectory } from '../../service/remote-cache/tenant-directory.ts'
import { putRawVersion, rawKinds } from '../raw-version.ts'
import { freePort, type RedisServer, startRedis } from '../redis-server.ts'
import { type LoadSeen, startLoad } from './load.ts'
import { exchangeBytes, RawConnection, rawPost } from './raw-connection.ts'
import { runService, type ServiceRun } from './service-run.ts'

const TENANT = 'acme-outdoor'
const DIRECTORY = fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))
const PATH = `/${TENANT}/openrtb2/adx`
const BODY = '{"id":"r1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'
const MIB = 1_024 * 1_024

/** A busy machine sheds some, with 204. */
const oddStatuses = ({ statuses }: LoadSeen) => [...statuses.keys()].filter(status => status !== 200 && status !== 204)
const bidStatus = async (run: ServiceRun) =>
  (await exchangeBytes(run.port, rawPost({ path: PATH, body: BODY })))?.status
const healthStatus = async (run: ServiceRun, kind: 'ready' | 'live') =>
  (await exchangeBytes(run.port, `GET /${TENANT}/health/${kind} HTTP/1.1\r\nHost: x\r\n\r\n`))?.status

function expectIdentity(run: ServiceRun, tenantId = TENANT): void {
  expect(run.lines.length).toBeGreaterThan(0)
  for (const line of run.lines) {
    const entry: unknown = JSON.parse(line)
    expect(entry, line).toMatchObject({ tenant_id: tenantId, tier_id: 'standard', region: 'local' })
    expect(line.length).toBeLessThan(16 * 1_024)
  }
}

describe('settings that are wrong', () => {
  test('are all told at once, in lines with what identity there is, and end the process with 78', async () => {
    const run = await runService({
      ...{ TENANT_ID: TENANT, STATE_URL: 'http://user:hunter2@x', PORT: '70000', BID_THREADS: '0' },
      ...{ METRICS_SINK: 'x', MEMORY_WARN_PERCENT: '-1', ALB_IDLE_TIMEOUT_S: '1.5' },
    })
    expect(await run.ended).toBe(78)
    expectIdentity(run)
    const told = run.lines.join('\n')
    for (const name of [
      'STATE_URL',
      'PORT',
      'BID_THREADS',
      'METRICS_SINK',
      'MEMORY_WARN_PERCENT',
      'ALB_IDLE_TIMEOUT_S',
    ])
      expect(told).toContain(`${name} must be`)
    expect(told).not.toContain('hunter2')
    expect(run.errors).toEqual([])
  })

  test('include those that are missing', async () => {
    const run = await runService({ TENANT_ID: '', TIER_ID: '', REGION: '' })
    expect(await run.ended).toBe(78)
    const told = run.lines.join('\n')
    for (const name of ['TENANT_ID', 'TIER_ID', 'REGION', 'STATE_URL']) expect(told).toContain(name)
    for (const line of run.lines) JSON.parse(line)
  })
})

describe('a service whose cache comes and goes', () => {
  let redis: RedisServer | undefined
  let client: Redis | undefined
  let run: ServiceRun
  let cachePort: number
  const cache = () => client as Redis

  const publish = () => publishTenant({ redis: cache(), tenantId: TENANT, documents: readTenantDirectory(DIRECTORY) })
  async function state(): Promise<{ readonly announcement: number }> {
    const answer = await fetch(`http://127.0.0.1:${run.adminPort}/state`)
    return (await answer.json()) as { announcement: number }
  }
  async function untilAnnouncement(number: number): Promise<void> {
    for (const untilMs = performance.now() + 10_000; (await state()).announcement !== number; await sleep(20))
      if (performance.now() > untilMs) throw new Error(`announcement ${number} is not served`)
  }

  afterAll(async () => {
    run?.kill('SIGKILL')
    client?.disconnect()
    await redis?.stop()
  })

  test('(faults 1 and 14) is up without it: not ready, live, and bids are answered at once with no bid', async () => {
    cachePort = await freePort()
    const url = `redis://127.0.0.1:${cachePort}`
    run = await runService({ TENANT_ID: TENANT, STATE_URL: url, DRAIN_S: '4', BID_THREADS: '2' })
    await run.entry('cache-unreachable')
    expect(await healthStatus(run, 'ready')).toBe(503)
    expect(await healthStatus(run, 'live')).toBe(200)
    const connection = await RawConnection.open(run.port)
    let fastestMs = Number.POSITIVE_INFINITY
    for (let round = 0; round < 100; round++) {
      const startMs = performance.now()
      connection.write(rawPost({ path: PATH, body: BODY }))
      expect((await connection.answer())?.status).toBe(204)
      fastestMs = Math.min(fastestMs, performance.now() - startMs)
    }
    connection.close()
    expect(fastestMs).toBeLessThan(5)
  })

  test('(fault 1) is ready within two seconds of its return', async () => {
    redis = await startRedis({ port: cachePort })
    client = new Redis(cachePort, '127.0.0.1')
    // It is killed below.
    client.on('error', () => {})
    const outcome = await publish()
    expect(outcome.kind).toBe('published')
    const startMs = performance.now()
    await run.entry('ready')
    expect(performance.now() - startMs).toBeLessThan(2_000)
    expect(await healthStatus(run, 'ready')).toBe(200)
    expect(await bidStatus(run)).toBe(200)
  })

  test('(fault 9) refuses a version that is unusable, names why, and serves the one before', async () => {
    const { announcement } = await state()
    const kinds = rawKinds({ lineItems: 5, seed: 1 })
    const broken = {
      ...kinds,
      settings: [['{"name":"x","status":"active","timeZone":"Mars/Olympus","currency":"USD"}']],
    }
    await putRawVersion(cache(), { tenantId: TENANT, version: 'unusable' }, broken)
    expect(await run.entry('state-refused')).toMatchObject({ version: 'unusable', level: 'error' })
    expect(String((await run.entry('record-refused')).msg)).toContain('timeZone')
    expect((await state()).announcement).toBe(announcement)
    expect(await bidStatus(run)).toBe(200)
    expect(await healthStatus(run, 'ready')).toBe(200)
  })

  test('refuses a version without exchanges, because it cannot bid on its own request', async () => {
    const { exchanges: _, ...kinds } = rawKinds({ lineItems: 5, seed: 1 })
    const { announcement } = await state()
    await putRawVersion(cache(), { tenantId: TENANT, version: 'mute' }, kinds)
    for (const untilMs = performance.now() + 5_000; performance.now() < untilMs; await sleep(20))
      if (run.lines.some(line => line.includes('"version":"mute"') && line.includes('state-refused'))) break
    expect(run.lines.some(line => line.includes('"version":"mute"') && line.includes('state-refused'))).toBe(true)
    expect((await state()).announcement).toBe(announcement)
    expect(await bidStatus(run)).toBe(200)
  })

  test('takes new versions under load without a failed request and without growing', { timeout: 60_000 }, async () => {
    const load = startLoad(run.port, PATH)
    const rss: number[] = []
    for (let round = 0; round < 7; round++) {
      const outcome = await publish()
      expect(outcome.kind).toBe('published')
      if (outcome.kind === 'published') await untilAnnouncement(outcome.announcement.number)
      await sleep(200)
      rss.push(run.rssBytes())
    }
    const seen = await load.stop()
    expect(seen.failed).toBe(0)
    expect(oddStatuses(seen)).toEqual([])
    expect(seen.statuses.get(200)).toBeGreaterThan(500)
    expect((rss.at(-1) as number) - (rss[1] as number), rss.join()).toBeLessThan(30 * MIB)
  })

  test('bids on when the cache is gone', async () => {
    await redis?.kill()
    await sleep(1_500)
    expect(await bidStatus(run)).toBe(200)
    expect(await healthStatus(run, 'ready')).toBe(200)
  })

  test('drains under load: no failed request, answers close connections, and it exits with 0 (fault 11)', async () => {
    const load = startLoad(run.port, PATH)
    await sleep(300)
    run.kill('SIGTERM')
    let seen: LoadSeen | undefined
    for (let look = 0; look < 50 && seen === undefined; look++) {
      await sleep(50)
      // The load balancer looks away once the readiness check fails.
      if ((await healthStatus(run, 'ready')) === 503) seen = await sleep(300).then(() => load.stop())
    }
    expect(seen).toBeDefined()
    expect(seen?.failed).toBe(0)
    expect(seen?.closes).toBeGreaterThan(8)
    expect(seen && oddStatuses(seen)).toEqual([])
    expect(await run.ended).toBe(0)
    const { phases } = await run.entry('stopped')
    expect(String(phases)).toMatch(
      /drain done \d+ ms,close done \d+ ms,ledger done \d+ ms,release done \d+ ms,report done \d+ ms/,
    )
    expectIdentity(run)
    expect(run.errors).toEqual([])
  })
})

describe('a service that is told to end', () => {
  const settings = { TENANT_ID: TENANT, STATE_URL: `file:${DIRECTORY}` }

  test('twice ends at once (fault 12)', async () => {
    const run = await runService({ ...settings, DRAIN_S: '60' })
    await run.entry('ready')
    const load = startLoad(run.port, PATH, { connections: 2 })
    run.kill('SIGTERM')
    await run.entry('draining')
    await sleep(200)
    const startMs = performance.now()
    run.kill('SIGTERM')
    expect(await run.ended).toBe(0)
    expect(performance.now() - startMs).toBeLessThan(1_500)
    await load.stop()
    expectIdentity(run)
  })

  test('before it is ready ends in order', async () => {
    const run = await runService({ ...settings, STATE_URL: `redis://127.0.0.1:${await freePort()}`, DRAIN_S: '2' })
    await run.entry('cache-unreachable')
    run.kill('SIGINT')
    expect(await run.ended).toBe(0)
    expectIdentity(run)
  })

  test('while requests keep coming ends inside of its time (fault 12)', async () => {
    const run = await runService({ ...settings, DRAIN_S: '3' })
    await run.entry('ready')
    const load = startLoad(run.port, PATH, { connections: 2, pauseMs: 10 })
    const startMs = performance.now()
    run.kill('SIGTERM')
    expect(await run.ended).toBe(0)
    expect(performance.now() - startMs).toBeLessThan(3_500)
    await load.stop()
  })
})

describe('a service whose port is taken', () => {
  test.each(['PORT', 'ADMIN_PORT'])('names %s and ends with 78, and the one before serves on', async setting => {
    const settings = { TENANT_ID: TENANT, STATE_URL: `file:${DIRECTORY}`, BID_THREADS: '1' }
    const first = await runService(settings)
    await first.entry('ready')
    const taken = String(setting === 'PORT' ? first.port : first.adminPort)
    const second = await runService({ ...settings, [setting]: taken })
    expect(await second.ended).toBe(78)
    expect((await second.entry('config-invalid')).msg).toMatch(`${setting} ${taken} is taken by another process`)
    expect(second.errors).toEqual([])
    expect((await fetch(`http://127.0.0.1:${first.port}/health/ready`)).status).toBe(200)
    first.kill('SIGKILL')
    await first.ended
  })
})
