/** A response of the public port, which a bid writes as a whole and at once. */
import { ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { BidMessage } from './bid-message.ts'

/** Marks a connection that tells the response under way of its end. */
const TELLS = Symbol('tells')

/** A connection with a member that only Node's HTTP server gives it. */
type Connection = Socket & {
  /** The response whose turn it is. */
  _httpMessage?: BidResponse | null
  [TELLS]?: true
}

/** What its types call readonly. */
interface Assigned {
  socket: Socket | null
}

/** The Date header's value, '' once its second is over. */
let date = ''

function dateNow(): string {
  if (date === '') {
    const now = new Date()
    date = now.toUTCString()
    setTimeout(() => {
      date = ''
    }, 1_000 - now.getMilliseconds()).unref()
  }
  return date
}

/**
 * Node checks a head's names and values, queues three turns of the tick queue to write and end a response, and listens
 * to its connection anew for each. A bid's head has nothing to check and its answer is one write: see `answer`. All
 * that it does not do is Node's, so that other paths, pipelined requests and slow readers are treated as ever.
 */
export class BidResponse extends ServerResponse<BidMessage> {
  // Members of Node's own that its types do not have.
  declare _header: string | null
  declare _headerSent: boolean
  declare _hasBody: boolean
  declare _last: boolean
  declare _closed: boolean
  declare _keepAliveTimeout: number
  declare _flush: () => void
  declare outputData: readonly unknown[]

  /**
   * Answers the request. Changes the response; once only.
   * @param lines of the head, each with its end; they tell the length of the body, unless the status has none
   * @param body ASCII: one byte per character
   */
  answer(status: number, lines: string, body: string): void {
    const { socket } = this
    const isKept = this.shouldKeepAlive && (status !== 204 || this.useChunkedEncodingByDefault)
    const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines}Date: ${dateNow()}\r\n`
    const whole = `${head}${isKept ? keptLines(this._keepAliveTimeout) : 'Connection: close\r\n'}\r\n`
    this.statusCode = status
    this._header = whole
    if (isKept && this.req.complete && socket?.writable === true) {
      this._headerSent = true
      this.finished = true
      socket.write(whole + body, 'latin1')
      if (socket.writableLength === 0) this.emit('finish')
      // Whoever reads slowly has it only when this is written, too.
      else socket.write('', error => error ?? this.emit('finish'))
      return
    }
    this._hasBody = status !== 204
    if (!isKept) this._last = true
    this.end(body, 'latin1')
  }

  /** As Node does it, with one listener per connection instead of one per response. */
  override assignSocket(assigned: Socket): void {
    const socket = assigned as Connection
    if (socket[TELLS] !== true) {
      socket[TELLS] = true
      socket.on('close', tellClosed)
    }
    socket._httpMessage = this
    ;(this as Assigned).socket = socket
    if (this.finished || this.outputData.length > 0) this._flush()
  }

  override detachSocket(socket: Socket): void {
    ;(socket as Connection)._httpMessage = null
    ;(this as Assigned).socket = null
  }
}

/** The connection is gone before its response was written. */
function tellClosed(this: Connection): void {
  const response = this._httpMessage
  if (response === undefined || response === null || response._closed) return
  Object.assign(response, { destroyed: true, _closed: true })
  response.emit('close')
}

let keptMs = -1
let kept = ''

function keptLines(keepAliveMs: number): string {
  if (keepAliveMs !== keptMs) {
    keptMs = keepAliveMs
    const seconds = Math.floor(keepAliveMs / 1_000)
    kept = `Connection: keep-alive\r\n${seconds > 0 ? `Keep-Alive: timeout=${seconds}\r\n` : ''}`
  }
  return kept
}
