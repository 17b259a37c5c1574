import { spawnSync } from 'node:child_process'
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect as connectPlain } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeCertificates } from '../certificates.ts'
import { rawPost } from './raw-connection.ts'
import { runService, type ServiceRun } from './service-run.ts'

const TENANT = 'acme-outdoor'
const STATE_URL = `file:${fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))}`
const BODY = '{"id":"r1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'
const HEALTH_CHECK = fileURLToPath(new URL('../../service/commands/health-check.ts', import.meta.url))

let folder: string
let run: ServiceRun

/** Puts a new certificate where the service reads it. */
async function renew(): Promise<void> {
  const made = await makeCertificates()
  await copyFile(made.keyFile, join(folder, 'tls.key'))
  await copyFile(made.certFile, join(folder, 'tls.crt'))
  await rm(dirname(made.caFile), { recursive: true })
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bidcell-tls-'))
  await renew()
  const files = { TLS_CERT_FILE: join(folder, 'tls.crt'), TLS_KEY_FILE: join(folder, 'tls.key') }
  run = await runService({ TENANT_ID: TENANT, STATE_URL, BID_THREADS: '2', DRAIN_S: '1', ...files })
  await run.entry('ready')
})
afterAll(async () => {
  run.kill('SIGTERM')
  expect(await run.ended).toBe(0)
  await rm(folder, { recursive: true, force: true })
})

async function open(): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port: run.port, rejectUnauthorized: false })
  await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
  return socket
}

async function statusLine(socket: TLSSocket): Promise<string> {
  const said = new Promise<string>(resolve =>
    socket.once('data', data => resolve(data.toString().split('\r\n')[0] ?? '')),
  )
  socket.write(rawPost({ path: `/${TENANT}/openrtb2/adx`, body: BODY }))
  return await said
}

async function fingerprint(): Promise<string> {
  const socket = await open()
  const { fingerprint256 } = socket.getPeerCertificate()
  socket.destroy()
  return fingerprint256
}

describe('a public port with a certificate', () => {
  test('bids over TLS 1.3 and answers the health check, which no plain request does', async () => {
    const socket = await open()
    expect(socket.getProtocol()).toBe('TLSv1.3')
    expect(await statusLine(socket)).toBe('HTTP/1.1 200 OK')
    socket.destroy()
    const check = (scheme: string) =>
      spawnSync(process.execPath, [HEALTH_CHECK, `${scheme}://127.0.0.1:${run.port}/health/live`]).status
    expect([check('https'), check('http')]).toEqual([0, 1])
  })

  test('cuts who never shakes hands', { timeout: 30_000 }, async () => {
    const silent = connectPlain(run.port, '127.0.0.1')
    silent.on('error', () => {}).resume()
    const startMs = performance.now()
    await new Promise(resolve => silent.once('close', resolve))
    expect(performance.now() - startMs).toBeGreaterThan(2_000)
  })

  test('takes another certificate without a restart, and keeps the good one when files are bad', {
    timeout: 60_000,
  }, async () => {
    const before = await fingerprint()
    const kept = await open()
    await writeFile(join(folder, 'tls.crt'), 'no certificate')
    expect(String((await run.entry('certificate-refused')).remedy)).toContain('TLS_CERT_FILE')
    expect(await fingerprint()).toBe(before)
    await renew()
    expect(String((await run.entry('certificate-taken')).not_after)).toMatch(/^20\d\d-.*Z$/)
    // Each thread has its own part of the connections.
    await expect.poll(async () => new Set([await fingerprint(), await fingerprint(), before]).size).toBe(2)
    expect(await fingerprint()).not.toBe(before)
    expect(kept.destroyed).toBe(false)
    kept.destroy()
    const lines = run.lines.join('\n')
    expect(lines).not.toContain('PRIVATE')
  })
})

test('a certificate that is none, or another key, ends the start with 78', { timeout: 60_000 }, async () => {
  const [one, other] = await Promise.all([makeCertificates(), makeCertificates()])
  for (const files of [
    { TLS_CERT_FILE: one.certFile, TLS_KEY_FILE: other.keyFile },
    { TLS_CERT_FILE: '/nowhere/tls.crt', TLS_KEY_FILE: one.keyFile },
  ]) {
    const failed = await runService({ TENANT_ID: TENANT, STATE_URL, ...files })
    expect(await failed.ended).toBe(78)
    expect(failed.lines.join('\n')).toContain('TLS_CERT_FILE or TLS_KEY_FILE cannot be used')
  }
  for (const { caFile } of [one, other]) await rm(dirname(caFile), { recursive: true })
})
