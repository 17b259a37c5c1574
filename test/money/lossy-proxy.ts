import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Random } from '../../service/foundation/random.ts'

/** A TCP proxy in front of a server: cuts connections before a reply arrives, and can be turned to another server. */
export class LossyProxy {
  readonly port: number
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #random: Random
  #targetPort: number
  #isCut = false
  /** The chance that a reply is cut off instead of passed on. */
  cutChance = 0
  /** The reply to the next request with this text in it is cut off. */
  cutsReplyTo: string | undefined
  cuts = 0

  private constructor(server: Server, port: number, targetPort: number, random: Random) {
    this.#server = server
    this.port = port
    this.#targetPort = targetPort
    this.#random = random
    server.on('connection', socket => this.#join(socket))
  }

  /** Listens on a free port of loopback. */
  static async start(targetPort: number, random: Random): Promise<LossyProxy> {
    const server = createServer()
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    return new LossyProxy(server, typeof address === 'object' ? (address?.port ?? 0) : 0, targetPort, random)
  }

  /** New connections go there; those that are open are cut. */
  turnTo(targetPort: number): void {
    this.#targetPort = targetPort
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Nothing passes any more: connections are cut, and new ones end at once. */
  cut(): void {
    this.#isCut = true
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Connections pass again. */
  heal(): void {
    this.#isCut = false
  }

  get isCut(): boolean {
    return this.#isCut
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise(resolve => this.#server.close(resolve))
  }

  #join(client: Socket): void {
    if (this.#isCut) {
      client.destroy()
      return
    }
    const target = connect(this.#targetPort, '127.0.0.1')
    const cut = (): void => {
      client.destroy()
      target.destroy()
      this.#sockets.delete(client)
    }
    this.#sockets.add(client)
    for (const socket of [client, target]) socket.on('error', cut).on('close', cut)
    let isDoomed = false
    client.on('data', data => {
      if (this.cutsReplyTo !== undefined && data.includes(this.cutsReplyTo)) {
        isDoomed = true
        this.cutsReplyTo = undefined
      }
      target.write(data)
    })
    target.on('data', data => {
      if (isDoomed || this.#random.chance(this.cutChance)) {
        this.cuts++
        cut()
      } else client.write(data)
    })
  }
}
