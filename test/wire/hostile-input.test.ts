import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ServiceProcess, startService } from '../../loadtest/service-process.ts'
import { LIMITS } from '../../service/limits.ts'
import { type Receiver, startReceiver } from '../telemetry/receiver.ts'
import { exchangeBytes, RawConnection, rawPost } from './raw-connection.ts'

const TENANT = 'acme-outdoor'
const PATH = `/${TENANT}/openrtb2/adx`
const IMP = '"imp":[{"id":"1","banner":{"w":300,"h":250}}]'
const GOOD = `{"id":"r1",${IMP}}`
const MIB = 1_024 * 1_024

let service: ServiceProcess
let port: number
let traces: Receiver

beforeAll(async () => {
  const directory = fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))
  traces = await startReceiver()
  service = await startService({
    env: {
      ...{ TENANT_ID: TENANT, STATE_URL: `file:${directory}`, DRAIN_S: '2', OTEL_TRACES_SAMPLER: 'always_on' },
      ...{ OTEL_EXPORTER_OTLP_ENDPOINT: traces.url, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' },
    },
  })
  port = Number(new URL(service.url).port)
})
afterAll(async () => {
  // Whatever was sent: it lives, its prototypes are clean enough to bid, and it ends in order.
  await expectStatus(200, GOOD)
  expect(service.isAlive()).toBe(true)
  expect(await service.stop()).toBe(0)
  // What was sent was traced, as many of it as a second allows.
  expect(traces.received.map(({ path }) => path)).toContain('/v1/traces')
  traces.close()
})

const bidStatus = async (body: string | Buffer, headers = {}) =>
  (await exchangeBytes(port, rawPost({ path: PATH, body, headers })))?.status
/** Asks until the answer has this status: a machine that is busy with something else sheds some. */
async function expectStatus(status: number, body: string): Promise<void> {
  let last = await bidStatus(body)
  for (let tries = 0; tries < 100 && last !== status; tries++) {
    await sleep(100)
    last = await bidStatus(body)
  }
  expect(last).toBe(status)
}
const answerOf = (method: string, path: string) =>
  exchangeBytes(port, `${method} ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`)

function rssBytes(): number {
  const status = readFileSync(`/proc/${service.pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1_024
}

/** One collection more or less does not move it. */
function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0
}

/** The fastest of a few: what it costs when nobody else uses the machine. */
async function fastestMs(run: () => unknown): Promise<number> {
  let fastest = Number.POSITIVE_INFINITY
  for (let round = 0; round < 20; round++) {
    const startMs = performance.now()
    await run()
    fastest = Math.min(fastest, performance.now() - startMs)
  }
  return fastest
}

/** The same from a request's first byte to its answer, on connections that are open already. */
async function fastestAnswerMs(body: string | Buffer, headers = {}): Promise<number> {
  const bytes = rawPost({ path: PATH, body, headers })
  const connections = await Promise.all(Array.from({ length: 20 }, () => RawConnection.open(port)))
  const waiting = [...connections]
  const ms = await fastestMs(async () => {
    const connection = waiting.pop()
    connection?.write(bytes)
    await connection?.answer()
  })
  for (const connection of connections) connection.close()
  return ms
}

describe('JSON', () => {
  test.each([50_000, 200_000])('of %d levels gets 400, with tracing on (fault 21)', async levels => {
    const list = `{"id":"r1",${IMP},"x":${'['.repeat(levels)}${']'.repeat(levels)}}`
    const objects = gzipSync(`{"id":"r1",${IMP},"x":${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}}`)
    expect(await bidStatus(gzipSync(list), { 'Content-Encoding': 'gzip' })).toBe(400)
    // Six bytes a level: 200,000 of them are above the limit of an inflated body.
    expect(await bidStatus(objects, { 'Content-Encoding': 'gzip' })).toBe(levels > 100_000 ? 413 : 400)
    expect(await bidStatus('['.repeat(levels))).toBe(400)
  })

  test('with brackets inside of texts is not deep', async () => {
    await expectStatus(200, `{"id":"r1",${IMP},"x":"${'[{\\"'.repeat(20_000)}"}`)
  })

  test.each([
    ['an infinite floor', '"bidfloor":1e400', 200],
    ['a floor of minus zero', '"bidfloor":-0', 200],
    ['a floor that no float holds', '"bidfloor":9007199254740993', 204],
    ['a negative floor', '"bidfloor":-5', 200],
    ['a floor twice', '"bidfloor":0,"bidfloor":900', 204],
    ['a floor of text', '"bidfloor":"900"', 200],
    ['keys of prototypes', '"__proto__":{"bidfloor":900},"constructor":{"prototype":{"bidfloor":900}}', 200],
    ['escaped keys of prototypes', '"\\u005f\\u005fproto__":{"bidfloor":900},"\\u0063onstructor":{"x":1}', 200],
  ])('with %s is read by the rules (fault 23)', async (_, member, status) => {
    await expectStatus(status, `{"id":"r1","imp":[{"id":"1",${member},"banner":{"w":300,"h":250}}]}`)
  })

  test('cannot reach a prototype (fault 23)', async () => {
    const floor = '{"bidfloor":900,"secure":1,"id":"x"}'
    const imp = `{"id":"1","__proto__":${floor}}`
    const poison = `{"__proto__":${floor},"constructor":{"prototype":${floor}},"id":"r1","imp":[${imp}]}`
    for (let round = 0; round < 20; round++) expect(await bidStatus(poison)).toBe(204)
    await expectStatus(200, GOOD)
  })

  test.each([
    [100_000, 1],
    [80_000, 7],
  ])('with %d keys that look like indexes, in steps of %d, gets 400 quickly (fault 23)', async (count, step) => {
    const keys = Array.from({ length: count }, (_, index) => `"${index * step}":0`).join()
    const text = `{"id":"r1",${IMP},"x":{${keys}}}`
    const zipped = { 'Content-Encoding': 'gzip' }
    const body = gzipSync(text)
    expect(await bidStatus(body, zipped)).toBe(400)
    const ownMs = await fastestMs(() => gunzipSync(body))
    const ms = await fastestAnswerMs(body, zipped)
    console.log(`${count} keys in steps of ${step}: ${ms.toFixed(1)} ms, gunzip alone ${ownMs.toFixed(1)} ms`)
    // Times what the machine itself takes, with room for what else it does.
    expect(ms).toBeLessThan(Math.max(30, 30 * ownMs))
  })
})

describe('bombs', () => {
  const zipped = { 'Content-Encoding': 'gzip' }

  test('of gzip are refused quickly and leave no memory behind (fault 22)', async () => {
    const bomb = gzipSync(Buffer.alloc(200 * MIB, ' '))
    expect(bomb.length).toBeLessThan(256 * 1_024)
    // What this machine takes to inflate as much as is allowed; it fails, as in the service.
    const ownMs = await fastestMs(() => {
      expect(() => gunzipSync(bomb, { maxOutputLength: LIMITS.inflatedBytesMax })).toThrow()
    })
    const ms: number[] = []
    for (const [body, headers] of [
      [bomb, zipped],
      [bomb.subarray(0, 20_000), zipped],
      [bomb, { 'Content-Encoding': 'gzip, gzip' }],
      [bomb, { 'Content-Encoding': 'br' }],
    ] as const)
      ms.push(await fastestAnswerMs(body, headers))
    console.log(`bombs are refused in ${ms.map(each => each.toFixed(1)).join(', ')} ms; own ${ownMs.toFixed(1)} ms`)
    // Inflating all of it takes some 100 times as long.
    expect(Math.max(...ms)).toBeLessThan(Math.max(20, 30 * ownMs))
    // Heap and allocator find their size first; then a hundred more, 20 GB inflated, do not add to it.
    const medians: number[] = []
    const grownBytes = () => (medians.at(-1) ?? 0) - (medians.at(-2) ?? Number.NEGATIVE_INFINITY)
    while (medians.length < 10 && grownBytes() >= 4 * MIB) {
      const rss: number[] = []
      for (let round = 0; round < 10; round++) {
        const statuses = await Promise.all(Array.from({ length: 10 }, () => bidStatus(bomb, zipped)))
        // A machine that is busy with something else sheds some.
        expect(statuses.filter(status => status !== 413 && status !== 204)).toEqual([])
        rss.push(rssBytes())
      }
      medians.push(median(rss))
    }
    expect(grownBytes(), medians.map(bytes => Math.round(bytes / MIB)).join()).toBeLessThan(4 * MIB)
  })
})

describe('paths', () => {
  test.each([
    '/',
    '/openrtb2/adx',
    '/globex/openrtb2/adx',
    '/bluebird-games/openrtb2/adx',
    '/ACME-OUTDOOR/openrtb2/adx',
    '/Acme-outdoor/openrtb2/adx',
    '/acme-outdoor%2fopenrtb2/adx',
    '/acme%2doutdoor/openrtb2/adx',
    '//acme-outdoor/openrtb2/adx',
    '/acme-outdoor//openrtb2/adx',
    '/acme-outdoor/openrtb2//adx',
    '/acme-outdoor/./openrtb2/adx',
    '/globex/../acme-outdoor/openrtb2/adx',
    '/acme-outdoor/../globex/openrtb2/adx',
    '/acme-outdoor;globex/openrtb2/adx',
    '/acme-outdoor/openrtb2/adx;x=1',
    '/acme-outdoor/openrtb2/adx/',
    '/acme-outdoor/openrtb2/adx%00',
    '/acme-outdoor/openrtb2/ADX',
    '/acme-outdoor/openrtb2/',
    '/acme-outdoor/openrtb2/unknown',
    '/acme-outdoor/openrtb2/__proto__',
    '/acme-outdoor/openrtb2/constructor',
    '/acme-outdoor/openrtb2/<script>',
    '/acme-outdoor-2/openrtb2/adx',
    '/acme-outdoo/openrtb2/adx',
    '/health',
    '/metrics',
    '/state',
    '/console',
    '/globex/health/ready',
    'http://globex.example/globex/openrtb2/adx',
  ])('of nobody answer 404 and say nothing of it: %s (fault 28)', async path => {
    const connection = await RawConnection.open(port)
    for (const request of [rawPost({ path, body: GOOD }), `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`]) {
      connection.write(request)
      const answer = await connection.answer()
      expect(answer?.status).toBe(404)
      const said = JSON.stringify(answer?.headers) + String(answer?.body)
      expect(said).not.toMatch(/acme|globex|bluebird|unknown|script|proto/i)
    }
    connection.close()
  })

  test('with other methods are no bid requests', async () => {
    for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'])
      expect((await answerOf(method, PATH))?.status, method).toBe(404)
  })

  test('of health answer with and without the tenant', async () => {
    for (const path of ['/health/ready', '/health/live', `/${TENANT}/health/ready`, `/${TENANT}/health/live`])
      expect((await answerOf('GET', path))?.status, path).toBe(200)
  })

  test('alone choose the state: neither Host, nor a header, nor the body does (fault 28)', async () => {
    const body = `{"id":"r1",${IMP},"tenant_id":"globex","ext":{"tenant":"globex"}}`
    const headers = {
      Host: 'globex.example',
      'X-Tenant-Id': 'globex',
      'X-Forwarded-Host': 'globex',
      Forwarded: 'host=g',
    }
    const answer = await exchangeBytes(port, rawPost({ path: PATH, body, headers }))
    expect(answer?.status).toBe(200)
    expect(String(answer?.body)).not.toContain('globex')
  })
})

describe('a request that two servers could read differently', () => {
  const inner = `POST ${PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: ${GOOD.length}\r\n\r\n${GOOD}`
  const head = `POST ${PATH} HTTP/1.1\r\n`
  test.each([
    [
      'a length and chunks',
      `${head}Host: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${inner}`,
    ],
    [
      'chunks and a length',
      `${head}Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${inner}`,
    ],
    ['two lengths', `${head}Host: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}${inner}`],
    ['a list of lengths', `${head}Host: x\r\nContent-Length: 2, 2\r\n\r\n{}${inner}`],
    ['a signed length', `${head}Host: x\r\nContent-Length: +2\r\n\r\n{}${inner}`],
    ['a header over two lines', `${head}Host: x\r\nX-A: a\r\n b\r\nContent-Length: 2\r\n\r\n{}${inner}`],
    ['a bare line feed', `${head}Host: x\nContent-Length: 2\r\n\r\n{}${inner}`],
    ['line feeds only', `${head}Host: x\r\nContent-Length: 2\n\n{}${inner}`],
    ['a space before the colon', `${head}Host: x\r\nContent-Length : 2\r\n\r\n{}${inner}`],
    ['a bare carriage return', `${head}Host: x\r\nX-A: a\rb\r\nContent-Length: 2\r\n\r\n{}${inner}`],
    ['a zero byte in a header', `${head}Host: x\r\nX-A: a\0b\r\nContent-Length: 2\r\n\r\n{}${inner}`],
    ['two hosts', `${head}Host: x\r\nHost: y\r\nContent-Length: 2\r\n\r\n{}${inner}`],
    ['two hosts, alike', `${head}Host: x\r\nContent-Length: 2\r\nhost: x\r\n\r\n{}${inner}`],
    ['no host', `${head}Content-Length: 2\r\n\r\n{}${inner}`],
    ['an unknown coding', `${head}Host: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${inner}`],
    ['chunks twice', `${head}Host: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n${inner}`],
    ['a chunk size that is none', `${head}Host: x\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n${inner}`],
    ['no HTTP at all', `\x16\x03\x01\x02\x00\x01${inner}`],
  ])('gets 400 and loses its connection: %s (fault 25)', async (_, bytes) => {
    const connection = await RawConnection.open(port)
    connection.write(bytes)
    expect((await connection.answer())?.status).toBe(400)
    // What follows it is not answered, and the next connection is untouched.
    expect(await connection.answer()).toBeUndefined()
    await connection.closed
    await expectStatus(200, GOOD)
  })
})

describe('a client that is too slow', () => {
  const SECONDS_MAX = 7

  /** Seconds until the server closes; a byte of `rest` goes out every half a second. */
  async function secondsOpen(start: string, rest: string): Promise<number> {
    const connection = await RawConnection.open(port)
    const startMs = performance.now()
    connection.write(start)
    let at = 0
    const drip = setInterval(() => {
      if (!connection.isClosed) connection.write(rest[at++ % rest.length] ?? 'x')
    }, 500)
    await connection.closed
    clearInterval(drip)
    return (performance.now() - startMs) / 1e3
  }

  test.concurrent('loses its connection, and others do not wait for it (fault 27)', { timeout: 20_000 }, async () => {
    const head = `POST ${PATH} HTTP/1.1\r\nHost: x\r\n`
    const starts: [string, string][] = [
      [head, 'X-A: b\r\n'],
      [`${head}Content-Length: 5000\r\n\r\n{`, ' '],
      [`${head}Content-Length: 5000\r\nContent-Encoding: gzip\r\n\r\n`, '\x1f'],
      [`${head}Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`, '1'],
      ['POST /', 'a'],
    ]
    const slow = Promise.all(starts.concat(starts).map(([start, rest]) => secondsOpen(start, rest)))
    expect(await fastestMs(() => bidStatus(GOOD))).toBeLessThan(50)
    for (const [index, seconds] of (await slow).entries()) {
      expect(seconds, String(index)).toBeLessThan(SECONDS_MAX)
      expect(seconds, String(index)).toBeGreaterThan(3)
    }
  })

  test.concurrent('to read its answers loses its connection (fault 27)', { timeout: 120_000 }, async () => {
    const connection = await RawConnection.open(port)
    connection.pause()
    const startMs = performance.now()
    // More answers than the two sides' buffers hold, though never so many at once that they are shed, which makes them
    // short. What is written after the cut is reset.
    const request = rawPost({ path: PATH, body: GOOD })
    const requests = Buffer.concat(Array.from({ length: 50 }, () => request))
    let batches = 0
    const drip = setInterval(() => {
      if (!connection.isClosed) connection.write(batches++ < 80 ? requests : request)
    }, 10)
    await connection.closed
    clearInterval(drip)
    const seconds = (performance.now() - startMs) / 1e3
    // How long from when answers pile up is told by public-server.test.ts; here the two sides' buffers fill first.
    expect(seconds).toBeGreaterThan(2)
  })

  test.concurrent('may be idle between two requests', { timeout: 20_000 }, async () => {
    const connection = await RawConnection.open(port)
    for (let round = 0; round < 2; round++) {
      connection.write(rawPost({ path: PATH, body: GOOD }))
      expect((await connection.answer())?.status).toBe(200)
      if (round === 0) await new Promise(resolve => setTimeout(resolve, SECONDS_MAX * 1_000))
    }
    connection.close()
  })
})

describe('the log', () => {
  test('has whole lines with our identity, whatever was sent (fault 30)', async () => {
    const text = '\\r\\n{\\"tenant_id\\":\\"globex\\"}\\u001b[31m'
    const evil = `{"id":"${text}","tenant_id":"globex","level":"fatal","imp":[{"id":"${text}${'x'.repeat(100_000)}"}]}`
    await bidStatus(evil)
    await bidStatus(`{"id":"${text}`)
    const long = `{"id":"${text}","imp":[{"id":"${text}${'x'.repeat(1_000_000)}"}]}`
    expect(await bidStatus(gzipSync(long), { 'Content-Encoding': 'gzip' })).toBe(204)
    for (const line of service.logLines) {
      expect(line.length).toBeLessThan(16 * 1_024)
      const entry = JSON.parse(line) as Record<string, unknown>
      expect(entry, line).toMatchObject({ tenant_id: TENANT, tier_id: 'standard', region: 'local' })
      expect(line).not.toContain('globex')
    }
    expect(service.logLines.length).toBeGreaterThan(2)
  })
})
