/** Server-sent events for the console: one request, told once a second. HTML standard, section 9.2. */
import type { ServerResponse } from 'node:http'

/** Consoles that look at one task at once; each costs a few kB per second. */
export const LIVE_STREAMS_MAX = 8
/** A reader that is so far behind is gone or stuck. */
const UNREAD_BYTES_MAX = 1_024 * 1_024

/** The open streams of an admin port. */
export class LiveStreams {
  readonly #open = new Set<ServerResponse>()

  /** @returns false when there are enough of them already; then nothing was done */
  add(res: ServerResponse, first: object): boolean {
    if (this.#open.size >= LIVE_STREAMS_MAX) return false
    res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store', Connection: 'close' })
    this.#open.add(res)
    res.on('close', () => this.#open.delete(res))
    write(res, 'history', first)
    return true
  }

  /** Tells all that are open. Cost: O(streams × size) */
  tell(event: object): void {
    for (const res of this.#open)
      if (res.writableLength > UNREAD_BYTES_MAX) res.destroy()
      else write(res, 'second', event)
  }

  /** Whether anybody looks. */
  get isWatched(): boolean {
    return this.#open.size > 0
  }

  end(): void {
    for (const res of this.#open) res.destroy()
  }
}

function write(res: ServerResponse, name: string, data: object): void {
  res.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`)
}
