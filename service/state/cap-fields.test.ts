import { describe, expect, test } from 'vitest'
import { CAP_WORDS, capWords, FREQUENCY_CAPS } from './cap-fields.ts'
import { list, number, optional, type Problem, record } from './fields.ts'

function problemsOf(value: unknown): readonly Problem[] {
  const found: Problem[] = []
  FREQUENCY_CAPS.check(value, 'frequencyCaps', found)
  return found
}

test('items of a list are the same only when what is in them is, too', () => {
  const inner = record(
    { a: optional(number({ about: 'a', min: 1, max: 9 })), b: optional(number({ about: 'b', min: 1, max: 9 })) },
    'inner',
  )
  const field = list(record({ inner }, 'outer'), { max: 5 })
  const twinsOf = (items: unknown) => {
    const found: Problem[] = []
    field.check(items, 'items', found)
    return found.length
  }
  expect(twinsOf([{ inner: { a: 1 } }, { inner: { a: 2 } }, { inner: { b: 1 } }])).toBe(0)
  expect(twinsOf([{ inner: { a: 1, b: 2 } }, { inner: { b: 2, a: 1 } }])).toBe(1)
})

describe('frequency caps in documents', () => {
  test('are good with several times, subjects and a gap', () => {
    const caps = [
      { impressions: 2, per: { minutes: 30 } },
      { impressions: 5, per: { days: 1 }, minGapS: 600 },
      { impressions: 5, per: { days: 1 }, of: 'household', withoutId: 'bid' },
      { impressions: 200, strict: true },
    ]
    expect(problemsOf(caps)).toEqual([])
  })

  test('are refused with the field, the value and what to write instead', () => {
    const cases: readonly [unknown, string, string][] = [
      [[{ impressions: 201 }], 'frequencyCaps[0].impressions', 'from 1 to 200'],
      [[{ impressions: 1, per: { weeks: 1 } }], 'frequencyCaps[0].per.weeks', 'known: minutes, hours, days'],
      [[{ impressions: 1, per: {} }], 'frequencyCaps[0].per', 'must have minutes or hours or days'],
      [[{ impressions: 1, of: 'person' }], 'frequencyCaps[0].of', 'user'],
      [[], 'frequencyCaps', '1 to 4 items'],
    ]
    for (const [value, path, remedy] of cases) {
      const [first] = problemsOf(value)
      expect(first?.path).toBe(path)
      expect(first?.remedy).toContain(remedy)
    }
  })

  test('are refused when two count the same, however they say it', () => {
    const found = problemsOf([
      { impressions: 3, per: { days: 1 } },
      { impressions: 5, per: { hours: 24 }, of: 'user' },
    ])
    expect(found).toEqual([
      {
        path: 'frequencyCaps[1].per',
        value: '{"hours":24}',
        remedy: 'must differ from an earlier cap of this list over the same time; keep one of the two',
      },
    ])
  })

  test('count the same after their limit has changed, and other things under other words', () => {
    const [before, after] = [
      capWords('campaign', 'c-1', [{ impressions: 3 }]),
      capWords('campaign', 'c-1', [{ impressions: 9 }]),
    ]
    expect(before).toHaveLength(CAP_WORDS)
    expect(before.slice(0, 2)).toEqual(after.slice(0, 2))
    const cap = { impressions: 3 } as const
    const others = [
      capWords('line-item', 'c-1', [cap]),
      capWords('campaign', 'c-2', [cap]),
      capWords('campaign', 'c-1', [{ ...cap, per: { days: 1 } }]),
      capWords('campaign', 'c-1', [{ ...cap, of: 'device' }]),
    ]
    expect(new Set([before, ...others].map(words => words.slice(0, 2).join())).size).toBe(5)
  })
})
