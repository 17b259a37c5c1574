/** What metrics show of a task's budgets, in few numbers however many there are. */
import type { Lease } from './lease.ts'
import type { Pacer } from './pacing.ts'

/** Sums over all leases and plans of a task. */
export interface BudgetsView {
  readonly leases: number
  readonly heldNanos: number
  readonly roomNanos: number
  readonly plans: number
  /** Plans whose spend is more than 5 % of the budget behind, or ahead. */
  readonly behind: number
  readonly ahead: number
  /** Mean pass-through rate of the plans, 0 to 1; 1 where there is none. */
  readonly passRate: number
}

/** The budget of one line item, as one task knows it. */
export interface KnownBudget {
  readonly lineItemId: string
  /** What bids may still hold of its leases: in the threads' shares, and what they have not been given yet. */
  readonly leftNanos: number
  /** Not enough for one bid. */
  readonly isSpent: boolean
  /** Of 1,000,000 opportunities, how many it takes part in. */
  readonly passRatePpm: number
  /** Whose plans it follows, its own first. */
  readonly planOwners: readonly string[]
}

const OFF_PLAN = 0.05

/** Cost: O(leases + plans). */
export function budgetsView(leases: Iterable<Lease>, pacers: readonly Pacer[]): BudgetsView {
  let [count, heldNanos, roomNanos] = [0, 0, 0]
  for (const lease of leases) {
    count++
    heldNanos += lease.heldNanos
    roomNanos += Math.max(0, lease.roomNanos)
  }
  const rates = pacers.reduce((sum, { passRate }) => sum + passRate, 0)
  return {
    ...{ leases: count, heldNanos, roomNanos, plans: pacers.length },
    behind: pacers.filter(({ behind }) => behind > OFF_PLAN).length,
    ahead: pacers.filter(({ behind }) => behind < -OFF_PLAN).length,
    passRate: pacers.length === 0 ? 1 : rates / pacers.length,
  }
}

interface Opened {
  readonly slice: { readonly leases: readonly Lease[] }
  readonly lineItem: {
    readonly id: string
    readonly priceNanos: number
    readonly paced: readonly { readonly owner: string }[]
  }
}

interface Served {
  readonly layer: { readonly rates: Uint32Array }
  readonly ordinal: number
}

/** What is known of a slice that was opened, by where its line item is served. Pure. Cost: O(leases) */
export function knownBudget({ slice: { leases }, lineItem }: Opened, { layer, ordinal }: Served): KnownBudget {
  const { id, priceNanos, paced } = lineItem
  const leftNanos = leases.reduce((sum, lease) => sum + Math.max(0, lease.roomNanos) + lease.sharedNanos, 0)
  const passRatePpm = layer.rates[ordinal] as number
  const planOwners = paced.map(({ owner }) => owner)
  return { lineItemId: id, leftNanos, isSpent: leftNanos < priceNanos, passRatePpm, planOwners }
}
