import { describe, expect, test } from 'vitest'
import { Random } from '../service/foundation/random.ts'
import { meanRatio } from './bootstrap.ts'
import { lineThrough } from './soak.ts'

const SEED = 5

describe('the line of a soak', () => {
  test('finds a leak in noise, and none where there is none', () => {
    const random = new Random(SEED)
    const points = (leakMib: number): [number, number][] =>
      Array.from({ length: 45 }, (_, i) => [i * 60, 200 + (leakMib * i) / 44 + 8 * random.unit()])
    const { mean, drift } = lineThrough(points(40))
    expect(mean, `seed ${SEED}`).toBeCloseTo(224, -1)
    expect(Math.abs(drift - 40), `seed ${SEED}`).toBeLessThan(5)
    expect(Math.abs(lineThrough(points(0)).drift), `seed ${SEED}`).toBeLessThan(5)
  })

  test('is level through one point', () => {
    expect(lineThrough([[3, 7]])).toEqual({ mean: 7, drift: 0 })
  })
})

describe('a ratio of two services', () => {
  test('has an interval that holds the true one, and leaves out one that is far away', () => {
    const random = new Random(SEED)
    const rounds = Array.from({ length: 12 }, () => 1.25 * Math.exp((random.unit() - 0.5) / 5))
    const { estimate, low, high } = meanRatio(rounds, random)
    expect(low, `seed ${SEED}`).toBeLessThan(1.25)
    expect(high, `seed ${SEED}`).toBeGreaterThan(1.25)
    expect(low, `seed ${SEED}`).toBeGreaterThan(1.1)
    expect(estimate, `seed ${SEED}`).toBeGreaterThan(low)
  })
})
