/** Creatives of generated tenants: banners, videos, audio and native ads, as exchanges ask for them. */
import type { Random } from '../foundation/random.ts'
import type {
  AudioCreative,
  BannerCreative,
  Creative,
  NativeCreative,
  VideoCreative,
} from '../state/creative-document.ts'
import { BANNER_SIZES, CATEGORIES, LANGUAGES, pickSize, VIDEO_SIZES } from './generator-world.ts'

const OFFERS = [
  'Ready for the season',
  'Free delivery this week',
  'Made to last',
  'Up to 30 % off',
  'New in store',
  'Book early, pay less',
  'Try it for a month',
  'Members save more',
]

/** For whom a creative is made. */
export interface CreativeOwner {
  readonly advertiserId: string
  readonly brand: string
  readonly domain: string
}

interface Drawn {
  readonly id: string
  readonly owner: CreativeOwner
  readonly offer: string
  readonly landingUrl: string
}

interface Size {
  readonly width: number
  readonly height: number
}

/** Fields that banners and videos share. */
function sized(random: Random, drawn: Drawn, size: Size) {
  return { ...base(random, drawn, `${size.width}x${size.height}`), ...size }
}

/** Fields that all formats share. */
function base(random: Random, { id, owner, offer }: Drawn, what: string) {
  return {
    id,
    name: `${owner.brand}: ${offer} ${what}`,
    advertiserId: owner.advertiserId,
    status: random.chance(0.98) ? 'active' : 'paused',
    ...(random.chance(0.15) ? { attributes: [random.pick([1, 2, 3, 4, 6, 7, 13])] } : {}),
    ...(random.chance(0.4) ? { categories: [CATEGORIES[random.zipf(CATEGORIES.length)] ?? 'IAB22'] } : {}),
    ...(random.chance(0.3) ? { language: LANGUAGES[random.zipf(LANGUAGES.length)] ?? 'en' } : {}),
  } as const
}

function htmlOf({ id, owner, offer, landingUrl }: Drawn, { width, height }: Size): string {
  return (
    `<!doctype html><html><head><meta charset="utf-8"><style>body{margin:0;font:600 16px/1.3 system-ui,sans-serif}` +
    `a{display:flex;flex-direction:column;justify-content:center;box-sizing:border-box;width:${width}px;` +
    `height:${height}px;padding:8px 14px;color:#fff;text-decoration:none;background:linear-gradient(135deg,#155e75,` +
    `#0f172a)}small{font-weight:400;opacity:.8}</style></head><body><a href="${landingUrl}" target="_blank" ` +
    `rel="noopener" data-creative="${id}"><span>${offer}</span><small>${owner.brand}</small></a></body></html>`
  )
}

function makeBanner(random: Random, drawn: Drawn): BannerCreative {
  const size = pickSize(random, BANNER_SIZES)
  const asImage = random.chance(0.4)
  return {
    format: 'banner',
    ...sized(random, drawn, size),
    bannerType: asImage ? 2 : random.pick([2, 3, 4, 4]),
    secure: true,
    content: asImage
      ? {
          kind: 'image',
          url: `https://cdn.${drawn.owner.domain}/creatives/${drawn.id}-${size.width}x${size.height}.jpg`,
          mime: random.pick(['image/jpeg', 'image/png', 'image/webp', 'image/gif'] as const),
          landingUrl: drawn.landingUrl,
          alt: `${drawn.owner.brand}: ${drawn.offer}`,
        }
      : { kind: 'html', html: htmlOf(drawn, size) },
  }
}

function makeVideo(random: Random, drawn: Drawn): VideoCreative {
  const size = pickSize(random, VIDEO_SIZES)
  const durationS = random.pick([6, 10, 15, 15, 15, 20, 30, 30, 30, 60])
  const files = `https://video.${drawn.owner.domain}/${drawn.id}`
  return {
    format: 'video',
    ...sized(random, drawn, size),
    title: `${drawn.owner.brand}: ${drawn.offer}`,
    durationS,
    ...(durationS > 10 && random.chance(0.3) ? { skipAfterS: 5 } : {}),
    vastVersion: random.pick(['2.0', '3.0', '3.0', '4.0', '4.2', '4.2'] as const),
    landingUrl: drawn.landingUrl,
    mediaFiles: [
      { url: `${files}-high.mp4`, mime: 'video/mp4', ...size, bitrateKbps: 2_500 },
      { url: `${files}-low.mp4`, mime: 'video/mp4', width: 640, height: 360, bitrateKbps: 800 },
      ...(random.chance(0.5)
        ? [{ url: `${files}.webm`, mime: 'video/webm', ...size, bitrateKbps: 1_800 } as const]
        : []),
    ],
  }
}

function makeAudio(random: Random, drawn: Drawn): AudioCreative {
  const url = `https://audio.${drawn.owner.domain}/${drawn.id}`
  return {
    format: 'audio',
    ...base(random, drawn, 'audio'),
    title: `${drawn.owner.brand}: ${drawn.offer}`,
    durationS: random.pick([10, 15, 15, 20, 30, 30]),
    vastVersion: random.pick(['4.1', '4.2', '4.2'] as const),
    olderVastVersions: ['3.0'],
    landingUrl: drawn.landingUrl,
    mediaFiles: [
      { url: `${url}.mp3`, mime: 'audio/mpeg', bitrateKbps: 128 },
      { url: `${url}.m4a`, mime: 'audio/mp4', bitrateKbps: 96 },
    ],
  }
}

function makeNative(random: Random, drawn: Drawn): NativeCreative {
  const { id, owner, offer, landingUrl } = drawn
  const image = (type: number, size: Size) => ({
    ...{ kind: 'image' as const, type, mime: 'image/jpeg' as const, ...size },
    url: `https://cdn.${owner.domain}/creatives/${id}-${size.width}x${size.height}.jpg`,
  })
  return {
    format: 'native',
    ...base(random, drawn, 'native'),
    landingUrl,
    assets: [
      { kind: 'title', text: `${offer}: what ${owner.brand} has for you` },
      { kind: 'title', text: offer },
      image(3, { width: 1_200, height: 627 }),
      image(3, { width: 600, height: 600 }),
      image(1, { width: 128, height: 128 }),
      { kind: 'data', type: 1, text: owner.brand },
      { kind: 'data', type: 2, text: `${offer} at ${owner.brand}, in stores and online` },
      { kind: 'data', type: 12, text: random.pick(['Learn more', 'Shop now', 'Sign up', 'Book now']) },
    ],
    trackers: [{ event: 1, method: 1, url: `https://t.${owner.domain}/seen?c=${id}` }],
  }
}

/** One creative. `format` as asked. Deterministic for the state of `random`. */
export function makeCreative(random: Random, id: string, owner: CreativeOwner, format: Creative['format']): Creative {
  const landingUrl = `https://www.${owner.domain}/offers?utm_source=bidcell&utm_content=${id}`
  const drawn = { id, owner, offer: random.pick(OFFERS), landingUrl }
  if (format === 'banner') return makeBanner(random, drawn)
  if (format === 'video') return makeVideo(random, drawn)
  return format === 'audio' ? makeAudio(random, drawn) : makeNative(random, drawn)
}
