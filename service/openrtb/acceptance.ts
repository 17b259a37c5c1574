/**
 * The last look before a bid is sent: would the exchange accept it? Reads the impression as it came and the bid as it
 * goes, not what the engine made of them, so that a mistake in between is caught. Pure.
 */
import { type Catalog, FORMAT } from '../state/catalog.ts'
import { isOne, type Json, listOf, numberOf, objectOf, textOf, textsOf } from './json.ts'

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
}

/** @returns the first rule that the bid breaks, or undefined. Cost: O(formats + deals of the impression). */
export function brokenRule(bid: OutgoingBid, request: Json, catalog: Catalog): string | undefined {
  if (!(bid.price > 0) || !Number.isFinite(bid.price)) return 'price'
  const accepted = textsOf(request.cur)
  if (accepted.length > 0 && !accepted.includes(bid.currency)) return 'currency'
  const { imp } = bid
  const pmp = objectOf(imp.pmp)
  const deal =
    bid.dealId === '' ? undefined : listOf(pmp.deals).find(offer => textOf(objectOf(offer).id) === bid.dealId)
  if (bid.dealId !== '' && deal === undefined) return 'deal'
  if (bid.dealId === '' && isOne(pmp.private_auction)) return 'private-auction'
  const floor = deal === undefined ? imp : objectOf(deal)
  if ((textOf(floor.bidfloorcur) || 'USD') === bid.currency && bid.price < numberOf(floor.bidfloor, 0)) return 'floor'
  const { columns } = catalog
  if (isOne(imp.secure) && columns.creativeSecure[bid.creative] === 0) return 'secure'
  if (columns.creativeFormat[bid.creative] === FORMAT.video) return brokenVideoRule(bid, catalog)
  return brokenBannerRule(bid, catalog)
}

function brokenBannerRule({ imp, creative }: OutgoingBid, { columns }: Catalog): string | undefined {
  const banner = objectOf(imp.banner)
  const width = columns.creativeWidth[creative]
  const height = columns.creativeHeight[creative]
  const fits = (size: Json) => size.w === width && size.h === height
  if (!fits(banner) && !listOf(banner.format).some(format => fits(objectOf(format)))) return 'size'
  const attributes = columns.creativeAttributes[creative] ?? 0
  if (listOf(banner.battr).some(code => isSet(attributes, code))) return 'attribute'
  const types = columns.creativeBannerTypes[creative] ?? 0
  return listOf(banner.btype).some(code => isSet(types, code)) ? 'type' : undefined
}

function brokenVideoRule({ imp, creative }: OutgoingBid, { columns }: Catalog): string | undefined {
  const video = objectOf(imp.video)
  const durationS = columns.creativeDurationS[creative] ?? 0
  if (durationS < numberOf(video.minduration, 0) || durationS > numberOf(video.maxduration, durationS))
    return 'duration'
  const exact = listOf(video.rqddurs)
  if (exact.length > 0 && !exact.includes(durationS)) return 'duration'
  const protocols = listOf(video.protocols)
  const protocol = columns.creativeProtocols[creative] ?? 0
  if (protocols.length > 0 && !protocols.some(code => isSet(protocol, code))) return 'protocol'
  const attributes = columns.creativeAttributes[creative] ?? 0
  return listOf(video.battr).some(code => isSet(attributes, code)) ? 'attribute' : undefined
}

function isSet(mask: number, code: unknown): boolean {
  return typeof code === 'number' && code >= 0 && code <= 31 && ((mask >>> code) & 1) === 1
}
