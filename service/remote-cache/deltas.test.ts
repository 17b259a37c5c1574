import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { publishRecords } from '../../test/raw-version.ts'
import { type RedisServer, startRedis } from '../../test/redis-server.ts'
import { VersionCompiler } from '../compiled-chunks.ts'
import type { Campaign, LineItem } from '../state/documents.ts'
import { problemLine } from '../state/validate.ts'
import type { Change } from '../state/working-copy.ts'
import { recordsOf } from './chunks.ts'
import { DeltaPublisher } from './delta-publisher.ts'
import { NO_DELTAS } from './deltas.ts'
import { stateKeys } from './layout.ts'
import { publishTenant } from './publisher.ts'
import { RedisSource } from './redis-source.ts'
import type { StoredDelta } from './source.ts'
import { moveAnnouncement } from './versions.ts'

const tenantId = 'acme'
const keys = stateKeys(tenantId)
const records = [...publishRecords({ lineItems: 30, seed: 3 })]
const lineItems = records.flatMap(({ kind, value }) => (kind === 'lineItems' ? [value as LineItem] : []))
const active = lineItems.filter(({ status }) => status === 'active')
const priced = (cpm: number, at = 0): Change => ({ kind: 'lineItems', put: { ...active[at], price: { cpm } } })

let server: RedisServer
let redis: Redis
let source: RedisSource
const open: (() => void)[] = []

beforeAll(async () => {
  server = await startRedis()
  redis = new Redis(server.url)
  source = new RedisSource({ url: server.url, tenantId, timeoutMs: 2_000, pickIndex: () => 0 })
})
afterAll(async () => {
  for (const close of open) close()
  source.close()
  redis.disconnect()
  await server.stop()
})
beforeEach(async () => {
  await redis.flushall()
  await publishTenant({ redis, tenantId, documents: records })
})

function publisher(quotaBytes?: number): DeltaPublisher {
  const own = new Redis(server.url)
  open.push(() => own.disconnect())
  const compiler = () => new VersionCompiler()
  return new DeltaPublisher({
    redis: own,
    tenantId,
    source,
    compiler,
    ...(quotaBytes === undefined ? {} : { quotaBytes }),
  })
}

async function deltasAfter(after = NO_DELTAS): Promise<StoredDelta[]> {
  const { version, deltas = NO_DELTAS } = (await source.announced()) ?? { version: '' }
  const found: StoredDelta[] = []
  for await (const stored of source.deltas(version, after, deltas)) found.push(stored)
  return found
}

/** The price of the first line item as a version and its deltas say it. */
async function cpmNow(at = 0): Promise<number | undefined> {
  const { version } = (await source.announced()) ?? { version: '' }
  let cpm: number | undefined
  const take = (value: unknown) => {
    const { id, price } = value as LineItem
    if (id === active[at]?.id) cpm = price.cpm
  }
  for await (const batch of source.read(version))
    if (batch.kind === 'lineItems') for (const each of recordsOf(batch)) take(each)
  for (const { delta } of await deltasAfter()) for (const each of delta.put.lineItems ?? []) take(each)
  return cpm
}

describe('a change of a record', () => {
  test('is one more delta of the announced version, with all that a task needs for it', async () => {
    const changes = publisher()
    const version = (await source.announced())?.version
    expect(await changes.publish([priced(7)], 'f')).toMatchObject({ kind: 'delta', version, number: 1 })
    expect(await changes.publish([priced(8)], 'f')).toMatchObject({ kind: 'delta', version, number: 2 })
    const found = await deltasAfter()
    expect(found.map(({ chain }) => chain.length)).toEqual([1, 2])
    const { put, with: carried, mask } = found[1]?.delta ?? { put: {}, with: {}, mask: [] }
    expect(put.lineItems).toMatchObject([{ price: { cpm: 8 } }])
    const ids = (list: readonly unknown[] = []) => list.map(each => (each as { id: string }).id)
    expect(ids(carried.campaigns)).toEqual([active[0]?.campaignId])
    expect(ids(carried.creatives)).toEqual(active[0]?.creativeIds)
    expect(mask).toEqual([])
    expect(await deltasAfter(found[0]?.chain)).toEqual([found[1]])
  })

  test('that does not fit is refused with its place and the remedy, and changes nothing', async () => {
    const changes = publisher()
    await changes.publish([priced(7)], 'f')
    const before = await source.announced()
    const refusedAs = async (list: readonly Change[]) => {
      const outcome = await changes.publish(list, 'f')
      return outcome.kind === 'refused' ? outcome.problems.map(problemLine).join('; ') : outcome.kind
    }
    const campaignId = active[0]?.campaignId ?? ''
    expect(await refusedAs([priced(-1)])).toContain('price.cpm: -1: must be')
    expect(await refusedAs([priced(9), { kind: 'lineItems', delete: 'nobody' }])).toContain(
      'f[1] (nobody) id: "nobody"',
    )
    expect(await refusedAs([{ kind: 'campaigns', delete: campaignId }])).toContain('is still named by lineItems')
    expect(await refusedAs([priced(9), priced(10)])).toContain('is changed twice')
    expect(await refusedAs([{ kind: 'settings', delete: '' }])).toContain('cannot be deleted')
    expect(await refusedAs([{ kind: 'lineItems', put: { ...active[0], campaignId: 'none' } }])).toContain('campaignId')
    expect(await source.announced()).toEqual(before)
    expect(await cpmNow()).toBe(7)
  })

  test('of a campaign names the line items that stop, and those that go on', async () => {
    const changes = publisher()
    const campaign = records.find(({ value }) => (value as Campaign).id === active[0]?.campaignId)?.value as Campaign
    const own = active.filter(({ campaignId }) => campaignId === campaign.id).map(({ id }) => id)
    await changes.publish([{ kind: 'campaigns', put: { ...campaign, status: 'paused' } }], 'f')
    await changes.publish([{ kind: 'campaigns', put: { ...campaign, status: 'active' } }], 'f')
    const [paused, again] = await deltasAfter()
    expect(paused?.delta.mask).toEqual(expect.arrayContaining(own))
    const carried = (again?.delta.with.lineItems ?? []).map(each => (each as LineItem).id)
    expect(carried.length).toBeGreaterThan(0)
    expect(own).toEqual(expect.arrayContaining(carried))
  })

  test('that is large becomes a version with everything before it, and deltas begin anew', async () => {
    const changes = publisher()
    await changes.publish([priced(7)], 'f')
    const before = await source.announced()
    const list = { id: 'list-new', name: 'New', dimension: 'domain' }
    const outcome = await changes.publish([{ kind: 'lists', put: list }], 'f')
    expect(outcome).toMatchObject({ kind: 'version', because: 'lists-change', outcome: { kind: 'published' } })
    const after = await source.announced()
    expect(after?.number).toBe((before?.number ?? 0) + 1)
    expect(after?.deltas).toBeUndefined()
    expect(await cpmNow()).toBe(7)
    expect(await changes.publish([priced(8)], 'f')).toMatchObject({ kind: 'delta', number: 1, version: after?.version })
    expect(await cpmNow()).toBe(8)
  })

  test('beyond the quota is refused', async () => {
    const outcome = await publisher(1_000).publish([priced(7)], 'f')
    expect(outcome).toMatchObject({ kind: 'over-quota', quotaBytes: 1_000 })
    expect((await source.announced())?.deltas).toBeUndefined()
  })

  test('without a version says so', async () => {
    await redis.flushall()
    expect(await publisher().publish([priced(7)], 'f')).toEqual({ kind: 'nothing-announced' })
  })
})

test('publishers that change at once both succeed, one after the other, on what the other has published', async () => {
  const [one, other] = [publisher(), publisher()]
  const many = (who: DeltaPublisher, at: number) =>
    Array.from({ length: 15 }, (_, i) => () => who.publish([priced(i + 1, at)], 'f'))
  const inTurn = async (list: readonly (() => Promise<unknown>)[]) => {
    for (const each of list) expect(await each()).toMatchObject({ kind: 'delta' })
  }
  await Promise.all([inTurn(many(one, 0)), inTurn(many(other, 1))])
  expect((await deltasAfter()).length).toBe(30)
  expect([await cpmNow(0), await cpmNow(1)]).toEqual([15, 15])
})

test('a publish of a directory supersedes deltas, and a rollback brings them back', async () => {
  const changes = publisher()
  await changes.publish([priced(7)], 'f')
  const before = await source.announced()
  await publishTenant({ redis, tenantId, documents: records })
  expect((await source.announced())?.deltas).toBeUndefined()
  expect(await cpmNow()).toBe(active[0]?.price.cpm)
  await moveAnnouncement(redis, tenantId, { kind: 'rollback' })
  expect(await source.announced()).toEqual({ ...before, number: 3, isMeant: true })
  expect(await cpmNow()).toBe(7)
  expect(await changes.publish([priced(8)], 'f')).toMatchObject({ kind: 'delta', number: 2 })
})

describe('(faults 7 and 8) a stream that is not as it was written', () => {
  const faults: readonly (readonly [string, string, (key: string) => Promise<unknown>])[] = [
    ['is trimmed', 'delta-missing', key => redis.xtrim(key, 'MAXLEN', 2)],
    ['lacks one in the middle', 'delta-missing', key => redis.xdel(key, '2-0')],
    ['lacks the last', 'delta-missing', key => redis.xdel(key, '4-0')],
    ['is gone', 'delta-missing', key => redis.del(key)],
    [
      'has another text',
      'delta-corrupt',
      async key => {
        const entries = await redis.xrange(key, '-', '+')
        await redis.del(key)
        for (const [id, fields] of entries)
          await redis.xadd(key, id, 'delta', (fields[1] ?? '').replace('"cpm":3', '"cpm":4'), 'digest', fields[3] ?? '')
      },
    ],
    [
      'has two in each other’s place',
      'delta-corrupt',
      async key => {
        const entries = await redis.xrange(key, '-', '+')
        await redis.del(key)
        for (const [i, [id]] of entries.entries()) await redis.xadd(key, id, ...(entries[i ^ 1]?.[1] ?? []))
      },
    ],
  ]
  test.each(faults)('%s: reading it fails with a code', async (_, code, damage) => {
    const changes = publisher()
    for (let i = 1; i <= 4; i++) await changes.publish([priced(i)], 'f')
    const { version } = (await source.announced()) ?? { version: '' }
    await damage(keys.deltas(version))
    await expect(deltasAfter()).rejects.toMatchObject({ code })
  })

  test('has another history: a task that took the old one notices by the digest', async () => {
    const changes = publisher()
    await changes.publish([priced(3)], 'f')
    const taken = (await deltasAfter())[0]?.chain ?? NO_DELTAS
    const { version } = (await source.announced()) ?? { version: '' }
    await redis.multi().del(keys.deltas(version)).hdel(keys.announced, 'deltas').exec()
    const restored = publisher()
    for (let i = 5; i <= 6; i++) await restored.publish([priced(i)], 'f')
    await expect(deltasAfter(taken)).rejects.toMatchObject({ code: 'delta-corrupt' })
    expect((await deltasAfter()).length).toBe(2)
  })
})
