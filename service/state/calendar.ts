/** Calendar questions in a tenant's time zone. */

const DAY_NUMBERS: Readonly<Record<string, number>> = { Mon: 0, Tue: 1, Wed: 2, Thu: 3, Fri: 4, Sat: 5, Sun: 6 }
const formats = new Map<string, Intl.DateTimeFormat>()

/** Hour of the week, 0 = Monday 00:00–01:00, at an offset from UTC in minutes. 1970 began on a Thursday. */
export function hourOfWeekAt(nowMs: number, offsetMinutes: number): number {
  const hours = Math.floor((nowMs + offsetMinutes * 60_000) / 3_600_000)
  return (hours + 3 * 24) % (7 * 24)
}

/**
 * Hour of the week, 0 = Monday 00:00–01:00, as the wall clock of an IANA time zone shows it; daylight saving included.
 * Not for the bid path: formatting takes microseconds.
 */
export function hourOfWeek(nowMs: number, timeZone: string): number {
  let format = formats.get(timeZone)
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', { timeZone, weekday: 'short', hour: '2-digit', hourCycle: 'h23' })
    formats.set(timeZone, format)
  }
  const parts = format.formatToParts(nowMs)
  const day = parts.find(part => part.type === 'weekday')?.value ?? ''
  const hour = parts.find(part => part.type === 'hour')?.value ?? '0'
  return (DAY_NUMBERS[day] ?? 0) * 24 + Number(hour)
}

const DAY_MS = 86_400_000
const dayFormats = new Map<string, Intl.DateTimeFormat>()

/** Whole days since 1970 of the date that the wall clock of an IANA time zone shows. Not for the bid path. */
export function dayNumber(nowMs: number, timeZone: string): number {
  let format = dayFormats.get(timeZone)
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', { timeZone, year: 'numeric', month: 'numeric', day: 'numeric' })
    dayFormats.set(timeZone, format)
  }
  const parts = format.formatToParts(nowMs)
  const part = (type: string) => Number(parts.find(each => each.type === type)?.value)
  return Date.UTC(part('year'), part('month') - 1, part('day')) / DAY_MS
}

/** One day as a wall clock counts it. */
export interface Day {
  /** Whole days since 1970 of the date that the wall clock shows. */
  readonly number: number
  /** Milliseconds since 1970; the end is the next day's start. */
  readonly startMs: number
  readonly endMs: number
}

/** No day is longer: clocks have gone back by an hour, and date lines have moved by a day. */
const DAY_MS_MAX = 2 * DAY_MS

/** The day of an IANA time zone at an instant, 23 or 25 hours long where clocks change. Not for the bid path. */
export function dayAt(nowMs: number, timeZone: string): Day {
  const number = dayNumber(nowMs, timeZone)
  return {
    number,
    startMs: firstInstant(nowMs - DAY_MS_MAX, nowMs, ms => dayNumber(ms, timeZone) >= number),
    endMs: firstInstant(nowMs, nowMs + DAY_MS_MAX, ms => dayNumber(ms, timeZone) > number),
  }
}

/** The first whole millisecond after `from` for which the condition holds, which it goes on to do until `to`. */
function firstInstant(from: number, to: number, holds: (ms: number) => boolean): number {
  let [before, after] = [Math.floor(from), Math.ceil(to)]
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2)
    if (holds(middle)) after = middle
    else before = middle
  }
  return after
}
