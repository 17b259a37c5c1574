import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { publishRecords } from '../../test/raw-version.ts'
import { type RedisServer, startRedis } from '../../test/redis-server.ts'
import { VersionCompiler } from '../compiled-chunks.ts'
import { NO_PLACE } from '../spend/cap-store.ts'
import { ALL_BUCKETS } from '../spend/ledger.ts'
import { NEVER_ENDS } from '../state/audience-chunk.ts'
import { accessRules, PUBLISHER_COMMANDS, SERVICE_COMMANDS } from './access.ts'
import { AudiencePublisher } from './audience-publisher.ts'
import { AudienceRows } from './audience-rows.ts'
import { RedisAudienceSource } from './audience-source.ts'
import { CacheConnection } from './connection.ts'
import { DeltaPublisher } from './delta-publisher.ts'
import { NO_DELTAS } from './deltas.ts'
import { RedisEventStream } from './event-stream.ts'
import { stateKeys } from './layout.ts'
import { publishTenant } from './publisher.ts'
import { RedisCounts } from './redis-counts.ts'
import { RedisLedger } from './redis-ledger.ts'
import { RedisSource } from './redis-source.ts'
import { differenceOf } from './version-difference.ts'
import { moveAnnouncement, storedVersions } from './versions.ts'

let server: RedisServer
let admin: Redis
const pickIndex = () => 0

beforeAll(async () => {
  const users = ['acme', 'bluebird'].flatMap(tenantId => [
    `user ${tenantId}-service on >s-${tenantId} ${accessRules(tenantId, 'service').join(' ')}`,
    `user ${tenantId}-publisher on >p-${tenantId} ${accessRules(tenantId, 'publisher').join(' ')}`,
  ])
  server = await startRedis({ aclRules: ['user default off', 'user admin on >root ~* &* +@all', ...users] })
  admin = new Redis(server.url.replace('//', '//admin:root@'))
})
afterAll(async () => {
  admin.disconnect()
  await server.stop()
})

function urlOf(role: 'service' | 'publisher', tenantId: string): string {
  return server.url.replace('//', `//${tenantId}-${role}:${role.slice(0, 1)}-${tenantId}@`)
}

function openSource(user: string, tenantId: string): RedisSource {
  return new RedisSource({ url: user, tenantId, timeoutMs: 2_000, pickIndex })
}

async function publishAs(url: string, tenantId: string) {
  const connection = new CacheConnection({ url, timeoutMs: 2_000, pickIndex })
  try {
    const documents = publishRecords({ lineItems: 20, seed: 1 })
    return await connection.run(redis => publishTenant({ redis, tenantId, documents }))
  } finally {
    connection.close()
  }
}

/** Two users come and one is forgotten, and may come again. */
async function changeUsers(redis: Redis): Promise<void> {
  const publisher = new AudiencePublisher({ redis, tenantId: 'acme', nowMs: Date.now })
  await publisher.key()
  const rows = new AudienceRows()
  rows.add(1, 2, NEVER_ENDS)
  rows.add(3, 4, NEVER_ENDS)
  await publisher.publish({ kind: 'replace', segment: 's', rows })
  await publisher.forget([[1, 2]])
  await publisher.allowAgain([[1, 2]])
}

/** Every operation on the ledger and the stream, with every path through their scripts that issues a command. */
async function moveMoney(tenantId: string): Promise<void> {
  const url = urlOf('service', tenantId)
  const connection = { url, tenantId, timeoutMs: 2_000, pickIndex }
  const ledger = new RedisLedger({ ...connection, rememberTaskMs: 60_000, onConnected: () => {} })
  const accounts = ['l/a', 'l/a/20778']
  const leases = [{ lease: 'w', accounts, heldNanos: 5, closedThrough: 0, abandonedAfterMs: 60_000 }]
  const witness = { spent: new Map([['a', 1]]), leases, keys: new Map([['k0', 60_000]]) }
  const { epoch } = await ledger.rebuild({
    lostEpoch: '',
    newEpoch: 'e1',
    opensAfterMs: 0,
    booksAfterMs: 0,
    ...witness,
  })
  const caller = { task: 't', epoch, told: 0 }
  const limits = accounts.map(account => ({ account, limitNanos: 1e9 }))
  const lease = { kind: 'lease', lease: 'l1', accounts: limits, wantedNanos: 100 } as const
  await ledger.apply(caller, { ...lease, leastNanos: 1, abandonedAfterMs: 0, again: false })
  for (const is of ['waiting', 'vouching', 'leaving'] as const)
    await ledger.apply(caller, { kind: 'hello', lease: '', accounts: [], is })
  const booking = { kind: 'book', key: 'k1', lease: 'l1', bucket: 1, accounts, amountNanos: 7 } as const
  await ledger.book(caller, [{ ...booking, rememberMs: 60_000 }])
  const settle = { kind: 'settle', lease: 'l1', accounts, closedThrough: ALL_BUCKETS, amountNanos: 0 } as const
  await ledger.apply(caller, settle)
  ledger.close()
  const stream = new RedisEventStream(connection)
  await stream.append([{ key: 'b:win', kind: 'win', task: 't', number: 0, atMs: 1, about: { bid: 'b' } }])
  await stream.close()
  const counts = new RedisCounts(connection)
  await counts.append({ task: 't', number: 0, events: new Uint32Array(4), leaves: false })
  await counts.readAfter(NO_PLACE)
  await counts.writePart(0, { upTo: NO_PLACE, entries: new Uint32Array(0) })
  await counts.readPart(0)
  await counts.close()
}

/** The calls that the server counted per command, connecting included. */
async function commandsCounted(): Promise<string[]> {
  const stats = await admin.info('commandstats')
  const names = [...stats.matchAll(/^cmdstat_([^:|]+)[^:]*:calls=\d+/gm)].map(match => match[1] ?? '')
  return [...new Set(names)].toSorted()
}

test('service and publisher do all their work with exactly their commands, and nothing is denied', async () => {
  await admin.config('RESETSTAT')
  await admin.acl('LOG', 'RESET')
  for (let i = 0; i < 5; i++) expect((await publishAs(urlOf('publisher', 'acme'), 'acme')).kind).toBe('published')
  // A publish that is refused, and one whose chunk is lost, take the remaining paths.
  const connection = new CacheConnection({ url: urlOf('publisher', 'acme'), timeoutMs: 2_000, pickIndex })
  await connection.run(redis => publishTenant({ redis, tenantId: 'acme', documents: [] }))
  const { versions } = await connection.run(redis => storedVersions(redis, stateKeys('acme')))
  const [newest = '', older = ''] = versions.map(({ version }) => version)
  for (const move of [{ kind: 'pin', version: older }, { kind: 'unpin' }, { kind: 'rollback' }] as const)
    await connection.run(redis => moveAnnouncement(redis, 'acme', move))
  await connection.run(redis => moveAnnouncement(redis, 'acme', { kind: 'pin', version: newest }))
  // A change of one record, taken back by another publisher.
  const exchange = (seat: string) => ({
    ...{ id: 'added', name: 'Added', status: 'active', currency: 'USD', noBid: 'empty', gzip: false, seat },
    networkAllowanceMs: 10,
  })
  for (const seat of ['1', '2']) {
    const source = openSource(urlOf('publisher', 'acme'), 'acme')
    const change = { kind: 'exchanges', put: exchange(seat) } as const
    const parts = { tenantId: 'acme', source, compiler: () => new VersionCompiler() }
    const outcome = await connection.run(redis => new DeltaPublisher({ ...parts, redis }).publish([change], 'f'))
    expect(outcome).toMatchObject({ kind: 'delta', number: Number(seat) })
    source.close()
  }
  await connection.run(redis => changeUsers(redis))
  connection.close()
  const compared = openSource(urlOf('publisher', 'acme'), 'acme')
  expect(await differenceOf(compared, older, newest)).toEqual([])
  compared.close()
  const published = await commandsCounted()
  expect(published.filter(name => !['config', 'acl', 'info'].includes(name))).toEqual([...PUBLISHER_COMMANDS])

  await admin.config('RESETSTAT')
  const source = openSource(urlOf('service', 'acme'), 'acme')
  const announced = await source.announced()
  expect(announced).toMatchObject({ number: 9, deltas: { length: 2 } })
  let records = 0
  for await (const batch of source.read(announced?.version ?? '')) records += batch.count
  expect(records).toBeGreaterThan(20)
  let deltas = 0
  const { version, deltas: end = NO_DELTAS } = announced ?? { version: '' }
  for await (const { chain } of source.deltas(version, NO_DELTAS, end)) deltas = chain.length
  expect(deltas).toBe(2)
  source.close()
  const audience = new RedisAudienceSource({
    ...{ url: urlOf('service', 'acme'), tenantId: 'acme' },
    timeoutMs: 2_000,
    pickIndex,
  })
  expect((await audience.index())?.number).toBe(2)
  const [shard] = (await audience.index())?.shards ?? []
  expect(shard && (await audience.chunk(shard)).length).toBeGreaterThan(0)
  audience.close()
  await moveMoney('acme')
  const served = await commandsCounted()
  expect(served.filter(name => !['config', 'acl', 'info'].includes(name))).toEqual([...SERVICE_COMMANDS])
  expect(await admin.acl('LOG')).toEqual([])
})

test('a service that asks for another tenant is denied by the server, and the server notes it', async () => {
  expect((await publishAs(urlOf('publisher', 'bluebird'), 'bluebird')).kind).toBe('published')
  await admin.acl('LOG', 'RESET')
  const source = openSource(urlOf('service', 'acme'), 'bluebird')
  await expect(source.announced()).rejects.toMatchObject({ code: 'cache-denied' })
  await expect(source.summary('any')).rejects.toMatchObject({ code: 'cache-denied' })
  source.close()
  expect(JSON.stringify(await admin.acl('LOG'))).toContain('t:{bluebird}:state:announced')
})

test('a publisher that names another tenant is denied, and nothing of it is stored', async () => {
  const keysBefore = await admin.keys('t:{bluebird}:*')
  await expect(publishAs(urlOf('publisher', 'acme'), 'bluebird')).rejects.toMatchObject({ code: 'cache-denied' })
  expect((await admin.keys('t:{bluebird}:*')).toSorted()).toEqual(keysBefore.toSorted())
})

test.each([
  ['set', 't:{acme}:state:announced', 'x'],
  ['hset', 't:{acme}:state:announced', 'number', '9'],
  ['unlink', 't:{acme}:state:announced'],
  ['get', 't:{bluebird}:freq:part:1'],
  ['get', 't:{acme}:other:any'],
  ['xadd', 't:{acme}:event:other', '*', 'a', 'b'],
  ['hset', 't:{acme2}:spend:epoch', 'id', 'x'],
  ['get', 't:{acme2}:state:announced'],
  ['get', 't:acme:state:announced'],
  ['scan', '0'],
  ['keys', '*'],
  ['randomkey'],
  ['dbsize'],
  ['info'],
  ['client', 'list'],
  ['config', 'get', '*'],
  ['eval', "return redis.call('HGET', 't:{bluebird}:spend:epoch', 'id')", '0'],
  ['eval', "return redis.call('SET', 't:{acme}:state:announced', 'x')", '0'],
  ['eval', "return redis.call('FLUSHALL')", '0'],
  ['eval', 'return 1', '1', 't:{bluebird}:spend:epoch'],
  ['script', 'flush'],
  ['subscribe', 't:{acme}:x'],
])('the service user cannot %s %s', async (command, ...args) => {
  const redis = new Redis(urlOf('service', 'acme'), { protocol: 2, disableClientInfo: true, enableReadyCheck: false })
  await expect(redis.call(command, ...args)).rejects.toThrow(/NOPERM|executing the script can't/)
  redis.disconnect()
})
