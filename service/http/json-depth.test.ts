import { describe, expect, test } from 'vitest'
import { Random } from '../foundation/random.ts'
import { isDeeperThan } from './json-depth.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)

/** Depth of a parsed value: 1 for a list or object without any inside. */
function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  return 1 + Math.max(0, ...Object.values(value).map(depthOf))
}

function anyValue(random: Random, levels: number): unknown {
  if (levels === 0 || random.chance(0.2)) return random.pick(['[{"\\', '\\"[[', 1, null, '{}', ''])
  const inside = Array.from({ length: random.between(0, 3) }, () => anyValue(random, levels - 1))
  if (random.chance(0.5)) return inside
  return Object.fromEntries(inside.map((value, index) => [random.pick(['[', '"', '\\', 'a', '}']) + index, value]))
}

describe('the depth of JSON', () => {
  test('is what the parsed value has, whatever its texts hold', () => {
    const random = new Random(SEED)
    for (let round = 0; round < 2_000; round++) {
      const text = JSON.stringify(anyValue(random, random.between(0, 8)))
      const depth = depthOf(JSON.parse(text))
      const bytes = Buffer.from(text)
      expect(isDeeperThan(bytes, depth), `SEED=${SEED} round=${round} ${text}`).toBe(false)
      if (depth > 0) expect(isDeeperThan(bytes, depth - 1), `SEED=${SEED} round=${round} ${text}`).toBe(true)
    }
  })

  test('of text that is no JSON gives some answer', () => {
    for (const text of ['', '"', '"\\', ']]]]', '[[[[', '\u0000'])
      expect(typeof isDeeperThan(Buffer.from(text), 2)).toBe('boolean')
  })
})
