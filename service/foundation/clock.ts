/** Time as an argument: business rules never read a clock themselves. */
export interface Clock {
  /** Wall clock, milliseconds since 1970, may jump. */
  nowMs(): number
  /** Milliseconds since some start, never goes back, the same for all threads; for durations and deadlines. */
  monotonicMs(): number
}

/** The machine's clock. Its monotonic time begins with the machine, so threads can compare theirs. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => {
    const [seconds, nanoseconds] = process.hrtime()
    return seconds * 1e3 + nanoseconds / 1e6
  },
}
