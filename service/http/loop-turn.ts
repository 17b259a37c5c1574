import { LIMITS } from '../limits.ts'

/**
 * An event loop that waited for so long between two turns had rest. What else lies between them is timers, a
 * collection, or another thread that has the processor.
 */
const REST_MS = 1

/**
 * One turn of the event loop takes the requests of all sockets that have any, one after the other: whoever comes last
 * has waited for the work on all before. This tells how long, which no timer can: timers fire between turns.
 */
export class LoopTurn {
  #startMs = 0
  #endMs = 0
  /** What the event loop had waited when the last long turn ended. */
  #idleMs = 0
  #isOpen = false
  #limitMs: number = LIMITS.bidBurstMsMax
  /** Immediates run right after the sockets of a turn. */
  readonly #end = (): void => {
    this.#isOpen = false
    this.#endMs = performance.now()
    if (this.#wasLong) this.#idleMs = performance.nodeTiming.idleTime
  }

  /**
   * Milliseconds since this was first asked in this turn: at least so long has waited what is read now.
   * @param nowMs of performance.now
   */
  ageMs(nowMs: number): number {
    if (!this.#isOpen) this.#start(nowMs)
    return nowMs - this.#startMs
  }

  /** Whether what is read now should not be begun: see the two limits. @param nowMs of performance.now */
  isOver(nowMs: number): boolean {
    return this.ageMs(nowMs) > this.#limitMs
  }

  get #wasLong(): boolean {
    return this.#endMs - this.#startMs > LIMITS.bidTurnMsMax
  }

  #start(nowMs: number): void {
    // One long turn is a burst, or a pause of the machine; a second one right after it means that more comes than goes.
    const isSecond = this.#wasLong && performance.nodeTiming.idleTime - this.#idleMs < REST_MS
    this.#limitMs = isSecond ? LIMITS.bidTurnMsMax : LIMITS.bidBurstMsMax
    this.#isOpen = true
    this.#startMs = nowMs
    setImmediate(this.#end)
  }
}
