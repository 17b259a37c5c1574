/** Random tenants and impressions over a tiny vocabulary, so that everything meets everything. Seeded by the caller. */
import type { LengthFloors } from '../../service/decision/length-floors.ts'
import type { MediaOffer, NativeOffer, Opportunity } from '../../service/decision/opportunity.ts'
import type { Random } from '../../service/foundation/random.ts'
import type { Nanos } from '../../service/foundation/units.ts'
import { AUDIO_SLOT, bannerSlot, NATIVE_SLOT, VIDEO_SLOT } from '../../service/state/catalog.ts'
import type { AudioCreative, Creative, NativeCreative, VideoCreative } from '../../service/state/creative-document.ts'
import { IMPRESSION_DIMENSIONS } from '../../service/state/dimensions.ts'
import type { LineItem, TenantDocuments } from '../../service/state/documents.ts'
import { mimeBit } from '../../service/state/vocabulary.ts'
import { randomLists, randomTargeting, randomValue, some, VALUES } from './targeting.ts'

const SIZES = [
  [300, 250],
  [320, 50],
  [728, 90],
] as const
const DEALS = ['deal-1', 'deal-2', 'deal-3']
const APPS = ['com.example.a', 'com.example.b', '123'] as const
const APPROVALS = ['pending', 'approved', 'approved', 'refused'] as const
const PAGE_RULES = ['one-per-advertiser', 'one-per-creative', 'any'] as const
const MIMES = ['image/png', 'text/html'] as const
const VIDEO_MIMES = ['video/mp4', 'video/webm'] as const
const AUDIO_MIMES = ['audio/mpeg', 'audio/ogg'] as const

function randomCreative(random: Random, index: number, alike: boolean): Creative {
  const base = {
    id: `cr-${index}`,
    name: `Creative ${index}`,
    advertiserId: `ad-${alike ? 0 : index % 3}`,
    status: random.chance(0.95) || alike ? 'active' : 'paused',
    ...(random.chance(0.4) && !alike ? { attributes: some(random, [1, 3, 8], 2) } : {}),
    ...(random.chance(0.3) && !alike ? { categories: some(random, VALUES.category, 2) } : {}),
    ...(random.chance(0.3) && !alike ? { language: random.pick(['en', 'de', 'fr']) } : {}),
    ...(random.chance(0.1) && !alike ? { apis: some(random, [5, 7], 2) } : {}),
    ...(random.chance(0.3) && !alike ? { rendersTransparency: random.chance(0.7) } : {}),
    ...(random.chance(0.2) && !alike ? { appBundle: random.pick(APPS) } : {}),
    ...(random.chance(0.4) && !alike ? { approvals: { adx: random.pick(APPROVALS) } } : {}),
  } as const
  if (alike || random.chance(0.7)) {
    const [width, height] = alike ? SIZES[0] : random.pick(SIZES)
    const mime = random.pick(MIMES)
    const content =
      mime === 'text/html'
        ? ({ kind: 'html', html: random.pick(['<b>ad</b>', '<iframe></iframe>', '<script></script>', 'ad']) } as const)
        : ({ kind: 'image', url: 'https://cdn.example.com/a.png', mime, landingUrl: 'https://example.com/' } as const)
    const secure = alike || random.chance(0.8)
    return { ...base, format: 'banner', width, height, bannerType: random.between(1, 4), secure, content }
  }
  return { ...base, ...(random.chance(0.7) ? randomVast(random) : randomNative(random)) }
}

type VastParts = Omit<VideoCreative, 'id' | 'name' | 'advertiserId' | 'status'>
type AudioParts = Omit<AudioCreative, 'id' | 'name' | 'advertiserId' | 'status'>

type NativeParts = Omit<NativeCreative, 'id' | 'name' | 'advertiserId' | 'status'>

function randomNative(random: Random): NativeParts {
  const texts = ['Short', 'A title of some length']
  const assets = [
    ...some(random, texts, 2).map(text => ({ kind: 'title', text }) as const),
    ...some(random, texts, 2).map(text => ({ kind: 'data', type: random.between(1, 2), text }) as const),
    {
      ...({
        kind: 'image',
        type: random.pick([1, 3]),
        mime: 'image/png',
        url: 'https://cdn.example.com/i.png',
      } as const),
      ...{ width: random.pick([80, 600]), height: random.pick([80, 300]) },
    } as const,
  ]
  return { format: 'native', landingUrl: 'https://example.com/', assets: some(random, assets, 5) }
}

function randomNativeOffer(random: Random): NativeOffer {
  const free = { exact: 0, min: 0 }
  const wish = () => ({
    ...{ id: 1, required: random.chance(0.4), code: random.pick([1, 17, 19, 33, 34, 48]) },
    ...{ charsMax: random.pick([5, 21, 22, 90]), mimes: random.chance(0.2) ? mimeBit('image/png') : 0 },
    width: random.pick([free, { exact: 80, min: 0 }, { exact: 0, min: 100 }]),
    height: random.pick([free, { exact: 0, min: 80 }]),
  })
  return {
    wishes: Array.from({ length: random.between(1, 3) }, wish),
    blockedAttributes: randomMask(random, [8]),
    frameworks: randomMask(random, some(random, [5, 7], 2)),
    ...{ wrapped: false, version: '1.2', events: undefined, privacy: false },
  }
}

/** A video or audio ad, in one version or two, in line or a wrapper. */
function randomVast(random: Random): VastParts | AudioParts {
  const file = { url: 'https://cdn.example.com/a.mp4', bitrateKbps: 800 }
  const vastVersion = random.pick(['2.0', '3.0', '4.2'] as const)
  const wraps = random.chance(0.2)
  const vast = {
    title: 'A',
    durationS: random.pick([6, 15, 30]),
    ...(random.chance(0.3) ? { skipAfterS: 5 } : {}),
    vastVersion,
    ...(vastVersion === '4.2' && random.chance(0.5) ? { olderVastVersions: ['2.0', '3.0'] as const } : {}),
    landingUrl: 'https://example.com/',
  }
  const wrapper = (mimes: readonly (typeof VIDEO_MIMES)[number][] | readonly (typeof AUDIO_MIMES)[number][]) =>
    wraps ? { wrapper: { vastTagUrl: 'https://tags.example.com/vast', mimes } } : {}
  if (random.chance(0.7)) {
    const mimes = some(random, VIDEO_MIMES, 2)
    const mediaFiles = wraps ? [] : mimes.map(mime => ({ ...file, mime, width: 640, height: 360 }))
    return { format: 'video', width: 640, height: 360, ...vast, mediaFiles, ...wrapper(mimes) }
  }
  const mimes = some(random, AUDIO_MIMES, 2)
  return {
    format: 'audio',
    ...vast,
    mediaFiles: wraps ? [] : mimes.map(mime => ({ ...file, mime })),
    ...wrapper(mimes),
  }
}

function randomLineItem(random: Random, index: number, creatives: readonly Creative[], alike: boolean): LineItem {
  const flights = [
    { start: '2026-01-01T00:00:00Z', end: '2026-11-21T12:00:00Z' },
    { start: '2026-11-21T12:00:00Z' },
    { end: '2027-01-01T00:00:00+02:00' },
    { start: '2026-12-01T00:00:00Z' },
  ]
  const campaign = alike ? 0 : random.pickIndex(4)
  const own = creatives.filter(creative => creative.advertiserId === `ad-${campaign % 3}`)
  return {
    id: `li-${index}`,
    name: `Line item ${index}`,
    campaignId: `ca-${campaign}`,
    status: alike || random.chance(0.95) ? 'active' : 'paused',
    priority: alike ? 1 : random.between(1, 4),
    price: { cpm: alike ? 2 : random.between(1, 8) / 2 },
    ...(!alike && random.chance(0.3) ? { flight: random.pick(flights) } : {}),
    ...(!alike && random.chance(0.2) ? { passThroughRate: random.pickIndex(2) } : {}),
    targeting: alike ? {} : randomTargeting(random),
    ...(alike ? {} : random.chance(0.3) ? { deals: some(random, DEALS, 2) } : { roadblock: random.chance(0.08) }),
    creativeIds: (alike ? own : some(random, own, 4)).map(creative => creative.id),
  }
}

function randomExchange(random: Random, id: string, mayAsk: boolean): TenantDocuments['exchanges'][number] {
  return {
    ...{ id, name: id, status: 'active', currency: 'USD', noBid: 'empty', gzip: false, networkAllowanceMs: 0 },
    ...(mayAsk && random.chance(0.2) ? { creativeApproval: 'needed' } : {}),
    ...(mayAsk && random.chance(0.1) ? { requiredFields: ['language'] } : {}),
  }
}

/** A tenant of up to about 120 line items. `alike`: all equal, for any 300x250 banner. */
export function randomTenant(
  random: Random,
  { lineItems = random.chance(0.1) ? 1_500 : random.between(0, 80), alike = false } = {},
): TenantDocuments {
  const creatives = Array.from({ length: alike ? 1 : 18 }, (_, index) => randomCreative(random, index, alike))
  const onPage = random.chance(0.3) ? {} : { onPage: random.pick(PAGE_RULES) }
  const guards = alike || random.chance(0.9) ? {} : { guards: { cpmMax: random.pick([2.5, 3.5]) } }
  return {
    settings: { name: 'Random', status: 'active', timeZone: 'UTC', currency: 'USD', ...onPage, ...guards },
    rates: { asOf: '2026-11-21T00:00:00Z', rates: { EUR: 1.1 } },
    exchanges: VALUES.exchange.map((id, index) => randomExchange(random, id, index === 0 && !alike)),
    advertisers: [0, 1, 2].map(index => ({
      id: `ad-${index}`,
      name: `Advertiser ${index}`,
      domain: ['shop.com', 'deep.shop.com', 'other.org'][index] as string,
      categories: index === 1 ? ['IAB1-6'] : [],
      ...(index === 2 ? {} : { transparency: { behalf: 'A', paid: 'B' } }),
    })),
    campaigns: [0, 1, 2, 3].map(index => ({
      id: `ca-${index}`,
      name: `Campaign ${index}`,
      advertiserId: `ad-${index % 3}`,
      status: index === 3 ? 'paused' : 'active',
      ...(index === 2 ? { flight: { end: '2026-11-30T00:00:00Z' } } : {}),
    })),
    creatives,
    ...randomLists(random),
    lineItems: Array.from({ length: lineItems }, (_, index) => randomLineItem(random, index, creatives, alike)),
  }
}

function randomLengthFloors(random: Random): LengthFloors | undefined {
  if (random.chance(0.8)) return undefined
  return {
    perSecondNanos: random.chance(0.5) ? random.between(1, 9) * 40_000.5 : 0,
    marginNanos: random.between(0, 2),
    ranges: [
      { minS: 0, maxS: 10, floorNanos: random.between(0, 8) * 500_000 },
      { minS: 11, maxS: 20, floorNanos: random.between(0, 8) * 500_000 },
    ],
  }
}

/** An impression with banner sizes, a video, or both. */
export function randomOpportunity(random: Random): Opportunity {
  const withBanner = random.chance(0.8)
  const withAudio = random.chance(0.2)
  const withNative = random.chance(0.2)
  const withVideo = random.chance(0.4) || !(withBanner || withAudio || withNative)
  const sizes = some(random, SIZES, 2).map(([width, height]) => bannerSlot(width, height))
  const mask = (codes: readonly number[]) => randomMask(random, codes)
  const floor = () => (random.between(0, 8) * 500_000) as Nanos
  const randomDeal = (id: string) => ({
    id,
    seat: '',
    floorNanos: floor(),
    lengthFloors: randomLengthFloors(random),
    isFixedPrice: random.chance(0.3),
    advertiserDomains: random.chance(0.2) ? some(random, ['shop.com', 'deep.shop.com', 'none.org'], 2) : [],
  })
  return {
    values: IMPRESSION_DIMENSIONS.map(name => randomValue(random, name)),
    slots: [
      ...(withBanner ? sizes : []),
      ...(withVideo ? [VIDEO_SLOT] : []),
      ...(withAudio ? [AUDIO_SLOT] : []),
      ...(withNative ? [NATIVE_SLOT] : []),
    ],
    banner: withBanner
      ? {
          mimes: random.chance(0.3) ? mimeBit(random.pick(MIMES)) : 0,
          blockedAttributes: mask(some(random, [1, 3, 8], 2)),
          blockedTypes: mask(some(random, [1, 2, 3, 4], 2)),
          frameworks: mask(some(random, [5, 7], 2)),
          asksForShape: false,
        }
      : undefined,
    video: withVideo ? randomMediaOffer(random, VIDEO_MIMES) : undefined,
    native: withNative ? randomNativeOffer(random) : undefined,
    audio: withAudio ? randomMediaOffer(random, AUDIO_MIMES) : undefined,
    secure: random.chance(0.4),
    floorNanos: floor(),
    deals: random.chance(0.4) ? some(random, [...DEALS, 'deal-9', '\u0001ca-0', '\u0001ca-1'], 3).map(randomDeal) : [],
    privateAuction: random.chance(0.1),
    multiplier: random.pick([1, 1, 1, 12.5, 0]),
  }
}

function randomMask(random: Random, codes: readonly number[]): number {
  return random.chance(0.3) ? codes.reduce((mask, code) => mask | (1 << code), 0) : 0
}

function randomMediaOffer(random: Random, mimes: readonly string[]): MediaOffer {
  return {
    mimes: mimeBit(random.pick(mimes)),
    protocols: randomMask(random, some(random, [2, 3, 5, 6, 13, 14], 4)),
    blockedAttributes: randomMask(random, [8, 16]),
    frameworks: randomMask(random, some(random, [5, 7], 2)),
    minDurationS: random.pick([0, 10]),
    maxDurationS: random.pick([15, 60]),
    exactDurationsS: random.chance(0.2) ? [15, 30] : [],
    lengthFloors: randomLengthFloors(random),
  }
}
