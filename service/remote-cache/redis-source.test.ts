import { execFile } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeCertificates } from '../../test/certificates.ts'
import { putRawVersion, type RawFaults, rawKinds } from '../../test/raw-version.ts'
import { type RedisServer, startRedis } from '../../test/redis-server.ts'
import { Random } from '../foundation/random.ts'
import { RedisSource } from './redis-source.ts'
import { describeSource } from './source.contract.ts'
import type { SourceErrorCode } from './source.ts'

const { pickIndex } = new Random(3)
const tenantId = 'acme'

function openSource(url: string, timeoutMs = 2_000): RedisSource {
  return new RedisSource({ url, tenantId, timeoutMs, pickIndex })
}

describeSource('the remote cache', async () => {
  const server = await startRedis()
  const redis = new Redis(server.url)
  const open = () => openSource(server.url)
  const source = open()
  let puts = 0
  return {
    source,
    open,
    put: kinds => putRawVersion(redis, { tenantId, version: `v${++puts}` }, kinds),
    close: async () => {
      source.close()
      redis.disconnect()
      await server.stop()
    },
  }
})

describe('what is wrong in the cache is named', () => {
  let server: RedisServer
  let redis: Redis
  let source: RedisSource
  const kinds = rawKinds({ lineItems: 30, seed: 4 })

  beforeAll(async () => {
    server = await startRedis()
    redis = new Redis(server.url)
    source = openSource(server.url)
  })
  afterAll(async () => {
    source.close()
    redis.disconnect()
    await server.stop()
  })

  async function readCode(version: string, faults: RawFaults): Promise<unknown> {
    await putRawVersion(redis, { tenantId, version }, kinds, faults)
    try {
      for await (const batch of source.read(version)) expect(batch.count).toBeGreaterThan(0)
    } catch (error) {
      return (error as { code: SourceErrorCode }).code
    }
    return 'good'
  }

  const onLineItems = (change: (text: string) => string | undefined): RawFaults => ({
    chunk: (key, text) => (key.includes(':lineItems:') ? change(text) : text),
  })

  test('a flipped character has the wrong checksum', async () => {
    const flip = (text: string) => `${text.slice(0, 100)}${text[100] === 'x' ? 'y' : 'x'}${text.slice(101)}`
    expect(await readCode('flipped', onLineItems(flip))).toBe('chunk-corrupt')
  })

  test('a cut chunk has the wrong size', async () => {
    expect(
      await readCode(
        'cut',
        onLineItems(text => text.slice(0, -1)),
      ),
    ).toBe('chunk-corrupt')
  })

  test('a chunk that was evicted leaves the version incomplete', async () => {
    expect(
      await readCode(
        'evicted',
        onLineItems(() => undefined),
      ),
    ).toBe('version-incomplete')
  })

  const badManifests: [string, (text: string) => string][] = [
    ['half of it', text => text.slice(0, text.length / 2)],
    ['of another version', text => text.replace('"version":"m1"', '"version":"m7"')],
    ['of a later schema', text => text.replace('"schema":1', '"schema":2')],
    ['with a kind that is not known', text => text.replace('"lineItems"', '"banners"')],
    ['whose sums are wrong', text => text.replace(/"records":30/, '"records":31')],
    ['with a chunk of 1 GB', text => text.replace(/"bytes":\d+/g, '"bytes":1000000000')],
    ['that is a list', () => '[]'],
    ['that is null', () => 'null'],
  ]
  test.each(badManifests)('a manifest %s is not valid', async (_name, manifest) => {
    expect(await readCode('m1', { manifest })).toBe('manifest-invalid')
  })

  test('a manifest with fields of a later time is read', async () => {
    expect(await readCode('later', { manifest: text => text.replace('{', '{"since":"1-1",') })).toBe('good')
  })

  test('an announcement or key of another form is an answer that we do not understand', async () => {
    const announced = `t:{${tenantId}}:state:announced`
    await redis.hset(announced, 'number', 'many')
    await expect(source.announced()).rejects.toMatchObject({ code: 'cache-answer', retry: true })
    await redis.hset(announced, 'number', '7', 'version', 'x:y z')
    await expect(source.announced()).rejects.toMatchObject({ code: 'cache-answer' })
    await redis.del(announced)
    await redis.set(announced, 'text')
    await expect(source.announced()).rejects.toMatchObject({ code: 'cache-answer' })
    await redis.del(announced)
    expect(await source.announced()).toBeUndefined()
  })
})

describe('a connection that fails', () => {
  test('a port without a server is unreachable at once, and no secret is told', async () => {
    const source = openSource('redis://user:geheim@127.0.0.1:1')
    const startMs = performance.now()
    const error: unknown = await source.announced().catch((each: unknown) => each)
    expect(error).toMatchObject({ code: 'cache-unreachable' })
    expect(String(error)).toContain('ECONNREFUSED')
    expect(JSON.stringify(error) + String(error)).not.toContain('geheim')
    expect(performance.now() - startMs).toBeLessThan(1_000)
    source.close()
  })

  test('a wrong password is denied, again and again, and no secret is told', async () => {
    const server = await startRedis({ aclRules: ['user default on >right ~* +@all'] })
    const source = openSource(server.url.replace('//', '//default:geheim@'))
    for (let i = 0; i < 3; i++) {
      const error: unknown = await source.announced().catch((each: unknown) => each)
      expect(error).toMatchObject({ code: 'cache-denied', retry: true })
      expect(JSON.stringify(error) + String(error)).not.toContain('geheim')
    }
    source.close()
    await server.stop()
  })

  test('a server that stands still is given up after the time limit, and used again once it moves', async () => {
    const server = await startRedis()
    const timeoutMs = 300
    const source = openSource(server.url, timeoutMs)
    expect(await source.announced()).toBeUndefined()
    server.pause()
    for (let i = 0; i < 3; i++) {
      const startMs = performance.now()
      await expect(source.announced()).rejects.toMatchObject({ code: 'cache-unreachable' })
      // The reconnect's own pause comes on top.
      expect(performance.now() - startMs).toBeLessThan(timeoutMs + 1_500)
    }
    server.resume()
    const startMs = performance.now()
    while ((await source.announced().catch(() => 'away')) === 'away')
      expect(performance.now() - startMs).toBeLessThan(3_000)
    source.close()
    await server.stop()
  })
})

test('rediss:// trusts a private authority that NODE_EXTRA_CA_CERTS names, and nothing without it', async () => {
  const tls = await makeCertificates()
  const server = await startRedis({ tls })
  // Node reads the variable when it starts, so a process of its own has to ask.
  const program = `
    import { RedisSource } from ${JSON.stringify(new URL('./redis-source.ts', import.meta.url).href)}
    const url = ${JSON.stringify(server.url.replace('127.0.0.1', 'localhost'))}
    const source = new RedisSource({ url, tenantId: 'acme', timeoutMs: 5000, pickIndex: () => 0 })
    const answer = await source.announced().then(() => 'answered', error => error.message)
    source.close()
    console.log(answer)`
  const ask = async (env: NodeJS.ProcessEnv) =>
    (await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], { env })).stdout.trim()
  const { NODE_EXTRA_CA_CERTS: _, ...plain } = process.env
  expect(await ask({ ...plain, NODE_EXTRA_CA_CERTS: tls.caFile })).toBe('answered')
  expect(await ask(plain)).toMatch(/no connection to the remote cache.*certificate/)
  await server.stop()
  await rm(dirname(tls.caFile), { recursive: true })
})
