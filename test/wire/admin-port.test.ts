import { request } from 'node:http'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { runService, type ServiceRun } from './service-run.ts'

const TENANT = 'acme-outdoor'
const STATE_URL = `file:${fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))}`
const TOKEN = 'T'.repeat(40)

let run: ServiceRun
afterEach(() => run.kill('SIGKILL'))

async function start(env: Readonly<Record<string, string>>): Promise<void> {
  run = await runService({ TENANT_ID: TENANT, STATE_URL, BID_THREADS: '1', ...env })
}

/** Calls the admin port; fetch would write a Host of its own. */
function call(path: string, headers: Readonly<Record<string, string>> = {}): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port: run.adminPort, path, headers }, answer => {
      let text = ''
      answer.on('data', (part: Buffer) => (text += part.toString()))
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }))
    })
    asked.on('error', reject).end()
  })
}

const audits = () =>
  run.lines.map(line => JSON.parse(line) as Record<string, unknown>).filter(({ action }) => action === 'admin-access')

describe('an admin port that others reach', () => {
  test('needs a token to be there', async () => {
    await start({ ADMIN_HOST: '0.0.0.0' })
    expect(await run.ended).toBe(78)
    expect(run.lines.join('\n')).toContain('ADMIN_TOKENS must hold a token where ADMIN_HOST is not loopback')
  })

  test('answers who has one, and audits all by name or network, never by token', async () => {
    await start({ ADMIN_HOST: '0.0.0.0', ADMIN_TOKENS: `grafana:${TOKEN}` })
    await run.entry('ready')
    expect((await call('/metrics')).status).toBe(401)
    const refused = await call('/stops', { Authorization: `Bearer ${TOKEN.slice(1)}x` })
    expect(refused.status).toBe(401)
    expect(refused.text).not.toContain('stops')
    expect((await call('/nothing')).status).toBe(401)
    expect((await call('/metrics', { Authorization: `Bearer ${TOKEN}` })).text).toContain('bidcell_')
    await expect.poll(() => audits().length).toBe(4)
    expect(audits().map(({ actor, resource, decision }) => [actor, resource, decision])).toEqual([
      ['loopback', 'GET /metrics', 'refused'],
      ['loopback', 'GET /stops', 'refused'],
      ['loopback', 'GET (no route)', 'refused'],
      ['grafana', 'GET /metrics', 'allowed'],
    ])
    expect(run.lines.join('\n')).not.toContain(TOKEN.slice(0, 30))
  })
})

describe('an admin port on loopback', () => {
  test('answers no page that a browser was led to by a name', async () => {
    await start({})
    await run.entry('ready')
    expect((await call('/state')).status).toBe(200)
    const rebound = await call('/state', { Host: `rebound.example:${run.adminPort}` })
    expect([rebound.status, rebound.text.includes('version')]).toEqual([403, false])
  })
})
