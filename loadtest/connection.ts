import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { HttpProblem, type HttpResponse, HttpResponseReader } from './http-response.ts'
import type { LoopbackTarget } from './loopback.ts'
import type { PlannedRequest } from './open-loop.ts'

/** What a connection tells its driver. */
interface ConnectionEvents {
  onResponse(response: HttpResponse, planned: PlannedRequest): void
  /** Opened without a request to carry. */
  onIdle(): void
  /** Ended by the other side or by an error, with the request that it carried. Never after destroy(). */
  onEnd(cause: string, planned: PlannedRequest | undefined): void
}

/**
 * All plain connections read into this. A buffer for each answer would be external memory to V8, which then marks the
 * whole heap each few seconds, and requests wait for that.
 */
const INBOX = Buffer.allocUnsafeSlow(64 * 1024)

/** One keep-alive connection that carries one request at a time. */
export class Connection {
  readonly #socket: Socket
  readonly #events: ConnectionEvents
  readonly #reader = new HttpResponseReader()
  /** Resolves when connected, or when that failed. */
  readonly opened: Promise<void>
  /** The request that waits for its answer. */
  inFlight: PlannedRequest | undefined
  #isOver = false

  constructor(target: LoopbackTarget, events: ConnectionEvents) {
    this.#events = events
    const address = { host: target.hostname, port: target.port }
    const take = (bytes: Buffer): void => this.#onData(bytes)
    const onread = {
      buffer: INBOX,
      callback: (length: number) => {
        take(INBOX.subarray(0, length))
        return true
      },
    }
    this.#socket = target.isTls ? connectTls(address).on('data', take) : connect({ ...address, onread })
    this.#socket.setNoDelay(true)
    this.opened = new Promise(resolve => {
      this.#socket.once(target.isTls ? 'secureConnect' : 'connect', () => {
        if (this.inFlight === undefined && !this.#isOver) events.onIdle()
        resolve()
      })
      this.#socket.once('close', () => resolve())
    })
    this.#socket.on('error', error => this.#end((error as NodeJS.ErrnoException).code ?? error.message))
    this.#socket.on('end', () => this.#end('connection closed'))
    this.#socket.on('close', () => this.#end('connection closed'))
  }

  /** Sends one request; the connection must not carry another. */
  send(bytes: Buffer, planned: PlannedRequest): void {
    this.inFlight = planned
    this.#socket.write(bytes)
  }

  /** Ends the connection without a further event. May be called twice. */
  destroy(): void {
    this.#isOver = true
    this.#socket.destroy()
  }

  #onData(bytes: Buffer): void {
    if (this.#isOver) return
    try {
      const response = this.#reader.read(bytes)
      if (response === undefined) return
      const planned = this.inFlight
      if (planned === undefined) throw new HttpProblem('an answer that nothing asked for')
      this.inFlight = undefined
      this.#events.onResponse(response, planned)
    } catch (problem) {
      if (!(problem instanceof HttpProblem)) throw problem
      this.#end(problem.message)
    }
  }

  #end(cause: string): void {
    if (this.#isOver) return
    this.#isOver = true
    const planned = this.inFlight
    this.inFlight = undefined
    this.#events.onEnd(cause, planned)
  }
}
