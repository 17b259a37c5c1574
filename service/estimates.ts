/**
 * What is estimated from sampled requests: each was taken by chance with a known share, so that it stands for as many
 * requests as its weight says. Sums of weights are unbiased, and so is their variance (Horvitz and Thompson, 1952).
 */

/** An estimate: between value − error and value + error in 95 of 100 cases, where there are enough samples. */
export interface Estimate {
  readonly value: number
  readonly error: number
  /** Samples in which it was seen. */
  readonly samples: number
}

/** Standard errors on each side that hold 95 %. */
const Z_95 = 1.96

/** Counts seen samples. */
export class Tally {
  #samples = 0
  #sum = 0
  #variance = 0

  /** @param weight how many requests the sample stands for @param part of it that counts, 0 to 1 */
  add(weight: number, part = 1): void {
    this.#samples++
    this.#sum += weight * part
    this.#variance += part * part * weight * (weight - 1)
  }

  get estimate(): Estimate {
    return { value: this.#sum, error: Math.round(Z_95 * Math.sqrt(this.#variance)), samples: this.#samples }
  }
}
