/** Our own macros at load: what the creative says by itself is filled, the rest becomes holes. Pure. */
import type { Creative } from '../state/creative-document.ts'
import type { Advertiser } from '../state/documents.ts'
import { landingUrlOf, MACRO, type MacroEncoding, mapMacroTexts } from '../state/macros.ts'

/**
 * How each encoding writes a text. All of them leave only characters of ASCII that mean nothing in HTML, XML, CDATA and
 * quoted texts, so that no escape of the markup around a value is needed, but for the backslash of `js` in JSON. Nor
 * can a value hold a macro of the exchange's.
 */
export const ENCODE: Readonly<Record<MacroEncoding, (text: string) => string>> = {
  url: text => encodeURIComponent(text.toWellFormed()).replace(/[!'()*]/g, char => `%${hex(char, 2).toUpperCase()}`),
  html: text =>
    text
      .toWellFormed()
      .replace(/\p{Cc}/gu, '')
      .replace(/[^A-Za-z0-9 ._~:/?=,%+@-]/gu, char => `&#${char.codePointAt(0)};`),
  js: text => text.replace(/[^A-Za-z0-9 ._:,+-]/g, unit => `\\u${hex(unit, 4)}`),
}

function hex(unit: string, digits: number): string {
  return unit.charCodeAt(0).toString(16).padStart(digits, '0')
}

/** What an encoding leaves as it is: holes, which learn of it, and what the exchange fills. */
const KEPT = /(\{\{[A-Z][A-Z0-9_]*(?::[a-z]+)+\}\}|\$\{AUCTION_[A-Z_]+(?::[A-Z0-9]+)?\})/

function encodedAround(text: string, encoding: MacroEncoding): string {
  const encodeOrNote = (part: string, i: number) =>
    i % 2 === 0 ? ENCODE[encoding](part) : part.startsWith('{') ? `${part.slice(0, -2)}:${encoding}}}` : part
  return text.split(KEPT).map(encodeOrNote).join('')
}

/** A copy whose macros are filled, as far as they are known before there is a bid; the others have their encodings. */
export function withKnownMacros(creative: Creative, advertiser: Advertiser): Creative {
  const known = new Map([
    ['CREATIVE_ID', creative.id],
    ['ADVERTISER_ID', advertiser.id],
    ['ADVERTISER_DOMAIN', advertiser.domain],
  ])
  known.set('CLICK_URL', filledIn(landingUrlOf(creative) ?? '', 'url', known))
  return mapMacroTexts(creative, (text, place) => filledIn(text, place, known))
}

function filledIn(text: string, place: MacroEncoding, known: ReadonlyMap<string, string>): string {
  return text.replace(MACRO, (_, name: string, suffix: string) => {
    const encodings = suffix === '' ? [place] : (suffix.slice(1).split(':') as MacroEncoding[])
    const value = known.get(name)
    return value === undefined ? `{{${[name, ...encodings].join(':')}}}` : encodings.reduce(encodedAround, value)
  })
}

/** Around a hole in a fragment: no JSON text holds these unescaped. */
export const HOLE_OPENS = '\u0002'
/** See HOLE_OPENS. */
export const HOLE_CLOSES = '\u0003'

/** Makes what withKnownMacros left in a fragment into holes: `{{NAME:url}}` becomes NAME:url between the two marks. */
export function withHoles(fragment: string): string {
  return fragment.replace(MACRO, (all: string, name: string, suffix: string) =>
    suffix === '' ? all : `${HOLE_OPENS}${name}${suffix}${HOLE_CLOSES}`,
  )
}
