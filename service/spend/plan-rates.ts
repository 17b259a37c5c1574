/** The rates at which plans let line items take part: one pacer for each account that is spent along a plan. */
import type { BudgetedLineItem, PacedBudget } from './catalog-budgets.ts'
import { Pacer } from './pacing.ts'
import type { TaskLedger } from './task-ledger.ts'

/** Now, on the wall and on the task's own clock. */
export interface Now {
  readonly nowMs: number
  readonly monotonicMs: number
}

/** Every method changes it. */
export class PlanRates {
  readonly #ledger: TaskLedger
  /** By account. */
  readonly #pacers = new Map<string, { readonly key: string; readonly pacer: Pacer }>()

  constructor(ledger: TaskLedger) {
    this.#ledger = ledger
  }

  /** Of plans that are followed. Cost: O(those). */
  get pacers(): readonly Pacer[] {
    return [...this.#pacers.values()].map(({ pacer }) => pacer)
  }

  /**
   * The part of all opportunities that a line item takes part in by its own plan and its campaign's. To be asked about
   * once a second; a ledger that tells nothing leaves rates as they are.
   */
  rateOf({ paced }: BudgetedLineItem, { nowMs, monotonicMs }: Now): number {
    const ledger = this.#ledger
    const isTold = !ledger.isSilent(monotonicMs)
    let rate = 1
    for (const each of paced) {
      const pacer = this.#pacerOf(each)
      if (isTold && ledger.knows(each.account))
        pacer.look(nowMs, ledger.spentNanos(each.account) - ledger.addedNanos(each.account))
      rate *= pacer.passRate
    }
    return rate
  }

  /** Other accounts have no plans to follow any more. Cost: O(accounts). */
  keep(accounts: ReadonlySet<string>): void {
    for (const account of this.#pacers.keys()) if (!accounts.has(account)) this.#pacers.delete(account)
  }

  #pacerOf({ key, account, options }: PacedBudget): Pacer {
    const known = this.#pacers.get(account)
    if (known?.key === key) return known.pacer
    const pacer = new Pacer(options)
    this.#pacers.set(account, { key, pacer })
    return pacer
  }
}
