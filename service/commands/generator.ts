/**
 * Generated tenants: as large as asked, always the same for the same seed, and skewed as real ones are. Benchmarks
 * and load tests import it; `npm run generate` writes it to files.
 */
import { assert } from '../foundation/assert.ts'
import { Random } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import type { Advertiser, Campaign, DocumentKindName, LineItem, Rates, Settings } from '../state/documents.ts'
import type { Exchange } from '../state/exchange-document.ts'
import type { DocumentOf } from '../state/rules.ts'
import { type CreativeOwner, makeCreative } from './generator-creatives.ts'
import { GENERATED_LISTS, LIST_PARTS, makeLists } from './generator-lists.ts'
import { makeTargeting, type TargetingStyle } from './generator-targeting.ts'
import { CATEGORIES, DEALS_PER_EXCHANGE, dealAt, EXCHANGE_IDS } from './generator-world.ts'

/** One record of a generated tenant. */
export type GeneratedDocument = {
  [K in DocumentKindName]: { readonly kind: K; readonly value: DocumentOf<K> }
}[DocumentKindName]

/** How large, and which. */
export interface TenantRequest {
  /** 1 to LIMITS.lineItemsMax; the other kinds follow from it. */
  readonly lineItems: number
  /** Any whole number; the same seed gives the same tenant, byte for byte. */
  readonly seed: number
  /** `usual` without it. */
  readonly targeting?: TargetingStyle
}

/** How many records of a kind come for so many line items. Also the total for a progress bar. */
export function generatedCounts(lineItems: number): Readonly<Record<DocumentKindName, number>> {
  const advertisers = Math.max(4, Math.ceil(lineItems / 250))
  return {
    settings: 1,
    rates: 1,
    exchanges: EXCHANGE_IDS.length,
    advertisers,
    campaigns: Math.max(advertisers, Math.ceil(lineItems / 20)),
    creatives: advertisers * creativesPerAdvertiser(lineItems, advertisers),
    lists: GENERATED_LISTS.length,
    listParts: GENERATED_LISTS.length * LIST_PARTS,
    lineItems,
  }
}

/** About four creatives for ten line items, and enough of each format for the smallest tenant. */
function creativesPerAdvertiser(lineItems: number, advertisers: number): number {
  return Math.max(10, Math.ceil((lineItems * 0.4) / advertisers))
}

/** Formats of an advertiser's creatives, over and over. */
const FORMATS = [
  ...(['banner', 'banner', 'banner', 'banner', 'video'] as const),
  ...(['banner', 'banner', 'native', 'audio', 'video'] as const),
] as const

/**
 * A whole tenant, record by record, in reading order; every record is valid. Memory: O(1), nothing is kept.
 * Cost: about 10 µs per record. Throws an AssertionFailure when lineItems is out of bounds.
 */
export function* generateTenant({
  lineItems,
  seed,
  targeting = 'usual',
}: TenantRequest): Generator<GeneratedDocument, void, undefined> {
  const whole = Number.isInteger(lineItems) && lineItems >= 1 && lineItems <= LIMITS.lineItemsMax
  assert(whole, 'a tenant has 1 to lineItemsMax line items', { lineItems, lineItemsMax: LIMITS.lineItemsMax })
  const random = new Random(seed)
  const counts = generatedCounts(lineItems)
  yield { kind: 'settings', value: SETTINGS }
  yield { kind: 'rates', value: RATES }
  for (const id of EXCHANGE_IDS) yield { kind: 'exchanges', value: makeExchange(random, id) }
  for (let i = 0; i < counts.advertisers; i++) yield { kind: 'advertisers', value: makeAdvertiser(random, i) }
  for (let i = 0; i < counts.campaigns; i++)
    yield { kind: 'campaigns', value: makeCampaign(random, i, i % counts.advertisers) }
  const perAdvertiser = counts.creatives / counts.advertisers
  for (let i = 0; i < counts.creatives; i++) {
    const owner = ownerAt(Math.floor(i / perAdvertiser))
    yield { kind: 'creatives', value: makeCreative(random, creativeId(i), owner, formatAt(i % perAdvertiser)) }
  }
  yield* makeLists(random)
  for (let i = 0; i < lineItems; i++) yield { kind: 'lineItems', value: makeLineItem(random, i, { counts, targeting }) }
}

const SETTINGS: Settings = { name: 'Generated tenant', status: 'active', timeZone: 'America/New_York', currency: 'USD' }

const RATES: Rates = {
  asOf: '2026-01-01T00:00:00Z',
  rates: { EUR: 1.09, GBP: 1.27, JPY: 0.0067, CAD: 0.73, AUD: 0.66, BRL: 0.18, CHF: 1.12, INR: 0.012, SEK: 0.095 },
}

function makeExchange(random: Random, id: string): Exchange {
  return {
    id,
    name: `${id.slice(0, 1).toUpperCase()}${id.slice(1)} exchange`,
    status: 'active',
    seat: `seat-${random.between(1_000, 9_999)}`,
    currency: 'USD',
    noBid: random.chance(0.7) ? 'empty' : 'reason',
    gzip: random.chance(0.8),
    networkAllowanceMs: random.pick([10, 15, 20, 30]),
  }
}

const BRAND_FIRST =
  'Nord Vela Kestrel Orchid Tamar Birch Lumen Cobalt Juniper Harvest Atlas Marlow Sable Quill Ember'.split(' ')
const BRAND_SECOND =
  'Foods Travel Motors Bank Mobile Home Sports Beauty Insurance Energy Retail Studio Health Toys'.split(' ')

function ownerAt(index: number): CreativeOwner {
  const first = BRAND_FIRST[index % BRAND_FIRST.length] ?? ''
  const second = BRAND_SECOND[Math.floor(index / BRAND_FIRST.length) % BRAND_SECOND.length] ?? ''
  const round = Math.floor(index / (BRAND_FIRST.length * BRAND_SECOND.length))
  const number = round === 0 ? '' : String(round + 1)
  return {
    advertiserId: `adv-${index + 1}`,
    brand: `${first} ${second}${number === '' ? '' : ` ${number}`}`,
    domain: `${first}${second}${number}.example`.toLowerCase(),
  }
}

function makeAdvertiser(random: Random, index: number): Advertiser {
  const { advertiserId, brand, domain } = ownerAt(index)
  const categories = new Set<string>()
  for (let i = random.between(1, 3); i > 0; i--) categories.add(CATEGORIES[random.zipf(CATEGORIES.length)] ?? 'IAB22')
  return { id: advertiserId, name: brand, domain, categories: [...categories] }
}

const PURPOSES = ['Always on', 'Spring launch', 'Summer sale', 'Back to school', 'Black Friday', 'Winter', 'Retention']

function makeCampaign(random: Random, index: number, advertiser: number): Campaign {
  const { advertiserId, brand } = ownerAt(advertiser)
  return {
    id: campaignId(index),
    name: `${brand}: ${random.pick(PURPOSES)} ${random.between(2025, 2027)}`,
    advertiserId,
    status: random.chance(0.97) ? 'active' : 'paused',
    ...(random.chance(0.6) ? { flight: makeFlight(random, 0.02) } : {}),
  }
}

/**
 * A flight; with the given share it is over, and as often it has not begun. No clock is read, or the same seed would
 * give another tenant tomorrow: what is over ended in 2025, what runs ends after 2035.
 */
function makeFlight(random: Random, share: number): { start: string; end?: string } {
  const day = () =>
    `${String(random.between(1, 12)).padStart(2, '0')}-${String(random.between(1, 28)).padStart(2, '0')}`
  const u = random.unit()
  if (u < share) return { start: `2024-${day()}T00:00:00Z`, end: `2025-${day()}T00:00:00Z` }
  if (u < 2 * share) return { start: `2037-${day()}T00:00:00Z`, end: `2038-${day()}T00:00:00Z` }
  const start = `2025-${day()}T00:00:00Z`
  return random.chance(0.7) ? { start, end: `${random.between(2036, 2039)}-${day()}T00:00:00-05:00` } : { start }
}

const campaignId = (index: number): string => `cmp-${index + 1}`
const creativeId = (index: number): string => `cr-${index + 1}`

/** Priorities from sponsorships (1–4) to what fills the rest (13–16). */
function makePriority(random: Random): number {
  const u = random.unit()
  if (u < 0.05) return random.between(1, 4)
  if (u < 0.3) return random.between(5, 8)
  return u < 0.7 ? random.between(9, 12) : random.between(13, 16)
}

/** CPM in USD, log-normal around 9 for sponsorships down to 0.7 for priority 16, in cents, at least 0.05. */
function makeCpm(random: Random, priority: number): number {
  // Box–Muller; 1 - unit() is never 0.
  const normal = Math.sqrt(-2 * Math.log(1 - random.unit())) * Math.cos(2 * Math.PI * random.unit())
  const median = 9 * (0.7 / 9) ** ((priority - 1) / 15)
  return Math.min(200, Math.max(0.05, Math.round(median * Math.exp(0.6 * normal) * 100) / 100))
}

const formatAt = (position: number) => FORMATS[position % FORMATS.length] ?? 'banner'

/** What line items are bought in: mostly banners. */
function pickFormat(random: Random): (typeof FORMATS)[number] {
  const u = random.unit()
  if (u < 0.2) return 'video'
  if (u < 0.24) return 'native'
  return u < 0.26 ? 'audio' : 'banner'
}

/** One to four creatives of one format, of the campaign's advertiser. */
function pickCreatives(random: Random, advertiser: number, perAdvertiser: number): readonly string[] {
  const first = advertiser * perAdvertiser
  const format = pickFormat(random)
  const places = FORMATS.flatMap((each, place) => (each === format ? [place] : []))
  const found = new Set<string>()
  for (let i = random.between(1, 4); i > 0; i--) {
    const block = random.pickIndex(Math.floor(perAdvertiser / FORMATS.length)) * FORMATS.length
    found.add(creativeId(first + block + random.pick(places)))
  }
  return [...found]
}

function makeDeals(random: Random): readonly string[] {
  const deals = new Set<string>()
  const exchange = EXCHANGE_IDS[random.zipf(EXCHANGE_IDS.length)] ?? 'adx'
  for (let i = random.between(1, 3); i > 0; i--) deals.add(dealAt(exchange, random.zipf(DEALS_PER_EXCHANGE)))
  return [...deals]
}

const TACTICS = ['Prospecting', 'Retargeting', 'Contextual', 'Run of network', 'Conquest', 'Brand safety tier 2']

interface LineItemTerms {
  readonly counts: Readonly<Record<DocumentKindName, number>>
  readonly targeting: TargetingStyle
}

function makeLineItem(random: Random, index: number, { counts, targeting }: LineItemTerms): LineItem {
  const campaign = random.zipf(counts.campaigns, 0.6)
  const advertiser = campaign % counts.advertisers
  const priority = makePriority(random)
  const inDeals = random.chance(0.07)
  return {
    id: `li-${index + 1}`,
    name: `${ownerAt(advertiser).brand} | ${random.pick(PURPOSES)} | ${random.pick(TACTICS)} | ${index + 1}`,
    campaignId: campaignId(campaign),
    status: random.chance(0.96) ? 'active' : 'paused',
    priority,
    price: { cpm: makeCpm(random, priority) },
    ...(random.chance(0.6) ? { flight: makeFlight(random, 0.05) } : {}),
    // What ranks high is steered: about half of it steps back at any moment.
    ...(random.chance(priority <= 12 ? 0.9 : 0.3) ? { passThroughRate: random.between(10, 90) / 100 } : {}),
    targeting: makeTargeting(random, targeting),
    ...(inDeals ? { deals: makeDeals(random) } : {}),
    creativeIds: pickCreatives(random, advertiser, counts.creatives / counts.advertisers),
  }
}
