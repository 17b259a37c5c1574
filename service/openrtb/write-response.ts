/** Writes the bid response as ASCII text: one byte per character, so its length is its Content-Length. */
import { cpmFromNanos } from '../foundation/units.ts'
import { jsonAscii } from './escape.ts'

/** Prices are sent with at most six decimals of a CPM: whole nanos of one impression. */
const PRICE_STEPS = 1_000_000
/** Part of a step: a price that the division puts a hair below a whole step is that step. */
const FLOAT_ERROR = 1e-6

/**
 * A price in the bid's currency, rounded down.
 * @param priceNanos per impression in the ledger currency
 * @param rate value of one unit of the bid's currency in the ledger currency
 */
export function bidPrice(priceNanos: number, rate: number): number {
  if (rate === 1) return cpmFromNanos(priceNanos)
  return Math.floor((cpmFromNanos(priceNanos) / rate) * PRICE_STEPS + FLOAT_ERROR) / PRICE_STEPS
}

/** One bid as JSON. `fragment` is what creativeFragment made. OpenRTB 2.6 section 4.2.3. */
export function writeBid(bid: {
  readonly id: string
  readonly impId: string
  readonly price: number
  readonly campaignId: string
  readonly dealId: string
  /** Seconds until it shows at most, see expiryS. */
  readonly expiryS: number
  /** '' or members with a comma before each, see shapeMembers. */
  readonly shape: string
  readonly fragment: string
  /** '' or members with a comma before each, see NoticeUrls. */
  readonly notices: string
}): string {
  const deal = bid.dealId === '' ? '' : `,"dealid":${jsonAscii(bid.dealId)}`
  return (
    `{"id":"${bid.id}","impid":${jsonAscii(bid.impId)},"price":${bid.price},` +
    `"cid":${jsonAscii(bid.campaignId)}${deal},"exp":${bid.expiryS}${bid.shape}${bid.notices},${bid.fragment}}`
  )
}

/**
 * The response around its bids. OpenRTB 2.6 section 4.2.1.
 * @param bidsBySeat for each seat, '' = none, what writeBid made, comma between
 * @param isGroup the bids are to win together or not at all (seatbid.group)
 */
export function writeResponse(
  requestId: string,
  bidsBySeat: ReadonlyMap<string, string>,
  currency: string,
  isGroup: boolean,
): string {
  let seatbids = ''
  for (const [seat, bids] of bidsBySeat) {
    const seatPart = seat === '' ? '' : `,"seat":${jsonAscii(seat)}`
    seatbids += `${seatbids === '' ? '' : ','}{"bid":[${bids}]${seatPart}${isGroup ? ',"group":1' : ''}}`
  }
  return `{"id":${jsonAscii(requestId)},"seatbid":[${seatbids}],"cur":"${currency}"}`
}

/** A no-bid with its reason, for exchanges that ask for one instead of an empty 204. */
export function writeNoBid(requestId: string, nbr: number): string {
  return `{"id":${jsonAscii(requestId)},"seatbid":[],"nbr":${nbr}}`
}
