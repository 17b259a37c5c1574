import { type Json, numberFrom, numbersFrom, type Report, textsFrom } from './acceptance-rules.ts'
import { elementsNamed, parseXml, type XmlElement, XmlProblem } from './xml.ts'

/** OpenRTB protocol codes of a VAST version: of an ad in line, and of a wrapper. */
const PROTOCOLS: Readonly<Record<string, { readonly inline: number; readonly wrapper: number }>> = {
  '1.0': { inline: 1, wrapper: 4 },
  '2.0': { inline: 2, wrapper: 5 },
  '3.0': { inline: 3, wrapper: 6 },
  '4.0': { inline: 7, wrapper: 8 },
  '4.1': { inline: 11, wrapper: 12 },
  '4.2': { inline: 13, wrapper: 14 },
  '4.3': { inline: 15, wrapper: 16 },
}
/** The attribute "Ad Can be Skipped" of AdCOM's list "Creative Attributes". */
const SKIPPABLE = 16
const NON_LINEAR_ONLY = 2

/**
 * Judges the markup of a video or audio bid against what the impression offers.
 * @returns the duration in seconds, undefined when the markup tells none.
 */
export function judgeVideo(video: Json, bid: Json, markup: string, report: Report): number | undefined {
  const root = read(markup, report)
  if (root === undefined) return undefined
  const missing = missingPart(root)
  if (missing !== undefined) {
    report('vast-complete', missing)
    return undefined
  }
  const isWrapper = elementsNamed(root, 'Wrapper').length > 0
  judgeProtocol(video, bid, root, report)
  const linears = elementsNamed(root, 'Linear')
  if (linears.length > 0 && numberFrom(video.linearity) === NON_LINEAR_ONLY) report('linearity', video.linearity)
  const skippable = linears.some(linear => linear.attributes.has('skipoffset'))
  if (skippable && !numbersFrom(bid.attr).includes(SKIPPABLE)) report('skippable-attribute', bid.attr)
  if (isWrapper) return numberFrom(bid.dur)
  judgeMediaTypes(video, root, report)
  const durationS = secondsOf(elementsNamed(root, 'Duration')[0]?.text ?? '')
  judgeDuration(video, bid, durationS, report)
  return durationS
}

function read(markup: string, report: Report): XmlElement | undefined {
  try {
    return parseXml(markup.trim())
  } catch (problem) {
    if (!(problem instanceof XmlProblem)) throw problem
    report('vast-well-formed', problem.message)
    return undefined
  }
}

/** What the XML lacks to be a VAST that a player can show, or undefined. */
function missingPart(root: XmlElement): string | undefined {
  if (root.name !== 'VAST') return `root is <${root.name}>`
  if (PROTOCOLS[root.attributes.get('version') ?? ''] === undefined) return 'a known version'
  const ad = elementsNamed(root, 'Ad')[0]
  if (ad === undefined) return 'Ad'
  if (!elementsNamed(ad, 'Impression').some(hasAddress)) return 'Impression with an address'
  if (elementsNamed(ad, 'Wrapper').length > 0)
    return elementsNamed(ad, 'VASTAdTagURI').some(hasAddress) ? undefined : 'VASTAdTagURI'
  for (const name of ['InLine', 'AdSystem', 'AdTitle', 'Creatives', 'Creative', 'Linear'])
    if (elementsNamed(ad, name).length === 0) return name
  const linear = elementsNamed(ad, 'Linear')[0]
  if (linear === undefined || secondsOf(elementsNamed(linear, 'Duration')[0]?.text ?? '') === undefined)
    return 'Duration as HH:MM:SS'
  const files = elementsNamed(linear, 'MediaFile')
  if (files.length === 0) return 'MediaFile'
  for (const file of files) {
    if (!hasAddress(file)) return 'address of a MediaFile'
    for (const name of ['type', 'width', 'height', 'delivery'])
      if (!file.attributes.get(name)) return `${name} of a MediaFile`
  }
  return undefined
}

function hasAddress(element: XmlElement): boolean {
  return URL.canParse(element.text.trim())
}

/** Seconds of `HH:MM:SS` or `HH:MM:SS.mmm`, undefined for anything else. */
function secondsOf(text: string): number | undefined {
  const match = /^(\d\d):([0-5]\d):([0-5]\d)(\.\d{1,3})?$/.exec(text.trim())
  if (match === null) return undefined
  return Number(match[1]) * 3_600 + Number(match[2]) * 60 + Number(match[3]) + Number(match[4] ?? 0)
}

function judgeProtocol(video: Json, bid: Json, root: XmlElement, report: Report): void {
  const version = root.attributes.get('version') ?? ''
  const isWrapper = elementsNamed(root, 'Wrapper').length > 0
  const code = PROTOCOLS[version]?.[isWrapper ? 'wrapper' : 'inline']
  if (code === undefined) return
  const single = numberFrom(video.protocol) ?? 0
  const protocols = numbersFrom(video.protocols)
  const offered = protocols.length > 0 || single <= 0 ? protocols : [single]
  if (offered.length > 0 && !offered.includes(code)) report('protocol', { version, code })
  const declared = numberFrom(bid.protocol)
  if (declared !== undefined && declared !== code) report('protocol', { version, declared })
}

function judgeMediaTypes(video: Json, root: XmlElement, report: Report): void {
  const mimes = textsFrom(video.mimes).map(each => each.toLowerCase())
  const types = elementsNamed(root, 'MediaFile').map(file => (file.attributes.get('type') ?? '').toLowerCase())
  if (mimes.length > 0 && !types.some(type => mimes.includes(type))) report('media-type', types)
}

function judgeDuration(video: Json, bid: Json, durationS: number | undefined, report: Report): void {
  if (durationS === undefined) return
  const required = numbersFrom(video.rqddurs)
  const min = numberFrom(video.minduration) ?? 0
  const max = numberFrom(video.maxduration) ?? Number.POSITIVE_INFINITY
  const good = required.length > 0 ? required.includes(durationS) : durationS >= min && durationS <= max
  if (!good) report('duration', durationS)
  const declared = numberFrom(bid.dur)
  if (declared !== undefined && Math.abs(declared - durationS) >= 1) report('duration', { declared, durationS })
}
