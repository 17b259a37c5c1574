import { connect, type Socket } from 'node:net'
import { HttpProblem, type HttpResponse, HttpResponseReader, headersOf } from '../../loadtest/http-response.ts'

/** An answer with its headers by lower-case name. */
export interface RawAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

const ANSWER_LIMIT_MS = 15_000
const NOTHING = Buffer.alloc(0)

/** One TCP connection on which a test writes what bytes it likes. */
export class RawConnection {
  readonly #socket: Socket
  readonly #reader = new HttpResponseReader()
  readonly #answers: RawAnswer[] = []
  #waiting: ((answer: RawAnswer | undefined) => void)[] = []
  #isClosed = false
  /** Resolves when the other side has closed, or a reset came. */
  readonly closed: Promise<void>

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', chunk => this.#onData(chunk as Buffer))
    // A reset is a way to close.
    socket.on('error', () => {})
    this.closed = new Promise(resolve => {
      socket.on('close', () => {
        this.#isClosed = true
        for (const waiting of this.#waiting.splice(0)) waiting(undefined)
        resolve()
      })
    })
  }

  /** Connects to a port of 127.0.0.1. Rejects when nothing listens. */
  static async open(port: number): Promise<RawConnection> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return new RawConnection(socket)
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Writes bytes; text as Latin-1, so that a unit is a byte. */
  write(bytes: Buffer | string): void {
    this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  /** The next answer, undefined when the connection closes without one. Rejects when nothing comes for long. */
  async answer(): Promise<RawAnswer | undefined> {
    const known = this.#answers.shift()
    if (known !== undefined || this.#isClosed) return known
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer in ${ANSWER_LIMIT_MS} ms`)), ANSWER_LIMIT_MS)
      this.#waiting.push(answer => {
        clearTimeout(timer)
        resolve(answer)
      })
    })
  }

  /** Stops reading, so that the other side's answers pile up. */
  pause(): void {
    this.#socket.pause()
  }

  /** Nothing more comes from here; answers may still. */
  end(): void {
    this.#socket.end()
  }

  close(): void {
    this.#socket.destroy()
  }

  #onData(chunk: Buffer): void {
    let response: HttpResponse | undefined
    try {
      response = this.#reader.read(chunk)
      while (response !== undefined) {
        const { status, head, body } = response
        const answer = { status, headers: headersOf(head), body: Buffer.from(body) }
        const waiting = this.#waiting.shift()
        if (waiting === undefined) this.#answers.push(answer)
        else waiting(answer)
        response = this.#reader.read(NOTHING)
      }
    } catch (problem) {
      if (!(problem instanceof HttpProblem)) throw problem
      this.close()
    }
  }
}

/** Sends bytes on a connection of their own. @returns the first answer, undefined when there was none. */
export async function exchangeBytes(port: number, bytes: Buffer | string): Promise<RawAnswer | undefined> {
  const connection = await RawConnection.open(port)
  connection.write(bytes)
  const answer = await connection.answer()
  connection.close()
  return answer
}

/** What a request made by `rawPost` says. */
export interface RawPost {
  readonly path: string
  readonly body?: Buffer | string
  /** Replace or follow the usual ones; undefined leaves one out. */
  readonly headers?: Readonly<Record<string, string | undefined>>
}

/** A POST as bytes, with Host, Content-Type and Content-Length unless told otherwise. */
export function rawPost({ path, body = '', headers = {} }: RawPost): Buffer {
  const bytes = Buffer.from(body as string)
  const all = { Host: 'x', 'Content-Type': 'application/json', 'Content-Length': String(bytes.length), ...headers }
  const lines = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}`]))
  return Buffer.concat([Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`, 'latin1'), bytes])
}
