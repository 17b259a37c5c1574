/**
 * Our own macros: `{{NAME}}` in the addresses and the markup of a creative, filled when a bid is made. What the
 * exchange fills is written `${AUCTION_…}` and is left alone.
 */
import { LIMITS } from '../limits.ts'
import type { Creative } from './creative-document.ts'
import { type Problem, problem } from './fields.ts'

/** What a macro stands for. Nothing of it tells about the person. */
export const MACROS = {
  BID_ID: 'Id of the bid.',
  REQUEST_ID: 'Id of the bid request.',
  IMP_ID: 'Id of the impression.',
  EXCHANGE: 'Path name of the exchange.',
  DEAL_ID: 'Id of the deal; empty in the open auction.',
  CAMPAIGN_ID: 'Id of the campaign.',
  LINE_ITEM_ID: 'Id of the line item.',
  CREATIVE_ID: 'Id of the creative.',
  ADVERTISER_ID: 'Id of the advertiser.',
  ADVERTISER_DOMAIN: 'Domain of the advertiser.',
  CLICK_URL: "The creative's `landingUrl`, with its own macros filled.",
  SITE_DOMAIN: '`site.domain`; empty in apps.',
  APP_BUNDLE: '`app.bundle`; empty on sites.',
  PUBLISHER_ID: '`publisher.id` of the site, app or screen.',
  TAG_ID: '`imp.tagid`.',
  TIMESTAMP: 'When the bid was made: ms since 1970.',
  CACHE_BUSTER: 'A number by chance, of at most ten digits.',
  GDPR: '`regs.gdpr`: 1, 0 or empty.',
  GDPR_CONSENT: '`user.consent`.',
  US_PRIVACY: '`regs.us_privacy`.',
  GPP: '`regs.gpp`.',
  GPP_SID: '`regs.gpp_sid`, commas between.',
} as const

/** Name of a macro. */
export type MacroName = keyof typeof MACROS
const NAMES = Object.keys(MACROS) as readonly MacroName[]

/** How a value is written, so that it cannot end what it stands in. Several are applied from left to right. */
export const MACRO_ENCODINGS = {
  url: 'Percent-encoded, as a part of an address. The default in addresses, and the only one there.',
  html: 'Character references, as text or in an attribute. The default in markup.',
  js: 'Escapes of JavaScript, inside a quoted text of a script.',
} as const

/** How a value is written. */
export type MacroEncoding = keyof typeof MACRO_ENCODINGS

/** One macro as it must be written: its name, and its encodings with a colon before each. */
export const MACRO = /\{\{([A-Z][A-Z0-9_]*)((?::[a-z]+)*)\}\}/g
/** What may be meant for one. Other words between braces belong to a language of the markup's own. */
const LIKE_MACRO = /\{\{\s*([A-Za-z][A-Za-z0-9_]*)([^{}]*)\}\}/g
const SUFFIX = /^(?::[a-z]+)*$/

/** Where a text of a creative goes: macros stand in addresses and markup. */
type MacroPlace = 'url' | 'html' | 'text'

const PLACES: Readonly<Record<string, MacroPlace>> = {
  ...{ url: 'url', landingUrl: 'url', vastTagUrl: 'url', privacyUrl: 'url', clickTrackers: 'url' },
  html: 'html',
}

/** Calls for every text of a record in which a macro may be. Cost: O(size of the record). */
function eachText(record: object, visit: (found: TextPlace) => void, path = '', inside = ''): void {
  for (const [key, value] of Object.entries(record)) {
    const name = Array.isArray(record) ? inside : key
    const at = Array.isArray(record) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`
    if (typeof value === 'object' && value !== null) eachText(value, visit, at, name)
    else if (typeof value === 'string' && value.includes('{{'))
      visit({ text: value, path: at, place: PLACES[name] ?? 'text' })
  }
}

/** Whether a macro may be in any text: most creatives have none, and need no path of each text. */
function mayHaveMacro(part: unknown): boolean {
  // One letter is found without a call of V8's runtime, and most texts do not have it.
  if (typeof part === 'string') return part.indexOf('{') >= 0 && part.includes('{{')
  if (typeof part !== 'object' || part === null) return false
  for (const key in part) if (mayHaveMacro((part as Readonly<Record<string, unknown>>)[key])) return true
  return false
}

interface TextPlace {
  readonly text: string
  readonly path: string
  readonly place: MacroPlace
}

/** A creative whose addresses and markup are changed where macros may be in them. Cost: O(size of the creative). */
export function mapMacroTexts(creative: Creative, change: (text: string, place: MacroEncoding) => string): Creative {
  const mapped = (value: unknown, name: string): unknown => {
    if (Array.isArray(value)) return value.map(item => mapped(item, name))
    if (typeof value === 'object' && value !== null)
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapped(item, key)]))
    const place = PLACES[name] ?? 'text'
    return typeof value === 'string' && place !== 'text' && value.includes('{{') ? change(value, place) : value
  }
  return mapped(creative, '') as Creative
}

/** Where a click on the creative leads, undefined for markup that does not say it. */
export function landingUrlOf(creative: Creative): string | undefined {
  return creative.format === 'banner' ? creative.content.landingUrl : creative.landingUrl
}

/** Appends a problem for every macro that is unknown, wrongly written, or where none may be. */
export function checkMacros(creative: Creative, found: Problem[]): void {
  if (!mayHaveMacro(creative)) return
  let macros = 0
  eachText(creative, at => {
    for (const [macro, name = '', suffix = ''] of at.text.matchAll(LIKE_MACRO)) {
      const known = NAMES.includes(name.toUpperCase() as MacroName)
      if (!known && name !== name.toUpperCase()) continue
      macros++
      const remedy = remedyFor(name, suffix, macro, at) ?? clickRemedy(name, creative, at)
      if (remedy !== undefined) found.push(problem(at.path, macro, remedy))
    }
  })
  if (macros > LIMITS.macrosPerCreativeMax)
    found.push(problem('', macros, `must hold at most ${LIMITS.macrosPerCreativeMax} macros`))
}

function remedyFor(name: string, suffix: string, macro: string, { text, place }: TextPlace): string | undefined {
  if (place === 'text') return 'must be left out: macros stand in addresses and markup only'
  if (!NAMES.includes(name.toUpperCase() as MacroName))
    return `must be one of the macros ${NAMES.join(', ')}; put a blank between the braces of what is none`
  if (!NAMES.includes(name as MacroName) || !macro.startsWith(`{{${name}`) || !SUFFIX.test(suffix))
    return `must be written like {{${name.toUpperCase()}}} or {{${name.toUpperCase()}:url}}`
  const encodings = suffix.split(':').slice(1)
  const taken = place === 'url' ? ['url'] : Object.keys(MACRO_ENCODINGS)
  if (encodings.length > ENCODINGS_MAX || encodings.some(encoding => !taken.includes(encoding)))
    return `must have at most ${ENCODINGS_MAX} encodings, here of ${taken.join(', ')}`
  if (place === 'url' && !/^https:\/\/[^/?#{]+[/?#]/.test(text)) return 'must come after the host of the address'
  return undefined
}

const ENCODINGS_MAX = 3

function clickRemedy(name: string, creative: Creative, { path }: TextPlace): string | undefined {
  if (name !== 'CLICK_URL') return undefined
  if (path === 'landingUrl' || path === 'content.landingUrl') return 'must not stand in the address that it stands for'
  return landingUrlOf(creative) === undefined ? 'needs content.landingUrl; add it, or write the address' : undefined
}
