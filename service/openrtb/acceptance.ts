/**
 * The last look before a bid is sent: would the exchange accept it? Reads the impression as it came and the bid as it
 * goes, not what the engine made of them, so that a mistake in between is caught. Pure.
 */
import { type Catalog, FORMAT } from '../state/catalog.ts'
import { mimeBit } from '../state/vocabulary.ts'
import { brokenSeat, brokenWord, coversDomain, missesFramework, type Said } from './acceptance-words.ts'
import { hasShape } from './banner-shape.ts'
import { floorCurrencyOf, isObject, isOne, type Json, listOf, numberOf, objectOf, textOf, textsOf } from './json.ts'

/** A bid as it will be written. */
export interface OutgoingBid {
  readonly impId: string
  readonly imp: Json
  readonly lineItem: number
  readonly creative: number
  readonly price: number
  readonly currency: string
  /** '' = open auction. */
  readonly dealId: string
  /** '' = none. */
  readonly seat: string
  /** Whose ordinals these are. */
  readonly catalog: Catalog
  /** Value of one unit of a currency in the ledger currency. */
  readonly rates: ReadonlyMap<string, number>
}

/** Tells what the bids of a creative say of it. */
export interface CreativeWords {
  saidOf(creative: number): Said
}

/** @returns the first rule that the bid breaks, or undefined. Cost: O(what the request lists). */
export function brokenRule(bid: OutgoingBid, request: Json, words: CreativeWords): string | undefined {
  if (!(bid.price > 0) || !Number.isFinite(bid.price)) return 'price'
  const accepted = textsOf(request.cur)
  if (accepted.length > 0 && !accepted.includes(bid.currency)) return 'currency'
  const { imp } = bid
  const { columns } = bid.catalog
  const pmp = objectOf(imp.pmp)
  const deal =
    bid.dealId === '' ? undefined : listOf(pmp.deals).find(offer => textOf(objectOf(offer).id) === bid.dealId)
  if (bid.dealId !== '' && deal === undefined) return 'deal'
  if (bid.dealId === '' && isOne(pmp.private_auction)) return 'private-auction'
  const dealFields = objectOf(deal)
  if (isBelowFloor(bid, Number.isFinite(dealFields.bidfloor) ? dealFields : imp, bid.rates)) return 'floor'
  if (brokenSeat(request, deal, bid.seat)) return 'seat'
  const invited = textsOf(dealFields.wadomain)
  if (invited.length > 0 && !coversDomain(invited, words.saidOf(bid.creative).adomain)) return 'deal-advertiser'
  if (isOne(imp.secure) && columns.creativeSecure[bid.creative] === 0) return 'secure'
  return brokenFormatRule(bid, words) ?? brokenWord(request, () => words.saidOf(bid.creative))
}

/** The name of each format's object in an impression, by its code. */
const FORMAT_FIELDS = Object.entries(FORMAT).reduce<string[]>((names, [name, code]) => {
  names[code] = name
  return names
}, [])

function brokenFormatRule(bid: OutgoingBid, words: CreativeWords): string | undefined {
  const { catalog, creative, imp } = bid
  const format = catalog.columns.creativeFormat[creative]
  const offer = imp[FORMAT_FIELDS[format ?? 0] ?? '']
  if (catalog.columns.creativeFrameworks[creative] !== 0 && missesFramework(offer, words.saidOf(creative).apis))
    return 'framework'
  if (format === FORMAT.native) return brokenNativeRule(imp, creative, catalog)
  if (format === FORMAT.banner) return brokenBannerRule(bid)
  return brokenMediaRule(objectOf(offer), creative, catalog)
}

/** A price and a floor in two currencies are compared in the ledger's, where the rates' float error is no offence. */
function isBelowFloor(bid: OutgoingBid, owner: Json, rates: ReadonlyMap<string, number>): boolean {
  const floor = numberOf(owner.bidfloor, 0)
  if (floor <= 0) return false
  const currency = floorCurrencyOf(owner.bidfloorcur)
  if (currency === bid.currency) return bid.price < floor
  const paid = bid.price * (rates.get(bid.currency) ?? Number.NaN)
  return !(paid >= floor * (rates.get(currency) ?? Number.NaN) * (1 - FLOAT_ERROR))
}

const FLOAT_ERROR = 1e-12

function brokenBannerRule({ imp, creative, catalog: { columns } }: OutgoingBid): string | undefined {
  const banner = objectOf(imp.banner)
  const width = columns.creativeWidth[creative]
  const height = columns.creativeHeight[creative]
  const fits = (size: Json) => (size.w === width && size.h === height) || hasShape(size, width ?? 0, height ?? 0)
  if (!fits(banner) && !listOf(banner.format).some(format => fits(objectOf(format)))) return 'size'
  if (!takesMimes(banner.mimes, columns.creativeMimes[creative])) return 'mime'
  const attributes = columns.creativeAttributes[creative] ?? 0
  if (listOf(banner.battr).some(code => isSet(attributes, code))) return 'attribute'
  const types = columns.creativeBannerTypes[creative] ?? 0
  return listOf(banner.btype).some(code => isSet(types, code)) ? 'type' : undefined
}

function brokenMediaRule(media: Json, creative: number, { columns }: Catalog): string | undefined {
  const durationS = columns.creativeDurationS[creative] ?? 0
  if (!takesDuration(media, durationS)) return 'duration'
  if (!takesMimes(media.mimes, columns.creativeMimes[creative])) return 'mime'
  const listed = listOf(media.protocols).filter(code => typeof code === 'number')
  const protocols = listed.length > 0 || numberOf(media.protocol, 0) <= 0 ? listed : [media.protocol]
  const protocol = columns.creativeProtocols[creative] ?? 0
  if (protocols.length > 0 && !protocols.some(code => isSet(protocol, code))) return 'protocol'
  const attributes = columns.creativeAttributes[creative] ?? 0
  return listOf(media.battr).some(code => isSet(attributes, code)) ? 'attribute' : undefined
}

/** The assets were chosen from what the page asked for by what it asked for; they are not looked up once more. */
function brokenNativeRule({ native }: Json, creative: number, { columns }: Catalog): string | undefined {
  if (!isObject(native)) return 'format'
  const attributes = columns.creativeAttributes[creative] ?? 0
  return listOf(native.battr).some(code => isSet(attributes, code)) ? 'attribute' : undefined
}

/** Exact lengths replace the range (OpenRTB 2.6: the two exclude each other). */
function takesDuration(media: Json, durationS: number): boolean {
  const exact = listOf(media.rqddurs).filter(seconds => typeof seconds === 'number')
  if (exact.length > 0) return exact.includes(durationS)
  return durationS >= numberOf(media.minduration, 0) && durationS <= numberOf(media.maxduration, durationS)
}

/** A list without a text says nothing. */
function takesMimes(mimes: unknown, ours: number | undefined): boolean {
  const taken = textsOf(mimes)
  return taken.length === 0 || taken.some(mime => (mimeBit(mime) & (ours ?? 0)) !== 0)
}

function isSet(mask: number, code: unknown): boolean {
  return typeof code === 'number' && Number.isInteger(code) && code >= 0 && code <= 31 && ((mask >>> code) & 1) === 1
}
