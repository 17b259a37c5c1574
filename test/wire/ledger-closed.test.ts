import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../redis-server.ts'
import { runService, type ServiceRun } from './service-run.ts'

const TENANT = 'acme-outdoor'
const COMMANDS = fileURLToPath(new URL('../../service/commands/', import.meta.url))
const DOCUMENTS = fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))

let cache: RedisServer
let run: ServiceRun

async function command(name: string, ...args: string[]): Promise<void> {
  const at = ['--tenant', TENANT, '--to', cache.url]
  const child = spawn(process.execPath, [`${COMMANDS}${name}.ts`, ...args, ...at], { stdio: 'ignore' })
  expect((await once(child, 'exit'))[0]).toBe(0)
}

beforeAll(async () => {
  cache = await startRedis()
  await command('publish', DOCUMENTS)
  const keys = { PUBLIC_URL: 'http://127.0.0.1:1', NOTICE_KEYS: `k1:${'0123456789abcdef'.repeat(4)}` }
  run = await runService({ TENANT_ID: TENANT, STATE_URL: cache.url, BID_THREADS: '1', ...keys })
  await run.entry('ready')
})
afterAll(async () => {
  run.kill('SIGKILL')
  await cache.stop()
})

test('a ledger without memory is an error until it opens, when it is new and when it has lost it', async () => {
  const closed = await run.entry('ledger-closed')
  expect(closed).toMatchObject({ level: 'error' })
  expect(closed.opens_in_s).toBeGreaterThan(3_000)
  const metrics = await (await fetch(`http://127.0.0.1:${run.adminPort}/metrics`)).text()
  expect(Number(/^bidcell_ledger_opens_in_seconds\{.*\} (\S+)$/m.exec(metrics)?.[1])).toBeGreaterThan(3_000)
  await command('spend', 'begin', '--never-spent')
  await run.entry('ledger-open')
  const redis = new Redis(cache.url)
  try {
    const lost = (await redis.keys('*')).filter(key => key.includes(':spend:'))
    await redis.del(lost)
    // Whoever connects anew learns of it at once; others with their next booking or lease.
    await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  } finally {
    redis.disconnect()
  }
  await expect
    .poll(() => run.lines.filter(line => line.includes('"ledger-closed"')), { timeout: 30_000 })
    .toHaveLength(2)
}, 90_000)
