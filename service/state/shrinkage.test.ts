import { expect, test } from 'vitest'
import { LIMITS } from '../limits.ts'
import { shrinkProblem } from './shrinkage.ts'

test('a version with a tenth of the line items before it, or less, is an accident, but for small tenants', () => {
  expect(shrinkProblem(1_000, 100)).toBe('it has 100 good line items, and the one before has 1000')
  expect(shrinkProblem(1_000, 0)).toBeDefined()
  for (const [before, after] of [
    ...[[1_000, 101] as const, [1_000, 5_000] as const, [0, 0] as const],
    [LIMITS.shrinkLineItemsMin - 1, 0] as const,
  ])
    expect(shrinkProblem(before, after)).toBeUndefined()
})
