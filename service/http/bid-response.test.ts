import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { BidMessage } from './bid-message.ts'
import { BidResponse } from './bid-response.ts'

const NAMES = ['Content-Type', 'application/json', 'Content-Length'] as const
const [TYPE, JSON_TYPE, LENGTH] = NAMES
const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close().closeAllConnections()
})

type Handler = (req: BidMessage, res: BidResponse, body: string) => void

/** A server whose requests are taken as bid requests are. */
async function started(handler: Handler): Promise<number> {
  const options = { IncomingMessage: BidMessage, ServerResponse: BidResponse, keepAliveTimeout: 65_000 }
  const server = createServer(options, (req, res) => {
    let body = ''
    req.takeBody({
      chunk: bytes => {
        body += bytes.toString()
      },
      end: () => handler(req, res, body),
    })
  })
  servers.push(server)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

/** Answers a request with its own body, which may be empty. */
const own: Handler = (_req, res, body) => {
  if (body === '') res.answer(204, '', '')
  else res.answer(200, `${TYPE}: ${JSON_TYPE}\r\n${LENGTH}: ${body.length}\r\n`, body)
}

/** The same as Node does it. */
const nodes: Handler = (_req, res, body) => {
  if (body === '') res.writeHead(204).end()
  else res.writeHead(200, [TYPE, JSON_TYPE, LENGTH, String(body.length)]).end(body, 'latin1')
}

const post = (body: string, { version = '1.1', more = '' } = {}): string =>
  `POST / HTTP/${version}\r\nHost: h\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`

/** All that comes on one connection for these pieces, until a pattern is in it or the connection ends. */
function exchanged(port: number, pieces: readonly string[], until?: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = connect(port, '127.0.0.1', () => {
      for (const piece of pieces) socket.write(piece)
    })
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk
      if (until?.test(text)) socket.destroy()
    })
    socket.on('error', reject).on('close', () => resolve(text.replaceAll(/Date: [^\r]*/g, 'Date: now')))
  })
}

describe('a response that is written as a whole', () => {
  test('has the very bytes that Node would write', async () => {
    const [ours, theirs] = [await started(own), await started(nodes)]
    for (const version of ['1.1', '1.0'])
      for (const more of ['', 'Connection: close\r\n', 'Connection: keep-alive\r\n'])
        for (const body of ['{"id":"1"}', '']) {
          const pieces = [post(body, { version, more })]
          const until = /\r\n\r\n(\{.*\})?$/
          const [answer, expected] = await Promise.all([
            exchanged(ours, pieces, until),
            exchanged(theirs, pieces, until),
          ])
          expect(answer, version + more + body).toBe(expected)
          expect(answer).toMatch(/^HTTP\/1\.1 20[04] [^\r]+\r\n(?:[^\r]+\r\n)*Date: now\r\n/)
        }
  })

  test('comes in the order of pipelined requests, also behind one that takes longer', async () => {
    const port = await started((req, res, body) => {
      if (body === 'slow') setTimeout(own, 30, req, res, body)
      else own(req, res, body)
    })
    const bodies = ['one', 'slow', 'two', '', 'three']
    const text = await exchanged(port, [bodies.map(body => post(body)).join('')], /three$/)
    expect(text.match(/one|slow|two|204|three/g)).toEqual(['one', 'slow', 'two', '204', 'three'])
  })

  test('reaches whoever reads slowly whole, and the next request after it', async () => {
    const long = 'x'.repeat(8 * 1024 * 1024)
    let finished = 0
    const port = await started((_req, res, body) => {
      res.on('finish', () => finished++)
      res.answer(200, `${LENGTH}: ${long.length}\r\n`, long)
      // More than a connection takes at once: it is finished when the last byte has gone.
      if (body === 'first') expect(finished).toBe(0)
    })
    const text = await new Promise<string>(resolve => {
      let chars = 0
      let end = ''
      const socket = connect(port, '127.0.0.1', () => {
        socket.write(post('first'))
        setTimeout(() => {
          socket.write(post('next'))
          socket.resume()
        }, 50)
      })
      socket.pause()
      socket.setEncoding('latin1').on('data', (chunk: string) => {
        chars += chunk.length
        end = chunk.slice(-3)
        if (chars > 2 * long.length) socket.destroy()
      })
      socket.on('close', () => resolve(end))
    })
    expect(text).toBe('xxx')
  })

  test('tells of a connection that ends before it is written', async () => {
    let port = 0
    const closed = new Promise<void>(resolve => {
      void started((_req, res) => {
        res.on('close', resolve)
      }).then(async there => {
        port = there
        const socket = connect(port, '127.0.0.1', () => socket.write(post('never answered')))
        setTimeout(() => socket.destroy(), 50)
      })
    })
    await closed
    expect(port).toBeGreaterThan(0)
  })
})

describe('the headers of a request', () => {
  test('are all there for whoever opens them, and for Node where it has to do something', async () => {
    const seen: unknown[] = []
    const port = await started((req, res, body) => {
      seen.push(Object.keys(req.headers).length)
      req.openHeaders()
      seen.push(req.headers['x-more'])
      own(req, res, body)
    })
    const more = 'X-More: 1\r\n'
    await exchanged(port, [post('{}', { more })], /\{\}$/)
    expect(seen).toEqual([1, '1'])
    const expecting = await exchanged(port, [post('{}', { more: `${more}Expect: 100-continue\r\n` })], /\{\}$/)
    expect(expecting).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/)
    const hostless = await exchanged(port, ['POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}'])
    expect(hostless).toMatch(/^HTTP\/1\.1 400 Bad Request/)
  })
})
