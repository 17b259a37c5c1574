import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { ever, Publisher, Task } from '../../test/audience-rig.ts'
import { freePort, type RedisServer, startRedis } from '../../test/redis-server.ts'
import { LIMITS } from '../limits.ts'
import { AudienceFolder } from './audience-folder.ts'
import type { AudienceIndex } from './audience-layout.ts'
import { RedisAudienceSource } from './audience-source.ts'

const WAIT = { timeout: 30_000 }
const IDS = Array.from({ length: 1.5 * LIMITS.audienceShardUsersAim }, (_, i) => `ours ${i}`)
let server: RedisServer
let folder: string
let copy: AudienceFolder
let tenants = 0
const open: (() => Promise<void> | void)[] = []

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bidcell-users-'))
  copy = new AudienceFolder(folder)
  open.push(() => rm(folder, { recursive: true, force: true }))
})
afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close()
})

/** Who publishes the users of one tenant, and where tasks read them. */
function scene() {
  const tenantId = `copied-${++tenants}`
  const publisher = new Publisher(server.url, tenantId)
  const source = new RedisAudienceSource({ url: server.url, tenantId, timeoutMs: 5_000, pickIndex: () => 0 })
  open.push(() => publisher.redis.disconnect())
  open.push(() => source.close())
  const takeCopy = async () => await copy.take(source, await indexOf(source))
  return { tenantId, publisher, source, takeCopy }
}

async function indexOf(source: RedisAudienceSource): Promise<AudienceIndex> {
  const index = await source.index()
  if (index === undefined) throw new Error('no users')
  return index
}

async function startTask(url: string, tenantId: string): Promise<Task> {
  const task = new Task(url, tenantId, { copy })
  open.push(() => task.stop())
  await expect.poll(() => task.events.length, WAIT).toBeGreaterThan(0)
  return task
}

describe('a copy of users on the disk', () => {
  test('serves when the cache is away at the start, until it is back; then only what is new is fetched', async () => {
    const port = await freePort()
    const own = await startRedis({ port })
    const first = new Publisher(own.url, 'late')
    await first.publish('add', 'all', ever(IDS))
    const source = new RedisAudienceSource({ url: own.url, tenantId: 'late', timeoutMs: 5_000, pickIndex: () => 0 })
    await copy.take(source, await indexOf(source))
    const saved = await first.redis.dump('t:{late}:state:audience')
    expect(saved).not.toBeNull()
    const keys = await first.redis.keys('*')
    const dumps = await Promise.all(keys.map(async key => [key, await first.redis.dumpBuffer(key)] as const))
    source.close()
    first.redis.disconnect()
    await own.stop()

    const task = await startTask(`redis://127.0.0.1:${port}`, 'late')
    await expect.poll(() => task.told('audience-copy-serves').length, WAIT).toBe(1)
    expect(task.told('audience-copy-serves')[0]).toMatchObject({ users: IDS.length, shards: 2 })
    expect(Date.now() - Date.parse(task.told('audience-copy-serves')[0]?.copiedAt ?? '')).toBeLessThan(600_000)
    expect(IDS.every(id => task.segmentsOf(id).join() === 'all')).toBe(true)
    expect(task.reader.isOpen).toBe(true)

    const back = await startRedis({ port })
    open.push(() => back.stop())
    const again = new Publisher(back.url, 'late')
    open.push(() => again.redis.disconnect())
    for (const [key, value] of dumps) await again.redis.restore(key, 0, value)
    await again.publish('add', 'one', ever(['ours 7']))
    await task.caughtUp()
    expect(task.told('audience-loaded')).toMatchObject([{ shards: 1, users: IDS.length }])
    expect(task.segmentsOf('ours 7')).toEqual(['all', 'one'])
  })

  test('writes what is new, and keeps nothing of who was forgotten', async () => {
    const { publisher, takeCopy } = scene()
    await publisher.publish('add', 'all', ever(IDS))
    await takeCopy()
    const before = await readdir(folder)
    const inodeOf = async (name: string) => (await stat(join(folder, name))).ino
    const inodes = await Promise.all(before.map(inodeOf))
    expect(before).toHaveLength(3)
    await publisher.forget(['ours 7'])
    await takeCopy()
    const after = await readdir(folder)
    expect(after).toHaveLength(3)
    expect((await Promise.all(after.map(inodeOf))).filter(inode => inodes.includes(inode))).toHaveLength(1)
    const task = await startTask('redis://127.0.0.1:1', 'nobody')
    expect(task.told('audience-copy-serves')).toMatchObject([{ users: IDS.length - 1 }])
    expect([task.segmentsOf('ours 7'), task.segmentsOf('ours 8')]).toEqual([[], ['all']])
  })

  test('stays as it was when shards are replaced while it is made', async () => {
    const { publisher, source, takeCopy } = scene()
    await publisher.publish('add', 'a', ever(['ours 1']))
    await takeCopy()
    await publisher.publish('add', 'b', ever(['ours 1']))
    const index = await indexOf(source)
    await publisher.publish('add', 'c', ever(['ours 1']))
    await copy.take(source, index)
    const task = await startTask('redis://127.0.0.1:1', 'nobody')
    expect(task.segmentsOf('ours 1')).toEqual(['a'])
  })

  test('that is damaged is told, and nobody has the segments of what cannot be read', async () => {
    const { publisher, takeCopy } = scene()
    await publisher.publish('add', 'all', ever(IDS.slice(0, 100)))
    await takeCopy()
    const [shard = ''] = (await readdir(folder)).filter(name => name !== 'index')
    const bytes = await readFile(join(folder, shard))
    await writeFile(join(folder, shard), bytes.fill(Number(bytes.at(-1)) ^ 1, bytes.length - 1))
    const task = await startTask('redis://127.0.0.1:1', 'nobody')
    expect(task.told('audience-copy-unusable')[0]?.message).toContain('wrong sha256')
    expect(task.segmentsOf('ours 1')).toEqual([])
  })

  test('is not waited for where a tenant has no users', async () => {
    const task = new Task('redis://127.0.0.1:1', 'nobody', { copy })
    open.push(() => task.stop())
    const startMs = performance.now()
    await task.follower.opened
    expect(performance.now() - startMs).toBeLessThan(LIMITS.audienceOpenMs)
    expect(task.reader.isOpen).toBe(true)
    expect(task.events).toEqual([])
  })

  test.each([
    ['changed', (text: string) => text.replace(/"bits":"0"/, '"bits":"1"'), 'wrong sha256'],
    ['cut', (text: string) => text.slice(0, -9), 'wrong sha256'],
  ])('whose index is %s is told', async (_, change, message) => {
    const { publisher, takeCopy } = scene()
    await publisher.publish('add', 'all', ever(IDS.slice(0, 100)))
    await takeCopy()
    const index = join(folder, 'index')
    await writeFile(index, change(await readFile(index, 'utf8')))
    const task = await startTask('redis://127.0.0.1:1', 'nobody')
    expect(task.told('audience-copy-unusable')[0]?.message).toContain(message)
  })
})
