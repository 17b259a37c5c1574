/**
 * One turn of the event loop takes the requests of all sockets that have any, one after the other: whoever comes last
 * has waited for the work on all before. This tells how long, which no timer can: timers fire between turns.
 */
export class LoopTurn {
  #startMs = 0
  #isOpen = false
  /** Immediates run right after the sockets of a turn. */
  readonly #end = (): void => {
    this.#isOpen = false
  }

  /** Milliseconds since this was first asked in this turn: at least so long has waited what is read now. */
  ageMs(): number {
    const nowMs = performance.now()
    if (!this.#isOpen) {
      this.#isOpen = true
      this.#startMs = nowMs
      setImmediate(this.#end)
    }
    return nowMs - this.#startMs
  }
}
