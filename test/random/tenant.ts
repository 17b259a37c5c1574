/** Random tenants and requests over a tiny vocabulary, so that everything meets everything. Seeded by the caller. */
import type { Facts, FactValue, Opportunity } from '../../service/decision/opportunity.ts'
import type { Random } from '../../service/foundation/random.ts'
import type { Nanos } from '../../service/foundation/units.ts'
import { bannerSlot, VIDEO_SLOT } from '../../service/state/catalog.ts'
import {
  categoryWithParents,
  DIMENSION_NAMES,
  type DimensionName,
  dimensionOf,
  domainWithParents,
  IMPRESSION_DIMENSIONS,
  postalWithPrefixes,
  REQUEST_DIMENSIONS,
  type RequestDimension,
} from '../../service/state/dimensions.ts'
import type { Creative, LineItem, Targeting, TenantDocuments } from '../../service/state/documents.ts'
import type { Expression } from '../../service/state/expressions.ts'
import type { UserSplit } from '../../service/state/user-split.ts'
import { mimeBit } from '../../service/state/vocabulary.ts'

const VALUES = {
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
  position: [1, 3],
  interstitial: ['yes', 'no'],
  rewarded: ['yes', 'no'],
  videoPlacement: [1, 4],
} as const satisfies Readonly<Record<DimensionName, readonly (string | number)[]>>
const HOURS = ['0', '1', '27', '75', '130', '155']
const SIZES = [
  [300, 250],
  [320, 50],
  [728, 90],
] as const
const DEALS = ['deal-1', 'deal-2', 'deal-3']
const MIMES = ['image/png', 'text/html'] as const
const VIDEO_MIMES = ['video/mp4', 'video/webm'] as const

function some<T>(random: Random, list: readonly T[], max: number): T[] {
  const shuffled = [...list].sort(() => random.unit() - 0.5)
  return shuffled.slice(0, random.between(1, max))
}

function randomTargeting(random: Random): Targeting {
  const targeting: Record<string, unknown> = {}
  for (const [name, values] of Object.entries(VALUES)) {
    if (!random.chance(0.12)) continue
    const include = random.chance(0.7) ? some<unknown>(random, values, 3) : []
    const exclude = random.chance(0.4) ? some<unknown>(random, values, 2).filter(value => !include.includes(value)) : []
    targeting[name] = {
      ...(include.length > 0 ? { include } : {}),
      ...(exclude.length > 0 ? { exclude } : {}),
    }
  }
  if (random.chance(0.08)) targeting.userSplit = randomSplit(random)
  if (random.chance(0.15)) targeting.expression = randomExpression(random, 3)
  for (const name of ['keyword', 'segment'] as const)
    if (random.chance(0.06)) targeting[name] = { all: some<unknown>(random, VALUES[name], 3) }
  return targeting as Targeting
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
  const name = random.pick(DIMENSION_NAMES)
  return { [name]: some<unknown>(random, VALUES[name], 3) } as unknown as Expression
}

function randomCreative(random: Random, index: number, alike: boolean): Creative {
  const base = {
    id: `cr-${index}`,
    name: `Creative ${index}`,
    advertiserId: `ad-${alike ? 0 : index % 3}`,
    status: random.chance(0.95) || alike ? 'active' : 'paused',
    ...(random.chance(0.4) && !alike ? { attributes: some(random, [1, 3, 8], 2) } : {}),
    ...(random.chance(0.3) && !alike ? { categories: some(random, VALUES.category, 2) } : {}),
  } as const
  if (alike || random.chance(0.7)) {
    const [width, height] = alike ? SIZES[0] : random.pick(SIZES)
    const mime = random.pick(MIMES)
    const content =
      mime === 'text/html'
        ? ({ kind: 'html', html: '<b>ad</b>' } as const)
        : ({ kind: 'image', url: 'https://cdn.example.com/a.png', mime, landingUrl: 'https://example.com/' } as const)
    const secure = alike || random.chance(0.8)
    return { ...base, format: 'banner', width, height, bannerType: random.between(1, 4), secure, content }
  }
  const mediaFiles = some(random, VIDEO_MIMES, 2).map(mime => ({
    url: 'https://cdn.example.com/a.mp4',
    mime,
    width: 640,
    height: 360,
    bitrateKbps: 800,
  }))
  return {
    ...base,
    format: 'video',
    width: 640,
    height: 360,
    title: 'A',
    durationS: random.pick([6, 15, 30]),
    ...(random.chance(0.3) ? { skipAfterS: 5 } : {}),
    vastVersion: random.pick(['2.0', '3.0', '4.2'] as const),
    landingUrl: 'https://example.com/',
    mediaFiles,
  }
}

function randomLineItem(random: Random, index: number, creatives: readonly Creative[], alike: boolean): LineItem {
  const flights = [
    { start: '2026-01-01T00:00:00Z', end: '2026-11-21T12:00:00Z' },
    { start: '2026-11-21T12:00:00Z' },
    { end: '2027-01-01T00:00:00+02:00' },
    { start: '2026-12-01T00:00:00Z' },
  ]
  const campaign = alike ? 0 : random.pickIndex(4)
  const own = creatives.filter(creative => creative.advertiserId === `ad-${campaign % 3}`)
  return {
    id: `li-${index}`,
    name: `Line item ${index}`,
    campaignId: `ca-${campaign}`,
    status: alike || random.chance(0.95) ? 'active' : 'paused',
    priority: alike ? 1 : random.between(1, 4),
    price: { cpm: alike ? 2 : random.between(1, 8) / 2 },
    ...(!alike && random.chance(0.3) ? { flight: random.pick(flights) } : {}),
    ...(!alike && random.chance(0.2) ? { passThroughRate: random.pickIndex(2) } : {}),
    targeting: alike ? {} : randomTargeting(random),
    ...(!alike && random.chance(0.3) ? { deals: some(random, DEALS, 2) } : {}),
    creativeIds: (alike ? own : some(random, own, 4)).map(creative => creative.id),
  }
}

/** A tenant of up to about 120 line items. `alike`: all equal, for any 300x250 banner. */
export function randomTenant(
  random: Random,
  { lineItems = random.chance(0.1) ? 1_500 : random.between(0, 80), alike = false } = {},
): TenantDocuments {
  const creatives = Array.from({ length: alike ? 1 : 18 }, (_, index) => randomCreative(random, index, alike))
  return {
    settings: { name: 'Random', status: 'active', timeZone: 'UTC', currency: 'USD' },
    rates: { asOf: '2026-11-21T00:00:00Z', rates: { EUR: 1.1 } },
    exchanges: [],
    advertisers: [0, 1, 2].map(index => ({
      id: `ad-${index}`,
      name: `Advertiser ${index}`,
      domain: ['shop.com', 'deep.shop.com', 'other.org'][index] as string,
      categories: index === 1 ? ['IAB1-6'] : [],
    })),
    campaigns: [0, 1, 2, 3].map(index => ({
      id: `ca-${index}`,
      name: `Campaign ${index}`,
      advertiserId: `ad-${index % 3}`,
      status: index === 3 ? 'paused' : 'active',
      ...(index === 2 ? { flight: { end: '2026-11-30T00:00:00Z' } } : {}),
    })),
    creatives,
    lineItems: Array.from({ length: lineItems }, (_, index) => randomLineItem(random, index, creatives, alike)),
  }
}

const maybe = (random: Random, list: readonly string[]): string => (random.chance(0.2) ? '' : random.pick(list))

/** What requests say in dimensions in which that is not simply one of VALUES or something else. */
const FACTS: Partial<Record<RequestDimension, (random: Random) => FactValue>> = {
  domain: random =>
    random.chance(0.5) ? domainWithParents(random.pick([...VALUES.domain, 'deep.x.b.org', 'c.net'])) : [],
  category: randomCategories,
  pageCategory: randomCategories,
  contentCategory: randomCategories,
  postal: random => {
    const [country, code] = random.pick(['USA 94103', 'USA 94110', 'DEU 10115', 'DEU 20095', 'USA 10001']).split(' ')
    return random.chance(0.3) ? [] : postalWithPrefixes(country as string, code as string)
  },
  osVersion: random => maybe(random, VERSIONS),
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
  daypart: random => random.pick(HOURS),
  viewerDaypart: random => maybe(random, HOURS),
}
const VERSIONS =
  'ios 17|ios 15.2|ios 15.1.9|ios 14.5.1|ios 12|ios 11.4|android 14.1.7|android 14.2|android 9|tizen 3'.split('|')

function randomCategories(random: Random): readonly string[] {
  return random.chance(0.6) ? some(random, VALUES.category, 3).flatMap(categoryWithParents) : []
}

function randomValue(random: Random, name: DimensionName): FactValue {
  return maybe(random, [...VALUES[name].map(String), 'OTHER'])
}

/** A request's facts; `empty` = nothing is known. */
export function randomFacts(random: Random, { empty = false } = {}): Facts {
  const unknown = (name: DimensionName) => {
    const { many, match } = dimensionOf(name)
    return many === true && match === undefined ? [] : ''
  }
  if (empty) return { values: REQUEST_DIMENSIONS.map(unknown), userId: '', blockedDomains: [], blockedCategories: [] }
  return {
    values: REQUEST_DIMENSIONS.map(name => FACTS[name]?.(random) ?? randomValue(random, name)),
    userId: random.chance(0.2) ? '' : `user-${random.pickIndex(1_000)}`,
    blockedDomains: random.chance(0.3) ? some(random, ['shop.com', 'deep.shop.com', 'none.net'], 2) : [],
    blockedCategories: random.chance(0.3) ? some(random, VALUES.category, 2) : [],
  }
}

/** An impression with banner sizes, a video, or both. */
export function randomOpportunity(random: Random): Opportunity {
  const withBanner = random.chance(0.8)
  const withVideo = random.chance(0.4) || !withBanner
  const sizes = some(random, SIZES, 2).map(([width, height]) => bannerSlot(width, height))
  const mask = (codes: readonly number[]) => (random.chance(0.3) ? codes.reduce((m, code) => m | (1 << code), 0) : 0)
  const floor = () => (random.between(0, 8) * 500_000) as Nanos
  return {
    values: IMPRESSION_DIMENSIONS.map(name => randomValue(random, name)),
    slots: [...(withBanner ? sizes : []), ...(withVideo ? [VIDEO_SLOT] : [])],
    banner: withBanner
      ? {
          mimes: random.chance(0.3) ? mimeBit(random.pick(MIMES)) : 0,
          blockedAttributes: mask(some(random, [1, 3, 8], 2)),
          blockedTypes: mask(some(random, [1, 2, 3, 4], 2)),
        }
      : undefined,
    video: withVideo
      ? {
          mimes: mimeBit(random.pick(VIDEO_MIMES)),
          protocols: mask([2, 7]),
          blockedAttributes: mask([8, 16]),
          minDurationS: random.pick([0, 10]),
          maxDurationS: random.pick([15, 60]),
          exactDurationsS: random.chance(0.2) ? [15, 30] : [],
        }
      : undefined,
    secure: random.chance(0.4),
    floorNanos: floor(),
    deals: random.chance(0.4) ? some(random, [...DEALS, 'deal-9'], 3).map(id => ({ id, floorNanos: floor() })) : [],
    privateAuction: random.chance(0.1),
  }
}
