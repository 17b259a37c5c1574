/** Which event loops turn. One 64-bit float of shared memory per thread, written by it alone; 0 = it has not begun. */
import { LIMITS } from '../limits.ts'

/** The control thread's place; bid threads are 1, 2, … */
export const CONTROL_THREAD = 0
/** Each thread says so often that it turns. */
export const HEARTBEAT_MS = 1_000

/** Memory for the control thread and so many bid threads. */
export function createHeartbeats(bidThreads: number): SharedArrayBuffer {
  return new SharedArrayBuffer((bidThreads + 1) * Float64Array.BYTES_PER_ELEMENT)
}

/** The beats of all threads, as one of them sees and writes them. Times are monotonic ms that threads share. */
export class Heartbeats {
  readonly #beatsMs: Float64Array

  /** @param memory from createHeartbeats */
  constructor(memory: SharedArrayBuffer) {
    this.#beatsMs = new Float64Array(memory)
  }

  /** The thread's loop turns now. */
  beat(thread: number, nowMs: number): void {
    this.#beatsMs[thread] = nowMs
  }

  /** When a thread last beat; 0 = it has not begun, or has ended. */
  lastMs(thread: number): number {
    return this.#beatsMs[thread] as number
  }

  /** The thread has ended: nobody waits for its next beat. */
  forget(thread: number): void {
    this.#beatsMs[thread] = 0
  }

  /** Whether every thread that has begun has beaten lately, the control thread included. Cost: O(threads). */
  areFresh(nowMs: number): boolean {
    const oldestMs = nowMs - LIMITS.heartbeatAgeMsMax
    return this.#beatsMs.every(beatMs => beatMs === 0 || beatMs >= oldestMs)
  }
}

/**
 * Finds bid threads whose event loop turns no more. It counts its own looks and reads no clock: a process that was
 * paused as a whole wakes up with old beats, and none of its threads is stuck.
 */
export class StuckWatch {
  readonly #heartbeats: Heartbeats
  readonly #seen: { beatMs: number; looks: number }[]

  /** @param bidThreads how many there are; they count from 1 */
  constructor(heartbeats: Heartbeats, bidThreads: number) {
    this.#heartbeats = heartbeats
    this.#seen = Array.from({ length: bidThreads }, () => ({ beatMs: 0, looks: 0 }))
  }

  /**
   * To be called every HEARTBEAT_MS; remembers what it saw. Cost: O(threads).
   * @returns threads that have not beaten for LIMITS.stuckBeatsMax looks, or have not begun for many more: each once,
   *   until as many looks have passed again
   */
  look(): readonly number[] {
    const stuck: number[] = []
    for (const [index, seen] of this.#seen.entries()) {
      const beatMs = this.#heartbeats.lastMs(index + 1)
      const isSame = beatMs === seen.beatMs
      seen.looks = isSame ? seen.looks + 1 : 0
      seen.beatMs = beatMs
      const looksMax = beatMs === 0 ? LIMITS.threadStartBeatsMax : LIMITS.stuckBeatsMax
      if (seen.looks < looksMax) continue
      seen.looks = 0
      stuck.push(index + 1)
    }
    return stuck
  }
}
