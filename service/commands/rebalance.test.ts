import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort, type RedisServer, startRedis } from '../../test/redis-server.ts'
import { Random } from '../foundation/random.ts'
import { RedisLedger } from '../remote-cache/redis-ledger.ts'
import { giveShare, takeShare, unspentNanos } from '../remote-cache/share-transfer.ts'
import { accountsOf } from '../spend/accounts.ts'
import type { LeaseOperation } from '../spend/ledger.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const UNIT = 1e9
const [, , ACCOUNT = ''] = accountsOf('c-1', 'li-1', 0)

/** One region: its own cache and ledger, and what it may spend by its documents. */
interface Region {
  readonly server: RedisServer
  readonly redis: Redis
  readonly ledger: RedisLedger
  readonly caller: { readonly task: string; readonly epoch: string; readonly told: number }
}

const regions: Region[] = []
let names = 0

async function openRegion(): Promise<Region> {
  const server = await startRedis()
  const connection = { url: server.url, tenantId: 'acme', timeoutMs: 5_000, pickIndex: new Random(SEED).pickIndex }
  const ledger = new RedisLedger({ ...connection, rememberTaskMs: 600_000, onConnected: () => {} })
  const nothing = { spent: new Map(), leases: [], keys: new Map() }
  const begin = { lostEpoch: '', newEpoch: 'e', opensAfterMs: 0, booksAfterMs: 0 }
  const { epoch } = await ledger.rebuild({ ...begin, ...nothing })
  return { server, redis: new Redis(server.url), ledger, caller: { task: 't', epoch, told: 0 } }
}

beforeAll(async () => {
  regions.push(...(await Promise.all([openRegion(), openRegion()])))
})
afterAll(async () => {
  for (const { redis, ledger } of regions) {
    redis.disconnect()
    ledger.close()
  }
  await Promise.all(regions.map(({ server }) => server.stop()))
})

async function lease({ ledger, caller }: Region, account: string, limitNanos: number, wantedNanos: number) {
  const operation: LeaseOperation = {
    ...{ kind: 'lease', lease: `l${names++}`, accounts: [{ account, limitNanos }], wantedNanos },
    ...{ leastNanos: 1, abandonedAfterMs: 600_000, again: false },
  }
  const answer = await ledger.apply(caller, operation)
  if (answer.kind !== 'done') throw new Error(JSON.stringify(answer))
  return answer
}

async function run(...args: string[]) {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'spend.ts'), 'rebalance', ...args])
  const ended = once(child, 'exit')
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)])
  await ended
  return { code: child.exitCode, out, err }
}

test('a region gets what another has not spent, and both keep to what they have then', async () => {
  const [us, eu] = regions as [Region, Region]
  // Shares of 100 each; the first region has leased 30 of its own, the second 95.
  expect((await lease(us, ACCOUNT, 100 * UNIT, 30 * UNIT)).nanos).toBe(30 * UNIT)
  expect((await lease(eu, ACCOUNT, 100 * UNIT, 95 * UNIT)).nanos).toBe(95 * UNIT)
  const between = ['--from', us.server.url, '--to', eu.server.url, '--tenant', 'acme', '--campaign', 'c-1']
  const moved = await run(...between, '--amount', '50', '--transfer', 'first')
  expect([moved.code, moved.err]).toEqual([0, ''])
  expect(moved.out).toContain('50.000000 is taken')
  expect((await run(...between, '--amount', '50', '--transfer', 'first')).out).toContain('50.000000 is taken')
  expect((await lease(us, ACCOUNT, 100 * UNIT, 500 * UNIT)).nanos).toBe(20 * UNIT)
  const more = await lease(eu, ACCOUNT, 100 * UNIT, 500 * UNIT)
  expect([more.nanos, more.addedNanos]).toEqual([55 * UNIT, [50 * UNIT]])
  // What is given counts as spent, so that a rebuilt ledger knows it, too.
  expect((await lease(us, ACCOUNT, 100 * UNIT, 1)).spentNanos).toEqual([50 * UNIT])
})

test('without an amount what is left is made even', async () => {
  const [us, eu] = regions as [Region, Region]
  await lease(us, 'l/even', 40 * UNIT, UNIT)
  await lease(eu, 'l/even', 10 * UNIT, UNIT)
  const between = ['--from', us.server.url, '--to', eu.server.url, '--tenant', 'acme', '--line-item', 'even']
  expect((await run(...between)).out).toContain('15.000000 is taken')
  const left = await Promise.all(regions.map(({ redis }) => unspentNanos({ redis, tenantId: 'acme' }, 'l/even')))
  expect(left).toEqual([24 * UNIT, 24 * UNIT])
  expect((await run(...between)).out).toContain('Nothing to move')
})

test('a transfer that ends half way leaves money with nobody, and goes on when it is repeated', async () => {
  const [us, eu] = regions as [Region, Region]
  await lease(us, 'l/half', 40 * UNIT, UNIT)
  await lease(eu, 'l/half', 10 * UNIT, UNIT)
  const between = ['--tenant', 'acme', '--line-item', 'half', '--amount', '30', '--transfer', 'half']
  // It dies after it gave: the other cache is a ledger that nobody has begun.
  const empty = await startRedis()
  const died = await run('--from', us.server.url, '--to', empty.url, ...between)
  await empty.stop()
  expect([died.code, died.err]).toEqual([1, expect.stringContaining('repeat with --transfer half')])
  const left = () => Promise.all(regions.map(({ redis }) => unspentNanos({ redis, tenantId: 'acme' }, 'l/half')))
  expect(await left()).toEqual([9 * UNIT, 9 * UNIT])
  expect((await run('--from', us.server.url, '--to', eu.server.url, ...between)).out).toContain('30.000000 is taken')
  expect(await left()).toEqual([9 * UNIT, 39 * UNIT])
})

test(`random transfers, repeated and broken off, never make money (seed ${SEED})`, async () => {
  const random = new Random(SEED)
  const limits = [1_000, 1_000]
  const account = 'l/random'
  const ends = regions.map(({ redis }) => ({ redis, tenantId: 'acme' }))
  let leased = 0
  for (let step = 0; step < 200; step++) {
    const at = random.pickIndex(2)
    const region = regions[at] as Region
    if (random.chance(0.3)) leased += (await lease(region, account, limits[at] ?? 0, random.between(1, 60))).nanos
    const transfer = { id: `r${random.pickIndex(40)}-${at}`, account }
    const [from, to] = [ends[at], ends[1 - at]] as [(typeof ends)[number], (typeof ends)[number]]
    const repeats = random.between(1, 4)
    await Promise.all(
      Array.from({ length: repeats }, async () => {
        const given = await giveShare(from, transfer, random.between(1, 200))
        if (typeof given === 'number' && given > 0 && random.chance(0.6)) await takeShare(to, transfer, given)
      }),
    )
    const unspent = await Promise.all(ends.map(end => unspentNanos(end, account)))
    const total = unspent.reduce<number>((sum, nanos, i) => sum + (nanos ?? limits[i] ?? 0), 0)
    expect(total + leased, `step ${step}`).toBeLessThanOrEqual(2_000)
    expect(Math.min(...unspent.map(nanos => nanos ?? 0)), `step ${step}`).toBeGreaterThanOrEqual(0)
  }
  expect(leased).toBeGreaterThan(500)
})

test.each([
  [['--campaign', 'c-1', '--line-item', 'x'], 2, /either --line-item or --campaign/],
  [['--campaign', 'c-1', '--amount', '-3'], 2, /--amount must be a number like 12.5, got "-3"/],
  [['--campaign', 'c-1', '--day', 'today'], 2, /--day must be like 2026-11-21, got today/],
  [['--campaign', 'nobody'], 2, /--from: nothing was ever leased for such a budget there/],
])('%j is told what is wrong', async (args, code, problem) => {
  const [us, eu] = regions as [Region, Region]
  const result = await run('--from', us.server.url, '--to', eu.server.url, '--tenant', 'acme', ...args)
  expect([result.code, result.err]).toEqual([code, expect.stringMatching(problem)])
})

test('a cache that is not there is said, and nothing is given', async () => {
  const [us] = regions as [Region]
  const nowhere = `redis://127.0.0.1:${await freePort()}`
  const before = await unspentNanos({ redis: us.redis, tenantId: 'acme' }, ACCOUNT)
  const result = await run(
    '--from',
    us.server.url,
    '--to',
    nowhere,
    '--tenant',
    'acme',
    '--campaign',
    'c-1',
    '--amount',
    '1',
  )
  expect(result.code).toBe(69)
  expect(await unspentNanos({ redis: us.redis, tenantId: 'acme' }, ACCOUNT)).toBe(before)
})
