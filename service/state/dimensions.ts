/**
 * The targeting dimensions. One table gives the documents' fields, the index's rows and the request's facts their
 * names: one more dimension is a row here, and a reader of it in openrtb/.
 * A line item that says nothing about a dimension takes every request; `include` takes only requests with one of its
 * values; `exclude` takes none with one of its values; `all` takes only requests with every one. A request in which the
 * value is unknown has none of the values.
 */
import { isAddressRange } from './addresses.ts'
import { CIRCLE, isCircle } from './circles.ts'
import { DAYPART, daypartKeys, isDaypart } from './dayparts.ts'
import { type Field, number, oneOf, text } from './fields.ts'
import { scanDomain, scanSolid } from './text-scans.ts'
import { isVersionRange, VERSION_RANGE } from './version-ranges.ts'
import { BROWSERS, countryFrom } from './vocabulary.ts'

/** What the table says of a dimension. */
export interface Dimension {
  /** 'impression': each impression of a request has its own value; otherwise all of them have the request's. */
  readonly of?: 'impression'
  /** One request can have several values at once (a page's categories), and not one at most (its country). */
  readonly many?: true
  /** Line items can ask for several values at once, with `all`. */
  readonly all?: true
  /** Line items can name lists of its values, see lists.ts. */
  readonly listed?: true
  /** It tells about the person: unknown unless user data may be used. */
  readonly personal?: true
  /** How a request's value finds the documents' values: they say the same, or theirs lie around it. */
  readonly match?: 'version' | 'circle' | 'address'
  readonly value: Field<string> | Field<number>
  /**
   * The keys under which a document's value is indexed, as the request's facts spell them; without it the value itself,
   * as text.
   */
  readonly keys?: (value: string | number) => readonly string[]
}

/** A text that requests spell in any case, and documents in lower case. */
const lowerCase = (about: string, like: string, max = 64) =>
  text({
    about,
    max,
    pattern: /^\S(.*\S)?$/,
    test: value => value === value.toLowerCase(),
    like: `lower case, ${like}`,
  })

const category = (of: string) =>
  text({
    about: `IAB Content Category 1.0 of ${of}, with its subcategories`,
    max: 8,
    pattern: /^IAB([1-9]|1\d|2[0-6])(-[1-9]\d?)?$/,
    like: 'an IAB 1.0 category from IAB1 to IAB26, like "IAB1" or "IAB1-6"',
  })

const daypart = (whose: string) =>
  text({
    about: `days and hours in the ${whose} time zone`,
    max: 13,
    pattern: DAYPART,
    test: isDaypart,
    like: 'days and hours, from before to, like "mon-fri 08-20" or "sun 00-24"; split what passes midnight',
  })
const hours = (value: string | number) => daypartKeys(String(value))

const YES_NO = ['yes', 'no'] as const

/** The table: everything that names a dimension follows from it. */
export const DIMENSIONS = {
  exchange: {
    value: text({ about: 'path name of an exchange', max: 31, pattern: /^[a-z][a-z0-9-]*$/, like: 'like "adx"' }),
  },
  country: {
    value: text({
      about: 'ISO 3166-1 alpha-3 country of the device',
      max: 3,
      pattern: /^[A-Z]{3}$/,
      test: code => countryFrom(code) === code,
      like: 'an ISO 3166-1 alpha-3 country, like "USA"',
    }),
  },
  region: {
    value: text({
      about: 'ISO 3166-2 region of the device',
      max: 6,
      pattern: /^[A-Z]{2}-[A-Z0-9]{1,3}$/,
      test: code => countryFrom(code.slice(0, 2)) !== '',
      like: 'an ISO 3166-2 region, like "US-CA"',
    }),
  },
  metro: {
    value: text({
      about: 'metro code of the device, as in geo.metro',
      max: 16,
      pattern: /^[A-Z0-9-]+$/,
      like: 'a metro code in upper case, like "501"',
    }),
  },
  city: { value: lowerCase('city of the device, as in geo.city', 'like "san francisco"') },
  postal: {
    many: true,
    listed: true,
    personal: true,
    value: text({
      about: 'postal code of the device, or the beginning of one',
      max: 15,
      pattern: /^[A-Z]{3} [A-Z0-9]{1,10}\*?$/,
      test: code => countryFrom(code.slice(0, 3)) === code.slice(0, 3),
      like: 'an ISO 3166-1 alpha-3 country and a code without spaces, like "USA 94103", or its beginning: "GBR SW1A*"',
    }),
  },
  near: {
    many: true,
    listed: true,
    personal: true,
    match: 'circle',
    value: text({
      about: 'circle around a place, in which the device is',
      max: 40,
      pattern: CIRCLE,
      test: isCircle,
      like: 'a latitude, a longitude and a radius, like "52.52,13.405 10km"',
    }),
  },
  ip: {
    many: true,
    listed: true,
    personal: true,
    match: 'address',
    value: text({
      about: 'IP address of the device, or a range of them',
      max: 43,
      pattern: /^[0-9A-Fa-f.:]+(\/\d{1,3})?$/,
      test: isAddressRange,
      like: 'an address, or the first of a range and its length, like "203.0.113.0/24" or "2001:db8::/32"',
    }),
  },
  deviceType: {
    value: number({ about: 'AdCOM device type: 1 mobile, 2 PC, 3 TV, 4 phone, 5 tablet …', min: 1, max: 8 }),
  },
  make: { value: lowerCase('make of the device', 'like "apple"') },
  model: { value: lowerCase('model of the device', 'like "iphone"') },
  os: {
    value: text({
      about: 'operating system, as in device.os',
      max: 32,
      pattern: /^[a-z0-9 ._-]+$/,
      like: 'lower case, like "ios"',
    }),
  },
  osVersion: {
    many: true,
    match: 'version',
    value: text({
      about: 'operating system with a version, the versions from one on, or from one to another',
      max: 64,
      pattern: VERSION_RANGE,
      test: isVersionRange,
      like: 'a system and a version of up to three parts, like "ios 17", "ios 15.2+" or "android 12-14"',
    }),
  },
  browser: { value: oneOf(BROWSERS, 'browser') },
  language: {
    value: text({
      about: 'ISO 639-1 language of the device',
      max: 2,
      pattern: /^[a-z]{2}$/,
      like: 'two letters, like "en"',
    }),
  },
  connectionType: {
    value: number({ about: 'AdCOM connection type: 1 Ethernet, 2 Wi-Fi, 3–7 cellular', min: 1, max: 7 }),
  },
  carrier: {
    many: true,
    value: lowerCase('carrier or provider: MCC-MNC, or its name as in device.carrier', 'like "310-260" or "t-mobile"'),
  },
  inventory: { value: oneOf(['site', 'app', 'dooh'], 'where the ad is shown') },
  domain: {
    many: true,
    listed: true,
    value: text({
      about: 'domain of the site, with its subdomains',
      max: 253,
      pattern: /^[a-z0-9-]+(\.[a-z0-9-]+)+$/,
      scan: scanDomain,
      like: 'a domain in lower case without scheme or path, like "example.com"',
    }),
  },
  app: {
    many: true,
    listed: true,
    value: text({
      about: 'store id or bundle of the app',
      max: 256,
      pattern: /^\S+$/,
      scan: scanSolid,
      like: 'like "com.example.game"',
    }),
  },
  publisher: {
    many: true,
    listed: true,
    value: text({
      about: 'id of the publisher, alone or after its exchange',
      max: 160,
      pattern: /^\S+$/,
      scan: scanSolid,
      like: 'like "pub-7", or "adx/pub-7" at one exchange only',
    }),
  },
  category: { many: true, value: category('the site or app') },
  pageCategory: { many: true, value: category('this page or view, its section included') },
  contentCategory: { many: true, value: category('the content that is watched, heard or read') },
  keyword: {
    many: true,
    all: true,
    listed: true,
    value: lowerCase('keyword of the site, app, content or user', 'like "trail running"'),
  },
  segment: {
    many: true,
    all: true,
    listed: true,
    personal: true,
    value: text({
      about: 'audience segment of the user: provider (user.data.id) and id',
      max: 256,
      pattern: /^\S+$/,
      scan: scanSolid,
      like: 'like "provider.example/4711", or "4711" where no provider is named',
    }),
  },
  daypart: { value: daypart("tenant's"), keys: hours },
  viewerDaypart: { value: daypart("viewer's"), keys: hours },
  format: {
    of: 'impression',
    many: true,
    value: oneOf(['banner', 'video', 'audio', 'native'], 'format that it takes'),
  },
  size: {
    of: 'impression',
    many: true,
    value: text({
      about: 'size of the banner that it takes, or of the player, in device-independent pixels',
      max: 11,
      pattern: /^[1-9]\d{0,4}x[1-9]\d{0,4}$/,
      like: 'a width and a height, like "300x250"',
    }),
  },
  position: {
    of: 'impression',
    value: number({
      about: 'AdCOM placement position: 1 above the fold, 3 below, 4 header … 7 full screen',
      min: 1,
      max: 7,
    }),
  },
  interstitial: { of: 'impression', value: oneOf(YES_NO, 'whether it is an interstitial or full screen') },
  rewarded: { of: 'impression', value: oneOf(YES_NO, 'whether the user is rewarded for watching') },
  videoPlacement: {
    of: 'impression',
    value: number({
      about: 'AdCOM video placement (plcmt): 1 instream, 2 accompanying content, 3 interstitial, 4 standalone',
      min: 1,
      max: 4,
    }),
  },
} as const satisfies Record<string, Dimension>

/** Name of a dimension, as in a line item's targeting. */
export type DimensionName = keyof typeof DIMENSIONS

/** All names, in the order of the table. */
export const DIMENSION_NAMES = Object.keys(DIMENSIONS) as readonly DimensionName[]

/** A dimension's row, with what it leaves out. */
export function dimensionOf(name: DimensionName): Dimension {
  return DIMENSIONS[name]
}

/** Dimensions whose value each impression has for itself. */
export type ImpressionDimension = {
  [D in DimensionName]: (typeof DIMENSIONS)[D] extends { readonly of: 'impression' } ? D : never
}[DimensionName]
/** Dimensions whose value all impressions of a request share. */
export type RequestDimension = Exclude<DimensionName, ImpressionDimension>

/** Dimensions of whose values there can be lists. */
export type ListedDimension = {
  [D in DimensionName]: (typeof DIMENSIONS)[D] extends { readonly listed: true } ? D : never
}[DimensionName]
/** Their names, in the order of the table. */
export const LISTED_DIMENSIONS = DIMENSION_NAMES.filter(
  name => dimensionOf(name).listed === true,
) as readonly ListedDimension[]

/** Their names, in the order of the table: the order of an opportunity's values. */
export const IMPRESSION_DIMENSIONS = DIMENSION_NAMES.filter(
  name => dimensionOf(name).of === 'impression',
) as readonly ImpressionDimension[]
/** Their names, in the order of the table: the order of a request's facts. */
export const REQUEST_DIMENSIONS = DIMENSION_NAMES.filter(
  name => dimensionOf(name).of === undefined,
) as readonly RequestDimension[]

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

/** A postal code and its beginnings: `USA 941` → `USA 941`, `USA 9*`, `USA 94*`, `USA 941*`. */
export function postalWithPrefixes(country: string, code: string): readonly string[] {
  const found = [`${country} ${code}`]
  for (let end = 1; end <= code.length; end++) found.push(`${country} ${code.slice(0, end)}*`)
  return found
}
