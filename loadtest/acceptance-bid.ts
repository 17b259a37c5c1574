import { judgeFloor } from './acceptance-floor.ts'
import { judgeNative } from './acceptance-native.ts'
import {
  type AcceptanceOptions,
  type AcceptanceRule,
  type BrokenRule,
  isObject,
  type Json,
  numberFrom,
  numbersFrom,
  objectFrom,
  objectsFrom,
  type Report,
  textFrom,
  textsFrom,
} from './acceptance-rules.ts'
import { judgeVideo } from './acceptance-video.ts'

/** What a bid inherits from its answer. */
interface BidSetting {
  readonly seat: string | undefined
  readonly currency: string
  readonly rates: AcceptanceOptions['rates']
  readonly markup?: AcceptanceOptions['markup']
}

/** The objects of an impression by mtype. */
const FORMAT_OF_MTYPE: Readonly<Record<number, string>> = { 1: 'banner', 2: 'video', 3: 'audio', 4: 'native' }
const CRID_BYTES_MAX = 128

/**
 * Judges one bid. Where several impressions share its impid (only a malformed request has such), the bid is good when
 * it is good for one of them. Pure.
 */
export function judgeBid(request: Json, bid: Json, setting: BidSetting): readonly BrokenRule[] {
  const bidId = textFrom(bid.id)
  const verdict = (judge: (report: Report) => void): BrokenRule[] => {
    const broken: BrokenRule[] = []
    judge((rule: AcceptanceRule, found: unknown) => {
      const text = (JSON.stringify(found) ?? 'nothing').slice(0, 160)
      broken.push({ rule, found: text, ...(bidId === undefined ? {} : { bidId }) })
    })
    return broken
  }
  const own = verdict(report => judgeBidItself(request, bid, setting, report))
  const impressions = objectsFrom(request.imp).filter(imp => textFrom(imp.id) !== undefined && imp.id === bid.impid)
  const perImpression = impressions.map(imp => verdict(report => judgeForImpression(imp, bid, setting, report)))
  perImpression.sort((a, b) => a.length - b.length)
  const best = perImpression[0] ?? verdict(report => report('impression-exists', bid.impid))
  return [...own, ...best]
}

function judgeBidItself(request: Json, bid: Json, setting: BidSetting, report: Report): void {
  if (textFrom(bid.id) === undefined) report('bid-id', bid.id)
  const crid = textFrom(bid.crid)
  if (crid === undefined || Buffer.byteLength(crid) > CRID_BYTES_MAX) report('crid', bid.crid)
  const price = numberFrom(bid.price)
  const inDeal = textFrom(bid.dealid) !== undefined
  if (price === undefined || price < 0 || (price === 0 && !inDeal)) report('price', bid.price)
  const source = setting.markup === 'win-notice' ? bid.nurl : bid.adm
  if (textFrom(source) === undefined) report('markup', source)
  // What is heard has no size; that of a native ad is up to the page.
  const sides = bid.mtype === 3 || bid.mtype === 4 ? [] : (['w', 'h'] as const)
  for (const side of sides) {
    const length = numberFrom(bid[side])
    if (length === undefined || length <= 0 || !Number.isInteger(length)) report('size', { [side]: bid[side] })
  }
  judgeAdvertiser(request, bid, report)
  judgeCategories(request, bid, report)
  const languages = languagesOf(request)
  const language = textFrom(bid.language)?.toLowerCase()
  if (language !== undefined && languages.length > 0 && !languages.includes(language)) report('language', language)
  const dsa = objectFrom(objectFrom(objectFrom(request.regs).ext).dsa)
  const dsaRequired = dsa.dsarequired === 2 || dsa.dsarequired === 3
  const told = objectFrom(bid.ext).dsa
  if (dsaRequired && !isObject(told)) report('transparency', bid.ext)
  // Prebid's validator: nobody would show it, or both.
  const clash = (pubrender: number, adrender: number) =>
    dsa.pubrender === pubrender && objectFrom(told).adrender === adrender
  if (clash(0, 0) || clash(2, 1)) report('transparency', told)
}

/** Of wlang, or where it is missing, the languages of the tags of wlangb: `pt-BR` is of `pt`. */
function languagesOf({ wlang, wlangb }: Json): readonly string[] {
  const listed = textsFrom(wlang)
  const tags = listed.length > 0 ? listed : textsFrom(wlangb).map(tag => tag.split('-', 1)[0] ?? tag)
  return tags.map(tag => tag.toLowerCase())
}

function judgeAdvertiser(request: Json, bid: Json, report: Report): void {
  const domains = textsFrom(bid.adomain)
  if (domains.length === 0 || !domains.every(isDomain)) report('adomain', bid.adomain)
  const blocked = new Set(textsFrom(request.badv).map(each => each.toLowerCase()))
  for (const domain of domains) if (isWithin(domain.toLowerCase(), '.', blocked)) report('blocked-advertiser', domain)
  const bundle = textFrom(bid.bundle)
  if (bundle !== undefined && textsFrom(request.bapp).includes(bundle)) report('blocked-app', bundle)
}

function isDomain(domain: string): boolean {
  return /^(?=.{1,253}$)[a-z0-9_-]+(\.[a-z0-9_-]+)+$/i.test(domain)
}

function judgeCategories(request: Json, bid: Json, report: Report): void {
  const categories = textsFrom(bid.cat)
  if (categories.length === 0) report('category', bid.cat)
  // Codes of two taxonomies cannot be compared; 1 is the default of both sides.
  if ((numberFrom(request.cattax) ?? 1) !== (numberFrom(bid.cattax) ?? 1)) return
  const blocked = new Set(textsFrom(request.bcat))
  const allowed = new Set(textsFrom(request.acat))
  for (const category of categories) {
    const good = !categoryIsIn(category, blocked) && (allowed.size === 0 || categoryIsIn(category, allowed))
    if (!good) report('blocked-category', category)
  }
}

function categoryIsIn(category: string, set: ReadonlySet<string>): boolean {
  const dash = category.indexOf('-')
  return set.has(category) || (dash > 0 && set.has(category.slice(0, dash)))
}

/** Whether a name or one of those above it (what follows each separator) is in a set. */
function isWithin(name: string, separator: string, set: ReadonlySet<string>): boolean {
  for (let rest = name; ; rest = rest.slice(rest.indexOf(separator) + 1)) {
    if (set.has(rest)) return true
    if (!rest.includes(separator)) return false
  }
}

function judgeForImpression(imp: Json, bid: Json, setting: BidSetting, report: Report): void {
  judgeDeal(imp, bid, setting, report)
  const markup = textFrom(bid.adm) ?? ''
  if (imp.secure === 1 && loadsInsecurely(markup)) report('secure-markup', insecurePart(markup))
  const format = FORMAT_OF_MTYPE[numberFrom(bid.mtype) ?? 0]
  if (format === undefined) {
    report('mtype', bid.mtype)
    judgeFloor(imp, bid, setting, report)
    return
  }
  const offered = imp[format]
  if (!isObject(offered)) {
    report('format-offered', format)
    judgeFloor(imp, bid, setting, report)
    return
  }
  const blocked = numbersFrom(offered.battr)
  for (const attribute of numbersFrom(bid.attr)) if (blocked.includes(attribute)) report('blocked-attribute', attribute)
  const apis = numbersFrom(offered.api)
  for (const api of numbersFrom(bid.apis)) if (!apis.includes(api)) report('api', api)
  if (format === 'banner' && !sizeIsOffered(offered, bid)) report('size-offered', { w: bid.w, h: bid.h })
  // What is not there is judged when it comes.
  const isHere = setting.markup !== 'win-notice'
  if (format === 'banner' && isHere) judgeBannerMarkup(offered, markup, report)
  if (format === 'native') judgeNative(offered, markup, report)
  const isPlayed = isHere && (format === 'video' || format === 'audio')
  const durationS = isPlayed ? judgeVideo(offered, bid, markup, report) : numberFrom(bid.dur)
  judgeFloor(imp, bid, { ...setting, durationS }, report)
}

function judgeDeal(imp: Json, bid: Json, setting: BidSetting, report: Report): void {
  const pmp = objectFrom(imp.pmp)
  const dealId = textFrom(bid.dealid)
  if (dealId === undefined) {
    if (pmp.private_auction === 1) report('private-auction', bid.dealid)
    return
  }
  const deal = objectsFrom(pmp.deals).find(each => each.id === dealId)
  if (deal === undefined) {
    report('deal-offered', dealId)
    return
  }
  const seats = textsFrom(deal.wseat)
  if (seats.length > 0 && (setting.seat === undefined || !seats.includes(setting.seat)))
    report('deal-seat', setting.seat)
  const wanted = new Set(textsFrom(deal.wadomain).map(each => each.toLowerCase()))
  const domains = textsFrom(bid.adomain)
  if (wanted.size > 0 && !domains.some(domain => isWithin(domain.toLowerCase(), '.', wanted)))
    report('deal-advertiser', domains)
}

/** Names of XML vocabularies are not loaded, though many look like http addresses. */
function loadsInsecurely(markup: string): boolean {
  return insecurePart(markup) !== undefined
}

function insecurePart(markup: string): string | undefined {
  const loading = markup.replace(/(xmlns(:[\w-]+)?|xsi:[\w-]+)\s*=\s*("[^"]*"|'[^']*')/gi, '')
  return /http(:|%3a|&#(58|x3a);)[^\s"'<>]{0,60}/i.exec(loading)?.[0]
}

function judgeBannerMarkup(banner: Json, markup: string, report: Report): void {
  const type = bannerTypeOf(markup)
  if (numbersFrom(banner.btype).includes(type)) report('blocked-banner-type', type)
  const mimes = textsFrom(banner.mimes).map(bareMime)
  const mime = imageMimeOf(markup, type)
  if (mimes.length > 0 && mime !== undefined && !mimes.includes(mime)) report('media-type', mime)
}

function sizeIsOffered(banner: Json, bid: Json): boolean {
  const formats = objectsFrom(banner.format)
  const sizes: Json[] = formats.filter(each => numberFrom(each.w) !== undefined && numberFrom(each.h) !== undefined)
  if (numberFrom(banner.w) !== undefined && numberFrom(banner.h) !== undefined) sizes.push(banner)
  const shapes = formats.filter(each => numberFrom(each.wratio) !== undefined)
  // A banner that names nothing at all leaves the size open.
  if (sizes.length + shapes.length === 0) return true
  return sizes.some(size => size.w === bid.w && size.h === bid.h) || shapes.some(shape => isOfShape(shape, bid))
}

/** A bid that goes by ratio says so (4.2.3), and its sides have it, to a pixel. */
function isOfShape({ wratio, hratio, wmin }: Json, { w, h, wratio: across, hratio: down }: Json): boolean {
  if (across !== wratio || down !== hratio) return false
  const [width, height] = [Number(w), Number(h)]
  return width >= (numberFrom(wmin) ?? 0) && Math.abs((width * Number(hratio)) / Number(wratio) - height) < 1
}

/** OpenRTB's btype as the markup shows it: 4 a frame, 3 a script, 2 an image or other markup, 1 text alone. */
function bannerTypeOf(markup: string): number {
  if (/<iframe\b/i.test(markup)) return 4
  if (/<script\b/i.test(markup)) return 3
  return /<(img|picture|svg|video|canvas|div|object|embed|amp-img|style)\b/i.test(markup) ? 2 : 1
}

const MIME_OF_ENDING: Readonly<Record<string, string>> = {
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  png: 'image/png',
  gif: 'image/gif',
  webp: 'image/webp',
  avif: 'image/avif',
  svg: 'image/svg+xml',
}

/** The media type of a banner that is one image (pixels of 1 × 1 apart), by the ending of its address. */
function imageMimeOf(markup: string, bannerType: number): string | undefined {
  if (bannerType !== 2) return undefined
  const images = [...markup.matchAll(/<img\b[^>]*>/gi)].map(match => match[0])
  const shown = images.filter(image => !/\bwidth\s*=\s*["']?1["'\s>/]/i.test(image))
  if (shown.length !== 1) return undefined
  const path = /\bsrc\s*=\s*["']?([^"'\s>?#]+)/i.exec(shown[0] ?? '')?.[1] ?? ''
  return MIME_OF_ENDING[(/\.([a-z]+)$/i.exec(path)?.[1] ?? '').toLowerCase()]
}

/** Lower case, without parameters; image/jpg is a common misspelling of image/jpeg. */
function bareMime(mime: string): string {
  const bare = (mime.split(';', 1)[0] ?? '').trim().toLowerCase()
  return bare === 'image/jpg' ? 'image/jpeg' : bare
}
