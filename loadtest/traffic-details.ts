/** What generated requests say besides place, device and site: what a line item targets, else what is common. */
import {
  CARRIERS,
  CITIES,
  KEYWORDS,
  MAKES,
  MODELS,
  PUBLISHER_COUNT,
  publisherAt,
  SEGMENT_COUNT,
  segmentAt,
} from '../service/commands/generator-world.ts'
import type { Random } from '../service/foundation/random.ts'
import type { Targeting } from '../service/state/documents.ts'

const WEBKIT = 'AppleWebKit/537.36 (KHTML, like Gecko)'
const ANDROID = `Mozilla/5.0 (Linux; Android 15; Pixel 9) ${WEBKIT} Chrome/131.0.0.0 Mobile Safari/537.36`
const WINDOWS = `Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${WEBKIT} Chrome/131.0.0.0 Safari/537.36`
const IPHONE = 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)'
const COMMON_AGENTS = [ANDROID, `${IPHONE} Mobile/15E148`, WINDOWS]
const AGENTS: Readonly<Record<string, string>> = {
  chrome: WINDOWS,
  safari: `${IPHONE} Version/18.1 Mobile/15E148 Safari/604.1`,
  edge: `${WINDOWS} Edg/131.0.0.0`,
  firefox: 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0',
  samsung: ANDROID.replace('Chrome/131.0.0.0', 'SamsungBrowser/27.0 Chrome/125.0.0.0'),
  opera: `${WINDOWS} OPR/115.0.0.0`,
}
/** Versions that lie in what generated line items ask for, by system. */
const VERSIONS: Readonly<Record<string, string>> = { ios: '17.5', android: '13', windows: '10' }

/** One of what is included, else undefined. */
export function included<T>(random: Random, rule: { readonly include?: readonly T[] } | undefined): T | undefined {
  const values = rule?.include
  return values === undefined || values.length === 0 ? undefined : random.pick(values)
}

const zipfOf = <T>(random: Random, list: readonly T[]): T => list[random.zipf(list.length)] as T

/** The place within a country: a city with its codes, and where the device is. */
export function drawGeo(random: Random, targeting: Targeting, country: string): Record<string, unknown> {
  const cities = CITIES.filter(each => each.country === country)
  const postal = included(random, targeting.postal)
  const near = included(random, targeting.near)
  const city =
    CITIES.find(each => each.name === included(random, targeting.city)) ??
    CITIES.find(each => each.metro === included(random, targeting.metro)) ??
    (cities.length > 0 ? random.pick(cities) : undefined)
  const [lat, lon] = near?.split(' ')[0]?.split(',').map(Number) ?? [city?.lat, city?.lon]
  return {
    ...(city === undefined ? { city: 'Springfield' } : { city: city.name, metro: city.metro, zip: city.postal }),
    ...(postal === undefined ? {} : { zip: postal.slice(4).replace('*', '10') }),
    ...(lat === undefined || lon === undefined || !random.chance(0.7) ? {} : { lat, lon: lon + random.unit() * 0.005 }),
    ...{ type: 2, utcoffset: random.pick([-300, 0, 60, 120]) },
  }
}

/** Browser, system version, make, model and network. */
export function drawHardware(random: Random, targeting: Targeting): Record<string, unknown> {
  const browser = included(random, targeting.browser)
  const [system] = included(random, targeting.osVersion)?.split(' ') ?? []
  const carrier = included(random, targeting.carrier) ?? random.pick(CARRIERS)
  return {
    ua: browser === undefined ? random.pick(COMMON_AGENTS) : (AGENTS[browser] ?? WINDOWS),
    ...(system === undefined ? { osv: '15.1' } : { os: system, osv: VERSIONS[system] ?? '15.1' }),
    make: included(random, targeting.make) ?? zipfOf(random, MAKES),
    model: included(random, targeting.model) ?? zipfOf(random, MODELS),
    connectiontype: included(random, targeting.connectionType) ?? zipfOf(random, [2, 6, 5, 7]),
    ...(/\d/.test(carrier) ? { mccmnc: carrier } : { carrier }),
  }
}

/** Publisher, keywords, the page's categories and those of its content. */
export function drawWords(random: Random, targeting: Targeting): Record<string, unknown> {
  const keywords = Array.from({ length: random.between(0, 6) }, () => zipfOf(random, KEYWORDS))
  const wanted = included(random, targeting.keyword)
  const page = included(random, targeting.pageCategory)
  const content = included(random, targeting.contentCategory)
  const publisher = included(random, targeting.publisher) ?? publisherAt(random.zipf(PUBLISHER_COUNT))
  return {
    publisher: { id: publisher, name: 'A publisher' },
    keywords: (wanted === undefined ? keywords : [wanted, ...keywords]).join(','),
    ...(page === undefined ? {} : { pagecat: [page] }),
    ...(content === undefined ? {} : { content: { cat: [content], title: 'A film' } }),
  }
}

/** Segments of the user, none for a third of them, up to thirty for some. */
export function drawSegments(random: Random, targeting: Targeting): readonly Record<string, unknown>[] {
  const count = random.chance(0.35) ? 0 : random.zipf(30)
  const wanted = [included(random, targeting.segment), ...(targeting.segment?.all ?? [])]
  const drawn = Array.from({ length: count }, () => segmentAt(random.zipf(SEGMENT_COUNT)))
  const all = [...wanted.filter(each => each !== undefined), ...drawn]
  const providers = Map.groupBy(all, segment => segment.slice(0, segment.indexOf('/')))
  return [...providers].map(([id, segments]) => ({
    id,
    segment: segments.map(segment => ({ id: segment.slice(id.length + 1) })),
  }))
}

/** What an impression is: interstitial, rewarded, where on the page, and of which kind of video. */
export function drawPlacement(random: Random, targeting: Targeting) {
  return {
    flags: {
      ...(targeting.interstitial?.include === undefined && !random.chance(0.05) ? {} : { instl: 1 }),
      ...(targeting.rewarded?.include === undefined && !random.chance(0.02) ? {} : { rwdd: 1 }),
    },
    pos: included(random, targeting.position) ?? random.pick([0, 1, 3]),
    plcmt: included(random, targeting.videoPlacement) ?? random.pick([1, 2, 4]),
  }
}
