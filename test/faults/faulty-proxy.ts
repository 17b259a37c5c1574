import { connect, createServer, type Server, type Socket } from 'node:net'

/** What happens to what the server says. Nothing of it happens to what the client says, but by `isDeaf`. */
export interface ProxyFaults {
  /** Every piece is so much later. */
  readonly latencyMs?: number
  /** Pieces are so small. */
  readonly pieceBytes?: number
  /** The connection ends after so many bytes of the server, in the middle of whatever it says. */
  readonly cutAfterBytes?: number
  /** It ends by a reset instead of in order. */
  readonly resets?: boolean
  /** Nothing comes back, and the connection stays. */
  readonly isMute?: boolean
  /** Nothing gets through, and the connection stays. */
  readonly isDeaf?: boolean
  /** Connections are taken and closed at once. */
  readonly refuses?: boolean
}

/** What can be wrong between a task and its cache. */
export const TOXICS: readonly (readonly [string, ProxyFaults])[] = [
  ['that is slow', { latencyMs: 80 }],
  ['that answers a byte at a time', { pieceBytes: 1 }],
  ['that resets in the middle of an answer', { cutAfterBytes: 700, resets: true }],
  ['that ends in the middle of an answer', { cutAfterBytes: 90 }],
  ['whose answers do not arrive', { isMute: true }],
  ['that hears nothing', { isDeaf: true }],
  ['that takes no connection', { refuses: true }],
  ['that is slow, and answers three bytes at a time', { latencyMs: 20, pieceBytes: 3 }],
]

/** A TCP proxy in front of a server that does wrong what it is told to, to all that comes from then on. */
export class FaultyProxy {
  readonly port: number
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #targetPort: number
  #faults: ProxyFaults = {}

  private constructor(server: Server, port: number, targetPort: number) {
    this.#server = server
    this.port = port
    this.#targetPort = targetPort
    server.on('connection', socket => this.#join(socket))
  }

  /** Listens on a free port of loopback. */
  static async start(targetPort: number): Promise<FaultyProxy> {
    const server = createServer()
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    return new FaultyProxy(server, typeof address === 'object' ? (address?.port ?? 0) : 0, targetPort)
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Does this wrong from now on, and nothing else. */
  fail(faults: ProxyFaults): void {
    this.#faults = faults
  }

  heal(): void {
    this.#faults = {}
  }

  /** Ends all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  /** New connections go there; those that are open are cut. */
  turnTo(targetPort: number): void {
    this.#targetPort = targetPort
    this.cut()
  }

  async close(): Promise<void> {
    this.cut()
    await new Promise(resolve => this.#server.close(resolve))
  }

  #join(client: Socket): void {
    if (this.#faults.refuses === true) {
      client.destroy()
      return
    }
    const target = connect(this.#targetPort, '127.0.0.1')
    const end = (): void => {
      if (this.#faults.resets === true) client.resetAndDestroy()
      else client.destroy()
      target.destroy()
      this.#sockets.delete(client)
    }
    this.#sockets.add(client)
    for (const socket of [client, target]) socket.on('error', end).on('close', end)
    let saidBytes = 0
    client.on('data', data => {
      if (this.#faults.isDeaf !== true) target.write(data)
    })
    target.on('data', (data: Buffer) => {
      const { isMute, cutAfterBytes = Number.POSITIVE_INFINITY, pieceBytes = data.length, latencyMs = 0 } = this.#faults
      if (isMute === true) return
      const passed = data.subarray(0, Math.max(0, cutAfterBytes - saidBytes))
      saidBytes += data.length
      for (let at = 0; at < passed.length; at += pieceBytes)
        later(latencyMs, passed.subarray(at, at + pieceBytes), client)
      if (passed.length < data.length) setTimeout(end, latencyMs)
    })
  }
}

/** Timers of equal delay run in the order in which they were set. */
function later(delayMs: number, bytes: Buffer, socket: Socket): void {
  const write = () => {
    if (!socket.destroyed) socket.write(bytes)
  }
  if (delayMs === 0) write()
  else setTimeout(write, delayMs)
}
