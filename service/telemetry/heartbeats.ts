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
