import { describe, expect, test } from 'vitest'
import { type PacedDayOptions, type PacedPoint, runPacedDay } from './paced-day.ts'
import { plotDays } from './plot.ts'

const EVEN: PacedDayOptions = { seed: 1, plan: { kind: 'even' }, tasks: 3, budgetShare: 0.25 }

function deviation(points: readonly PacedPoint[]): number {
  return Math.max(...points.map(({ planned, spent }) => Math.abs(planned - spent)))
}

describe('spend follows its plan where inventory suffices', () => {
  test.each([1, 2, 3, 4, 5])('evenly, within a hundredth at the end and three all day (seed %i)', seed => {
    const points = runPacedDay({ ...EVEN, seed, tasks: 1 + (seed % 4) })
    expect(points.at(-1)?.spent).toBeGreaterThan(0.99)
    expect(points.at(-1)?.spent).toBeLessThanOrEqual(1)
    expect(deviation(points)).toBeLessThan(0.03)
  })

  test('also where the campaign has a plan for the same money, and one for half of it', () => {
    for (const [budgetShare, campaignPart] of [
      [0.25, 1],
      [0.5, 0.5],
    ] as const) {
      const points = runPacedDay({ ...EVEN, lineItems: 4, budgetShare, campaignPart })
      expect(points.at(-1)?.spent).toBeGreaterThan(0.985)
      expect(deviation(points)).toBeLessThan(0.03)
    }
  })

  test('a plan that asks more of the evening than its traffic has is kept where traffic is known', () => {
    const evening = { ...EVEN, budgetShare: 0.8 }
    expect(runPacedDay(evening).at(-1)?.spent).toBeLessThan(0.95)
    expect(runPacedDay({ ...evening, forecastNoise: 0.1 }).at(-1)?.spent).toBeGreaterThan(0.98)
  })

  test('as fast as possible, it is spent by noon and never more than the budget', () => {
    const points = runPacedDay({ ...EVEN, plan: { kind: 'asap' } })
    expect(points[points.length / 2]?.spent).toBeGreaterThan(0.99)
    expect(Math.max(...points.map(({ spent }) => spent))).toBeLessThanOrEqual(1)
  })

  test('by a custom curve, hours without a share get nothing', () => {
    const weights = Array.from({ length: 24 }, (_, hour) => (hour >= 8 && hour < 20 ? 1 : 0))
    const points = runPacedDay({ ...EVEN, plan: { kind: 'custom', weights } })
    const before = points.filter(({ elapsed }) => elapsed < 8 / 24)
    expect(before.at(-1)?.spent).toBeLessThan(0.01)
    expect(points.at(-1)?.spent).toBeGreaterThan(0.98)
    expect(deviation(points)).toBeLessThan(0.05)
  })

  test('after two hours without bid requests it catches up by the end, without a burst', () => {
    const points = runPacedDay({ ...EVEN, outageHours: [10, 12] })
    const hourly = points.slice(12).map((point, i) => point.spent - (points[i]?.spent ?? 0))
    expect(Math.min(...hourly)).toBe(0)
    // An even hour is 1/24; what is missing spreads over the twelve that are left.
    expect(Math.max(...hourly.slice(12 * 12))).toBeLessThan((1.35 * 1) / 24)
    expect(points.at(-1)?.spent).toBeGreaterThan(0.98)
  })
})

test('the plot shows plan and spend of every day', () => {
  const day = runPacedDay({ ...EVEN, tasks: 1 })
  const svg = plotDays(new Map([['even', day]]))
  expect(svg.match(/<polyline/g)).toHaveLength(2)
  expect(svg).not.toContain('NaN')
})
