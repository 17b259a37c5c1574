import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { RawConnection } from '../../test/wire/raw-connection.ts'
import { createRecorderBlock, Recorder, snapshot } from '../telemetry/recorder.ts'
import { COUNTER } from '../telemetry/signals.ts'
import type { BidRoute } from './bid-route.ts'
import { createPublicServer } from './public-server.ts'

const block = createRecorderBlock()
const recorder = new Recorder(block)
const app = createPublicServer({
  tenantId: 'acme',
  // No request of these tests is for the bid route.
  route: { take: () => false } as unknown as BidRoute,
  health: { isReady: () => true, isLive: () => true },
  recorder,
  keepAliveMs: 60_000,
})
const LIVE = 'GET /health/live HTTP/1.1\r\nHost: h\r\n\r\n'
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

test('health checks and paths that do not exist leave a connection on its short way', async () => {
  const byNode = () => snapshot({ blocks: [block], gauges: {}, takenAtMs: 0 }).counters[COUNTER.requestsByNode] ?? 0
  const before = byNode()
  const connection = await RawConnection.open(port)
  const posted = 'POST /favicon.ico HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody'
  const asked = [LIVE, 'GET /acme/health/ready?x=1 HTTP/1.1\r\nHost: h\r\n\r\n', posted, LIVE]
  connection.write(asked.join(''))
  const statuses = [200, 200, 404, 200]
  for (const status of statuses) expect((await connection.answer())?.status).toBe(status)
  expect(byNode()).toBe(before)
  connection.write('HEAD /acme/health/live HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n')
  expect((await connection.answer())?.status).toBe(200)
  await connection.closed
  expect(byNode()).toBe(before + 1)
})

/** The server's end of a new connection, and the client's. */
async function bothEnds(): Promise<{ served: Socket; client: Socket }> {
  const serving = new Promise<Socket>(resolve => app.server.once('connection', resolve))
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true }).on('error', () => {})
  return { served: await serving, client }
}

/** Seconds until the server gave a connection up, of a clock that stands still while its event loop does. */
async function secondsUntilCut({ served }: { served: Socket }): Promise<number> {
  let halfSeconds = 0
  const clock = setInterval(() => halfSeconds++, 500)
  await new Promise<void>(resolve => served.once('close', () => resolve()))
  clearInterval(clock)
  return halfSeconds / 2
}

test('who does not read, or was refused and does not close, is cut within 6 s, and who is idle is not (fault 27)', {
  timeout: 60_000,
}, async () => {
  const idle = await bothEnds()
  idle.client.on('data', () => {}).write(LIVE)
  const deaf = await bothEnds()
  deaf.client.pause()
  while (deaf.served.writableLength === 0) {
    deaf.client.write(LIVE.repeat(1_000))
    await sleep(5)
  }
  // It goes on asking: what it sends is no sign that it reads.
  const asking = setInterval(() => deaf.client.writableLength === 0 && deaf.client.write(LIVE), 100)
  const rude = await bothEnds()
  rude.client.on('data', () => {}).write('no HTTP at all\r\n\r\n')
  const seconds = await Promise.all([secondsUntilCut(deaf), secondsUntilCut(rude)])
  clearInterval(asking)
  expect(Math.min(...seconds)).toBeGreaterThan(4)
  expect(Math.max(...seconds)).toBeLessThanOrEqual(6)
  expect(idle.served.destroyed).toBe(false)
  for (const { client } of [idle, deaf, rude]) client.destroy()
})
