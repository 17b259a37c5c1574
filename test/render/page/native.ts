/** Draws a native ad in the publisher's own look. OpenRTB Native 1.2, section 5. */
import { call, one } from './player.ts'

/** An asset that the place asked for, as much of it as tells what it is. */
export interface WantedAsset {
  readonly id: number
  readonly title?: object
  readonly img?: { readonly type?: number }
  readonly data?: { readonly type: number }
}

interface Link {
  readonly url: string
  readonly clicktrackers?: readonly string[]
}

interface Markup {
  readonly assets: readonly {
    readonly id: number
    readonly title?: { readonly text: string }
    readonly img?: { readonly url: string }
    readonly data?: { readonly value: string }
  }[]
  readonly link: Link
  readonly privacy?: string
  readonly imptrackers?: readonly string[]
  readonly eventtrackers?: readonly { readonly event: number; readonly method: number; readonly url: string }[]
}

/** Milliseconds that half of an ad must be in view to count as seen (MRC). */
const VIEWABLE_MS = 1_000
const DATA_NAMES: Readonly<Record<number, string>> = {
  1: 'sponsored',
  2: 'description',
  3: 'rating',
  6: 'price',
  12: 'cta',
}

/** @param wanted the request's assets: a response names their ids only */
export function showNative(place: HTMLElement, adm: string, wanted: readonly WantedAsset[]): void {
  const text = JSON.parse(adm) as Markup & { native?: Markup }
  const ad = text.native ?? text
  const parts = partsOf(ad, wanted)
  const link = 'target="_blank" rel="noopener"'
  place.innerHTML = `<article class="native"><a class="link" ${link}><img class="main" alt=""></a>
    <div class="words"><header><img class="icon" alt=""><span>Sponsored by <b class="sponsored"></b></span>
      <a class="privacy" ${link} title="Why this ad?" hidden>▷ i</a></header>
    <h3 class="name"></h3><p class="description"></p>
    <footer><span class="rating"></span><span class="price"></span><a class="cta" ${link}></a></footer></div></article>`
  for (const [name, value] of parts) {
    const element = one(place, `.${name}`)
    if (element instanceof HTMLImageElement) element.src = value
    else element.textContent = name === 'rating' ? `★ ${value}` : value
  }
  for (const element of place.querySelectorAll<HTMLElement>('.words > *, .words span, .main, .icon, .cta'))
    if (element.textContent === '' && !(element instanceof HTMLImageElement)) element.hidden = true
    else if (element instanceof HTMLImageElement && element.src === '') element.hidden = true
  for (const anchor of place.querySelectorAll<HTMLAnchorElement>('.link, .cta')) {
    anchor.href = ad.link.url
    anchor.onclick = () => call(ad.link.clicktrackers)
  }
  if (ad.privacy !== undefined)
    Object.assign(one<HTMLAnchorElement>(place, '.privacy'), { href: ad.privacy, hidden: false })
  track(place, ad)
}

function partsOf(ad: Markup, wanted: readonly WantedAsset[]): ReadonlyMap<string, string> {
  const parts = new Map<string, string>()
  for (const asset of ad.assets) {
    const want = wanted.find(each => each.id === asset.id)
    if (want === undefined) throw new Error(`nobody asked for asset ${asset.id}`)
    if (want.title && asset.title) parts.set('name', asset.title.text)
    if (want.img && asset.img) parts.set(want.img.type === 1 ? 'icon' : 'main', asset.img.url)
    if (want.data && asset.data) parts.set(DATA_NAMES[want.data.type] ?? 'description', asset.data.value)
  }
  return parts
}

/** Events: 1 impression, 2 half of it in view for a second, 3 all of it. Methods: 1 an image, 2 a script. */
function track(place: HTMLElement, ad: Markup): void {
  const report = (event: number): void => {
    for (const tracker of ad.eventtrackers ?? [])
      if (tracker.event === event) {
        if (tracker.method === 1) call([tracker.url])
        else document.head.append(Object.assign(document.createElement('script'), { src: tracker.url }))
      }
  }
  call(ad.imptrackers)
  report(1)
  const timers = new Map<number, ReturnType<typeof setTimeout>>()
  const sharesOf: readonly (readonly [number, number])[] = [
    [2, 0.5],
    [3, 0.99],
  ]
  const observer = new IntersectionObserver(
    entries => {
      const share = entries.at(-1)?.intersectionRatio ?? 0
      for (const [event, least] of sharesOf) {
        if (share >= least && !timers.has(event)) timers.set(event, setTimeout(report, VIEWABLE_MS, event))
        if (share < least) clearTimeout(timers.get(event))
      }
    },
    { threshold: sharesOf.map(([, least]) => least) },
  )
  observer.observe(one(place, '.native'))
}
