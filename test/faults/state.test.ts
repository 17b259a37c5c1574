import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { Redis } from 'ioredis'
import { afterEach, describe, expect, test } from 'vitest'
import { startService } from '../../loadtest/service-process.ts'
import { Random } from '../../service/foundation/random.ts'
import { FileSource } from '../../service/remote-cache/file-source.ts'
import { stateKeys } from '../../service/remote-cache/layout.ts'
import { RedisSource } from '../../service/remote-cache/redis-source.ts'
import { copyState } from '../../service/remote-cache/state-copy.ts'
import { readTenantDirectory } from '../../service/remote-cache/tenant-directory.ts'
import { freePort, type RedisServer, startRedis } from '../redis-server.ts'
import { FaultyProxy, TOXICS } from './faulty-proxy.ts'
import { Oracle } from './oracle.ts'
import { lineItemsOf, type TaskOptions, TaskUnderTest } from './task.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 100_000)
const ROUNDS = Number(process.env.ROUNDS ?? 3)
const TENANT = 'acme'
const keys = stateKeys(TENANT)

const open: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close()
})

async function startServer(port?: number): Promise<RedisServer> {
  const args = ['--repl-diskless-sync-delay', '0']
  const server = await startRedis(port === undefined ? { args } : { args, port })
  open.push(() => server.stop())
  return server
}

interface Scene {
  readonly server: RedisServer
  readonly proxy: FaultyProxy
  readonly oracle: Oracle
  readonly task: TaskUnderTest
  readonly random: Random
}

/** A cache, a proxy before it, a task behind the proxy that serves a version, and who publishes, not behind it. */
async function scene({ seed = SEED, ...limits }: TaskOptions & { readonly seed?: number } = {}): Promise<Scene> {
  const random = new Random(seed)
  const server = await startServer()
  const proxy = await FaultyProxy.start(server.port)
  open.push(() => proxy.close())
  const oracle = new Oracle(server.url, TENANT)
  open.push(() => oracle.close())
  await oracle.publish(seed)
  const task = new TaskUnderTest(proxy.url, TENANT, random, limits)
  open.push(() => task.stop())
  const made = { server, proxy, oracle, task, random }
  await agrees(made)
  return made
}

/** Waits until the task serves what is announced, and compares it with the oracle. @returns how long it took, in ms */
async function agrees({ oracle, task }: Pick<Scene, 'oracle' | 'task'>, limitMs = 5_000): Promise<number> {
  const announced = await oracle.announced()
  const isThere = () => {
    const { held } = task.refresher.view
    return held?.version === announced?.version && held?.deltas?.digest === announced?.deltas?.digest
  }
  const tookMs = await task.until(`at ${JSON.stringify(announced)}`, isThere, limitMs)
  expect(lineItemsOf(task.served)).toEqual(oracle.expected())
  return tookMs
}

async function changeSome({ oracle, random }: Scene, count = 3): Promise<void> {
  for (let i = 0; i < count; i++) expect((await oracle.change(oracle.randomChanges(random))).kind).toBe('delta')
}

describe(`a task, whose cache fails (seed ${SEED})`, () => {
  test.each(TOXICS)(
    '(fault 6) in the way of one %s, serves on and ends in the state of the oracle',
    async (_, faults) => {
      const all = await scene()
      const states = [lineItemsOf(all.task.served)]
      all.proxy.fail(faults)
      all.proxy.cut()
      for (let i = 0; i < 3; i++) {
        await changeSome(all, 1)
        states.push(all.oracle.expected())
      }
      await sleep(400)
      expect(states).toContainEqual(lineItemsOf(all.task.served))
      all.proxy.heal()
      expect(await agrees(all)).toBeLessThan(5_000)
      expect(all.task.told('version-refused')).toEqual([])
    },
  )

  test('(fault 3) by stopping for a second: it is noticed, the state ages, and all is there soon after', async () => {
    const all = await scene()
    await changeSome(all)
    await agrees(all)
    all.server.pause()
    const noticedMs = await all.task.until('noticed', () => all.task.refresher.view.unreachableSinceMs !== undefined)
    expect(noticedMs).toBeLessThan(1_500)
    const { answeredMs = 0 } = all.task.refresher.view
    await sleep(600)
    expect(all.task.refresher.view.answeredMs).toBe(answeredMs)
    all.server.resume()
    await changeSome(all)
    expect(await agrees(all)).toBeLessThan(5_000)
  })

  test('(faults 2, 10) by being killed and coming back empty: it serves on, and takes what comes then', async () => {
    const all = await scene()
    await changeSome(all)
    await agrees(all)
    const before = lineItemsOf(all.task.served)
    await all.server.kill()
    await all.task.until('noticed', () => all.task.refresher.view.unreachableSinceMs !== undefined)
    const again = await startServer(all.server.port)
    expect(again.port).toBe(all.server.port)
    await all.task.until('told', () => all.task.told('nothing-announced').length > 0)
    expect(lineItemsOf(all.task.served)).toEqual(before)
    all.oracle.forget()
    await all.oracle.publish(SEED + 1)
    await changeSome(all)
    await agrees(all)
    expect(all.task.told('version-loaded').length).toBe(2)
  })

  test('(faults 4, 10) over to a replica that missed the last deltas: what is served goes back, too', async () => {
    const all = await scene()
    const replica = await startServer()
    const control = new Redis(replica.url)
    open.push(() => control.disconnect())
    await changeSome(all)
    await control.replicaof('127.0.0.1', all.server.port)
    const isLinked = async () => (await control.info('replication')).includes('master_link_status:up')
    while (!(await isLinked()) || (await control.xlen(keys.deltas((await all.oracle.announced())?.version ?? ''))) < 3)
      await sleep(10)
    await control.replicaof('NO', 'ONE')
    const kept = all.oracle.expected()
    await changeSome(all, 2)
    await agrees(all)
    all.proxy.turnTo(replica.port)
    await all.task.until('back', () => all.task.refresher.view.held?.deltas?.length === 3)
    expect(lineItemsOf(all.task.served)).toEqual(kept)
    expect(all.task.told('version-loading').at(-1)?.because).toBe('deltas-differ')
  })

  test('(fault 8) with other deltas in the place of those that it took: the digest shows it', async () => {
    const all = await scene()
    const { version = '' } = (await all.oracle.announced()) ?? {}
    const before = all.oracle.expected()
    await changeSome(all, 2)
    await agrees(all)
    // As after a failover, between two looks of the task: as many deltas, others.
    all.proxy.fail({ isDeaf: true })
    await all.oracle.redis.multi().del(keys.deltas(version)).hdel(keys.announced, 'deltas').exec()
    const other = new Oracle(all.server.url, TENANT)
    open.push(() => other.close())
    other.adopt(SEED)
    expect(other.expected()).toEqual(before)
    await changeSome({ ...all, oracle: other }, 2)
    all.proxy.heal()
    all.proxy.cut()
    await agrees({ ...all, oracle: other })
    expect(all.task.told('version-loading').at(-1)?.because).toBe('deltas-differ')
  })
})

describe('(faults 7 and 8) a stream of deltas that is damaged', () => {
  const damages: readonly (readonly [string, (redis: Redis, key: string) => Promise<unknown>])[] = [
    ['trimmed past the position of a task', (redis, key) => redis.xtrim(key, 'MAXLEN', 1)],
    ['deleted', (redis, key) => redis.unlink(key)],
    [
      'written in another order',
      async (redis, key) => {
        const entries = await redis.xrange(key, '-', '+')
        await redis.unlink(key)
        for (const [i, [id]] of entries.entries()) await redis.xadd(key, id, ...(entries.at(-1 - i)?.[1] ?? []))
      },
    ],
    [
      'written twice over',
      async (redis, key) => {
        const entries = await redis.xrange(key, '-', '+')
        for (const [i, [, fields]] of entries.entries()) await redis.xadd(key, `${entries.length + i + 1}-0`, ...fields)
        const { length } = await redis.xrange(key, '-', '+')
        const [version = ''] = ((await redis.hget(keys.announced, 'deltas')) ?? '').split(' ')
        await redis.hset(keys.announced, 'deltas', `${version} ${length} ${'0'.repeat(64)}`)
      },
    ],
  ]

  test.each(damages)(
    '(%s) is a gap: the last good state serves, and the next version brings all',
    async (what, damage) => {
      const all = await scene()
      await changeSome(all, 1)
      await agrees(all)
      const before = lineItemsOf(all.task.served)
      all.proxy.fail({ isDeaf: true })
      await changeSome(all, 4)
      const { version = '' } = (await all.oracle.announced()) ?? {}
      await damage(all.oracle.redis, keys.deltas(version))
      all.proxy.heal()
      all.proxy.cut()
      await all.task.until('refused', () => all.task.told('version-refused').length === 1)
      expect(all.task.told('version-refused')[0]?.code).toMatch(/^delta-/)
      expect(all.task.told('version-loading').at(-1)?.because).toBe('gap-in-deltas')
      // Deltas before the gap may be served; nothing after it is.
      if (!what.includes('twice')) expect(lineItemsOf(all.task.served)).toEqual(before)
      await all.oracle.publish(SEED + 1)
      await changeSome(all, 1)
      await agrees(all)
    },
  )
})

describe('the full check', () => {
  test('finds the served state in order as long as it is', async () => {
    const all = await scene({ checkMs: 100 })
    await changeSome(all)
    await agrees(all)
    const before = all.task.told('state-checked').length
    await all.task.until('checked twice', () => all.task.told('state-checked').length >= before + 2)
    expect(all.task.told('state-checked').every(({ isSame }) => isSame)).toBe(true)
    await changeSome(all)
    await agrees(all)
  })

  test.each(['base', 'overlay'] as const)('finds a number of the %s that has changed in memory', async layer => {
    const all = await scene({ checkMs: 300 })
    await changeSome(all)
    await agrees(all)
    const prices = all.task.served[layer]?.columns.lineItemPriceNanos ?? new Float64Array()
    prices[prices.length - 1] = 1
    await all.task.until('found', () => all.task.told('state-checked').some(({ isSame }) => !isSame))
    await agrees(all)
    await changeSome(all)
    await agrees(all)
  })

  test('(fault 10) that finds a part evicted says so, and what is served serves on', async () => {
    const all = await scene({ checkMs: 100 })
    const { version = '' } = (await all.oracle.announced()) ?? {}
    await all.oracle.redis.unlink(keys.chunk(version, 'lineItems', 0))
    await all.task.until('told', () => all.task.told('check-failed').length > 0)
    expect(all.task.told('check-failed')[0]?.code).toBe('version-incomplete')
    expect(lineItemsOf(all.task.served)).toEqual(all.oracle.expected())
  })
})

describe('a version that the task has no memory for', () => {
  test('is refused before it is read, and the one before serves on and takes what comes next', async () => {
    const all = await scene({ bytesMax: 400_000 })
    const before = lineItemsOf(all.task.served)
    await all.oracle.publish(SEED + 1, 1_000)
    await all.task.until('refused', () => all.task.told('version-refused').length === 1)
    expect(all.task.told('version-refused')[0]).toMatchObject({ code: 'memory-short' })
    expect(all.task.told('version-progress')).toEqual([])
    expect(lineItemsOf(all.task.served)).toEqual(before)
    // Enough not to be taken for an accident beside the last one.
    await all.oracle.publish(SEED + 2, 110)
    await changeSome(all)
    await agrees(all)
  })
})

describe('a copy of the state on the disk', () => {
  async function copyFolder(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'bidcell-copy-'))
    open.push(() => rm(folder, { recursive: true, force: true }))
    return folder
  }

  test('is a directory of documents, as the version and its deltas are together', async () => {
    const all = await scene()
    await changeSome(all)
    const directory = join(await copyFolder(), TENANT)
    const source = new RedisSource({ url: all.server.url, tenantId: TENANT, timeoutMs: 2_000, pickIndex: () => 0 })
    open.push(() => source.close())
    const announced = (await source.announced()) ?? { number: 0, version: '' }
    await copyState(source, announced, directory)
    await copyState(source, announced, directory)
    const lines: string[] = []
    for await (const { kind, value } of readTenantDirectory(directory)) lines.push(`${kind} ${JSON.stringify(value)}`)
    expect(lines.toSorted()).toEqual(all.oracle.recordLines())
  })

  test('serves when the cache is away at the start, loudly, until the cache is back', async () => {
    const all = await scene()
    await changeSome(all)
    const folder = await copyFolder()
    const source = new RedisSource({ url: all.server.url, tenantId: TENANT, timeoutMs: 2_000, pickIndex: () => 0 })
    await copyState(source, (await source.announced()) ?? { number: 0, version: '' }, join(folder, TENANT))
    source.close()
    const copied = all.oracle.expected()
    const port = all.server.port
    await all.server.kill()
    const copy = new FileSource(pathToFileURL(join(folder, TENANT)).href)
    const late = new TaskUnderTest(`redis://127.0.0.1:${port}`, TENANT, all.random, { copy })
    open.push(() => late.stop())
    await late.until('served', () => late.told('copy-serves').length > 0)
    expect(lineItemsOf(late.served)).toEqual(copied)
    expect(late.refresher.view).toMatchObject({ held: { number: 0 }, answeredMs: undefined })
    await startServer(port)
    all.oracle.forget()
    await all.oracle.publish(SEED + 1)
    await agrees({ ...all, task: late })
  })

  test('makes the real service ready without its cache', async () => {
    const folder = await copyFolder()
    const acme = fileURLToPath(new URL('../tenants/acme-outdoor', import.meta.url))
    await cp(acme, join(folder, 'acme-outdoor'), { recursive: true })
    const port = await freePort()
    const env = { TENANT_ID: 'acme-outdoor', STATE_URL: `redis://127.0.0.1:${port}`, STATE_COPY_DIR: folder }
    const service = await startService({ env: { ...env, BID_THREADS: '1' }, readyTimeoutMs: 120_000 })
    open.push(async () => void (await service.stop()))
    // The readiness check passes a moment before the control thread has told why.
    const isTold = () => service.logLines.some(line => line.includes('"state-copy-serves"'))
    for (const untilMs = performance.now() + 5_000; !isTold() && performance.now() < untilMs; ) await sleep(20)
    expect(isTold()).toBe(true)
  })
})

describe('(faults 3, 4, 6 and 8) any sequence of faults, changes and versions', () => {
  const seeds = Array.from({ length: ROUNDS }, (_, round) => SEED + round)
  test.each(seeds)('ends in the state of the oracle (seed %i)', { timeout: 60_000 }, async seed => {
    const all = await scene({ seed })
    const { random, proxy, oracle, task } = all
    for (let step = 0; step < 10; step++) {
      const what = random.pickIndex(10)
      if (what < 4) proxy.fail(random.pick(TOXICS)[1])
      else if (what < 6) proxy.heal()
      if (random.chance(0.4)) proxy.cut()
      if (random.chance(0.15)) await oracle.publish(seed + step)
      else await changeSome(all, random.between(0, 4))
      await sleep(random.between(0, 120))
      expect(lineItemsOf(task.served).length).toBeGreaterThan(0)
    }
    proxy.heal()
    await agrees(all)
    expect(task.told('version-refused')).toEqual([])
  })
})
