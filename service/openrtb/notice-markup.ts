/**
 * Our own trackers in the markup of bids: impression, viewable, click and how far a video was played, each with a hole
 * for the bid's token. Added to a fragment when a thread first uses it, so that publishing knows no address of ours and
 * a service without PUBLIC_URL pays nothing. VAST 2.0 to 4.3; OpenRTB Native 1.2. Pure.
 */
import { HOLE_OPENS } from './macro-text.ts'
import { BETWEEN } from './native-markup.ts'
import type { DeviceEvent } from './notice.ts'
import type { NoticeUrls } from './notice-urls.ts'

const ADM = ',"adm":"'
const NO_IMPRESSION = '<Impression><![CDATA[about:blank]]></Impression>'
/** VAST's names of our events. */
const PLAYED = [
  ['start', 'start'],
  ['firstQuartile', 'first-quartile'],
  ['midpoint', 'midpoint'],
  ['thirdQuartile', 'third-quartile'],
  ['complete', 'complete'],
] as const satisfies readonly (readonly [string, DeviceEvent])[]
/** What bannerMarkup makes of an image, and whatever looks the same: the address of its link. */
const LINKED_IMAGE = /^<a href=\\"([^"\\$]+)\\" target=\\"_blank\\" rel=\\"noopener\\"><img [^>]*><\/a>$/

/** A fragment with our trackers in it. @param fragment see creativeFragment. Cost: O(characters). */
export function withTrackers(fragment: string, urls: NoticeUrls): string {
  if (fragment.includes(BETWEEN)) return nativeWithTrackers(fragment, urls)
  const at = fragment.indexOf(ADM)
  if (at < 0) return fragment
  const markup = fragment.slice(at + ADM.length, -1)
  const told = markup.startsWith('<VAST ') ? vastWithTrackers(markup, urls) : bannerWithTrackers(markup, urls)
  return `${fragment.slice(0, at)}${ADM}${told}"`
}

/** Members of JSON in JSON: the parts that nativeParts made. */
function nativeWithTrackers(fragment: string, urls: NoticeUrls): string {
  const [head = '', link = '', privacy = '', trackers = '', ...assets] = fragment.split(BETWEEN)
  const quoted = (event: DeviceEvent) => `\\"${urls.eventOf(event)}\\"`
  // Events 1 and 2 by method 1: an impression, and half of it seen for a second, as pixels.
  const told = [`11${quoted('impression')}`, `21${quoted('viewable')}`, ...(trackers === '' ? [] : [trackers])]
  return [head, linkWithTracker(link, quoted('click')), privacy, told.join(' '), ...assets].join(BETWEEN)
}

function linkWithTracker(link: string, click: string): string {
  const list = '\\"clicktrackers\\":['
  if (link.includes(list)) return link.replace(list, `${list}${click},`)
  return `${link.slice(0, link.lastIndexOf('}'))},${list}${click}]}`
}

function vastWithTrackers(markup: string, urls: NoticeUrls): string {
  const isFourth = markup.startsWith('<VAST version=\\"4')
  const impression = `<Impression>${cdata(urls.eventOf('impression'))}</Impression>`
  const tracking = PLAYED.map(
    ([name, event]) => `<Tracking event=\\"${name}\\">${cdata(urls.eventOf(event))}</Tracking>`,
  )
  const click = `<ClickTracking>${cdata(urls.eventOf('click'))}</ClickTracking>`
  const told = markup.includes(NO_IMPRESSION)
    ? markup.replace(NO_IMPRESSION, () => impression)
    : inserted(markup, markup.indexOf('<Impression>'), impression)
  return withClick(withTracking(told, tracking.join(''), isFourth), click, isFourth)
}

/** Before VAST 4 trackers come after the duration, then before everything else of the linear ad. */
function withTracking(markup: string, tracking: string, isFourth: boolean): string {
  const list = markup.indexOf('<TrackingEvents>')
  if (list >= 0) return inserted(markup, list + '<TrackingEvents>'.length, tracking)
  const linear = markup.indexOf('>', markup.indexOf('<Linear')) + 1
  const duration = markup.indexOf('</Duration>')
  const at = isFourth || duration < 0 ? linear : duration + '</Duration>'.length
  return inserted(markup, at, `<TrackingEvents>${tracking}</TrackingEvents>`)
}

/** From VAST 4 on a click's trackers come before where it leads, earlier after it. */
function withClick(markup: string, click: string, isFourth: boolean): string {
  const opens = markup.indexOf('<VideoClicks>')
  if (opens < 0) return inserted(markup, markup.indexOf('</Linear>'), `<VideoClicks>${click}</VideoClicks>`)
  return inserted(markup, isFourth ? opens + '<VideoClicks>'.length : markup.indexOf('</VideoClicks>'), click)
}

/** A pixel behind it, and the way to the landing page through us where the markup is an image that we link. */
function bannerWithTrackers(markup: string, urls: NoticeUrls): string {
  const pixel =
    `<img src=\\"${urls.eventOf('impression')}\\" width=\\"1\\" height=\\"1\\" alt=\\"\\"` +
    ' style=\\"display:none\\"/>'
  const landing = LINKED_IMAGE.exec(markup)?.[1]
  // An address that is not whole before there is a bid cannot be signed before it.
  if (landing === undefined || landing.includes(HOLE_OPENS)) return markup + pixel
  return markup.replace(landing, () => urls.clickOf(plainText(landing)).replaceAll('&', '&amp;')) + pixel
}

/** What markupText wrote, read again. */
function plainText(text: string): string {
  return text.replace(/&(amp|lt|gt|quot|#39);/g, (_, name: string) => PLAIN[name] as string)
}

const PLAIN: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" }

function cdata(url: string): string {
  return `<![CDATA[${url}]]>`
}

function inserted(text: string, at: number, part: string): string {
  return text.slice(0, at) + part + text.slice(at)
}
