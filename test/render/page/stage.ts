/** The publisher's page: what tests ask it to show. */
import { showNative, type WantedAsset } from './native.ts'
import { call, frameOf, one, type Playing, play, showCompanions } from './player.ts'
import { AdError, adOf } from './vast.ts'

/** What the tests call in this page. */
export interface Stage {
  /** One more banner beside those that are there. */
  hang(html: string, width: number, height: number): void
  banner(html: string, width: number, height: number): void
  native(adm: string, wanted: readonly WantedAsset[]): void
  /** @returns 'playing', or what went wrong, after the ad's error trackers were called */
  vast(xml: string, playing: Playing): Promise<string>
}

function placeOf(layout: string): HTMLElement {
  document.body.dataset.layout = layout
  const place = one(document, '#place')
  place.replaceChildren()
  one(document, '#beside').replaceChildren()
  return place
}

function banner(html: string, width: number, height: number): void {
  placeOf(width >= 468 ? 'top' : 'side').append(frameOf(html, width, height))
}

function hang(html: string, width: number, height: number): void {
  const place = document.body.dataset.layout === 'gallery' ? one(document, '#place') : placeOf('gallery')
  place.append(frameOf(html, width, height))
}

async function vast(xml: string, playing: Playing): Promise<string> {
  const place = placeOf(playing.mimes.some(mime => mime.startsWith('audio/')) ? 'listen' : 'watch')
  try {
    const ad = await adOf(xml, async url => {
      const response = await fetch(url)
      if (!response.ok) throw new Error(`status ${response.status}`)
      return await response.text()
    })
    showCompanions(one(document, '#beside'), ad.companions)
    await play(place, ad, playing)
    return 'playing'
  } catch (error) {
    if (!(error instanceof AdError)) throw error
    call(error.trackers.get('error'), { ERRORCODE: String(error.code) })
    return error.message
  }
}

const stage: Stage = {
  hang,
  banner,
  native: (adm, wanted) => showNative(placeOf('feed'), adm, wanted),
  vast,
}
Object.assign(globalThis, { stage })
