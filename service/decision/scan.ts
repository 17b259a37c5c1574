/**
 * The naive engine: reads the documents themselves and tries every line item. Too slow to bid with; it is the oracle
 * that the index is held against, and the yardstick of the benchmark. Shares no code with the index.
 */

import { bannerTypesOf } from '../state/banner-types.ts'
import { AUDIO_SLOT, bannerSlot, NATIVE_SLOT, VIDEO_SLOT } from '../state/catalog.ts'
import {
  type Creative,
  isVast,
  type NativeCreative,
  VAST_PROTOCOLS,
  VAST_WRAPPER_PROTOCOLS,
} from '../state/creative-document.ts'
import type { Advertiser, Campaign, LineItem, TenantDocuments } from '../state/documents.ts'
import type { Exchange } from '../state/exchange-document.ts'
import { languageCode, mimeBit } from '../state/vocabulary.ts'
import { STAGES } from './decide.ts'
import { lengthFloor } from './length-floors.ts'
import { type AssetWish, type Facts, type NativeOffer, type Opportunity, TRANSPARENCY_ASKED } from './opportunity.ts'
import type { NoBidReason } from './reasons.ts'
import { type NamedList, targets } from './scan-targeting.ts'

/** All line items that the best rank holds, or the reason why there is none. */
export type ScanResult =
  | { readonly kind: 'winners'; readonly lineItems: readonly LineItem[] }
  | { readonly kind: 'no-bid'; readonly reason: NoBidReason }

/** What is asked of the oracle. */
export interface Asked {
  readonly facts: Facts
  readonly opportunity: Opportunity
  readonly nowMs: number
  /** Ids of advertisers, or of creatives where settings.onPage says so, with a bid for an earlier impression. */
  readonly onPage: ReadonlySet<string>
  /** Ids of line items and creatives whose caps whoever asks has reached. */
  readonly cappedLineItems: ReadonlySet<string>
  readonly cappedCreatives: ReadonlySet<string>
  /** Ids of line items whose budget holds no bid. */
  readonly spent: ReadonlySet<string>
}

/** Documents by id, made once. */
export interface ScanTables {
  readonly documents: TenantDocuments
  readonly campaigns: ReadonlyMap<string, Campaign>
  readonly creatives: ReadonlyMap<string, Creative>
  readonly advertisers: ReadonlyMap<string, TenantDocuments['advertisers'][number]>
  readonly lists: ReadonlyMap<string, NamedList>
}

/** Looks documents up by id for scan. Cost: O(documents). */
export function scanTables(documents: TenantDocuments): ScanTables {
  return {
    documents,
    campaigns: new Map(documents.campaigns.map(campaign => [campaign.id, campaign])),
    creatives: new Map(documents.creatives.map(creative => [creative.id, creative])),
    advertisers: new Map(documents.advertisers.map(advertiser => [advertiser.id, advertiser])),
    lists: new Map(
      documents.lists.map(({ id, dimension }) => {
        const values = documents.listParts.flatMap(part => (part.listId === id ? part.values : []))
        return [id, { dimension, values: new Set(values) }]
      }),
    ),
  }
}

/**
 * Tries every line item. A pass-through rate of 0 is paced out, any other takes part. Pure.
 * @returns the line items between which chance may decide, or the last check that any reached. Cost: O(line items).
 */
export function scan(tables: ScanTables, asked: Asked): ScanResult {
  let furthest = 0
  let winners: LineItem[] = []
  for (const lineItem of tables.documents.lineItems) {
    const stage = stageOf(tables, lineItem, asked)
    if (stage === STAGES.length) winners = better(winners, lineItem)
    else furthest = Math.max(furthest, stage)
  }
  if (winners.length > 0) return { kind: 'winners', lineItems: winners }
  return { kind: 'no-bid', reason: STAGES[furthest] as NoBidReason }
}

function better(winners: LineItem[], next: LineItem): LineItem[] {
  const best = winners[0]
  if (best === undefined) return [next]
  const order = best.priority - next.priority || next.price.cpm - best.price.cpm
  if (order > 0) return [next]
  return order === 0 ? [...winners, next] : winners
}

/** The position in STAGES of the first check that fails, STAGES.length when none does. */
function stageOf(tables: ScanTables, lineItem: LineItem, asked: Asked): number {
  const { facts, opportunity, nowMs, onPage, spent, cappedLineItems, cappedCreatives } = asked
  const campaign = tables.campaigns.get(lineItem.campaignId)
  const advertiser = tables.advertisers.get(campaign?.advertiserId ?? '')
  if (campaign?.status !== 'active' || lineItem.status !== 'active' || advertiser === undefined) return 0
  const creatives = lineItem.creativeIds
    .map(id => tables.creatives.get(id))
    .filter(creative => creative?.status === 'active')
    .filter(creative => creative !== undefined && opportunity.slots.includes(slotOf(creative))) as Creative[]
  const ownDeals = dealsOf(lineItem)
  const deals = opportunity.deals.filter(deal => ownDeals?.includes(deal.id))
  if (creatives.length === 0 || !targets(lineItem.targeting, { facts, opportunity, lists: tables.lists })) return 0
  if (ownDeals === undefined ? opportunity.privateAuction : deals.length === 0) return 0
  for (const flight of [campaign.flight, lineItem.flight]) {
    if (flight?.start !== undefined && nowMs < Date.parse(flight.start)) return STAGES.indexOf('outside-flight')
    if (flight?.end !== undefined && nowMs >= Date.parse(flight.end)) return STAGES.indexOf('outside-flight')
  }
  const inviting = deals.filter(
    ({ advertiserDomains: invited }) =>
      invited.length === 0 || invited.some(domain => `.${advertiser.domain}`.endsWith(`.${domain}`)),
  )
  const floorMin = Math.min(
    ...(opportunity.privateAuction ? [] : [opportunity.floorNanos]),
    ...opportunity.deals.map(deal => deal.floorNanos),
  )
  const floors = ownDeals === undefined ? [opportunity.floorNanos] : inviting.map(deal => deal.floorNanos)
  const isInvited = floors.length > 0
  const floor = isInvited ? Math.min(...floors) : floorMin
  if (Math.round(lineItem.price.cpm * 1e6) < floor) return STAGES.indexOf('below-floor')
  if (!isInvited) return STAGES.indexOf('advertiser-blocked')
  if (facts.blockedDomains.some(blocked => `.${advertiser.domain}`.endsWith(`.${blocked}`)))
    return STAGES.indexOf('advertiser-blocked')
  const unblocked = creatives.filter(creative => {
    if (facts.blockedApps.includes(creative.appBundle ?? '')) return false
    const categories = [...(creative.categories ?? []), ...advertiser.categories]
    const isIn = (has: string, list: readonly string[]) => list.some(one => has === one || has.startsWith(`${one}-`))
    if (categories.some(has => isIn(has, facts.blockedCategories))) return false
    return facts.allowedCategories.length === 0 || categories.every(has => isIn(has, facts.allowedCategories))
  })
  if (unblocked.length === 0) return STAGES.indexOf('category-blocked')
  const transparent = unblocked.filter(creative => isTransparent(creative, advertiser, facts.transparency))
  if (transparent.length === 0) return STAGES.indexOf('transparency-required')
  const cheapest = inviting.reduce((a, b) => (a !== undefined && a.floorNanos <= b.floorNanos ? a : b), inviting[0])
  const pays = (creative: Creative) => {
    if (!isVast(creative)) return true
    const floors = ownDeals === undefined ? opportunity[creative.format]?.lengthFloors : cheapest?.lengthFloors
    return floors === undefined || Math.round(lineItem.price.cpm * 1e6) >= lengthFloor(floors, creative.durationS)
  }
  const speaks = (creative: Creative) =>
    creative.language === undefined ||
    facts.allowedLanguages.length === 0 ||
    facts.allowedLanguages.includes(languageCode(creative.language))
  const runs = ({ format, apis = [] }: Creative) =>
    apis.every(code => (((opportunity[format]?.frameworks ?? 0) >>> code) & 1) === 1)
  const fitting = transparent.filter(
    creative => fits(creative, opportunity) && runs(creative) && speaks(creative) && pays(creative),
  )
  if (fitting.length === 0) return STAGES.indexOf('creative-not-allowed')
  const asker = tables.documents.exchanges.find(({ id }) => id === facts.exchangeId)
  const approved = fitting.filter(creative => isApproved(creative, facts.exchangeId, asker))
  if (approved.length === 0) return STAGES.indexOf('creative-not-approved')
  if (onPage.has(advertiser.id) || approved.every(({ id }) => onPage.has(id))) return STAGES.indexOf('already-on-page')
  const free = approved.filter(({ id }) => !onPage.has(id) && !cappedCreatives.has(id))
  if (free.length === 0 || cappedLineItems.has(lineItem.id)) return STAGES.indexOf('frequency-capped')
  if (lineItem.passThroughRate === 0) return STAGES.indexOf('paced-out')
  return spent.has(lineItem.id) ? STAGES.indexOf('no-budget') : STAGES.length
}

function isApproved({ approvals, language }: Creative, exchangeId: string, asker: Exchange | undefined): boolean {
  const says = approvals?.[exchangeId]
  if (asker?.requiredFields?.includes('language') && language === undefined) return false
  return says !== 'refused' && (asker?.creativeApproval !== 'needed' || says === 'approved')
}

/** Written out once more: see state/roadblocks.ts. */
function dealsOf({ roadblock, campaignId, deals }: LineItem): LineItem['deals'] {
  return roadblock === true ? [`\u0001${campaignId}`] : deals
}

function isTransparent({ rendersTransparency }: Creative, { transparency }: Advertiser, asked: number): boolean {
  const { told, rendered, notRendered } = TRANSPARENCY_ASKED
  const asks = (bit: number) => (asked & bit) !== 0
  if (transparency === undefined) return !asks(told)
  return rendersTransparency === true ? !asks(notRendered) : !asks(rendered)
}

function slotOf(creative: Creative): number {
  if (creative.format === 'banner') return bannerSlot(creative.width, creative.height)
  return { video: VIDEO_SLOT, audio: AUDIO_SLOT, native: NATIVE_SLOT }[creative.format]
}

/** Bits of codes that are in a mask. */
const anyIn = (codes: readonly number[] | undefined, mask: number) => codes?.some(code => (mask >>> code) & 1) ?? false

function fits(creative: Creative, opportunity: Opportunity): boolean {
  if (creative.format === 'banner') {
    const offer = opportunity.banner
    if (offer === undefined || (opportunity.secure && !creative.secure)) return false
    if (anyIn(creative.attributes, offer.blockedAttributes) || anyIn(bannerTypesOf(creative), offer.blockedTypes))
      return false
    const mime = creative.content.kind === 'image' ? creative.content.mime : 'text/html'
    return offer.mimes === 0 || (mimeBit(mime) & offer.mimes) !== 0
  }
  if (creative.format === 'native') return nativeTakes(creative, opportunity.native)
  const offer = creative.format === 'video' ? opportunity.video : opportunity.audio
  if (offer === undefined) return false
  const attributes = [...(creative.attributes ?? []), ...(creative.skipAfterS === undefined ? [] : [16])]
  if (anyIn(attributes, offer.blockedAttributes)) return false
  const mimes = creative.wrapper?.mimes ?? creative.mediaFiles.map(file => file.mime)
  if (!mimes.some(mime => (mimeBit(mime) & offer.mimes) !== 0)) return false
  const codes = creative.wrapper === undefined ? VAST_PROTOCOLS : VAST_WRAPPER_PROTOCOLS
  const protocols = [creative.vastVersion, ...(creative.olderVastVersions ?? [])].map(version => codes[version])
  if (offer.protocols !== 0 && !anyIn(protocols, offer.protocols)) return false
  if (offer.exactDurationsS.length > 0) return offer.exactDurationsS.includes(creative.durationS)
  return creative.durationS >= offer.minDurationS && creative.durationS <= offer.maxDurationS
}

function nativeTakes(creative: NativeCreative, offer: NativeOffer | undefined): boolean {
  if (offer === undefined || anyIn(creative.attributes, offer.blockedAttributes)) return false
  const grants = (wish: AssetWish) => creative.assets.some(asset => grantsWish(asset, wish))
  return offer.wishes.some(grants) && offer.wishes.every(wish => !wish.required || grants(wish))
}

/** Codes are those of native-assets.ts, written out once more. */
function grantsWish(asset: NativeCreative['assets'][number], wish: AssetWish): boolean {
  if (asset.kind === 'title') return wish.code === 1 && asset.text.length <= wish.charsMax
  if (asset.kind === 'data') return wish.code === 32 + asset.type && asset.text.length <= wish.charsMax
  if (wish.code !== 16 + asset.type || (wish.mimes !== 0 && (mimeBit(asset.mime) & wish.mimes) === 0)) return false
  const fitsSide = (own: number, { exact, min }: AssetWish['width']) => (exact === 0 ? own >= min : own === exact)
  return fitsSide(asset.width, wish.width) && fitsSide(asset.height, wish.height)
}
