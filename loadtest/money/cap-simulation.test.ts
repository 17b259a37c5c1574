import { describe, expect, test } from 'vitest'
import { CapSimulation } from './cap-simulation.ts'
import { BROKEN_COUNTS, type BrokenCount } from './faulty-counts.ts'

const LEAK_MAX = 0.001

async function leakOf(seeds: number, broken?: BrokenCount) {
  let [above, impressions, faults] = [0, 0, 0]
  for (let seed = 1; seed <= seeds; seed++) {
    const result = await new CapSimulation(seed, broken).run()
    above += result.above
    impressions += result.impressions
    faults += result.faults
  }
  return { leak: above / impressions, impressions, faults }
}

describe('frequency caps over tasks that come and go, with users whom every request brings to another', () => {
  test('leak at most 0.1 % where a user comes back after 2 s (seeds 1 to 10)', { timeout: 60_000 }, async () => {
    const { leak, impressions, faults } = await leakOf(10)
    expect(impressions).toBeGreaterThan(1_000)
    expect(faults).toBeGreaterThan(5)
    expect(leak).toBeLessThanOrEqual(LEAK_MAX)
  })

  test('a run repeats exactly', async () => {
    expect(await new CapSimulation(3).run()).toEqual(await new CapSimulation(3).run())
  })

  test.each(Object.entries(BROKEN_COUNTS))('%s is noticed: %s', { timeout: 60_000 }, async broken => {
    expect((await leakOf(10, broken as BrokenCount)).leak).toBeGreaterThan(LEAK_MAX)
  })
})
