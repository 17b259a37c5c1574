import { describe, expect, test } from 'vitest'
import { LIMITS } from '../limits.ts'
import { memoryProblem } from './admission.ts'

const MIB = 1024 * 1024
const memory = {
  ...{ limitBytes: 512 * MIB, residentBytes: 200 * MIB, reusableBytes: 0, slabBytes: 256 * MIB },
}
/** The largest version that such a task takes, by halving. */
function largestMib(task: typeof memory): number {
  let [low, high] = [0, 10_000]
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (memoryProblem(middle * MIB, task) === undefined) low = middle
    else high = middle
  }
  return low
}

describe('a version is admitted', () => {
  test('as long as its load fits beside what is in use', () => {
    const freeMib = 512 * LIMITS.loadMemoryShareMax - 200
    const perByte = LIMITS.catalogBytesPerByte + LIMITS.loadBytesPerByte
    expect(largestMib(memory)).toBe(Math.floor(freeMib / perByte))
  })

  test('more easily where the slab of the catalog before the last is there already', () => {
    expect(largestMib({ ...memory, reusableBytes: 60 * MIB })).toBeGreaterThan(largestMib(memory))
  })

  test('not when it fits no slab, however much memory there is', () => {
    const problem = memoryProblem(1_000 * MIB, { ...memory, limitBytes: 64_000 * MIB })
    const catalogMib = Math.round(1_000 * LIMITS.catalogBytesPerByte)
    expect(problem).toContain(
      `its catalog will have about ${catalogMib} MiB, a slab has 256; give the task more memory`,
    )
  })

  test('with a reason that names what it takes, what is there, and the remedy', () => {
    expect(memoryProblem(200 * MIB, memory)).toMatch(
      /^to load it takes about \d+ MiB more, and 200 of 512 MiB are in use; give the task more memory/,
    )
  })
})
