/** One reader per dimension that all impressions of a request share: from OpenRTB's fields to the engine's words. */
import type { FactValue } from '../decision/opportunity.ts'
import { LIMITS } from '../limits.ts'
import type { SegmentLookup } from '../state/audience-reader.ts'
import { hourOfWeekAt } from '../state/calendar.ts'
import { domainWithParents, postalWithPrefixes, type RequestDimension } from '../state/dimensions.ts'
import { countryAlpha2 } from '../state/vocabulary.ts'
import { idTextsOf } from './id-texts.ts'
import { codeOf, type Json, listOf, numberOf, objectOf, textOf, textsOf } from './json.ts'
import { type Agent, browserOfHints, systemOfHints } from './user-agent.ts'

/** The parts of a bid request that facts are read from; what is missing is an object without fields. */
export interface FactSource {
  readonly exchangeId: string
  readonly daypart: string
  readonly nowMs: number
  readonly inventory: 'site' | 'app' | 'dooh' | ''
  readonly site: Json
  readonly app: Json
  /** The site, app or screen that the inventory says. */
  readonly place: Json
  readonly content: Json
  readonly device: Json
  readonly geo: Json
  /** ISO 3166-1 alpha-3, '' when unknown. */
  readonly country: string
  /** What the tenant knows of users. */
  readonly audience: SegmentLookup | undefined
  /** Without fields when user data may not be used. */
  readonly user: Json
  readonly sua: Json
  readonly agent: { get(): Agent }
}

type Reader = (source: FactSource) => FactValue

/** OpenRTB `cattax` of the IAB Content Category Taxonomy 1.0, which is also the default. */
export const CONTENT_CATEGORY_1 = 1
const NO_TEXTS: readonly string[] = Object.freeze([])

/** The table: a dimension, and what of a bid request it is. OpenRTB 2.6, 3.2.13 to 3.2.29. */
export const FACT_READERS: Readonly<Record<RequestDimension, Reader>> = {
  exchange: ({ exchangeId }) => exchangeId,
  country: ({ country }) => country,
  region: regionOf,
  metro: ({ geo }) => textOf(geo.metro).toUpperCase(),
  city: ({ geo }) => wordOf(geo.city),
  postal: postalOf,
  near: ({ geo }) =>
    typeof geo.lat === 'number' && typeof geo.lon === 'number' ? [`${degrees(geo.lat)},${degrees(geo.lon)}`] : NO_TEXTS,
  ip: ({ device }) => [textOf(device.ip), textOf(device.ipv6)].filter(each => each !== ''),
  deviceType: ({ device }) => codeOf(device.devicetype),
  make: ({ device }) => wordOf(device.make),
  model: ({ device }) => wordOf(device.model),
  os: systemOf,
  osVersion: source => {
    const os = systemOf(source)
    const version = textOf(source.device.osv) || systemOfHints(source.sua).osVersion || source.agent.get().osVersion
    return os === '' || !/^\d/.test(version) ? NO_TEXTS : [`${os} ${version}`]
  },
  browser: ({ sua, agent }) => browserOfHints(sua) || agent.get().browser,
  language: ({ device }) => languageOf(textOf(device.language) || textOf(device.langb)),
  connectionType: ({ device }) => codeOf(device.connectiontype),
  carrier: ({ device }) => [wordOf(device.mccmnc), wordOf(device.carrier)].filter(each => each !== ''),
  inventory: ({ inventory }) => inventory,
  domain: ({ site }) => domainWithParents(domainOf(site)),
  app: ({ app }) => {
    const id = textOf(app.bundle) || textOf(app.id)
    return id === '' ? NO_TEXTS : [id]
  },
  publisher: ({ place, exchangeId }) => {
    const id = textOf(objectOf(place.publisher).id)
    return id === '' ? NO_TEXTS : [id, `${exchangeId}/${id}`]
  },
  category: ({ place }) => categoriesOf(place.cattax, [place.cat, place.sectioncat, place.pagecat]),
  pageCategory: ({ place }) => categoriesOf(place.cattax, [place.sectioncat, place.pagecat]),
  contentCategory: ({ content }) => categoriesOf(content.cattax, [content.cat]),
  keyword: keywordsOf,
  segment: segmentsOf,
  daypart: ({ daypart }) => daypart,
  viewerDaypart: ({ geo, nowMs }) => {
    const offsetMinutes = numberOf(geo.utcoffset, Number.NaN)
    return Math.abs(offsetMinutes) <= OFFSET_MINUTES_MAX ? String(hourOfWeekAt(nowMs, offsetMinutes)) : ''
  },
}

/** Below a tenth of a metre a number would be written with an exponent. */
const DEGREES_MIN = 1e-6

function degrees(value: number): number {
  return Math.abs(value) < DEGREES_MIN ? 0 : value
}

/** The Line Islands are 14 hours ahead. */
const OFFSET_MINUTES_MAX = 14 * 60

/** ISO 3166-2 from a country and the exchange's region, which may or may not repeat the country. */
function regionOf({ country, geo }: FactSource): string {
  const region = textOf(geo.region)
  if (region === '' || country === '') return ''
  const part = region.slice(region.indexOf('-') + 1).toUpperCase()
  return `${countryAlpha2(country)}-${part}`
}

/** Of a postal code, which can have ten characters; more are none. */
const POSTAL_CHARS_MAX = 10

function postalOf({ country, geo }: FactSource): readonly string[] {
  const code = textOf(geo.zip).replace(/[\s-]/g, '').toUpperCase()
  if (country === '' || code === '' || code.length > POSTAL_CHARS_MAX) return NO_TEXTS
  return postalWithPrefixes(country, code)
}

/** A word in lower case without blanks around it; most are so already. */
function wordOf(value: unknown): string {
  return textOf(value).trim().toLowerCase()
}

function systemOf({ device, sua, agent }: FactSource): string {
  return textOf(device.os).toLowerCase() || systemOfHints(sua).os || agent.get().os
}

/** ISO 639-1 of a language tag: `en-US` → `en`. */
function languageOf(tag: string): string {
  const dash = tag.search(/[-_]/)
  return (dash < 0 ? tag : tag.slice(0, dash)).toLowerCase()
}

const HOST = /^(?:[a-z][a-z0-9+.-]*:)?(?:\/\/)?(?:[^/?#@]*@)?([^/?#:]+)/i

/** The site's domain, else the host of its page. */
function domainOf(site: Json): string {
  const domain = textOf(site.domain)
  if (domain !== '' && !domain.includes('/')) return domain.toLowerCase()
  const page = typeof site.page === 'string' ? site.page.slice(0, 512) : domain
  return (HOST.exec(page)?.[1] ?? '').toLowerCase()
}

function categoriesOf(taxonomy: unknown, lists: readonly unknown[]): readonly string[] {
  if (numberOf(taxonomy, CONTENT_CATEGORY_1) !== CONTENT_CATEGORY_1) return NO_TEXTS
  const found: string[] = []
  for (let i = 0; i < lists.length; i++) addCategories(lists[i], found)
  return found
}

/** Appends categories and those above them, each once: there are a handful, so a search costs less than a set. */
function addCategories(value: unknown, found: string[]): void {
  const categories = textsOf(value)
  for (let i = 0; i < categories.length && found.length < LIMITS.categoriesReadMax; i++) {
    const category = categories[i] as string
    if (!found.includes(category)) found.push(category)
    const dash = category.indexOf('-')
    if (dash < 0) continue
    const parent = category.slice(0, dash)
    if (!found.includes(parent)) found.push(parent)
  }
}

/** Of the place, the content and the user. `kwarray` (2.6) counts beside the list with commas. */
function keywordsOf({ place, content, user }: FactSource): readonly string[] {
  const found: string[] = []
  addKeywords(place, found)
  addKeywords(content, found)
  addKeywords(user, found)
  return found
}

function addKeywords({ keywords, kwarray }: Json, found: string[]): void {
  // Lists are longer than what is looked up as one text.
  const listed =
    typeof keywords === 'string' ? keywords.slice(0, LIMITS.keywordsCharsMax).split(',') : textsOf(keywords)
  for (const words of [listed, textsOf(kwarray)])
    for (let i = 0; i < words.length && found.length < LIMITS.keywordsReadMax; i++) {
      const word = wordOf(words[i])
      if (word !== '') found.push(word)
    }
}

/** Segments that came with the request, and those that the tenant's audiences have for one of its ids. */
function segmentsOf(source: FactSource): readonly string[] {
  const { user, device, exchangeId, audience, nowMs } = source
  const found = segmentsTold(source)
  if (audience === undefined || audience.isEmpty) return found
  const idTexts = idTextsOf(user, device, exchangeId)
  for (let i = 0; i < idTexts.length; i++) audience.addSegments(idTexts[i] as string, nowMs, found)
  return found
}

/** Ids are a provider's own, so its id stands before them. */
function segmentsTold({ user }: FactSource): string[] {
  const found: string[] = []
  const providers = listOf(user.data)
  for (let i = 0; i < providers.length; i++) {
    const provider = objectOf(providers[i])
    const id = textOf(provider.id)
    const segments = listOf(provider.segment)
    for (let j = 0; j < segments.length && found.length < LIMITS.segmentsReadMax; j++) {
      const segment = textOf(objectOf(segments[j]).id)
      if (segment !== '') found.push(id === '' ? segment : `${id}/${segment}`)
    }
  }
  return found
}
