import { expect, test } from 'vitest'
import { memoryRung } from './memory-ladder.ts'

test.each([
  [84.9, false, { isGrowthStopped: false, shedShare: 0 }],
  [85, true, { isGrowthStopped: true, shedShare: 0 }],
  [92, true, { isGrowthStopped: true, shedShare: 0 }],
  [93.5, true, { isGrowthStopped: true, shedShare: 0.5 }],
  [95, true, { isGrowthStopped: true, shedShare: 1 }],
  [140, true, { isGrowthStopped: true, shedShare: 1 }],
])('at %d percent of the memory a task gives up what it must', (usedPercent, isCritical, rung) => {
  expect(memoryRung(usedPercent, isCritical)).toEqual(rung)
})
