import { spawnSync } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ServiceProcess, startService } from '../../loadtest/service-process.ts'
import { exchangeBytes, RawConnection, rawPost } from './raw-connection.ts'

const TENANT = 'acme-outdoor'
const BODY = '{"id":"r1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'
const COMMAND = fileURLToPath(new URL('../../service/commands/caller-secret.ts', import.meta.url))

let directory: string
let service: ServiceProcess
let port: number
/** What the exchanges send. */
const secrets: Record<string, string> = {}

/** Runs the command as a person does. @returns the secret and what the record holds */
function caller(...args: string[]): { secret: string; callers: object } {
  const { stdout } = spawnSync(process.execPath, [COMMAND, ...args], { encoding: 'utf8' })
  const [, secret = ''] = /shown once: (\S+)/.exec(stdout) ?? []
  return { secret, ...JSON.parse(/record: (.*)/.exec(stdout)?.[1] ?? '{}') }
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bidcell-callers-'))
  await cp(new URL(`../tenants/${TENANT}`, import.meta.url), directory, { recursive: true })
  const file = join(directory, 'exchanges.json')
  const exchanges = JSON.parse(await readFile(file, 'utf8')) as { id: string; callers?: object }[]
  const known: Record<string, ReturnType<typeof caller>> = {
    openx: caller('--in', 'header', '--header', 'X-Api-Key'),
    prebid: caller('--in', 'path'),
    magnite: caller('--in', 'basic', '--user', 'magnite'),
    index: { secret: '', callers: { addresses: ['203.0.113.0/24'], certificateSubjects: ['CN=index.example'] } },
  }
  for (const exchange of exchanges) {
    const { secret = '', callers } = known[exchange.id] ?? {}
    secrets[exchange.id] = secret
    if (callers !== undefined) Object.assign(exchange, { callers, status: 'active' })
  }
  await writeFile(file, JSON.stringify(exchanges))
  service = await startService({ env: { TENANT_ID: TENANT, STATE_URL: `file:${directory}`, DRAIN_S: '2' } })
  port = Number(new URL(service.url).port)
})
afterAll(async () => {
  expect(await service.stop()).toBe(0)
  await rm(directory, { recursive: true, force: true })
})

async function answerTo(place: string, headers: Readonly<Record<string, string>> = {}) {
  const answer = await exchangeBytes(port, rawPost({ path: `/${TENANT}/openrtb2/${place}`, body: BODY, headers }))
  return { status: answer?.status, said: JSON.stringify(answer?.headers) + String(answer?.body) }
}
const statusOf = async (place: string, headers?: Readonly<Record<string, string>>) =>
  (await answerTo(place, headers)).status
const basic = (text: string) => ({ Authorization: `Basic ${Buffer.from(text).toString('base64')}` })

describe('an exchange', () => {
  test('without a rule is whoever reaches the port', async () => {
    expect(await statusOf('adx')).toBe(200)
    expect(await statusOf('adx/anything')).toBe(404)
  })

  test('is known by a secret in a header', async () => {
    const { openx = '' } = secrets
    expect(openx.length).toBe(43)
    expect(await statusOf('openx', { 'x-api-key': openx })).toBe(200)
    for (const wrong of [openx.slice(1), `${openx} `.repeat(2), 'sha256:x', secrets.prebid ?? ''])
      expect(await statusOf('openx', { 'x-api-key': wrong })).toBe(403)
    expect(await statusOf('openx')).toBe(403)
    expect(await statusOf(`openx/${openx}`)).toBe(404)
  })

  test('is known by a secret in the path', async () => {
    expect(await statusOf(`prebid/${secrets.prebid}`)).toBe(200)
    expect(await statusOf(`prebid/${secrets.prebid}?x=1`)).toBe(200)
    for (const wrong of ['prebid', 'prebid/', 'prebid/x', `prebid/${secrets.prebid}/`, `prebid/${secrets.openx}`])
      expect(await statusOf(wrong), wrong).toBe(403)
  })

  test('is known by user and password', async () => {
    const { magnite = '' } = secrets
    expect(magnite).toMatch(/^magnite:/)
    expect(await statusOf('magnite', basic(magnite))).toBe(200)
    expect(await statusOf('magnite', basic(magnite.replace('magnite', 'openx')))).toBe(403)
    expect(await statusOf('magnite', { Authorization: `Bearer ${magnite}` })).toBe(403)
  })

  test('is known by its network and certificate, as the load balancer says, and not as the caller does', async () => {
    const good = { 'X-Forwarded-For': '192.0.2.1, 203.0.113.9', 'x-amzn-mtls-clientcert-subject': 'CN=index.example' }
    expect(await statusOf('index', good)).not.toBe(403)
    expect(await statusOf('index', { ...good, 'X-Forwarded-For': '203.0.113.9, 192.0.2.1' })).toBe(403)
    expect(await statusOf('index', { ...good, 'x-amzn-mtls-clientcert-subject': 'CN=globex' })).toBe(403)
  })
})

describe('a caller that is refused', () => {
  test('learns nothing, and keeps the connection that others use', async () => {
    const { said } = await answerTo('openx', { 'x-api-key': 'guessed' })
    expect(said).not.toMatch(/openx|api|secret|guessed/i)
    const connection = await RawConnection.open(port)
    for (const [key, status] of [
      ['guessed', 403],
      [secrets.openx ?? '', 200],
    ] as const) {
      connection.write(rawPost({ path: `/${TENANT}/openrtb2/openx`, body: BODY, headers: { 'x-api-key': key } }))
      expect((await connection.answer())?.status).toBe(status)
    }
    connection.close()
  })

  test('is counted, and one line in a while tells of it without secret or address', async () => {
    for (let round = 0; round < 50; round++)
      await statusOf('magnite', { ...basic('a:guess-of-mine'), 'X-Forwarded-For': '198.51.100.23' })
    const metrics = await (await fetch(`${service.adminUrl}/metrics`)).text()
    expect(Number(/callers_refused_total\{[^}]*cause="secret"[^}]*\} (\d+)/.exec(metrics)?.[1])).toBeGreaterThan(50)
    const lines = service.logLines.filter(line => line.includes('"caller-refused"'))
    expect(lines.length).toBeGreaterThan(0)
    expect(lines.filter(line => line.includes('magnite')).length).toBe(1)
    for (const line of service.logLines) {
      expect(line).not.toContain('198.51.100.23')
      expect(line).not.toContain('guess-of-mine')
      for (const secret of Object.values(secrets)) if (secret !== '') expect(line).not.toContain(secret)
    }
  })
})

test('a secret that is short is not hashed', () => {
  const { status, stderr } = spawnSync(process.execPath, [COMMAND, '--stdin'], { input: 'secret\n', encoding: 'utf8' })
  expect(status).toBe(2)
  expect(stderr).toContain('at least 22 are needed')
})
