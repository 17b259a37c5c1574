/**
 * What an exchange demands of an answer: the closed list of rules by which a bid is judged from outside. It shares no
 * code with the service, so that a mistake there cannot hide here.
 */
export const ACCEPTANCE_RULES = {
  'server-error': 'An answer is never 5xx.',
  'status-code': 'An answer is 200, 204 or, for a malformed request, 400.',
  'refused-good-request': 'A request with id and imp is not answered 400.',
  'no-content-is-empty': '204 has no body.',
  'json-content-type': '200 has Content-Type application/json.',
  'content-length': '200 has a Content-Length, equal to the bytes sent.',
  'json-body': '200 has a body that is one JSON object.',
  'response-id': 'id of the answer echoes id of the request.',
  'response-shape': 'An answer has seatbid with at least one bid in each, or nbr.',
  currency: "cur (USD when absent) is one that the request allows (the exchange's when it names none).",
  'seat-allowed': 'seat is in wseat when there is one, and not in bseat.',
  'unique-bid-ids': 'No two bids of an answer have the same id.',
  'bid-id': 'A bid has an id.',
  'impression-exists': 'impid names an impression of the request.',
  price: 'price is above 0; 0 only in a deal.',
  floor: 'price is at least the floor, converted: of the deal, else per duration, else of the impression.',
  crid: 'crid is set and has at most 128 bytes.',
  adomain: 'adomain names at least one domain.',
  category: 'cat names at least one category.',
  mtype: 'mtype is 1, 2, 3 or 4.',
  'format-offered': 'The impression offers the format that mtype names.',
  size: 'w and h are whole numbers above 0.',
  'size-offered': 'A banner has one of the sizes that the impression offers.',
  markup: 'adm is set, or nurl where that was agreed to be answered with the markup.',
  'secure-markup': 'When secure is 1, the markup loads nothing over http.',
  'blocked-advertiser': 'No adomain is, or is below, a domain of badv.',
  'blocked-category': 'No cat is, or is below, a category of bcat; with acat, each is there.',
  'blocked-app': 'bundle is not in bapp.',
  'blocked-attribute': 'No attr is in battr of the format.',
  'blocked-banner-type': 'The markup is of no type in btype.',
  'media-type': 'A media type of the creative is in mimes.',
  api: 'Every one of apis is in api of the format.',
  language: 'language is one of wlang, when both are set.',
  'vast-well-formed': 'The markup of a video is well-formed XML.',
  'vast-complete': 'The XML is VAST: version, Ad, Impression, and Linear with Duration and MediaFile, or a Wrapper.',
  duration: 'The duration is within minduration and maxduration, or one of rqddurs; dur agrees with it.',
  protocol: 'The VAST version is one of protocols; protocol agrees with it.',
  linearity: 'A linear video is not sent where linearity is 2.',
  'skippable-attribute': 'A video that can be skipped has attr 16.',
  'native-complete': 'The markup of a native ad is a JSON object, rooted as the request is, with assets and a link.',
  'native-asset': 'Every asset that is required is there, and each is what its id asks for: kind, length, size.',
  'native-tracker': 'Every event tracker is of an event and a method that the request names.',
  'deal-offered': 'dealid names a deal of the impression.',
  'deal-seat': 'seat is in wseat of the deal, when it has one.',
  'deal-advertiser': 'adomain is in wadomain of the deal, when it has one.',
  'private-auction': 'With private_auction only deals are bid on.',
  transparency: 'With dsarequired 2 or 3 a bid has ext.dsa; of publisher and ad one shows it, not both or none.',
} as const

/** Name of a rule. */
export type AcceptanceRule = keyof typeof ACCEPTANCE_RULES

/** One rule that an answer broke. */
export interface BrokenRule {
  readonly rule: AcceptanceRule
  /** What was found, short. */
  readonly found: string
  /** Which bid, when it is one bid's fault. */
  readonly bidId?: string
}

/** What the judge must know beside request and answer. */
export interface AcceptanceOptions {
  /**
   * What one unit of each currency is worth, in any common currency. Without it floors in another currency than the
   * bid's are not judged; with it a currency that is missing breaks the floor rule, as exchanges drop such bids.
   */
  readonly rates?: Readonly<Record<string, number>>
  /** The currency that was agreed with the exchange, for requests that name none; USD when it is not told. */
  readonly currency?: string
  /** The markup was agreed to come as the answer to the win notice, and not in the bid. */
  readonly markup?: 'win-notice' | 'bid' | undefined
  /** The request is malformed, or may be: 400 is a right answer to it. */
  readonly mayRefuse?: boolean
}

/** An object of which nothing is known. */
export type Json = Readonly<Record<string, unknown>>

/** Notes a broken rule. */
export type Report = (rule: AcceptanceRule, found: unknown) => void

/** A value as an object, or an empty one: the judge reads requests that are wrong in any way. */
export function objectFrom(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {}
}

/** True for an object that is not a list. */
export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The list's objects; none when it is not a list. */
export function objectsFrom(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}

/** The list's texts that are not empty; none when it is not a list. */
export function textsFrom(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter(each => typeof each === 'string' && each !== '') : []
}

/** The list's numbers; none when it is not a list. */
export function numbersFrom(value: unknown): readonly number[] {
  return Array.isArray(value) ? value.filter(each => typeof each === 'number') : []
}

/** A finite number, or undefined. */
export function numberFrom(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

/** A text that is not empty, or undefined. */
export function textFrom(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
