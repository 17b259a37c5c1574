import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Random } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import { readPlainHead } from './plain-head.ts'

const SEED = Number(process.env.SEED ?? 2026)
const HEADS = 3_000
/** Ends a request if it can be ended, so that Node tells what it read. */
const NEXT = 'GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n'

interface Seen {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly rawHeaders: readonly string[]
  readonly body: string
}

const seen: Seen[] = []
const server = createServer((req, res) => {
  let body = ''
  req.on('data', chunk => {
    body += chunk.toString('latin1')
  })
  req.on('end', () => {
    seen.push({ method: req.method, url: req.url, rawHeaders: req.rawHeaders, body })
    res.end()
  })
})
beforeAll(() => new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve)))
afterAll(() => {
  server.close().closeAllConnections()
})

/** What Node's server reads of these bytes, a request behind them included. */
async function readByNode(bytes: Buffer): Promise<readonly Seen[]> {
  seen.length = 0
  const { port } = server.address() as AddressInfo
  await new Promise<void>(resolve => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    socket
      .resume()
      .on('error', () => {})
      .on('close', () => resolve())
  })
  return [...seen]
}

const PIECES = [
  ...[
    'GET',
    'POST',
    'PUT',
    ' ',
    '  ',
    '/a/openrtb2/x',
    '/a?b=c&d',
    '*',
    'http://h/',
    'HTTP/1.1',
    'HTTP/1.0',
    'HTTP/2.0',
  ],
  ...['\r\n', '\n', '\r', '\r\n ', '\t', '\0', '\x7f', 'é', ':', ': ', ' :', ',', ';'],
  ...['Host', 'host', 'h', 'Content-Length', 'content-length', '0', '2', '02', '+2', '2, 2', '0x2', '1e0', '-0'],
  ...['Transfer-Encoding', 'chunked', 'Connection', 'keep-alive', 'close', 'Upgrade', 'Expect', '100-continue', 'X_Y'],
  ...['\r\nProxy-Connection: close', '\r\nKeep-Alive: timeout=1', '\r\nTE: trailers', '\r\nTrailer: x', '\r\n-: -'],
]

/** A good request, with some of it replaced, doubled, moved or left out. */
function drawnHead(random: Random): string {
  const lines = [
    `${random.unit() < 0.7 ? 'POST' : 'GET'} /acme/openrtb2/adx?x=${random.pickIndex(9)} HTTP/1.1`,
    ...['Host: h', 'Content-Type: application/json', 'X-Empty:', 'x-openrtb-version:  2.6 ', 'Connection: Keep-Alive'],
    `Content-Length: ${random.pickIndex(3)}`,
  ].filter((_, place) => place === 0 || random.unit() < 0.85)
  let head = `${lines.join('\r\n')}\r\n\r\n`
  for (let changes = random.pickIndex(4); changes > 0; changes--) {
    const at = random.pickIndex(head.length)
    const piece = PIECES[random.pickIndex(PIECES.length)] ?? ''
    head = head.slice(0, at) + piece + head.slice(at + (random.unit() < 0.5 ? 0 : piece.length))
  }
  return head
}

describe('the head of a request', () => {
  test(`is either read as Node reads it, or not at all (seed ${SEED})`, { timeout: 120_000 }, async () => {
    const random = new Random(SEED)
    let plain = 0
    for (let round = 0; round < HEADS; round++) {
      const text = drawnHead(random)
      const bytes = Buffer.from(`${text}{}`, 'latin1')
      const head = readPlainHead(bytes)
      if (head === undefined) continue
      plain++
      const { method, url, rawHeaders, headBytes, bodyBytes } = head
      const ended = Buffer.concat([bytes.subarray(0, headBytes), Buffer.alloc(bodyBytes, '{'), Buffer.from(NEXT)])
      const [first, next] = await readByNode(ended)
      const body = '{'.repeat(bodyBytes)
      expect(first, `seed ${SEED}, round ${round}: ${JSON.stringify(text)}`).toEqual({ method, url, rawHeaders, body })
      expect(next?.url, JSON.stringify(text)).toBe('/next')
    }
    expect(plain).toBeGreaterThan(HEADS / 20)
    expect(plain).toBeLessThan(HEADS / 2)
  })

  const HEAD = 'POST /a HTTP/1.1\r\nHost: h\r\n'
  test.each([
    ['that is not whole', `${HEAD}Content-Length: 2\r\n`],
    ['of another version', `${HEAD.replace('1.1', '1.0')}\r\n`],
    ['of another method', `${HEAD.replace('POST', 'PUT')}\r\n`],
    ['with a whole address', `${HEAD.replace('/a', 'http://h/a')}\r\n`],
    ['without a Host', 'POST /a HTTP/1.1\r\nX: h\r\n\r\n'],
    ['with two Hosts', `${HEAD}Host: h\r\n\r\n`],
    ['with two lengths', `${HEAD}Content-Length: 2\r\nContent-Length: 2\r\n\r\n`],
    ['with a length that is none', `${HEAD}Content-Length: +2\r\n\r\n`],
    ['with a longer body than may be', `${HEAD}Content-Length: ${LIMITS.bodyBytesMax + 1}\r\n\r\n`],
    ['with chunks', `${HEAD}Transfer-Encoding: chunked\r\n\r\n`],
    ['that expects something', `${HEAD}Expect: 100-continue\r\n\r\n`],
    ['that would have another protocol', `${HEAD}Upgrade: h2c\r\n\r\n`],
    ['of a connection that is to close', `${HEAD}Connection: close\r\n\r\n`],
    ['of a connection that is to close in other words', `${HEAD}Proxy-Connection: close\r\n\r\n`],
    ['with a line that goes on', `${HEAD}X: a\r\n b\r\n\r\n`],
    ['with a space before the colon', `${HEAD}X : a\r\n\r\n`],
    ['with lines that end otherwise', `${HEAD}X: a\nY: b\r\n\r\n`],
    ['with a byte that is no text', `${HEAD}X: \0\r\n\r\n`],
    ['with more headers than may be', `${HEAD}${'X: a\r\n'.repeat(LIMITS.headersMax)}\r\n`],
    ['that is longer than may be', `${HEAD}X: ${'a'.repeat(LIMITS.headerBytesMax)}\r\n\r\n`],
  ])('%s is left to Node', (_what, text) => {
    expect(readPlainHead(Buffer.from(`${HEAD}\r\n`))?.url).toBe('/a')
    expect(readPlainHead(Buffer.from(text))).toBeUndefined()
  })
})
