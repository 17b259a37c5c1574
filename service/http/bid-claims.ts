/**
 * What a bid takes before it is made: of the guard on all spend, of a lease, and of frequency caps. It takes all of it
 * or nothing; and while a request is answered, what its bids took can be given back.
 */
import type { NoBidReason } from '../decision/reasons.ts'
import type { Hold, SpendLimit } from './budgets.ts'
import type { ServedCatalog } from './served-catalog.ts'

/** A bid that is about to be made. */
interface Claimant {
  readonly served: ServedCatalog
  readonly lineItem: number
  readonly creative: number
  /** What it costs at most. */
  readonly amountNanos: number
  /** Seconds from now. */
  readonly expiresS: number
}

/** What a bid costs at most, where that is held, and for how long. */
export interface BidCost {
  readonly amountNanos: number
  /** Valid until the next hold. */
  readonly hold: Hold
  /** What it counts for, see Caps. */
  readonly counted: string
  /** Seconds from now. */
  readonly expiresS: number
}

interface Claim {
  readonly claimant: Claimant
  readonly hold: Hold
  readonly counted: string
}

/** Claims of one bid thread, for one request after another. Every method changes them. */
export class BidClaims {
  readonly #spendLimit: SpendLimit | undefined
  #monotonicMs = 0
  #claims: Claim[] = []

  constructor(spendLimit: SpendLimit | undefined) {
    this.#spendLimit = spendLimit
  }

  /** Another request: what was taken until now is the bids' for good. @param monotonicMs when it came */
  begin(monotonicMs: number): void {
    this.#monotonicMs = monotonicMs
    if (this.#claims.length > 0) this.#claims = []
  }

  /** Takes all that a bid needs. @returns what it costs; or, and then nothing is taken, why there must be no bid */
  take(claimant: Claimant): BidCost | NoBidReason {
    const { served, lineItem, creative, amountNanos, expiresS } = claimant
    const { budgets, caps } = served
    if (this.#spendLimit?.take(amountNanos) === false) return 'spending-too-fast'
    const hold = budgets.hold(lineItem, amountNanos, this.#monotonicMs, expiresS * 1_000)
    if (hold === undefined) {
      this.#spendLimit?.giveBack(amountNanos)
      return 'no-budget'
    }
    const counted = caps.take(lineItem, creative, expiresS)
    if (counted === undefined) {
      // Another thread was faster.
      budgets.release(lineItem, amountNanos, hold)
      this.#spendLimit?.giveBack(amountNanos)
      return 'frequency-capped'
    }
    const { lease, bucket, day } = hold
    this.#claims.push({ claimant, hold: { lease, bucket, day }, counted })
    return { amountNanos, hold, counted, expiresS }
  }

  /** None of the request's bids is made. Cost: O(them) */
  giveBack(): void {
    for (const { claimant, hold, counted } of this.#claims) {
      const { served, lineItem, amountNanos } = claimant
      served.caps.giveBack(counted)
      served.budgets.release(lineItem, amountNanos, hold)
      this.#spendLimit?.giveBack(amountNanos)
    }
    this.#claims = []
  }
}
