import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../../test/redis-server.ts'
import { Random } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import { CapBoard, createCapBoard } from '../spend/cap-board.ts'
import { CAP_EVENT, CapLog } from '../spend/cap-log.ts'
import { type CapStore, NO_PLACE } from '../spend/cap-store.ts'
import { CAP_PARTS, type CapKey, CapTable, createCapMemory, expiryUnits } from '../spend/cap-table.ts'
import { CapSync } from './cap-sync.ts'
import { FileCounts } from './file-counts.ts'
import { RedisCounts } from './redis-counts.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const START_S = 1_795_000_000
const MANY = { impressions: 200, gapS: 0 }

let server: RedisServer
let tenants = 0
const cleanups: (() => unknown)[] = []
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function redisCounts(tenantId: string, port = server.port): RedisCounts {
  const url = `redis://127.0.0.1:${port}`
  const store = new RedisCounts({ url, tenantId, timeoutMs: 500, pickIndex: () => 0 })
  cleanups.push(() => store.close())
  return store
}

/** A task as the control thread has it, whose time the test moves. */
class Task {
  readonly table = new CapTable(createCapMemory(64 * 1024))
  readonly board = new CapBoard(createCapBoard(START_S))
  readonly log = new CapLog(100_000)
  readonly sync: CapSync
  missed = 0
  nowMs = 0

  constructor(store: CapStore, task: string) {
    const { table, board, log } = this
    const monotonicMs = () => this.nowMs
    this.sync = new CapSync({ ...{ store, table, board, log, task, monotonicMs }, onMissed: () => this.missed++ })
  }

  get nowS(): number {
    return this.board.nowS(this.nowMs)
  }

  bid(key: CapKey, impressions = 200): boolean {
    const expiry = expiryUnits(this.nowS + 60)
    const passed = this.table.take(key, { ...MANY, impressions }, this.nowS, expiry)
    if (passed) this.log.push(CAP_EVENT.bid, key, expiry, this.nowS)
    return passed
  }

  show(key: CapKey): void {
    const expiry = expiryUnits(this.nowS + 60)
    this.table.show(key, expiry, this.nowS, this.nowS)
    this.log.push(CAP_EVENT.shown, key, expiry, this.nowS)
  }

  count(key: CapKey): number {
    return this.table.countOf(key, this.nowS)
  }
}

const keysOf = (random: Random, count: number): CapKey[] =>
  Array.from({ length: count }, () => ({ high: random.next(), low: ((random.next() & 0xfff00000) | 1_440) >>> 0 }))

/** A store, and the same as the next process opens it. */
type Opened = readonly [store: CapStore, again: () => Promise<CapStore>]

async function filesOpened(): Promise<Opened> {
  const folder = await mkdtemp(join(tmpdir(), 'bidcell-counts-'))
  cleanups.push(() => rm(folder, { recursive: true, force: true }))
  const open = async () => {
    const store = await FileCounts.open(folder)
    cleanups.push(() => store.close())
    return store
  }
  return [await open(), open]
}

async function cacheOpened(): Promise<Opened> {
  const tenantId = `store-${tenants++}`
  return [redisCounts(tenantId), async () => redisCounts(tenantId)]
}

describe.each([
  ['in the cache', cacheOpened],
  ['in files', filesOpened],
] as const)('a store of counts %s', (_, open) => {
  test('gives batches in their order, behind any place, and parts as they were written', async () => {
    const [store] = await open()
    expect(await store.readAfter(NO_PLACE)).toEqual([])
    const batches = [0, 1, 2].map(number => ({
      ...{ task: 't-1', number, leaves: number === 2 },
      events: Uint32Array.from({ length: number * 4 }, (__, i) => 0xffffffff - i),
    }))
    for (const batch of batches) await store.append(batch)
    const stored = await store.readAfter(NO_PLACE)
    expect(stored.map(({ place, ...batch }) => batch)).toEqual(batches)
    const second = await store.readAfter(stored[0]?.place ?? '')
    expect(second.map(({ number }) => number)).toEqual([1, 2])
    expect(await store.readPart(7)).toBeUndefined()
    const saved = { upTo: '12-34', entries: Uint32Array.from({ length: 30 }, (__, i) => i * 0x01010101) }
    await store.writePart(7, saved)
    await store.writePart(8, { upTo: '1-1', entries: new Uint32Array(0) })
    expect(await store.readPart(7)).toEqual(saved)
    expect((await store.readPart(8))?.entries).toHaveLength(0)
  })

  test('lets counts outlive the task, saved ones and those told since, each once', async () => {
    const [store, again] = await open()
    const random = new Random(SEED)
    const keys = keysOf(random, 60)
    const first = new Task(store, 'first')
    for (const part of Array.from({ length: 2 * CAP_PARTS }).keys()) {
      const key = random.pick(keys)
      if (first.bid(key) && random.chance(0.5)) first.show(key)
      first.nowMs += part % 3 === 0 ? LIMITS.capSaveMs : 100
      await first.sync.turn()
    }
    const next = new Task(await again(), 'next')
    next.nowMs = first.nowMs
    await next.sync.turn()
    expect(next.missed).toBe(0)
    for (const key of keys) expect(next.count(key), `SEED=${SEED}`).toBe(first.count(key))
  })
})

describe('tasks that share counts', () => {
  test('count the same after a turn each, and pass together what one may pass alone', async () => {
    const tenantId = `share-${tenants++}`
    const random = new Random(SEED)
    const tasks = ['a', 'b', 'c', 'd'].map(name => new Task(redisCounts(tenantId), name))
    const [keys, passed] = [keysOf(random, 30), new Map<CapKey, number>()]
    for (const task of tasks) await task.sync.turn()
    for (let step = 0; step < 400; step++) {
      const key = random.pick(keys)
      if (random.pick(tasks).bid(key, 3)) passed.set(key, (passed.get(key) ?? 0) + 1)
      if (step % 10 === 0) for (const task of [...tasks, ...tasks]) await task.sync.turn()
    }
    for (const task of [...tasks, ...tasks]) await task.sync.turn()
    for (const key of keys) {
      const counts = tasks.map(task => task.count(key))
      expect(new Set(counts).size, `SEED=${SEED} ${counts}`).toBe(1)
      expect(counts[0]).toBe(passed.get(key))
    }
    expect(tasks.map(({ sync }) => sync.tasks)).toEqual([4, 4, 4, 4])
  })

  test('share users between those that live: who leaves or falls silent owns nobody', async () => {
    const tenantId = `live-${tenants++}`
    const tasks = ['a', 'b', 'c'].map(name => new Task(redisCounts(tenantId), name)) as [Task, Task, Task]
    const [one, two, three] = tasks
    const turnAll = async (some: readonly Task[]) => {
      for (const task of [...some, ...some]) {
        task.nowMs += LIMITS.capHeartbeatMs
        await task.sync.turn()
      }
    }
    await turnAll(tasks)
    const owners = (some: readonly Task[]) =>
      Array.from({ length: 300 }, (_, user) => some.filter(({ board }) => board.owns(user, 9)).length)
    expect(owners(tasks).every(count => count === 1)).toBe(true)
    await three.sync.leave()
    await turnAll([one, two])
    expect(owners([one, two]).every(count => count === 1)).toBe(true)
    for (let i = 0; i < 8; i++) await turnAll([one])
    expect(one.sync.tasks).toBe(1)
    expect(owners([one]).every(count => count === 1)).toBe(true)
  })

  test('go on alone while the cache is away, keep whom they share with, and catch up', {
    timeout: 20_000,
  }, async () => {
    const own = await startRedis()
    cleanups.push(() => own.stop())
    const tasks = ['a', 'b'].map(name => new Task(redisCounts('away', own.port), name)) as [Task, Task]
    const [one, two] = tasks
    for (const task of [one, two, one, two]) await task.sync.turn()
    const [key] = keysOf(new Random(SEED), 1) as [CapKey]
    own.pause()
    for (const task of tasks) {
      task.bid(key)
      task.nowMs += 2 * LIMITS.capTaskSilentMs
      await expect(task.sync.turn()).rejects.toThrow()
    }
    expect(one.count(key)).toBe(1)
    own.resume()
    const caughtUp = async (task: Task) => {
      for (let attempt = 0; attempt < 100; attempt++) {
        const done = await task.sync.turn().then(
          () => true,
          () => false,
        )
        if (done) return
        await sleep(20)
      }
    }
    for (const task of [one, two, one, two]) await caughtUp(task)
    // A batch whose answer was lost was told twice and counted once.
    expect(tasks.map(task => task.count(key))).toEqual([2, 2])
    expect(tasks.map(({ sync }) => sync.tasks)).toEqual([2, 2])
  })

  test('notice that they have missed something, and make up for it by what is saved', async () => {
    const tenantId = `missed-${tenants++}`
    const store = redisCounts(tenantId)
    const [one, two] = [new Task(store, 'a'), new Task(redisCounts(tenantId), 'b')]
    const [key] = keysOf(new Random(SEED), 1) as [CapKey]
    for (const task of [one, two, one, two]) await task.sync.turn()
    one.show(key)
    const append = store.append.bind(store)
    store.append = async () => {}
    await one.sync.turn()
    store.append = append
    for (let part = 0; part < CAP_PARTS; part++) {
      const upTo = part === key.high % CAP_PARTS ? '1-1' : NO_PLACE
      await store.writePart(part, { upTo, entries: one.table.savedPart(part, one.nowS) })
    }
    one.show(key)
    for (const task of [one, two, two]) await task.sync.turn()
    expect(two.missed).toBe(1)
    expect(two.count(key)).toBeGreaterThanOrEqual(1)
  })
})
