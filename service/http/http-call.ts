/** What the routes of the public port see of a request and its answer, whoever reads the one and writes the other. */

/** Takes a body as it comes. */
export interface BodyTaker {
  /** The bytes are there during the call only: what is kept is copied. */
  chunk(bytes: Buffer): void
  /** The whole body has come. */
  end(): void
}

/** A body that nobody wants. */
export const PASSED: BodyTaker = Object.freeze({ chunk: () => {}, end: () => {} })

/** One request, and its answer. */
export interface HttpCall {
  readonly method: string
  /** Path and query, as they came. */
  readonly url: string
  /** Names and values in turn, as they came. */
  readonly rawHeaders: readonly string[]
  /** Address of the other end of the connection, undefined once that is gone. */
  readonly peer: string | undefined
  readonly isAnswered: boolean
  /** Of the answer, 0 before it. */
  readonly status: number
  /** From here on the body goes to the taker. Call it first before anything is waited for: later, bytes were missed. */
  takeBody(taker: BodyTaker): void
  /** The connection closes after the answer. Call it before that. */
  close(): void
  /**
   * Answers; once only. It may come before the whole body has.
   * @param lines of the head, each with its end; they tell the length of the body, unless the status has none
   * @param body a text is ASCII: one byte per character
   */
  answer(status: number, lines: string, body: string | Buffer): void
  /** Calls back once the system has the answer, or the connection is gone. One listener per call. */
  onceOver(listener: () => void): void
}

/** The Date header's value, '' once its second is over. */
let date = ''

/** The Date header's value, made once a second. */
export function dateNow(): string {
  if (date === '') {
    const now = new Date()
    date = now.toUTCString()
    setTimeout(() => {
      date = ''
    }, 1_000 - now.getMilliseconds()).unref()
  }
  return date
}
