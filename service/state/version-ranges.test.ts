import { describe, expect, test } from 'vitest'
import { isVersionRange, versionNumber } from './version-ranges.ts'

describe('a version', () => {
  test.each([
    ['9', '10'],
    ['15.2', '15.10'],
    ['15.2', '15.2.1'],
    ['10.0.19045', '10.0.22631'],
    ['14_2', '14_10'],
    ['1.131071.131071', '2'],
  ])('%s is before %s', (a, b) => {
    expect(versionNumber(a)).toBeLessThan(versionNumber(b))
  })

  test.each([
    ['15', '15.0.0'],
    ['15.2', '15_2'],
    ['15.2 beta', '15.2'],
    ['1.2.3.4', '1.2.3.9'],
  ])('%s is %s', (a, b) => {
    expect(versionNumber(a)).toBe(versionNumber(b))
  })

  test('that begins with no number is none', () => {
    expect(versionNumber('beta 2')).toBeNaN()
    expect(versionNumber('')).toBeNaN()
  })

  test.each([
    ['ios 17', true],
    ['ios 15.2+', true],
    ['roku os 9-12.5', true],
    ['ios 15.2-15', true],
    ['ios 17-15', false],
    ['ios', false],
    ['17', false],
    ['ios 1.2.3.4', false],
    ['ios 15 +', false],
    ['iOS 15', false],
  ])('range %s is one: %s', (range, is) => {
    expect(isVersionRange(range)).toBe(is)
  })
})
