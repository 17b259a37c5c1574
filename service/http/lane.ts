/**
 * The short way of a request to its route: whole heads that can be read in one way only are read here, straight from
 * the connection, and answered by one write. Node's HTTP server makes two streams and some forty calls of each request;
 * it serves the connections on which anything else comes. See ARCHITECTURE.md for what that is worth.
 */
import { type Server, STATUS_CODES } from 'node:http'
import { Server as TlsServer } from 'node:https'
import type { Socket } from 'node:net'
import { type BodyTaker, dateNow, type HttpCall } from './http-call.ts'
import { type PlainHead, readPlainHead } from './plain-head.ts'

/** What a lane needs of its server. */
export interface LaneDeps {
  /** @returns false when no route wants the call; then nothing has been done with it */
  readonly take: (call: HttpCall) => boolean
  /** Answers a connection on which half a request came, and closes it. @param code of the error that Node would have */
  readonly refuse: (socket: Socket, code: string) => void
  /** A request must have come within this, a connection's first one as well. */
  readonly requestMs: number
  /** So long is a connection kept on which no request comes. */
  readonly keepAliveMs: number
}

/** Looks are counted, and not the time: while the event loop stood still, nobody could send. */
const LOOK_MS = 500
const CLOSED_LINES = 'Connection: close\r\n\r\n'

/** All connections of one server that go the short way. */
class Lane {
  readonly deps: LaneDeps
  readonly connections = new Set<LaneConnection>()
  readonly keptLines: string
  /** Node's own way with a connection. */
  readonly handOver: (socket: Socket) => void

  constructor(deps: LaneDeps, handOver: (socket: Socket) => void) {
    this.deps = deps
    this.handOver = handOver
    const seconds = Math.floor(deps.keepAliveMs / 1_000)
    this.keptLines = `Connection: keep-alive\r\n${seconds > 0 ? `Keep-Alive: timeout=${seconds}\r\n` : ''}\r\n`
  }

  look(): void {
    for (const connection of this.connections) connection.look()
  }
}

/**
 * Puts a lane before Node's HTTP server. From here on `closeIdleConnections` and `closeAllConnections` of the server
 * are the lane's, too. Mutates the server, which must not listen yet.
 */
export function putLane(server: Server, deps: LaneDeps): void {
  const event = server instanceof TlsServer ? 'secureConnection' : 'connection'
  const nodes = server.listeners(event)[0] as (this: Server, socket: Socket) => void
  server.removeListener(event, nodes)
  const lane = new Lane(deps, socket => nodes.call(server, socket))
  server.prependListener(event, (socket: Socket) => lane.connections.add(new LaneConnection(lane, socket)))
  const closeIdle = server.closeIdleConnections.bind(server)
  server.closeIdleConnections = () => {
    closeIdle()
    for (const connection of lane.connections) connection.closeIfIdle()
  }
  const closeAll = server.closeAllConnections.bind(server)
  server.closeAllConnections = () => {
    closeAll()
    for (const connection of lane.connections) connection.cut()
  }
  server.once('listening', () => {
    const timer = setInterval(() => lane.look(), LOOK_MS).unref()
    server.once('close', () => clearInterval(timer))
  })
}

/** A connection, until it ends or is handed over, with one request at a time: the next waits for its answer. */
class LaneConnection {
  readonly socket: Socket
  readonly #lane: Lane
  #call: LaneCall | undefined
  /** What came behind the request that waits for its answer. */
  #early: Buffer | undefined
  #isPaused = false
  #hasAsked = false
  /** Since something began or ended. */
  #looks = 0
  /** The other side sends no more. */
  #isEnded = false
  readonly #onData = (bytes: Buffer): void => this.#read(bytes)
  readonly #onEnd = (): void => this.#end()
  readonly #onClose = (): void => this.#close()

  constructor(lane: Lane, socket: Socket) {
    this.#lane = lane
    this.socket = socket
    socket.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onClose).on('error', destroy)
  }

  /** The head of an answer, to its last line. */
  headOf(status: number, lines: string, isKept: boolean): string {
    const last = isKept ? this.#lane.keptLines : CLOSED_LINES
    return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines}Date: ${dateNow()}\r\n${last}`
  }

  /** Half a second has passed. */
  look(): void {
    const call = this.#call
    if (call !== undefined && call.bodyLeft === 0) return
    const isIdle = call === undefined && this.#hasAsked
    const { requestMs, keepAliveMs } = this.#lane.deps
    if (++this.#looks <= (isIdle ? keepAliveMs : requestMs) / LOOK_MS) return
    if (isIdle || call?.isAnswered === true) this.cut()
    else this.#refuse('ERR_HTTP_REQUEST_TIMEOUT')
  }

  closeIfIdle(): void {
    if (this.#call === undefined && this.#hasAsked) this.cut()
  }

  cut(): void {
    this.socket.destroy()
  }

  /** The call is answered, and its body has passed. */
  finish(call: LaneCall): void {
    this.#call = undefined
    this.#looks = 0
    if (call.closes || (this.#isEnded && this.#early === undefined)) this.socket.end()
    else if (this.#isPaused) this.#goOn()
  }

  #read(bytes: Buffer): void {
    let left: Buffer | undefined = bytes
    while (left !== undefined && !this.socket.writableEnded) {
      if (this.#call !== undefined && this.#call.bodyLeft > 0) left = this.#call.feed(left)
      else if (this.#call !== undefined || this.socket.writableNeedDrain) {
        this.#early = this.#early === undefined ? left : Buffer.concat([this.#early, left])
        left = undefined
        this.#pause()
      } else left = this.#begin(left)
    }
    if (this.socket.writableNeedDrain) this.#pause()
  }

  /** Who asks before the answer came, or does not read it, is not read: what it sends stays with it. */
  #pause(): void {
    if (this.#isPaused) return
    this.#isPaused = true
    this.socket.pause()
    if (this.socket.writableNeedDrain) this.socket.once('drain', () => this.#goOn())
  }

  #goOn(): void {
    const early = this.#early
    if (this.#call !== undefined) return
    this.#early = undefined
    this.#isPaused = false
    this.socket.resume()
    if (early !== undefined) this.#read(early)
  }

  /** @returns what comes behind the head, undefined when nothing does or the connection is no longer the lane's */
  #begin(bytes: Buffer): Buffer | undefined {
    const head = readPlainHead(bytes)
    const call = head && new LaneCall(this, head)
    this.#call = call
    if (head === undefined || call === undefined || !this.#lane.deps.take(call)) {
      this.#call = undefined
      this.#handOver(bytes)
      return undefined
    }
    this.#hasAsked = true
    this.#looks = 0
    if (head.bodyBytes === 0) call.endBody()
    return bytes.length > head.headBytes ? bytes.subarray(head.headBytes) : undefined
  }

  /** Node reads the connection from here on, and first what was read and not used. */
  #handOver(bytes: Buffer): void {
    const { socket } = this
    if (this.#isEnded) {
      this.#refuse('HPE_INVALID_EOF_STATE')
      return
    }
    this.#leave()
    socket.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose)
    // As long as it is paused, nothing is read past the listener that comes.
    socket.pause()
    this.#lane.handOver(socket)
    socket.off('error', destroy)
    socket.unshift(bytes)
    socket.resume()
  }

  #refuse(code: string): void {
    this.#leave()
    this.#lane.deps.refuse(this.socket, code)
  }

  #end(): void {
    this.#isEnded = true
    if (this.#call === undefined) this.socket.end()
    else if (this.#call.bodyLeft > 0) this.#refuse('HPE_INVALID_EOF_STATE')
  }

  #close(): void {
    this.#leave()
    this.#call?.leave()
  }

  #leave(): void {
    this.#lane.connections.delete(this)
  }
}

function destroy(this: Socket): void {
  this.destroy()
}

/** A request that was read here. */
class LaneCall implements HttpCall {
  readonly method: string
  readonly url: string
  readonly rawHeaders: readonly string[]
  /** Bytes of the body that have not come. */
  bodyLeft: number
  isAnswered = false
  status = 0
  closes = false
  readonly #connection: LaneConnection
  #taker: BodyTaker | undefined
  #hasPassed = false
  #onOver: (() => void) | undefined

  constructor(connection: LaneConnection, { method, url, rawHeaders, bodyBytes }: PlainHead) {
    this.#connection = connection
    this.method = method
    this.url = url
    this.rawHeaders = rawHeaders
    this.bodyLeft = bodyBytes
  }

  get peer(): string | undefined {
    return this.#connection.socket.remoteAddress
  }

  takeBody(taker: BodyTaker): void {
    this.#taker = taker
  }

  close(): void {
    this.closes = true
  }

  onceOver(listener: () => void): void {
    this.#onOver = listener
  }

  /** Takes what is of the body. @returns what comes behind it */
  feed(bytes: Buffer): Buffer | undefined {
    const { bodyLeft } = this
    const isMore = bytes.length > bodyLeft
    const own = isMore ? bytes.subarray(0, bodyLeft) : bytes
    this.bodyLeft -= own.length
    this.#taker?.chunk(own)
    if (this.bodyLeft === 0) this.endBody()
    return isMore ? bytes.subarray(bodyLeft) : undefined
  }

  /** The whole body has come. */
  endBody(): void {
    const wasAnswered = this.isAnswered
    this.#hasPassed = true
    this.#taker?.end()
    if (wasAnswered) this.#connection.finish(this)
  }

  answer(status: number, lines: string, body: string | Buffer): void {
    if (this.isAnswered) return
    this.isAnswered = true
    this.status = status
    const { socket } = this.#connection
    const head = this.#connection.headOf(status, lines, !this.closes)
    const over = this.#onOver
    this.#onOver = undefined
    if (typeof body === 'string') socket.write(head + body, 'latin1', over)
    else socket.write(Buffer.concat([Buffer.from(head, 'latin1'), body]), over)
    if (this.#hasPassed) this.#connection.finish(this)
    else if (this.closes) socket.end()
  }

  /** The connection is gone. */
  leave(): void {
    this.isAnswered = true
    this.#onOver?.()
    this.#onOver = undefined
  }
}
