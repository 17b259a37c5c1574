/** What generated line items target besides place, device and site: each by a few, as ad operations do. */
import type { Random } from '../foundation/random.ts'
import type { DimensionName } from '../state/dimensions.ts'
import type { Targeting } from '../state/documents.ts'
import type { Expression } from '../state/expressions.ts'
import {
  CARRIERS,
  CATEGORIES,
  CITIES,
  COUNTRIES,
  KEYWORDS,
  MAKES,
  MODELS,
  PUBLISHER_COUNT,
  publisherAt,
  SEGMENT_COUNT,
  segmentAt,
} from './generator-world.ts'

type Values = (random: Random) => readonly (string | number)[]
type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** Different values by a Zipf law, min to max of them or fewer. */
function few<T extends string | number>(min: number, max: number, of: number, at: (rank: number) => T) {
  return (random: Random): readonly T[] => {
    const found = new Set<T>()
    for (let i = random.between(min, max); i > 0; i--) found.add(at(random.zipf(of)))
    return [...found]
  }
}

const from = <T extends string | number>(list: readonly [T, ...T[]], max = 2) =>
  few(1, max, list.length, at => list[at] ?? list[0])

/** Shops lie around cities, each where no other is. */
function circles(random: Random): readonly string[] {
  return Array.from({ length: random.between(1, 12) }, () => {
    const city = random.pick(CITIES)
    const [lat, lon] = [city.lat + random.unit() - 0.5, city.lon + random.unit() - 0.5]
    return `${lat.toFixed(4)},${lon.toFixed(4)} ${random.pick([2, 5, 10, 25])}km`
  })
}

const postals: Values = random => {
  const city = random.pick(CITIES)
  const beginning = city.postal.slice(0, random.between(2, 3))
  return [`${city.country} ${beginning}${random.chance(0.7) ? '*' : '10'}`]
}

/** Share of line items that include, share that exclude, and what. Excludes of rare values cost reach little. */
const DETAILS: readonly (readonly [name: DimensionName, include: number, exclude: number, values: Values])[] = [
  ['metro', 0.015, 0.01, few(1, 3, CITIES.length, at => CITIES[at]?.metro ?? '501')],
  ['city', 0.02, 0.02, few(1, 4, CITIES.length, at => CITIES[at]?.name ?? 'berlin')],
  ['postal', 0.01, 0.01, postals],
  ['near', 0.015, 0.01, circles],
  ['make', 0.03, 0.02, from(MAKES)],
  ['model', 0.01, 0.01, from(MODELS)],
  [
    'osVersion',
    0.05,
    0.03,
    from(['android 12+', 'ios 15.2+', 'ios 16-18', 'android 9-11', 'windows 10+', 'ios 12'], 3),
  ],
  ['browser', 0.03, 0.03, from(['chrome', 'safari', 'edge', 'firefox', 'samsung', 'opera'], 3)],
  ['connectionType', 0.04, 0.03, from([2, 6, 5, 7, 1, 3], 3)],
  ['carrier', 0.015, 0.02, from(CARRIERS)],
  ['inventory', 0.08, 0.05, from(['app', 'site'], 1)],
  ['publisher', 0.02, 0.15, few(2, 30, PUBLISHER_COUNT, publisherAt)],
  ['pageCategory', 0.01, 0.06, few(1, 6, CATEGORIES.length, at => CATEGORIES[at] ?? 'IAB12')],
  ['contentCategory', 0.01, 0.05, few(1, 6, CATEGORIES.length, at => CATEGORIES[at] ?? 'IAB12')],
  ['keyword', 0.03, 0.15, few(2, 25, KEYWORDS.length, at => KEYWORDS[at] ?? 'news')],
  ['segment', 0.1, 0.1, few(1, 20, SEGMENT_COUNT, segmentAt)],
  ['viewerDaypart', 0.05, 0.02, from(['mon-sun 06-24', 'mon-fri 07-19', 'sat-sun 08-22'], 1)],
  ['format', 0.03, 0.02, from(['banner', 'video', 'native', 'audio'])],
  ['size', 0.02, 0.03, from(['300x250', '320x50', '728x90', '970x250', '640x360'], 3)],
  ['position', 0.04, 0.04, from([1, 3, 4, 7])],
  ['interstitial', 0.02, 0.04, () => ['yes']],
  ['rewarded', 0.01, 0.04, () => ['yes']],
  ['videoPlacement', 0.01, 0.02, from([1, 4, 2, 3])],
]

function expression(random: Random): Expression {
  const city = random.pick(CITIES)
  const abroad: Expression = { not: { country: [COUNTRIES[random.zipf(COUNTRIES.length)] ?? 'USA'] } }
  const liked: Expression = { or: [{ keyword: [random.pick(KEYWORDS)] }, { segment: [segmentAt(random.zipf(2_000))] }] }
  const here: Expression = { and: [{ city: [city.name] }, { deviceType: [4, 5] }] }
  return random.pick<Expression>([
    { or: [abroad, liked] },
    { or: [here, abroad, { and: [liked, { not: { connectionType: [3] } }] }] },
    { and: [{ not: { list: ['data-centres'] } }, { or: [liked, abroad] }] },
  ])
}

/** Adds all of this to a line item's targeting. Deterministic for the state of `random`. */
export function addDetails(random: Random, targeting: Mutable<Targeting>): void {
  const rules = targeting as Record<string, object>
  for (const [name, include, exclude, values] of DETAILS) {
    const u = random.unit()
    if (u < include) rules[name] = { include: values(random) }
    else if (u < include + exclude) rules[name] = { exclude: values(random) }
  }
  if (random.chance(0.3)) rules.domain = { ...rules.domain, excludeLists: ['blocked-sites'] }
  if (random.chance(0.3)) rules.app = { ...rules.app, excludeLists: ['blocked-apps'] }
  if (random.chance(0.2)) rules.ip = { excludeLists: ['data-centres'] }
  if (random.chance(0.02)) rules.segment = { ...rules.segment, all: [segmentAt(random.zipf(200))] }
  if (random.chance(0.03)) targeting.userSplit = { salt: `test-${random.between(1, 40)}`, from: 0, to: 4_999 }
  if (random.chance(0.05)) targeting.expression = expression(random)
}
