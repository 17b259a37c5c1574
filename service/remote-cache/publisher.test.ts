import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { publishRecords } from '../../test/raw-version.ts'
import { type RedisServer, startRedis } from '../../test/redis-server.ts'
import { type PublishOutcome, type PublishRecord, publishTenant } from './publisher.ts'
import { RedisSource } from './redis-source.ts'

const tenantId = 'acme'
let server: RedisServer
let redis: Redis
let source: RedisSource

beforeAll(async () => {
  server = await startRedis()
  redis = new Redis(server.url)
  source = new RedisSource({ url: server.url, tenantId, timeoutMs: 2_000, pickIndex: () => 0 })
})
afterAll(async () => {
  source.close()
  redis.disconnect()
  await server.stop()
})
beforeEach(() => redis.flushall())

async function publish(
  documents: Iterable<PublishRecord> = publishRecords({ lineItems: 20, seed: 1 }),
  allowBad = false,
) {
  return await publishTenant({ redis, tenantId, documents, allowBad })
}

function versionOf(outcome: PublishOutcome): string {
  if (outcome.kind !== 'published') throw new Error(`refused: ${outcome.because}`)
  return outcome.announcement.version
}

async function recordsOf(version: string): Promise<number> {
  let records = 0
  for await (const batch of source.read(version)) records += batch.count
  return records
}

function* withBadLineItem(): Generator<PublishRecord> {
  yield* publishRecords({ lineItems: 20, seed: 1 })
  yield { kind: 'lineItems', value: { id: 'li-bad' }, where: { file: 'lineItems.json', record: 20 } }
}

describe('a publish', () => {
  test('stores all records, announces them and leaves nothing that expires', async () => {
    const documents = [...publishRecords({ lineItems: 3_000, seed: 2 })]
    const progress: number[] = []
    const onProgress = ({ records }: { records: number }) => progress.push(records)
    const outcome = await publishTenant({ redis, tenantId, documents, onProgress })
    const version = versionOf(outcome)
    expect(await source.announced()).toEqual({ number: 1, version })
    expect(await recordsOf(version)).toBe(documents.length)
    expect(progress.at(-1)).toBe(documents.length)
    const keys = await redis.keys('*')
    for (const key of keys) {
      expect(key).toMatch(/^t:\{acme\}:state:/)
      expect(await redis.ttl(key)).toBe(-1)
    }
    // More than one chunk of line items, or the test shows little.
    expect(keys).toContain(`t:{acme}:state:v:${version}:lineItems:1`)
  })

  test('with a bad record announces nothing and leaves nothing', async () => {
    const first = versionOf(await publish())
    const keysBefore = await redis.keys('*')
    const outcome = await publish(withBadLineItem())
    expect(outcome).toMatchObject({ kind: 'refused', because: 'bad-records' })
    expect(outcome.report.problems[0]).toMatchObject({ file: 'lineItems.json', record: 20, id: 'li-bad' })
    expect((await source.announced())?.version).toBe(first)
    expect((await redis.keys('*')).toSorted()).toEqual(keysBefore.toSorted())
  })

  test('may leave bad records out when told so', async () => {
    const good = [...publishRecords({ lineItems: 20, seed: 1 })].length
    expect(await recordsOf(versionOf(await publish(withBadLineItem(), true)))).toBe(good)
  })

  test('over its quota announces nothing and leaves nothing, and counts what is stored', async () => {
    const documents = [...publishRecords({ lineItems: 20, seed: 1 })]
    await publish(documents)
    const [text = ''] = await redis.hvals('t:{acme}:state:versions')
    const { storedBytes } = JSON.parse(text) as { storedBytes: number }
    const keysBefore = await redis.keys('*')
    const quotaBytes = 2 * storedBytes - 1
    const over = await publishTenant({ redis, tenantId, documents, quotaBytes })
    expect(over).toMatchObject({ kind: 'refused', because: 'over-quota', storedBytes, quotaBytes })
    expect((await redis.keys('*')).toSorted()).toEqual(keysBefore.toSorted())
    expect((await source.announced())?.number).toBe(1)
    const fits = await publishTenant({ redis, tenantId, documents, quotaBytes: 2 * storedBytes })
    expect(fits).toMatchObject({ kind: 'published', announcement: { number: 2 } })
  })

  test('without nearly all line items of the version before needs to be told that it is meant', async () => {
    const publishSome = (lineItems: number, allowShrink = false) =>
      publishTenant({ redis, tenantId, documents: publishRecords({ lineItems, seed: 1 }), allowShrink })
    await publishSome(200)
    const keys = await redis.keys('*')
    const before = await source.announced()
    const refused = await publishSome(20)
    expect(refused).toMatchObject({ kind: 'refused', because: 'line-items-lost' })
    expect(refused).toMatchObject({ problem: 'it has 20 good line items, and the one before has 200' })
    expect((await redis.keys('*')).toSorted()).toEqual(keys.toSorted())
    expect(await source.announced()).toEqual(before)
    expect((await publishSome(20, true)).kind).toBe('published')
    expect(await source.announced()).toMatchObject({ isMeant: true })
    expect((await publishSome(21)).kind).toBe('published')
    expect((await source.announced())?.isMeant).toBeUndefined()
  })

  test('without settings is refused even so', async () => {
    const documents = [...publishRecords({ lineItems: 20, seed: 1 })].filter(({ kind }) => kind !== 'settings')
    expect(await publish(documents, true)).toMatchObject({ kind: 'refused', because: 'unusable' })
    expect(await redis.keys('*')).toEqual([])
  })

  test('keeps the announced version and the two before it', async () => {
    const versions: string[] = []
    for (let i = 0; i < 5; i++) versions.push(versionOf(await publish()))
    const keys = await redis.keys('*')
    for (const [index, version] of versions.entries()) expect(keys.some(key => key.includes(version))).toBe(index >= 2)
    expect(Object.keys(await redis.hgetall('t:{acme}:state:versions')).toSorted()).toEqual(versions.slice(2).toSorted())
    expect(await source.announced()).toEqual({ number: 5, version: versions[4] })
  })

  test('counts on from a rollback that happens while it writes', async () => {
    const old = versionOf(await publish())
    const other = [...publishRecords({ lineItems: 20, seed: 1 })]
    await publish()
    await publish()
    // Somebody rolls back while the next publish is just about to announce.
    async function* rollingBack(): AsyncGenerator<PublishRecord> {
      yield* other
      await redis
        .multi()
        .hincrby('t:{acme}:state:announced', 'number', 1)
        .hset('t:{acme}:state:announced', 'version', old)
        .exec()
    }
    const outcome = await publishTenant({ redis, tenantId, documents: rollingBack() })
    expect(outcome).toMatchObject({ kind: 'published', announcement: { number: 5 } })
  })

  test('at the same time as others succeeds, each under a number of its own', async () => {
    const others = Array.from({ length: 4 }, () => new Redis(server.url))
    const outcomes = await Promise.all(
      others.map(each =>
        publishTenant({ redis: each, tenantId, documents: publishRecords({ lineItems: 20, seed: 1 }) }),
      ),
    )
    for (const each of others) each.disconnect()
    const announcements = outcomes.flatMap(outcome => (outcome.kind === 'published' ? [outcome.announcement] : []))
    expect(announcements.map(({ number }) => number).toSorted()).toEqual([1, 2, 3, 4])
    expect(await source.announced()).toEqual(announcements.find(({ number }) => number === 4))
  })

  test('(fault 10) whose chunk is evicted before the announcement fails and announces nothing', async () => {
    async function* evicting(): AsyncGenerator<PublishRecord> {
      yield* publishRecords({ lineItems: 20, seed: 1 })
      for (const key of await redis.keys('*:v:*:campaigns:0')) await redis.del(key)
    }
    await expect(publishTenant({ redis, tenantId, documents: evicting() })).rejects.toMatchObject({
      code: 'version-incomplete',
    })
    expect(await source.announced()).toBeUndefined()
  })

  test('(fault 8) that is killed is never seen, and what it wrote expires', async () => {
    const first = versionOf(await publish())
    const program = `
      import { Redis } from 'ioredis'
      import { publishTenant } from ${JSON.stringify(new URL('./publisher.ts', import.meta.url).href)}
      import { publishRecords } from ${JSON.stringify(new URL('../../test/raw-version.ts', import.meta.url).href)}
      async function* documents() {
        yield* publishRecords({ lineItems: 2000, seed: 1 })
        console.log('all read')
        await new Promise(resolve => setTimeout(resolve, 60_000))
      }
      const redis = new Redis(${JSON.stringify(server.url)})
      await publishTenant({ redis, tenantId: 'acme', documents: documents() })`
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(await source.announced()).toEqual({ number: 1, version: first })
    const left = (await redis.keys('*:v:*')).filter(key => !key.includes(first))
    expect(left.length).toBeGreaterThan(0)
    for (const key of left) expect(await redis.ttl(key)).toBeGreaterThan(0)
  })
})
