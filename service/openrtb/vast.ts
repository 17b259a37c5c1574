/** Makes the VAST document of a video creative. IAB VAST 2.0, 3.0, 4.0 to 4.3. Pure. */
import type { Advertiser, VideoCreative } from '../state/documents.ts'
import { markupText } from './escape.ts'

/** The event tracking that the ad does not need yet still has to be there: VAST asks for one Impression at least. */
const NO_IMPRESSION_URL = 'about:blank'

// biome-ignore lint/suspicious/noTemplateCurlyInString: the exchange replaces it, not we
const SERVING_ID = '<AdServingId>${AUCTION_BID_ID}</AdServingId>'

/**
 * @returns an inline linear ad in the creative's version. The exchange fills ${AUCTION_BID_ID}, which names the
 *   serving.
 */
export function vastOf(creative: VideoCreative, advertiser: Advertiser): string {
  const major = Number(creative.vastVersion[0])
  const impression = `<Impression><![CDATA[${NO_IMPRESSION_URL}]]></Impression>`
  const title = `<AdTitle>${markupText(creative.title)}</AdTitle>`
  const servingId = creative.vastVersion >= '4.1' ? SERVING_ID : ''
  const owner = major >= 3 ? `<Advertiser>${markupText(advertiser.name)}</Advertiser>` : ''
  const head = major >= 4 ? impression + servingId + title + owner : title + owner + impression
  return (
    `<VAST version="${creative.vastVersion}"><Ad id="${markupText(creative.id)}"><InLine>` +
    `<AdSystem version="1.0">Bidcell</AdSystem>${head}` +
    `<Creatives><Creative id="${markupText(creative.id)}">${linear(creative, major)}${universalAdId(creative)}` +
    '</Creative></Creatives>' +
    '</InLine></Ad></VAST>'
  )
}

/**
 * VAST 4 asks for the id of the creative in a registry; where there is none the word is "unknown". After the linear ad,
 * because the schema of 4.2 is a sequence.
 */
function universalAdId({ vastVersion }: VideoCreative): string {
  if (vastVersion < '4.0') return ''
  if (vastVersion === '4.0') return '<UniversalAdId idRegistry="unknown" idValue="unknown">unknown</UniversalAdId>'
  return '<UniversalAdId idRegistry="unknown">unknown</UniversalAdId>'
}

function linear(creative: VideoCreative, major: number): string {
  const { skipAfterS } = creative
  const skip = skipAfterS === undefined || major < 3 ? '' : ` skipoffset="${clockTime(skipAfterS)}"`
  const files = creative.mediaFiles.map(
    file =>
      `<MediaFile delivery="progressive" type="${markupText(file.mime)}" width="${file.width}"` +
      ` height="${file.height}" bitrate="${file.bitrateKbps}"><![CDATA[${file.url}]]></MediaFile>`,
  )
  const clicks = `<VideoClicks><ClickThrough><![CDATA[${creative.landingUrl}]]></ClickThrough></VideoClicks>`
  const media = `<MediaFiles>${files.join('')}</MediaFiles>`
  // The schemas ask for an order: clicks before media up to VAST 3, after them from VAST 4 on.
  const parts = major >= 4 ? media + clicks : clicks + media
  return `<Linear${skip}><Duration>${clockTime(creative.durationS)}</Duration>${parts}</Linear>`
}

/** `HH:MM:SS` of seconds. */
function clockTime(seconds: number): string {
  const part = (value: number) => String(Math.floor(value)).padStart(2, '0')
  return `${part(seconds / 3600)}:${part((seconds / 60) % 60)}:${part(seconds % 60)}`
}
