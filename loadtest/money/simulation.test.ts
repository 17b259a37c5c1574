import { describe, expect, test } from 'vitest'
import { BROKEN_RULES, type BrokenRule } from './faulty-cache.ts'
import { Simulation } from './simulation.ts'

const SEEDS = Array.from({ length: 25 }, (_, seed) => seed + 1)
/** Seeds that once found a defect: a rebuild by reference, lost late spend, a failover before leases were repeated. */
const FOUND = [21, 23, 66, 101, 475, 785]

describe('the money is right whatever fails', () => {
  test.each([...SEEDS, ...FOUND])('no invariant breaks, clocks that jump included (fault 20, seed %i)', seed => {
    expect(new Simulation(seed).run().violations).toEqual([])
  })

  test('a run repeats exactly', () => {
    expect(new Simulation(14).run()).toEqual(new Simulation(14).run())
  })

  test('budgets are used, and faults happen', () => {
    const results = SEEDS.slice(0, 10).map(seed => new Simulation(seed).run())
    expect(results.reduce((sum, { faults }) => sum + faults, 0)).toBeGreaterThan(20)
    expect(results.map(({ used }) => used).toSorted((a, b) => a - b)[5]).toBeGreaterThan(0.9)
  })
})

describe('a rule that is left out is noticed', () => {
  test.each(Object.entries(BROKEN_RULES))('%s: %s', broken => {
    const found = Array.from({ length: 40 }, (_, seed) => seed + 1).find(
      seed => new Simulation(seed, broken as BrokenRule).run().violations.length > 0,
    )
    expect(found).toBeDefined()
  })
})
