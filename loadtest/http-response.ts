/** One HTTP/1.1 response as it came. */
export interface HttpResponse {
  readonly status: number
  /** Status line and headers as sent; headersOf reads them. */
  readonly head: string
  /** Without chunk framing, not inflated. */
  readonly body: Buffer
  /** Whether the connection can carry another request. */
  readonly keepsAlive: boolean
}

/** A server that does not speak HTTP/1.1 as this reader knows it. */
export class HttpProblem extends Error {
  override readonly name = 'HttpProblem'
}

const HEAD_END = Buffer.from('\r\n\r\n')
const HEAD_BYTES_MAX = 64 * 1024
const EMPTY = Buffer.alloc(0)

/** Reads the responses of one connection from its bytes, however they are cut. One reader per connection. */
export class HttpResponseReader {
  #rest: Buffer = EMPTY

  /**
   * Takes bytes that arrived. They are its own only for the call: what it needs later it copies.
   * @returns the response that they complete, whose body may lie in them, or undefined while more are needed. Throws
   * HttpProblem.
   */
  read(bytes: Buffer): HttpResponse | undefined {
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    const response = this.#next()
    if (this.#rest.length === 0) this.#rest = EMPTY
    else if (this.#rest.buffer === bytes.buffer) this.#rest = Buffer.from(this.#rest)
    return response
  }

  #next(): HttpResponse | undefined {
    for (;;) {
      const headEnd = this.#rest.indexOf(HEAD_END)
      if (headEnd < 0) {
        if (this.#rest.length > HEAD_BYTES_MAX) throw new HttpProblem('headers without end')
        return undefined
      }
      const head = this.#rest.toString('latin1', 0, headEnd)
      const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1] ?? Number.NaN)
      if (Number.isNaN(status)) throw new HttpProblem(`not a status line: ${head.slice(0, 40)}`)
      const bodyAt = headEnd + HEAD_END.length
      if (status >= 100 && status < 200) {
        this.#rest = this.#rest.subarray(bodyAt)
        continue
      }
      const found = this.#body(status, head, bodyAt)
      if (found === undefined) return undefined
      this.#rest = this.#rest.subarray(found.end)
      const keepsAlive = !/\r\nconnection:[^\r]*\bclose\b/i.test(head) && this.#rest.length === 0
      return { status, head, body: found.body, keepsAlive }
    }
  }

  #body(status: number, head: string, at: number): { body: Buffer; end: number } | undefined {
    if (status === 204 || status === 304) return { body: EMPTY, end: at }
    if (/\r\ntransfer-encoding:[^\r]*\bchunked\b/i.test(head)) return this.#chunkedBody(at)
    const length = /\r\ncontent-length:[ \t]*(\d+)/i.exec(head)?.[1]
    if (length === undefined) throw new HttpProblem(`${status} with neither Content-Length nor chunks`)
    const end = at + Number(length)
    return this.#rest.length < end ? undefined : { body: this.#rest.subarray(at, end), end }
  }

  #chunkedBody(start: number): { body: Buffer; end: number } | undefined {
    const parts: Buffer[] = []
    for (let at = start; ; ) {
      const lineEnd = this.#rest.indexOf('\r\n', at)
      if (lineEnd < 0) return undefined
      const text = this.#rest.toString('latin1', at, lineEnd)
      if (!/^[0-9a-f]{1,8}\s*(;.*)?$/i.test(text)) throw new HttpProblem(`not a chunk size: ${text.slice(0, 20)}`)
      const size = Number.parseInt(text, 16)
      const dataAt = lineEnd + 2
      if (size === 0) return this.#endOfTrailers(dataAt, parts)
      if (this.#rest.length < dataAt + size + 2) return undefined
      parts.push(this.#rest.subarray(dataAt, dataAt + size))
      at = dataAt + size + 2
    }
  }

  #endOfTrailers(start: number, parts: readonly Buffer[]): { body: Buffer; end: number } | undefined {
    for (let at = start; ; ) {
      const lineEnd = this.#rest.indexOf('\r\n', at)
      if (lineEnd < 0) return undefined
      if (lineEnd === at) return { body: Buffer.concat(parts), end: at + 2 }
      at = lineEnd + 2
    }
  }
}

/** Headers by lower-case name; of one that occurs twice, the last. Cost: O(headers). */
export function headersOf(head: string): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {}
  for (const line of head.split('\r\n').slice(1)) {
    const colon = line.indexOf(':')
    if (colon > 0) headers[line.slice(0, colon).trim().toLowerCase()] = line.slice(colon + 1).trim()
  }
  return headers
}

/** A whole POST request as bytes, made once and sent many times. */
export function postRequest(
  target: { readonly host: string; readonly path: string },
  body: Buffer,
  headers: Readonly<Record<string, string>> = {},
): Buffer {
  const lines = [
    `POST ${target.path} HTTP/1.1`,
    `Host: ${target.host}`,
    'Content-Type: application/json',
    'X-OpenRTB-Version: 2.6',
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    `Content-Length: ${body.length}`,
  ]
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body])
}
