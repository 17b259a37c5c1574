import { expect, test } from 'vitest'
import { Tally } from './estimates.ts'
import { Random } from './foundation/random.ts'

const SEED = 20261121
const REQUESTS = 2_000
const WEIGHT = 10
const RUNS = 400

test(`what counts in part is estimated truly on average, 95 of 100 times within the error (seed ${SEED})`, () => {
  const random = new Random(SEED)
  // Pacing lets a part through that changes while requests come.
  const parts = Array.from({ length: REQUESTS }, (_, i) => (i < REQUESTS / 2 ? 0.2 : 0.7))
  const truth = parts.reduce((sum, part) => sum + part, 0)
  let [sum, within] = [0, 0]
  for (let run = 0; run < RUNS; run++) {
    const tally = new Tally()
    for (const part of parts) if (random.chance(1 / WEIGHT)) tally.add(WEIGHT, part)
    const { value, error } = tally.estimate
    sum += value
    if (Math.abs(value - truth) <= error) within++
  }
  expect(sum / RUNS / truth).toBeGreaterThan(0.98)
  expect(sum / RUNS / truth).toBeLessThan(1.02)
  expect(within / RUNS).toBeGreaterThan(0.9)
  expect(within / RUNS).toBeLessThan(0.99)
})
