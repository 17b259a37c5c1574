import { describe, expect, test } from 'vitest'
import { LIMITS } from './limits.ts'
import { type MemoryPlan, memoryPlan, stateRoomMib } from './memory-plan.ts'

function sumMib(plan: MemoryPlan, bidThreads: number): number {
  const { processMib, controlOldMib, controlYoungMib, bidThreadOldMib, bidThreadYoungMib } = plan
  const heaps = controlOldMib + controlYoungMib + bidThreads * (bidThreadOldMib + bidThreadYoungMib)
  return processMib + heaps + plan.bidThreadBuffersMib + plan.capTableMib + plan.arenaMib
}

const SIZES = [256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 61_440, 122_880]

describe('a memory plan', () => {
  test.each(SIZES)('of %i MiB divides 85 percent, and leaves the more for state the larger it is', limitMib => {
    for (const bidThreads of [1, 3, 7, 15]) {
      const plan = memoryPlan({ limitMib, bidThreads })
      expect(sumMib(plan, bidThreads)).toBe(Math.floor(limitMib * 0.85))
      expect(plan.bidThreadOldMib).toBeLessThanOrEqual(LIMITS.bidThreadOldMib)
      expect(plan.connectionsMax * 8 * 3).toBeLessThanOrEqual(plan.bidThreadOldMib * 1_024 + 1_024)
      const twice = memoryPlan({ limitMib: 2 * limitMib, bidThreads })
      if (plan.arenaMib > 0) expect(twice.arenaMib).toBeGreaterThan(plan.arenaMib)
    }
  })

  test('has room for state from half a GiB with one bid thread, and says so where it has none', () => {
    expect(memoryPlan({ limitMib: 512, bidThreads: 1 }).arenaMib).toBeGreaterThan(16)
    expect(memoryPlan({ limitMib: 256, bidThreads: 1 }).arenaMib).toBeLessThan(0)
    expect(memoryPlan({ limitMib: 1_024, bidThreads: 15 }).arenaMib).toBeLessThan(0)
    expect(stateRoomMib({ limitMib: 256 }, memoryPlan({ limitMib: 256, bidThreads: 1 }))).toBe(0)
  })

  test('of 4 GiB has room for the documents of 200,000 line items', () => {
    // 138 MB of JSON are 100,000 of them, see ARCHITECTURE.md.
    expect(stateRoomMib({ limitMib: 4_096 }, memoryPlan({ limitMib: 4_096, bidThreads: 1 }))).toBeGreaterThan(2 * 138)
  })
})
