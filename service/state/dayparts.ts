/** Days and hours as a line item says them, such as `mon-fri 08-20`. */

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
/** A daypart's form; see isDaypart for what a pattern cannot say. */
export const DAYPART =
  /^(mon|tue|wed|thu|fri|sat|sun)(?:-(mon|tue|wed|thu|fri|sat|sun))? ([01]\d|2[0-3])-([01]\d|2[0-4])$/

/** Hours of the week (0 = Monday 00:00–01:00) in a text such as `mon-fri 08-20`; the last hour is not included. */
export function hoursOfDaypart(daypart: string): readonly number[] {
  const match = DAYPART.exec(daypart)
  if (match === null) return []
  const firstDay = DAYS.indexOf(match[1] as (typeof DAYS)[number])
  const lastDay = match[2] === undefined ? firstDay : DAYS.indexOf(match[2] as (typeof DAYS)[number])
  const hours: number[] = []
  for (let day = firstDay; ; day = (day + 1) % 7) {
    for (let hour = Number(match[3]); hour < Number(match[4]); hour++) hours.push(day * 24 + hour)
    if (day === lastDay) return hours
  }
}

/** Many line items say the same dayparts: 7 × 7 × 300 are possible, and a tenant has a few dozen. */
const keysOfDayparts = new Map<string, readonly string[]>()

/** The hours of hoursOfDaypart as texts, each list made once. Mutates only what it has kept. */
export function daypartKeys(daypart: string): readonly string[] {
  let keys = keysOfDayparts.get(daypart)
  if (keys === undefined) {
    keys = hoursOfDaypart(daypart).map(String)
    keysOfDayparts.set(daypart, keys)
  }
  return keys
}

/** Whether a text of the form of DAYPART has an hour: `fri 20-04` would have none, and the line item never serve. */
export function isDaypart(daypart: string): boolean {
  return daypart.slice(-5, -3) < daypart.slice(-2)
}
