/** A minimal player of linear ads: plays, reports, offers to skip, and shows companions. */
import { type Ad, AdError, type Companion, type MediaFile } from './vast.ts'

/** How the place plays. */
export interface Playing {
  /** Media types that the place takes, as its bid request said. */
  readonly mimes: readonly string[]
  readonly width: number
  /** 1 is as people see it; tests are in a hurry. */
  readonly speed: number
}

const QUARTILES = [
  ['firstQuartile', 0.25],
  ['midpoint', 0.5],
  ['thirdQuartile', 0.75],
] as const

/** Calls each address once, as an image. @param values of VAST macros in brackets besides the usual ones */
export function call(urls: readonly string[] | undefined, values: Readonly<Record<string, string>> = {}): void {
  const known: Readonly<Record<string, string>> = {
    CACHEBUSTING: String(crypto.getRandomValues(new Uint32Array(1))[0]! % 1e8).padStart(8, '0'),
    TIMESTAMP: new Date().toISOString(),
    ...values,
  }
  for (const url of urls ?? [])
    new Image().src = url.replaceAll(/\[([A-Z_]+)\]/g, (whole, name: string) =>
      known[name] === undefined ? whole : encodeURIComponent(known[name]),
    )
}

/** Of the files that the place takes the one whose width is nearest to its own. @throws AdError when there is none */
function fileFor(ad: Ad, { mimes, width }: Playing): MediaFile {
  const media = document.createElement('video')
  const [best] = ad.media
    .filter(file => mimes.includes(file.mime) && media.canPlayType(file.mime) !== '')
    .sort((one, other) => Math.abs(one.width - width) - Math.abs(other.width - width))
  if (best === undefined) throw new AdError(403, `no media file of ${mimes.join(' or ')}`, ad.trackers)
  return best
}

/**
 * Plays an ad in a place.
 * @returns once it plays. @throws AdError when it cannot: the caller reports it
 */
export async function play(place: HTMLElement, ad: Ad, playing: Playing): Promise<void> {
  const file = fileFor(ad, playing)
  const isAudio = file.mime.startsWith('audio/')
  place.innerHTML = `<div class="player ${isAudio ? 'heard' : 'seen'}">
    <${isAudio ? 'audio' : 'video'} class="media" playsinline></${isAudio ? 'audio' : 'video'}>
    <div class="title"><b></b><span></span></div>
    <div class="bar"><button class="pause" aria-label="Pause">❚❚</button>
      <button class="mute" aria-label="Mute">♪</button>
      <span class="left"></span><span class="track"><i></i></span></div>
    <a class="visit" target="_blank" rel="noopener">Visit advertiser</a>
    <button class="skip" hidden></button></div>`
  const media = one<HTMLMediaElement>(place, '.media')
  one(place, '.title b').textContent = ad.title
  one(place, '.title span').textContent = ad.advertiser
  media.src = file.url
  media.playbackRate = playing.speed
  await new Promise<void>((resolve, reject) => {
    media.onerror = () => reject(new AdError(401, `${file.url}: ${media.error?.message ?? ''}`, ad.trackers))
    media.onplaying = () => resolve()
    media.play().catch(() => {})
  })
  const report = reporter(ad, media, file)
  report('impression')
  report('creativeView')
  report('start')
  follow(place, ad, media, report)
  control(place, ad, media, report)
}

type Report = (event: string) => void

function reporter(ad: Ad, media: HTMLMediaElement, file: MediaFile): Report {
  return event =>
    call(ad.trackers.get(event), {
      ASSETURI: file.url,
      MEDIAPLAYHEAD: new Date(media.currentTime * 1_000).toISOString().slice(11, 23),
    })
}

/** Quartiles, what is left, the skip button, and the end. */
function follow(place: HTMLElement, ad: Ad, media: HTMLMediaElement, report: Report): void {
  const waiting = [...QUARTILES]
  const skip = one<HTMLButtonElement>(place, '.skip')
  const { skipAfterS } = ad
  const look = (): void => {
    if (!media.isConnected) return
    const atS = media.currentTime
    while (waiting[0] !== undefined && atS >= waiting[0][1] * ad.durationS) report(waiting.shift()![0])
    one(place, '.left').textContent = `Ad · ${clock(Math.max(0, ad.durationS - atS))}`
    one(place, '.track i').style.width = `${Math.min(100, (atS / ad.durationS) * 100)}%`
    if (skipAfterS !== undefined) {
      skip.hidden = false
      skip.disabled = atS < skipAfterS
      skip.textContent = skip.disabled ? `Skip in ${Math.ceil(skipAfterS - atS)}` : 'Skip ad ▸|'
    }
    if (!media.ended) requestAnimationFrame(look)
  }
  look()
  media.onended = () => {
    look()
    report('complete')
    place.dataset.state = 'complete'
  }
}

function control(place: HTMLElement, ad: Ad, media: HTMLMediaElement, report: Report): void {
  place.dataset.state = 'playing'
  one(place, '.pause').onclick = () => {
    const wasPaused = media.paused
    if (wasPaused) media.play().catch(() => {})
    else media.pause()
    report(wasPaused ? 'resume' : 'pause')
  }
  one(place, '.mute').onclick = () => {
    media.muted = !media.muted
    one(place, '.mute').textContent = media.muted ? '♪̸' : '♪'
    report(media.muted ? 'mute' : 'unmute')
  }
  one(place, '.skip').onclick = () => {
    report('skip')
    media.pause()
    place.dataset.state = 'skipped'
    place.replaceChildren()
  }
  const visit = one<HTMLAnchorElement>(place, '.visit')
  visit.href = ad.landingUrl
  visit.onclick = () => report('clickTracking')
}

/** Shows companions beside the player, each in a frame of its size. */
export function showCompanions(beside: HTMLElement, companions: readonly Companion[]): void {
  beside.replaceChildren(
    ...companions.map(companion => {
      const { width, height, html, imageUrl, alt, landingUrl } = companion
      if (html !== undefined) return frameOf(html, width, height)
      const image = Object.assign(new Image(width, height), { src: imageUrl, alt })
      const link = Object.assign(document.createElement('a'), { href: landingUrl, target: '_blank', rel: 'noopener' })
      link.append(image)
      return link
    }),
  )
}

/** Markup in a frame without margins that may run scripts and open windows, and nothing else of its page. */
export function frameOf(html: string, width: number, height: number): HTMLIFrameElement {
  const frame = document.createElement('iframe')
  frame.setAttribute('sandbox', 'allow-scripts allow-popups allow-popups-to-escape-sandbox')
  Object.assign(frame, {
    width: String(width),
    height: String(height),
    srcdoc: html,
    scrolling: 'no',
    marginWidth: '0',
    marginHeight: '0',
  })
  return frame
}

function clock(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`
}

/** The one element that matches. @throws Error when there is none */
export function one<T extends HTMLElement>(within: ParentNode, selector: string): T {
  const found = within.querySelector<T>(selector)
  if (found === null) throw new Error(`the page has no ${selector}`)
  return found
}
