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
import { ownCopy, readIntoShared } from './read-buffer.ts'

/** What a lane needs of its server. */
export interface LaneDeps {
  /** Takes a call whose body has not come, and answers it, now or later. */
  readonly take: (call: HttpCall) => void
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
  readonly isTls: boolean
  /** Node's own way with a connection. */
  readonly handOver: (socket: Socket) => void

  constructor(deps: LaneDeps, isTls: boolean, handOver: (socket: Socket) => void) {
    this.deps = deps
    this.isTls = isTls
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
  const isTls = server instanceof TlsServer
  const event = isTls ? 'secureConnection' : 'connection'
  const nodes = server.listeners(event)[0] as (this: Server, socket: Socket) => void
  server.removeListener(event, nodes)
  const lane = new Lane(deps, isTls, socket => nodes.call(server, socket))
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
  /** What has come and waits: for the answer to the request before it, or until the other side reads its answers. */
  #unread: Buffer | undefined
  #isReading = false
  #isPaused = false
  #hasAsked = false
  /** Since something began or ended. */
  #looks = 0
  /** The other side sends no more. */
  #isEnded = false
  /** Node's HTTP server has it now. */
  #isNodes = false
  readonly #onData = (bytes: Buffer): void => this.#take(bytes)
  readonly #onShared = (bytes: Buffer): void => this.#takeShared(bytes)
  readonly #onDrain = (): void => this.#read()
  readonly #onEnd = (): void => this.#end()
  readonly #onClose = (): void => this.#leave()

  constructor(lane: Lane, socket: Socket) {
    this.#lane = lane
    this.socket = socket
    if (lane.isTls || !readIntoShared(socket, this.#onShared)) socket.on('data', this.#onData)
    socket.on('drain', this.#onDrain)
    socket.on('end', this.#onEnd).on('close', this.#onClose).on('error', destroy)
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
    if (isIdle) this.cut()
    else this.#refuse('ERR_HTTP_REQUEST_TIMEOUT')
  }

  /** What is on its way to the other side still gets there. */
  closeIfIdle(): void {
    if (this.#call === undefined && this.#unread === undefined && this.#hasAsked) this.socket.destroySoon()
  }

  cut(): void {
    this.socket.destroy()
  }

  /** The call is answered, and its body has passed. */
  finish(call: LaneCall): void {
    this.#call = undefined
    this.#looks = 0
    if (call.closes) this.socket.end()
    this.#read()
  }

  #takeShared(bytes: Buffer): void {
    if (this.#isNodes) this.socket.push(Buffer.from(bytes))
    else this.#take(bytes)
    if (this.#unread !== undefined) this.#unread = ownCopy(this.#unread)
  }

  #take(bytes: Buffer): void {
    this.#unread = this.#unread === undefined ? bytes : Buffer.concat([this.#unread, bytes])
    this.#read()
  }

  /** Goes on with what has come, as far as it may. The rest is not read: what else comes stays with who sends it. */
  #read(): void {
    // An answer that is given at once brings us here again.
    if (this.#isReading) return
    this.#isReading = true
    while (this.#unread !== undefined && this.#mayRead()) {
      const bytes: Buffer = this.#unread
      this.#unread = this.#call === undefined ? this.#begin(bytes) : this.#call.feed(bytes)
    }
    this.#isReading = false
    const { writableEnded, writableNeedDrain } = this.socket
    // What comes after the last answer is nobody's. It is read, or the system would reset the connection.
    if (writableEnded) this.#unread = undefined
    if (!this.#lane.connections.has(this)) return
    this.#pause(this.#unread !== undefined || (writableNeedDrain && !writableEnded))
    if (this.#isEnded && this.#call === undefined && this.#unread === undefined) this.socket.end()
  }

  #mayRead(): boolean {
    const { writableEnded, writableNeedDrain } = this.socket
    return !writableEnded && (this.#call === undefined ? !writableNeedDrain : this.#call.bodyLeft > 0)
  }

  #pause(isPaused: boolean): void {
    if (isPaused === this.#isPaused) return
    this.#isPaused = isPaused
    if (isPaused) this.socket.pause()
    else this.socket.resume()
  }

  /** @returns what comes behind the head, undefined when nothing does or the connection is no longer the lane's */
  #begin(bytes: Buffer): Buffer | undefined {
    const head = readPlainHead(bytes)
    if (head === undefined) {
      this.#handOver(bytes)
      return undefined
    }
    const call = new LaneCall(this, head)
    this.#call = call
    this.#hasAsked = true
    this.#looks = 0
    this.#lane.deps.take(call)
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
    socket.off('data', this.#onData).off('drain', this.#onDrain).off('end', this.#onEnd).off('close', this.#onClose)
    // As long as it is paused, nothing is read past the listener that comes.
    socket.pause()
    this.#isNodes = true
    this.#lane.handOver(socket)
    socket.off('error', destroy)
    socket.unshift(Buffer.from(bytes))
    socket.resume()
  }

  /** The request that was begun does not come whole. Who has its answer gets no other one. */
  #refuse(code: string): void {
    const isAnswered = this.#call?.isAnswered === true
    this.#leave()
    if (isAnswered) this.socket.destroySoon()
    else this.#lane.deps.refuse(this.socket, code)
  }

  #end(): void {
    this.#isEnded = true
    if (this.#call !== undefined && this.#call.bodyLeft > 0) this.#refuse('HPE_INVALID_EOF_STATE')
    else this.#read()
  }

  #leave(): void {
    this.#lane.connections.delete(this)
    this.#call?.leave()
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

  /** There is nobody any more to be answered. */
  leave(): void {
    this.isAnswered = true
    this.#onOver?.()
    this.#onOver = undefined
  }
}
