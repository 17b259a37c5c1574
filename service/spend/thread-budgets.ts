/** Budgets and rates of a catalog, as one bid thread reads and holds them. */

import type { CatalogShares } from './budget-layer.ts'
import type { Shares } from './shares.ts'

/** What a notice says of a hold; `lease` is '' and `day` undefined for a bid that holds nothing. */
interface Hold {
  readonly lease: string
  readonly bucket: number
  readonly day: number | undefined
}

const NO_BUDGET = -1
const NOT_HELD: Hold = Object.freeze({ lease: '', bucket: 0, day: undefined })

/** Asked by the engine, and once more for the bid that is made. Line items are ordinals of the catalog. */
export class ThreadBudgets {
  readonly passRatePpm: Uint32Array
  readonly #shares: Shares
  readonly #slices: Int32Array
  readonly #priceNanos: Float64Array
  /** See Allowance.empty. */
  readonly #empty: Uint32Array
  /** See Shares.increases: when the first of them was marked. */
  #increases = 0

  /** @param priceNanos of one impression, by ordinal */
  constructor(shares: Shares, { slices, rates }: CatalogShares, priceNanos: Float64Array) {
    this.#shares = shares
    this.passRatePpm = new Uint32Array(rates)
    this.#slices = new Int32Array(slices)
    this.#priceNanos = priceNanos
    this.#empty = new Uint32Array((this.#slices.length + 31) >>> 5)
  }

  /** Whether a bid of this amount can be held now. A bid in a test auction costs nothing, and needs no lease. */
  covers(lineItem: number, amountNanos: number): boolean {
    const slice = this.#slices[lineItem] as number
    if (slice === NO_BUDGET || amountNanos === 0 || this.#shares.covers(slice, amountNanos)) return true
    // Another amount says nothing of the next bid's.
    if (amountNanos === this.#priceNanos[lineItem]) {
      const marked = this.#marked()
      marked[lineItem >>> 5] = (marked[lineItem >>> 5] as number) | (1 << (lineItem & 31))
    }
    return false
  }

  /** As Allowance.empty: what was not covered at its price since there was last more to hold. */
  empty(): Uint32Array {
    return this.#marked()
  }

  /** What could hold no bid can hold none before there is more to hold. Cost: O(line items / 32) then. */
  #marked(): Uint32Array {
    if (this.#increases !== this.#shares.increases) {
      this.#increases = this.#shares.increases
      this.#empty.fill(0)
    }
    return this.#empty
  }

  /** See Shares.want. */
  want(lineItem: number, amountNanos: number): void {
    const slice = this.#slices[lineItem] as number
    if (slice !== NO_BUDGET) this.#shares.want(slice, amountNanos)
  }

  /**
   * Holds the price of a bid until it expires; nothing without a budget or a price. Changes the thread's shares.
   * @param nowMs monotonic
   * @returns where it is held, valid until the next hold; undefined when it cannot be, and then there must be no bid
   */
  hold(lineItem: number, amountNanos: number, nowMs: number, holdMs: number): Hold | undefined {
    const slice = this.#slices[lineItem] as number
    if (slice === NO_BUDGET || amountNanos === 0) return NOT_HELD
    return this.#shares.hold(slice, amountNanos, nowMs, holdMs) ? this.#shares : undefined
  }

  /** There is no such bid after all. Only for holds that no report has told of, as those of the request at hand. */
  release(lineItem: number, amountNanos: number, hold: Hold): void {
    if (hold.lease !== '') this.#shares.release(this.#slices[lineItem] as number, amountNanos, hold)
  }
}
