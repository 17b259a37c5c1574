/**
 * The token in a notice's address: what was bid, signed, so that a notice needs no memory of the bid. Compact text that
 * needs no escape in a path: fields joined by `~`, whole numbers in base 36, the signature last. The tenant is signed
 * and not sent: another tenant's token is a forged one.
 */
import { assert } from '../foundation/assert.ts'
import { LIMITS } from '../limits.ts'

/** What a notice is about. */
export interface NoticeToken {
  /** Distinct for every bid of the tenant: a notice is booked once per bid. */
  readonly bidId: string
  readonly exchangeId: string
  readonly campaignId: string
  readonly lineItemId: string
  readonly creativeId: string
  /** What is billed, see BILLED_BY. */
  readonly billedBy: BilledBy
  /** The day on which the spend is booked, in whole days since 1970 in the tenant's time zone. */
  readonly day: number
  /** '' where the line item has no budget. */
  readonly lease: string
  /** What it counts for where it has frequency caps, as letters and digits; else ''. */
  readonly counted: string
  /** Expiry bucket of the hold; 0 without a lease. */
  readonly bucket: number
  /** The most that can be billed: the bid's price at the frozen rate and multiplier. */
  readonly amountNanosMax: number
  /** Nanos of the ledger's currency per 1 of a price in the bid's currency: rate and multiplier, frozen. */
  readonly nanosPerCpm: number
  /** Seconds since 1970 from which the token is worth nothing. */
  readonly expiresS: number
}

/**
 * Which notices are billed; a bid is booked once, by whichever of them comes first. A video's exchange may send a
 * billing notice, or leave it to the player to call the markup's impression.
 */
const BILLED_BY = ['billing', 'billing-or-impression', 'impression', 'win'] as const
/** One of them. */
export type BilledBy = (typeof BILLED_BY)[number]

/** Signs a text with the key of that name. @returns URL-safe text, or undefined when there is no such key */
export type SignText = (keyId: string, text: string) => string | undefined

/** Whether two texts are the same, in a time that does not tell where they differ. */
export type SameText = (left: string, right: string) => boolean

/** Why a token is worth nothing. */
export const TOKEN_REFUSALS = ['malformed', 'unknown-key', 'forged', 'expired'] as const
/** One of them. */
export type TokenRefusal = (typeof TOKEN_REFUSALS)[number]

/** What reading a token needs. */
export interface TokenReader {
  readonly tenantId: string
  readonly sign: SignText
  readonly same: SameText
}

const KEY_ID = /^[A-Za-z0-9]{1,8}$/
const WHOLE = /^[0-9a-z]{1,11}$/
const FIELDS = 15

/**
 * A token as text. Its ids need no escape: those of documents are checked when they are read (recordId), and the others
 * are our own. @throws AssertionFailure for a number that is not whole
 */
export function writeToken(token: NoticeToken, keyId: string, { tenantId, sign }: Omit<TokenReader, 'same'>): string {
  const { bidId, exchangeId, campaignId, lineItemId, creativeId, lease, counted } = token
  const words = `${bidId}~${exchangeId}~${campaignId}~${lineItemId}~${creativeId}~${lease}~${counted}`
  const { bucket, day, amountNanosMax, expiresS, nanosPerCpm } = token
  const numbers = `${whole(bucket)}~${whole(day)}~${whole(amountNanosMax)}~${whole(expiresS)}`
  // A rate has a part: as the digits of a float it comes back the same.
  const text = `${keyId}~${words}~${BILLED_BY.indexOf(token.billedBy)}~${numbers}~${nanosPerCpm}`
  const signature = sign(keyId, `${tenantId}~${text}`)
  assert(signature !== undefined, 'a token is signed with a key that is there', { keyId })
  return `${text}~${signature}`
}

function whole(value: number): string {
  assert(Number.isSafeInteger(value) && value >= 0, 'numbers in a token are whole', { value })
  return value.toString(36)
}

/**
 * Reads and checks a token. Never throws, whatever the text.
 * @param nowS seconds since 1970; earlier ones for what may come after the token's end, such as a click
 */
export function readToken(
  text: string,
  reader: TokenReader,
  nowS: number,
): { readonly token: NoticeToken } | { readonly refusal: TokenRefusal } {
  if (text.length > LIMITS.noticeTokenCharsMax) return { refusal: 'malformed' }
  const fields = text.split('~')
  if (fields.length !== FIELDS) return { refusal: 'malformed' }
  const keyId = fields[0] as string
  if (!KEY_ID.test(keyId)) return { refusal: 'malformed' }
  const expected = reader.sign(keyId, `${reader.tenantId}~${text.slice(0, text.lastIndexOf('~'))}`)
  if (expected === undefined) return { refusal: 'unknown-key' }
  if (!reader.same(expected, fields[FIELDS - 1] as string)) return { refusal: 'forged' }
  const token = tokenOf(fields)
  // Signed and still not ours: a key that something else uses, too.
  if (token === undefined) return { refusal: 'malformed' }
  return nowS >= token.expiresS ? { refusal: 'expired' } : { token }
}

function tokenOf(fields: readonly string[]): NoticeToken | undefined {
  const [, bidId, exchangeId, campaignId, lineItemId, creativeId, lease, counted, by, ...numbers] = fields as [
    ...[string, string, string, string, string, string, string, string, string],
    ...string[],
  ]
  const billedBy = BILLED_BY[Number(by)]
  const wholes = numbers.slice(0, 4)
  const nanosPerCpm = Number(numbers[4])
  if (billedBy === undefined || !wholes.every(number => WHOLE.test(number)) || !(nanosPerCpm > 0)) return undefined
  const [bucket, day, amountNanosMax, expiresS] = wholes.map(number => Number.parseInt(number, 36)) as [
    ...[number, number, number, number],
  ]
  const words = { bidId, exchangeId, campaignId, lineItemId, creativeId, lease, counted, billedBy }
  return { ...words, bucket, day, amountNanosMax, nanosPerCpm, expiresS }
}
