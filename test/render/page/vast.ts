/** Reads a VAST document as a player does, wrappers included. IAB VAST 2.0 to 4.3. */

/** One playable file of the ad. */
export interface MediaFile {
  readonly url: string
  readonly mime: string
  readonly width: number
  readonly height: number
}

/** A banner beside the player. */
export interface Companion {
  readonly width: number
  readonly height: number
  readonly html?: string
  readonly imageUrl?: string
  readonly alt: string
  readonly landingUrl?: string
}

/** What a player needs of a linear ad, trackers of all wrappers around it included. */
export interface Ad {
  readonly version: string
  readonly title: string
  readonly advertiser: string
  readonly durationS: number
  readonly skipAfterS?: number
  readonly media: readonly MediaFile[]
  readonly landingUrl: string
  readonly companions: readonly Companion[]
  readonly trackers: Trackers
}

/** Addresses by event; `impression`, `error` and `clickTracking` are events like the others. */
export type Trackers = ReadonlyMap<string, readonly string[]>

/** Something is wrong with the ad. `code` is VAST's (VAST 4.3, section 2.3.6.3). */
export class AdError extends Error {
  readonly code: number
  /** Who wants to hear of it. */
  readonly trackers: Trackers
  constructor(code: number, what: string, trackers: Trackers) {
    super(`VAST error ${code}: ${what}`)
    this.code = code
    this.trackers = trackers
  }
}

const WRAPPERS_MAX = 5

/**
 * @param fetchText gets the document that a wrapper names
 * @throws AdError when there is no ad in it, or a wrapper leads nowhere
 */
export async function adOf(xml: string, fetchText: (url: string) => Promise<string>): Promise<Ad> {
  let trackers: Trackers = new Map()
  let companions: readonly Companion[] = []
  let document_ = xml
  for (let depth = 0; depth <= WRAPPERS_MAX; depth++) {
    const root = parsed(document_, trackers)
    const ad = root.querySelector('Ad > InLine, Ad > Wrapper')
    if (ad === null) throw new AdError(303, 'no ad', trackers)
    trackers = merged(trackers, trackersOf(ad))
    companions = [...companions, ...[...ad.querySelectorAll('Companion')].map(companionOf)]
    if (ad.tagName === 'InLine')
      return inLine(ad, { version: root.getAttribute('version') ?? '', trackers, companions })
    const url = textOf(ad.querySelector('VASTAdTagURI'))
    document_ = await fetchText(url).catch((error: unknown) => {
      throw new AdError(301, `the wrapper's ${url}: ${String(error)}`, trackers)
    })
  }
  throw new AdError(302, 'too many wrappers', trackers)
}

function parsed(xml: string, trackers: Trackers): Element {
  const root = new DOMParser().parseFromString(xml, 'text/xml').documentElement
  if (root.tagName !== 'VAST') throw new AdError(100, `not a VAST document: ${xml.slice(0, 80)}`, trackers)
  return root
}

function inLine(ad: Element, of: Pick<Ad, 'version' | 'trackers' | 'companions'>): Ad {
  const linear = ad.querySelector('Linear')
  if (linear === null) throw new AdError(201, 'no linear ad', of.trackers)
  const skip = linear.getAttribute('skipoffset')
  return {
    ...of,
    title: textOf(ad.querySelector('AdTitle')),
    advertiser: textOf(ad.querySelector('Advertiser')),
    durationS: secondsOf(textOf(linear.querySelector('Duration'))),
    ...(skip === null ? {} : { skipAfterS: secondsOf(skip) }),
    media: [...linear.querySelectorAll('MediaFile')].map(file => ({
      url: textOf(file),
      mime: file.getAttribute('type') ?? '',
      width: Number(file.getAttribute('width')),
      height: Number(file.getAttribute('height')),
    })),
    landingUrl: textOf(linear.querySelector('ClickThrough')),
  }
}

function trackersOf(ad: Element): Trackers {
  const all = new Map<string, string[]>()
  const add = (event: string, element: Element): void => {
    all.set(event, [...(all.get(event) ?? []), textOf(element)])
  }
  for (const element of ad.querySelectorAll(':scope > Impression')) add('impression', element)
  for (const element of ad.querySelectorAll(':scope > Error')) add('error', element)
  for (const element of ad.querySelectorAll('Linear ClickTracking')) add('clickTracking', element)
  for (const element of ad.querySelectorAll('Linear Tracking')) add(element.getAttribute('event') ?? '', element)
  return all
}

function merged(one: Trackers, other: Trackers): Trackers {
  const all = new Map(one)
  for (const [event, urls] of other) all.set(event, [...(all.get(event) ?? []), ...urls])
  return all
}

function companionOf(element: Element): Companion {
  const html = element.querySelector('HTMLResource')
  const image = element.querySelector('StaticResource')
  const landing = element.querySelector('CompanionClickThrough')
  return {
    width: Number(element.getAttribute('width')),
    height: Number(element.getAttribute('height')),
    ...(html === null ? {} : { html: textOf(html) }),
    ...(image === null ? {} : { imageUrl: textOf(image) }),
    alt: textOf(element.querySelector('AltText')),
    ...(landing === null ? {} : { landingUrl: textOf(landing) }),
  }
}

function textOf(element: Element | null): string {
  return element?.textContent?.trim() ?? ''
}

/** Seconds of `HH:MM:SS` or `HH:MM:SS.mmm`. */
function secondsOf(clock: string): number {
  return clock.split(':').reduce((sum, part) => sum * 60 + Number(part), 0)
}
