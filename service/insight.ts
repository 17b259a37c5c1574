/** Wires what tells people about bids: the explainer, with what this task knows of budgets and stops. */

import type { LotExplanation } from './decision/explain.ts'
import { Explainer } from './explainer.ts'
import type { Clock } from './foundation/clock.ts'
import type { ExplainCall, InsightReply } from './http/insight-routes.ts'
import type { Announcement } from './remote-cache/source.ts'
import type { KnownBudget } from './spend/budgets-view.ts'
import type { StopList } from './stop-list.ts'
import type { ExplainThreadData } from './thread-messages.ts'

/** What telling needs of the task; each is asked anew for every question. */
export interface InsightOptions {
  readonly thread: Omit<ExplainThreadData, 'heapMib'>
  readonly clock: Clock
  /** What is served, undefined before the first version. */
  readonly held: () => Announcement | undefined
  readonly freeBytes: () => number
  readonly stops: () => StopList
  /** Undefined where no notices can come: then nothing with a budget bids. */
  readonly money: { knownBudgets(): readonly KnownBudget[] } | undefined
}

const NANOS = 1e9
const NOT_LOOKED_AT = [
  'frequency caps',
  'published audiences',
  'chance where a plan slows down',
  'how long the request waited',
]

/** Answers the admin port. */
export class Insight {
  readonly #options: InsightOptions
  readonly #explainer: Explainer

  constructor(options: InsightOptions) {
    this.#options = options
    this.#explainer = new Explainer(options)
  }

  /** Why a bid request would be answered as it would be now, with the state that serves. Spends nothing. */
  async explain({ request, exchange, lineItem, at }: ExplainCall): Promise<InsightReply> {
    const { clock, money, stops } = this.#options
    const held = this.#options.held()
    if (held === undefined) return { status: 503, body: { error: 'no state is served yet; see /state' } }
    const nowMs = at === undefined ? clock.nowMs() : Date.parse(at)
    if (Number.isNaN(nowMs)) return { status: 400, body: { error: `at is no instant: ${at}` } }
    const budgets = money?.knownBudgets() ?? []
    const spent = budgets.flatMap(({ isSpent, lineItemId }) => (isSpent ? [lineItemId] : []))
    const answer = await this.#explainer.ask({ held, request, exchange, lineItem, nowMs, stops: stops(), spent })
    if (answer.kind === 'refused') return { status: answer.status, body: { error: answer.error } }
    const { explanation, problems } = answer
    const live = this.#liveOf(
      explanation.impressions.flatMap(({ lots }) => lots),
      budgets,
    )
    return {
      status: 200,
      body: { ...explanation, state: held.version, problems, live, notLookedAt: NOT_LOOKED_AT },
    }
  }

  /** What this task knows now of line items that are told, by id: those with a budget, and those that are stopped. */
  #liveOf(lots: readonly LotExplanation[], budgets: readonly KnownBudget[]): Readonly<Record<string, object>> {
    const stops = this.#options.stops()
    const budgetOf = new Map(budgets.map(budget => [budget.lineItemId, budget]))
    const live: Record<string, object> = {}
    for (const { id, campaignId } of lots.flatMap(({ winners, others }) => [...winners, ...others])) {
      const budget = budgetOf.get(id)
      const stopped = stops.lineItems.includes(id) || stops.campaigns.includes(campaignId)
      if (budget === undefined && !stopped) continue
      live[id] = {
        ...(budget && { leaseLeft: budget.leftNanos / NANOS, passRate: budget.passRatePpm / 1e6 }),
        ...(stopped ? { stopped } : {}),
      }
    }
    return live
  }

  async stop(): Promise<void> {
    await this.#explainer.stop()
  }
}
