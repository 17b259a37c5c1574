/** What this task counts of each line item, exactly and always: no label of a metric, because there are too many. */
import { LIMITS } from '../limits.ts'

/** Of one line item, since the task began. Bid threads tell bids once a second; the rest is counted by notices. */
export interface LineItemCount {
  bids: number
  /** Win notices, each once. */
  wins: number
  /** Bills, each once; and what they came to, in nanos of the ledger currency. */
  billed: number
  spendNanos: number
}

const NOTHING: Readonly<LineItemCount> = Object.freeze({ bids: 0, wins: 0, billed: 0, spendNanos: 0 })

/** Counts by line item id. A bill may be for a bid of another task, or of a line item that is not served any more. */
export class LineItemCounts {
  readonly #counts = new Map<string, LineItemCount>()

  /** Adds n >= 0. More line items than a tenant may have are not counted. */
  add(lineItemId: string, what: keyof LineItemCount, n: number): void {
    let count = this.#counts.get(lineItemId)
    if (count === undefined) {
      if (this.#counts.size >= 2 * LIMITS.lineItemsMax) return
      count = { ...NOTHING }
      this.#counts.set(lineItemId, count)
    }
    count[what] += n
  }

  /** What a bid thread has told. */
  addBids(bids: readonly (readonly [lineItemId: string, bids: number])[]): void {
    for (const [id, n] of bids) this.add(id, 'bids', n)
  }

  of(lineItemId: string): Readonly<LineItemCount> {
    return this.#counts.get(lineItemId) ?? NOTHING
  }
}
