/** Reads what all impressions of a bid request have in common into the engine's words. */
import type { Facts } from '../decision/opportunity.ts'
import { LIMITS } from '../limits.ts'
import { domainWithParents } from '../state/dimensions.ts'
import { countryAlpha2, countryFrom } from '../state/vocabulary.ts'
import { isObject, type Json, numberOf, objectOf, textOf, textsOf } from './json.ts'

/** OpenRTB `cattax` of the IAB Content Category Taxonomy 1.0, which is also the default. */
const CONTENT_CATEGORY_1 = 1
/** Of one page; more say nothing about it. */
const CATEGORIES_MAX = 64
const NO_TEXTS: readonly string[] = Object.freeze([])

/**
 * @param exchange path name of the exchange that asks
 * @param daypart hour of the week in the tenant's time zone, as text
 * @param personal whether data about the person may be used: without the device's place, the home of its user
 * @returns normalised facts; what is missing or malformed is unknown. Pure.
 */
export function readFacts(request: Json, exchange: string, daypart: string, personal: boolean): Facts {
  const site = objectOf(request.site)
  const app = objectOf(request.app)
  const device = objectOf(request.device)
  const geo = objectOf(device.geo ?? (personal ? objectOf(request.user).geo : undefined))
  const country = countryFrom(textOf(geo.country))
  return {
    exchange,
    country,
    region: regionOf(country, textOf(geo.region)),
    deviceType: deviceTypeOf(device.devicetype),
    os: textOf(device.os).toLowerCase(),
    language: languageOf(textOf(device.language) || textOf(device.langb)),
    domain: domainWithParents(domainOf(site)),
    app: textOf(app.bundle) || textOf(app.id),
    category: categoriesOf(isObject(request.site) ? site : app),
    daypart,
    blockedDomains: lowerCase(textsOf(request.badv, LIMITS.blockedItemsMax)),
    blockedCategories: textsOf(request.bcat, LIMITS.blockedItemsMax),
  }
}

/** Whether blocked categories are in a taxonomy that ours can be compared with. */
export function blocksKnownCategories(request: Json): boolean {
  if (textsOf(request.bcat).length === 0) return true
  return numberOf(request.cattax, CONTENT_CATEGORY_1) === CONTENT_CATEGORY_1
}

/** ISO 3166-2 from a country and the exchange's region, which may or may not repeat the country. */
function regionOf(country: string, region: string): string {
  if (region === '' || country === '') return ''
  const part = region.slice(region.indexOf('-') + 1).toUpperCase()
  return `${countryAlpha2(country)}-${part}`
}

function deviceTypeOf(value: unknown): string {
  const code = numberOf(value, 0)
  return code === 0 ? '' : String(code)
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

function categoriesOf(source: Json): readonly string[] {
  if (numberOf(source.cattax, CONTENT_CATEGORY_1) !== CONTENT_CATEGORY_1) return NO_TEXTS
  const found: string[] = []
  addCategories(source.cat, found)
  addCategories(source.sectioncat, found)
  addCategories(source.pagecat, found)
  return found
}

/** Appends categories and those above them, each once: there are a handful, so a search costs less than a set. */
function addCategories(value: unknown, found: string[]): void {
  const categories = textsOf(value)
  for (let i = 0; i < categories.length && found.length < CATEGORIES_MAX; i++) {
    const category = categories[i] as string
    if (!found.includes(category)) found.push(category)
    const dash = category.indexOf('-')
    if (dash < 0) continue
    const parent = category.slice(0, dash)
    if (!found.includes(parent)) found.push(parent)
  }
}

function lowerCase(texts: readonly string[]): readonly string[] {
  return texts.length === 0 ? texts : texts.map(text => text.toLowerCase())
}
