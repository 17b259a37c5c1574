import { describe, expect, test } from 'vitest'
import { splitHash, splitPart } from './user-split.ts'

const USERS = 200_000
const part = (salt: string, user: string) => splitPart(splitHash(salt), splitHash(user))
const uuid = (i: number) => `00000000-0000-4000-8000-${i.toString(16).padStart(12, '0')}`

/** Chi-square of counts against all equal, in standard deviations from its mean. */
function unevenness(counts: readonly number[]): number {
  const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length
  const chi = counts.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0)
  const freedom = counts.length - 1
  return (chi - freedom) / Math.sqrt(2 * freedom)
}

describe('a split of the users', () => {
  test('is the same for ever', () => {
    // Written down: a change would move every user to another part while campaigns run.
    expect([part('spring-test', 'u-1'), part('spring-test', 'u-2'), part('x', 'u-1')]).toEqual([4_422, 4_978, 1_305])
  })

  test.each(['spring-test', 'a', 'b', ''])('has parts of equal size with salt %j', salt => {
    const counts = new Array<number>(100).fill(0)
    for (let user = 0; user < USERS; user++) counts[Math.floor(part(salt, uuid(user)) / 100)]!++
    expect(unevenness(counts)).toBeLessThan(5)
  })

  test('tells nothing about the split of another salt', () => {
    const counts = new Array<number>(100).fill(0)
    for (let user = 0; user < USERS; user++) {
      const [a, b] = [part('a', `u-${user}`), part('b', `u-${user}`)]
      counts[Math.floor(a / 1_000) * 10 + Math.floor(b / 1_000)]!++
    }
    expect(unevenness(counts)).toBeLessThan(5)
  })
})
