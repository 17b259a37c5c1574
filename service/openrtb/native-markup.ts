/** The markup of native creatives: prepared at load, put together per bid. OpenRTB Native 1.2, section 5. Pure. */
import { assetFor } from '../decision/native-fit.ts'
import type { NativeOffer } from '../decision/opportunity.ts'
import type { CatalogColumns } from '../state/catalog.ts'
import type { NativeCreative } from '../state/creative-document.ts'
import { jsonAscii } from './escape.ts'

/** Stands between parts: no JSON text holds it unescaped, and no hole is marked by it. */
export const BETWEEN = '\u0001'
/** Parts before the assets: what every bid says, link, privacy, trackers. */
const ASSETS_FROM = 4
const IMPRESSION = 1
const PIXEL = 1
const SCRIPT = 2

/**
 * The creative's parts as one ASCII text: what each bid says, then JSON members that are escaped once more, because the
 * markup is a JSON text in JSON.
 * @param head members of the bid, see creativeFragment
 */
export function nativeParts(creative: NativeCreative, head: string): string {
  const clicks = creative.clickTrackers === undefined ? {} : { clicktrackers: creative.clickTrackers }
  const link = escapedMembers({ link: { url: creative.landingUrl, ...clicks } })
  const privacy = creative.privacyUrl === undefined ? '' : escapedMembers({ privacy: creative.privacyUrl })
  const trackers = (creative.trackers ?? []).map(({ event, method, url }) => `${event}${method}${escaped(url)}`)
  const assets = creative.assets.map(asset => {
    if (asset.kind === 'title') return escapedMembers({ title: { text: asset.text } })
    if (asset.kind === 'data') return escapedMembers({ data: { value: asset.text } })
    return escapedMembers({ img: { url: asset.url, w: asset.width, h: asset.height } })
  })
  // An address holds no blank.
  return [head, link, privacy, trackers.join(' '), ...assets].join(BETWEEN)
}

/** Members of an object without its braces, as they stand inside a JSON string. */
function escapedMembers(object: object): string {
  return escaped(object).slice(1, -1)
}

function escaped(value: unknown): string {
  return jsonAscii(JSON.stringify(value)).slice(1, -1)
}

/**
 * Members of a bid with the markup that an impression asks for.
 * @param parts what nativeParts made of this creative, which fits the offer. Cost: O(wishes × assets).
 */
export function nativeFragment(parts: string, columns: CatalogColumns, creative: number, offer: NativeOffer): string {
  const split = parts.split(BETWEEN)
  const [head = '', link = '', privacy = '', trackers = ''] = split
  let assets = ''
  for (const wish of offer.wishes) {
    const asset = assetFor(columns, creative, wish)
    if (asset < 0) continue
    const comma = assets === '' ? '' : ','
    assets += `${comma}{\\"id\\":${wish.id},${split[ASSETS_FROM + asset]}}`
  }
  const told = trackers === '' ? '' : trackersOf(trackers.split(' '), offer)
  const policy = offer.privacy && privacy !== '' ? `,${privacy}` : ''
  const body = `{\\"ver\\":\\"${offer.version}\\",\\"assets\\":[${assets}],${link}${policy}${told}}`
  return `${head},"adm":"${offer.wrapped ? `{\\"native\\":${body}}` : body}"`
}

/** Those that the place asks for; where it names none, the fields of earlier versions, which know impressions only. */
function trackersOf(trackers: readonly string[], { events }: NativeOffer): string {
  if (events === undefined) {
    const urls = trackers.filter(each => each.startsWith(`${IMPRESSION}${PIXEL}`)).map(each => each.slice(2))
    return urls.length === 0 ? '' : `,\\"imptrackers\\":[${urls.join()}]`
  }
  const told: string[] = []
  for (const tracker of trackers) {
    const event = Number(tracker[0])
    const method = tracker[1] === String(SCRIPT) ? SCRIPT : PIXEL
    if (events.some(each => each.event === event && ((each.methods >>> method) & 1) === 1))
      told.push(`{\\"event\\":${event},\\"method\\":${method},\\"url\\":${tracker.slice(2)}}`)
  }
  return told.length === 0 ? '' : `,\\"eventtrackers\\":[${told.join()}]`
}
