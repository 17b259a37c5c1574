/** What the bid path asks of budgets: the port to whoever leases them. */
import type { Allowance } from '../decision/allowance.ts'
import { BUDGET_KIND } from '../state/budget-fields.ts'
import type { Catalog } from '../state/catalog.ts'

/** What a notice says of a hold; `lease` is '' and `day` undefined for a bid that holds nothing. */
export interface Hold {
  readonly lease: string
  readonly bucket: number
  /** Whole days since 1970 in the tenant's time zone. */
  readonly day: number | undefined
}

/** Budgets of one catalog. Asked by the engine, and once more for the bid that is made. */
export interface Budgets extends Allowance {
  /**
   * Holds the price of a bid until it expires.
   * @param nowMs monotonic
   * @returns where it is held, valid until the next hold; undefined when it cannot be, and then there must be no bid
   */
  hold(lineItem: number, amountNanos: number, nowMs: number, holdMs: number): Hold | undefined
  /** There is no such bid after all: what this request held there is free again. */
  release(lineItem: number, amountNanos: number, hold: Hold): void
}

/** The guard on all that a tenant spends. */
export interface SpendLimit {
  /** Takes what a bid may cost. @returns false when there must be no bid */
  take(amountNanos: number): boolean
  /** Gives back what a bid took that is not made. */
  giveBack(amountNanos: number): void
}

const NOT_HELD: Hold = Object.freeze({ lease: '', bucket: 0, day: undefined })

/** Where nobody leases: a line item that has a budget does not bid. */
export function withoutLeases({ columns }: Catalog): Budgets {
  const { lineItemPassRatePpm: passRatePpm, lineItemBudgetKind: kinds } = columns
  const covers = (lineItem: number): boolean => kinds[lineItem] === BUDGET_KIND.none
  return { passRatePpm, covers, want: () => {}, empty: () => undefined, hold: () => NOT_HELD, release: () => {} }
}
