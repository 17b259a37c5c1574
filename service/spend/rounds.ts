/**
 * Goes round the values of a map, each once a period, with a part of them at every turn: what has to be done for 10,000
 * values once a second would else stop whoever does it for 0.1 s at once. Values may come and go.
 */
export class Rounds<V> {
  readonly #values: ReadonlyMap<unknown, V>
  readonly #periodMs: number
  #place: Iterator<V> | undefined
  #turnedMs = Number.NEGATIVE_INFINITY
  /** How many are due, times the period. */
  #due = 0

  constructor(values: ReadonlyMap<unknown, V>, periodMs: number) {
    this.#values = values
    this.#periodMs = periodMs
  }

  /** All of them are due at the next turn. */
  hurry(): void {
    this.#turnedMs = Number.NEGATIVE_INFINITY
  }

  /** Takes a turn. @returns those that are due by the time since the last one; all of them after a period */
  *due(monotonicMs: number): Generator<V> {
    const { size } = this.#values
    const elapsedMs = Math.min(this.#periodMs, monotonicMs - this.#turnedMs)
    this.#turnedMs = monotonicMs
    this.#due = Math.min(size * this.#periodMs, this.#due + size * elapsedMs)
    for (; this.#due >= this.#periodMs; this.#due -= this.#periodMs) {
      const next = this.#next()
      if (next.done === true) return
      yield next.value
    }
  }

  #next(): IteratorResult<V> {
    const next = this.#place?.next()
    if (next?.done === false) return next
    this.#place = this.#values.values()
    return this.#place.next()
  }
}
