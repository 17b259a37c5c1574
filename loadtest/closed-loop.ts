/**
 * The cheapest client that keeps a server busy: raw sockets, prebuilt requests, one under way per connection. For
 * comparing servers; it measures throughput and nothing else.
 */
import { connect, type Socket } from 'node:net'
import { loopbackTarget } from './loopback.ts'

/** Requests in the order in which they are sent, again and again. */
export interface ClosedLoop {
  readonly url: string
  readonly requests: readonly Buffer[]
  readonly connections: number
  readonly durationMs: number
}

/** What one run did. */
export interface ClosedLoopResult {
  readonly completed: number
  readonly elapsedMs: number
  /** Answers by status. */
  readonly statuses: ReadonlyMap<number, number>
}

/** A whole HTTP/1.1 request as bytes. */
export function rawRequest(path: string, body: Buffer, headers: Readonly<Record<string, string>>): Buffer {
  const lines = Object.entries({
    Host: 'localhost',
    'Content-Type': 'application/json',
    'Content-Length': String(body.length),
    ...headers,
  })
  const head = `POST ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
  return Buffer.concat([Buffer.from(head), body])
}

/** Runs until the time is up, then lets what is under way finish. @throws when a connection fails */
export async function runClosedLoop({ url, requests, connections, durationMs }: ClosedLoop): Promise<ClosedLoopResult> {
  loopbackTarget(url)
  const { hostname, port } = new URL(url)
  const statuses = new Map<number, number>()
  const startMs = performance.now()
  const untilMs = startMs + durationMs
  let next = 0
  let completed = 0
  const drive = (socket: Socket) =>
    new Promise<void>((resolve, reject) => {
      const answers = new AnswerCounter(status => {
        completed++
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
        if (performance.now() < untilMs) socket.write(requests[next++ % requests.length] as Buffer)
        else socket.end()
      })
      socket.on('data', (chunk: Buffer) => answers.take(chunk))
      socket.on('error', reject)
      socket.on('close', () => resolve())
      socket.on('connect', () => socket.write(requests[next++ % requests.length] as Buffer))
    })
  const sockets = Array.from({ length: connections }, () =>
    connect({ host: hostname, port: Number(port), noDelay: true }),
  )
  await Promise.all(sockets.map(drive))
  return { completed, elapsedMs: performance.now() - startMs, statuses }
}

const HEAD_END = Buffer.from('\r\n\r\n')

/** Finds the ends of answers that have a Content-Length or no body. */
class AnswerCounter {
  readonly #onAnswer: (status: number) => void
  #rest: Buffer = Buffer.alloc(0)

  constructor(onAnswer: (status: number) => void) {
    this.#onAnswer = onAnswer
  }

  take(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    for (;;) {
      const headEnd = this.#rest.indexOf(HEAD_END)
      if (headEnd < 0) return
      const head = this.#rest.toString('latin1', 0, headEnd)
      const status = Number(head.slice(9, 12))
      const length = /content-length: (\d+)/i.exec(head)?.[1]
      const end = headEnd + HEAD_END.length + Number(length ?? 0)
      if (this.#rest.length < end) return
      this.#rest = this.#rest.subarray(end)
      this.#onAnswer(status)
    }
  }
}
