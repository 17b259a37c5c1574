/**
 * Bid requests as diverse as exchanges really send them, for the replay: every format and deal form, restrictions of
 * all kinds, odd numbers, many scripts, many impressions, each spelt in one of the dialects. Drawn around the tenant's
 * own line items, so that many get a bid. The same seed gives the same requests.
 */
import type { Random } from '../service/foundation/random.ts'
import { type Json, objectFrom, objectsFrom } from './acceptance-rules.ts'
import { DIALECT_NAMES, spoken } from './dialects.ts'
import type { TenantRecords } from './tenant-records.ts'
import { drawRequest, newTrafficPools, type TrafficPools } from './traffic.ts'
import type { RecordedRequest } from './workload.ts'

/** What one request is drawn with. */
interface Draw {
  readonly pools: TrafficPools
  readonly random: Random
}

const TEXTS = [
  'top',
  'été',
  'Größe 🥾',
  '日本語',
  'עברית',
  'a"b\\c',
  '<b>&amp;',
  'line\nbreak',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a macro in a request is a text like any other
  '${AUCTION_PRICE}',
  '../x',
]
const FLOORS = [0, 0.0001, 1e-7, 0.1 + 0.2, 1.005, 2.499999999, 3, 12.3456789, 0.333_333_333_333, 250]
const CURRENCIES = [['USD'], ['EUR'], ['USD', 'EUR'], ['JPY', 'GBP'], ['XXX', 'SEK'], ['USD', 'USD']]
const CATEGORY_LISTS = [
  ['IAB25', 'IAB26'],
  ['IAB17'],
  ['IAB7-39', 'IAB8-5'],
  ['IAB22', 'IAB18'],
  ['IAB1', 'IAB17', 'IAB18'],
]
const ATTRIBUTES = [[1, 2, 3], [6, 7, 13], [16], [8, 9, 10, 17, 500]]
const APIS = [[3, 5], [7], [1, 2, 7], []]

/** Requests of all dialects, one exchange's after the other. Cost: O(documents + count). */
export function diverseRequests(
  records: TenantRecords,
  { count, exchange, random }: { readonly count: number; readonly exchange: string; readonly random: Random },
): readonly RecordedRequest[] {
  const draw = { pools: newTrafficPools(records, exchange), random }
  return Array.from({ length: count }, (_, index) => {
    const dialect = DIALECT_NAMES[index % DIALECT_NAMES.length] as (typeof DIALECT_NAMES)[number]
    const request = diverse(objectFrom(drawRequest(draw.pools, random, { index }).request), draw)
    return { source: `drawn ${index}, ${dialect}`, request: spoken(dialect, request, random) }
  })
}

/** With some probability the fields, else nothing. */
function maybe(random: Random, probability: number, fields: () => Json): Json {
  return random.chance(probability) ? fields() : {}
}

function diverse(request: Json, draw: Draw): Json {
  const { random } = draw
  const count = random.chance(0.02) ? random.between(30, 70) : random.chance(0.2) ? random.between(2, 8) : 1
  const drawn = Array.from({ length: count }, (_, i) => objectsFrom(objectFrom(more(i, draw)).imp)[0] ?? {})
  const imps = [...objectsFrom(request.imp), ...drawn.slice(1)]
  return {
    ...request,
    imp: imps.map((imp, i) => diverseImpression({ ...imp, id: impressionId(i, random) }, draw)),
    ...maybe(random, 0.4, () => ({ cur: random.pick(CURRENCIES) })),
    ...maybe(random, 0.15, () => ({ cur: undefined })),
    ...maybe(random, 0.15, () => ({ bcat: random.pick(CATEGORY_LISTS) })),
    ...maybe(random, 0.05, () => ({ bcat: ['1002', '653'], cattax: random.pick([2, 6, 7]) })),
    ...maybe(random, 0.05, () => ({ bcat: undefined, acat: random.pick(CATEGORY_LISTS) })),
    ...maybe(random, 0.1, () => ({
      badv: ['example', 'Acme-Outdoor.example', 'trailfuel.example', '', 'кто.example'],
    })),
    ...maybe(random, 0.05, () => ({ bapp: ['com.example.puzzle', '284882215'] })),
    ...maybe(random, 0.08, () => ({ wlang: random.pick([['en'], ['fr', 'de'], ['EN', 'xx'], ['ja']]) })),
    ...maybe(random, 0.04, () => ({ wseat: random.pick([['x'], ['acme-4410', '5381', 'acme-outdoor']]) })),
    ...maybe(random, 0.04, () => ({ bseat: ['x', 'y'] })),
    ...maybe(random, 0.1, () => ({ allimps: random.pick([0, 1]), test: random.pick([0, 1]) })),
    ...maybe(random, 0.1, () => ({ tmax: random.pick([1_000, 60, 12, 0.5, 1e9]) })),
    ...maybe(random, 0.1, () => ({ regs: { coppa: 1 } })),
    ...maybe(random, 0.1, () => ({ regs: { gpp: 'DBAA', gpp_sid: [6, 8], us_privacy: '1YNN', gdpr: 1 } })),
    ...maybe(random, 0.06, () => ({
      regs: { ext: { dsa: { dsarequired: random.pick([0, 1, 2, 3]), pubrender: 2 } } },
    })),
    ...maybe(random, 0.3, () => ({ ext: { [random.pick(TEXTS)]: random.pick(TEXTS), deep: { a: [{ b: [[1]] }] } } })),
  }
}

function more(index: number, { pools, random }: Draw): unknown {
  return drawRequest(pools, random, { index }).request
}

function impressionId(index: number, random: Random): string {
  return random.chance(0.1) ? `${index}-${random.pick(TEXTS)}` : String(index + 1)
}

function diverseImpression(imp: Json, draw: Draw): Json {
  const { random } = draw
  const banner = maybe(random, 0.3, () => ({ banner: diverseBanner(objectFrom(imp.banner), random) }))
  const video = maybe(random, imp.video === undefined ? 0.15 : 0.8, () => ({
    video: diverseVideo(objectFrom(imp.video), random),
  }))
  return {
    ...imp,
    ...banner,
    ...video,
    ...maybe(random, 0.08, () => ({ audio: diverseAudio(random) })),
    ...maybe(random, 0.08, () => ({ native: { request: nativeRequest(random), ver: '1.2', battr: [3] } })),
    ...maybe(random, 0.3, () => ({
      bidfloor: random.pick(FLOORS),
      bidfloorcur: random.pick(['USD', 'EUR', 'JPY', 'GBP']),
    })),
    ...maybe(random, 0.1, () => ({ bidfloorcur: undefined })),
    ...maybe(random, 0.25, () => ({ pmp: diverseDeals(draw) })),
    ...maybe(random, 0.2, () => ({
      secure: random.pick([0, 1]),
      instl: random.pick([0, 1]),
      rwdd: random.pick([0, 1]),
    })),
    ...maybe(random, 0.05, () => ({ qty: { multiplier: random.pick([1, 4.5, 12]), sourcetype: 1 }, exp: 300 })),
    ...maybe(random, 0.1, () => ({
      tagid: random.pick(TEXTS),
      displaymanager: random.pick(TEXTS),
      metric: [{ type: 'x' }],
    })),
  }
}

function diverseBanner(banner: Json, random: Random): Json {
  return {
    ...(banner.w === undefined && banner.format === undefined ? { w: 300, h: 250 } : banner),
    ...maybe(random, 0.3, () => ({ battr: random.pick(ATTRIBUTES) })),
    ...maybe(random, 0.2, () => ({ btype: random.pick([[1], [3], [4], [1, 2]]) })),
    ...maybe(random, 0.2, () => ({
      mimes: random.pick([['image/png', 'text/html'], ['image/gif'], ['application/x-shockwave-flash']]),
    })),
    ...maybe(random, 0.3, () => ({ api: random.pick(APIS), pos: random.pick([0, 1, 4, 7]) })),
    ...maybe(random, 0.05, () => ({ w: undefined, h: undefined, format: [{ wratio: 16, hratio: 9, wmin: 300 }] })),
  }
}

function diverseVideo(video: Json, random: Random): Json {
  return {
    ...{ mimes: ['video/mp4'], protocols: [2, 3, 5, 6, 7, 8], minduration: 5, maxduration: 30, w: 640, h: 360 },
    ...video,
    ...maybe(random, 0.2, () => ({
      mimes: random.pick([['video/webm'], ['video/mp4', 'application/javascript'], ['video/x-flv']]),
    })),
    ...maybe(random, 0.3, () => ({ protocols: random.pick([[2], [3, 6], [7, 8], [11, 13], [1, 4, 9]]) })),
    ...maybe(random, 0.1, () => ({ protocols: undefined })),
    ...maybe(random, 0.15, () => ({
      minduration: undefined,
      maxduration: undefined,
      rqddurs: random.pick([[15, 30], [6], [20]]),
    })),
    ...maybe(random, 0.1, () => ({ minduration: 0, maxduration: random.pick([6, 15, 600]) })),
    ...maybe(random, 0.2, () => ({ battr: random.pick(ATTRIBUTES), skip: 1, skipmin: 10, skipafter: 5 })),
    ...maybe(random, 0.2, () => ({
      api: random.pick(APIS),
      playbackmethod: [1, 2, 6],
      delivery: [1, 2],
      placement: 1,
    })),
    ...maybe(random, 0.06, () => ({ mincpmpersec: random.pick([0.01, 0.2, 3]) })),
    ...maybe(random, 0.06, () => ({
      durfloors: [
        { mindur: 1, maxdur: 15, bidfloor: 1.5 },
        { mindur: 16, bidfloor: 40 },
      ],
    })),
    ...maybe(random, 0.05, () => ({ linearity: random.pick([1, 2]), startdelay: random.pick([-2, -1, 0, 30]) })),
  }
}

function diverseAudio(random: Random): Json {
  return {
    mimes: random.pick([['audio/mpeg', 'audio/mp4'], ['audio/ogg']]),
    ...{ minduration: 5, maxduration: 60, protocols: [2, 3, 7, 9, 11, 13], feed: 3, stitched: 1, nvol: 2 },
  }
}

/** As text, as 1.1 and later spell it, or inside a root object as 1.0 did. */
function nativeRequest(random: Random): string {
  const assets = [
    { id: 1, required: 1, title: { len: 90 } },
    { id: 2, required: random.pick([0, 1]), img: { type: 3, wmin: 300, hmin: 157 } },
    { id: 3, required: 0, data: { type: random.pick([1, 2, 12]), len: 140 } },
  ]
  const native = {
    ver: '1.2',
    context: 1,
    plcmttype: 1,
    assets,
    eventtrackers: [{ event: 1, methods: [1, 2] }],
    privacy: 1,
  }
  return JSON.stringify(random.chance(0.3) ? { native } : native)
}

function diverseDeals({ pools, random }: Draw): Json {
  const lineItem = random.pick(pools.lineItems.filter(each => each.deals !== undefined))
  const id = random.pick(lineItem?.deals ?? ['nobody'])
  const deal = (dealId: string): Json => ({
    id: dealId,
    ...maybe(random, 0.6, () => ({
      bidfloor: random.pick(FLOORS),
      bidfloorcur: random.pick(['USD', 'EUR', undefined]),
    })),
    ...maybe(random, 0.6, () => ({ at: random.pick([1, 2, 3]) })),
    ...maybe(random, 0.15, () => ({ wseat: random.pick([['x'], ['acme-4410', '5381', 'acme-outdoor']]) })),
    ...maybe(random, 0.15, () => ({
      wadomain: random.pick([['acme-outdoor.example', 'northpeak.example'], ['x.example']]),
    })),
    ...maybe(random, 0.05, () => ({ mincpmpersec: 0.1, guar: 1 })),
  })
  const deals = [deal(id), deal('of-others'), ...(random.chance(0.2) ? [deal(id)] : [])]
  return {
    deals: random.chance(0.5) ? deals : deals.reverse(),
    ...maybe(random, 0.5, () => ({ private_auction: random.pick([0, 1]) })),
  }
}
