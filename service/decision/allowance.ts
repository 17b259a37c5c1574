/** What pacing and budgets leave to line items, asked last. It changes while a catalog serves. */
import type { Catalog } from '../state/catalog.ts'

/** Told by who leases budgets and steers pacing. */
export interface Allowance {
  /** Of 1,000,000 opportunities, how many each line item takes part in, by ordinal. */
  readonly passRatePpm: Uint32Array
  /**
   * Whether a bid of this amount, its price times what it is billed as, can be held now. Must be cheap, and must not
   * change what it answers until a bid is held.
   */
  covers(lineItem: number, amountNanos: number): boolean
  /** Told of the first few of a decision that are not covered, so that more is leased. */
  want(lineItem: number, amountNanos: number): void
  /**
   * A bit per line item that is known not to cover one impression at its price, so that a decision can pass over whole
   * words of them; some may be missing. True until the decision's end. Undefined where nobody keeps them.
   */
  empty(): Uint32Array | undefined
}

/** Pacing as documents fix it, and no budgets. */
export function unlimited({ columns }: Catalog): Allowance {
  return { passRatePpm: columns.lineItemPassRatePpm, covers: () => true, want: () => {}, empty: () => undefined }
}
