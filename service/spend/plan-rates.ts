/** The rates at which plans let line items take part: one pacer for each line item and campaign that has one. */
import type { BudgetedLineItem, PacedBudget } from './catalog-budgets.ts'
import type { Forecast } from './forecast.ts'
import { Pacer, type PlanView } from './pacing.ts'
import type { TaskLedger } from './task-ledger.ts'

/** Now, on the wall and on the task's own clock. */
export interface Now {
  readonly nowMs: number
  readonly monotonicMs: number
}

/** Every method changes it. */
export class PlanRates {
  readonly #ledger: TaskLedger
  /** By owner. */
  readonly #pacers = new Map<string, { key: string; readonly pacer: Pacer }>()
  readonly #forecast: () => Forecast | undefined

  /** @param forecast what traffic is to be expected; undefined: hours are all alike */
  constructor(ledger: TaskLedger, forecast: () => Forecast | undefined = () => undefined) {
    this.#ledger = ledger
    this.#forecast = forecast
  }

  /** Of plans that are followed. Cost: O(those). */
  get pacers(): readonly Pacer[] {
    return [...this.#pacers.values()].map(({ pacer }) => pacer)
  }

  /** What is known of plans that are followed, by owner. Cost: O(those). */
  get views(): ReadonlyMap<string, PlanView> {
    const views = new Map<string, PlanView>()
    for (const [owner, { pacer }] of this.#pacers) {
      const { view } = pacer
      if (view !== undefined) views.set(owner, view)
    }
    return views
  }

  /**
   * The part of all opportunities that a line item takes part in: the lower rate of its own plan and its campaign's.
   * Multiplied, two plans for the same money would begin at a hundredth, and correct each error twice. To be asked
   * about once a second; a ledger that tells nothing leaves rates as they are.
   */
  rateOf({ paced }: BudgetedLineItem, { nowMs, monotonicMs }: Now): number {
    const ledger = this.#ledger
    const isTold = !ledger.isSilent(monotonicMs)
    const pacers = paced.map(each => {
      const pacer = this.#pacerOf(each)
      const spentNanos = ledger.spentNanos(each.account) - ledger.addedNanos(each.account)
      if (isTold && ledger.knows(each.account)) pacer.look(nowMs, spentNanos, this.#forecast())
      return pacer
    })
    const rate = Math.min(1, ...pacers.map(({ passRate }) => passRate))
    for (const pacer of pacers) pacer.note(rate)
    return rate
  }

  /** Rates by owner: what tasks tell each other; undefined for one that is a guess. Cost: O(owners). */
  get rates(): ReadonlyMap<string, number | undefined> {
    return new Map([...this.#pacers].map(([owner, { pacer }]) => [owner, pacer.isLearned ? pacer.passRate : undefined]))
  }

  /** Takes what tasks agree on, by owner. Cost: O(owners). */
  agree(rates: ReadonlyMap<string, number>): void {
    for (const [owner, rate] of rates) this.#pacers.get(owner)?.pacer.agree(rate)
  }

  /** Other owners have no plans to follow any more. Cost: O(owners). */
  keep(owners: ReadonlySet<string>): void {
    for (const owner of this.#pacers.keys()) if (!owners.has(owner)) this.#pacers.delete(owner)
  }

  #pacerOf({ key, owner, options }: PacedBudget): Pacer {
    const known = this.#pacers.get(owner)
    if (known?.key === key) return known.pacer
    if (known === undefined) {
      const pacer = new Pacer(options)
      this.#pacers.set(owner, { key, pacer })
      return pacer
    }
    known.key = key
    known.pacer.follow(options)
    return known.pacer
  }
}
