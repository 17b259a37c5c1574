/** Cuts clients that do not take what they asked for: the reading side of a slow attack. */
import type { Server } from 'node:http'
import { Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'

/** How often all connections are looked at: 8,192 of them take less than a millisecond. */
const LOOK_MS = 500
/** Looks, not milliseconds: while the event loop stood still, nobody could take anything. */
const LOOKS_MAX = 10

/** What waited to be sent when a connection was first seen to wait. */
interface Wait {
  /** The look that saw it. */
  readonly look: number
  /** Bytes of the connection that must be sent for the wait to be over. */
  readonly bytes: number
}

/**
 * From now on cuts each connection of a server on which something waits to be sent for 5 to 5.5 s, or that was ended
 * from here and not from there for so long. Connections without anything to send are left alone. The time-out of
 * Node's sockets cannot do it: any byte that moves in either direction starts that anew.
 * @param server must not listen yet; the looks end when it closes
 */
export function cutUnread(server: Server): void {
  const sockets = new Set<Socket>()
  const waits = new Map<Socket, Wait>()
  let looks = 0
  function forget(this: Socket): void {
    sockets.delete(this)
    waits.delete(this)
  }
  server.on(server instanceof TlsServer ? 'secureConnection' : 'connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', forget)
  })
  const look = (): void => {
    looks++
    for (const socket of sockets) {
      if (socket.writableLength === 0 && !socket.writableEnded) {
        if (waits.size > 0) waits.delete(socket)
        continue
      }
      const wait = waits.get(socket)
      const written = socket.bytesWritten
      // An end that the other side has to answer is one byte more, which never goes.
      if (wait === undefined || written - socket.writableLength >= wait.bytes)
        waits.set(socket, { look: looks, bytes: written + (socket.writableEnded ? 1 : 0) })
      else if (looks - wait.look >= LOOKS_MAX) socket.destroy()
    }
  }
  server.once('listening', () => {
    const timer = setInterval(look, LOOK_MS).unref()
    server.once('close', () => clearInterval(timer))
  })
}
