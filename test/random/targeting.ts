/** Random targeting and requests over a tiny vocabulary, so that everything meets everything. Seeded by the caller. */
import type { Facts, FactValue } from '../../service/decision/opportunity.ts'
import type { Random } from '../../service/foundation/random.ts'
import {
  categoryWithParents,
  DIMENSION_NAMES,
  type DimensionName,
  dimensionOf,
  domainWithParents,
  LISTED_DIMENSIONS,
  postalWithPrefixes,
  REQUEST_DIMENSIONS,
} from '../../service/state/dimensions.ts'
import type { Targeting, TenantDocuments } from '../../service/state/documents.ts'
import type { Expression } from '../../service/state/expressions.ts'
import type { UserSplit } from '../../service/state/user-split.ts'
import { languageCode } from '../../service/state/vocabulary.ts'

/** What documents and requests say in each dimension. */
export const VALUES = {
  exchange: ['adx', 'openx'],
  country: ['USA', 'DEU', 'FRA', 'JPN'],
  region: ['US-CA', 'US-NY', 'DE-BE'],
  deviceType: [1, 2, 4],
  os: ['ios', 'android', 'windows'],
  language: ['en', 'de', 'ja'],
  domain: ['a.com', 'news.a.com', 'b.org', 'x.b.org'],
  app: ['com.game', '12345', 'org.tool'],
  category: ['IAB1', 'IAB1-6', 'IAB2', 'IAB2-3'],
  daypart: ['mon 00-02', 'tue-thu 03-05', 'sat-sun 10-12'],
  viewerDaypart: ['mon 00-02', 'tue-thu 03-05', 'sat-sun 10-12'],
  metro: ['501', '803'],
  city: ['berlin', 'new york'],
  postal: ['USA 94103', 'USA 94*', 'DEU 1*', 'DEU 10115'],
  make: ['apple', 'samsung'],
  model: ['iphone', 'sm-g991b'],
  near: [
    '52.52,13.405 10km',
    '52.52,13.405 300km',
    '-16.8,179.99 50km',
    '89.95,0 40km',
    '0,0 20000km',
    '40.7,-74 5.5km',
  ],
  ip: [
    '192.0.2.0/24',
    '192.0.2.7',
    '192.0.0.0/16',
    '0.0.0.0/0',
    '2001:db8::/32',
    '2001:db8:0:5::/64',
    '::/0',
    '::ffff:192.0.2.0/120',
  ],
  osVersion: ['ios 15.2+', 'ios 12-14', 'ios 14.5', 'android 12-14.1', 'android 9+', 'ios 14.5.1-15'],
  browser: ['chrome', 'safari'],
  connectionType: [2, 6],
  carrier: ['310-260', 't-mobile', '310-410'],
  inventory: ['site', 'app'],
  publisher: ['pub-1', 'adx/pub-1', 'openx/pub-2'],
  pageCategory: ['IAB1', 'IAB1-6', 'IAB2'],
  contentCategory: ['IAB1', 'IAB2-3', 'IAB2'],
  keyword: ['running', 'trail shoes', 'golf'],
  segment: ['p.example/1', 'p.example/2', '3', '4'],
  format: ['banner', 'video', 'audio', 'native'],
  size: ['300x250', '320x50', '640x360'],
  position: [1, 3],
  interstitial: ['yes', 'no'],
  rewarded: ['yes', 'no'],
  videoPlacement: [1, 4],
} as const satisfies Readonly<Record<DimensionName, readonly (string | number)[]>>
const HOURS = ['0', '1', '27', '75', '130', '155']

/** One to max of a list, in any order. */
export function some<T>(random: Random, list: readonly T[], max: number): T[] {
  const shuffled = [...list].sort(() => random.unit() - 0.5)
  return shuffled.slice(0, random.between(1, max))
}

/** A line item's targeting. */
export function randomTargeting(random: Random): Targeting {
  const targeting: Record<string, unknown> = {}
  for (const [name, values] of Object.entries(VALUES)) {
    if (!random.chance(0.12)) continue
    const include = random.chance(0.7) ? some<unknown>(random, values, 3) : []
    const exclude = random.chance(0.4) ? some<unknown>(random, values, 2).filter(value => !include.includes(value)) : []
    targeting[name] = ruleOf({ include, exclude, ...randomListRule(random, name as DimensionName) })
  }
  if (random.chance(0.08)) targeting.userSplit = randomSplit(random)
  if (random.chance(0.15)) targeting.expression = randomExpression(random, 3)
  for (const name of ['keyword', 'segment'] as const)
    if (random.chance(0.06)) targeting[name] = { all: some<unknown>(random, VALUES[name], 3) }
  return targeting as Targeting
}

function ruleOf(lists: Readonly<Record<string, readonly unknown[]>>) {
  return Object.fromEntries(Object.entries(lists).filter(([, values]) => values.length > 0))
}

const LIST_NAMES = ['a', 'b', 'c'] as const
const listId = (name: DimensionName, list: string) => `${name}-${list}`

function randomListRule(random: Random, name: DimensionName) {
  if (!(LISTED_DIMENSIONS as readonly string[]).includes(name) || !random.chance(0.5)) return {}
  const lists = (chance: number) =>
    random.chance(chance) ? some(random, LIST_NAMES, 2).map(list => listId(name, list)) : []
  return { includeLists: lists(0.5), excludeLists: lists(0.3) }
}

/** Three lists of each dimension that has lists, with overlapping values in one or two parts. */
export function randomLists(random: Random): Pick<TenantDocuments, 'lists' | 'listParts'> {
  const lists = LISTED_DIMENSIONS.flatMap(name =>
    LIST_NAMES.map(list => ({ id: listId(name, list), name: `List ${list}`, dimension: name })),
  )
  const listParts = lists.flatMap(({ id, dimension }) =>
    Array.from({ length: random.between(1, 2) }, (_, part) => ({
      id: `${id}-${part}`,
      listId: id,
      values: some<string>(random, VALUES[dimension], 2),
    })),
  )
  return { lists, listParts }
}

function randomSplit(random: Random): UserSplit {
  return { salt: random.pick(['one', 'two']), from: random.between(0, 3_000), to: random.between(3_000, 9_999) }
}

function randomExpression(random: Random, depth: number): Expression {
  const way = depth === 0 ? 0 : random.pickIndex(5)
  const parts = () => Array.from({ length: random.between(1, 3) }, () => randomExpression(random, depth - 1))
  if (way === 1) return { and: parts() }
  if (way === 2) return { or: parts() }
  if (way === 3) return { not: randomExpression(random, depth - 1) }
  if (random.chance(0.1)) return { userSplit: randomSplit(random) }
  if (random.chance(0.1)) return { list: [listId(random.pick(LISTED_DIMENSIONS), random.pick(LIST_NAMES))] }
  const name = random.pick(DIMENSION_NAMES)
  return { [name]: some<unknown>(random, VALUES[name], 3) } as unknown as Expression
}

const maybe = (random: Random, list: readonly string[]): string => (random.chance(0.2) ? '' : random.pick(list))

/** What requests say in dimensions in which that is not simply one of VALUES or something else. */
const FACTS: Partial<Record<DimensionName, (random: Random) => FactValue>> = {
  domain: random =>
    random.chance(0.5) ? domainWithParents(random.pick([...VALUES.domain, 'deep.x.b.org', 'c.net'])) : [],
  category: randomCategories,
  pageCategory: randomCategories,
  contentCategory: randomCategories,
  postal: random => {
    const [country, code] = random.pick(['USA 94103', 'USA 94110', 'DEU 10115', 'DEU 20095', 'USA 10001']).split(' ')
    return random.chance(0.3) ? [] : postalWithPrefixes(country as string, code as string)
  },
  osVersion: random => (random.chance(0.2) ? [] : [random.pick(VERSIONS)]),
  near: random => (random.chance(0.3) ? [] : [random.pick(PLACES)]),
  ip: random => (random.chance(0.3) ? [] : some(random, ADDRESSES, 2)),
  app: random => (random.chance(0.3) ? [] : [random.pick([...VALUES.app, 'none'])]),
  carrier: random => (random.chance(0.3) ? [] : some(random, [...VALUES.carrier, 'other'], 2)),
  publisher: random =>
    random.chance(0.3)
      ? []
      : random.pick([
          ['pub-1', 'adx/pub-1'],
          ['pub-2', 'openx/pub-2'],
          ['pub-1', 'openx/pub-1'],
        ]),
  keyword: random => (random.chance(0.3) ? [] : some(random, [...VALUES.keyword, 'sailing'], 4)),
  segment: random => (random.chance(0.3) ? [] : some(random, [...VALUES.segment, '5'], 5)),
  format: random => some(random, VALUES.format, 3),
  size: random => (random.chance(0.3) ? [] : some(random, [...VALUES.size, '1x1'], 3)),
  daypart: random => random.pick(HOURS),
  viewerDaypart: random => maybe(random, HOURS),
}
const PLACES = ['52.521,13.4', '53.55,10', '-16.9,-179.8', '-16.7,179.9', '89.9,120', '-33.9,151.2', '40.74,-73.98']
const ADDRESSES =
  '192.0.2.7|192.0.2.200|192.0.77.1|198.51.100.4|2001:db8:0:5::1|2001:db8::1|fe80::1|::ffff:192.0.2.9'.split('|')
const VERSIONS =
  'ios 17|ios 15.2|ios 15.1.9|ios 14.5.1|ios 12|ios 11.4|android 14.1.7|android 14.2|android 9|tizen 3'.split('|')

function randomCategories(random: Random): readonly string[] {
  return random.chance(0.6) ? some(random, VALUES.category, 3).flatMap(categoryWithParents) : []
}

/** One of a dimension's values, something else, or nothing. */
export function randomValue(random: Random, name: DimensionName): FactValue {
  return FACTS[name]?.(random) ?? maybe(random, [...VALUES[name].map(String), 'OTHER'])
}

const NOTHING_ASKED = {
  exchangeId: '',
  blockedDomains: [],
  blockedCategories: [],
  blockedApps: [],
  transparency: 0,
  allowedCategories: [],
  allowedLanguages: [],
}

/** A request's facts; `empty` = nothing is known. */
export function randomFacts(random: Random, { empty = false } = {}): Facts {
  const unknown = (name: DimensionName) => {
    return dimensionOf(name).many === true ? [] : ''
  }
  if (empty) return { values: REQUEST_DIMENSIONS.map(unknown), userId: '', ...NOTHING_ASKED }
  return {
    values: REQUEST_DIMENSIONS.map(name => randomValue(random, name)),
    exchangeId: random.pick(VALUES.exchange),
    userId: random.chance(0.2) ? '' : `user-${random.pickIndex(1_000)}`,
    blockedDomains: random.chance(0.3) ? some(random, ['shop.com', 'deep.shop.com', 'none.net'], 2) : [],
    blockedCategories: random.chance(0.3) ? some(random, VALUES.category, 2) : [],
    transparency: random.chance(0.85) ? 0 : random.pick([1, 2, 3, 4, 5]),
    blockedApps: random.chance(0.2) ? ['com.example.a', 'other'] : [],
    allowedCategories: random.chance(0.15) ? some(random, VALUES.category, 3) : [],
    allowedLanguages: random.chance(0.2) ? [languageCode(random.pick(['en', 'de']))] : [],
  }
}
