import { expect, test } from 'vitest'
import { compare, readStatement } from './statement.ts'

const DAY = Date.parse('2026-11-21T00:00:00Z') / 86_400_000

test('columns stand in any order, among others, quoted or not; lines of one day are added up', () => {
  const csv =
    '\ufeffDeal,"Spend",DATE,exchange\n"a, ""b""",1.5,2026-11-21,adx\n,0.25,2026-11-21,adx\n\n,2,2026-11-22,openx\n'
  expect(readStatement(csv, undefined)).toEqual([
    { exchange: 'adx', day: DAY, spendNanos: 1_750_000_000, impressions: undefined },
    { exchange: 'openx', day: DAY + 1, spendNanos: 2_000_000_000, impressions: undefined },
  ])
  expect(readStatement('date,spend,impressions\n2026-11-21,1,2\n2026-11-21,1,3', 'x')).toMatchObject([
    { impressions: 5 },
  ])
})

test.each([
  ['day,spend\n', /line 1 must name a column "date"/],
  ['date,spend\n21.11.2026,1', /line 2: date must be YYYY-MM-DD, got "21.11.2026"/],
  ['date,spend\n2026-11-21,1\n2026-11-21,"1,5"', /line 3: spend must be an amount like 12.34, got "1,5"/],
  ['date,spend\n2026-11-21,-1', /spend must be an amount/],
  ['date,spend,impressions\n2026-11-21,1,x', /impressions must be a whole number/],
])('%j is refused with its place', (csv, problem) => {
  expect(() => readStatement(csv, 'adx')).toThrow(problem)
  expect(() => readStatement('date,spend\n2026-11-21,1', undefined)).toThrow(/line 2 names no exchange: add a column/)
})

test('books agree within the tolerance, in money and in impressions', () => {
  const line = (spendNanos: number, impressions?: number) => [{ exchange: 'a', day: DAY, spendNanos, impressions }]
  const agrees = (theirs: number, ours: number, tolerance: number, counts: readonly (number | undefined)[] = []) =>
    compare(line(theirs, counts[0]), line(ours, counts[1]), tolerance)[0]?.agrees
  expect(agrees(1_000, 999, 0.001)).toBe(true)
  expect(agrees(1_000, 998, 0.001)).toBe(false)
  expect(agrees(1_000, 1_000, 0, [10, 11])).toBe(false)
  expect(agrees(1_000, 1_000, 0, [undefined, 11])).toBe(true)
  expect(compare(line(5), [], 0.5)[0]).toMatchObject({ agrees: false, ours: undefined })
  expect(compare([], line(0), 0)[0]?.agrees).toBe(true)
})
