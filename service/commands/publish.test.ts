import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { rawKinds } from '../../test/raw-version.ts'
import { freePort, type RedisServer, startRedis } from '../../test/redis-server.ts'

let server: RedisServer
let redis: Redis
let dir: string

beforeAll(async () => {
  server = await startRedis()
  redis = new Redis(server.url)
  dir = await mkdtemp(join(tmpdir(), 'bidcell-publish-'))
  await putFiles()
})
afterAll(async () => {
  redis.disconnect()
  await server.stop()
  await rm(dir, { recursive: true })
})

async function putFiles(): Promise<void> {
  for (const [kind, chunks] of Object.entries(rawKinds({ lineItems: 12, seed: 1 }))) {
    const list = `[${chunks.flat().join(',\n')}]`
    const one = kind === 'settings' || kind === 'rates'
    await writeFile(join(dir, `${kind}.json`), one ? list.slice(1, -1) : list)
  }
}

async function run(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'publish.ts'), ...args])
  const ended = once(child, 'exit')
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)])
  await ended
  return { code: child.exitCode, out, err }
}

test('a good directory is published, and version, records, bytes and time are told', async () => {
  const { code, out, err } = await run(dir, '--to', server.url, '--tenant', 'acme')
  expect(err).toBe('')
  expect(code).toBe(0)
  expect(out).toMatch(/^Published version \S+ of acme as announcement 1:\n\d+ records, \d+ bytes, in \d+\.\d\d s\.\n$/)
  expect(await redis.hget('t:{acme}:state:announced', 'version')).toBe(/version (\S+)/.exec(out)?.[1])
})

test('a bad record is named and nothing is published, unless that is allowed', async () => {
  await writeFile(join(dir, 'campaigns.ndjson'), '{"id": "half\n')
  await rm(join(dir, 'campaigns.json'))
  const refused = await run(dir, '--to', server.url, '--tenant', 'bad-tenant')
  expect(refused.code).toBe(1)
  expect(refused.err).toContain('campaigns.ndjson[0]')
  expect(refused.err).toContain('Nothing published')
  expect(await redis.keys('t:{bad-tenant}:*')).toEqual([])
  const allowed = await run(dir, '--to', server.url, '--tenant', 'bad-tenant', '--allow-bad')
  expect(allowed.code).toBe(0)
  expect(await redis.hget('t:{bad-tenant}:state:announced', 'number')).toBe('1')
  await rm(join(dir, 'campaigns.ndjson'))
  await putFiles()
})

test.each([
  [['--tenant', 'acme'], /--to/],
  [['--to', 'redis://127.0.0.1'], /--tenant/],
  [['--to', 'redis://127.0.0.1', '--tenant', 'acme', '--quota-mib', '0'], /whole number from 1/],
  [['--to', 'http://127.0.0.1', '--tenant', 'acme'], /redis:\/\/ or rediss:\/\//],
  [['--to', 'redis://127.0.0.1', '--tenant', 'A'], /3 to 20 lower-case/],
  [['--to', 'redis://127.0.0.1', '--tenant', 'acme', '--fast'], /unknown option/],
])('usage errors are told and end with 2: %j', async (args, message) => {
  const { code, err } = await run(dir, ...args)
  expect(code).toBe(2)
  expect(err).toMatch(message)
})

test('a directory that is not there is a usage error', async () => {
  const { code, err } = await run(join(dir, 'nowhere'), '--to', server.url, '--tenant', 'acme')
  expect(code).toBe(2)
  expect(err).toContain('nowhere')
})

test('a cache that cannot be reached ends with 69, without the password', async () => {
  const { code, err } = await run(dir, '--to', `redis://me:geheim@127.0.0.1:${await freePort()}`, '--tenant', 'acme')
  expect(code).toBe(69)
  expect(err).toContain('ECONNREFUSED')
  expect(err).not.toContain('geheim')
})

test('--help names every option and exit code', async () => {
  const { code, out } = await run('--help')
  expect(code).toBe(0)
  for (const word of ['--to', '--tenant', '--allow-bad', '69']) expect(out).toContain(word)
})
