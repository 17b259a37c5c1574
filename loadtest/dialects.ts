/** The dialects in which one and the same bid request is spelt: versions of OpenRTB, and habits of kinds of sender. */
import type { Random } from '../service/foundation/random.ts'
import { type Json, objectFrom, objectsFrom, textsFrom } from './acceptance-rules.ts'

type Dialect = (request: Json, random: Random) => Json

/** A dialect takes a request in the words of OpenRTB 2.6 and spells it its own way. */
const DIALECTS = {
  'OpenRTB 2.3': request => inOlderPlaces(withImpressions(request, imp => withoutFormats(oneProtocol(imp)))),
  'OpenRTB 2.4': request => inOlderPlaces(request),
  'OpenRTB 2.5': request => inOlderPlaces(withImpressions(request, wantsReward)),
  'OpenRTB 2.6': request => request,
  'Prebid Server': request => ({
    ...withImpressions(request, imp => ({
      ...imp,
      ext: { prebid: { bidder: { acme: {} } }, tid: 'a-1', ...objectFrom(imp.ext) },
    })),
    ext: { prebid: { targeting: { includewinners: true }, channel: { name: 'web' } }, ...objectFrom(request.ext) },
  }),
  'a phone app': request => {
    const { site: _, ...rest } = request
    const app = { id: 'a-1', bundle: 'com.skycast.weather', name: 'SkyCast ☂', cat: ['IAB15-10'], paid: 0 }
    const device = {
      ...objectFrom(request.device),
      devicetype: 4,
      os: 'iOS',
      osv: '18.1',
      make: 'Apple',
      model: 'iPhone',
    }
    return { ...rest, app, device, user: { ...objectFrom(request.user), data: [{ id: 'd', segment: [{ id: 's1' }] }] } }
  },
  'a television set': request => {
    const { site: _, ...rest } = request
    const content = {
      title: 'Über den Gipfel',
      series: '山',
      season: '2',
      genre: 'documentary',
      livestream: 0,
      len: 2_700,
    }
    const app = { bundle: 'B00ABC', name: 'TV', storeurl: 'https://tv.example/B00ABC', content }
    return { ...rest, app, device: { ...objectFrom(request.device), devicetype: 3, os: 'tizen', ifa: 'none' } }
  },
  'a screen in public': ({ site: _site, app: _app, ...request }) => ({
    ...request,
    dooh: { id: 's-1', venuetype: ['transit.airports'], venuetypetax: 1, publisher: { id: 'p' } },
  }),
  'numbers as a float library writes them': (request, random) =>
    withImpressions(request, imp => ({
      ...imp,
      bidfloor: typeof imp.bidfloor === 'number' ? imp.bidfloor + random.pick([0, 1e-12, -1e-12]) : imp.bidfloor,
    })),
  'nothing that is not needed': request => ({
    id: request.id,
    imp: objectsFrom(request.imp).map(({ id, banner, video, bidfloor, bidfloorcur }) => ({
      id,
      banner,
      video,
      bidfloor,
      bidfloorcur,
    })),
    cur: request.cur,
  }),
  'null for what is unknown': request => ({ ...NULLS, ...withImpressions(request, imp => ({ ...NULL_IMP, ...imp })) }),
} as const satisfies Record<string, Dialect>

const NULLS = { wseat: null, bseat: null, badv: null, bcat: null, regs: null, user: null, site: null, app: null }
const NULL_IMP = { banner: null, video: null, audio: null, native: null, pmp: null, secure: null, bidfloorcur: null }

/** All dialects. */
export const DIALECT_NAMES = Object.keys(DIALECTS) as readonly (keyof typeof DIALECTS)[]

/** The request in a dialect. Fields that are undefined go away when it is written as JSON. Changes nothing. */
export function spoken(dialect: keyof typeof DIALECTS, request: Json, random: Random): Json {
  return DIALECTS[dialect](request, random)
}

function withImpressions(request: Json, change: (imp: Json) => Json): Json {
  return { ...request, imp: objectsFrom(request.imp).map(change) }
}

/** Up to OpenRTB 2.5 consent and law stood in ext, and so did ids and the supply chain. */
function inOlderPlaces(request: Json): Json {
  const { gdpr, us_privacy, gpp, gpp_sid, ...regs } = objectFrom(request.regs)
  const { consent, eids, ...user } = objectFrom(request.user)
  const { schain, ...source } = objectFrom(request.source)
  const { cattax: _, wlang, ...rest } = request
  return {
    ...rest,
    ...(request.cattax === undefined ? {} : { bcat: undefined }),
    ...(textsFrom(wlang).length > 0 ? { wlang } : {}),
    regs: { ...regs, ext: { ...objectFrom(regs.ext), gdpr, us_privacy, gpp, gpp_sid } },
    user: { ...user, ext: { consent, eids } },
    source: { ...source, ext: { schain } },
  }
}

/** OpenRTB 2.3 had one size per banner, and its list of formats was an extension of some. */
function withoutFormats(imp: Json): Json {
  const { format, ...banner } = objectFrom(imp.banner)
  if (imp.banner === undefined) return imp
  const first = objectsFrom(format)[0] ?? {}
  return {
    ...imp,
    banner: { ...banner, w: banner.w ?? first.w, h: banner.h ?? first.h, wmax: 970, hmax: 600, id: '1' },
  }
}

function oneProtocol(imp: Json): Json {
  const { protocols, rqddurs: _, ...video } = objectFrom(imp.video)
  if (imp.video === undefined) return imp
  return { ...imp, video: { ...video, protocol: Array.isArray(protocols) ? protocols[0] : undefined, sequence: 1 } }
}

/** Rewarded places were an extension until 2.6. */
function wantsReward(imp: Json): Json {
  const { rwdd, ...rest } = imp
  return rwdd === undefined
    ? imp
    : { ...rest, ext: { ...objectFrom(imp.ext), rewarded: rwdd, is_rewarded_inventory: rwdd } }
}
