/** Which of OpenRTB's banner types (btype) a creative is of. */
import type { BannerCreative } from './creative-document.ts'

/** 1 text, 2 an image or other markup, 3 JavaScript, 4 a frame (OpenRTB 2.6, banner.btype). */
const SCRIPT = 3
const FRAME = 4
const MARKUP = 2
const TEXT = 1
/** What shows more than text. */
const SHOWS = /<(?:img|picture|svg|video|canvas|div|object|embed|style|link)\b/i

/**
 * The type that the document says, and those that an exchange sees when it looks at the markup: a place that blocks any
 * of them does not take it. Pure. Cost: O(markup).
 */
export function bannerTypesOf({ bannerType, content }: BannerCreative): readonly number[] {
  if (content.kind === 'image') return [...new Set([bannerType, MARKUP])]
  const hasFrame = /<iframe\b/i.test(content.html)
  const hasScript = /<script\b/i.test(content.html)
  const shown = [...(hasFrame ? [FRAME] : []), ...(hasScript ? [SCRIPT] : [])]
  if (shown.length === 0) shown.push(SHOWS.test(content.html) ? MARKUP : TEXT)
  return [...new Set([bannerType, ...shown])]
}
