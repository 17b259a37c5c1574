/** A source of chance: whole numbers, 0 <= n < count. An argument wherever chance decides: a seed repeats a run. */
export type PickIndex = (count: number) => number

/**
 * A seeded generator (sfc32, from PractRand): the same seed gives the same numbers on every machine. Not for secrets.
 * @param seed any 32-bit whole number
 */
export class Random {
  #a = 0x9e3779b9
  #b = 0x243f6a88
  #c: number
  #d = 1

  constructor(seed: number) {
    this.#c = seed | 0
    for (let i = 0; i < 12; i++) this.next()
  }

  /** 32 random bits as an unsigned whole number. */
  next(): number {
    const t = (((this.#a + this.#b) | 0) + this.#d) | 0
    this.#d = (this.#d + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (this.#c << 21) | (this.#c >>> 11)
    this.#c = (this.#c + t) | 0
    return t >>> 0
  }

  /** 0 <= x < 1 */
  unit(): number {
    return this.next() / 4_294_967_296
  }

  /** A whole number, 0 <= n < count. Bound as a field so that it can be passed as a PickIndex. */
  readonly pickIndex: PickIndex = count => Math.floor(this.unit() * count)

  /** A whole number, min <= n <= max. */
  between(min: number, max: number): number {
    return min + this.pickIndex(max - min + 1)
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.unit() < probability
  }

  /** One element of a list that is not empty. */
  pick<T>(list: readonly T[]): T {
    return list[this.pickIndex(list.length)] as T
  }

  /** An index below count by a Zipf-like law: low indexes are picked far more often. exponent 1 is the usual one. */
  zipf(count: number, exponent = 1): number {
    const u = this.unit()
    if (exponent === 1) return Math.min(count - 1, Math.floor((count + 1) ** u) - 1)
    const power = 1 - exponent
    return Math.min(count - 1, Math.floor((((count + 1) ** power - 1) * u + 1) ** (1 / power)) - 1)
  }
}
