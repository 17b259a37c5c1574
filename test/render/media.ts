/** What the addresses in the sample tenants' documents lead to. */
import { readFileSync } from 'node:fs'
import type { Creative } from '../../service/state/creative-document.ts'
import type { TenantDocuments } from '../../service/state/documents.ts'
import type { Artwork } from './page/studio.ts'

/** A file to be made. */
export type MediaOrder =
  | {
      readonly kind: 'picture'
      readonly mime: string
      readonly width: number
      readonly height: number
      artwork: Artwork
    }
  | {
      readonly kind: 'film'
      readonly mime: string
      readonly size: { readonly width: number; readonly height: number; readonly durationS: number }
      readonly artwork: Artwork
    }
  | { readonly kind: 'sound'; readonly mime: string; readonly durationS: number }

/** Words in an address → what is to be seen there; the first that matches. */
const ARTWORK: readonly (readonly [RegExp, Artwork])[] = [
  [/acme-icon/, { scene: 'acme' }],
  [/cinema-icon/, { scene: 'cinema' }],
  [/orchard-icon/, { scene: 'orchard' }],
  [/summit-gtx|ridge-/, { scene: 'boots', brand: 'Ridgeline', line: 'Summit GTX: dry feet', call: 'See the boot' }],
  [/boots/, { scene: 'boots' }],
  [/cloudline|north-/, { scene: 'tent', brand: 'Northpeak', line: 'Sleep above the clouds', call: 'Meet the tent' }],
  [/trailfuel/, { scene: 'bar', brand: 'Trailfuel', line: 'Unwrapped', call: 'Try the new bar' }],
  [/orchard.300x250/, { scene: 'orchard', brand: 'Puzzle Orchard', line: 'Match. Pick. Relax.', call: 'Play free' }],
  [/orchard/, { scene: 'orchard' }],
  [/bluebird-games/, { scene: 'islands', brand: 'Bluebird Games', line: 'Skyforge Islands', call: 'Play now' }],
  [/popcorn/, { scene: 'popcorn', brand: 'Popcorn Club', line: 'Every bag half price', call: 'Join free' }],
  [/example\/lighthouse/, { scene: 'lighthouse' }],
  [/cinema-now/, { scene: 'lighthouse', brand: 'Cinema Now', line: 'The Last Lighthouse', call: 'Watch free' }],
  [/acme/, { scene: 'mountains', brand: 'Acme Outdoor', line: 'Winter starts here', call: 'Shop now' }],
]

function artworkOf(address: string): Artwork {
  const found = ARTWORK.find(([words]) => words.test(address))?.[1]
  if (found === undefined) throw new Error(`nobody drew anything for ${address}: add it to ARTWORK`)
  return { ...found, scene: readFileSync(new URL(`scenes/${found.scene}.svg`, import.meta.url), 'utf8') }
}

/** What only an agency's own tag names. */
export const AGENCY_MEDIA: ReadonlyMap<string, MediaOrder> = new Map(
  ['images.popcornclub.example/popcorn/300x600.jpg'].map(address => [
    address,
    { kind: 'picture', mime: 'image/jpeg', width: 300, height: 600, artwork: artworkOf(address) } as const,
  ]),
)

/** Host and path of each picture, film and sound in a tenant's documents → how it is made. */
export function mediaOf({ creatives }: TenantDocuments): ReadonlyMap<string, MediaOrder> {
  const orders = new Map<string, MediaOrder>()
  const add = (url: string, order: (artwork: Artwork) => MediaOrder): void => {
    const { host, pathname } = new URL(url)
    orders.set(host + pathname, order(artworkOf(url)))
  }
  for (const creative of creatives) {
    for (const { url, mime, width, height } of picturesOf(creative))
      add(url, artwork => ({ kind: 'picture', mime, width, height, artwork }))
    if (creative.format === 'video')
      for (const { url, mime, width, height } of creative.mediaFiles) {
        const size = { width, height, durationS: creative.durationS }
        add(url, artwork => ({ kind: 'film', mime, size, artwork }))
      }
    if (creative.format === 'audio')
      for (const { url, mime } of creative.mediaFiles)
        add(url, () => ({ kind: 'sound', mime, durationS: creative.durationS }))
  }
  return orders
}

interface Picture {
  readonly url: string
  readonly mime: string
  readonly width: number
  readonly height: number
}

function picturesOf(creative: Creative): readonly Picture[] {
  if (creative.format === 'native') return creative.assets.filter(asset => asset.kind === 'image')
  const shown = creative.format === 'banner' ? [creative] : (creative.companions ?? [])
  return shown.flatMap(({ width, height, content }) =>
    content.kind === 'image' ? [{ ...content, width, height }] : [],
  )
}

/** MPEG-1 layer III at 128 kbit/s and 44.1 kHz: a frame of nothing but zeros after its header is silence. */
export function silentMp3(durationS: number): Buffer {
  const frame = Buffer.alloc(417)
  frame.writeUInt32BE(0xfffb90c4)
  return Buffer.concat(Array.from({ length: Math.ceil((durationS * 44_100) / 1_152) }, () => frame))
}
