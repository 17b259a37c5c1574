import type { IncomingMessage, ServerResponse } from 'node:http'
import type { BodyTaker, HttpCall } from './http-call.ts'

/** A request that Node's HTTP server read. */
export class NodeCall implements HttpCall {
  readonly method: string
  readonly url: string
  readonly rawHeaders: readonly string[]
  readonly #req: IncomingMessage
  readonly #res: ServerResponse
  #taker: BodyTaker | undefined

  constructor(req: IncomingMessage, res: ServerResponse) {
    this.method = req.method ?? ''
    this.url = req.url ?? ''
    this.rawHeaders = req.rawHeaders
    this.#req = req
    this.#res = res
  }

  get peer(): string | undefined {
    return this.#req.socket.remoteAddress
  }

  get isAnswered(): boolean {
    return this.#res.headersSent
  }

  get status(): number {
    return this.#res.headersSent ? this.#res.statusCode : 0
  }

  takeBody(taker: BodyTaker): void {
    const isFirst = this.#taker === undefined
    this.#taker = taker
    if (!isFirst) return
    this.#req.on('data', (bytes: Buffer) => this.#taker?.chunk(bytes))
    this.#req.on('end', () => this.#taker?.end())
  }

  close(): void {
    this.#res.shouldKeepAlive = false
  }

  answer(status: number, lines: string, body: string | Buffer): void {
    const head = lines.split('\r\n').flatMap(line => {
      const colon = line.indexOf(': ')
      return colon < 0 ? [] : [line.slice(0, colon), line.slice(colon + 2)]
    })
    this.#res.writeHead(status, head)
    this.#res.end(body, 'latin1')
  }

  onceOver(listener: () => void): void {
    this.#res.once('close', listener)
  }
}
