import { describe, expect, test } from 'vitest'
import { Random } from '../foundation/random.ts'
import { Forecast, hourAt, planLevel } from './forecast.ts'

const HOUR_MS = 3_600_000
const NOW_MS = Date.UTC(2026, 10, 21, 12, 30)
const NOW = hourAt(NOW_MS)

/** Traffic of hours before now. */
function known(hours: readonly (readonly [hoursAgo: number, opportunities: number])[]): Forecast {
  return new Forecast(new Map(hours.map(([ago, count]) => [NOW - ago, count])), NOW_MS)
}

describe('a forecast', () => {
  test('expects of an hour what the same hour of the weeks before had, the last one most', () => {
    const forecast = known([
      [9_999, 1],
      [2 * 168 - 1, 30],
      [168 - 1, 60],
      [24 - 1, 7],
    ])
    expect(forecast.ofHour(NOW + 1)).toBe((60 + 30 / 2) / 1.5)
  })

  test('or of the days before, or nothing', () => {
    const forecast = known([
      [9_999, 1],
      [24 - 1, 7],
    ])
    expect(forecast.ofHour(NOW + 1)).toBe(7)
    expect(forecast.ofHour(NOW + 2)).toBeUndefined()
    expect(new Forecast(new Map(), NOW_MS).at(NOW_MS)).toBeUndefined()
  })

  test('does not go by hours that were seen in part: the first, and this one', () => {
    const forecast = known([
      [168, 5],
      [0, 5],
    ])
    expect(forecast.ofHour(NOW)).toBeUndefined()
    expect(forecast.ofHour(NOW + 168)).toBeUndefined()
  })

  test('goes evenly from the middle of an hour to that of the next', () => {
    const forecast = known([
      [9_999, 1],
      [168, 100],
      [167, 200],
    ])
    const expected = [0, 0.25, 0.5, 1].map(part => forecast.at(NOW_MS + part * HOUR_MS))
    expect(expected).toEqual([100, 125, 150, 200])
  })
})

describe('the level of a plan', () => {
  test('is what is left where every slot can spend its share', () => {
    const slot = { planned: 0.25, nanosMax: Number.POSITIVE_INFINITY }
    expect(planLevel([slot, slot], 100)).toBe(200)
  })

  test('spends what is left, and in no slot more than it can (seed 6)', () => {
    const random = new Random(6)
    for (let i = 0; i < 1_000; i++) {
      const slots = Array.from({ length: random.between(1, 30) }, () => {
        return { planned: random.chance(0.2) ? 0 : random.unit(), nanosMax: 1_000 * random.unit() }
      })
      const most = slots.reduce((sum, { planned, nanosMax }) => sum + (planned > 0 ? nanosMax : 0), 0)
      const left = 1 + 2 * most * random.unit()
      const level = planLevel(slots, left)
      const spent = slots.reduce((sum, { planned, nanosMax }) => {
        return sum + (planned > 0 ? Math.min(level * planned, nanosMax) : 0)
      }, 0)
      expect(spent, `${i}`).toBeCloseTo(Math.min(left, most), 6)
    }
  })
})
