import { describe, expect, test } from 'vitest'
import { Random } from '../foundation/random.ts'
import { isBeyond } from './json-bounds.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)

/** Depth of a parsed value: 1 for a list or object without any inside. */
function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  return 1 + Math.max(0, ...Object.values(value).map(depthOf))
}

/** Members of all objects inside. */
function membersOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const own = Array.isArray(value) ? 0 : Object.keys(value).length
  return Object.values(value).reduce((sum: number, inner) => sum + membersOf(inner), own)
}

function anyValue(random: Random, levels: number): unknown {
  if (levels === 0 || random.chance(0.2)) return random.pick(['[{"\\', '\\"[[', 1, null, '{}', ''])
  const inside = Array.from({ length: random.between(0, 3) }, () => anyValue(random, levels - 1))
  if (random.chance(0.5)) return inside
  return Object.fromEntries(inside.map((value, index) => [random.pick(['[', '"', '\\', ':', '}']) + index, value]))
}

describe('depth and members of JSON', () => {
  test('are what the parsed value has, whatever its texts hold', () => {
    const random = new Random(SEED)
    for (let round = 0; round < 2_000; round++) {
      const text = JSON.stringify(anyValue(random, random.between(0, 8)))
      const depth = depthOf(JSON.parse(text))
      const bytes = Buffer.from(text)
      const bounds = { depthMax: depth, membersMax: membersOf(JSON.parse(text)) }
      const said = `SEED=${SEED} round=${round} ${text}`
      expect(isBeyond(bytes, bounds), said).toBe(false)
      if (depth > 0) expect(isBeyond(bytes, { ...bounds, depthMax: depth - 1 }), said).toBe(true)
      if (bounds.membersMax > 0)
        expect(isBeyond(bytes, { ...bounds, membersMax: bounds.membersMax - 1 }), said).toBe(true)
    }
  })

  test('of text that is no JSON give some answer', () => {
    for (const text of ['', '"', '"\\', ']]]]', '[[[[', '\u0000'])
      expect(typeof isBeyond(Buffer.from(text), { depthMax: 2, membersMax: 2 })).toBe('boolean')
  })
})
