import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { afterEach, expect, test } from 'vitest'
import { LIMITS } from '../limits.ts'
import { Doors } from './doors.ts'

const HOST = '127.0.0.1'
const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function serverOf(connectionsMax: number) {
  const seen = { connections: 0, refused: 0 }
  const server = createServer((_, response) => response.end('ok'))
  const refused = () => void seen.refused++
  server.maxConnections = connectionsMax
  server.on('connection', () => void seen.connections++).on('drop', refused)
  const doors = new Doors(server, refused)
  await new Promise<void>(resolve => server.listen({ host: HOST, port: 0, reusePort: true }, resolve))
  const { port } = server.address() as AddressInfo
  closers.push(
    () => server.closeAllConnections(),
    () => server.close(),
    () => doors.close(),
  )
  return { server, doors, port, seen }
}

/** Opens connections on a thread of its own, each with a request. @returns a promise of what became of them */
function clients(port: number, count: number): Promise<{ readonly answered: number; readonly cut: number }> {
  const script = `
    const { connect } = require('node:net')
    const { parentPort } = require('node:worker_threads')
    let answered = 0, cut = 0
    const done = () => { if (answered + cut === ${count}) parentPort.postMessage({ answered, cut }) }
    for (let i = 0; i < ${count}; i++) {
      const socket = connect(${port}, '${HOST}', () => socket.write('GET / HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n'))
      let isAnswered = false
      socket.once('data', () => { isAnswered = true; answered++; done() })
      socket.once('close', () => { if (!isAnswered) { cut++; done() } })
      socket.on('error', () => {})
    }`
  const worker = new Worker(script, { eval: true })
  closers.push(() => worker.terminate())
  return new Promise(resolve => worker.once('message', resolve))
}

/** Turns of the event loop that take long, as those of a server that is overloaded. @returns the most in one of them */
async function mostInOneTurn(seen: { readonly connections: number }, until: () => boolean): Promise<number> {
  let most = 0
  while (!until()) {
    const before = seen.connections
    for (const endMs = performance.now() + 5; performance.now() < endMs; );
    await turn()
    most = Math.max(most, seen.connections - before)
  }
  return most
}

test('a server with doors takes many connections in one turn, and answers all', async () => {
  const { doors, port, seen } = await serverOf(1_000)
  const alone = clients(port, 40)
  expect(await mostInOneTurn(seen, () => seen.connections === 40)).toBe(1)
  expect(await alone).toEqual({ answered: 40, cut: 0 })
  await doors.open({ host: HOST, port })
  const together = clients(port, 160)
  expect(await mostInOneTurn(seen, () => seen.connections === 200)).toBeGreaterThan(LIMITS.listenersPerThread / 4)
  expect(await together).toEqual({ answered: 160, cut: 0 })
})

test('all doors together let in no more than the server may have', async () => {
  const { doors, port, seen } = await serverOf(24)
  await doors.open({ host: HOST, port })
  expect(await clients(port, 60)).toEqual({ answered: 24, cut: 36 })
  expect(seen.refused).toBe(36)
})

test('closed doors let nobody in, and those inside finish', async () => {
  const { server, doors, port } = await serverOf(100)
  await doors.open({ host: HOST, port })
  await clients(port, 40)
  let isClosed = false
  const closed = doors.close().then(() => {
    isClosed = true
  })
  await turn()
  expect(isClosed, 'connections are open').toBe(false)
  server.close()
  server.closeIdleConnections()
  await closed
  expect(await clients(port, 5)).toEqual({ answered: 0, cut: 5 })
})
