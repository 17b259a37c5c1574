import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { ownCopy, readIntoShared } from './read-buffer.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

/** A server's side of a connection, and the other one. */
async function connected(server: Server): Promise<readonly [Socket, Socket]> {
  const accepted = once(server, 'connection')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [socket] = (await accepted) as [Socket]
  socket.on('error', () => {})
  return [socket, client]
}

async function listening(): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  return server
}

describe('sockets of one thread', () => {
  test('are read into one memory, and their streams get nothing', async () => {
    const server = await listening()
    const memories = new Set<ArrayBufferLike>()
    const came: string[] = []
    const pairs = [await connected(server), await connected(server)]
    for (const [socket] of pairs) {
      socket.on('data', () => came.push('by the stream'))
      const take = (bytes: Buffer): void => {
        memories.add(bytes.buffer)
        came.push(bytes.toString())
      }
      expect(readIntoShared(socket, take), 'Node has what this needs').toBe(true)
      socket.resume()
    }
    for (const [text, index] of [
      ['one', 0],
      ['two', 1],
      ['three', 0],
    ] as const) {
      const before = came.length
      pairs[index]?.[1].write(text)
      while (came.length === before) await new Promise(resolve => setTimeout(resolve, 1))
    }
    expect(came).toEqual(['one', 'two', 'three'])
    expect(memories.size).toBe(1)
    for (const [, client] of pairs) client.destroy()
  })

  test('still end, wait while they are paused, and can be written to', async () => {
    const [socket, client] = await connected(await listening())
    let came = ''
    readIntoShared(socket, bytes => {
      came += bytes.toString()
    })
    client.end('what waits')
    await new Promise(resolve => setTimeout(resolve, 30))
    expect(came).toBe('')
    const ended = once(socket, 'end')
    socket.resume()
    await ended
    expect(came).toBe('what waits')
    const [answer] = (await Promise.all([once(client, 'data'), socket.end('an answer')]))[0] as [Buffer]
    expect(answer.toString()).toBe('an answer')
    client.destroy()
  })

  test('are left alone where they are not connected', () => {
    expect(readIntoShared(new Socket(), () => {})).toBe(false)
  })
})

test('what is kept holds no more memory than its own', () => {
  const copy = ownCopy(Buffer.from('a piece'))
  expect(copy.toString()).toBe('a piece')
  expect(copy.buffer.byteLength).toBe(copy.length)
})
