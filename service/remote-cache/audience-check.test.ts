import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { ever, Publisher, Task } from '../../test/audience-rig.ts'
import { type RedisServer, startRedis } from '../../test/redis-server.ts'
import { NEVER_ENDS, USER_WORDS } from '../state/audience-chunk.ts'
import { MAP_SHARDS, PAGE_SLOTS, PAGE_WORDS } from '../state/audience-table.ts'
import { SET_HEAD_WORDS } from '../state/set-pool.ts'
import { audienceKeys } from './audience-layout.ts'

const IDS = Array.from({ length: 500 }, (_, i) => `ours ${i}`)
const WAIT = { timeout: 20_000 }
let server: RedisServer
let tenants = 0
const open: (() => Promise<void> | void)[] = []

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())
afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close()
})

/** A task with users that are all in one segment, and some of them in two. */
async function taskWithUsers(checkMs: number) {
  const tenantId = `checked-${++tenants}`
  const publisher = new Publisher(server.url, tenantId)
  open.push(() => publisher.redis.disconnect())
  await publisher.publish('add', 'all', ever(IDS))
  await publisher.publish('add', 'some', new Map(IDS.slice(0, 100).map(id => [id, NEVER_ENDS - 1])))
  const task = new Task(server.url, tenantId, { checkMs })
  open.push(() => task.stop())
  await task.caughtUp()
  return { tenantId, publisher, task }
}

function segmentsOfAll(task: Task): readonly string[] {
  return IDS.map(id => `${id}: ${task.segmentsOf(id)}`)
}

/** Places in the shared memory: of the first user that there is, of its set's members, of a place where nobody is. */
function placesIn({ memory }: Task) {
  const [pages, sets] = [new Uint32Array(memory.pages), new Uint32Array(memory.sets)]
  const slots = Array.from({ length: PAGE_SLOTS }, (_, slot) => slot * USER_WORDS)
  const page = pages.subarray(0, PAGE_WORDS)
  const user = slots.find(at => page[at + 2] !== 0) ?? -1
  const free = slots.find(at => page[at + 2] === 0) ?? -1
  const set = Number(pages[user + 2]) + SET_HEAD_WORDS
  return { pages, sets, user, free, set, maps: memory.maps.map(map => new Uint32Array(map)) }
}

type Places = ReturnType<typeof placesIn>

/** Words that change, where, and what they become. */
const DAMAGES: readonly (readonly [string, (places: Places) => void])[] = [
  ['a user that is another', ({ pages, user }) => void pages.fill(Number(pages[user]) ^ 1, user, user + 1)],
  ['a user without segments', ({ pages, user }) => void pages.fill(0, user + 2, user + 3)],
  ['a user with the segments of nobody', ({ pages, user }) => void pages.fill(0xffff_fff0, user + 2, user + 3)],
  ['a user too many', ({ pages, user, free }) => void pages.copyWithin(free, user, user + USER_WORDS)],
  ['a segment in the place of another', ({ sets, set }) => void sets.fill(7, set, set + 1)],
  ['an end that is another', ({ sets, set }) => void sets.fill(7, set + 1, set + 2)],
  ['a shard without pages', ({ maps }) => maps.forEach(map => void map.fill(0, MAP_SHARDS + 1, MAP_SHARDS + 2))],
]

describe('the check of users', () => {
  test.each(DAMAGES)('finds %s, and every user is right again', async (_, damage) => {
    const { publisher, task } = await taskWithUsers(60)
    const before = segmentsOfAll(task)
    damage(placesIn(task))
    const replaced = () => task.told('audience-checked').some(({ shardsReplaced }) => shardsReplaced === 1)
    await expect.poll(replaced, WAIT).toBe(true)
    expect(segmentsOfAll(task)).toEqual(before)
    const checks = task.told('audience-checked').length
    await expect.poll(() => task.told('audience-checked').length, WAIT).toBeGreaterThan(checks)
    expect(task.told('audience-checked').at(-1)).toMatchObject({ shards: 1, shardsReplaced: 0 })
    // What was replaced stands in the way of nothing.
    await publisher.publish('replace', 'all', ever(IDS.slice(0, 10)))
    await publisher.publish('replace', 'some', ever(IDS.slice(5, 20)))
    await task.caughtUp()
    expect(['ours 3', 'ours 7', 'ours 15', 'ours 30'].map(id => task.segmentsOf(id).join())).toEqual([
      ...['all', 'all,some', 'some', ''],
    ])
  })

  test('that finds nothing in the cache says so, and who serves serves on', async () => {
    const { tenantId, publisher, task } = await taskWithUsers(30)
    const before = segmentsOfAll(task)
    const keys = audienceKeys(tenantId)
    const [name = ''] = ((await publisher.redis.hget(keys.index, 'shard:0')) ?? '').split(' ')
    await publisher.redis.unlink(keys.chunk(name))
    await expect.poll(() => task.told('audience-check-failed').at(-1)?.message, WAIT).toMatch(/not there: users, shard/)
    expect(segmentsOfAll(task)).toEqual(before)
    expect(task.told('audience-refused')).toEqual([])
  })
})
