import { type CatalogColumns, FORMAT, TRANSPARENCY } from '../state/catalog.ts'
import { nativeFits } from './native-fit.ts'
import { type BannerOffer, type MediaOffer, type Opportunity, TRANSPARENCY_ASKED } from './opportunity.ts'

/**
 * Whether a creative whose slot an impression offers also has the attributes, type, media, length and security that
 * are asked for. OpenRTB 2.6: imp.secure, banner.battr/btype/mimes, and of video and audio battr/mimes/protocols and
 * durations. Pure.
 * A column is read only where the offer restricts it: each is a line of memory that is seldom near.
 */
export function creativeFits(columns: CatalogColumns, creative: number, opportunity: Opportunity): boolean {
  if (opportunity.secure && columns.creativeSecure[creative] === 0) return false
  const format = columns.creativeFormat[creative]
  if (format === FORMAT.banner)
    return opportunity.banner !== undefined && bannerFits(columns, creative, opportunity.banner)
  if (format === FORMAT.native)
    return opportunity.native !== undefined && nativeFits(columns, creative, opportunity.native)
  const offer = format === FORMAT.video ? opportunity.video : opportunity.audio
  return offer !== undefined && mediaFit(columns, creative, offer)
}

function bannerFits(columns: CatalogColumns, creative: number, offer: BannerOffer): boolean {
  if (offer.blockedAttributes !== 0 && (columns.creativeAttributes[creative]! & offer.blockedAttributes) !== 0)
    return false
  if (offer.blockedTypes !== 0 && (columns.creativeBannerTypes[creative]! & offer.blockedTypes) !== 0) return false
  return offer.mimes === 0 || (columns.creativeMimes[creative]! & offer.mimes) !== 0
}

function mediaFit(columns: CatalogColumns, creative: number, offer: MediaOffer): boolean {
  if (offer.blockedAttributes !== 0 && (columns.creativeAttributes[creative]! & offer.blockedAttributes) !== 0)
    return false
  if ((columns.creativeMimes[creative]! & offer.mimes) === 0) return false
  if (offer.protocols !== 0 && (columns.creativeProtocols[creative]! & offer.protocols) === 0) return false
  const durationS = columns.creativeDurationS[creative]!
  if (offer.exactDurationsS.length > 0) return offer.exactDurationsS.includes(durationS)
  return durationS >= offer.minDurationS && durationS <= offer.maxDurationS
}

/** Whether a creative whose slot an impression offers finds every framework that it needs. Pure. */
export function hasFrameworks(columns: CatalogColumns, creative: number, opportunity: Opportunity): boolean {
  const needed = columns.creativeFrameworks[creative]!
  if (needed === 0) return true
  const { banner, video, audio, native } = opportunity
  const format = columns.creativeFormat[creative]
  const offer =
    format === FORMAT.banner ? banner : format === FORMAT.video ? video : format === FORMAT.audio ? audio : native
  return offer !== undefined && (needed & ~offer.frameworks) === 0
}

/**
 * Whether a creative tells who pays for it where that is asked, and whether either the page or the creative shows it.
 * @param asked bits of TRANSPARENCY_ASKED
 */
export function isTransparent({ creativeTransparency }: CatalogColumns, creative: number, asked: number): boolean {
  const said = creativeTransparency[creative]!
  const isRendered = (said & TRANSPARENCY.rendered) !== 0
  if ((asked & TRANSPARENCY_ASKED.told) !== 0 && said === 0) return false
  if ((asked & TRANSPARENCY_ASKED.rendered) !== 0 && said !== 0 && !isRendered) return false
  return (asked & TRANSPARENCY_ASKED.notRendered) === 0 || !isRendered
}
