/** Makes the VAST document of a video or audio creative. IAB VAST 2.0, 3.0, 4.0 to 4.3. Pure. */
import type { Companion, VastCreative } from '../state/creative-document.ts'
import type { Advertiser } from '../state/documents.ts'
import { markupText } from './escape.ts'

/** VAST asks for one Impression at least, also where nobody wants to be told. */
const NO_IMPRESSION_URL = 'about:blank'

// biome-ignore lint/suspicious/noTemplateCurlyInString: the exchange replaces it, not we
const SERVING_ID = '<AdServingId>${AUCTION_BID_ID}</AdServingId>'

/** The namespace of VAST 4; earlier versions have none. */
const NAMESPACE = ' xmlns="http://www.iab.com/VAST"'

/**
 * @returns a linear ad in the creative's version, in line or as a wrapper. The exchange fills ${AUCTION_BID_ID}, which
 *   names the serving.
 */
export function vastOf(creative: VastCreative, advertiser: Advertiser): string {
  const major = Number(creative.vastVersion[0])
  const ad = creative.wrapper === undefined ? inLine(creative, advertiser, major) : wrapper(creative, major)
  const namespace = major >= 4 ? NAMESPACE : ''
  return (
    `<VAST version="${creative.vastVersion}"${namespace}>` + `<Ad id="${markupText(creative.id)}">${ad}</Ad></VAST>`
  )
}

const SYSTEM = '<AdSystem version="1.0">Bidcell</AdSystem>'

/** The schemas of VAST 4 put what all ads have before what an ad in line has. */
function inLine(creative: VastCreative, advertiser: Advertiser, major: number): string {
  const title = `<AdTitle>${markupText(creative.title)}</AdTitle>`
  const servingId = creative.vastVersion >= '4.1' ? SERVING_ID : ''
  const owner = major >= 3 ? `<Advertiser>${markupText(advertiser.name)}</Advertiser>` : ''
  const calls = errors(creative, major) + impressions(creative)
  const head = major >= 4 ? calls + servingId + title + owner : title + owner + calls
  const registered = universalAdId(creative)
  const creatives = creativeElement(creative, linear(creative, major) + registered)
  const beside = companionAds(creative, major, registered)
  return `<InLine>${SYSTEM}${head}<Creatives>${creatives}${beside}</Creatives></InLine>`
}

function wrapper(creative: VastCreative, major: number): string {
  const tag = `<VASTAdTagURI>${cdata(creative.wrapper?.vastTagUrl ?? '')}</VASTAdTagURI>`
  const calls = errors(creative, major) + impressions(creative)
  const clicks = urlsOf(creative, 'clickTracking').map(url => `<ClickTracking>${cdata(url)}</ClickTracking>`)
  const videoClicks = clicks.length === 0 ? '' : `<VideoClicks>${clicks.join('')}</VideoClicks>`
  const linearPart = `<Linear>${trackingEvents(creative, major)}${videoClicks}</Linear>`
  const beside = companionAds(creative, major, '')
  const creatives = `<Creatives>${creativeElement(creative, linearPart)}${beside}</Creatives>`
  return `<Wrapper>${SYSTEM}${major >= 4 ? calls + creatives + tag : tag + calls + creatives}</Wrapper>`
}

function creativeElement({ id }: VastCreative, inner: string): string {
  return `<Creative id="${markupText(id)}">${inner}</Creative>`
}

/** Addresses that are called at an event, in the order of the document. */
function urlsOf({ trackers = [] }: VastCreative, event: string): readonly string[] {
  return trackers.filter(tracker => tracker.event === event).map(tracker => tracker.url)
}

function impressions(creative: VastCreative): string {
  const urls = urlsOf(creative, 'impression')
  return (urls.length === 0 ? [NO_IMPRESSION_URL] : urls).map(url => `<Impression>${cdata(url)}</Impression>`).join('')
}

/** Before VAST 4 there is room for one. */
function errors(creative: VastCreative, major: number): string {
  const urls = urlsOf(creative, 'error').slice(0, major >= 4 ? undefined : 1)
  return urls.map(url => `<Error>${cdata(url)}</Error>`).join('')
}

/** Trackers that are elements of their own. */
const ELEMENT_EVENTS: ReadonlySet<string> = new Set(['impression', 'clickTracking', 'error'])

/** Players of VAST 2 know no skip. */
function trackingEvents({ trackers = [] }: VastCreative, major: number): string {
  const known = trackers.filter(({ event }) => !ELEMENT_EVENTS.has(event) && (event !== 'skip' || major >= 3))
  if (known.length === 0) return ''
  const events = known.map(({ event, url }) => `<Tracking event="${event}">${cdata(url)}</Tracking>`)
  return `<TrackingEvents>${events.join('')}</TrackingEvents>`
}

/**
 * VAST 4 asks for the id of the creative in a registry; where there is none the word is "unknown". After the linear ad,
 * because the schema of 4.2 is a sequence.
 */
function universalAdId({ vastVersion, universalAdId: known }: VastCreative): string {
  if (vastVersion < '4.0') return ''
  const registry = markupText(known?.registry ?? 'unknown')
  const value = markupText(known?.value ?? 'unknown')
  const asAttribute = vastVersion === '4.0' ? ` idValue="${value}"` : ''
  return `<UniversalAdId idRegistry="${registry}"${asAttribute}>${value}</UniversalAdId>`
}

/** The schemas ask for an order: from VAST 4 on trackers come first, clicks last, and a click's trackers before it. */
function linear(creative: VastCreative, major: number): string {
  const { skipAfterS } = creative
  const skip = skipAfterS === undefined || major < 3 ? '' : ` skipoffset="${clockTime(skipAfterS)}"`
  const files = creative.mediaFiles.map(
    file =>
      `<MediaFile delivery="progressive" type="${markupText(file.mime)}"${sizeOf(file)}` +
      ` bitrate="${file.bitrateKbps}">${cdata(file.url)}</MediaFile>`,
  )
  const through = `<ClickThrough>${cdata(creative.landingUrl)}</ClickThrough>`
  const told = urlsOf(creative, 'clickTracking').map(url => `<ClickTracking>${cdata(url)}</ClickTracking>`)
  const clicks = `<VideoClicks>${major >= 4 ? told.join('') + through : through + told.join('')}</VideoClicks>`
  const media = `<MediaFiles>${files.join('')}</MediaFiles>`
  const duration = `<Duration>${clockTime(creative.durationS)}</Duration>`
  const events = trackingEvents(creative, major)
  const parts = major >= 4 ? events + duration + media + clicks : duration + events + clicks + media
  return `<Linear${skip}>${parts}</Linear>`
}

/** VAST 4.1, 3.9.1: width and height are 0 for what is only heard. */
function sizeOf(file: VastCreative['mediaFiles'][number]): string {
  return 'width' in file ? ` width="${file.width}" height="${file.height}"` : ' width="0" height="0"'
}

/** A creative of its own, because before VAST 4 one creative is either linear or companions. */
function companionAds(creative: VastCreative, major: number, registered: string): string {
  const { companions = [] } = creative
  if (companions.length === 0) return ''
  const all = companions.map(companion => companionOf(companion, major)).join('')
  const id = `${markupText(creative.id)}-companions`
  return `<Creative id="${id}"><CompanionAds>${all}</CompanionAds>${registered}</Creative>`
}

function companionOf({ width, height, content, landingUrl }: Companion, major: number): string {
  const link = landingUrl ?? content.landingUrl
  const through = link === undefined ? '' : `<CompanionClickThrough>${cdata(link)}</CompanionClickThrough>`
  const alt =
    content.kind === 'image' && content.alt !== undefined ? `<AltText>${markupText(content.alt)}</AltText>` : ''
  const resource =
    content.kind === 'image'
      ? `<StaticResource creativeType="${content.mime}">${cdata(content.url)}</StaticResource>`
      : `<HTMLResource>${cdata(content.html)}</HTMLResource>`
  const rest = major >= 4 ? alt + through : through + alt
  return `<Companion width="${width}" height="${height}">${resource}${rest}</Companion>`
}

/** Text as it is; the one sequence that ends the section is cut in two. */
function cdata(text: string): string {
  return `<![CDATA[${text.replaceAll(']]>', ']]]]><![CDATA[>')}]]>`
}

/** `HH:MM:SS` of seconds. */
function clockTime(seconds: number): string {
  const part = (value: number) => String(Math.floor(value)).padStart(2, '0')
  return `${part(seconds / 3600)}:${part((seconds / 60) % 60)}:${part(seconds % 60)}`
}
