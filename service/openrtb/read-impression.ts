/** Reads one `imp` into an opportunity. OpenRTB 2.6, 3.2.4 (Imp), 3.2.6 to 3.2.9 (its formats), 3.2.12 (Deal). */
import type { LengthFloors } from '../decision/length-floors.ts'
import type { BannerOffer, DealOffer, MediaOffer, Opportunity } from '../decision/opportunity.ts'
import { NANOS_PER_CPM, type Nanos, nanosFromCpm } from '../foundation/units.ts'
import { LIMITS } from '../limits.ts'
import { AUDIO_SLOT, bannerSizeOf, bannerSlot, NATIVE_SLOT, VIDEO_SLOT } from '../state/catalog.ts'
import type { DimensionName } from '../state/dimensions.ts'
import { isRoadblock } from '../state/roadblocks.ts'
import { hasShape } from './banner-shape.ts'
import { impressionValues } from './impression-readers.ts'
import {
  floorCurrencyOf,
  isObject,
  isOne,
  type Json,
  listOf,
  maskOf,
  numberOf,
  objectOf,
  textOf,
  textsOf,
} from './json.ts'
import { mimesMask } from './mimes.ts'
import { readNative } from './read-native.ts'
import { bidPrice } from './write-response.ts'

/** What reading an impression needs to know beside the impression. */
export interface FloorTerms {
  /** Value of one unit of a currency in the ledger currency. */
  readonly rates: ReadonlyMap<string, number>
  /** The currency that bids are made in, '' = none. */
  readonly currency: string
  /** Slots that any line item has, as keys. */
  readonly slotsKnown: ReadonlyMap<number, unknown>
  /** Dimensions that are read; the others stay unknown. */
  readonly targeted: readonly DimensionName[]
  /** Whether any creative needs a framework of the place's. */
  readonly frameworks: boolean
  /** Whether nothing is billed (request.test). */
  readonly isTest: boolean
  /** Our seats at the exchange that may bid. */
  readonly seats: readonly string[]
}

const ALL_BITS = -1
const SIDE_MAX = 16_383
const DURATION_MAX_S = 86_400
/** video.linearity 2: overlays only. Ours is linear. */
const OVERLAY = 2

/** deal.at 3: the deal's floor is the price. */
const FIXED_PRICE = 3

/** What an impression came to: something to decide on, or the reason why not. */
export type ImpressionRead =
  | { readonly kind: 'opportunity'; readonly opportunity: Opportunity }
  | { readonly kind: 'no-bid'; readonly reason: 'no-supported-format' | 'currency-not-accepted' }

const NO_FORMAT: ImpressionRead = { kind: 'no-bid', reason: 'no-supported-format' }
const NO_RATE: ImpressionRead = { kind: 'no-bid', reason: 'currency-not-accepted' }

/** @returns the opportunity, or why there is none: no format that we know, or a floor without a rate. */
export function readImpression(imp: Json, terms: FloorTerms): ImpressionRead {
  const slots: number[] = []
  const banner = isObject(imp.banner) ? readBanner(imp.banner, slots, terms) : undefined
  const currency = imp.bidfloorcur
  const video = isObject(imp.video) ? readVideo(imp.video, slots, currency, terms) : undefined
  const audio = isObject(imp.audio) ? readMedia(imp.audio, currency, terms) : undefined
  if (audio !== undefined) slots.push(AUDIO_SLOT)
  const native = isObject(imp.native) ? readNative(imp.native, terms.frameworks) : undefined
  if (native !== undefined) slots.push(NATIVE_SLOT)
  if (slots.length === 0) return NO_FORMAT
  const multiplier = terms.isTest ? 0 : multiplierOf(imp)
  // No screen is seen by so many: whatever is meant, it cannot be paid for.
  if (multiplier > LIMITS.multiplierMax) return NO_FORMAT
  const pmp = objectOf(imp.pmp)
  const privateAuction = isOne(pmp.private_auction)
  const floorNanos = floorOf(imp.bidfloor, imp.bidfloorcur, terms)
  const deals = readDeals(pmp, { floorNanos, lengthFloors: (video ?? audio)?.lengthFloors }, terms)
  if (floorNanos === undefined && !(privateAuction && deals.length > 0)) return NO_RATE
  return {
    kind: 'opportunity',
    opportunity: {
      values: impressionValues(imp, terms.targeted),
      slots,
      banner,
      video,
      audio,
      native,
      secure: isOne(imp.secure),
      floorNanos: floorNanos ?? (0 as Nanos),
      deals,
      privateAuction,
      multiplier,
    },
  }
}

/** Impressions that are billed when it is shown once. OpenRTB 2.6, 3.2.31: prices stay those of one. */
function multiplierOf({ qty }: Json): number {
  const multiplier = numberOf(objectOf(qty).multiplier, 1)
  return multiplier > 0 ? multiplier : 1
}

/** Appends the banner's sizes to the slots; a banner without any size offers nothing. */
function readBanner(banner: Json, slots: number[], { slotsKnown, frameworks }: FloorTerms): BannerOffer | undefined {
  const formats = listOf(banner.format)
  let asksForShape = false
  addSize(banner, slots)
  for (let i = 0; i < formats.length && slots.length < LIMITS.sizesMax; i++) {
    const size = objectOf(formats[i])
    addSize(size, slots)
    if (size.wratio === undefined) continue
    asksForShape = true
    addShape(size, slots, slotsKnown)
  }
  if (slots.length === 0) return undefined
  return {
    mimes: mimesMask(banner.mimes, 0),
    blockedAttributes: maskOf(banner.battr),
    blockedTypes: maskOf(banner.btype),
    asksForShape,
    frameworks: frameworks ? maskOf(banner.api) : 0,
  }
}

/** A part of a pixel is no size: as a slot, 300.5 × 250 would be another size's number. */
function addSize(size: Json, slots: number[]): void {
  const width = numberOf(size.w, 0)
  const height = numberOf(size.h, 0)
  if (width < 1 || height < 1 || width > SIDE_MAX || height > SIDE_MAX) return
  if (!Number.isInteger(width) || !Number.isInteger(height)) return
  const slot = bannerSlot(width, height)
  if (!slots.includes(slot)) slots.push(slot)
}

/** Adds the sizes of ours that have the shape. OpenRTB 2.6, 3.2.10. Cost: O(sizes of the tenant's banners). */
function addShape(size: Json, slots: number[], slotsKnown: FloorTerms['slotsKnown']): void {
  for (const slot of slotsKnown.keys()) {
    if (slots.length >= LIMITS.sizesMax) return
    const { width, height } = bannerSizeOf(slot)
    if (slot < VIDEO_SLOT && hasShape(size, width, height) && !slots.includes(slot)) slots.push(slot)
  }
}

/** @param currency that its floors by length are in */
function readVideo(video: Json, slots: number[], currency: unknown, terms: FloorTerms): MediaOffer | undefined {
  if (video.linearity === OVERLAY) return undefined
  slots.push(VIDEO_SLOT)
  return readMedia(video, currency, terms)
}

function readMedia(media: Json, currency: unknown, terms: FloorTerms): MediaOffer {
  return {
    // Required by the specification, left out by some exchanges: then the player is taken to play anything.
    mimes: mimesMask(media.mimes, ALL_BITS),
    protocols: protocolsMask(media),
    blockedAttributes: maskOf(media.battr),
    frameworks: terms.frameworks ? maskOf(media.api) : 0,
    minDurationS: numberOf(media.minduration, 0),
    // Nothing that is longer than its whole pod.
    maxDurationS: Math.min(numberOf(media.maxduration, DURATION_MAX_S), numberOf(media.poddur, DURATION_MAX_S)),
    exactDurationsS: listOf(media.rqddurs).filter(seconds => typeof seconds === 'number') as number[],
    lengthFloors: lengthFloorsOf(media, currency, terms),
  }
}

/** 0 when nothing is said. Codes that are none of ours take nothing: bit 0 is no protocol. */
function protocolsMask({ protocols, protocol }: Json): number {
  if (listOf(protocols).some(code => typeof code === 'number')) return maskOf(protocols) | 1
  // Its one protocol in the place of OpenRTB 2.2, where the list is missing.
  return numberOf(protocol, 0) > 0 ? maskOf([protocol]) | 1 : 0
}

/**
 * Deals that a seat of ours may bid on. A deal's floor does not inherit the impression's currency (OpenRTB 2.6,
 * 3.2.12); one that names no floor is under the impression's (implementation guide, 7.11).
 */
function readDeals(pmp: Json, impression: ImpressionFloors, terms: FloorTerms): readonly DealOffer[] {
  const offers: DealOffer[] = []
  const deals = listOf(pmp.deals)
  if (deals.length === 0) return offers
  const seen = new Set<string>()
  for (let i = 0; i < deals.length && offers.length < LIMITS.dealOffersMax; i++) {
    const deal = objectOf(deals[i])
    const id = textOf(deal.id)
    const seats = textsOf(deal.wseat)
    const hasFloor = Number.isFinite(deal.bidfloor)
    const floorNanos = hasFloor ? floorOf(deal.bidfloor, deal.bidfloorcur, terms) : impression.floorNanos
    // An id that comes twice stands for its first deal, as it does for whoever looks the bid's deal up.
    if (id === '' || isRoadblock(id) || seen.has(id)) continue
    seen.add(id)
    if (floorNanos === undefined) continue
    const seat = seats.length === 0 ? terms.seats[0] : terms.seats.find(ours => seats.includes(ours))
    if (seats.length > 0 && seat === undefined) continue
    const own = lengthFloorsOf(deal, deal.bidfloorcur, terms)
    const lengthFloors = own ?? (hasFloor ? undefined : impression.lengthFloors)
    offers.push({
      id,
      seat: seat ?? '',
      floorNanos,
      lengthFloors,
      // Without a floor, or with several, there is no one price that was agreed.
      isFixedPrice: deal.at === FIXED_PRICE && hasFloor && floorNanos > 0 && lengthFloors === undefined,
      advertiserDomains: textsOf(deal.wadomain).map(domain => domain.toLowerCase()),
    })
  }
  return offers
}

interface ImpressionFloors {
  readonly floorNanos: Nanos | undefined
  readonly lengthFloors: LengthFloors | undefined
}

/** Floors by length of a video or a deal, undefined when there are none. One without a rate can be paid by nobody. */
function lengthFloorsOf(owner: Json, currency: unknown, terms: FloorTerms): LengthFloors | undefined {
  const perSecond = numberOf(owner.mincpmpersec, 0)
  // What is no object holds for no length, and must not hide a floor that does.
  const listed = listOf(owner.durfloors).filter(isObject)
  if (perSecond <= 0 && listed.length === 0) return undefined
  const rate = terms.rates.get(floorCurrencyOf(currency))
  const bidRate = terms.rates.get(terms.currency) ?? 1
  return {
    perSecondNanos:
      perSecond <= 0 ? 0 : rate === undefined ? Number.POSITIVE_INFINITY : perSecond * rate * NANOS_PER_CPM,
    marginNanos: rate === 1 && bidRate === 1 ? 0 : 2 * Math.ceil(bidRate),
    ranges: listed.map(({ mindur, maxdur, bidfloor }) => ({
      minS: numberOf(mindur, 0),
      maxS: numberOf(maxdur, DURATION_MAX_S),
      floorNanos: floorOf(bidfloor, currency, terms) ?? Number.POSITIVE_INFINITY,
    })),
  }
}

/**
 * A floor per impression in the ledger currency, so far up that whoever pays it still pays it after the bid's price is
 * rounded down to its steps; undefined when its currency has no rate.
 */
function floorOf(floor: unknown, currency: unknown, terms: FloorTerms): Nanos | undefined {
  const cpm = numberOf(floor, 0)
  if (cpm <= 0) return 0 as Nanos
  const rate = terms.rates.get(floorCurrencyOf(currency))
  if (rate === undefined) return undefined
  const nanos = nanosFromCpm(cpm * rate, 'up')
  const bidRate = terms.rates.get(terms.currency) ?? 1
  const price = bidPrice(nanos, bidRate)
  const paid = bidRate === rate ? price : (price * bidRate) / rate
  // One step of a price is 10^-6 of a CPM, which is bidRate nanos.
  return paid >= cpm ? nanos : ((nanos + Math.ceil(bidRate)) as Nanos)
}
