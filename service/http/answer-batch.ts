import { LIMITS } from '../limits.ts'

/**
 * Sends the answers of one turn of the event loop together, in their order. Whoever waits for them is woken once and
 * not for each, and the operating system's code for sending is still in the processor's caches from the one before.
 */
export class AnswerBatch<Answer> {
  readonly #send: (answer: Answer) => void
  readonly #nowMs: () => number
  #made: Answer[] = []
  #firstMs = 0
  /** Immediates run right after the sockets of a turn. */
  readonly #end = (): void => this.#sendAll()

  /** @param send hands one answer to its connection; must not throw */
  constructor(send: (answer: Answer) => void, nowMs = () => performance.now()) {
    this.#send = send
    this.#nowMs = nowMs
  }

  /** Sends this one in this turn: at its end, or once the first waits too long, or as many wait as may. */
  add(answer: Answer): void {
    const nowMs = this.#nowMs()
    if (this.#made.length === 0) {
      setImmediate(this.#end)
      this.#firstMs = nowMs
    }
    this.#made.push(answer)
    if (this.#made.length >= LIMITS.answersWaitingMax || nowMs - this.#firstMs >= LIMITS.answerWaitMsMax)
      this.#sendAll()
  }

  #sendAll(): void {
    const made = this.#made
    this.#made = []
    for (let i = 0; i < made.length; i++) this.#send(made[i] as Answer)
  }
}
