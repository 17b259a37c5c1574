import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ever, NOW_MS, Publisher, Task } from '../../test/audience-rig.ts'
import { NaiveAudience } from '../../test/random/audience.ts'
import { type RedisServer, startRedis } from '../../test/redis-server.ts'
import { Random } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import { NEVER_ENDS } from '../state/audience-chunk.ts'
import { audienceProblem } from './audience-follower.ts'
import { audienceKeys } from './audience-layout.ts'
import { lookUpUsers } from './audience-lookup.ts'

const MINUTE_MS = 60_000
const NOW_MINUTE = NOW_MS / MINUTE_MS
let server: RedisServer
let redis: Redis

beforeAll(async () => {
  server = await startRedis()
  redis = new Redis(server.url)
})
afterAll(async () => {
  redis.disconnect()
  await server.stop()
})

describe("a tenant's users in the remote cache", () => {
  test.each([11, 12, 13])('serve as a naive list has them, whatever is published (seed %i)', async seed => {
    const random = new Random(seed)
    const tenantId = `random-${seed}`
    const [publisher, naive] = [new Publisher(server.url, tenantId), new NaiveAudience()]
    // Checks go on all the time, and never find anything.
    const task = new Task(server.url, tenantId, { checkMs: 5 })
    const ids = Array.from({ length: 3_000 }, (_, i) => `ours ${seed} ${i}`)
    for (let round = 0; round < 25; round++) {
      const users = ids.filter(() => random.chance(0.1))
      const kind = random.pick(['add', 'add', 'add', 'replace', 'remove', 'forget', 'again'] as const)
      const segment = `own/${random.pickIndex(20)}`
      if (kind === 'forget' || kind === 'again') {
        const few = users.slice(0, 20)
        if (kind === 'forget') await publisher.forget(few)
        else await publisher.allowAgain(few)
        if (kind === 'forget') naive.forget(few)
        else naive.allowAgain(few)
      } else {
        const minutes = () => (random.chance(0.5) ? NEVER_ENDS : NOW_MINUTE + random.between(1, 9))
        const rows = new Map(users.map(id => [id, minutes()]))
        expect(await publisher.publish(kind, segment, rows)).toMatchObject({ kind: 'published' })
        naive.publish(kind, segment, rows)
      }
      if (random.chance(0.4)) continue
      await task.caughtUp()
      for (const nowMs of [NOW_MINUTE * MINUTE_MS, (NOW_MINUTE + 5) * MINUTE_MS])
        for (const id of ids)
          expect(task.segmentsOf(id, nowMs), `${round} ${kind} ${id}`).toEqual(naive.segmentsOf(id, nowMs))
    }
    await expect.poll(() => task.told('audience-checked').length, { timeout: 20_000 }).toBeGreaterThan(0)
    expect(task.told('audience-checked').filter(({ shardsReplaced }) => shardsReplaced > 0)).toEqual([])
    expect(task.told('audience-check-failed')).toEqual([])
    await task.stop()
    publisher.redis.disconnect()
  })

  test('of two publishers at once none loses what the other did', async () => {
    const names = ['a', 'b', 'c', 'd']
    const publishers = names.map(() => new Publisher(server.url, 'rivals'))
    const ids = Array.from({ length: 500 }, (_, i) => `ours ${i}`)
    const outcomes = await Promise.all(publishers.map((each, i) => each.publish('add', names[i] ?? '', ever(ids))))
    expect(outcomes.map(({ kind }) => kind)).toEqual(names.map(() => 'published'))
    const task = new Task(server.url, 'rivals')
    await task.caughtUp()
    for (const id of ids) expect(task.segmentsOf(id)).toEqual(names)
    // What the losers had written in vain is gone.
    expect(await redis.keys('t:{rivals}:state:audience:chunk:*')).toHaveLength(1)
    await task.stop()
    for (const each of publishers) each.redis.disconnect()
  })

  test('grow into more shards, of which a small change writes one, and a task takes only that', async () => {
    const publisher = new Publisher(server.url, 'growing')
    const task = new Task(server.url, 'growing', { checkMs: 5 })
    const ids = Array.from({ length: 3 * LIMITS.audienceShardUsersAim }, (_, i) => `device ${i}`)
    await publisher.publish('add', 'few', ever(ids.slice(0, 10)))
    await task.caughtUp()
    expect(await publisher.publish('add', 'all', ever(ids))).toMatchObject({ shardsWritten: 4, users: ids.length })
    await task.caughtUp()
    expect(await publisher.publish('add', 'one', ever(['device 7']))).toMatchObject({ shardsWritten: 1 })
    await task.caughtUp()
    expect(task.told('audience-loaded').at(-1)).toMatchObject({ shards: 1, users: ids.length })
    expect(task.segmentsOf('device 7')).toEqual(['all', 'few', 'one'])
    expect(ids.every(id => task.segmentsOf(id).includes('all'))).toBe(true)
    await publisher.clear()
    await task.caughtUp()
    expect(task.table.users).toBe(0)
    expect(await redis.keys('t:{growing}:state:audience:*')).toEqual([])
    await publisher.publish('add', 'again', ever(ids.slice(0, 5)))
    await task.caughtUp()
    expect(task.segmentsOf('device 4')).toEqual(['again'])
    const checks = task.told('audience-checked').length
    await expect.poll(() => task.told('audience-checked').length, { timeout: 20_000 }).toBeGreaterThan(checks)
    expect(task.told('audience-checked').filter(({ shardsReplaced }) => shardsReplaced > 0)).toEqual([])
    await task.stop()
    publisher.redis.disconnect()
  })

  test('are found one by one without the others', async () => {
    const publisher = new Publisher(server.url, 'single')
    const ids = Array.from({ length: 2 * LIMITS.audienceShardUsersAim }, (_, i) => `ours ${i}`)
    await publisher.publish('add', 'all', ever(ids))
    await publisher.publish('add', 'some', ever(ids.slice(0, 50)))
    const task = new Task(server.url, 'single')
    await task.caughtUp()
    for (const id of ['ours 7', 'ours 70', 'ours nobody']) {
      const found: string[] = []
      ;(await lookUpUsers(task.source, [id])).addSegments(id, NOW_MINUTE * MINUTE_MS, found)
      expect(found.toSorted()).toEqual(task.segmentsOf(id))
    }
    await task.stop()
    publisher.redis.disconnect()
  })

  test('who asked to be forgotten does not come back with a file that still has them', async () => {
    const publisher = new Publisher(server.url, 'forgetful')
    await publisher.publish('add', 's', ever(['ours me', 'ours you']))
    expect(await publisher.forget(['ours me', 'ours nobody'])).toMatchObject({ rowsOfForgotten: 1, users: 1 })
    expect(await publisher.publish('add', 's', ever(['ours me']))).toMatchObject({ rowsOfForgotten: 1, users: 1 })
    expect(Object.keys(await redis.hgetall(audienceKeys('forgetful').forgotten))).toHaveLength(2)
    await publisher.allowAgain(['ours me'])
    expect(await publisher.publish('add', 's', ever(['ours me']))).toMatchObject({ rowsOfForgotten: 0, users: 2 })
    publisher.redis.disconnect()
  })

  test('beyond the quota nothing is changed and nothing is left', async () => {
    const publisher = new Publisher(server.url, 'quota', { quotaBytes: 3_000 })
    await publisher.publish('add', 's', ever(['ours 1']))
    const keys = await redis.keys('t:{quota}:*')
    const many = ever(Array.from({ length: 500 }, (_, i) => `ours ${i}`))
    expect(await publisher.publish('add', 's', many)).toMatchObject({ kind: 'over-quota', quotaBytes: 3_000 })
    expect((await redis.keys('t:{quota}:*')).toSorted()).toEqual(keys.toSorted())
    expect(await publisher.forget(['ours 1'])).toMatchObject({ kind: 'published', users: 0 })
    publisher.redis.disconnect()
  })

  test('(faults 9, 10) a shard that is lost or damaged is told, and what was before serves on', async () => {
    const publisher = new Publisher(server.url, 'damaged')
    const task = new Task(server.url, 'damaged')
    await publisher.publish('add', 'a', ever(['ours 1']))
    await task.caughtUp()
    const { index } = audienceKeys('damaged')
    const good = (await redis.hget(index, 'shard:0')) ?? ''
    await redis.hset(index, 'change', 'x', 'shard:0', good.replace(/\S+$/, '0'.repeat(64)).replace(/^\S+/, 'other'))
    await expect.poll(() => task.events.at(-1)?.kind, { timeout: 10_000 }).toBe('audience-refused')
    expect(task.segmentsOf('ours 1')).toEqual(['a'])
    await expect(publisher.publish('add', 'b', ever(['ours 1']))).rejects.toMatchObject({ code: 'version-incomplete' })
    await publisher.clear()
    await publisher.publish('add', 'b', ever(['ours 1']))
    await task.caughtUp()
    expect(task.segmentsOf('ours 1')).toEqual(['b'])
    await task.stop()
    publisher.redis.disconnect()
  })

  test('a task without the memory says so, keeps what it has, and takes the next change that fits', async () => {
    const publisher = new Publisher(server.url, 'large')
    const memory = { limitBytes: 64 << 20, residentBytes: 16 << 20, heldBytes: 0 }
    const task = new Task(server.url, 'large', { admit: index => audienceProblem(index, memory) })
    await publisher.publish('add', 'a', ever(['ours 1']))
    await task.caughtUp()
    memory.residentBytes = 60 << 20
    await publisher.publish('add', 'b', ever(['ours 1']))
    await expect.poll(() => task.events.at(-1)?.kind, { timeout: 10_000 }).toBe('audience-refused')
    expect(task.events.at(-1)).toMatchObject({
      message: expect.stringMatching(/1 users take about 32 MiB more, and 60 of 64/),
    })
    expect(task.segmentsOf('ours 1')).toEqual(['a'])
    memory.residentBytes = 16 << 20
    await publisher.publish('add', 'c', ever(['ours 1']))
    await task.caughtUp()
    expect(task.segmentsOf('ours 1')).toEqual(['a', 'b', 'c'])
    await task.stop()
    publisher.redis.disconnect()
  })

  test('(faults 2, 10) serve on while the cache is away and after it lost its memory', async () => {
    const own = await startRedis()
    const [publisher, task] = [new Publisher(own.url, 'gone'), new Task(own.url, 'gone')]
    await publisher.publish('add', 'a', ever(['ours 1', 'ours 2']))
    await task.caughtUp()
    publisher.redis.disconnect()
    await own.kill()
    expect(task.segmentsOf('ours 1')).toEqual(['a'])
    const empty = await startRedis({ port: own.port })
    await expect.poll(() => task.source.change().catch(() => 'away'), { timeout: 10_000 }).toBe('')
    expect(task.segmentsOf('ours 1')).toEqual(['a'])
    const again = new Publisher(own.url, 'gone')
    // The same number as before, under another key.
    await again.publish('add', 'b', ever(['ours 2']))
    await task.caughtUp()
    expect(task.segmentsOf('ours 1')).toEqual([])
    expect(task.segmentsOf('ours 2')).toEqual(['b'])
    await task.stop()
    again.redis.disconnect()
    await empty.stop()
  })
})
