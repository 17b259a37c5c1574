/** What the control thread tells bid threads about counting, in shared memory: they read it with every request. */
import { mixWord } from '../foundation/hash.ts'
import { LIMITS } from '../limits.ts'

const OPEN = 0
const START_S = 1
const TASKS = 2
const OWN = 3
const HEAD_WORDS = 4
const BOARD_BYTES = (HEAD_WORDS + LIMITS.capTasksMax) * 4

/** Memory for one board. @param startS seconds since 1970 at which the machine's monotonic time began */
export function createCapBoard(startS: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(BOARD_BYTES)
  new Uint32Array(memory)[START_S] = startS
  return memory
}

/** One thread's view of it. */
export class CapBoard {
  readonly #words: Uint32Array

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Uint32Array(memory)
  }

  /**
   * Seconds since 1970 by a clock that does not jump: where the wall clock is put forward, nobody's impressions are
   * forgotten.
   */
  nowS(monotonicMs: number): number {
    return this.#words[START_S]! + Math.floor(monotonicMs / 1_000)
  }

  /** Whether earlier counts are there: before that nothing that has a cap bids. */
  get isOpen(): boolean {
    return Atomics.load(this.#words, OPEN) === 1
  }

  open(): void {
    Atomics.store(this.#words, OPEN, 1)
  }

  /**
   * Tells who shares the users of strict caps. A thread that reads meanwhile may mix the tasks before and after.
   * @param tasks hashes of all live tasks, this one's included; those beyond LIMITS.capTasksMax are left out
   */
  setTasks(tasks: readonly number[], own: number): void {
    const kept = tasks.slice(0, LIMITS.capTasksMax)
    this.#words.set(kept, HEAD_WORDS)
    this.#words[OWN] = own
    Atomics.store(this.#words, TASKS, kept.length)
  }

  /** Whether this task owns somebody: of all live tasks, it draws the highest lot for them. Cost: O(tasks) */
  owns(high: number, low: number): boolean {
    const words = this.#words
    const person = mixWord(high ^ Math.imul(low, 0x9e3779b1))
    const own = mixWord(person ^ words[OWN]!)
    const end = HEAD_WORDS + words[TASKS]!
    for (let at = HEAD_WORDS; at < end; at++) if (mixWord(person ^ words[at]!) > own) return false
    return true
  }
}
