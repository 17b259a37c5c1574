import { describe, expect, test } from 'vitest'
import { Shares } from './shares.ts'
import { ThreadBudgets } from './thread-budgets.ts'

/** Two line items: the second has a budget, and nothing of it is here. */
function budgets(): ThreadBudgets {
  const slices = new SharedArrayBuffer(8)
  new Int32Array(slices).set([-1, 0])
  return new ThreadBudgets(new Shares(), { slices, rates: new SharedArrayBuffer(8) })
}

describe('the budgets of a thread', () => {
  test('a bid that costs something needs a lease where there is a budget', () => {
    expect([0, 1].map(lineItem => budgets().covers(lineItem, 5))).toEqual([true, false])
    expect(budgets().hold(1, 5, 0, 1_000)).toBeUndefined()
  })

  test('a bid in a test auction needs none', () => {
    expect(budgets().covers(1, 0)).toBe(true)
    expect(budgets().hold(1, 0, 0, 1_000)).toEqual({ lease: '', bucket: 0, day: undefined })
  })
})
