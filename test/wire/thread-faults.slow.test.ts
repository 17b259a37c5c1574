import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { LIMITS } from '../../service/limits.ts'
import { RawConnection, rawPost } from './raw-connection.ts'
import { runService, type ServiceRun } from './service-run.ts'

const TENANT = 'acme-outdoor'
const STATE_URL = `file:${fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))}`
const BODY = '{"id":"r1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'
const BID = rawPost({ path: `/${TENANT}/openrtb2/adx`, body: BODY })
const READY = `GET /${TENANT}/health/ready HTTP/1.1\r\nHost: x\r\n\r\n`
const LIVE = READY.replace('ready', 'live')
const CONNECTIONS = 24

let run: ServiceRun

async function serve(settings: Readonly<Record<string, string>> = {}): Promise<void> {
  run = await runService({ TENANT_ID: TENANT, STATE_URL, BID_THREADS: '2', DRAIN_S: '2', ...settings })
  await run.entry('ready')
}
afterEach(() => run.kill('SIGKILL'))

/** Connections enough that both bid threads have some. */
const openAll = () => Promise.all(Array.from({ length: CONNECTIONS }, () => RawConnection.open(run.port)))

/** What each connection gets for one request, in their order; undefined for one that closes without an answer. */
function ask(connections: readonly RawConnection[], bytes: Buffer | string): Promise<(number | undefined)[]> {
  return Promise.all(
    connections.map(async connection => {
      connection.write(bytes)
      return (await connection.answer())?.status
    }),
  )
}

/** All are answered and some bid; a busy machine sheds others. */
function expectBids(statuses: readonly (number | undefined)[]): void {
  expect(statuses.filter(status => status !== 200 && status !== 204)).toEqual([])
  expect(statuses).toContain(200)
}

/** Those of the connections whose thread answers within a moment. */
async function answered(connections: readonly RawConnection[], bytes: Buffer | string): Promise<RawConnection[]> {
  const quick: RawConnection[] = []
  const asked = connections.map(async connection => {
    connection.write(bytes)
    if ((await connection.answer())?.status === 200) quick.push(connection)
  })
  await Promise.race([Promise.all(asked), sleep(700)])
  return [...quick]
}

/** The sum of a metric's values, of those with a label. */
const counter = async (name: string, label = ''): Promise<number> => {
  const text = await (await fetch(`http://127.0.0.1:${run.adminPort}/metrics`)).text()
  const values = text.split('\n').filter(line => line.startsWith(`${name}{`) && line.includes(label))
  expect(values.length, name).toBeGreaterThan(0)
  return values.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}

async function untilReplaced(): Promise<void> {
  for (const untilMs = performance.now() + 20_000; (await counter('bidcell_live_threads')) < 2; await sleep(50))
    if (performance.now() > untilMs) throw new Error('the thread is not replaced')
  // Counted as live from its start; it listens a moment later.
  await sleep(1_000)
}

describe('a bid thread', () => {
  test.each(['throw', 'reject', 'fill-heap'] as const)(
    'that ends by %s is replaced; the other one drops no connection, and nobody sees a task without state',
    async kind => {
      await serve()
      const connections = await openAll()
      expectBids(await ask(connections, BID))
      run.inject({ thread: 1, kind })
      expect(await run.entry('thread-lost')).toMatchObject({ level: 'error', thread: 'bid-1' })
      await sleep(100)
      const kept = connections.filter(connection => !connection.isClosed)
      expect(kept.length).toBeGreaterThan(0)
      expect(kept.length).toBeLessThan(CONNECTIONS)
      // While the other one starts, and after.
      for (let round = 0; round < 10; round++) {
        expectBids(await ask(kept, BID))
        await sleep(50)
      }
      await untilReplaced()
      const more = await openAll()
      expectBids(await ask(more, BID))
      expectBids(await ask(kept, BID))
      expect(await counter('bidcell_no_bids_total', 'reason="state-not-ready"')).toBe(0)
      expect(await counter('bidcell_thread_restarts_total')).toBe(1)
      run.kill('SIGTERM')
      expect(await run.ended).toBe(0)
      for (const line of run.lines) JSON.parse(line)
    },
  )

  test('that is blocked for 2 s sheds what waited, is not replaced, and the other one serves (fault 16)', async () => {
    await serve()
    const connections = await openAll()
    await ask(connections, BID)
    run.inject({ thread: 1, kind: 'block', ms: 2_000 })
    await sleep(100)
    const others = await answered(connections, READY)
    expect(others.length).toBeGreaterThan(0)
    expect(others.length).toBeLessThan(CONNECTIONS)
    const blocked = connections.filter(connection => !others.includes(connection))
    const late = ask(blocked, BID)
    expectBids(await ask(others, BID))
    expect(await ask(others, LIVE)).toEqual(others.map(() => 200))
    expect(new Set(await late)).toEqual(new Set([204]))
    expect(await counter('bidcell_shed_total', 'cause="deadline"')).toBeGreaterThanOrEqual(blocked.length)
    expect(await ask(connections, LIVE)).toEqual(connections.map(() => 200))
    await sleep(300)
    expectBids(await ask(connections, BID))
    expect(run.lines.some(line => line.includes('thread-stuck') || line.includes('thread-lost'))).toBe(false)
  })

  test('that is stuck is ended and replaced, and the liveness check never fails', async () => {
    await serve()
    const connections = await openAll()
    await ask(connections, BID)
    const startMs = performance.now()
    run.inject({ thread: 2, kind: 'spin', ms: 3_600_000 })
    await sleep(100)
    const others = await answered(connections, READY)
    expect(others.length).toBeGreaterThan(0)
    const isLive: (number | undefined)[] = []
    let isReplaced = false
    const replaced = run.entry('thread-lost').then(entry => {
      isReplaced = true
      return entry
    })
    while (!isReplaced) {
      isLive.push(...(await ask(others, LIVE)))
      await sleep(100)
    }
    expect(await replaced).toMatchObject({ thread: 'bid-2' })
    expect(await run.entry('thread-stuck')).toMatchObject({ thread: 'bid-2', level: 'error' })
    expect(performance.now() - startMs).toBeGreaterThan((LIMITS.stuckBeatsMax - 1) * 1_000)
    expect(new Set(isLive)).toEqual(new Set([200]))
    await untilReplaced()
    const more = await openAll()
    expectBids(await ask(more, BID))
    expectBids(await ask(others, BID))
  })
})

describe('the control thread', () => {
  test.each(['throw', 'reject'] as const)('that fails by %s ends the process with one line and 1', async kind => {
    await serve()
    run.inject({ thread: 0, kind })
    expect(await run.ended).toBe(1)
    const crash = await run.entry('crash')
    expect(crash).toMatchObject({ level: 'fatal', tenant_id: TENANT, tier_id: 'standard', region: 'local' })
    expect(JSON.stringify(crash)).toContain('injected')
  })

  test('that is stuck leaves the bids alone and fails the liveness check, so that the task is replaced', async () => {
    await serve()
    const connections = await openAll()
    run.inject({ thread: 0, kind: 'block', ms: LIMITS.heartbeatAgeMsMax + 8_000 })
    expect(new Set(await ask(connections, LIVE))).toEqual(new Set([200]))
    for (const untilMs = performance.now() + 20_000; performance.now() < untilMs; await sleep(250)) {
      expectBids(await ask(connections, BID))
      if ((await ask(connections, LIVE))[0] === 503) break
    }
    expect(new Set(await ask(connections, LIVE))).toEqual(new Set([503]))
    expect(new Set(await ask(connections, READY))).toEqual(new Set([200]))
  })
})
