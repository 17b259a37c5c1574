import { describe, expect, test } from 'vitest'
import { lengthFloor } from './length-floors.ts'

const RANGES = [
  { minS: 1, maxS: 15, floorNanos: 1_000 },
  { minS: 15, maxS: 30, floorNanos: 3_000 },
]

describe('a floor by length', () => {
  test('is that of the first range that holds the length, and none outside of all', () => {
    const floors = { perSecondNanos: 0, ranges: RANGES, marginNanos: 0 }
    expect([1, 15, 16, 30, 31].map(length => lengthFloor(floors, length))).toEqual([1_000, 1_000, 3_000, 3_000, 0])
  })

  test('by second counts for every second, rounded up, and comes before ranges', () => {
    const floors = { perSecondNanos: 0.3, ranges: RANGES, marginNanos: 2 }
    expect(lengthFloor(floors, 10)).toBe(5)
    expect(lengthFloor(floors, 11)).toBe(6)
    expect(lengthFloor({ ...floors, perSecondNanos: Number.POSITIVE_INFINITY }, 1)).toBe(Number.POSITIVE_INFINITY)
  })
})
