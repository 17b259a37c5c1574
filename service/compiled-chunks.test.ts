import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { publishRecords } from '../test/raw-version.ts'
import { type RedisServer, startRedis } from '../test/redis-server.ts'
import { CatalogLoad } from './catalog-load.ts'
import { compilerIdentity, VersionCompiler } from './compiled-chunks.ts'
import { systemClock } from './foundation/clock.ts'
import { loadVersion } from './remote-cache/loader.ts'
import { publishTenant } from './remote-cache/publisher.ts'
import { RedisSource } from './remote-cache/redis-source.ts'
import type { RefreshEvent } from './remote-cache/refresh-events.ts'
import { Refresher } from './remote-cache/refresher.ts'
import { type ReadFrom, SourceError } from './remote-cache/source.ts'

const tenantId = 'acme'
const SLAB_BYTES = 64 * 1024 * 1024
let server: RedisServer
let redis: Redis
let source: RedisSource

beforeAll(async () => {
  server = await startRedis()
  redis = new Redis(server.url)
  source = sourceOf(compilerIdentity())
})
afterAll(async () => {
  source.close()
  redis.disconnect()
  await server.stop()
})
beforeEach(() => redis.flushall())

function sourceOf(compiledBy: string): RedisSource {
  return new RedisSource({ url: server.url, tenantId, compiledBy, timeoutMs: 2_000, pickIndex: () => 0 })
}

async function publish(lineItems = 3_000, allowBad = false): Promise<string> {
  const documents = [...publishRecords({ lineItems, seed: 2 })]
  if (allowBad) documents.push({ kind: 'lineItems', value: { id: 'bad' }, where: { file: 'lineItems', record: 0 } })
  const compiler = new VersionCompiler()
  const outcome = await publishTenant({ redis, tenantId, documents, allowBad, compiler })
  if (outcome.kind !== 'published') throw new Error(outcome.because)
  return outcome.announcement.version
}

async function load(version: string, from: ReadFrom) {
  const reader = new CatalogLoad(true)
  try {
    const report = await loadVersion(source, { number: 1, version }, reader, { clock: systemClock, from })
    const slab = new SharedArrayBuffer(SLAB_BYTES)
    const { header } = reader.builder.finish(slab, { version, announcement: 1 })
    return { report, header, slab: new Uint8Array(slab) }
  } finally {
    await reader.close()
  }
}

/** A slow machine tells of progress, too. */
function kindsOf(events: readonly RefreshEvent[]): string[] {
  return events.map(({ kind }) => kind).filter(kind => kind !== 'version-progress')
}

/** Serves what is announced until a version is loaded. */
async function eventsOfLoad(of: RedisSource): Promise<RefreshEvent[]> {
  const events: RefreshEvent[] = []
  const refresher = new Refresher<CatalogLoad>({
    source: of,
    clock: systemClock,
    pickIndex: () => 0,
    pollMs: 50,
    openReader: isFirst => new CatalogLoad(isFirst),
    onLoaded: ({ builder }, { version }) => {
      builder.finish(new SharedArrayBuffer(SLAB_BYTES), { version, announcement: 1 })
    },
    onDelta: () => {
      throw new Error('there are no deltas')
    },
    swap: () => Promise.resolve(),
    differs: () => false,
    drop: () => {},
    checkMs: 3_600_000,
    onEvent: event => events.push(event),
  })
  refresher.start()
  while (!events.some(({ kind }) => kind === 'version-loaded' || kind === 'version-refused')) await sleep(5)
  await refresher.stop()
  // A busy machine takes long enough to tell how far it is.
  return events.filter(({ kind }) => kind !== 'version-progress')
}

const compiledKey = async (version: string) => {
  const keys = (await redis.keys(`t:{acme}:state:v:${version}:*:compiled`)).sort()
  // More than one chunk of line items, or a test shows little.
  expect(keys.length).toBeGreaterThan(3)
  return keys.at(-1) as string
}

describe('what a publish compiled', () => {
  test('is the catalog that the records give, byte for byte, and reports the same', async () => {
    const version = await publish(3_000, true)
    const [compiled, records] = [await load(version, 'compiled'), await load(version, 'records')]
    expect([compiled.report.compiled, records.report.compiled]).toEqual([true, false])
    expect(compiled.report.bytes).toBeLessThan(records.report.bytes)
    expect(compiled.report.counts).toEqual(records.report.counts)
    expect(compiled.header).toEqual(records.header)
    expect(Buffer.compare(compiled.slab, records.slab)).toBe(0)
  })

  test('is left aside by a task of another release', async () => {
    await publish()
    const other = sourceOf('0'.repeat(64))
    const events = await eventsOfLoad(other)
    other.close()
    expect(kindsOf(events)).toEqual(['version-loading', 'version-loaded'])
    expect(events.at(-1)).toMatchObject({ report: { compiled: false, counts: { lineItems: { good: 3_000 } } } })
  })

  test.each([
    ['is missing', (key: string) => redis.unlink(key)],
    ['has another length', (key: string) => redis.append(key, 'x')],
    ['has another byte', (key: string) => redis.setrange(key, 1_000, '\u0001\u0002\u0003')],
  ])('is not used when a part of it %s: the records are', async (_what, harm) => {
    await harm(await compiledKey(await publish()))
    const events = await eventsOfLoad(source)
    expect(kindsOf(events)).toEqual(['version-loading', 'compiled-unusable', 'version-loaded'])
    expect(events.at(-1)).toMatchObject({ report: { compiled: false, counts: { lineItems: { good: 3_000 } } } })
  })

  test('that cannot be read although its checksum holds is named', async () => {
    const version = await publish()
    const reader = new CatalogLoad(true)
    const options = { clock: systemClock, from: 'compiled' } as const
    const { deltas } = source
    const summary = () => source.summary(version, 'compiled')
    const broken = { announced: () => source.announced(), summary, read, deltas }
    async function* read() {
      for await (const batch of source.read(version, 'compiled')) {
        if ('bytes' in batch.records) batch.records.bytes.fill(0)
        yield batch
      }
    }
    const failure = await loadVersion(broken, { number: 1, version }, reader, options).catch((error: unknown) => error)
    await reader.close()
    expect(failure).toBeInstanceOf(SourceError)
    expect((failure as SourceError).code).toBe('compiled-unusable')
  })

  test('goes with its version', async () => {
    const first = await publish(300)
    for (let later = 0; later < 3; later++) await publish(300)
    expect(await redis.keys(`t:{acme}:state:v:${first}:*`)).toEqual([])
    expect((await redis.keys('*')).filter(key => key.endsWith(':compiled')).length).toBeGreaterThan(0)
    for (const key of await redis.keys('*')) expect(await redis.ttl(key)).toBe(-1)
  })
})
