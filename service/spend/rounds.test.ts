import { describe, expect, test } from 'vitest'
import { Random } from '../foundation/random.ts'
import { Rounds } from './rounds.ts'

const PERIOD_MS = 1_000

function filled(count: number): Map<number, number> {
  return new Map(Array.from({ length: count }, (_, i) => [i, i]))
}

describe('rounds', () => {
  test('take a part at each turn, and each value once a period', () => {
    for (const count of [1, 3, 7, 10, 10_000]) {
      const rounds = new Rounds(filled(count), PERIOD_MS)
      expect([...rounds.due(0)].length).toBe(count)
      for (let period = 0; period < 3; period++) {
        const seen: number[] = []
        for (let turn = 1; turn <= 10; turn++) {
          const part = [...rounds.due(period * PERIOD_MS + turn * 100)]
          expect(part.length).toBeLessThanOrEqual(Math.ceil(count / 10))
          seen.push(...part)
        }
        expect(new Set(seen).size).toBe(count)
        expect(seen.length).toBe(count)
      }
    }
  })

  test('take all, and each once, after a period or more, and when hurried', () => {
    const rounds = new Rounds(filled(5), PERIOD_MS)
    for (const atMs of [0, 1_000, 60_000]) expect([...rounds.due(atMs)].sort()).toEqual([0, 1, 2, 3, 4])
    expect([...rounds.due(60_000)]).toEqual([])
    rounds.hurry()
    expect([...rounds.due(60_001)].sort()).toEqual([0, 1, 2, 3, 4])
  })

  test('miss nothing that stays while values come and go', () => {
    const seed = 20_261_122
    const random = new Random(seed)
    const values = filled(50)
    const rounds = new Rounds(values, PERIOD_MS)
    const seenMs = new Map<number, number>()
    let next = 50
    for (let nowMs = 0; nowMs < 60_000; nowMs += 20 + random.pickIndex(200)) {
      for (const value of rounds.due(nowMs)) {
        seenMs.set(value, nowMs)
        if (random.chance(0.02)) values.delete(value)
        if (random.chance(0.02)) {
          seenMs.set(next, nowMs)
          values.set(next, next++)
        }
      }
      // Whoever went before has made way for others: a round may be as much longer as the map grew or shrank.
      for (const value of values.keys())
        expect(nowMs - (seenMs.get(value) ?? 0), `seed ${seed}`).toBeLessThan(2 * PERIOD_MS)
    }
    expect(next).toBeGreaterThan(60)
  })

  test('have nothing to do with an empty map, and begin once there is something', () => {
    const values = new Map<number, number>()
    const rounds = new Rounds(values, PERIOD_MS)
    expect([...rounds.due(0), ...rounds.due(5_000)]).toEqual([])
    values.set(1, 1)
    expect([...rounds.due(5_500), ...rounds.due(6_000)]).toEqual([1])
  })
})
