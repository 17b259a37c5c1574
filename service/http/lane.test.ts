import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import type { HttpCall } from './http-call.ts'
import { putLane } from './lane.ts'
import { NodeCall } from './node-call.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close().closeAllConnections()
})

type Handler = (call: HttpCall, body: string) => void

const KEEP_ALIVE_MS = 65_000
const LENGTH = 'Content-Length'
const NO_BODY = `${LENGTH}: 0\r\n`

interface Rules {
  readonly requestMs?: number
  readonly keepAliveMs?: number
  /** Is told of a request before its body. */
  readonly first?: (call: HttpCall) => void
}

/** A server whose requests go to the handler, by the lane and by Node's way. */
async function started(handler: Handler, rules: Rules = {}) {
  const { requestMs = 5_000, keepAliveMs = KEEP_ALIVE_MS, first } = rules
  const seen = { byLane: 0, byNode: 0, refused: [] as string[] }
  const take = (call: HttpCall): void => {
    if (call instanceof NodeCall) seen.byNode++
    else seen.byLane++
    let body = ''
    call.takeBody({
      chunk: bytes => {
        body += bytes.toString()
      },
      end: () => handler(call, body),
    })
    first?.(call)
  }
  const server = createServer({ keepAliveTimeout: keepAliveMs }, (req: IncomingMessage, res: ServerResponse) => {
    take(new NodeCall(req, res))
  })
  const refuse = (socket: Socket, code: string): void => {
    seen.refused.push(code)
    socket.destroy()
  }
  putLane(server, { take, refuse, requestMs, keepAliveMs })
  servers.push(server)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return { server, seen, port: (server.address() as AddressInfo).port }
}

/** Answers a request with its own body, which may be empty. */
const echo: Handler = (call, body) => {
  if (body === '') call.answer(204, '', '')
  else call.answer(200, `Content-Type: application/json\r\n${LENGTH}: ${body.length}\r\n`, body)
}

const post = (body: string, more = ''): string =>
  `POST / HTTP/1.1\r\nHost: h\r\n${more}${LENGTH}: ${body.length}\r\n\r\n${body}`
const chunked = (body: string): string =>
  `POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`

/** All that comes on one connection for these pieces, until a pattern is in it or the connection ends. */
function exchanged(port: number, pieces: readonly string[], until?: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = connect({ port, host: '127.0.0.1', noDelay: true }, async () => {
      for (const piece of pieces) {
        socket.write(piece)
        await sleep(5)
      }
    })
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk
      if (until?.test(text)) socket.destroy()
    })
    socket.on('error', reject).on('close', () => resolve(text.replaceAll(/Date: [^\r]*/g, 'Date: now')))
  })
}

describe('a plain request', () => {
  test('is answered with the very bytes of Node, by the lane', async () => {
    const { port, seen } = await started(echo)
    const until = /\r\n\r\n(\{.*\})?$/
    for (const body of ['{"id":"1"}', '']) {
      const plain = await exchanged(port, [post(body)], until)
      // Node has something to do for this one.
      const nodes = await exchanged(port, [post(body, 'Expect: 100-continue\r\n')], until)
      expect(plain).toBe(nodes.replace('HTTP/1.1 100 Continue\r\n\r\n', ''))
      expect(plain).toMatch(/^HTTP\/1\.1 20[04] [^\r]+\r\n(?:[^\r]+\r\n)*Date: now\r\n/)
    }
    expect(seen).toMatchObject({ byLane: 2, byNode: 2 })
  })

  test('may come in pieces, once its head is there', async () => {
    const { port, seen } = await started(echo)
    const whole = post('{"id":"in pieces"}')
    const head = whole.indexOf('{')
    const pieces = [whole.slice(0, head), whole.slice(head, head + 3), `${whole.slice(head + 3)}${post('{}')}`]
    expect(await exchanged(port, pieces, /\{\}$/)).toMatch(/in pieces.*\{\}$/s)
    expect(seen).toMatchObject({ byLane: 2, byNode: 0 })
  })

  test('is answered in its turn when it was sent before the answer to another', async () => {
    const { port, seen } = await started((call, body) => {
      if (body === 'slow') setTimeout(echo, 30, call, body)
      else echo(call, body)
    })
    const bodies = ['one', 'slow', 'two', '', 'slow', 'three']
    for (const pieces of [[bodies.map(body => post(body)).join('')], bodies.map(body => post(body))])
      expect((await exchanged(port, pieces, /three$/)).match(/one|slow|two|204|three/g)).toEqual([
        'one',
        'slow',
        'two',
        '204',
        'slow',
        'three',
      ])
    expect(seen).toMatchObject({ byLane: 12, byNode: 0 })
  })

  test('has its answer when the other side has ended', async () => {
    const { port } = await started((call, body) => void setTimeout(echo, 30, call, body))
    const text = await new Promise<string>(resolve => {
      let all = ''
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () =>
        socket.end(post('one') + post('two')),
      )
      socket.on('data', chunk => {
        all += chunk.toString()
      })
      socket.on('end', () => resolve(all))
    })
    expect(text).toMatch(/one.*two$/s)
  })
})

describe('a connection', () => {
  test('is read by Node from the first request on that is not plain, and nothing is lost', async () => {
    const { port, seen } = await started(echo)
    const all = post('{"n":1}') + chunked('{"n":2}') + post('{"n":3}')
    for (const pieces of [
      [all],
      [post('{"n":1}'), chunked('{"n":2}'), post('{"n":3}')],
      [all.slice(0, 90), all.slice(90)],
    ])
      expect((await exchanged(port, pieces, /"n":3\}$/)).match(/\{"n":\d\}/g)).toEqual([
        '{"n":1}',
        '{"n":2}',
        '{"n":3}',
      ])
    expect(seen).toMatchObject({ byLane: 3, byNode: 6 })
  })

  test('that nobody reads is not read either, and gets all once somebody does', async () => {
    const long = 'x'.repeat(1_000_000)
    const { port, seen } = await started(call => call.answer(200, `${LENGTH}: ${long.length}\r\n`, long))
    const requests = 40
    const chars = await new Promise<number>(resolve => {
      let found = 0
      const socket = connect(port, '127.0.0.1', async () => {
        socket.write(post('ask').repeat(requests))
        await sleep(100)
        expect(seen.byLane).toBeLessThan(requests)
        socket.resume()
      })
      socket.pause()
      socket.setEncoding('latin1').on('data', (chunk: string) => {
        found += chunk.split('x').length - 1
        if (found === requests * long.length) socket.destroy()
      })
      socket.on('close', () => resolve(found))
    })
    expect(chars).toBe(requests * long.length)
  })

  test('that ends before it reads has all its answers', async () => {
    const long = 'x'.repeat(1_000_000)
    const { port, seen } = await started(call => call.answer(200, `${LENGTH}: ${long.length}\r\n`, long))
    const requests = 20
    const chars = await new Promise<number>(resolve => {
      let found = 0
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () =>
        socket.end(post('ask').repeat(requests)),
      )
      socket.setEncoding('latin1').pause()
      setTimeout(() => socket.resume(), 100)
      socket.on('data', (chunk: string) => {
        found += chunk.split('x').length - 1
      })
      socket.on('end', () => resolve(found))
    })
    expect(chars).toBe(requests * long.length)
    expect(seen.byLane).toBe(requests)
  })

  test('that is answered before its body came gets no second answer when that does not come', async () => {
    const { port, seen } = await started(echo, { requestMs: 1_000, first: call => call.answer(403, NO_BODY, '') })
    const half = post('long').slice(0, -1)
    const late = exchanged(port, [half])
    const text = await new Promise<string>(resolve => {
      let all = ''
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.end(half))
      socket.on('data', chunk => {
        all += chunk.toString()
      })
      socket.on('close', () => resolve(all))
      socket.on('end', () => socket.end())
    })
    for (const answers of [text, await late]) expect(answers.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 403'])
    expect(seen.refused).toEqual([])
  })

  test('that goes away before the answer is told to the route', async () => {
    let over = () => {}
    const isOver = new Promise<void>(resolve => {
      over = resolve
    })
    const { port } = await started(call => call.onceOver(over))
    const socket = connect(port, '127.0.0.1', () => socket.write(post('never answered')))
    await sleep(50)
    socket.resetAndDestroy()
    await isOver
  })

  test('without a whole request is refused in time, and one that rests is closed later', async () => {
    const { port, seen } = await started(echo, { requestMs: 1_000, keepAliveMs: 2_000 })
    const startMs = performance.now()
    const [, , rested] = await Promise.all([
      exchanged(port, []),
      exchanged(port, [post('long').slice(0, -1)]),
      exchanged(port, [post('{}')]),
    ])
    expect(rested).toMatch(/\{\}$/)
    expect(performance.now() - startMs).toBeGreaterThan(1_900)
    expect(seen.refused).toEqual(['ERR_HTTP_REQUEST_TIMEOUT', 'ERR_HTTP_REQUEST_TIMEOUT'])
  })

  test('that is idle is closed with its server, and one that waits for its answer gets that first', async () => {
    const { server, port } = await started((call, body) => {
      if (body === 'last') call.close()
      setTimeout(echo, body === 'last' ? 100 : 0, call, body)
    })
    const idle = exchanged(port, [post('idle')])
    const last = exchanged(port, [post('first'), post('last')])
    await sleep(50)
    const closed = new Promise(resolve => server.close(resolve))
    expect(await idle).toMatch(/idle$/)
    expect(await last).toMatch(/Connection: close\r\n\r\nlast$/)
    await closed
  })

  test('that is idle while its last answer is on its way gets all of that when the server closes', async () => {
    const long = 'x'.repeat(16_000_000)
    const { server, port } = await started(call => call.answer(200, `${LENGTH}: ${long.length}\r\n`, long))
    const serving = new Promise<Socket>(resolve => server.once('connection', resolve))
    const socket = connect(port, '127.0.0.1', () => socket.write(post('ask')))
    socket.setEncoding('latin1').pause()
    const served = await serving
    await expect.poll(() => served.writableLength, { timeout: 10_000 }).toBeGreaterThan(0)
    const closed = new Promise(resolve => server.close(resolve))
    let chars = 0
    socket.on('data', (chunk: string) => {
      chars += chunk.split('x').length - 1
    })
    await new Promise(resolve => socket.resume().once('close', resolve))
    expect(chars).toBe(long.length)
    await closed
  })
})
