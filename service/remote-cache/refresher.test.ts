import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterEach, describe, expect, test } from 'vitest'
import { publishRecords, putRawVersion, type RawFaults, rawKinds } from '../../test/raw-version.ts'
import { freePort, type RedisServer, startRedis } from '../../test/redis-server.ts'
import { CatalogLoad } from '../catalog-load.ts'
import { systemClock as clock } from '../foundation/clock.ts'
import { Random } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import { publishTenant } from './publisher.ts'
import { RedisSource } from './redis-source.ts'
import type { RefreshEvent } from './refresh-events.ts'
import { Refresher } from './refresher.ts'
import type { StateSource } from './source.ts'
import { type PlanInput, planUpdate } from './update-plan.ts'

const tenantId = 'acme'
const seed = Date.now() % 100_000

describe('the plan', () => {
  const at = (number: number, version: string) => ({ number, version })

  const cases: readonly (readonly [string, Omit<PlanInput, 'wasRefused'>, object])[] = [
    ['nothing is announced', { held: undefined, announced: undefined }, { kind: 'keep', because: 'nothing-announced' }],
    ['the announcement vanished', { held: at(4, 'a'), announced: undefined }, { kind: 'keep' }],
    ['it is held', { held: at(4, 'a'), announced: at(4, 'a') }, { kind: 'up-to-date' }],
    ['the held version is announced again', { held: at(4, 'a'), announced: at(6, 'a') }, { kind: 'up-to-date' }],
    ['it is the first', { held: undefined, announced: at(9, 'a') }, { because: 'first-load' }],
    ['it is newer', { held: at(4, 'a'), announced: at(5, 'b') }, { because: 'new-version' }],
    ['older content has a newer number', { held: at(4, 'b'), announced: at(5, 'a') }, { because: 'new-version' }],
    ['the cache was restored', { held: at(4, 'b'), announced: at(1, 'c') }, { because: 'number-went-back' }],
    ['it was refused', { held: at(4, 'a'), announced: at(5, 'refused') }, { kind: 'keep', because: 'refused-before' }],
  ]
  test.each(cases)('when %s', (_name, input, plan) => {
    expect(planUpdate({ ...input, wasRefused: ({ version }) => version === 'refused' })).toMatchObject(plan)
  })
})

/** A refresher on a source, with everything that it told. */
class Watched {
  readonly events: RefreshEvent[] = []
  readonly refresher: Refresher<CatalogLoad>
  /** Versions that were built; a build may be told to fail. */
  readonly built: string[] = []
  failBuild: string | undefined
  swap = () => Promise.resolve()

  constructor(source: StateSource, pollMs = 20) {
    this.refresher = new Refresher({
      source,
      openReader: isFirst => new CatalogLoad(isFirst),
      onLoaded: (_load, { version }) => {
        if (this.failBuild !== undefined) throw new Error(this.failBuild)
        this.built.push(version)
      },
      onDelta: () => ({ counts: {} as never, problems: [], problemsTotal: 0, usable: true }),
      swap: () => this.swap(),
      differs: () => false,
      drop: () => {},
      checkMs: 3_600_000,
      onEvent: event => this.events.push(event),
      clock,
      pickIndex: new Random(seed).pickIndex,
      pollMs,
    })
    this.refresher.start()
  }

  kinds(): string[] {
    return this.events.map(({ kind }) => kind)
  }

  refusals() {
    return this.events.filter(event => event.kind === 'version-refused')
  }

  async until(holds: () => boolean, limitMs = 5_000): Promise<number> {
    const startMs = performance.now()
    while (!holds()) {
      if (performance.now() - startMs > limitMs)
        throw new Error(`not within ${limitMs} ms: ${JSON.stringify(this.events)}`)
      await sleep(2)
    }
    return performance.now() - startMs
  }
}

describe('with a real cache', () => {
  const open: (() => Promise<void> | void)[] = []
  afterEach(async () => {
    for (const close of open.splice(0).toReversed()) await close()
  })

  async function serve(port?: number): Promise<{ server: RedisServer; redis: Redis }> {
    const server = await startRedis(port === undefined ? {} : { port })
    const redis = new Redis(server.url, { retryStrategy: () => null })
    redis.on('error', () => {})
    open.push(() => server.stop())
    open.push(() => redis.disconnect())
    return { server, redis }
  }

  function watch(url: string, timeoutMs = 1_000): Watched {
    const { pickIndex } = new Random(seed)
    const source = new RedisSource({ url, tenantId, timeoutMs, pickIndex })
    const watched = new Watched(source)
    open.push(async () => {
      source.close()
      await watched.refresher.stop()
    })
    return watched
  }

  async function publish(redis: Redis, lineItems = 20): Promise<string> {
    const outcome = await publishTenant({ redis, tenantId, documents: publishRecords({ lineItems, seed: 1 }) })
    return outcome.kind === 'published' ? outcome.announcement.version : outcome.kind
  }

  test('versions are loaded as they are announced, with what they hold and how long it took', async () => {
    const { server, redis } = await serve()
    const watched = watch(server.url)
    await watched.until(() => watched.kinds().includes('nothing-announced'))
    const first = await publish(redis)
    await watched.until(() => watched.built.includes(first))
    const second = await publish(redis, 30)
    await watched.until(() => watched.built.includes(second))
    await sleep(100)
    expect(watched.kinds()).toEqual([
      'nothing-announced',
      ...['version-loading', 'version-loaded', 'version-loading', 'version-loaded'],
    ])
    const loaded = watched.events.findLast(event => event.kind === 'version-loaded')
    expect(loaded?.report.counts.lineItems.good).toBe(30)
    expect(watched.refresher.view).toMatchObject({
      held: { number: 2, version: second },
      unreachableSinceMs: undefined,
    })
  })

  test('an older version that is announced again is loaded again', async () => {
    const { server, redis } = await serve()
    const watched = watch(server.url)
    const first = await publish(redis)
    await watched.until(() => watched.built.includes(first))
    const second = await publish(redis)
    await watched.until(() => watched.built.includes(second))
    const key = `t:{${tenantId}}:state:announced`
    await redis.multi().hincrby(key, 'number', 1).hset(key, 'version', first).exec()
    await watched.until(() => watched.built.length === 3)
    expect(watched.built).toEqual([first, second, first])
    expect(watched.refresher.view.held).toEqual({ number: 3, version: first })
  })

  test('(fault 1) a cache that is down at start is used within 2 s of its return', async () => {
    const port = await freePort()
    const watched = watch(`redis://127.0.0.1:${port}`)
    await sleep(1_500)
    expect(watched.kinds()).toEqual(['cache-unreachable'])
    const { redis } = await serve(port)
    const backMs = performance.now()
    const version = await publish(redis)
    await watched.until(() => watched.built.includes(version))
    const tookMs = performance.now() - backMs
    expect(tookMs).toBeLessThan(2_000)
    expect(watched.kinds().filter(kind => kind === 'cache-back')).toHaveLength(1)
  })

  test('(fault 2) a cache that is killed while polled is told once, and used within 2 s of its return', async () => {
    const { server, redis } = await serve()
    const watched = watch(server.url)
    const first = await publish(redis)
    await watched.until(() => watched.built.includes(first))
    await server.kill()
    await watched.until(() => watched.kinds().includes('cache-unreachable'))
    await sleep(1_000)
    expect(watched.kinds().filter(kind => kind === 'cache-unreachable')).toHaveLength(1)
    expect(watched.refresher.view.held?.version).toBe(first)
    expect(watched.refresher.view.unreachableSinceMs).toBeGreaterThan(0)
    const again = await serve(server.port)
    const backMs = performance.now()
    // It came back empty: its numbers begin again.
    const second = await publish(again.redis)
    await watched.until(() => watched.built.includes(second))
    const tookMs = performance.now() - backMs
    expect(tookMs).toBeLessThan(2_000)
    const causes = watched.events.flatMap(event => (event.kind === 'version-loading' ? [event.because] : []))
    expect(causes[0]).toBe('first-load')
    // The number of the first is 1, too: the version alone tells them apart.
    expect(causes.at(-1)).toBe('new-version')
  })

  test('(fault 3) a cache that stands still is noticed in time, and caught up with once it moves', async () => {
    const { server, redis } = await serve()
    const watched = watch(server.url, 300)
    const first = await publish(redis)
    await watched.until(() => watched.built.includes(first))
    server.pause()
    const noticedMs = await watched.until(() => watched.kinds().includes('cache-unreachable'))
    expect(noticedMs).toBeLessThan(1_500)
    await sleep(1_000)
    server.resume()
    const second = await publish(redis)
    expect(await watched.until(() => watched.built.includes(second))).toBeLessThan(5_000)
  })

  test('(fault 9) a broken version is refused once and by name, and the previous one is held', async () => {
    const { server, redis } = await serve()
    const watched = watch(server.url)
    const first = await publish(redis)
    await watched.until(() => watched.built.includes(first))
    const kinds = rawKinds({ lineItems: 10, seed: 2 })
    const broken: [string, RawFaults, string][] = [
      ['corrupt', { chunk: (_key, text) => text.replace('a', 'b') }, 'chunk-corrupt'],
      ['lost', { chunk: (key, text) => (key.includes('campaigns') ? undefined : text) }, 'version-incomplete'],
      ['garbled', { manifest: () => '{' }, 'manifest-invalid'],
    ]
    for (const [version, faults, code] of broken) {
      await putRawVersion(redis, { tenantId, version }, kinds, faults)
      await watched.until(() => watched.refusals().at(-1)?.announcement.version === version)
      expect(watched.refusals().at(-1)?.code).toBe(code)
      const told = watched.events.length
      await sleep(150)
      expect(watched.events.length).toBe(told)
      expect(watched.refresher.view.held?.version).toBe(first)
    }
    await putRawVersion(redis, { tenantId, version: 'empty' }, { ...kinds, settings: [['{}']] })
    await watched.until(() => watched.refusals().length === broken.length + 1)
    expect(watched.refusals().at(-1)).toMatchObject({ code: 'documents-unusable', report: { usable: false } })
    await putRawVersion(redis, { tenantId, version: 'mended' }, kinds)
    await watched.until(() => watched.built.includes('mended'))
  })

  test('(fault 9) a version without nearly all line items is refused until it is said to be meant', async () => {
    const { server, redis } = await serve()
    const watched = watch(server.url)
    const first = await publish(redis, 150)
    await watched.until(() => watched.built.includes(first))
    await putRawVersion(redis, { tenantId, version: 'cut' }, rawKinds({ lineItems: 15, seed: 2 }))
    await watched.until(() => watched.refusals().length === 1)
    expect(watched.refusals()[0]).toMatchObject({ code: 'line-items-lost', announcement: { version: 'cut' } })
    expect(watched.refresher.view.held?.version).toBe(first)
    const announced = `t:{${tenantId}}:state:announced`
    await redis.multi().hincrby(announced, 'number', 1).hset(announced, 'meant', 'cut').exec()
    await watched.until(() => watched.refresher.view.held?.version === 'cut')
    await putRawVersion(redis, { tenantId, version: 'small' }, rawKinds({ lineItems: 1, seed: 2 }))
    await watched.until(() => watched.refresher.view.held?.version === 'small')
  })

  test('(fault 9) bad records of a version are refused by name, and the others serve', async () => {
    const { server, redis } = await serve()
    const watched = watch(server.url)
    const kinds = rawKinds({ lineItems: 20, seed: 2 })
    const [lines = []] = kinds.lineItems ?? []
    const [first = '', second = '', third = '', ...rest] = lines
    const twin = JSON.stringify({ ...JSON.parse(second), name: 'another' })
    const priceless = third.replace(/"cpm":[\d.]+/, '"cpm":NaN')
    const nothing = JSON.stringify({ ...JSON.parse(third), id: 'li-null', price: { cpm: null } })
    const endless = JSON.stringify({ ...JSON.parse(third), id: 'li-much' }).replace(/"cpm":[\d.]+/, '"cpm":1e999')
    const bad = [first.slice(0, 80), twin, priceless, nothing, endless]
    await putRawVersion(redis, { tenantId, version: 'mixed' }, { ...kinds, lineItems: [[second, ...bad, ...rest]] })
    await watched.until(() => watched.built.includes('mixed'))
    const loaded = watched.events.findLast(event => event.kind === 'version-loaded')
    expect(loaded?.report.counts.lineItems).toEqual({ good: 18, bad: 5 })
    const told = loaded?.report.problems.map(({ record, path, id = '' }) => `${record} ${id} ${path}`)
    const twinId = JSON.parse(second).id
    expect(told).toEqual(['1  ', `2 ${twinId} id`, '3  ', '4 li-null price.cpm', '5 li-much price.cpm'])
  })

  test('a version whose build fails is refused and not built again until it is announced again', async () => {
    const { server, redis } = await serve()
    const watched = watch(server.url)
    watched.failBuild = 'no room'
    const version = await publish(redis)
    await watched.until(() => watched.kinds().includes('version-refused'))
    expect(watched.events.at(-1)).toMatchObject({ code: 'build-failed', message: 'no room' })
    watched.failBuild = undefined
    await sleep(150)
    expect(watched.built).toEqual([])
    await redis.hincrby(`t:{${tenantId}}:state:announced`, 'number', 1)
    await watched.until(() => watched.built.includes(version))
  })

  test('(fault 8) a version that is replaced and removed while it is read is not called broken', async () => {
    const { server, redis } = await serve()
    const kinds = rawKinds({ lineItems: 10, seed: 2 })
    await putRawVersion(redis, { tenantId, version: 'v1' }, kinds, { announce: false })
    await putRawVersion(redis, { tenantId, version: 'v2' }, kinds)
    const { pickIndex } = new Random(seed)
    const source = new RedisSource({ url: server.url, tenantId, timeoutMs: 1_000, pickIndex })
    let looks = 0
    // The first look is answered late: by then v1 is gone and v2 is announced.
    const late: StateSource = {
      announced: async () => (looks++ === 0 ? { number: 0, version: 'gone' } : await source.announced()),
      summary: version => source.summary(version),
      read: version => source.read(version),
      deltas: (version, after, end) => source.deltas(version, after, end),
    }
    const watched = new Watched(late)
    await watched.until(() => watched.built.includes('v2'))
    expect(watched.kinds()).not.toContain('version-refused')
    source.close()
    await watched.refresher.stop()
  })

  test('where deltas come without end, what a swap took is followed by twice as long without', async () => {
    const { server, redis } = await serve()
    const version = await publish(redis)
    const { pickIndex } = new Random(seed)
    const source = new RedisSource({ url: server.url, tenantId, timeoutMs: 10_000, pickIndex })
    let length = 0
    const endless: StateSource = {
      announced: () => Promise.resolve({ number: 1, version, deltas: { length: ++length, digest: `${length}` } }),
      summary: wanted => source.summary(wanted),
      read: wanted => source.read(wanted),
      deltas: async function* (_version, _after, end) {
        yield { chain: end, chars: 2, delta: { put: {}, with: {}, delete: {}, mask: [] } }
      },
    }
    const watched = new Watched(endless)
    const swaps: { readonly startMs: number; readonly endMs: number }[] = []
    watched.swap = async () => {
      const startMs = performance.now()
      await sleep(80)
      swaps.push({ startMs, endMs: performance.now() })
    }
    await watched.until(() => swaps.length >= 5, 60_000)
    await watched.refresher.stop()
    source.close()
    // The first one is the load's.
    for (const [i, { startMs, endMs }] of swaps.slice(1, -1).entries()) {
      const pauseMs = (swaps[i + 2]?.startMs ?? 0) - endMs
      expect(pauseMs).toBeGreaterThan(Math.min(LIMITS.deltaRestMsMax, 2 * (endMs - startMs)) - 5)
    }
  })

  test('stopping ends the loop although the cache is away', async () => {
    const watched = watch(`redis://127.0.0.1:${await freePort()}`)
    await watched.until(() => watched.kinds().includes('cache-unreachable'))
    const startMs = performance.now()
    await watched.refresher.stop()
    expect(performance.now() - startMs).toBeLessThan(1_500)
    const told = watched.events.length
    await sleep(200)
    expect(watched.events.length).toBe(told)
  })
})
