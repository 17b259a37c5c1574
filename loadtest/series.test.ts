import { describe, expect, test } from 'vitest'
import { SecondSeries } from './series.ts'

describe('the series of a run', () => {
  test('has one point for each second, those included in which nothing happened', () => {
    const series = new SecondSeries()
    series.sent(100, 20)
    series.answered(900, 800)
    series.sent(999_999, 4_000)
    expect(series.newest).toBeUndefined()
    series.failed(3_000_001, 2_000_000)
    expect(series.newest?.second).toBe(2)
    const points = series.end()
    expect(points.map(each => [each.sent, each.answered, each.failed])).toEqual([
      [2, 1, 0],
      [0, 0, 0],
      [0, 0, 0],
      [0, 0, 1],
    ])
    expect(points[0]).toMatchObject({ p50Us: 800, maxUs: 800, sendLagUsMax: 4_000 })
    expect(points[1]).toMatchObject({ p99Us: 0, maxUs: 0, sendLagUsMax: 0 })
    expect(points[3]).toMatchObject({ p99Us: 2_000_000 })
  })
})
