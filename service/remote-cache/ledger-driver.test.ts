import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterEach, expect, test } from 'vitest'
import { startRedis } from '../../test/redis-server.ts'
import { systemClock } from '../foundation/clock.ts'
import { Random } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import { ALL_BUCKETS, type BookOperation, type Done } from '../spend/ledger.ts'
import { TaskLedger } from '../spend/task-ledger.ts'
import { LedgerDriver } from './ledger-driver.ts'
import { RedisLedger } from './redis-ledger.ts'

const { monotonicMs } = systemClock
const { pickIndex } = new Random(1)
const GRACE_MS = 100

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function open(timeoutMs: number, idleMs?: number) {
  const server = await startRedis()
  cleanups.push(() => server.stop())
  let names = 0
  const task = new TaskLedger({
    ...{ task: 't', newEpoch: () => `e${names++}`, leases: () => [] },
    ...{ graceMs: GRACE_MS, opensAfterMs: 0, booksAfterMs: 0, abandonedAfterMs: 600_000 },
  })
  const ledger = new RedisLedger({
    ...{ url: server.url, tenantId: 'acme', timeoutMs, pickIndex, rememberTaskMs: 600_000 },
    onConnected: () => task.reconnected(monotonicMs()),
  })
  const driver = new LedgerDriver({
    ...{ ledger, task, monotonicMs, pickIndex, onReached: () => {} },
    ...(idleMs === undefined ? {} : { idleMs }),
  })
  driver.start()
  const redis = new Redis(server.url)
  cleanups.push(async () => {
    redis.disconnect()
    ledger.close()
    await driver.stop()
  })
  while (!(await redis.hexists('t:{acme}:spend:epoch', 'id'))) await sleep(5)
  return { task, driver, redis }
}

const booking = (key: string, change: Partial<BookOperation> = {}): BookOperation => {
  return { kind: 'book', key, lease: '', bucket: 1, accounts: ['a'], amountNanos: 3, rememberMs: 600_000, ...change }
}

async function scriptCalls(redis: Redis): Promise<number> {
  return Number(/^cmdstat_evalsha:calls=(\d+)/m.exec(await redis.info('commandstats'))?.[1] ?? 0)
}

test('bookings go to the ledger many at once, and each is answered once', async () => {
  const { task, redis } = await open(10_000)
  const count = 3_000
  const before = await scriptCalls(redis)
  const answers = await Promise.all(
    Array.from({ length: count }, (_, i) => {
      // Every tenth repeats the one before it.
      const key = `k${i % 10 === 9 ? i - 1 : i}`
      return new Promise<Done | undefined>(done => task.add(booking(key), done))
    }),
  )
  expect(answers.filter(answer => answer?.nanos === -1)).toHaveLength(count / 10)
  expect(await redis.hget('t:{acme}:spend:account:a', 'booked')).toBe(String((count * 9 * 3) / 10))
  // Some go alone: a hello, and what was there when a step was sent.
  expect((await scriptCalls(redis)) - before).toBeLessThan(count / LIMITS.bookingsPerTripMax + 10)
})

test('a settlement comes after the bookings that were there before it, and before those that came later', async () => {
  const { task } = await open(10_000)
  await sleep(GRACE_MS)
  const of = { lease: 'l', accounts: ['a'] }
  const accounts = [{ account: 'a', limitNanos: 10_000 }]
  const terms = { leastNanos: 1, abandonedAfterMs: 600_000, again: false }
  const lease = { kind: 'lease', lease: 'l', accounts, wantedNanos: 10_000, ...terms } as const
  await new Promise(done => task.add(lease, done))
  const answers: number[] = []
  const note = (answer: Done | undefined) => answers.push(answer?.nanos ?? Number.NaN)
  const rest = new Promise<void>(resolve => {
    for (let i = 0; i < 250; i++) task.add(booking(`early${i}`, of), note)
    task.add({ kind: 'settle', ...of, closedThrough: ALL_BUCKETS, amountNanos: 0 }, note)
    for (let i = 0; i < 250; i++)
      task.add(booking(`late${i}`, of), i === 249 ? answer => resolve(void note(answer)) : note)
  })
  await rest
  expect(answers).toEqual([...Array(250).fill(0), 250 * 3, ...Array(250).fill(3)])
})

test('a witness of very many keys is heard whole', async () => {
  const { task, redis } = await open(2_000)
  const count = LIMITS.operationsKeptMax
  await Promise.all(Array.from({ length: count }, (_, i) => new Promise(done => task.add(booking(`k${i}`), done))))
  await redis.flushall()
  const again = await new Promise<Done | undefined>(done => task.add(booking('k7'), done))
  expect(again?.nanos).toBe(-1)
  expect(await redis.hget('t:{acme}:spend:account:a', 'base')).toBe(String(3 * count))
})

test('what somebody waits for is sent in a moment, however long the pause is', async () => {
  const { task, driver, redis } = await open(10_000, 600_000)
  for (const key of ['first', 'second']) {
    const done = new Promise(resolve => task.add(booking(key), resolve))
    const hurrying = setInterval(() => driver.hurry(), 10)
    await done
    clearInterval(hurrying)
  }
  expect(await redis.hget('t:{acme}:spend:account:a', 'booked')).toBe('6')
})
