import { connect, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import { compiledTenant, sampleTenant } from '../../test/sample-catalog.ts'
import { systemClock } from '../foundation/clock.ts'
import { Random } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import { createRecorderBlock, Recorder, snapshot } from '../telemetry/recorder.ts'
import { COUNTER, shedCounter } from '../telemetry/signals.ts'
import { BidGate, createBidGateMemory } from './bid-gate.ts'
import { BidPath } from './bid-path.ts'
import { BidRoute } from './bid-route.ts'
import { CallerGate } from './caller-gate.ts'
import { createPublicServer } from './public-server.ts'
import { ServedCatalog } from './served-catalog.ts'
import { Serving } from './serving.ts'

const LIMITS_HERE = { keepAliveMs: 60_000, connectionsMax: 100 }
const NOW_MS = Date.parse('2026-11-21T12:00:00Z')
const GOOD = JSON.stringify({ id: 'r', imp: [{ id: '1', banner: { w: 300, h: 250 } }] })
/** Of a body that never ends, the largest part. */
const PART_BYTES = LIMITS.bodyBytesMax - 1_024
const SOON_MS = 500
const HOLDERS = Math.floor(LIMITS.partialBodyBytesMax / PART_BYTES)

const serving = new Serving(new ServedCatalog(compiledTenant(sampleTenant())), NOW_MS)
const block = createRecorderBlock()
const recorder = new Recorder(block)
const closers: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

async function startServer({ loopLagMs = 0, bidMs = 0 } = {}): Promise<number> {
  const parts = { bidIdPrefix: 't-', alarm: () => {}, pickIndex: new Random(1).pickIndex }
  // The route asks for the time once per bid: a clock that is so slow makes every bid take as long.
  const nowMs = () => {
    for (const untilMs = performance.now() + bidMs; performance.now() < untilMs; ) {}
    return NOW_MS
  }
  const gate = new BidGate(createBidGateMemory())
  const clocks = { nowMs, monotonicMs: () => performance.now(), loopLagMs: () => loopLagMs, isDraining: () => false }
  const bidPath = new BidPath({ recorder, ...parts })
  const callers = new CallerGate({
    recorder,
    forwardedHops: 1,
    monotonicMs: systemClock.monotonicMs,
    onRefused: () => {},
  })
  const ground = { tenantId: 'acme', bidPath, recorder, serving: () => serving }
  const route = new BidRoute({ ...ground, callers, gate, ...clocks })
  const health = { isReady: () => true, isLive: () => true }
  const app = createPublicServer({ tenantId: 'acme', route, health, recorder, ...LIMITS_HERE })
  await app.listen({ host: '127.0.0.1', port: 0 })
  closers.push(async () => {
    app.server.closeAllConnections()
    await app.close()
  })
  const address = app.server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

function counted(counter: number): number {
  return snapshot({ blocks: [block], gauges: {}, takenAtMs: 0 }).counters[counter] ?? 0
}

const headOf = (bytes: number): string =>
  `POST /acme/openrtb2/adx HTTP/1.1\r\nHost: h\r\nContent-Length: ${bytes}\r\n\r\n`

async function opened(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  await new Promise<void>(resolve => socket.once('connect', () => resolve()))
  return socket
}

/** Status of the next answer on a connection, 0 when none comes soon. */
function answerOn(socket: Socket, waitMs = SOON_MS): Promise<number> {
  return new Promise(resolve => {
    socket.once('data', (bytes: Buffer) => resolve(Number(bytes.toString().slice(9, 12))))
    setTimeout(resolve, waitMs, 0)
  })
}

function sent(socket: Socket, body: string): Promise<number> {
  const status = answerOn(socket)
  socket.write(headOf(body.length) + body)
  return status
}

async function statusOf(port: number, ...pieces: string[]): Promise<number> {
  const socket = await opened(port)
  const status = answerOn(socket)
  for (const piece of pieces) {
    socket.write(piece)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  const found = await status
  socket.destroy()
  return found
}

/** Of the request that the next answer is for. */
function idOn(socket: Socket): Promise<unknown> {
  return new Promise(resolve => {
    socket.once('data', (bytes: Buffer) => {
      const body = String(bytes).split('\r\n\r\n')[1] ?? ''
      resolve(body === '' ? 'shed' : JSON.parse(body).id)
    })
    socket.once('close', () => resolve('gone'))
  })
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (let round = 0; round < 8 && !(await isSo()); round++) await new Promise(resolve => setTimeout(resolve, 20))
}

describe('bodies that come in parts', () => {
  test('get no bid when a thread holds as many bytes as it may, and bids again when they are gone', async () => {
    const port = await startServer()
    const inPieces = [headOf(GOOD.length) + GOOD.slice(0, 10), GOOD.slice(10)]
    expect(await statusOf(port, ...inPieces)).toBe(200)
    const before = counted(shedCounter('overload'))
    const holders = await Promise.all(Array.from({ length: HOLDERS }, () => opened(port)))
    for (const socket of holders) socket.write(`${headOf(LIMITS.bodyBytesMax)}${' '.repeat(PART_BYTES)}`)
    const wait = ' '.repeat(LIMITS.partialBodyBytesMax - HOLDERS * PART_BYTES + 1)
    await until(async () => (await statusOf(port, headOf(wait.length + 1) + wait)) === 204)
    expect(counted(shedCounter('overload'))).toBeGreaterThan(before)
    // What comes whole needs no room, so ordinary traffic goes on.
    expect(await statusOf(port, headOf(GOOD.length) + GOOD)).toBe(200)
    for (const socket of holders) socket.destroy()
    await until(async () => (await statusOf(port, ...inPieces)) === 200)
    expect(await statusOf(port, ...inPieces)).toBe(200)
  })
})

describe('bodies of several connections', () => {
  test('are each read as they were sent, though they are read in turn and some are inflated meanwhile', async () => {
    const port = await startServer()
    const sockets = await Promise.all(Array.from({ length: 12 }, () => opened(port)))
    const random = new Random(1)
    const found = sockets.map(idOn)
    const sent = sockets.map((_, i) => {
      // Every third comes compressed, too large to be inflated at once, and whole.
      const isGzip = i % 3 === 0
      const unread = Array.from({ length: isGzip ? 12_000 : 40 }, () => random.next().toString(36)).join('')
      const text = JSON.stringify({ ...JSON.parse(GOOD), unread, id: `r-${i}` })
      const body = isGzip ? gzipSync(text) : Buffer.from(text)
      expect(isGzip).toBe(body.length > LIMITS.inflateSyncBytesMax)
      const head = `${headOf(body.length).slice(0, -2)}${isGzip ? 'Content-Encoding: gzip\r\n' : ''}\r\n`
      const cuts = isGzip ? [] : [head.length, head.length + 20, head.length + body.length - 30]
      return { bytes: Buffer.concat([Buffer.from(head), body]), cuts }
    })
    for (let piece = 0; piece < 4; piece++) {
      for (const [i, { bytes, cuts }] of sent.entries())
        sockets[i]?.write(bytes.subarray(cuts[piece - 1] ?? (piece === 0 ? 0 : bytes.length), cuts[piece]))
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    expect(await Promise.all(found)).toEqual(sockets.map((_, i) => `r-${i}`))
    for (const socket of sockets) socket.destroy()
  })
})

describe('answers of one turn', () => {
  test('reach each its own connection, also when one of them has gone', async () => {
    const port = await startServer()
    const sockets = await Promise.all(Array.from({ length: 40 }, () => opened(port)))
    for (const socket of sockets) expect(await sent(socket, GOOD)).toBe(200)
    const shedBefore = counted(shedCounter('overload'))
    // All are written before the event loop turns, so that one turn reads them all.
    const ids = sockets.map((socket, i) => {
      const body = JSON.stringify({ ...JSON.parse(GOOD), id: `r-${i}` })
      const id = idOn(socket)
      socket.write(headOf(body.length) + body)
      if (i % 10 === 3) socket.resetAndDestroy()
      return id
    })
    const found = await Promise.all(ids)
    // A slow machine makes the turn so long that some of it is shed: these are counted, and all others have their own.
    const shed = found.filter(id => id === 'shed').length
    expect(shed).toBeLessThanOrEqual(counted(shedCounter('overload')) - shedBefore)
    expect(found[0]).toBe('r-0')
    expect(found).toEqual(sockets.map((_, i) => (i % 10 === 3 ? 'gone' : found[i] === 'shed' ? 'shed' : `r-${i}`)))
    for (const socket of sockets) socket.destroy()
  })
})

describe('a thread that cannot keep up', () => {
  const BID_MS = 4
  const CONNECTIONS = 60

  test('takes a burst, sheds sooner while it lasts, counts it, and answers health and the next request', async () => {
    const port = await startServer({ bidMs: BID_MS })
    const sockets = await Promise.all(Array.from({ length: CONNECTIONS }, () => opened(port)))
    const health = await opened(port)
    // A server accepts one connection a turn: only those that it knows can have requests in the same turn.
    for (const socket of sockets) expect(await sent(socket, GOOD)).toBe(200)
    const before = counted(shedCounter('overload'))
    // All are written before the event loop turns, so that one turn reads them all.
    const shedOf = async () => {
      const found = await Promise.all(sockets.map(socket => sent(socket, GOOD)))
      expect(found.every(status => status === 200 || status === 204)).toBe(true)
      expect(found[0], 'the first has not waited').toBe(200)
      return found.filter(status => status === 204).length
    }
    const isUp = answerOn(health)
    health.write('GET /health/ready HTTP/1.1\r\nHost: h\r\n\r\n')
    // A pause of the machine can cut a burst short: then another is tried.
    const rounds: number[][] = []
    do {
      await new Promise(resolve => setTimeout(resolve, 50))
      rounds.push([await shedOf(), await shedOf()])
    } while (
      rounds.length < 5 &&
      !rounds.some(([burst = 0, next = 0]) => 1.5 * (CONNECTIONS - next) < CONNECTIONS - burst)
    )
    expect(await isUp).toBe(200)
    const [burst = 0, next = 0] = rounds.at(-1) ?? []
    expect(burst, 'a burst is cut, too').toBeGreaterThan(0)
    expect(1.5 * (CONNECTIONS - next), `shed: ${rounds.join(' | ')}`).toBeLessThan(CONNECTIONS - burst)
    expect(counted(shedCounter('overload')) - before).toBe(rounds.flat().reduce((sum, each) => sum + each, 0))
    await new Promise(resolve => setTimeout(resolve, 50))
    for (const socket of sockets) expect(await sent(socket, GOOD), 'after some rest').toBe(200)
    for (const socket of [...sockets, health]) socket.destroy()
  })

  test('reads nothing that comes while its event loop is held up for longer than exchanges wait', async () => {
    const before = counted(shedCounter('deadline'))
    expect(await statusOf(await startServer({ loopLagMs: LIMITS.bidLagMsMax }), `${headOf(1)}x`)).toBe(400)
    expect(await statusOf(await startServer({ loopLagMs: LIMITS.bidLagMsMax + 1 }), `${headOf(1)}x`)).toBe(204)
    expect(counted(shedCounter('deadline'))).toBe(before + 1)
  })
})

describe('connections', () => {
  test('beyond the limit are closed at once and counted; others go on', async () => {
    const port = await startServer()
    const sockets = await Promise.all(Array.from({ length: LIMITS_HERE.connectionsMax }, () => opened(port)))
    const before = counted(COUNTER.connectionsRefused)
    const extra = await opened(port)
    await new Promise<void>(resolve => extra.once('close', () => resolve()))
    expect(counted(COUNTER.connectionsRefused)).toBe(before + 1)
    const first = sockets[0] as Socket
    const status = answerOn(first)
    first.write(headOf(GOOD.length) + GOOD)
    expect(await status).toBe(200)
    for (const socket of sockets) socket.destroy()
  })
})
