/** Budgets and rates of a catalog, as one bid thread reads and holds them. */
import type { Shares } from './shares.ts'
import type { CatalogShares } from './task-budgets.ts'

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

  constructor(shares: Shares, { slices, rates }: CatalogShares) {
    this.#shares = shares
    this.passRatePpm = new Uint32Array(rates)
    this.#slices = new Int32Array(slices)
  }

  /** Whether a bid of this amount can be held now. A bid in a test auction costs nothing, and needs no lease. */
  covers(lineItem: number, amountNanos: number): boolean {
    const slice = this.#slices[lineItem] as number
    return slice === NO_BUDGET || amountNanos === 0 || this.#shares.covers(slice, amountNanos)
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
