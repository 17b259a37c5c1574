/**
 * The world in which generated tenants live: exchanges, places, sites, apps and categories, each ordered from common
 * to rare. Requests for a load are drawn from the same lists, so that popular values meet popular values.
 */
import type { Random } from '../foundation/random.ts'

/** Path names of the exchanges of a generated tenant, the busiest first. */
export const EXCHANGE_IDS = ['adx', 'openx', 'magnite', 'pubmatic', 'index', 'xandr', 'prebid', 'triplelift'] as const

/** Countries by how much traffic they have. */
export const COUNTRIES: readonly string[] = (
  'USA GBR DEU CAN FRA BRA IND JPN AUS ITA ESP MEX NLD POL SWE CHE IDN TUR KOR AUT BEL DNK NOR PHL THA VNM ARG COL ' +
  'ZAF IRL FIN PRT CZE ROU HUN GRC ISR ARE SAU EGY NGA KEN MYS SGP NZL CHL PER UKR BGR HRV SRB SVK SVN LTU LVA EST ' +
  'PAK BGD LKA TWN HKG MAR TUN DZA GHA ECU BOL URY PRY CRI PAN DOM GTM KAZ GEO ISL LUX MLT CYP'
).split(' ')

/** Regions of some countries by population, as ISO 3166-2 codes. */
export const REGIONS: Readonly<Record<string, readonly string[]>> = {
  USA: (
    'US-CA US-TX US-FL US-NY US-PA US-IL US-OH US-GA US-NC US-MI US-NJ US-VA US-WA US-AZ US-TN US-MA US-IN US-MO ' +
    'US-MD US-WI US-CO US-MN US-SC US-AL US-LA US-KY US-OR US-OK US-CT US-UT US-IA US-NV US-AR US-KS US-MS US-NM ' +
    'US-ID US-NE US-WV US-HI US-NH US-ME US-MT US-RI US-DE US-SD US-ND US-AK US-VT US-WY US-DC'
  ).split(' '),
  GBR: ['GB-ENG', 'GB-SCT', 'GB-WLS', 'GB-NIR'],
  DEU: 'DE-NW DE-BY DE-BW DE-NI DE-HE DE-SN DE-RP DE-BE DE-SH DE-BB DE-ST DE-TH DE-HH DE-MV DE-SL DE-HB'.split(' '),
  CAN: 'CA-ON CA-QC CA-BC CA-AB CA-MB CA-SK CA-NS CA-NB CA-NL CA-PE'.split(' '),
  FRA: 'FR-IDF FR-ARA FR-NAQ FR-OCC FR-HDF FR-GES FR-PAC FR-PDL FR-NOR FR-BRE FR-BFC FR-CVL'.split(' '),
  BRA: 'BR-SP BR-MG BR-RJ BR-BA BR-PR BR-RS BR-PE BR-CE BR-PA BR-SC BR-GO BR-MA BR-DF'.split(' '),
  IND: 'IN-UP IN-MH IN-BR IN-WB IN-MP IN-TN IN-RJ IN-KA IN-GJ IN-DL IN-KL IN-PB'.split(' '),
  JPN: 'JP-13 JP-14 JP-27 JP-23 JP-11 JP-12 JP-28 JP-01 JP-40 JP-22'.split(' '),
  AUS: 'AU-NSW AU-VIC AU-QLD AU-WA AU-SA AU-TAS AU-ACT AU-NT'.split(' '),
  ITA: 'IT-25 IT-62 IT-72 IT-82 IT-34 IT-45 IT-21 IT-75 IT-52 IT-78'.split(' '),
  ESP: 'ES-AN ES-CT ES-MD ES-VC ES-GA ES-CL ES-PV ES-CN ES-CM ES-MC'.split(' '),
  MEX: 'MX-MEX MX-CMX MX-JAL MX-VER MX-PUE MX-GUA MX-CHP MX-NLE'.split(' '),
}

/** Cities by traffic, with what geo objects say of them. Metro codes are made up where a country has none. */
export const CITIES = (
  'new york|USA|501|40.71|-74.01|10001;' +
  'los angeles|USA|803|34.05|-118.24|90001;' +
  'chicago|USA|602|41.88|-87.63|60601;' +
  'london|GBR|GB1|51.51|-0.13|EC1A1;' +
  'berlin|DEU|DE1|52.52|13.41|10115;' +
  'toronto|CAN|CA1|43.65|-79.38|M5H2;' +
  'paris|FRA|FR1|48.86|2.35|75001;' +
  'são paulo|BRA|BR1|-23.55|-46.63|01001;' +
  'mumbai|IND|IN1|19.08|72.88|40001;' +
  'tokyo|JPN|JP1|35.68|139.69|10000;' +
  'sydney|AUS|AU1|-33.87|151.21|20001;' +
  'munich|DEU|DE2|48.14|11.58|80331;' +
  'denver|USA|751|39.74|-104.99|80202;' +
  'manchester|GBR|GB2|53.48|-2.24|M1100;' +
  'rome|ITA|IT1|41.9|12.5|00118'
)
  .split(';')
  .map(line => {
    const [name = '', country = '', metro = '', lat, lon, postal = ''] = line.split('|')
    return { name, country, metro, lat: Number(lat), lon: Number(lon), postal }
  })

/** Makes and models of devices by frequency, lower case. */
export const MAKES = ['samsung', 'apple', 'xiaomi', 'google', 'motorola', 'oppo', 'lg', 'roku'] as const
/** Models, of whatever make. */
export const MODELS = ['iphone', 'sm-g991b', 'pixel 9', 'ipad', 'redmi note 13', 'moto g'] as const
/** Carriers as MCC-MNC or by name. */
export const CARRIERS = ['310-260', 't-mobile', '310-410', 'verizon', '262-01', 'vodafone'] as const

/** Words that sites give themselves, common ones first. */
export const KEYWORDS = (
  'news weather football recipes travel music games fashion health cars finance movies politics garden ' +
  'running golf yoga cycling skiing camping baking wine coffee parenting dogs cats phones laptops ' +
  'photography history science space hiking fishing tennis basketball cricket rugby sailing poker chess ' +
  'comics anime theatre opera jazz festivals museums architecture diy tools furniture lighting kitchen ' +
  'insurance mortgages loans crypto stocks taxes pensions jobs'
).split(' ')

/** Segments of two providers. */
export const SEGMENT_COUNT = 6_000
/** The segment of a rank, 0 the largest. */
export function segmentAt(rank: number): string {
  return rank % 3 === 0 ? `acme-data.example/${7_000 + rank}` : `interests.example/i${rank}`
}

/** Publishers in the world. */
export const PUBLISHER_COUNT = 500
/** The publisher of a rank, 0 the busiest. */
export function publisherAt(rank: number): string {
  return `pub-${rank}`
}

/** Languages of devices by frequency. */
export const LANGUAGES = 'en es de fr pt ja it zh nl pl tr ko ar ru sv id th vi cs da fi no el he hu ro'.split(' ')

/** Operating systems as in device.os, lower case, by frequency. */
export const OPERATING_SYSTEMS = ['android', 'ios', 'windows', 'macos', 'linux', 'tvos', 'tizen', 'webos', 'roku os']

/** Banner sizes with their share of the creatives, the most common first. */
export const BANNER_SIZES: readonly (readonly [width: number, height: number, share: number])[] = [
  [300, 250, 0.27],
  [320, 50, 0.15],
  [728, 90, 0.12],
  [300, 600, 0.09],
  [160, 600, 0.07],
  [970, 250, 0.05],
  [320, 480, 0.04],
  [320, 100, 0.04],
  [300, 50, 0.04],
  [336, 280, 0.03],
  [468, 60, 0.02],
  [970, 90, 0.02],
  [480, 320, 0.01],
  [250, 250, 0.01],
  [290, 260, 0.01],
  [640, 100, 0.01],
  [300, 400, 0.01],
  [768, 1024, 0.01],
]

/** Frame sizes of videos with their share. */
export const VIDEO_SIZES: readonly (readonly [width: number, height: number, share: number])[] = [
  [1280, 720, 0.3],
  [640, 480, 0.25],
  [1920, 1080, 0.2],
  [640, 360, 0.15],
  [320, 480, 0.05],
  [1024, 576, 0.05],
]

const FIRST_WORDS = (
  'daily morning city north river open bright metro urban silver green coast market modern little global prime ' +
  'simple active happy total super nova alpine harbor summit garden quick local grand royal solar lunar cedar maple ' +
  'stone cloud ocean desert'
).split(' ')
const SECOND_WORDS = (
  'news times post journal sports games recipes travel finance weather health auto tech style music movies kitchen ' +
  'living family pets science gaming review guide deals forum trends report wire scores puzzle stories outdoor home ' +
  'fashion parents career fitness photo history comics radio events campus theory camp craft media world today'
).split(' ')
const TOP_LEVELS = ['com', 'net', 'org', 'co.uk', 'de', 'io', 'fr', 'com.br', 'ca', 'com.au']

/** Sites in the world: 40 × 50 words and 10 top levels. */
export const DOMAIN_COUNT = FIRST_WORDS.length * SECOND_WORDS.length * TOP_LEVELS.length
/** Apps in the world: as many, without the top levels, in two stores. */
export const APP_COUNT = FIRST_WORDS.length * SECOND_WORDS.length * 2

function words(rank: number): readonly [first: string, second: string] {
  // Stepping by a number without common factors spreads neighbours in rank over the words.
  const mixed = (rank * 1_009) % (FIRST_WORDS.length * SECOND_WORDS.length)
  const first = FIRST_WORDS[mixed % FIRST_WORDS.length] ?? ''
  return [first, SECOND_WORDS[Math.floor(mixed / FIRST_WORDS.length)] ?? '']
}

/** The domain of a rank, 0 <= rank < DOMAIN_COUNT, 0 the most popular. */
export function domainAt(rank: number): string {
  const [first, second] = words(rank)
  return `${first}${second}.${TOP_LEVELS[Math.floor(rank / (FIRST_WORDS.length * SECOND_WORDS.length))] ?? 'com'}`
}

/** The app of a rank, 0 <= rank < APP_COUNT: a bundle, or for every third a numeric store id. */
export function appAt(rank: number): string {
  if (rank % 3 === 2) return String(280_000_000 + rank * 7_919)
  const [first, second] = words(rank)
  return rank < FIRST_WORDS.length * SECOND_WORDS.length ? `com.${first}.${second}` : `app.${second}.${first}`
}

/** Subcategories of each IAB 1.0 category, as the list has them. */
const SUBCATEGORY_COUNTS = [7, 23, 12, 11, 15, 9, 45, 18, 31, 9, 5, 3, 12, 8, 10, 7, 44, 6, 36, 27, 3, 4, 10, 0, 7, 4]
/** Categories by how many pages have them: news, entertainment, sports, games … */
const CATEGORY_ORDER = [12, 1, 17, 9, 19, 2, 22, 7, 3, 8, 20, 5, 13, 10, 18, 6, 4, 14, 15, 16, 11, 21, 23, 24, 25, 26]

/** IAB 1.0 categories, common ones first; a category stands before its subcategories. */
export const CATEGORIES: readonly string[] = CATEGORY_ORDER.flatMap(top => {
  const subs = Array.from({ length: SUBCATEGORY_COUNTS[top - 1] ?? 0 }, (_, sub) => `IAB${top}-${sub + 1}`)
  return [`IAB${top}`, ...subs]
})

/** One entry of a list of [width, height, share], by share. */
export function pickSize(
  random: Random,
  sizes: readonly (readonly [width: number, height: number, share: number])[],
): { width: number; height: number } {
  let left = random.unit()
  for (const [width, height, share] of sizes) {
    left -= share
    if (left < 0) return { width, height }
  }
  const [width, height] = sizes[0] ?? [300, 250]
  return { width, height }
}

/** Deals of an exchange that line items can name. */
export const DEALS_PER_EXCHANGE = 250

/** The deal of a rank at an exchange, 0 <= rank < DEALS_PER_EXCHANGE. */
export function dealAt(exchangeId: string, rank: number): string {
  return `${exchangeId.toUpperCase()}-PMP-${String(10_000 + rank * 37)}`
}
