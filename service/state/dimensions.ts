/**
 * The targeting dimensions. One table gives the documents' fields, the index's rows and the request's facts their
 * names.
 * A line item that says nothing about a dimension takes every request; `include` takes only requests with one of its
 * values; `exclude` takes none with one of its values. A request in which the value is unknown has none of the values.
 */
import { type Field, NOT_GOOD, number, text } from './fields.ts'
import { countryFrom } from './vocabulary.ts'

interface Dimension {
  /** Whether one request can have several values at once (a page's categories) or one at most (its country). */
  readonly many: boolean
  readonly value: Field<string> | Field<number>
  /**
   * The keys under which a document's value is indexed, as the request's facts spell them; undefined = the value
   * itself, as text.
   */
  readonly keys: ((value: string | number) => readonly string[]) | undefined
}

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
const DAYPART = /^(mon|tue|wed|thu|fri|sat|sun)(?:-(mon|tue|wed|thu|fri|sat|sun))? ([01]\d|2[0-3])-([01]\d|2[0-4])$/

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

function daypartKeys(daypart: string): readonly string[] {
  let keys = keysOfDayparts.get(daypart)
  if (keys === undefined) {
    keys = hoursOfDaypart(daypart).map(String)
    keysOfDayparts.set(daypart, keys)
  }
  return keys
}

/** FNV-1a, step by step and at the end. */
const HASH_START = 0x811c9dc5
const HASH_FACTOR = 0x01000193
const hashEnd = (hash: number): number => (hash ^ (hash >>> 15)) & 0x7fff_ffff

/** The domain's pattern, `[a-z0-9-]+(\.[a-z0-9-]+)+`, read letter by letter. */
function scanDomain(text: string): number {
  let hash = HASH_START
  let dots = 0
  let labelStart = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    hash = Math.imul(hash ^ code, HASH_FACTOR)
    if (code === DOT) {
      if (i === labelStart) return NOT_GOOD
      dots++
      labelStart = i + 1
    } else if (!((code >= 97 && code <= 122) || (code >= 48 && code <= 57) || code === HYPHEN)) return NOT_GOOD
  }
  return dots > 0 && labelStart < text.length ? hashEnd(hash) : NOT_GOOD
}

const DOT = 46
const HYPHEN = 45
const SPACE = /\s/

/** The app's pattern, `\S+`; the regular expression decides only about what is not ASCII. */
function scanApp(text: string): number {
  let hash = HASH_START
  let ascii = true
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    hash = Math.imul(hash ^ code, HASH_FACTOR)
    ascii &&= code > 32 && code < 127
  }
  return ascii || !SPACE.test(text) ? hashEnd(hash) : NOT_GOOD
}

/** The table: everything that names a dimension follows from it. */
export const DIMENSIONS = {
  exchange: {
    many: false,
    value: text({ about: 'path name of an exchange', max: 31, pattern: /^[a-z][a-z0-9-]*$/, like: 'like "adx"' }),
    keys: undefined,
  },
  country: {
    many: false,
    value: text({
      about: 'ISO 3166-1 alpha-3 country of the device',
      max: 3,
      pattern: /^[A-Z]{3}$/,
      test: code => countryFrom(code) === code,
      like: 'an ISO 3166-1 alpha-3 country, like "USA"',
    }),
    keys: undefined,
  },
  region: {
    many: false,
    value: text({
      about: 'ISO 3166-2 region of the device',
      max: 6,
      pattern: /^[A-Z]{2}-[A-Z0-9]{1,3}$/,
      test: code => countryFrom(code.slice(0, 2)) !== '',
      like: 'an ISO 3166-2 region, like "US-CA"',
    }),
    keys: undefined,
  },
  deviceType: {
    many: false,
    value: number({ about: 'AdCOM device type: 1 mobile, 2 PC, 3 TV, 4 phone, 5 tablet …', min: 1, max: 8 }),
    keys: undefined,
  },
  os: {
    many: false,
    value: text({
      about: 'operating system, as in device.os',
      max: 32,
      pattern: /^[a-z0-9 ._-]+$/,
      like: 'lower case, like "ios"',
    }),
    keys: undefined,
  },
  language: {
    many: false,
    value: text({
      about: 'ISO 639-1 language of the device',
      max: 2,
      pattern: /^[a-z]{2}$/,
      like: 'two letters, like "en"',
    }),
    keys: undefined,
  },
  domain: {
    many: true,
    value: text({
      about: 'domain of the site, with its subdomains',
      max: 253,
      pattern: /^[a-z0-9-]+(\.[a-z0-9-]+)+$/,
      scan: scanDomain,
      like: 'a domain in lower case without scheme or path, like "example.com"',
    }),
    keys: undefined,
  },
  app: {
    many: false,
    value: text({
      about: 'store id or bundle of the app',
      max: 256,
      pattern: /^\S+$/,
      scan: scanApp,
      like: 'like "com.example.game"',
    }),
    keys: undefined,
  },
  category: {
    many: true,
    value: text({
      about: 'IAB Content Category 1.0 of the page or app, with its subcategories',
      max: 8,
      pattern: /^IAB([1-9]|1\d|2[0-6])(-[1-9]\d?)?$/,
      like: 'an IAB 1.0 category from IAB1 to IAB26, like "IAB1" or "IAB1-6"',
    }),
    keys: undefined,
  },
  daypart: {
    many: false,
    value: text({
      about: "days and hours in the tenant's time zone",
      max: 13,
      pattern: DAYPART,
      // `fri 20-04` would be no hour at all, and the line item would never serve.
      test: daypart => daypart.slice(-5, -3) < daypart.slice(-2),
      like: 'days and hours, from before to, like "mon-fri 08-20" or "sun 00-24"; split what passes midnight',
    }),
    keys: value => daypartKeys(String(value)),
  },
} as const satisfies Record<string, Dimension>

/** Name of a dimension, as in a line item's targeting. */
export type DimensionName = keyof typeof DIMENSIONS

/** All names, in the order of the table. */
export const DIMENSION_NAMES = Object.keys(DIMENSIONS) as readonly DimensionName[]

/** An IAB 1.0 category and the one above it: `IAB1-6` → `IAB1-6`, `IAB1`. */
export function categoryWithParents(category: string): readonly string[] {
  const dash = category.indexOf('-')
  return dash < 0 ? [category] : [category, category.slice(0, dash)]
}

/** A domain and those above it, most specific first, top-level domains left out: `a.b.com` → `a.b.com`, `b.com`. */
export function domainWithParents(domain: string): readonly string[] {
  const found: string[] = []
  for (let rest = domain; rest.includes('.'); rest = rest.slice(rest.indexOf('.') + 1)) found.push(rest)
  return found
}
