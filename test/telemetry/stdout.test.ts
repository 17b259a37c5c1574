import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { Redis } from 'ioredis'
import { afterEach, describe, expect, test } from 'vitest'
import { stateKeys } from '../../service/remote-cache/layout.ts'
import { publishTenant } from '../../service/remote-cache/publisher.ts'
import { readTenantDirectory } from '../../service/remote-cache/tenant-directory.ts'
import { freePort, startRedis } from '../redis-server.ts'
import { exchangeBytes, rawPost } from '../wire/raw-connection.ts'
import { runService, type ServiceRun } from '../wire/service-run.ts'
import { readLine } from './log-reader.ts'
import { type Json, readEmf } from './sink-readers.ts'

const TENANT = 'acme-outdoor'
const DIRECTORY = fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))
const IDENTITY = { tenant_id: TENANT, tier_id: 'standard', region: 'local', cell_id: 'c-1', infra_group_id: 'g-1' }
const ENV = { TENANT_ID: TENANT, CELL_ID: 'c-1', INFRA_GROUP_ID: 'g-1', BID_THREADS: '1', DRAIN_S: '2' }
const BID_PATH = `/${TENANT}/openrtb2/adx`
/** What a request must never leave on a line. */
const SECRETS = ['ifa-6d92078a', '203.0.113.77', 'buyer-uid-1', 'hunter2', 'tok-en']

const runs: ServiceRun[] = []
afterEach(async () => {
  for (const run of runs.splice(0)) {
    run.kill('SIGKILL')
    await run.ended
  }
})

async function service(env: Readonly<Record<string, string>>): Promise<ServiceRun> {
  const run = await runService({ ...ENV, ...env })
  runs.push(run)
  return run
}

/** Every line that the process wrote, held against the schema. */
function allLines(run: ServiceRun, identity: Json = IDENTITY): readonly Json[] {
  expect(run.lines.length).toBeGreaterThan(0)
  for (const secret of SECRETS) expect(run.lines.join('\n')).not.toContain(secret)
  return run.lines.map(line => readLine(line, identity))
}

const codesOf = (lines: readonly Json[]) => lines.map(({ code }) => String(code))

/** Requests that try to write lines of their own. */
function hostileRequests(): readonly (string | Buffer)[] {
  const forged = '\\r\\n{\\"level\\":\\"fatal\\",\\"tenant_id\\":\\"other\\"}\\u001b[31m\\u2028'
  const user = '"user":{"id":"u","buyeruid":"buyer-uid-1"},"device":{"ifa":"ifa-6d92078a","ip":"203.0.113.77"}'
  const huge = 'x'.repeat(200_000)
  const bodies = [
    ...['', 'not JSON', '[]', '{"id":1}', `{"id":"${forged}","imp":[]}`, `{"id":"a","tenant_id":"other",${user}}`],
    `{"id":"${forged}","level":"fatal","time":"never","imp":[{"id":"${forged}","banner":{"w":300,"h":250}}],${user}}`,
    `{"id":"${huge}","imp":[{"id":"1","banner":{"w":300,"h":250}}],"__proto__":{"level":"x"}}`,
    '['.repeat(50_000),
  ]
  return [
    ...bodies.map(body => rawPost({ path: BID_PATH, body })),
    `GET /other-tenant/health/ready?token=tok-en HTTP/1.1\r\nHost: x\r\n\r\n`,
    `GET /${TENANT}/notice/billing/${'tok-en'.repeat(50)} HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: other\r\n\r\n`,
    'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
    'not HTTP\r\n\r\n',
  ]
}

describe('every line on stdout is one JSON object of the schema, with the identity', () => {
  test('when settings are wrong', async () => {
    const run = await service({ STATE_URL: 'redis://u:hunter2@x:y', PORT: 'x\r\n{"tenant_id":"other"}\u001b[31m' })
    expect(await run.ended).toBe(78)
    expect(new Set(codesOf(allLines(run)))).toEqual(new Set(['config-invalid']))
  })

  test('when requests are malformed or hostile, metrics included, until the end (fault 30)', async () => {
    const run = await service({ STATE_URL: `file:${DIRECTORY}`, METRICS_SINK: 'emf', METRICS_PERIOD_S: '1' })
    await run.entry('ready')
    for (const request of hostileRequests()) await exchangeBytes(run.port, request)
    const gzip = { 'Content-Encoding': 'gzip' }
    await exchangeBytes(run.port, rawPost({ path: BID_PATH, body: gzipSync('0'.repeat(5_000_000)), headers: gzip }))
    const admin = `http://127.0.0.1:${run.adminPort}`
    const json = { 'content-type': 'application/json' }
    await fetch(`${admin}/stops`, { method: 'POST', headers: json, body: '{"exchange":"a\\r\\n{}"}' })
    await fetch(`${admin}/no\nwhere?tok-en`)
    await fetch(`${admin}/stops`, { method: 'POST', headers: json, body: '{"level":"fatal"}' })
    await run.entry('metrics')
    run.kill('SIGTERM')
    expect(await run.ended).toBe(0)
    const lines = allLines(run)
    for (const line of lines) if (line.code === 'metrics') readEmf(JSON.stringify(line))
    expect(codesOf(lines)).toEqual(expect.arrayContaining(['started', 'ready', 'metrics', 'draining', 'stopped']))
    const audits = lines.filter(({ code }) => code === 'audit')
    expect(audits).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ actor: 'publisher', action: 'state-change', decision: 'allowed' }),
        expect.objectContaining({ actor: 'loopback', action: 'stop', resource: 'exchange a {}' }),
        expect.objectContaining({ actor: 'loopback', action: 'admin-access', resource: 'POST /stops' }),
        expect.objectContaining({ action: 'admin-access', decision: 'refused', resource: 'GET (no route)' }),
      ]),
    )
    expect(run.errors).toEqual([])
  })

  test('when the cache is away, comes, refuses a version and is lost', { timeout: 60_000 }, async () => {
    const port = await freePort()
    const run = await service({ STATE_URL: `redis://:hunter2@127.0.0.1:${port}`, CACHE_TIMEOUT_MS: '300' })
    await run.entry('cache-unreachable')
    const server = await startRedis({ port })
    const redis = new Redis(port, '127.0.0.1')
    redis.on('error', () => undefined)
    try {
      await redis.acl('SETUSER', 'default', '>hunter2')
      await publishTenant({ redis, tenantId: TENANT, documents: readTenantDirectory(DIRECTORY) })
      await run.entry('ready')
      await redis.hset(stateKeys(TENANT).announced, { number: 99, version: 'no-such' })
      await run.entry('state-refused')
    } finally {
      redis.disconnect()
      await server.kill()
    }
    const isLostAgain = () => run.lines.filter(line => line.includes('"cache-unreachable"')).length > 1
    await expect.poll(isLostAgain, { timeout: 20_000 }).toBe(true)
    expect(codesOf(allLines(run))).toContain('cache-reachable')
  })

  test('when it crashes', async () => {
    const run = await service({
      STATE_URL: `file:${DIRECTORY}`,
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(CRASHER)}`,
    })
    expect(await run.ended).toBe(1)
    const lines = allLines(run)
    expect(lines.at(-1)).toMatchObject({ code: 'crash', level: 'fatal' })
    expect(String(lines.at(-1)?.error)).toContain('planted')
  })
})

/** Throws where nobody catches it, once the control thread is up. */
const CRASHER = `import { isMainThread } from 'node:worker_threads'
if (isMainThread) setTimeout(() => { throw new Error('planted\\r\\n{"tenant_id":"other"}') }, 1500)`
