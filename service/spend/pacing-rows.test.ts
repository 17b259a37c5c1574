import { describe, expect, test } from 'vitest'
import { LIMITS } from '../limits.ts'
import type { KnownBudget } from './budgets-view.ts'
import type { PlanView } from './pacing.ts'
import { pacingRows } from './pacing-rows.ts'
import { PlanHistory } from './plan-history.ts'

const DAY_MS = 86_400_000
const NANOS = 1e9

function view(spent: number, startMs = 0): PlanView {
  const options = { plan: { kind: 'even' }, limitNanos: 100 * NANOS, startMs, endMs: startMs + DAY_MS } as const
  return { options, spentNanos: spent * NANOS, behind: 0.5 - spent / 100 }
}

function budget(lineItemId: string, ...planOwners: string[]): KnownBudget {
  return { lineItemId, leftNanos: NANOS, isSpent: false, passRatePpm: 250_000, planOwners }
}

describe('pacingRows', () => {
  const budgets = [budget('li-even', 'l/li-even'), budget('li-two', 'l/li-two', 'c/winter'), budget('li-free')]
  const views = new Map([
    ['l/li-even', view(48)],
    ['l/li-two', view(50)],
    ['c/winter', view(80)],
  ])
  const known = { budgets, views, pointsOf: () => [{ atMs: 1, spentNanos: 3 * NANOS }] }

  test('lists line items with plans, furthest from them first, with the plan of the campaign beside their own', () => {
    const { total, rows } = pacingRows(known, { limit: 10 }, DAY_MS / 2)
    expect([total, rows.map(({ lineItemId }) => lineItemId)]).toEqual([2, ['li-two', 'li-even']])
    expect(rows[0]?.plans.map(({ of, id, behind }) => [of, id, behind])).toEqual([
      ['line-item', 'li-two', 0],
      ['campaign', 'winter', 0.5 - 0.8],
    ])
    expect(rows[1]).toMatchObject({ takesPart: 0.25 })
    expect(rows[1]?.plans[0]).toMatchObject({ plan: 'even', limit: 100, spent: 48, planned: 50, points: [[1, 3]] })
    expect(rows[1]?.plans[0]?.curve.slice(0, 3)).toEqual([0, 1 / 48, 2 / 48])
  })

  test('finds them by their own id and by their campaign, and tells how many there are', () => {
    expect(pacingRows(known, { search: 'winter', limit: 10 }, 0).rows.map(({ lineItemId }) => lineItemId)).toEqual([
      'li-two',
    ])
    expect(pacingRows(known, { search: 'li-', limit: 1 }, 0)).toMatchObject({ total: 2, rows: [{}] })
    expect(pacingRows(known, { search: 'nobody', limit: 1 }, 0).total).toBe(0)
  })
})

describe('the history of a plan', () => {
  test('has as many points after a day as after minutes, over the whole of it', () => {
    const history = new PlanHistory()
    for (let atMs = 0; atMs < DAY_MS; atMs += 5_000) history.look(atMs, new Map([['l/a', view(atMs / DAY_MS)]]))
    const points = history.of('l/a')
    expect(points.length).toBeGreaterThan(LIMITS.planPointsMax / 2 - 1)
    expect(points.length).toBeLessThanOrEqual(LIMITS.planPointsMax)
    expect(points[0]).toEqual({ atMs: 0, spentNanos: 0 })
    expect(points.at(-1)?.atMs).toBeGreaterThan(DAY_MS * 0.98)
    for (const { atMs, spentNanos } of points) expect(spentNanos).toBeCloseTo((atMs / DAY_MS) * NANOS, 0)
  })

  test('begins anew with the next day, and ends with the plan', () => {
    const history = new PlanHistory()
    history.look(0, new Map([['l/a', view(1)]]))
    history.look(DAY_MS, new Map([['l/a', view(0, DAY_MS)]]))
    expect(history.of('l/a')).toEqual([{ atMs: DAY_MS, spentNanos: 0 }])
    history.look(DAY_MS, new Map())
    expect(history.of('l/a')).toEqual([])
  })

  test('watches no more plans than it may', () => {
    const history = new PlanHistory()
    const many = Array.from({ length: LIMITS.plansWatchedMax + 1 }, (_, i) => [`l/${i}`, view(1)] as const)
    history.look(0, new Map(many))
    expect(history.of(`l/${LIMITS.plansWatchedMax - 1}`)).toHaveLength(1)
    expect(history.of(`l/${LIMITS.plansWatchedMax}`)).toEqual([])
  })
})
