/** Our own macros when a bid is made: what each stands for, and how a creative's holes are filled. Pure. */
import { LIMITS } from '../limits.ts'
import type { MacroEncoding, MacroName } from '../state/macros.ts'
import { isObject, type Json, objectOf, textOf } from './json.ts'
import { ENCODE, HOLE_CLOSES, HOLE_OPENS } from './macro-text.ts'

/** What a macro may ask for: the bid, and the request as it came. */
export interface MacroSource {
  readonly bidId: string
  /** Of the addresses of its notices; '' where there are none. */
  readonly noticeToken: string
  readonly exchangeId: string
  readonly dealId: string
  readonly campaignId: string
  readonly lineItemId: string
  readonly request: Json
  readonly imp: Json
  readonly nowMs: number
  /** By chance, one for all holes of a bid. */
  readonly cacheBuster: number
}

/** What is filled at load never becomes a hole; the token is for holes that only we make. */
type HoleName = Exclude<MacroName, 'CREATIVE_ID' | 'ADVERTISER_ID' | 'ADVERTISER_DOMAIN' | 'CLICK_URL'> | 'NOTICE_TOKEN'

/** One reader per macro that only a bid can fill; '' = unknown. */
const READERS: Readonly<Record<HoleName, (source: MacroSource) => string>> = {
  NOTICE_TOKEN: ({ noticeToken }) => noticeToken,
  BID_ID: ({ bidId }) => bidId,
  REQUEST_ID: ({ request }) => textOf(request.id),
  IMP_ID: ({ imp }) => textOf(imp.id),
  EXCHANGE: ({ exchangeId }) => exchangeId,
  DEAL_ID: ({ dealId }) => dealId,
  CAMPAIGN_ID: ({ campaignId }) => campaignId,
  LINE_ITEM_ID: ({ lineItemId }) => lineItemId,
  SITE_DOMAIN: ({ request }) => textOf(objectOf(request.site).domain),
  APP_BUNDLE: ({ request }) => textOf(objectOf(request.app).bundle),
  PUBLISHER_ID: ({ request }) => textOf(objectOf(inventoryOf(request).publisher).id),
  TAG_ID: ({ imp }) => textOf(imp.tagid),
  TIMESTAMP: ({ nowMs }) => String(nowMs),
  CACHE_BUSTER: ({ cacheBuster }) => String(cacheBuster),
  GDPR: ({ request }) => flagOf(regsOf(request, 'gdpr')),
  GDPR_CONSENT: ({ request: { user } }) => consentOf(objectOf(user).consent ?? objectOf(objectOf(user).ext).consent),
  US_PRIVACY: ({ request }) => textOf(regsOf(request, 'us_privacy')),
  GPP: ({ request }) => consentOf(regsOf(request, 'gpp')),
  GPP_SID: ({ request }) => {
    const sections = regsOf(request, 'gpp_sid')
    return Array.isArray(sections) ? sections.filter(Number.isInteger).slice(0, SECTIONS_MAX).join() : ''
  },
}

const SECTIONS_MAX = 32

function inventoryOf({ site, app, dooh }: Json): Json {
  return objectOf(isObject(site) ? site : isObject(app) ? app : dooh)
}

/** A signal in its place of OpenRTB 2.6, else in that of 2.5. */
function regsOf({ regs }: Json, name: string): unknown {
  const known = objectOf(regs)
  return known[name] ?? objectOf(known.ext)[name]
}

function flagOf(value: unknown): string {
  return value === 1 || value === 0 ? String(value) : ''
}

/** Half a string would mean something else. */
function consentOf(value: unknown): string {
  return typeof value === 'string' && value.length <= LIMITS.consentCharsMax ? value : ''
}

interface Hole {
  /** The text between the hole before it and this one. */
  readonly before: string
  readonly read: (source: MacroSource) => string
  readonly encode: readonly ((text: string) => string)[]
}

/** Members of a bid with holes in them. */
export interface Fragment {
  readonly text: string
  /** In the order of the text; mostly none. */
  readonly holes: readonly Hole[]
  /** The text behind the last hole. */
  readonly rest: string
  /** Whether the bid's token fills every hole, as where all of them are of our own trackers: see filledWithToken. */
  readonly asksForTokenOnly: boolean
}

const NO_HOLES: readonly Hole[] = Object.freeze([])

/** Finds the holes of a text in which withHoles made some. Cost: O(characters). */
export function fragmentWithHoles(text: string): Fragment {
  let start = text.indexOf(HOLE_OPENS)
  if (start < 0) return { text, holes: NO_HOLES, rest: text, asksForTokenOnly: false }
  const holes: Hole[] = []
  let end = 0
  while (start >= 0) {
    const before = text.slice(end, start)
    end = text.indexOf(HOLE_CLOSES, start) + 1
    const [name, ...encodings] = text.slice(start + 1, end - 1).split(':') as [HoleName, ...MacroEncoding[]]
    holes.push({ before, read: READERS[name], encode: encodings.map(encoding => ENCODE[encoding]) })
    start = text.indexOf(HOLE_OPENS, end)
  }
  const asksForTokenOnly = holes.every(({ read, encode }) => read === READERS.NOTICE_TOKEN && encode.length === 0)
  return { text, holes, rest: text.slice(end), asksForTokenOnly }
}

/** The fragment's text with what its holes stand for: ASCII. Cost: O(characters of the values, and holes). */
export function filledFragment({ holes, rest }: Fragment, source: MacroSource): string {
  let whole = ''
  for (const { before, read, encode } of holes) {
    let value = read(source)
    for (const each of encode) value = each(value)
    // Markup is a text in JSON, where the escapes of a script are escaped once more.
    whole += before + (value.includes('\\') ? value.replaceAll('\\', '\\\\') : value)
  }
  return whole + rest
}

/** The same for a fragment that asks for the token only, which needs no escape. Cost: O(holes). */
export function filledWithToken({ holes, rest }: Fragment, token: string): string {
  let whole = ''
  for (const { before } of holes) whole += before + token
  return whole + rest
}
