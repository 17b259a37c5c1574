import { describe, expect, test } from 'vitest'
import { dayAt, dayNumber, hourOfWeek } from './calendar.ts'

const at = (instant: string, timeZone: string) => hourOfWeek(Date.parse(instant), timeZone)
const HOUR_MS = 3_600_000
const [SATURDAY, SUNDAY] = [5 * 24, 6 * 24]

/** Hours of the week that a zone's wall clock shows in a row, one per hour of real time. */
function hoursFrom(instant: string, timeZone: string, count: number): number[] {
  return Array.from({ length: count }, (_, hour) => hourOfWeek(Date.parse(instant) + hour * HOUR_MS, timeZone))
}

describe('the hour of the week', () => {
  test('begins on Monday at midnight and ends on Sunday', () => {
    expect(at('2026-11-16T00:00:00Z', 'UTC')).toBe(0)
    expect(at('2026-11-16T00:59:59.999Z', 'UTC')).toBe(0)
    expect(at('2026-11-21T12:00:00Z', 'UTC')).toBe(SATURDAY + 12)
    expect(at('2026-11-22T23:59:59Z', 'UTC')).toBe(167)
  })

  test('counts through a week without a gap', () => {
    expect(hoursFrom('2026-11-16T00:00:00Z', 'UTC', 168)).toEqual(Array.from({ length: 168 }, (_, hour) => hour))
  })

  test('is of the zone and not of the machine', () => {
    expect(at('2026-11-15T22:30:00Z', 'Europe/Berlin')).toBe(SUNDAY + 23)
    expect(at('2026-11-15T23:30:00Z', 'Europe/Berlin')).toBe(0)
    expect(at('2026-11-16T06:30:00Z', 'America/Denver')).toBe(SUNDAY + 23)
    expect(at('2026-11-15T11:00:00Z', 'Pacific/Kiritimati')).toBe(1)
  })

  test.each([
    ['Europe/Berlin', '2026-03-28T23:00:00Z', [0, 1, 3, 4]],
    ['America/New_York', '2026-03-08T05:00:00Z', [0, 1, 3, 4]],
  ])('leaves out the hour that is lost in spring: %s', (zone, midnight, hours) => {
    expect(hoursFrom(midnight, zone, 4)).toEqual(hours.map(hour => SUNDAY + hour))
  })

  test.each([
    ['Europe/Berlin', '2026-10-24T22:00:00Z', [0, 1, 2, 2, 3]],
    ['America/New_York', '2026-11-01T04:00:00Z', [0, 1, 1, 2, 3]],
  ])('comes twice when an hour is won in autumn: %s', (zone, midnight, hours) => {
    expect(hoursFrom(midnight, zone, 5)).toEqual(hours.map(hour => SUNDAY + hour))
  })

  test.each([
    ['Asia/Kolkata', '2026-11-15T18:29:59Z', '2026-11-15T18:30:00Z'],
    ['Asia/Kathmandu', '2026-11-15T18:14:59Z', '2026-11-15T18:15:00Z'],
    ['Australia/Lord_Howe', '2026-11-15T12:59:59Z', '2026-11-15T13:00:00Z'],
  ])('changes where the wall clock does, in zones with parts of an hour: %s', (zone, before, after) => {
    expect(at(before, zone)).toBe(167)
    expect(at(after, zone)).toBe(0)
  })

  test('moves by half an hour where daylight saving does', () => {
    // Lord Howe Island: 02:00 becomes 02:30 on 4 October 2026.
    expect(at('2026-10-03T15:29:00Z', 'Australia/Lord_Howe')).toBe(SUNDAY + 1)
    expect(at('2026-10-03T15:30:00Z', 'Australia/Lord_Howe')).toBe(SUNDAY + 2)
    expect(at('2026-10-03T16:00:00Z', 'Australia/Lord_Howe')).toBe(SUNDAY + 3)
  })
})

describe('the number of a day', () => {
  test("turns at the zone's midnight, whatever the offset and the season", () => {
    const day = (instant: string, timeZone: string) => dayNumber(Date.parse(instant), timeZone)
    expect(day('1970-01-01T00:00:00Z', 'UTC')).toBe(0)
    expect(day('2026-11-21T23:59:59.999Z', 'UTC')).toBe(20_778)
    expect(day('2026-11-21T23:59:59Z', 'Europe/Berlin')).toBe(20_779)
    expect(day('2026-11-21T06:59:59Z', 'America/Denver')).toBe(20_777)
    expect(day('2026-03-29T21:59:59Z', 'Europe/Berlin')).toBe(day('2026-03-28T23:00:00Z', 'Europe/Berlin'))
    expect(day('2026-03-29T22:00:00Z', 'Europe/Berlin')).toBe(day('2026-03-29T21:59:59Z', 'Europe/Berlin') + 1)
  })
})

describe('a day', () => {
  const hours = (instant: string, timeZone: string) => {
    const { startMs, endMs, number } = dayAt(Date.parse(instant), timeZone)
    expect(dayNumber(startMs, timeZone)).toBe(number)
    expect(dayNumber(startMs - 1, timeZone)).toBe(number - 1)
    expect(dayNumber(endMs, timeZone)).toBe(number + 1)
    return (endMs - startMs) / 3_600_000
  }

  test('is 24 hours long, and 23 or 25 where clocks change', () => {
    expect(hours('2026-11-21T12:00:00Z', 'Asia/Kolkata')).toBe(24)
    expect(hours('2026-03-29T00:00:00Z', 'Europe/Berlin')).toBe(23)
    expect(hours('2026-10-25T22:59:59Z', 'Europe/Berlin')).toBe(25)
    expect(hours('2026-10-04T03:00:00+11:00', 'Australia/Lord_Howe')).toBe(23.5)
    // Its clocks turn at midnight: the day begins at one.
    expect(hours('2026-04-24T12:00:00Z', 'Africa/Cairo')).toBe(23)
  })
})
