import { describe, expect, test } from 'vitest'
import { divideTargeting } from './conditions.ts'
import { EXPRESSION, type Expression } from './expressions.ts'
import type { Problem } from './fields.ts'

function problemsOf(value: unknown): string[] {
  const found: Problem[] = []
  EXPRESSION.check(value, 'expression', found)
  const quick: Problem[] = []
  EXPRESSION.check(value, undefined, quick)
  expect(quick.length).toBe(found.length)
  return found.map(({ path, remedy }) => `${path}: ${remedy}`)
}

const deep = (levels: number): unknown => (levels === 1 ? { country: ['USA'] } : { not: deep(levels - 1) })

describe('an expression', () => {
  test.each([
    { country: ['USA'] },
    { and: [{ os: ['ios'] }, { or: [{ deviceType: [4] }, { not: { keyword: ['golf'] } }] }] },
    { userSplit: { salt: 'a', from: 0, to: 0 } },
    deep(16),
  ])('may be %j', value => {
    expect(problemsOf(value)).toEqual([])
  })

  test.each([
    [[], 'expression: must be an object with one field'],
    [null, 'expression: must be an object with one field'],
    [{}, 'expression: must be an object with one field'],
    [{ country: ['USA'], os: ['ios'] }, 'expression: must be an object with one field'],
    [{ contry: ['USA'] }, 'expression: must be an object with one field'],
    [{ constructor: ['USA'] }, 'expression: must be an object with one field'],
    [{ country: ['UK'] }, 'expression.country[0]: must be an ISO 3166-1'],
    [{ country: [] }, 'expression.country: must have 1 to 1000 items'],
    [{ and: [] }, 'expression.and: must be a list of 1 to 256'],
    [{ or: [{ os: ['ios'] }, { not: [] }] }, 'expression.or[1].not: must be an object with one field'],
    [{ userSplit: { salt: 'a', from: 5, to: 4 } }, 'expression.userSplit.to: must not be less than from, 5'],
    [deep(17), 'must be at most 16 levels deep'],
    [{ or: Array.from({ length: 255 }, () => ({ not: { os: ['ios'] } })) }, 'must have at most 256 parts altogether'],
  ])('may not be %j', (value, problem) => {
    expect(problemsOf(value).join('\n')).toContain(problem)
  })
})

describe('targeting', () => {
  const plain = (expression: Expression, more: object = {}) => divideTargeting({ expression, ...more })

  test('has what an expression demands at its top as includes and excludes', () => {
    const expression: Expression = {
      and: [
        { country: ['USA', 'CAN'] },
        { not: { or: [{ os: ['ios'] }, { keyword: ['golf'] }] } },
        { not: { not: { deviceType: [4] } } },
      ],
    }
    const { rules, demands } = plain(expression, { os: { exclude: ['tizen'] } })
    expect(rules).toMatchObject([
      { name: 'os', include: undefined, exclude: ['tizen', 'ios'] },
      { name: 'country', include: ['USA', 'CAN'], exclude: [] },
      { name: 'keyword', include: undefined, exclude: ['golf'] },
      { name: 'deviceType', include: [4], exclude: [] },
    ])
    expect(demands).toEqual([])
  })

  test('leaves to a program what the index cannot say', () => {
    expect(plain({ or: [{ country: ['USA'] }, { os: ['ios'] }] }).demands.length).toBe(1)
    expect(plain({ country: ['USA'] }, { country: { include: ['CAN'] } }).demands.length).toBe(1)
    expect(plain({ not: { and: [{ country: ['USA'] }, { os: ['ios'] }] } }).demands.length).toBe(1)
    const all = divideTargeting({ segment: { all: ['p/1', 'p/2', 'p/3'] } })
    expect(all.rules).toMatchObject([{ name: 'segment', include: ['p/1'], exclude: [] }])
    expect(all.demands.length).toBe(2)
  })
})
