import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterEach, expect, test } from 'vitest'
import { systemClock } from '../../service/foundation/clock.ts'
import { Random } from '../../service/foundation/random.ts'
import { LedgerDriver } from '../../service/remote-cache/ledger-driver.ts'
import { RedisLedger } from '../../service/remote-cache/redis-ledger.ts'
import { bucketAt } from '../../service/spend/lease.ts'
import { abandonedAfterMs, type LeaseRules, Slice } from '../../service/spend/slice.ts'
import { TaskLedger } from '../../service/spend/task-ledger.ts'
import { type RedisServer, startRedis } from '../redis-server.ts'
import { LossyProxy } from './lossy-proxy.ts'

/** The proportions of real ones, a hundred times faster. */
const RULES: LeaseRules = {
  leaseMsMin: 200,
  leaseMsMax: 1_000,
  bucketMs: 100,
  graceMs: 400,
  holdMsMax: 300,
  clockAllowanceMs: 1_000,
  parts: 8,
  shareMs: 50,
}
const OPENS_AFTER_MS = RULES.holdMsMax + RULES.bucketMs + 2 * RULES.graceMs
const PRICE_NANOS = 1_000_000
const THREAD = 1
const ACCOUNTS = ['li:1', 'campaign']
const { monotonicMs } = systemClock

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

interface Task {
  readonly slice: Slice
  readonly ledger: TaskLedger
}

function startTask(name: string, port: number, limitNanos: number, random: Random): Task {
  let names = 0
  const newName = () => `${name}-${names++}`
  const ledger = new TaskLedger({
    task: name,
    newEpoch: newName,
    graceMs: RULES.graceMs,
    opensAfterMs: OPENS_AFTER_MS,
    booksAfterMs: 2 * RULES.graceMs,
    abandonedAfterMs: abandonedAfterMs(RULES),
    leases: () => slice.leases,
  })
  const slice: Slice = new Slice(
    {
      accounts: ACCOUNTS.map(account => ({ account, limitNanos })),
      priceNanosMax: PRICE_NANOS,
      isStrict: true,
      endsMs: Number.POSITIVE_INFINITY,
    },
    { rules: RULES, ledger, threads: 1, newLease: newName },
  )
  const remote = new RedisLedger({
    url: `redis://127.0.0.1:${port}`,
    tenantId: 'acme',
    timeoutMs: 200,
    pickIndex: random.pickIndex,
    rememberTaskMs: 600_000,
    onConnected: () => ledger.reconnected(monotonicMs()),
  })
  const onReached = () => {}
  const driver = new LedgerDriver({ ledger: remote, task: ledger, monotonicMs, pickIndex: random.pickIndex, onReached })
  driver.start()
  const looks = setInterval(() => slice.look(monotonicMs()), 20)
  cleanups.push(async () => {
    clearInterval(looks)
    remote.close()
    await driver.stop()
  })
  return { slice, ledger }
}

/** Three tasks that bid, and an exchange that bills to any of them, now and then twice. */
class Market {
  readonly tasks: readonly Task[]
  readonly #random: Random
  readonly #billed = new Map<string, number>()
  #bids = 0

  constructor(tasks: readonly Task[], random: Random) {
    this.tasks = tasks
    this.#random = random
    const bids = setInterval(() => this.#bid(), 4)
    cleanups.push(() => clearInterval(bids))
  }

  get billedNanos(): number {
    return [...this.#billed.values()].reduce((sum, nanos) => sum + nanos, 0)
  }

  #bid(): void {
    const random = this.#random
    const { slice } = random.pick(this.tasks)
    const nowMs = monotonicMs()
    slice.want(PRICE_NANOS, nowMs)
    const { lease } = slice.share(THREAD, nowMs) ?? {
      lease: slice.leases.find(each => each.endMs > nowMs && each.sharedWith(THREAD) >= PRICE_NANOS),
    }
    if (lease === undefined || lease.sharedWith(THREAD) < PRICE_NANOS) return
    const bucket = bucketAt(nowMs + RULES.holdMsMax, lease.terms.startMs, RULES.bucketMs)
    slice.hold(lease, THREAD, bucket, PRICE_NANOS)
    if (random.chance(0.5)) return
    const hold = { lease: lease.terms.lease, bucket }
    const key = `bid-${this.#bids++}`
    const amountNanos = random.between(1, PRICE_NANOS)
    const operation = { kind: 'book', key, ...hold, accounts: ACCOUNTS, amountNanos, rememberMs: 600_000 } as const
    const bill = (afterMs: number) => {
      const timer = setTimeout(() => {
        this.#billed.set(key, amountNanos)
        random.pick(this.tasks).ledger.add(operation, () => {})
      }, afterMs)
      timer.unref()
    }
    bill(random.between(0, RULES.holdMsMax - 50))
    if (random.chance(0.1)) bill(random.between(0, RULES.holdMsMax - 50))
  }
}

async function accounts(server: RedisServer) {
  const redis = new Redis(server.url)
  const fields = await redis.hgetall('t:{acme}:spend:account:campaign')
  redis.disconnect()
  const number = (name: string) => Number(fields[name] ?? 0)
  return { spent: number('base') + number('booked'), late: number('late'), leased: number('leased') }
}

async function settled({ tasks }: Market, limitMs: number): Promise<void> {
  // The last notices are on their way first.
  for (const { slice } of tasks) {
    slice.stop(monotonicMs())
    for (const lease of slice.leases) {
      const nanos = lease.sharedWith(THREAD)
      if (nanos > 0) lease.unshare(THREAD, nanos)
    }
  }
  await sleep(RULES.holdMsMax)
  const untilMs = monotonicMs() + limitMs
  while (tasks.some(({ slice, ledger }) => slice.leases.length > 0 || ledger.waitingCount > 0)) {
    if (monotonicMs() > untilMs) throw new Error('the ledger did not come to rest')
    await sleep(20)
  }
}

async function market(seed: number, limitNanos: number) {
  console.log(`seed ${seed}`)
  const random = new Random(seed)
  const server = await startRedis()
  cleanups.push(() => server.stop())
  const proxy = await LossyProxy.start(server.port, random)
  cleanups.push(() => proxy.close())
  const tasks = ['a', 'b', 'c'].map(name => startTask(name, proxy.port, limitNanos, random))
  return { server, proxy, market: new Market(tasks, random) }
}

test('replies that are cut off count nothing twice, and the strict budget is used and kept', async () => {
  const limitNanos = 60 * PRICE_NANOS
  const { server, proxy, market: running } = await market(11, limitNanos)
  await sleep(OPENS_AFTER_MS + 500)
  proxy.cutChance = 0.1
  await sleep(1_500)
  proxy.cutChance = 0
  await sleep(1_500)
  await settled(running, 8_000)
  const { spent, late, leased } = await accounts(server)
  expect(proxy.cuts).toBeGreaterThan(3)
  expect(spent).toBe(running.billedNanos)
  expect(spent - late).toBeLessThanOrEqual(limitNanos)
  expect(spent).toBeGreaterThan(limitNanos / 4)
  expect(leased).toBe(0)
})

test('after a failover that forgot the last moments, every billed event is booked once', async () => {
  const limitNanos = 400 * PRICE_NANOS
  const { server, proxy, market: running } = await market(12, limitNanos)
  const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(server.port)] })
  cleanups.push(() => replica.stop())
  await sleep(OPENS_AFTER_MS + 1_500)
  const promoting = new Redis(replica.url)
  // The replica stops following before the end: what comes now is acknowledged and will be forgotten.
  await promoting.replicaof('NO', 'ONE')
  promoting.disconnect()
  await sleep(150)
  const [before, kept] = [await accounts(server), await accounts(replica)]
  expect(before.spent).toBeGreaterThan(kept.spent)
  await server.kill()
  proxy.turnTo(replica.port)
  await sleep(1_500)
  await settled(running, 8_000)
  const { spent, late } = await accounts(replica)
  expect(spent).toBe(running.billedNanos)
  expect(spent - late).toBeLessThanOrEqual(limitNanos)
})

test('a ledger that comes back empty does not count as unspent, and leases nothing until it is rebuilt', async () => {
  const limitNanos = 200 * PRICE_NANOS
  const { server, proxy, market: running } = await market(13, limitNanos)
  await sleep(OPENS_AFTER_MS + 1_200)
  const before = (await accounts(server)).spent
  expect(before).toBeGreaterThan(0)
  await server.kill()
  const empty = await startRedis({ port: server.port })
  cleanups.push(() => empty.stop())
  proxy.turnTo(empty.port)
  await sleep(OPENS_AFTER_MS / 2)
  expect(await accounts(empty)).toMatchObject({ late: 0 })
  expect((await accounts(empty)).spent).toBeGreaterThanOrEqual(before - PRICE_NANOS)
  await sleep(OPENS_AFTER_MS + 1_500)
  await settled(running, 8_000)
  const { spent, late } = await accounts(empty)
  // A booking whose answer was under way when the memory was lost may count twice; never is one lost.
  expect(spent).toBeGreaterThanOrEqual(running.billedNanos)
  expect(spent).toBeLessThanOrEqual(running.billedNanos + 3 * PRICE_NANOS)
  expect(spent - late).toBeLessThanOrEqual(limitNanos + 3 * PRICE_NANOS)
  expect(spent).toBeGreaterThan(before)
})
