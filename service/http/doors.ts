/** The listening sockets of one server beside its own. */
import type { Server as HttpServer } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import { LIMITS } from '../limits.ts'

/**
 * More sockets that listen on a server's port. In one turn an event loop accepts one connection of each (libuv), so a
 * server that has only its own takes 40 a second while it is overloaded and its turns last 25 ms: a load balancer
 * opens connections just then, and its health checks would stand in line behind them. Linux spreads new connections
 * over all sockets of a port (SO_REUSEPORT); elsewhere there are no doors.
 */
export class Doors {
  readonly #server: HttpServer
  readonly #connectionsMax: number
  readonly #onRefused: () => void
  readonly #doors: Server[] = []
  #inside = 0
  #throughDoors = 0

  /**
   * Opens nothing yet.
   * @param server must not listen yet; its `maxConnections` is kept by all sockets together
   * @param onRefused is called for a connection that would be one too many; the server has its own event
   */
  constructor(server: HttpServer, onRefused: () => void) {
    this.#server = server
    this.#connectionsMax = server.maxConnections
    this.#onRefused = onRefused
    server.on('connection', (socket: Socket) => {
      this.#inside++
      socket.once('close', () => this.#inside--)
    })
  }

  /** Opens them. The server listens on that port already, and lets others do so. Rejects with the system's error. */
  async open(address: { readonly host: string; readonly port: number }): Promise<void> {
    for (let count = 1; count < LIMITS.listenersPerThread; count++) {
      // As an HTTP server makes its own.
      const door = createServer({ allowHalfOpen: true, noDelay: true }, socket => this.#enter(socket))
      this.#doors.push(door)
      await new Promise<void>((resolve, reject) => {
        door.once('error', reject)
        door.listen({ ...address, reusePort: true }, resolve)
      })
    }
  }

  /** Accepts no more. @returns once all connections that came through them have ended */
  async close(): Promise<void> {
    await Promise.all(this.#doors.map(door => new Promise<void>(resolve => door.close(() => resolve()))))
  }

  #enter(socket: Socket): void {
    if (this.#inside >= this.#connectionsMax) {
      this.#onRefused()
      socket.destroy()
      return
    }
    this.#count(1)
    socket.once('close', () => this.#count(-1))
    this.#server.emit('connection', socket)
  }

  /** The server itself knows only of those that came through its own socket. */
  #count(change: 1 | -1): void {
    this.#throughDoors += change
    this.#server.maxConnections = Math.max(0, this.#connectionsMax - this.#throughDoors)
  }
}

/** Sockets that share a port do not notice who else has it: one that does not share is refused. Rejects with that. */
export function checkPortIsFree(host: string, port: number): Promise<void> {
  const probe = createServer(socket => socket.destroy())
  return new Promise((resolve, reject) => {
    probe.once('error', reject)
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve()))
  })
}
