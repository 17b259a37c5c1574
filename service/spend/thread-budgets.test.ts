import { describe, expect, test } from 'vitest'
import { Shares } from './shares.ts'
import { ThreadBudgets } from './thread-budgets.ts'

/** Two line items: the second has a budget, and nothing of it is here. */
function budgets(shares = new Shares()): ThreadBudgets {
  const slices = new SharedArrayBuffer(8)
  new Int32Array(slices).set([-1, 0])
  return new ThreadBudgets(shares, { slices, rates: new SharedArrayBuffer(8) }, Float64Array.of(5, 5))
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

  test('what covered nothing at its price counts as empty until there is more to hold', () => {
    const shares = new Shares()
    const asked = budgets(shares)
    expect([asked.covers(0, 5), asked.covers(1, 4), asked.covers(1, 6)]).toEqual([true, false, false])
    expect([...asked.empty()]).toEqual([0])
    expect(asked.covers(1, 5)).toBe(false)
    expect([...asked.empty()]).toEqual([2])
    const lease = { leaseNumber: 1, lease: 'one', day: 0, startMs: 0, endMs: 1_000, bucketMs: 100, holdPart: 1 }
    shares.give({ slice: 0, nanos: 5, ...lease })
    expect([...asked.empty()]).toEqual([0])
    expect(asked.covers(1, 5)).toBe(true)
    asked.hold(1, 5, 0, 100)
    expect(asked.covers(1, 5)).toBe(false)
    expect([...asked.empty()]).toEqual([2])
    asked.release(1, 5, { lease: 'one', bucket: 1, day: 0 })
    expect([...asked.empty()]).toEqual([0])
    expect(asked.covers(1, 5)).toBe(true)
  })
})
