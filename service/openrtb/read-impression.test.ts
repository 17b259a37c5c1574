import { describe, expect, test } from 'vitest'
import type { Opportunity } from '../decision/opportunity.ts'
import { Random } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import { bannerSlot, VIDEO_SLOT } from '../state/catalog.ts'
import { IMPRESSION_DIMENSIONS } from '../state/dimensions.ts'
import { mimeBit } from '../state/vocabulary.ts'
import { type FloorTerms, readImpression } from './read-impression.ts'
import { bidPrice } from './write-response.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const RATES = new Map([
  ['USD', 1],
  ['EUR', 1.1642],
  ['JPY', 0.006712],
  ['INR', 0.011_380_7],
])
const KNOWN = [
  [300, 250],
  [320, 50],
  [640, 100],
  [1200, 627],
] as const
const slotsKnown = new Map([...KNOWN.map(([w, h]) => [bannerSlot(w, h), 0] as const), [VIDEO_SLOT, 0] as const])
const TERMS: FloorTerms = {
  targeted: IMPRESSION_DIMENSIONS,
  rates: RATES,
  slotsKnown,
  currency: 'USD',
  seats: ['seat-1', 'seat-2'],
  frameworks: true,
  isTest: false,
}
const BANNER = { banner: { w: 300, h: 250 } }

function opportunity(imp: object, terms = TERMS): Opportunity {
  const read = readImpression(imp as Record<string, unknown>, terms)
  expect(read.kind, JSON.stringify(read)).toBe('opportunity')
  return (read as { opportunity: Opportunity }).opportunity
}
const reasonOf = (imp: object) => readImpression(imp as Record<string, unknown>, TERMS)

describe('media types', () => {
  test('that are too long to be known are not taken for none', () => {
    const maskOf = (mimes: unknown) => opportunity({ video: { mimes } }).video?.mimes
    expect(maskOf(['v'.repeat(600)])).toBe(maskOf(['video/unknown']))
    expect(maskOf(['', 1])).toBe(maskOf(undefined))
    expect(maskOf(['video/unknown'])).not.toBe(maskOf(undefined))
  })
})

describe('a floor in a currency that nobody knows', () => {
  test('is paid by nobody, however long its name is', () => {
    for (const bidfloorcur of ['XXX', 'x'.repeat(600)])
      expect(reasonOf({ ...BANNER, bidfloor: 1, bidfloorcur }).kind).not.toBe('opportunity')
    expect(reasonOf({ ...BANNER, bidfloor: 1, bidfloorcur: '' }).kind).toBe('opportunity')
  })
})

describe('floors by length', () => {
  test('are not hidden by what is none', () => {
    const durfloors = [null, 'x', [], { mindur: 16, bidfloor: 40 }]
    expect(opportunity({ video: { durfloors } }).video?.lengthFloors?.ranges).toMatchObject([{ minS: 16 }])
    expect(opportunity({ video: { durfloors: [null, 1] } }).video?.lengthFloors?.ranges ?? []).toEqual([])
  })
})

describe('a banner', () => {
  test.each([
    [{ wratio: 32, hratio: 5 }, [bannerSlot(320, 50), bannerSlot(640, 100)]],
    [{ wratio: 32, hratio: 5, wmin: 321 }, [bannerSlot(640, 100)]],
    [{ wratio: 6, hratio: 5, w: 728, h: 90 }, [bannerSlot(728, 90), bannerSlot(300, 250)]],
    [{ wratio: 1.91, hratio: 1 }, []],
    [{ wratio: 120, hratio: 62.7 }, [bannerSlot(1200, 627)]],
    [{ wratio: 1, hratio: 0 }, []],
    [{ wratio: 32, hratio: '5' }, []],
  ])('of the shape %j offers the sizes that have it', (format, slots) => {
    expect(opportunity({ banner: { format: [format] }, video: {} }).slots).toEqual([...slots, VIDEO_SLOT])
  })

  test('offers its size and its formats, each once', () => {
    const banner = { w: 300, h: 250, format: [{ w: 320, h: 50 }, { w: 300, h: 250 }, { wratio: 1 }, 'x'] }
    expect(new Set(opportunity({ banner }).slots)).toEqual(new Set([bannerSlot(300, 250), bannerSlot(320, 50)]))
    expect(opportunity({ banner }).slots.length).toBe(2)
  })

  test.each([
    {},
    { w: 300 },
    { w: '300', h: '250' },
    { w: 0, h: 0 },
    { w: -300, h: 250 },
    { w: 1e9, h: 2 },
    { w: 300.5, h: 250 },
    [],
  ])('offers nothing without a size that we can read: %j', banner => {
    expect(reasonOf({ banner })).toEqual({ kind: 'no-bid', reason: 'no-supported-format' })
  })

  test('offers its own size and no more sizes than the limit', () => {
    const format = Array.from({ length: 1_000 }, (_, i) => ({ w: i + 1, h: 7 }))
    const { slots } = opportunity({ banner: { w: 300, h: 250, format } })
    expect(slots.length).toBe(LIMITS.sizesMax)
    expect(slots).toContain(bannerSlot(300, 250))
  })

  test('names what it does not take', () => {
    const banner = {
      w: 1,
      h: 1,
      battr: [1, 3, 500, -1, 2.5, 'x'],
      btype: [4],
      api: [5, 7],
      mimes: ['IMAGE/PNG', 'x/y'],
    }
    expect(opportunity({ banner }).banner).toEqual({
      ...{ blockedAttributes: (1 << 1) | (1 << 3), blockedTypes: 1 << 4, mimes: mimeBit('image/png') },
      frameworks: (1 << 5) | (1 << 7),
      asksForShape: false,
    })
    expect(opportunity({ banner }, { ...TERMS, frameworks: false }).banner?.frameworks).toBe(0)
  })

  test('that takes only unknown media takes none of ours, and one that names none takes all', () => {
    expect(opportunity({ banner: { w: 1, h: 1, mimes: ['x/y'] } }).banner?.mimes).not.toBe(0)
    expect(opportunity({ banner: { w: 1, h: 1, mimes: ['x/y'] } }).banner?.mimes).not.toBe(mimeBit('image/png'))
    expect(opportunity({ banner: { w: 1, h: 1, mimes: [] } }).banner?.mimes).toBe(0)
  })
})

describe('a video', () => {
  test('says media, protocols and durations', () => {
    const video = { mimes: ['video/mp4'], protocols: [2, 7], minduration: 5, maxduration: 30, battr: [16] }
    const { slots, video: offer } = opportunity({ video })
    expect(slots).toEqual([VIDEO_SLOT])
    expect(offer).toMatchObject({ mimes: mimeBit('video/mp4'), minDurationS: 5, maxDurationS: 30 })
    expect((offer?.protocols ?? 0) & ((1 << 2) | (1 << 7))).toBe((1 << 2) | (1 << 7))
    expect((offer?.protocols ?? 0) & (1 << 3)).toBe(0)
    expect(offer?.blockedAttributes).toBe(1 << 16)
  })

  test('takes no protocol of ours when it names only others, and all when it names none', () => {
    for (const protocols of [[99], [-1], [2.5]]) expect(opportunity({ video: { protocols } }).video?.protocols).toBe(1)
    for (const protocols of [[], undefined, 'x', ['2']])
      expect(opportunity({ video: { protocols } }).video?.protocols).toBe(0)
  })

  test('says its one protocol in the place of OpenRTB 2.2, where the list is missing', () => {
    expect((opportunity({ video: { protocol: 3 } }).video?.protocols ?? 0) & (1 << 3)).toBe(1 << 3)
    expect((opportunity({ video: { protocol: 3, protocols: [2] } }).video?.protocols ?? 0) & (1 << 3)).toBe(0)
  })

  test('takes exact lengths of the right type only', () => {
    expect(opportunity({ video: { rqddurs: [15, '30', null, 60] } }).video?.exactDurationsS).toEqual([15, 60])
  })

  test('that is an overlay is none for us', () => {
    expect(reasonOf({ video: { linearity: 2 } })).toMatchObject({ reason: 'no-supported-format' })
    expect(opportunity({ video: { linearity: 1 } }).slots).toEqual([VIDEO_SLOT])
  })

  test('may come with a banner', () => {
    expect(opportunity({ ...BANNER, video: {} }).slots.length).toBe(2)
  })
})

describe('a floor', () => {
  test.each([
    [{}, 0],
    [{ bidfloor: 0 }, 0],
    [{ bidfloor: -0 }, 0],
    [{ bidfloor: -5 }, 0],
    [{ bidfloor: '3' }, 0],
    [{ bidfloor: Number.POSITIVE_INFINITY }, 0],
    [{ bidfloor: 1.1 }, 1_100_000],
    [{ bidfloor: 0.05, bidfloorcur: '' }, 50_000],
    [{ bidfloor: 1, bidfloorcur: 'EUR' }, 1_164_200],
    [{ bidfloor: 5.000_000_4 }, 5_000_001],
    [{ bidfloor: 1e-9 }, 1],
  ])('of %j is %d nanos', (imp, nanos) => {
    expect(opportunity({ ...BANNER, ...imp }).floorNanos).toBe(nanos)
  })

  test('in a currency without a rate cannot be met', () => {
    expect(reasonOf({ ...BANNER, bidfloor: 1, bidfloorcur: 'CHF' })).toMatchObject({ reason: 'currency-not-accepted' })
    expect(reasonOf({ ...BANNER, bidfloor: 1, bidfloorcur: '__proto__' })).toMatchObject({ kind: 'no-bid' })
  })

  test('that no money can pay is met by nobody', () => {
    expect(opportunity({ ...BANNER, bidfloor: 1e308 }).floorNanos).toBeGreaterThan(1e15)
  })

  test('is met by the price that is sent, whatever currencies and decimals', () => {
    const random = new Random(SEED)
    const codes = [...RATES.keys()]
    for (let round = 0; round < 20_000; round++) {
      const currency = random.pick(codes)
      const bidfloorcur = random.pick(codes)
      const decimals = random.between(0, 12)
      const bidfloor = Number((random.unit() * 10 ** random.between(-3, 4)).toFixed(decimals))
      const { floorNanos } = opportunity({ ...BANNER, bidfloor, bidfloorcur }, { ...TERMS, currency })
      const rate = RATES.get(currency) as number
      const floorRate = RATES.get(bidfloorcur) as number
      const context = `SEED=${SEED} round=${round} ${bidfloor} ${bidfloorcur} in ${currency}`
      for (const over of [0, 1, random.between(0, 1e6)]) {
        const price = bidPrice(floorNanos + over, rate)
        if (currency === bidfloorcur) expect(price, context).toBeGreaterThanOrEqual(bidfloor)
        else expect(price * rate, context).toBeGreaterThanOrEqual(bidfloor * floorRate * (1 - 1e-12))
      }
      // Not higher than the rounding needs: two steps of a nano or of the bid's price.
      expect(floorNanos, context).toBeLessThanOrEqual(bidfloor * floorRate * 1e6 * (1 + 1e-12) + 2 + 2 * rate)
    }
  })
})

describe('deals', () => {
  const deals = (list: unknown, more: object = {}) =>
    opportunity({ ...BANNER, bidfloor: 9, bidfloorcur: 'EUR', ...more, pmp: { deals: list } }).deals

  test('have their own floor in their own currency, which is US dollars when nothing is said', () => {
    expect(
      deals([
        { id: 'a', bidfloor: 0 },
        { id: 'b', bidfloor: 2 },
        { id: 'c', bidfloor: 2, bidfloorcur: 'EUR' },
      ]),
    ).toMatchObject([
      { id: 'a', floorNanos: 0 },
      { id: 'b', floorNanos: 2_000_000 },
      { id: 'c', floorNanos: 2_328_400 },
    ])
  })

  test('for other seats, unknown currencies or without an id are left out', () => {
    const left = [{ wseat: ['x'] }, { bidfloor: 1, bidfloorcur: 'CHF' }, { id: '' }, { id: '\u0001ca-1' }]
    expect(deals([...left.map((deal, index) => ({ id: `d${index}`, ...deal })), null, 'x'])).toEqual([])
    expect(deals([{ id: 'ours', wseat: ['x', 'seat-2'] }, { id: 'all' }])).toMatchObject([
      { id: 'ours', seat: 'seat-2' },
      { id: 'all', seat: 'seat-1' },
    ])
    expect(deals('x')).toEqual([])
  })

  test('that name no floor are under the floor of the impression', () => {
    expect(deals([{ id: 'a' }, { id: 'b', bidfloor: '1', bidfloorcur: 'USD' }])).toMatchObject([
      { id: 'a', floorNanos: 10_477_800 },
      { id: 'b', floorNanos: 10_477_800 },
    ])
    expect(deals([{ id: 'a' }], { bidfloor: 0 })).toMatchObject([{ id: 'a', floorNanos: 0 }])
  })

  test('say whether their floor is the price, which needs a floor, and who is invited', () => {
    const fixed = (deal: object) => deals([{ id: 'a', at: 3, ...deal }], { bidfloor: 0 })[0]?.isFixedPrice
    expect([fixed({ bidfloor: 2 }), fixed({}), fixed({ bidfloor: 2, at: 1 })]).toEqual([true, false, false])
    expect(deals([{ id: 'a', wadomain: ['Shop.Example', 7] }])[0]?.advertiserDomains).toEqual(['shop.example'])
  })

  test('that come twice stand for the first', () => {
    expect(
      deals([
        { id: 'a', bidfloor: 3 },
        { id: 'a', bidfloor: 1 },
      ]),
    ).toMatchObject([{ id: 'a', floorNanos: 3_000_000 }])
    expect(deals([{ id: 'a', wseat: ['x'] }, { id: 'a' }])).toEqual([])
  })

  test('of a private auction are taken although its own floor has no rate', () => {
    const pmp = { private_auction: 1, deals: [{ id: 'a', bidfloor: 1 }] }
    const imp = { ...BANNER, bidfloor: 1, bidfloorcur: 'CHF', pmp }
    expect(opportunity(imp)).toMatchObject({ privateAuction: true, deals: [{ id: 'a' }] })
    expect(reasonOf({ ...imp, pmp: { ...pmp, private_auction: 0 } })).toMatchObject({ kind: 'no-bid' })
  })
})

test('security is asked for by 1 and by nothing else', () => {
  for (const [secure, expected] of [
    [1, true],
    [0, false],
    ['1', false],
    [undefined, false],
  ] as const)
    expect(opportunity({ ...BANNER, secure }).secure).toBe(expected)
})

test('a screen that many see is billed as so many impressions, and a test as none', () => {
  const multiplier = (qty: unknown, terms = TERMS) => opportunity({ ...BANNER, qty }, terms).multiplier
  expect([{ multiplier: 12.5 }, { multiplier: 0.4 }, { multiplier: 100_000 }].map(qty => multiplier(qty))).toEqual([
    12.5, 0.4, 100_000,
  ])
  for (const qty of [undefined, {}, { multiplier: 0 }, { multiplier: -1 }, { multiplier: '7' }, 7])
    expect(multiplier(qty), JSON.stringify(qty)).toBe(1)
  expect(multiplier({ multiplier: 12.5 }, { ...TERMS, isTest: true })).toBe(0)
  expect(reasonOf({ ...BANNER, qty: { multiplier: 100_000.5 } })).toMatchObject({ reason: 'no-supported-format' })
})

test('what line items target in an impression is read where any does', () => {
  const imp = {
    banner: {
      w: 300,
      h: 250,
      pos: 3,
      format: [
        { w: 728, h: 90 },
        { w: 300, h: 250 },
        { wratio: 16, hratio: 9 },
      ],
    },
    video: { w: 640, h: 360, plcmt: 1 },
    rwdd: 1,
  }
  const values = (targeted = TERMS.targeted) => opportunity(imp, { ...TERMS, targeted }).values
  expect(values()).toEqual([['banner', 'video'], ['300x250', '728x90', '640x360'], '3', 'no', 'yes', '1'])
  expect(values(['position'])).toEqual([[], [], '3', '', '', ''])
  expect(values([])).toEqual([[], [], '', '', '', ''])
})
