/** Targeting of generated line items: how often each dimension is restricted, and with which skew. */
import type { Random } from '../foundation/random.ts'
import type { Targeting } from '../state/documents.ts'
import { addDetails } from './generator-details.ts'
import {
  APP_COUNT,
  appAt,
  CATEGORIES,
  COUNTRIES,
  DOMAIN_COUNT,
  domainAt,
  EXCHANGE_IDS,
  LANGUAGES,
  OPERATING_SYSTEMS,
  REGIONS,
} from './generator-world.ts'

/** What line items restrict: what most campaigns do (place, device, site, time), or every dimension there is. */
export type TargetingStyle = 'usual' | 'everything'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }
type Rule<T> = { readonly include?: readonly T[]; readonly exclude?: readonly T[] }

/** Different values by a Zipf law; a popular value that comes twice is taken once, so fewer than `count` may come. */
function zipfValues<T>(random: Random, count: number, of: number, at: (rank: number) => T): T[] {
  const found = new Set<T>()
  for (let i = 0; i < count; i++) found.add(at(random.zipf(of)))
  return [...found]
}

/** Include with one probability, exclude with another, otherwise no rule. */
function maybeRule<T>(
  random: Random,
  share: { readonly include: number; readonly exclude: number },
  values: (side: 'include' | 'exclude') => T[],
): Rule<T> | undefined {
  const u = random.unit()
  if (u < share.include) return { include: values('include') }
  if (u < share.include + share.exclude) return { exclude: values('exclude') }
  return undefined
}

const DAYPARTS: readonly (readonly string[])[] = [
  ['mon-fri 06-10', 'mon-fri 16-22'],
  ['mon-fri 08-18'],
  ['mon-sun 17-24'],
  ['mon-sun 06-24'],
  ['sat-sun 00-24'],
  ['fri-sun 12-24', 'mon-thu 18-24'],
  ['mon-sun 07-23'],
]

/** What devices a line item is bought for: AdCOM device types. */
const DEVICE_GROUPS: readonly (readonly number[])[] = [[1, 4, 5], [2], [4, 5], [4], [1, 2, 4, 5], [3, 7], [5]]

/** Mobile and TV systems fit their devices, so that a rule does not rule everything out. */
function osFor(random: Random, devices: readonly number[] | undefined): string[] {
  if (devices?.includes(3)) return ['tvos', 'tizen', 'webos', 'roku os'].slice(0, random.between(2, 4))
  if (devices?.includes(4)) return random.chance(0.6) ? ['android'] : ['ios']
  if (devices !== undefined) return ['windows', 'macos'].slice(0, random.between(1, 2))
  return zipfValues(random, random.between(1, 3), OPERATING_SYSTEMS.length, at => OPERATING_SYSTEMS[at] ?? 'android')
}

function addPlaces(random: Random, targeting: Mutable<Targeting>): void {
  const country = maybeRule(random, { include: 0.5, exclude: 0.06 }, side => {
    const count = side === 'exclude' ? random.between(2, 12) : random.chance(0.6) ? 1 : random.between(2, 8)
    return zipfValues(random, count, COUNTRIES.length, at => COUNTRIES[at] ?? 'USA')
  })
  if (country === undefined) return
  targeting.country = country
  const regions = country.include?.length === 1 ? REGIONS[country.include[0] ?? ''] : undefined
  if (regions === undefined || !random.chance(0.3)) return
  const rule = maybeRule(random, { include: 0.8, exclude: 0.2 }, () =>
    zipfValues(random, random.between(1, 8), regions.length, at => regions[at] ?? ''),
  )
  if (rule !== undefined) targeting.region = rule
}

function addDevices(random: Random, targeting: Mutable<Targeting>): void {
  const deviceType = maybeRule(random, { include: 0.4, exclude: 0.04 }, side =>
    side === 'include' ? [...(DEVICE_GROUPS[random.zipf(DEVICE_GROUPS.length)] ?? [4])] : [random.pick([3, 6, 7, 8])],
  )
  if (deviceType !== undefined) targeting.deviceType = deviceType
  const os = maybeRule(random, { include: 0.2, exclude: 0.05 }, side =>
    side === 'include' ? osFor(random, deviceType?.include) : [random.pick(['linux', 'webos', 'tizen'])],
  )
  if (os !== undefined) targeting.os = os
  const language = maybeRule(random, { include: 0.28, exclude: 0.02 }, () =>
    zipfValues(random, random.between(1, 3), LANGUAGES.length, at => LANGUAGES[at] ?? 'en'),
  )
  if (language !== undefined) targeting.language = language
}

/** Long lists of sites, as agencies load them: a few deliberate placements, or a block list. */
function addInventory(random: Random, targeting: Mutable<Targeting>): void {
  // A list of sites and a list of apps at once would take no request: each has only one of them.
  const where = random.pick(['any', 'any', 'site', 'app'] as const)
  const domain = maybeRule(random, { include: where === 'site' ? 0.7 : 0, exclude: 0.5 }, side => {
    const count = side === 'include' ? random.between(6, 76) : random.between(14, 100)
    return zipfValues(random, count, DOMAIN_COUNT, domainAt)
  })
  if (domain !== undefined && where !== 'app') targeting.domain = domain
  const app = maybeRule(random, { include: where === 'app' ? 0.65 : 0, exclude: 0.35 }, side => {
    const count = side === 'include' ? random.between(4, 66) : random.between(12, 90)
    return zipfValues(random, count, APP_COUNT, appAt)
  })
  if (app !== undefined && where !== 'site') targeting.app = app
  const category = maybeRule(random, { include: 0.22, exclude: 0.45 }, side => {
    const count = side === 'include' ? random.between(2, 14) : random.between(3, 24)
    return zipfValues(random, count, CATEGORIES.length, at => CATEGORIES[at] ?? 'IAB12')
  })
  if (category !== undefined) targeting.category = category
}

/** The targeting of one line item. Deterministic for the state of `random`. */
export function makeTargeting(random: Random, style: TargetingStyle): Targeting {
  const targeting: Mutable<Targeting> = {}
  const exchange = maybeRule(random, { include: 0.2, exclude: 0.1 }, () =>
    zipfValues(random, random.between(1, 3), EXCHANGE_IDS.length, at => EXCHANGE_IDS[at] ?? 'adx'),
  )
  if (exchange !== undefined) targeting.exchange = exchange
  addPlaces(random, targeting)
  addDevices(random, targeting)
  addInventory(random, targeting)
  const daypart = maybeRule(random, { include: 0.2, exclude: 0.03 }, side =>
    side === 'include' ? [...random.pick(DAYPARTS)] : ['mon-sun 01-05'],
  )
  if (daypart !== undefined) targeting.daypart = daypart
  if (style === 'everything') addDetails(random, targeting)
  return targeting
}
