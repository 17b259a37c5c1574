import { isDeepStrictEqual } from 'node:util'
import { describe, expect, test } from 'vitest'
import { diverseRequests } from '../../loadtest/diverse-traffic.ts'
import type { TenantRecords } from '../../loadtest/tenant-records.ts'
import { byteMutation, jsonMutation } from '../../test/fuzz/mutation.ts'
import { compiledTenant, sampleTenant } from '../../test/sample-catalog.ts'
import { Random } from '../foundation/random.ts'
import { CAP_SUBJECTS } from '../state/cap-fields.ts'
import { bannerSlot, FORMAT } from '../state/catalog.ts'
import type { Creative } from '../state/creative-document.ts'
import { DIMENSION_NAMES } from '../state/dimensions.ts'
import type { Exchange } from '../state/exchange-document.ts'
import { MACROS } from '../state/macros.ts'
import { brokenRule } from './acceptance.ts'
import { shapeMembers } from './banner-shape.ts'
import { expiryS } from './expiry.ts'
import { objectOf } from './json.ts'
import { HOLE_CLOSES, HOLE_OPENS } from './macro-text.ts'
import { filledFragment, fragmentWithHoles } from './macro-values.ts'
import { type BidRequest, type Impression, type ReadTerms, readRequest } from './read-request.ts'
import { parseRequest, type Shape } from './request-json.ts'
import { BID_REQUEST } from './request-shapes.ts'
import { readAgent } from './user-agent.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const DRAWN = 300
const MUTATED = 600
const THINNED = 200

const documents = sampleTenant()
const FORMATS = Object.keys(FORMAT) as readonly (keyof typeof FORMAT)[]
/** One creative of each format. */
const creatives = FORMATS.map(format => ({
  ...(documents.creatives.find(each => each.format === format) as Creative),
  apis: [7],
}))
const catalog = compiledTenant({ ...documents, creatives, lineItems: [] })
/** Their places in the catalog, where one can have several. */
const ORDINALS = FORMATS.map(format => catalog.columns.creativeFormat.indexOf(FORMAT[format]))
const SAID = {
  ...{ adomain: ['shop.example'], cat: ['IAB18-6'], bundle: 'com.shop', language: 'en', apis: [7] },
  ext: { dsa: { adrender: 0 } },
}
const EXCHANGE: Exchange = {
  ...{ id: 'adx', name: 'Exchange', status: 'active', seat: 'seat-1', currency: 'USD', noBid: 'empty', gzip: true },
  networkAllowanceMs: 20,
}
/** As if line items targeted, counted and knew everything. */
const TERMS: ReadTerms = {
  ...{ exchange: EXCHANGE, rates: catalog.header.rates, daypart: '5', nowMs: Date.parse('2026-11-21T22:30:00Z') },
  ...{ waitedMs: 0, targeted: DIMENSION_NAMES, slotsKnown: new Map([[bannerSlot(300, 250), 0]]), readAgent },
  needsFrameworks: true,
  identity: { salt: 7, subjects: 2 ** CAP_SUBJECTS.length - 1 },
  audience: { isEmpty: false, addSegments: (idText, _, found) => void found.push(idText) },
}
const FILLED_AT_LOAD = ['CREATIVE_ID', 'ADVERTISER_ID', 'ADVERTISER_DOMAIN', 'CLICK_URL']
const ALL_MACROS = fragmentWithHoles(
  Object.keys(MACROS)
    .filter(name => !FILLED_AT_LOAD.includes(name))
    .map(name => `${HOLE_OPENS}${name}:js${HOLE_CLOSES}`)
    .join(),
)

/** All that readers make of a parsed body, but for what they hand on as it came. */
function allReadOf(body: unknown): unknown {
  const read = readRequest(body, TERMS)
  if (read.kind === 'malformed') return read
  const { request: _, impressions, ...rest } = read
  return { ...rest, impressions: impressions.map(impression => readAgain(impression, read)) }
}

/** The opportunity, and what is read of an impression when there is a bid for it. */
function readAgain({ id, imp, opportunity, reason }: Impression, { request, currency, seat }: BidRequest) {
  const lots = [{ id: '', seat }, ...(opportunity?.deals ?? [])]
  const made = { impId: id, imp, lineItem: 0, price: 1_000, currency, catalog, rates: catalog.header.rates }
  const broken = ORDINALS.map(creative =>
    lots.map(deal =>
      brokenRule({ ...made, creative, dealId: deal.id, seat: deal.seat }, request, { saidOf: () => SAID }),
    ),
  )
  const ids = { bidId: 'b', noticeToken: '', exchangeId: 'adx', dealId: '', campaignId: 'ca', lineItemId: 'li' }
  return {
    ...{ id, opportunity, reason, broken },
    expiryS: expiryS(EXCHANGE, request, imp),
    macros: filledFragment(ALL_MACROS, { ...ids, request, imp, nowMs: TERMS.nowMs, cacheBuster: 1 }),
    shape: shapeMembers(objectOf(imp.banner), 300, 250),
  }
}

const FLOORS = [{ mindur: 1, maxdur: 60, bidfloor: 0.01 }]
const BANNER = {
  ...{ w: 320, h: 50, wratio: 6, hratio: 5, wmin: 100, battr: [9], btype: [1], api: [7], pos: 1 },
  format: [
    { w: 728, h: 90 },
    { w: 320, h: 100, wratio: 6, hratio: 5, wmin: 100 },
  ],
  mimes: ['text/html', 'image/png'],
}
const MEDIA = {
  ...{ mimes: ['video/mp4', 'audio/mpeg'], protocols: [2, 3, 7, 13], protocol: 2, battr: [9], api: [7], linearity: 1 },
  ...{ w: 640, h: 360, pos: 1, plcmt: 1, ext: { rewarded: 0 }, minduration: 5, maxduration: 60, poddur: 90 },
  ...{ rqddurs: [15, 30], mincpmpersec: 0.001, durfloors: FLOORS },
}
const NATIVE = {
  ...{ ver: '1.2', battr: [9], api: [7] },
  request: {
    ...{ ver: '1.2', privacy: 1, eventtrackers: [{ event: 1, methods: [1] }] },
    assets: [
      { id: 1, required: 1, title: { len: 90 } },
      { id: 2, img: { type: 3, w: 1, h: 1, wmin: 300, hmin: 157, mimes: ['image/jpeg'] } },
      { id: 3, data: { type: 2, len: 90 } },
    ],
  },
}
const DEAL = {
  ...{ id: 'd-1', bidfloor: 0.5, bidfloorcur: 'USD', at: 3, wseat: ['seat-1'], wadomain: ['shop.example'] },
  ...{ mincpmpersec: 0.01, durfloors: FLOORS },
}
const IMP = {
  ...{ id: 'i-1', banner: BANNER, video: MEDIA, audio: MEDIA, native: NATIVE, instl: 0, tagid: 'top', secure: 0 },
  ...{ bidfloor: 0.1, bidfloorcur: 'USD', rwdd: 0, exp: 45, qty: { multiplier: 2 } },
  pmp: { private_auction: 0, deals: [DEAL, { id: 'd-2' }] },
}
const WORDS = { cat: ['IAB1-6'], cattax: 1, keywords: 'trail,run', kwarray: ['golf'] }
const PLACE = {
  ...{ ...WORDS, id: 'p-1', domain: 'news.example', page: 'https://news.example/a', bundle: 'com.news' },
  ...{ sectioncat: ['IAB2'], pagecat: ['IAB3-1'], publisher: { id: 'pub-7' }, content: WORDS },
}
const GEO = {
  ...{ lat: 52.52, lon: 13.405, country: 'DEU', region: 'BE', metro: '501', city: 'Berlin', zip: '10115' },
  utcoffset: 60,
}
const DEVICE = {
  ...{ ua: 'Mozilla/5.0 (Linux; Android 15; Pixel 9) Chrome/131.0.0.0 Mobile Safari/537.36', geo: GEO, dnt: 0, lmt: 0 },
  ...{ ip: '192.0.2.77', ipv6: '2001:db8:12:34::1', ifa: '5b2d1f0e-7c8a-4f6e-9d3c-2a1b0c9d8e7f', devicetype: 4 },
  ...{ make: 'Google', model: 'Pixel', os: 'Android', osv: '15', language: 'en', langb: 'en-GB', connectiontype: 2 },
  ...{ carrier: 'T-Mobile', mccmnc: '310-260' },
  sua: { browsers: [{ brand: 'Opera', version: ['9'] }], platform: { brand: 'Android', version: ['15'] } },
}
const EIDS = [{ source: 'id.example', uids: [{ id: 'e-1' }] }]
const USER = {
  ...{ id: 'u-1', buyeruid: 'b-1', keywords: 'ski', kwarray: ['tea'], geo: GEO, consent: '', eids: EIDS },
  ...{ data: [{ id: 'prov', segment: [{ id: 's-1' }] }], ext: { consent: '', eids: EIDS } },
}
const HARMLESS = { gdpr: 0, us_privacy: '', gpp: '', gpp_sid: [] }
const REGS = { ...HARMLESS, coppa: 0, ext: { ...HARMLESS, gpc: 0, dsa: { dsarequired: 2, pubrender: 2 } } }
const REQUEST = {
  ...{ id: 'r-1', imp: [IMP], device: DEVICE, user: USER, regs: REGS, test: 0, tmax: 200, allimps: 1, cur: ['USD'] },
  ...{ wseat: ['seat-1'], bseat: ['other'], wlang: ['en'], wlangb: ['en-GB'], acat: ['IAB18'], bcat: ['IAB25'] },
  ...{ cattax: 1, badv: ['rival.example'], bapp: ['com.rival'] },
}
/** Everything in its place of OpenRTB 2.6, and each of the three kinds of places; then what older versions send. */
const RICH: readonly object[] = [
  ...[{ site: PLACE }, { app: PLACE }, { dooh: PLACE }].map(place => ({ ...REQUEST, ...place })),
  {
    ...{ ...REQUEST, app: { ...PLACE, bundle: undefined }, regs: { ext: REGS.ext }, user: { ext: USER.ext } },
    imp: [{ ...IMP, native: { ...NATIVE, request: JSON.stringify(NATIVE.request) } }],
    device: { ua: DEVICE.ua, sua: DEVICE.sua, langb: 'en-GB' },
  },
  { ...REQUEST, site: PLACE, regs: { coppa: 1, gpp: 'DBAA', ext: { gpp_sid: [7] } }, user: { consent: 'C' } },
].map(request => JSON.parse(JSON.stringify(request)) as object)

/** Copies of a value, each without one of its members, however deep. */
function withoutOne(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value.flatMap((item, i) => withoutOne(item).map(less => value.with(i, less)))
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, member]) => {
    const others = Object.entries(value).filter(([other]) => other !== name)
    return [Object.fromEntries(others), ...withoutOne(member).map(less => ({ ...value, [name]: less }))]
  })
}

/** The value without some of its members, however deep. */
function thinned(value: unknown, random: Random): unknown {
  if (Array.isArray(value)) return value.map(item => thinned(item, random))
  if (typeof value !== 'object' || value === null) return value
  const kept = Object.entries(value).filter(([name]) => name === 'id' || name === 'imp' || random.chance(0.75))
  return Object.fromEntries(kept.map(([name, member]) => [name, thinned(member, random)]))
}

/** Notes what is read of requests by places such as `imp.banner.w`. */
class Watch {
  /** What is read that the shapes do not have. */
  readonly foreign = new Set<string>()
  /** Of each shape what is read and was there. */
  readonly read = new Map<Shape, Set<string>>()

  /** The value as it is, but that it tells what is read of it. */
  over(value: unknown, known: Shape | 'whole', path = ''): unknown {
    if (typeof value !== 'object' || value === null || known === 'whole') return value
    const get = Array.isArray(value) ? this.#item : this.#member
    const refuse = (): never => {
      throw new Error(`names of ${path || 'the request'} are asked for, of which the shape always has all`)
    }
    const trap = Array.isArray(value) ? {} : { has: refuse, ownKeys: refuse, getOwnPropertyDescriptor: refuse }
    return new Proxy(value, { ...trap, get: (target, name) => get.call(this, target, name, { known, path }) })
  }

  #item(list: object, name: string | symbol, { known, path }: Place): unknown {
    const item: unknown = Reflect.get(list, name)
    return typeof name === 'string' && /^\d+$/.test(name) ? this.over(item, known, path) : item
  }

  #member(owner: object, name: string | symbol, { known, path }: Place): unknown {
    const member: unknown = Reflect.get(owner, name)
    if (typeof name === 'symbol' || ['toJSON', 'then', 'constructor'].includes(name)) return member
    const inner = known.inner[known.names.indexOf(name)]
    if (inner === undefined) {
      this.foreign.add(`${path}.${name}`.slice(1))
      return member
    }
    if (member !== undefined) this.read.set(known, (this.read.get(known) ?? new Set()).add(name))
    return this.over(member, inner, `${path}.${name}`)
  }
}

interface Place {
  readonly known: Shape
  readonly path: string
}

/** Every member of the shapes by its place. */
function placesOf(known: Shape, path = ''): readonly (readonly [place: string, known: Shape, name: string])[] {
  return known.names.flatMap((name, place) => {
    const inner = known.inner[place]
    const at = `${path}.${name}`
    return [[at.slice(1), known, name] as const, ...(typeof inner === 'object' ? placesOf(inner, at) : [])]
  })
}

/** Every shape once. */
const SHAPES = new Set([BID_REQUEST, ...placesOf(BID_REQUEST).map(([, known]) => known)])

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return undefined
  }
}

/** Whether readers find in the body by its shapes what they find in all that JSON.parse makes of it. */
function isReadAlike(body: Buffer): boolean {
  return isDeepStrictEqual(allReadOf(parseRequest(body, BID_REQUEST)), allReadOf(parsed(body)))
}

const random = new Random(SEED)
const VARIANTS = [
  ...RICH,
  ...[RICH[0], RICH[3]].flatMap(withoutOne),
  ...Array.from({ length: THINNED }, () => thinned(random.pick(RICH), random)),
]

describe(`what readers read of a request (seed ${SEED})`, () => {
  const watch = new Watch()
  for (const request of VARIANTS) allReadOf(watch.over(request, BID_REQUEST))

  test('is in the shapes, or else nobody would ever find it there', () => {
    expect([...watch.foreign].sort()).toEqual([])
  })

  test('is all that the shapes have', () => {
    const dead = placesOf(BID_REQUEST).filter(([, known, name]) => watch.read.get(known)?.has(name) !== true)
    expect(dead.map(([place]) => place)).toEqual([])
  })

  test('is read up to the last rule of a bid of each format', () => {
    const { impressions } = allReadOf(RICH[0]) as { readonly impressions: readonly ReturnType<typeof readAgain>[] }
    expect(impressions.map(({ broken }) => broken)).toEqual([FORMATS.map(() => Array(3).fill(undefined))])
  })

  test('is the same while it is watched', () => {
    for (const request of RICH)
      expect(isDeepStrictEqual(allReadOf(new Watch().over(request, BID_REQUEST)), allReadOf(request))).toBe(true)
  })

  test('is noted however deep it lies, so that the tests above can fail', () => {
    const other = new Watch()
    const request = other.over(RICH[0], BID_REQUEST) as {
      readonly [name in 'source' | 'user']: object
    } & typeof REQUEST
    expect([request.source, Reflect.get(request.user, 'yob')]).toEqual([undefined, undefined])
    for (const { pmp } of request.imp) for (const deal of pmp.deals.slice(1)) Reflect.get(deal, 'guar')
    expect(JSON.stringify(request.imp.map(({ native }) => native.request))).toContain('"wmin"')
    expect([...other.foreign]).toEqual(['source', 'user.yob', 'imp.pmp.deals.guar'])
    expect(() => 'wseat' in request).toThrow('names of the request are asked for')
    expect(() => ({ ...request.device.geo })).toThrow('names of .device.geo are asked for')
  })
})

describe(`a request that is read by the shapes (seed ${SEED})`, () => {
  const bodies = diverseRequests(documents as unknown as TenantRecords, { count: DRAWN, exchange: 'adx', random }).map(
    ({ request }) => Buffer.from(JSON.stringify(request)),
  )

  test('says all that JSON.parse would have said', () => {
    const wrong = bodies.filter(body => !isReadAlike(body))
    expect(wrong.map(String)).toEqual([])
    for (const body of bodies) expect(Object.keys(parseRequest(body, BID_REQUEST) as object)).toEqual(BID_REQUEST.names)
  })

  test('says the same with members left out', () => {
    const thin = VARIANTS.map(request => Buffer.from(JSON.stringify(request)))
    expect(thin.filter(body => !isReadAlike(body)).map(String)).toEqual([])
  })

  test('says the same with values of any kind, and when it is no JSON any more', () => {
    const words = ['{', '}', '[', ']', ',', ':', '"', '\\', '\\u0069', '1e400', 'null', '\xef\xbb\xbf', '"__proto__":']
    const mutate = jsonMutation(byteMutation(words))
    const wrong: string[] = []
    for (let i = 0; i < MUTATED; i++) {
      const body = mutate(random.pick(bodies), random, bodies)
      if (!isReadAlike(body)) wrong.push(body.toString('latin1'))
    }
    expect(wrong.slice(0, 3)).toEqual([])
  })
})

test.each([...SHAPES].map(known => [known.names.slice(0, 3).join(), known] as const))(
  'the shape of %s gives each member its own place',
  (_, { make, names }) => {
    expect(make(names)).toStrictEqual(Object.fromEntries(names.map(name => [name, name])))
  },
)
