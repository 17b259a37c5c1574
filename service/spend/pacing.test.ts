import { describe, expect, test } from 'vitest'
import { Pacer, type PacingPlan, plannedShare } from './pacing.ts'

const PLANS: readonly PacingPlan[] = [
  { kind: 'even' },
  { kind: 'front-loaded' },
  { kind: 'custom', weights: [1, 0, 3] },
  { kind: 'asap' },
]

describe('a plan', () => {
  test.each(PLANS)('$kind begins at 0, ends at 1 and never falls', plan => {
    const shares = Array.from({ length: 101 }, (_, i) => plannedShare(plan, i / 100))
    expect([shares[0], shares[100]]).toEqual([0, 1])
    expect(shares.every((share, i) => i === 0 || share >= (shares[i - 1] ?? 0))).toBe(true)
    expect([plannedShare(plan, -5), plannedShare(plan, 7)]).toEqual([0, 1])
  })

  test('custom shares are spent in their own parts of the time', () => {
    const plan: PacingPlan = { kind: 'custom', weights: [1, 0, 3] }
    expect([1, 2, 2.5].map(part => plannedShare(plan, part / 3))).toEqual([0.25, 0.25, 0.625])
  })
})

/** A market that spends `potential` nanos per ms at full participation, billed at once. */
function run(pacer: Pacer, seconds: number, at: { ms: number; spent: number }, potential = 1_000): void {
  for (let i = 0; i < seconds; i++) {
    at.ms += 1_000
    at.spent += Math.round(potential * 1_000 * pacer.passRate)
    pacer.note(pacer.passRate)
    pacer.look(at.ms, at.spent)
  }
}

describe('a pacer', () => {
  const HOUR_MS = 3_600_000
  const options = { plan: { kind: 'even' }, limitNanos: 100 * HOUR_MS, startMs: 0, endMs: HOUR_MS } as const

  test('finds the rate that spends the plan', () => {
    const pacer = new Pacer(options)
    const at = { ms: 0, spent: 0 }
    run(pacer, 1_800, at)
    expect(pacer.passRate).toBeCloseTo(0.1, 2)
    expect(at.spent / options.limitNanos).toBeCloseTo(0.5, 2)
    expect(pacer.behind).toBeCloseTo(0.5 - at.spent / options.limitNanos, 6)
    pacer.look(at.ms + 1_000, options.limitNanos / 4)
    expect(pacer.behind).toBeCloseTo(0.25, 2)
  })

  test('a clock that jumps back and forth by hours changes the rate no more than the plan does', () => {
    const pacer = new Pacer(options)
    const at = { ms: 0, spent: 0 }
    run(pacer, 1_800, at)
    const before = pacer.passRate
    pacer.look(at.ms + 12 * HOUR_MS, at.spent)
    expect(pacer.passRate).toBe(before)
    pacer.look(at.ms, at.spent)
    run(pacer, 60, at)
    expect(pacer.passRate).toBeCloseTo(before, 2)
  })

  test('stops when the budget is spent, and does nothing before the time begins', () => {
    const pacer = new Pacer(options)
    const at = { ms: 0, spent: 0 }
    run(pacer, 600, at)
    pacer.look(at.ms + 1_000, options.limitNanos)
    expect(pacer.passRate).toBe(0)
    const early = new Pacer({ ...options, startMs: HOUR_MS, endMs: 2 * HOUR_MS })
    early.look(1_000, 0)
    early.look(2_000, 0)
    expect(early.passRate).toBeLessThanOrEqual(0.1)
  })

  test('tasks that begin at different rates come to one, and spend the plan together', () => {
    const [low, high] = [new Pacer(options), new Pacer(options)]
    run(low, 60, { ms: 0, spent: 0 }, 1e6)
    const at = { ms: 60_000, spent: 0 }
    const shared = new Map<string, number>()
    const gap = () => Math.abs(Math.log(low.passRate / high.passRate))
    const before = gap()
    for (let i = 1; i < 3_540; i++) {
      at.ms += 1_000
      at.spent += Math.round(500 * 1_000 * (low.passRate + high.passRate))
      for (const pacer of [low, high]) {
        pacer.note(pacer.passRate)
        pacer.look(at.ms, at.spent)
        if (i % 10 !== 0) continue
        pacer.agree(shared.get('plan') ?? pacer.passRate)
        shared.set('plan', pacer.passRate)
      }
    }
    expect(before).toBeGreaterThan(1)
    expect(gap()).toBeLessThan(0.1)
    expect(at.spent / options.limitNanos).toBeCloseTo(1, 1)
  })

  test('a task that begins takes the rate of others, and does not tell its own guess', () => {
    const pacer = new Pacer(options)
    expect(pacer.isLearned).toBe(false)
    pacer.agree(0.7)
    expect(pacer.passRate).toBe(0.7)
    run(pacer, 5, { ms: 0, spent: 0 })
    expect(pacer.isLearned).toBe(true)
  })

  test('what was learned goes on with the next day', () => {
    const pacer = new Pacer(options)
    run(pacer, 1_800, { ms: 0, spent: 0 })
    pacer.follow({ ...options, startMs: HOUR_MS, endMs: 2 * HOUR_MS })
    expect(pacer.passRate).toBeCloseTo(0.1, 2)
    const at = { ms: HOUR_MS, spent: 0 }
    run(pacer, 600, at)
    expect(at.spent / options.limitNanos).toBeCloseTo(1 / 6, 2)
  })

  test('as fast as possible is always full participation', () => {
    const pacer = new Pacer({ ...options, plan: { kind: 'asap' } })
    run(pacer, 10, { ms: 0, spent: 0 })
    expect(pacer.passRate).toBe(1)
  })
})
