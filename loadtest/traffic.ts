/**
 * Bid requests as exchanges would send them to one tenant: most are drawn around one of its line items, so that the bid
 * rate is sensible, the others at random from the same world.
 */
import type { Random } from '../service/foundation/random.ts'
import type { AudioCreative, BannerCreative, Creative, VideoCreative } from '../service/state/creative-document.ts'
import type { LineItem, Targeting } from '../service/state/documents.ts'
import { countryFrom } from '../service/state/vocabulary.ts'
import { ratesOf, type TenantRecords } from './tenant-records.ts'
import { drawGeo, drawHardware, drawPlacement, drawSegments, drawWords, included } from './traffic-details.ts'

interface TrafficExchange {
  readonly id: string
  readonly currency: string
  /** Price in the exchange's currency per unit of the tenant's. */
  readonly perUnit: number
}

/** What requests are drawn from; made once per workload. */
export interface TrafficPools {
  readonly exchanges: readonly TrafficExchange[]
  /** Active ones. */
  readonly lineItems: readonly LineItem[]
  readonly creatives: ReadonlyMap<string, Creative>
  readonly domains: readonly string[]
  readonly apps: readonly string[]
  readonly categories: readonly string[]
  readonly countries: readonly string[]
}

const USERS = 1_000_000
/** Share of requests drawn around a line item. */
const NEAR_SHARE = 0.8
const POOL_MAX = 2_000
const COMMON_SITES = ['news.example', 'weather.example', 'sports.example', 'recipes.example', 'video.example']
const COMMON_APPS = ['com.example.puzzle', 'com.example.chat', '284882215', 'com.example.radio']
const COMMON_CATEGORIES = ['IAB1', 'IAB12', 'IAB17', 'IAB19-6', 'IAB3-1', 'IAB9-30']
const COMMON_COUNTRIES = ['USA', 'GBR', 'DEU', 'FRA', 'BRA', 'IND', 'JPN']
const COMMON_SIZES: readonly (readonly [number, number])[] = [
  [300, 250],
  [728, 90],
  [320, 50],
  [160, 600],
  [970, 250],
]

/**
 * Gathers what the documents name. Throws when they have no active exchange of that id, or, when none is named, none in
 * whose name anybody may call. Cost: O(documents).
 */
export function newTrafficPools(records: TenantRecords, exchange: string | undefined): TrafficPools {
  const rates = ratesOf(records)
  const exchanges = records.exchanges
    // Who must show to be the caller is not played: whoever sends this traffic knows no secrets.
    .filter(each => each.status === 'active' && (exchange === undefined ? !each.callers : each.id === exchange))
    .map(each => ({ id: each.id, currency: each.currency, perUnit: 1 / (rates[each.currency] ?? 1) }))
  if (exchanges.length === 0) throw new Error(`the documents have no active exchange ${exchange ?? ''}`)
  const campaigns = new Set(records.campaigns.filter(each => each.status === 'active').map(each => each.id))
  const active = records.lineItems.filter(each => each.status === 'active' && campaigns.has(each.campaignId))
  const named = (pick: (targeting: Targeting) => readonly string[] | undefined, common: readonly string[]) => {
    const values = new Set(common)
    for (const { targeting } of active) {
      if (values.size >= POOL_MAX) break
      for (const value of pick(targeting) ?? []) values.add(value)
    }
    return [...values]
  }
  return {
    exchanges,
    lineItems: active,
    creatives: new Map(records.creatives.map(each => [each.id, each])),
    domains: named(each => each.domain?.include, COMMON_SITES),
    apps: named(each => each.app?.include, COMMON_APPS),
    categories: named(each => each.category?.include, COMMON_CATEGORIES),
    countries: named(each => each.country?.include, COMMON_COUNTRIES),
  }
}

/** Which request of a list is drawn. */
interface RequestWish {
  readonly index: number
  /** How many; else one, seldom two or three. */
  readonly impressions?: number | undefined
  /** How many people there are; few of them send most requests. */
  readonly users?: number | undefined
}

/** One request and the exchange that sends it. */
export function drawRequest(
  pools: TrafficPools,
  random: Random,
  { index, impressions: asked, users = USERS }: RequestWish,
): { exchange: string; request: unknown } {
  const near = pools.lineItems.length > 0 && random.chance(NEAR_SHARE)
  const lineItem = near ? pools.lineItems[random.zipf(pools.lineItems.length, 0.3)] : undefined
  const targeting = lineItem?.targeting ?? {}
  const wanted = pools.exchanges.filter(each => targeting.exchange?.include?.includes(each.id))
  const exchange =
    wanted.length > 0
      ? random.pick(wanted)
      : (pools.exchanges[random.zipf(pools.exchanges.length)] ?? random.pick(pools.exchanges))
  const impressions = asked ?? (random.chance(0.12) ? random.between(2, 3) : 1)
  const request = {
    id: `${index.toString(36)}-${random.next().toString(16)}`,
    at: random.chance(0.8) ? 1 : 2,
    tmax: random.pick([150, 200, 300, 500]),
    cur: [exchange.currency],
    imp: Array.from({ length: impressions }, (_, at) =>
      drawImpression(pools, random, {
        id: String(at + 1),
        exchange,
        lineItem: at === 0 || asked !== undefined ? lineItem : undefined,
      }),
    ),
    ...drawSource(pools, random, targeting),
    device: drawDevice(pools, random, { targeting, users }),
    user: { ...drawUser(random, users), data: drawSegments(random, targeting) },
    ...(random.chance(0.3) ? { bcat: ['IAB25', 'IAB26', 'IAB7-39', 'IAB8-5'] } : {}),
    ...(random.chance(0.3) ? { badv: ['blocked-one.example', 'blocked-two.example'] } : {}),
    ...(random.chance(0.1) ? { regs: { coppa: 0, ext: { gdpr: 1 } } } : {}),
    source: { tid: `${random.next().toString(16)}-${random.next().toString(16)}`, ext: { schain: chain(random) } },
  }
  return { exchange: exchange.id, request }
}

/** A value that the targeting includes, else a popular one of the pool. */
function valueFor(rule: { readonly include?: readonly string[] } | undefined, pool: readonly string[], random: Random) {
  const included = rule?.include
  if (included !== undefined && included.length > 0) return random.pick(included)
  return pool[random.zipf(pool.length)] ?? ''
}

function drawSource(pools: TrafficPools, random: Random, targeting: Targeting): Record<string, unknown> {
  const cat = [valueFor(targeting.category, pools.categories, random)]
  const words = drawWords(random, targeting)
  const where = included(random, targeting.inventory)
  const inApp =
    where === undefined
      ? targeting.domain?.include === undefined && (targeting.app?.include !== undefined || random.chance(0.4))
      : where === 'app'
  if (inApp) {
    const bundle = valueFor(targeting.app, pools.apps, random)
    return { app: { id: `a-${bundle}`, bundle, name: 'An app', ver: '4.2.1', cat, ...words } }
  }
  const domain = valueFor(targeting.domain, pools.domains, random)
  const page = `https://${domain}/${random.zipf(10_000)}/a-story-that-many-people-read.html?utm_source=front`
  return { site: { id: `s-${domain}`, domain, page, ref: `https://${domain}/`, cat, ...words, mobile: 1 } }
}

function drawDevice(
  pools: TrafficPools,
  random: Random,
  { targeting, users }: { readonly targeting: Targeting; readonly users: number },
): Record<string, unknown> {
  const region = targeting.region?.include?.length ? random.pick(targeting.region.include) : undefined
  const country =
    region === undefined ? valueFor(targeting.country, pools.countries, random) : countryFrom(region.slice(0, 2))
  const devicetype = targeting.deviceType?.include?.length
    ? random.pick(targeting.deviceType.include)
    : random.pick([4, 4, 2, 5])
  const os = valueFor(targeting.os, ['android', 'ios', 'windows', 'macos'], random)
  return {
    ...{ ip: `192.0.2.${random.between(1, 254)}`, devicetype, os, js: 1, w: 412, h: 915, pxratio: 2.6, dnt: 0, lmt: 0 },
    ...drawHardware(random, targeting),
    language: valueFor(targeting.language, ['en', 'de', 'fr', 'es'], random),
    ifa: `00000000-0000-4000-8000-${random.zipf(users).toString(16).padStart(12, '0')}`,
    geo: { country, ...(region === undefined ? {} : { region }), ...drawGeo(random, targeting, country) },
  }
}

function drawUser(random: Random, users: number): Record<string, unknown> {
  const user = random.zipf(users)
  const uids = [{ id: `uid2-${user.toString(36)}`, atype: 3 }]
  return { id: `u-${user}`, buyeruid: `b-${user}`, eids: [{ source: 'uidapi.com', uids }] }
}

function chain(random: Random): Record<string, unknown> {
  const nodes = [{ asi: 'ssp.example', sid: String(random.between(1_000, 9_999)), hp: 1 }]
  return { ver: '1.0', complete: 1, nodes }
}

interface ImpressionWish {
  readonly id: string
  readonly exchange: TrafficExchange
  readonly lineItem: LineItem | undefined
}

function drawImpression(pools: TrafficPools, random: Random, wish: ImpressionWish): Record<string, unknown> {
  const { lineItem, exchange } = wish
  const cpm = lineItem?.price.cpm ?? 1
  const floorShare = random.chance(0.1) ? random.unit() * 3 : random.unit() * 0.6
  const bidfloor = Math.round(cpm * floorShare * exchange.perUnit * 1e4) / 1e4
  const deal = lineItem?.deals?.length ? random.pick(lineItem.deals) : undefined
  const creative = lineItem && pools.creatives.get(random.pick(lineItem.creativeIds))
  const placement = drawPlacement(random, lineItem?.targeting ?? {})
  const deals = deal === undefined ? undefined : [{ id: deal, bidfloor, bidfloorcur: exchange.currency, at: 1 }]
  return {
    ...{ id: wish.id, tagid: `tag-${random.zipf(2_000)}`, secure: random.chance(0.95) ? 1 : 0 },
    ...{ bidfloor, bidfloorcur: exchange.currency, clickbrowser: 1, ext: { gpid: `/1234/slot-${random.zipf(2_000)}` } },
    ...placement.flags,
    ...(deals === undefined ? {} : { pmp: { private_auction: 0, deals } }),
    ...drawFormat(creative, placement, random),
  }
}

function drawFormat(
  creative: Creative | undefined,
  { pos, plcmt }: ReturnType<typeof drawPlacement>,
  random: Random,
): Record<string, unknown> {
  if (creative?.format === 'video' || (creative === undefined && random.chance(0.2)))
    return { video: { ...drawVideo(creative), plcmt } }
  if (creative?.format === 'audio') return { audio: drawAudio(creative) }
  if (creative?.format === 'native') return { native: { request: JSON.stringify(NATIVE_REQUEST), ver: '1.2' } }
  return { banner: { ...drawBanner(creative, random), pos } }
}

const NATIVE_REQUEST = {
  ...{ ver: '1.2', context: 1, plcmttype: 1, privacy: 1 },
  assets: [
    { id: 1, required: 1, title: { len: 90 } },
    { id: 2, required: 0, img: { type: 3, wmin: 300, hmin: 157 } },
    { id: 3, required: 0, data: { type: 1, len: 140 } },
    { id: 4, required: 0, data: { type: 2, len: 140 } },
  ],
  // An impression and half of it seen for a second, both as pixels.
  eventtrackers: [
    { event: 1, methods: [1] },
    { event: 2, methods: [1] },
  ],
}

function drawBanner(creative: BannerCreative | undefined, random: Random): Record<string, unknown> {
  const sizes = [creative ? ([creative.width, creative.height] as const) : random.pick(COMMON_SIZES)]
  if (random.chance(0.4)) sizes.push(random.pick(COMMON_SIZES))
  const [first = [300, 250]] = sizes
  return {
    ...{ w: first[0], h: first[1], topframe: 1, api: [5, 7] },
    format: sizes.map(([w, h]) => ({ w, h })),
    ...(random.chance(0.2) ? { battr: [8, 9, 10] } : {}),
  }
}

function drawAudio({ durationS }: AudioCreative): Record<string, unknown> {
  const protocols = [2, 3, 7, 9, 11, 13]
  const mimes = ['audio/mpeg', 'audio/mp4', 'audio/ogg']
  return { mimes, protocols, minduration: Math.min(5, durationS), maxduration: Math.max(60, durationS) }
}

function drawVideo(creative: VideoCreative | undefined): Record<string, unknown> {
  const durationS = creative?.durationS ?? 15
  return {
    mimes: ['video/mp4', 'video/webm'],
    protocols: [2, 3, 5, 6, 7, 8, 11, 13, 15],
    ...{ w: creative?.width ?? 640, h: creative?.height ?? 360, minduration: Math.min(5, durationS), startdelay: 0 },
    ...{ maxduration: Math.max(30, durationS), linearity: 1, skip: 1, api: [7] },
  }
}
