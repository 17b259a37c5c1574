/** Wires the tenant's guards on the control thread: what is too dear, and what is spent too fast. */

import type { BudgetLayer } from './spend/budget-layer.ts'
import { aboveMaximumCpm, lineItemIdAt } from './spend/catalog-budgets.ts'
import { createGuardMemory, SpendGuard } from './spend/spend-guard.ts'
import { limitNanos } from './state/budget-fields.ts'
import type { Logger } from './telemetry/logger.ts'

/** So long after the last bid that was held back it is over. */
const CALM_MS = 60_000

/** The guards of one task. */
export class Guards {
  /** For the bid threads, see SpendBrake. */
  readonly memory = createGuardMemory()
  readonly #spend = new SpendGuard(this.memory)
  readonly #log: Logger
  #heldBackMs: number | undefined
  #heldBack = 0

  constructor(log: Logger) {
    this.#log = log
  }

  /** They serve: the newest settings count, which are the overlay's. */
  serve(layers: readonly BudgetLayer[]): void {
    const settings = layers.at(-1)?.catalog.header.settings
    if (settings === undefined) return
    const max = settings.guards?.spendPerMinuteMax
    this.#spend.limit(max === undefined ? undefined : limitNanos(max))
    // What an overlay replaces below is told until the next version.
    const ids = layers.flatMap(({ catalog }) =>
      aboveMaximumCpm(catalog, settings).map(ordinal => lineItemIdAt(catalog, ordinal)),
    )
    if (ids.length === 0) return
    const fields = { too_dear: new Set(ids).size, line_item: ids[0] ?? '' }
    this.#log.error('above-maximum-cpm', 'line items are too dear to bid', { fields })
  }

  /** This task has booked so much, in nanos. */
  booked(nanos: number): void {
    this.#spend.booked(nanos)
  }

  /** Lets bids through; some ten times a second. @param tasks that live, this one included */
  turn(monotonicMs: number, tasks: number): void {
    const heldBack = this.#spend.look({ monotonicMs, tasks })
    this.#heldBack += heldBack
    if (heldBack > 0) {
      if (this.#heldBackMs === undefined)
        this.#log.error('spending-too-fast', 'bids are held back: a minute of them would cost more than the maximum')
      this.#heldBackMs = monotonicMs
    } else if (this.#heldBackMs !== undefined && monotonicMs - this.#heldBackMs >= CALM_MS) {
      const fields = { held_back: this.#heldBack }
      this.#log.info('spending-calm', 'bids are no longer held back', { fields })
      this.#heldBackMs = undefined
      this.#heldBack = 0
    }
  }
}
