/**
 * What a billing notice costs: `${AUCTION_PRICE}` as the exchange filled it in, or did not. OpenRTB 2.6 section 4.4:
 * the clearing price in the bid's currency and unit; an unknown value is an empty text; `AUDIT` marks a test rendering.
 */
import type { NoticeToken } from './notice-token.ts'

/**
 * How a price was read. `unreadable`: literal, empty or no number, so the most is booked; `above`: more than was bid,
 * so the most is booked and somebody must look; `audit`: a test, and nothing is booked.
 */
export const PRICE_READINGS = ['exact', 'unreadable', 'above', 'audit'] as const
/** One of them. */
export type PriceReading = (typeof PRICE_READINGS)[number]

/** What to book, and how sure it is. */
export interface NoticePrice {
  readonly reading: PriceReading
  readonly nanos: number
}

const DECIMAL = /^\d{1,9}(\.\d{1,12})?$/
const BASE64 = /^[A-Za-z0-9+/_-]{4,32}={0,2}$/
const BASE64_DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const PRICE_CHARS_MAX = 64
/** A price is above the signed one only by more than this part: exchanges round. */
const ROUNDING = 1e-9
/** A part of a nano that is the float's error, and not money. */
const FLOAT_ERROR = 1e-14

/** Decrypts a price. @returns the CPM in the bid's currency, undefined for what is none */
export type EncryptedPrice = (text: string) => number | undefined

/**
 * What a notice's price comes to.
 * @param price the value of the address's price parameter, percent-decoded; undefined when there was none
 * @param encrypted for exchanges that encrypt: then a price that is not is none, because anybody could write it
 */
export function readNoticePrice(
  price: string | undefined,
  token: NoticeToken,
  encrypted?: EncryptedPrice,
): NoticePrice {
  const { amountNanosMax, nanosPerCpm } = token
  const text = price === undefined || price.length > PRICE_CHARS_MAX ? '' : price.trim()
  // A bid in a test auction costs nothing, whatever the exchange writes.
  if (text === 'AUDIT' || amountNanosMax === 0) return { reading: 'audit', nanos: 0 }
  const cpm = encrypted === undefined ? (decimalOf(text) ?? decimalOf(base64Text(text))) : encrypted(text)
  if (cpm === undefined) return { reading: 'unreadable', nanos: amountNanosMax }
  const exact = cpm * nanosPerCpm
  if (exact > amountNanosMax * (1 + ROUNDING) + 1) return { reading: 'above', nanos: amountNanosMax }
  return { reading: 'exact', nanos: Math.min(amountNanosMax, Math.ceil(exact - exact * FLOAT_ERROR)) }
}

function decimalOf(text: string): number | undefined {
  return DECIMAL.test(text) ? Number(text) : undefined
}

/** The text behind `${AUCTION_PRICE:B64}`, in either alphabet; '' when it is none. */
function base64Text(text: string): string {
  if (!BASE64.test(text)) return ''
  let bits = 0
  let held = 0
  let decoded = ''
  for (const char of text.replaceAll('-', '+').replaceAll('_', '/').replaceAll('=', '')) {
    bits = (bits << 6) | BASE64_DIGITS.indexOf(char)
    held += 6
    if (held < 8) continue
    held -= 8
    decoded += String.fromCharCode((bits >> held) & 0xff)
    bits &= (1 << held) - 1
  }
  return decoded
}
