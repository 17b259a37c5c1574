import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { publishRecords } from '../../test/raw-version.ts'
import { type RedisServer, startRedis } from '../../test/redis-server.ts'
import { stateKeys } from './layout.ts'
import { type PublishRecord, publishTenant } from './publisher.ts'
import { RedisSource } from './redis-source.ts'
import { differenceOf } from './version-difference.ts'
import { moveAnnouncement, storedVersions } from './versions.ts'

const tenantId = 'acme'
const keys = stateKeys(tenantId)
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

async function publish(documents: Iterable<PublishRecord> = publishRecords({ lineItems: 20, seed: 1 })) {
  const outcome = await publishTenant({ redis, tenantId, documents })
  if (outcome.kind !== 'published') throw new Error(`refused: ${outcome.because}`)
  return outcome
}

async function threeVersions(): Promise<string[]> {
  const versions: string[] = []
  for (let i = 0; i < 3; i++) versions.push((await publish()).version)
  return versions
}

test('a pin announces a version, and stays while publishes store theirs and old ones go', async () => {
  const [first = '', second] = await threeVersions()
  const moved = await moveAnnouncement(redis, tenantId, { kind: 'pin', version: first })
  expect(moved).toMatchObject({ to: { number: 4, version: first }, pinned: true })
  const published = [await publish(), await publish(), await publish()]
  for (const [index, { version, announcement }] of published.entries()) {
    expect(announcement).toEqual({ number: 5 + index, version: first })
    expect(version).not.toBe(first)
  }
  expect(await source.announced()).toEqual({ number: 7, version: first, isMeant: true })
  const { versions, pinned } = await storedVersions(redis, keys)
  expect(pinned).toBe(true)
  expect(versions.map(({ version }) => version)).toEqual([published[2]?.version, published[1]?.version, first])
  expect((await redis.keys(`*${second}*`)).length).toBe(0)
  expect((await source.summary(first)).records).toBeGreaterThan(20)

  const { to, pinned: still } = await moveAnnouncement(redis, tenantId, { kind: 'unpin' })
  expect([to, still]).toEqual([{ number: 8, version: published[2]?.version }, false])
})

test('a rollback goes one version back each time, and the next publish counts again', async () => {
  const [first, second] = await threeVersions()
  expect((await moveAnnouncement(redis, tenantId, { kind: 'rollback' })).to).toEqual({ number: 4, version: second })
  expect((await moveAnnouncement(redis, tenantId, { kind: 'rollback' })).to).toEqual({ number: 5, version: first })
  await expect(moveAnnouncement(redis, tenantId, { kind: 'rollback' })).rejects.toMatchObject({ code: 'nothing-older' })
  expect(await source.announced()).toEqual({ number: 5, version: first, isMeant: true })
  const next = await publish()
  expect(next.announcement).toEqual({ number: 6, version: next.version })
  expect(await source.announced()).toEqual(next.announcement)
})

test.each([
  [{ kind: 'pin', version: 'never-published' }, 'version-unknown'],
  [{ kind: 'unpin' }, 'nothing-pinned'],
  [{ kind: 'rollback' }, 'nothing-older'],
] as const)('%j is refused where it cannot be done, and changes nothing', async (move, code) => {
  const { announcement } = await publish()
  await expect(moveAnnouncement(redis, tenantId, move)).rejects.toMatchObject({ code })
  expect(await source.announced()).toEqual(announcement)
  // The refusal ends its watch: the connection's next transaction runs.
  await redis.hset(keys.announced, 'at', 'now')
  expect(await redis.multi().get(keys.announced).exec()).not.toBeNull()
})

test('what is pinned is not rolled back', async () => {
  const versions = await threeVersions()
  await moveAnnouncement(redis, tenantId, { kind: 'pin', version: versions[1] ?? '' })
  await expect(moveAnnouncement(redis, tenantId, { kind: 'rollback' })).rejects.toMatchObject({ code: 'pin-stands' })
})

test('(fault 10) a version whose manifest was evicted is not announced', async () => {
  const [first = ''] = await threeVersions()
  const before = await source.announced()
  await redis.unlink(keys.manifest(first))
  const pin = moveAnnouncement(redis, tenantId, { kind: 'pin', version: first })
  await expect(pin).rejects.toMatchObject({ code: 'version-incomplete' })
  expect(await source.announced()).toEqual(before)
})

test('moves and publishes at once each get a number of their own', async () => {
  const [first = ''] = await threeVersions()
  const others = Array.from({ length: 3 }, () => new Redis(server.url))
  const moves = others.map(each => moveAnnouncement(each, tenantId, { kind: 'pin', version: first }))
  const [{ announcement }, ...moved] = await Promise.all([publish(), ...moves])
  const numbers = [announcement.number, ...moved.map(({ to }) => to.number)]
  expect(numbers.toSorted()).toEqual([4, 5, 6, 7])
  for (const each of others) each.disconnect()
})

test('a difference names what was added, removed and changed, with the fields', async () => {
  const records = [...publishRecords({ lineItems: 20, seed: 1 })]
  const items = records.filter(({ kind }) => kind === 'lineItems')
  const [removed, changed] = items
  if (removed === undefined || changed === undefined) throw new Error('no line items')
  const older = await publish(records)
  const kept = records.filter(record => record !== removed && record !== changed)
  const before = changed.value as Record<string, unknown>
  // The same fields in another order, but for one.
  const after = { ...Object.fromEntries(Object.entries(before).toReversed()), name: 'renamed' }
  const added = { ...before, id: 'li-added' }
  const values = [after, added].map(value => ({ ...changed, value }))
  const newer = await publish([...kept, ...values])
  const kind = 'lineItems'
  expect(await differenceOf(source, older.version, newer.version)).toEqual([
    { kind, id: before.id, what: 'changed', fields: ['name'] },
    { kind, id: 'li-added', what: 'added', fields: [] },
    { kind, id: (removed.value as { id: string }).id, what: 'removed', fields: [] },
  ])
  expect(await differenceOf(source, newer.version, newer.version)).toEqual([])
})
