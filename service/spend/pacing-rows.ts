/** Line items that follow plans, as the admin port lists them. Pure. Amounts are in the tenant's currency. */
import { accountName } from './accounts.ts'
import type { KnownBudget } from './budgets-view.ts'
import { type PacingPlan, type PlanView, plannedShare } from './pacing.ts'
import type { PlanPoint } from './plan-history.ts'

/** A plan, and how far its budget has come in all tasks. */
export interface PlanRow {
  readonly of: 'line-item' | 'campaign'
  readonly id: string
  readonly plan: PacingPlan['kind']
  readonly startMs: number
  readonly endMs: number
  readonly limit: number
  readonly spent: number
  /** What the plan wants to have been spent by now. */
  readonly planned: number
  /** Share of the budget by which spend is behind the plan; below 0 ahead of it. */
  readonly behind: number
  /** Planned shares of the budget at equal distances from the start to the end. */
  readonly curve: readonly number[]
  /** What was spent, oldest first, since this task follows the plan. */
  readonly points: readonly (readonly [atMs: number, spent: number])[]
}

/** A line item with its own plan, its campaign's, or both. */
export interface PacingRow {
  readonly lineItemId: string
  /** Part of the opportunities that it takes part in: the lowest of its plans' and its documents'. */
  readonly takesPart: number
  readonly plans: readonly PlanRow[]
}

/** Which of them. */
export interface PacingQuery {
  /** Part of an id, of a line item or of what has the plan. */
  readonly search?: string
  readonly limit: number
}

/** What the task knows of plans. */
export interface KnownPlans {
  readonly budgets: readonly KnownBudget[]
  readonly views: ReadonlyMap<string, PlanView>
  readonly pointsOf: (owner: string) => readonly PlanPoint[]
}

const NANOS = 1e9
const PPM = 1e6
const CURVE_PARTS = 48

/** @returns how many there are, and those furthest from their plans. Cost: O(budgets) */
export function pacingRows(
  { budgets, views, pointsOf }: KnownPlans,
  { search = '', limit }: PacingQuery,
  nowMs: number,
): { readonly total: number; readonly rows: readonly PacingRow[] } {
  const found = budgets.flatMap(budget => {
    const plans = budget.planOwners.flatMap(owner => {
      const view = views.get(owner)
      return view === undefined ? [] : [{ owner, view }]
    })
    const isWanted = [budget.lineItemId, ...plans.map(({ owner }) => owner)].some(id => id.includes(search))
    const off = Math.max(...plans.map(({ view }) => Math.abs(view.behind)))
    return plans.length === 0 || !isWanted ? [] : [{ budget, plans, off }]
  })
  found.sort((a, b) => b.off - a.off || (a.budget.lineItemId < b.budget.lineItemId ? -1 : 1))
  const rows = found.slice(0, limit).map(({ budget: { lineItemId, passRatePpm }, plans }) => ({
    lineItemId,
    takesPart: passRatePpm / PPM,
    plans: plans.map(({ owner, view }) => planRow(owner, view, { points: pointsOf(owner), nowMs })),
  }))
  return { total: found.length, rows }
}

function planRow(
  owner: string,
  { options, spentNanos, behind }: PlanView,
  { points, nowMs }: { readonly points: readonly PlanPoint[]; readonly nowMs: number },
): PlanRow {
  const { plan, limitNanos, startMs, endMs } = options
  const { kind, id } = accountName(owner) ?? { kind: 'line-item', id: owner }
  const limit = limitNanos / NANOS
  const planned = limit * plannedShare(plan, (nowMs - startMs) / (endMs - startMs))
  return {
    ...{ of: kind === 'campaign' ? 'campaign' : 'line-item', id, plan: plan.kind, startMs, endMs },
    ...{ limit, spent: spentNanos / NANOS, planned, behind },
    curve: Array.from({ length: CURVE_PARTS + 1 }, (_, i) => plannedShare(plan, i / CURVE_PARTS)),
    points: points.map(point => [point.atMs, point.spentNanos / NANOS]),
  }
}
