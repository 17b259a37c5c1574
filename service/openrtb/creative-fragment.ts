import { FORMAT } from '../state/catalog.ts'
import { type BannerCreative, type Creative, isVast, protocolOf } from '../state/creative-document.ts'
import type { Advertiser } from '../state/documents.ts'
import type { Said } from './acceptance-words.ts'
import { jsonAscii, markupText } from './escape.ts'
import { withHoles, withKnownMacros } from './macro-text.ts'
import { BETWEEN, nativeParts } from './native-markup.ts'
import { vastOf } from './vast.ts'

/** Skippable, to be declared for each video that can be skipped (AdCOM creative attribute). */
const SKIPPABLE = 16

/**
 * What every bid with a creative says, whatever was asked: JSON members in ASCII without braces. Made once, at load.
 * Of a native creative it is what nativeFragment needs. Where the creative holds macros of ours, it has holes.
 * OpenRTB 2.6 section 4.2.3: crid, adomain, cat, cattax, attr, apis, bundle, iurl, language, mtype, w, h, dur,
 * protocol, adm.
 */
export function creativeFragment(creative: Creative, advertiser: Advertiser): string {
  const fragment = fragmentOf(creative, advertiser)
  if (!fragment.includes('{{')) return fragment
  return withHoles(fragmentOf(withKnownMacros(creative, advertiser), advertiser))
}

function fragmentOf(creative: Creative, advertiser: Advertiser): string {
  const categories = [...new Set([...advertiser.categories, ...(creative.categories ?? [])])]
  const attributes = [...(creative.attributes ?? [])]
  if (isVast(creative) && creative.skipAfterS !== undefined && !attributes.includes(SKIPPABLE))
    attributes.push(SKIPPABLE)
  const members = [
    `"crid":${jsonAscii(creative.id)}`,
    `"adomain":[${jsonAscii(advertiser.domain)}]`,
    categories.length > 0 ? `"cattax":1,"cat":[${categories.map(jsonAscii).join()}]` : '',
    attributes.length > 0 ? `"attr":[${attributes.join()}]` : '',
    creative.apis === undefined ? '' : `"apis":[${creative.apis.join()}]`,
    creative.appBundle === undefined ? '' : `"bundle":${jsonAscii(creative.appBundle)}`,
    creative.previewUrl === undefined ? '' : `"iurl":${jsonAscii(creative.previewUrl)}`,
    creative.language === undefined ? '' : `"language":${jsonAscii(creative.language)}`,
    `"mtype":${FORMAT[creative.format]}`,
    creative.format === 'audio' || creative.format === 'native' ? '' : `"w":${creative.width},"h":${creative.height}`,
    transparencyMember(creative, advertiser),
    isVast(creative) ? `"dur":${creative.durationS},"protocol":${protocolOf(creative)}` : '',
  ]
  const head = members.filter(member => member !== '').join()
  if (creative.format === 'native') return nativeParts(creative, head)
  return `${head},"adm":${jsonAscii(isVast(creative) ? vastOf(creative, advertiser) : bannerMarkup(creative))}`
}

/** Who pays, and whether the creative shows it (bid.ext.dsa of the extension for the EU's Digital Services Act). */
function transparencyMember({ rendersTransparency }: Creative, { domain, transparency }: Advertiser): string {
  if (transparency === undefined) return ''
  const { behalf, paid, params } = transparency
  const why =
    params === undefined ? '' : `"transparency":[{"domain":${jsonAscii(domain)},"dsaparams":[${params.join()}]}],`
  const adrender = rendersTransparency === true ? 1 : 0
  return `"ext":{"dsa":{"behalf":${jsonAscii(behalf)},"paid":${jsonAscii(paid)},${why}"adrender":${adrender}}}`
}

const ID_FROM = '"crid":"'.length

/** The id of a fragment's creative, which comes first; ids need no escape. */
export function creativeIdOf(fragment: string): string {
  return fragment.slice(ID_FROM, fragment.indexOf('"', ID_FROM))
}

/** A fragment's members before its markup. */
export function withoutMarkup(fragment: string): string {
  const markup = fragment.indexOf(',"adm":')
  return fragment.slice(0, markup < 0 ? fragment.indexOf(BETWEEN) : markup)
}

/** What a fragment says of its creative. Cost: parses some 300 characters. */
export function saidBy(fragment: string): Said {
  return JSON.parse(`{${withoutMarkup(fragment)}}`)
}

/** HTML of a banner: its own, or an image that links to the landing page. */
function bannerMarkup({ content, width, height }: BannerCreative): string {
  if (content.kind === 'html') return content.html
  return (
    `<a href="${markupText(content.landingUrl)}" target="_blank" rel="noopener">` +
    `<img src="${markupText(content.url)}" width="${width}" height="${height}" alt="${markupText(content.alt ?? '')}"` +
    ' style="display:block;border:0"></a>'
  )
}
