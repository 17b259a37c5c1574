/**
 * Finished lines to a file descriptor, without ever waiting for its reader. Writes are synchronous on a descriptor
 * that does not block, so that a crash never meets half a line in flight: sonic-boom, which pino brings, keeps one
 * chunk in the thread pool, where a stalled reader holds a pool thread and then the exit of the whole process.
 */
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'

/** What a destination needs. */
export interface LineDestinationOptions {
  /** 1 for stdout. */
  readonly fd: number
  readonly bufferBytesMax: number
  /** Called once per line that found the buffer full or the reader gone. */
  readonly onDrop: () => void
  /** Called when the buffer has emptied after lines were dropped, with their number. */
  readonly onRoomAgain?: (dropped: number) => void
}

const RETRY_MS = 20
/** Blocks this thread for the pause between two tries of a synchronous flush. */
const sleeper = new Int32Array(new SharedArrayBuffer(4))

/** A bounded queue of lines in front of a file descriptor. */
export class LineDestination {
  readonly #options: LineDestinationOptions
  readonly #fd: number
  #queue: Buffer[] = []
  #queuedBytes = 0
  #dropped = 0
  #retry: NodeJS.Timeout | undefined
  #broken = false

  constructor(options: LineDestinationOptions) {
    this.#options = options
    this.#fd = withoutBlocking(options.fd)
  }

  /** Bytes that wait for the reader. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** Writes a line that ends with a newline, or queues it, or drops and counts it. Never blocks, never throws. */
  write(line: string): void {
    const bytes = Buffer.from(line)
    if (this.#broken || this.#queuedBytes + bytes.length > this.#options.bufferBytesMax) {
      this.#dropped++
      this.#options.onDrop()
      return
    }
    this.#queue.push(bytes)
    this.#queuedBytes += bytes.length
    // Lines before it wait for the retry, so this one does too.
    if (this.#queue.length === 1) this.#writeQueued()
  }

  /** Waits until all lines are written. @returns false when the limit came first. */
  async flush(limitMs: number): Promise<boolean> {
    const end = performance.now() + limitMs
    while (!this.#writeQueued()) {
      if (performance.now() >= end) return false
      await new Promise(resolve => setTimeout(resolve, RETRY_MS))
    }
    return true
  }

  /** Like flush, but blocks the thread: for the last lines of a process. */
  flushNow(limitMs: number): boolean {
    const end = performance.now() + limitMs
    while (!this.#writeQueued()) {
      if (performance.now() >= end) return false
      Atomics.wait(sleeper, 0, 0, RETRY_MS)
    }
    return true
  }

  /** @returns whether the queue is empty now. */
  #writeQueued(): boolean {
    let next = this.#queue[0]
    while (next !== undefined) {
      const written = this.#tryWrite(next)
      if (written < 0) return this.#broken
      this.#queuedBytes -= written
      if (written < next.length) this.#queue[0] = next.subarray(written)
      else this.#queue.shift()
      next = this.#queue[0]
    }
    this.#reportDropped()
    return this.#queue.length === 0
  }

  /** @returns bytes written, or −1 when nothing can be written now. */
  #tryWrite(bytes: Buffer): number {
    try {
      return writeSync(this.#fd, bytes)
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code === 'EAGAIN' || code === 'EINTR') this.#retryLater()
      else this.#giveUp()
      return -1
    }
  }

  #retryLater(): void {
    if (this.#retry !== undefined) return
    this.#retry = setTimeout(() => {
      this.#retry = undefined
      this.#writeQueued()
    }, RETRY_MS)
    // A stalled reader must not keep a process alive that has nothing else to do; flush() waits on purpose.
    this.#retry.unref()
  }

  /** The reader is gone: no line can ever be written again, and there is nobody to tell. */
  #giveUp(): void {
    this.#broken = true
    for (const _ of this.#queue) this.#options.onDrop()
    this.#queue = []
    this.#queuedBytes = 0
  }

  #reportDropped(): void {
    const dropped = this.#dropped
    if (dropped === 0) return
    this.#dropped = 0
    this.#options.onRoomAgain?.(dropped)
  }
}

/**
 * A descriptor of the same file whose writes do not block. A pipe is opened anew, so that nobody else who holds it is
 * affected; for a socket Node's own stdout object switches blocking off; plain files and terminals are as they are.
 */
function withoutBlocking(fd: number): number {
  const file = fstatSync(fd)
  if (file.isFIFO()) {
    try {
      const opened = openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK)
      if (fstatSync(opened).isFIFO()) return opened
      closeSync(opened)
    } catch {
      // No /proc, or not ours to open (a container whose user differs from the pipe's owner): the next way does.
    }
  }
  // Reading the property makes Node wrap the descriptor, and that sets O_NONBLOCK.
  if ((file.isFIFO() || file.isSocket()) && fd === 1) void process.stdout.writable
  return fd
}
