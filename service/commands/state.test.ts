import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { publishRecords } from '../../test/raw-version.ts'
import { freePort, type RedisServer, startRedis } from '../../test/redis-server.ts'
import { publishTenant } from '../remote-cache/publisher.ts'

let server: RedisServer
const versions: string[] = []

beforeAll(async () => {
  server = await startRedis()
  const redis = new Redis(server.url)
  for (const lineItems of [10, 12]) {
    const documents = publishRecords({ lineItems, seed: 1 })
    const outcome = await publishTenant({ redis, tenantId: 'acme', documents })
    if (outcome.kind === 'published') versions.push(outcome.version)
  }
  redis.disconnect()
})
afterAll(() => server.stop())

async function run(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'state.ts'), ...args])
  const ended = once(child, 'exit')
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)])
  await ended
  return { code: child.exitCode, out, err }
}

test('versions are listed, pinned, unpinned, rolled back and compared', async () => {
  const at = ['--to', server.url, '--tenant', 'acme']
  const [older = '', newer = ''] = versions
  const pinned = await run('pin', older, ...at)
  expect([pinned.code, pinned.err]).toEqual([0, ''])
  expect(pinned.out).toContain(`${newer} → ${older}`)
  const listed = await run('list', ...at)
  expect(listed.code).toBe(0)
  const [heading, ...rows] = listed.out.trimEnd().split('\n')
  expect(rows.pop()).toMatch(/^They take \d+\.\d MiB of the tenant's quota/)
  expect(heading).toMatch(/^version +created +number +records +bytes +deltas +state$/)
  expect(rows.map(row => row.split(' ')[0])).toEqual([newer, older])
  expect(rows[1]).toMatch(/announced, pinned$/)
  expect((await run('unpin', ...at)).out).toContain(`${older} → ${newer}`)
  expect((await run('rollback', ...at)).out).toContain(`${newer} → ${older}`)
  const compared = await run('diff', older, newer, ...at)
  expect(compared.code).toBe(1)
  expect(compared.out).toMatch(/^lineItems +2 +0 +\d+$/m)
  expect(compared.out).toMatch(/^\+ lineItems \S+$/m)
  expect((await run('diff', newer, newer, ...at)).code).toBe(0)
})

test('what cannot be done is told with its remedy, and the exit code says whose turn it is', async () => {
  const at = ['--to', server.url, '--tenant', 'acme']
  const unknown = await run('pin', 'no-such-version', ...at)
  expect(unknown.code).toBe(2)
  expect(unknown.err).toContain('no-such-version')
  expect(unknown.err).toContain('list')
  const missing = await run('diff', versions[0] ?? '', 'no-such-version', ...at)
  expect(missing.code).toBe(2)
  expect(missing.err).toContain('no-such-version')
  expect(missing.err).toContain('list')
  expect((await run('pin', ...at)).code).toBe(2)
  const away = await run('list', '--to', `redis://me:geheim@127.0.0.1:${await freePort()}`, '--tenant', 'acme')
  expect(away.code).toBe(69)
  expect(away.err).not.toContain('geheim')
  const help = await run('--help')
  expect(help.code).toBe(0)
  for (const word of ['list', 'pin', 'unpin', 'rollback', 'diff', '69']) expect(help.out).toContain(word)
})
