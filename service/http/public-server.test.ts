import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createRecorderBlock, Recorder } from '../telemetry/recorder.ts'
import type { BidRoute } from './bid-route.ts'
import { createPublicServer } from './public-server.ts'

const recorder = new Recorder(createRecorderBlock())
const app = createPublicServer({
  tenantId: 'acme',
  // No request of these tests is for the bid route.
  route: { take: () => false } as unknown as BidRoute,
  health: { isReady: () => true, isLive: () => true },
  recorder,
  keepAliveMs: 60_000,
})
let port = 0

beforeAll(async () => {
  await app.listen({ host: '127.0.0.1', port: 0 })
  const address = app.server.address()
  port = typeof address === 'object' && address !== null ? address.port : 0
})
afterAll(async () => {
  app.server.closeAllConnections()
  await app.close()
})

/** Sends bytes on a new connection and resolves with all that comes back until the server closes it. */
function exchange(request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    socket.on('close', () => resolve(text))
    socket.on('error', reject)
    socket.write(request)
  })
}

function post(path: string, type: string, body: string): string {
  const head = `POST ${path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: ${type}\r\n`
  return `${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

describe('paths that do not exist', () => {
  test.each([
    ['with a body that is no JSON', post('/globex/openrtb2/adx', 'application/json', '{')],
    ['with a body of another type', post('/globex/openrtb2/adx', 'text/xml', '<a/>')],
    ['with __proto__ in the body', post('/globex/openrtb2/adx', 'application/json', '{"__proto__":{}}')],
    ['with a deep body', post('/globex/openrtb2/adx', 'application/json', '['.repeat(200_000))],
    ['with an escape that is none', 'GET /globex/%zz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n'],
    ['of the health checks by POST', post('/health/ready', 'application/json', '{')],
  ])('answer 404 without a body %s', async (_what, request) => {
    const answer = await exchange(request)
    expect(answer).toMatch(/^HTTP\/1\.1 404 /)
    expect(answer).toMatch(/content-length: 0\r\n/i)
    expect(answer.split('\r\n\r\n')[1]).toBe('')
    expect(answer).not.toContain('globex')
  })
})

describe('connections', () => {
  test('that do not read their answers are cut, and those idle between requests are not', {
    timeout: 30_000,
  }, async () => {
    const idle = connect(port, '127.0.0.1')
    idle.on('data', () => {})
    idle.write('GET /health/live HTTP/1.1\r\nHost: h\r\n\r\n')
    const stuck = connect(port, '127.0.0.1')
    stuck.pause()
    stuck.on('error', () => {})
    const many = 'GET /health/live HTTP/1.1\r\nHost: h\r\n\r\n'.repeat(10_000)
    for (let i = 0; i < 10; i++) stuck.write(many)
    await expect.poll(() => connections(), { timeout: 3_000 }).toBe(2)
    await expect.poll(() => connections(), { timeout: 20_000, interval: 200 }).toBe(1)
    await sleep(50)
    expect(idle.closed).toBe(false)
    idle.destroy()
    stuck.destroy()
  })
})

function connections(): Promise<number> {
  return new Promise((resolve, reject) => {
    app.server.getConnections((error, count) => (error ? reject(error) : resolve(count)))
  })
}
