/** Wires what plans learn on the control thread: the tenant's traffic by the hour, and the rates of other tasks. */
import type { Clock } from './foundation/clock.ts'
import { LIMITS } from './limits.ts'
import { Forecast, hourAt } from './spend/forecast.ts'
import type { PlanBoard } from './spend/plan-board.ts'
import type { PlanRates } from './spend/plan-rates.ts'

/** What plans need of the control thread. */
export interface TaskPlansOptions {
  readonly board: PlanBoard
  readonly clock: Clock
  /** Opportunities of this task since it started. */
  readonly opportunities: () => number
  readonly onFailure: () => void
}

/** The plans of one task. What is away is asked again; meanwhile plans go on by what they know. */
export class TaskPlans {
  readonly #options: TaskPlansOptions
  #forecast: Forecast | undefined
  #counted = 0
  #countedMs: number
  #turn: Promise<void> | undefined
  #turning: NodeJS.Timeout | undefined

  constructor(options: TaskPlansOptions) {
    this.#options = options
    this.#countedMs = Number.NEGATIVE_INFINITY
  }

  /** What traffic is to be expected; undefined before the first answer. */
  get forecast(): Forecast | undefined {
    return this.#forecast
  }

  /** Begins to tell and to ask. */
  start(rates: PlanRates): void {
    const turn = (): void => {
      this.#turn ??= this.#take(rates)
        .catch(() => this.#options.onFailure())
        .finally(() => {
          this.#turn = undefined
        })
    }
    turn()
    this.#turning = setInterval(turn, LIMITS.planExchangeMs)
  }

  /** Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    clearInterval(this.#turning)
    await this.#turn
  }

  async #take(rates: PlanRates): Promise<void> {
    const { board, clock, opportunities } = this.#options
    const nowMs = clock.nowMs()
    const monotonicMs = clock.monotonicMs()
    if (monotonicMs - this.#countedMs >= LIMITS.trafficTellMs) {
      const count = opportunities()
      this.#forecast = new Forecast(await board.addTraffic(hourAt(nowMs), count - this.#counted), nowMs)
      this.#counted = count
      this.#countedMs = monotonicMs
    }
    const own = rates.rates
    if (own.size > 0) rates.agree(await board.exchange(own, nowMs))
  }
}
