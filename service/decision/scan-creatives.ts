/** The naive engine's checks of creatives: reads documents and requests as they are written. */
import { NANOS_PER_CPM } from '../foundation/units.ts'
import { bannerTypesOf } from '../state/banner-types.ts'
import { AUDIO_SLOT, bannerSizeOf, bannerSlot, NATIVE_SLOT, VIDEO_SLOT } from '../state/catalog.ts'
import {
  type BannerCreative,
  type Creative,
  isVast,
  type NativeCreative,
  VAST_PROTOCOLS,
  VAST_WRAPPER_PROTOCOLS,
  type VastCreative,
} from '../state/creative-document.ts'
import type { Advertiser, LineItem } from '../state/documents.ts'
import type { Exchange } from '../state/exchange-document.ts'
import { languageCode, MIMES, mimeBit } from '../state/vocabulary.ts'
import { type Finding, side } from './finding.ts'
import { type LengthFloors, lengthFloor } from './length-floors.ts'
import { type AssetWish, type Facts, type NativeOffer, type Opportunity, TRANSPARENCY_ASKED } from './opportunity.ts'

/** What a creative is judged by beside itself. */
export interface CreativeScene {
  readonly facts: Facts
  readonly opportunity: Opportunity
  readonly lineItem: LineItem
  readonly advertiser: Advertiser
  /** The exchange that asks. */
  readonly exchange: Exchange | undefined
  /** Of the deal that it would bid in; undefined in the open auction. */
  readonly deal: { readonly lengthFloors: LengthFloors | undefined } | undefined
  /** Ids of creatives that are on the page, and of those that whoever asks has seen often enough. */
  readonly onPage: ReadonlySet<string>
  readonly capped: ReadonlySet<string>
}

type Findings = Generator<Finding, void, undefined>

/** Why a creative has no place in an impression at all; undefined when it has one. Pure. */
export function slotFinding(creative: Creative, { slots }: Opportunity): Finding | undefined {
  const reason = 'no-eligible-line-item'
  const { id: creativeId } = creative
  if (creative.status !== 'active')
    return { reason, what: 'status', ours: side('is', 'paused'), theirs: { verb: 'only active ones bid' }, creativeId }
  const slot = slotOf(creative)
  if (slots.includes(slot)) return undefined
  const theirs = side('place takes', ...slots.map(slotName))
  return { reason, what: 'size', ours: side('is', slotName(slot)), theirs, creativeId }
}

/** Every check that a creative fails whose slot the impression offers, in the order of decision. Pure. */
export function* creativeFindings(creative: Creative, scene: CreativeScene): Findings {
  const { id: creativeId } = creative
  for (const findings of [
    categoryFindings(creative, scene),
    transparencyFindings(creative, scene),
    fitFindings(creative, scene.opportunity),
    termFindings(creative, scene),
    approvalFindings(creative, scene),
  ])
    for (const finding of findings) yield { ...finding, creativeId }
  const { onPage, capped } = scene
  const here = { ours: side('is', creativeId), creativeId }
  if (onPage.has(creativeId))
    yield { reason: 'already-on-page', what: 'page', ...here, theirs: side('page has', creativeId) }
  if (capped.has(creativeId))
    yield { reason: 'frequency-capped', what: 'frequency caps', ...here, theirs: side('user has seen', 'its cap') }
}

function* categoryFindings(creative: Creative, { advertiser, facts }: CreativeScene): Findings {
  const reason = 'category-blocked'
  const { appBundle, categories: own = [] } = creative
  if (appBundle !== undefined && facts.blockedApps.includes(appBundle))
    yield { reason, what: 'bapp', ours: side('advertises', appBundle), theirs: side('request blocks', appBundle) }
  const categories = [...own, ...advertiser.categories]
  const isIn = (has: string, list: readonly string[]) => list.some(one => has === one || has.startsWith(`${one}-`))
  const blocked = categories.filter(has => isIn(has, facts.blockedCategories))
  if (blocked.length > 0)
    yield {
      reason,
      what: 'bcat',
      ours: side('has', ...blocked),
      theirs: side('request blocks', ...facts.blockedCategories),
    }
  const { allowedCategories: allowed } = facts
  const others = allowed.length === 0 ? [] : categories.filter(has => !isIn(has, allowed))
  if (others.length > 0)
    yield { reason, what: 'acat', ours: side('has', ...others), theirs: side('request allows', ...allowed) }
}

function* transparencyFindings({ rendersTransparency }: Creative, scene: CreativeScene): Findings {
  const asks = (bit: number) => (scene.facts.transparency & bit) !== 0
  const { told, rendered, notRendered } = TRANSPARENCY_ASKED
  const finding = (verb: string, theirs: string): Finding => {
    const what = 'regs.ext.dsa'
    return { reason: 'transparency-required', what, ours: { verb }, theirs: side('request wants', theirs) }
  }
  if (scene.advertiser.transparency === undefined) {
    if (asks(told)) yield finding('its advertiser does not tell who pays', 'who pays')
  } else if (rendersTransparency === true) {
    if (asks(notRendered)) yield finding('shows who pays', 'only the page to show it')
  } else if (asks(rendered)) yield finding('does not show who pays', 'the ad to show it')
}

/** What the place asks of the media. */
function* fitFindings(creative: Creative, opportunity: Opportunity): Findings {
  const { format, apis = [] } = creative
  const frameworks = opportunity[format]?.frameworks ?? 0
  if (!apis.every(code => isSet(frameworks, code)))
    yield misfit('frameworks (api)', side('needs', ...apis), side('place has', ...codesOf(frameworks)))
  if (creative.format === 'banner') yield* bannerFindings(creative, opportunity)
  else if (creative.format === 'native') yield* nativeFindings(creative, opportunity.native)
  else yield* mediaFindings(creative, opportunity)
}

function* bannerFindings(creative: BannerCreative, { banner: offer, secure }: Opportunity): Findings {
  if (secure && !creative.secure) yield misfit('secure', side('loads over', 'http'), side('place wants', 'https'))
  if (offer === undefined) yield misfit('format', side('is', 'a banner'), { verb: 'place takes no banner' })
  else {
    yield* blockedFindings('attributes (battr)', creative.attributes ?? [], offer.blockedAttributes)
    yield* blockedFindings('banner type (btype)', bannerTypesOf(creative), offer.blockedTypes)
    const mime = creative.content.kind === 'image' ? creative.content.mime : 'text/html'
    if (offer.mimes !== 0) yield* mimeFindings([mime], offer.mimes)
  }
}

function* mediaFindings(creative: VastCreative, opportunity: Opportunity): Findings {
  const offer = opportunity[creative.format]
  if (offer === undefined) {
    yield misfit('format', side('is', creative.format), { verb: 'place takes none' })
    return
  }
  const attributes = [...(creative.attributes ?? []), ...(creative.skipAfterS === undefined ? [] : [16])]
  yield* blockedFindings('attributes (battr)', attributes, offer.blockedAttributes)
  yield* mimeFindings(creative.wrapper?.mimes ?? creative.mediaFiles.map(file => file.mime), offer.mimes)
  const codes = creative.wrapper === undefined ? VAST_PROTOCOLS : VAST_WRAPPER_PROTOCOLS
  const protocols = [creative.vastVersion, ...(creative.olderVastVersions ?? [])].map(version => codes[version])
  if (offer.protocols !== 0 && !protocols.some(code => isSet(offer.protocols, code)))
    yield misfit('protocols', side('is', ...protocols), side('place takes', ...codesOf(offer.protocols & ~1)))
  const { durationS } = creative
  const { exactDurationsS: exact, minDurationS: min, maxDurationS: max } = offer
  const takes = exact.length > 0 ? exact.includes(durationS) : durationS >= min && durationS <= max
  const theirs = exact.length > 0 ? side('place takes only', ...exact) : side('place takes', `${min} to ${max}`)
  if (!takes) yield misfit('duration (s)', side('is', durationS), theirs)
}

function* nativeFindings(creative: NativeCreative, offer: NativeOffer | undefined): Findings {
  if (offer === undefined) {
    yield misfit('format', side('is', 'native'), { verb: 'place takes no native ad' })
    return
  }
  yield* blockedFindings('attributes (battr)', creative.attributes ?? [], offer.blockedAttributes)
  const isGranted = (wish: AssetWish) => creative.assets.some(asset => grantsWish(asset, wish))
  const missing = offer.wishes.filter(wish => wish.required && !isGranted(wish))
  const ids = (wishes: readonly AssetWish[]) => wishes.map(({ id }) => id)
  if (missing.length > 0 || !offer.wishes.some(isGranted))
    yield misfit(
      'assets',
      side('has parts that fit', ...ids(offer.wishes.filter(isGranted))),
      side('place requires', ...(missing.length > 0 ? ids(missing) : ['at least one of its assets'])),
    )
}

function* blockedFindings(what: string, codes: readonly number[], blocked: number): Findings {
  const hit = codes.filter(code => isSet(blocked, code))
  if (hit.length > 0) yield misfit(what, side('has', ...hit), side('place blocks', ...codesOf(blocked)))
}

function* mimeFindings(mimes: readonly string[], taken: number): Findings {
  if (mimes.some(mime => (mimeBit(mime) & taken) !== 0)) return
  yield misfit(
    'mimes',
    side('is', ...mimes),
    side('place takes', ...MIMES.filter(mime => (mimeBit(mime) & taken) !== 0)),
  )
}

/** What the request asks of language and of price by length. */
function* termFindings(creative: Creative, { facts, opportunity, lineItem, deal }: CreativeScene): Findings {
  const { language } = creative
  const { allowedLanguages: allowed } = facts
  if (language !== undefined && allowed.length > 0 && !allowed.includes(languageCode(language)))
    yield misfit('wlang', side('speaks', language), side('request takes', ...allowed.map(languageName)))
  if (!isVast(creative)) return
  const floors = deal === undefined ? opportunity[creative.format]?.lengthFloors : deal.lengthFloors
  const floorNanos = floors === undefined ? 0 : lengthFloor(floors, creative.durationS)
  if (Math.round(lineItem.price.cpm * NANOS_PER_CPM) < floorNanos)
    yield misfit(
      'floor by duration (CPM)',
      side('pays', lineItem.price.cpm),
      side(`place asks for ${creative.durationS} s`, floorNanos / NANOS_PER_CPM),
    )
}

function* approvalFindings(creative: Creative, { exchange, facts: { exchangeId } }: CreativeScene): Findings {
  const { approvals, language, format } = creative
  const finding = (ours: Finding['ours'], theirs: Finding['theirs']): Finding => {
    return { reason: 'creative-not-approved', what: exchangeId, ours, theirs }
  }
  const says = approvals?.[exchangeId] ?? 'not asked'
  if (exchange?.requiredFields?.includes('language') && language === undefined)
    yield finding({ verb: 'has no language' }, side('exchange requires', 'language'))
  if (exchange?.markup === 'win-notice' && format === 'native')
    yield finding(side('is', 'native'), { verb: 'exchange takes markup only as the answer to a win notice' })
  if (says === 'refused' || (exchange?.creativeApproval === 'needed' && says !== 'approved'))
    yield finding(side('is', says), side('exchange takes', says === 'refused' ? 'what it has not refused' : 'approved'))
}

function misfit(what: string, ours: Finding['ours'], theirs: Finding['theirs']): Finding {
  return { reason: 'creative-not-allowed', what, ours, theirs }
}

function slotOf(creative: Creative): number {
  if (creative.format === 'banner') return bannerSlot(creative.width, creative.height)
  return { video: VIDEO_SLOT, audio: AUDIO_SLOT, native: NATIVE_SLOT }[creative.format]
}

function slotName(slot: number): string {
  if (slot === VIDEO_SLOT) return 'video'
  if (slot === AUDIO_SLOT) return 'audio'
  if (slot === NATIVE_SLOT) return 'native'
  const { width, height } = bannerSizeOf(slot)
  return `${width}x${height}`
}

const isSet = (mask: number, code: number) => ((mask >>> code) & 1) === 1

/** Codes in a mask, from 0 to 31. */
function codesOf(mask: number): readonly number[] {
  return Array.from({ length: 32 }, (_, code) => code).filter(code => isSet(mask, code))
}

/** Codes are those of native-assets.ts, written out once more. */
function grantsWish(asset: NativeCreative['assets'][number], wish: AssetWish): boolean {
  if (asset.kind === 'title') return wish.code === 1 && asset.text.length <= wish.charsMax
  if (asset.kind === 'data') return wish.code === 32 + asset.type && asset.text.length <= wish.charsMax
  if (wish.code !== 16 + asset.type || (wish.mimes !== 0 && (mimeBit(asset.mime) & wish.mimes) === 0)) return false
  const fitsSide = (own: number, { exact, min }: AssetWish['width']) => (exact === 0 ? own >= min : own === exact)
  return fitsSide(asset.width, wish.width) && fitsSide(asset.height, wish.height)
}

function languageName(code: number): string {
  return code === 0 ? 'none of ours' : String.fromCharCode(Math.floor(code / 256), code % 256)
}
