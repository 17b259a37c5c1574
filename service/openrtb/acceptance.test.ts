import { describe, expect, test } from 'vitest'
import { compiledTenant, sampleTenant } from '../../test/sample-catalog.ts'
import type { Creative } from '../state/creative-document.ts'
import type { TenantDocuments } from '../state/documents.ts'
import { brokenRule, type OutgoingBid } from './acceptance.ts'

const BANNER: Creative = {
  ...{ id: 'cr-b', name: 'Banner', advertiserId: 'adv-acme', status: 'active', format: 'banner', width: 300 },
  ...{ height: 250, bannerType: 3, secure: false, attributes: [8], content: { kind: 'html', html: '<b>x</b>' } },
}
const VIDEO: Creative = {
  ...{ id: 'cr-v', name: 'Video', advertiserId: 'adv-acme', status: 'active', format: 'video', width: 640 },
  ...{ height: 360, title: 'V', durationS: 15, skipAfterS: 5, vastVersion: '4.2', landingUrl: 'https://a.example/' },
  mediaFiles: [{ url: 'https://a.example/v.mp4', mime: 'video/mp4', width: 640, height: 360, bitrateKbps: 800 }],
}
const documents: TenantDocuments = { ...sampleTenant(), creatives: [BANNER, VIDEO], lineItems: [] }
const catalog = compiledTenant(documents)
const IMPS = { banner: { banner: { w: 300, h: 250 } }, video: { video: {} } }
const CREATIVES = { banner: 0, video: 1 }

const SAID = {
  adomain: ['deep.shop.example'],
  cat: ['IAB18-6', 'IAB22'],
  bundle: 'com.shop',
  language: 'de',
  ext: { dsa: { adrender: 1 } },
}
const dsa = (asked: object) => ({ regs: { ext: { dsa: asked } } })

/** The rule that a bid of 2 USD breaks with one thing changed. */
function broken(format: 'banner' | 'video', imp: object, more: Partial<OutgoingBid> = {}, request: object = {}) {
  const bid = { impId: '1', lineItem: 0, creative: CREATIVES[format], price: 2, currency: 'USD', dealId: '', seat: '' }
  const against = { catalog, rates: catalog.header.rates }
  const whole = { ...IMPS[format], ...imp } as Record<string, unknown>
  return brokenRule({ ...bid, ...against, imp: whole, ...more }, request as Record<string, unknown>, {
    saidOf: () => SAID,
  })
}

describe('a bid that breaks nothing', () => {
  test.each(['banner', 'video'] as const)('is accepted as a %s', format => {
    expect(broken(format, {})).toBeUndefined()
  })
})

describe('the price', () => {
  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])('must not be %d', price => {
    expect(broken('banner', {}, { price })).toBe('price')
  })

  test('must be in a currency that the request takes', () => {
    expect(broken('banner', {}, {}, { cur: ['EUR'] })).toBe('currency')
    expect(broken('banner', {}, {}, { cur: ['EUR', 'USD'] })).toBeUndefined()
    expect(broken('banner', {}, {}, { cur: [] })).toBeUndefined()
  })

  test('must meet the floor of the impression', () => {
    expect(broken('banner', { bidfloor: 2.01 })).toBe('floor')
    expect(broken('banner', { bidfloor: 2 })).toBeUndefined()
  })

  test('must meet a floor in another currency by the rates', () => {
    expect(broken('banner', { bidfloor: 1.72, bidfloorcur: 'EUR' })).toBe('floor')
    expect(broken('banner', { bidfloor: 1.71, bidfloorcur: 'EUR' })).toBeUndefined()
    expect(broken('banner', { bidfloor: 0.1, bidfloorcur: 'XAU' })).toBe('floor')
  })

  test("of a deal must meet the deal's floor and not the impression's", () => {
    const pmp = {
      deals: [
        { id: 'd', bidfloor: 1.9 },
        { id: 'e', bidfloor: 2.1 },
      ],
    }
    expect(broken('banner', { bidfloor: 9, pmp }, { dealId: 'd' })).toBeUndefined()
    expect(broken('banner', { pmp }, { dealId: 'e' })).toBe('floor')
    expect(broken('banner', { bidfloor: 9, pmp: { deals: [{ id: 'd' }] } }, { dealId: 'd' })).toBe('floor')
  })
})

describe('a deal', () => {
  test('must be one that the impression offers', () => {
    expect(broken('banner', { pmp: { deals: [{ id: 'd' }] } }, { dealId: 'x' })).toBe('deal')
    expect(broken('banner', {}, { dealId: 'x' })).toBe('deal')
  })

  test('is needed in a private auction', () => {
    const pmp = { private_auction: 1, deals: [{ id: 'd' }] }
    expect(broken('banner', { pmp })).toBe('private-auction')
    expect(broken('banner', { pmp }, { dealId: 'd' })).toBeUndefined()
    expect(broken('banner', { pmp: { ...pmp, private_auction: 0 } })).toBeUndefined()
  })
})

describe('a banner', () => {
  test('must be of a size that is asked for', () => {
    expect(broken('banner', { banner: { w: 300, h: 251 } })).toBe('size')
    expect(broken('banner', { banner: { format: [{ w: 1, h: 1 }] } })).toBe('size')
    expect(broken('banner', { banner: { w: 1, h: 1, format: [{ w: 300, h: 250 }] } })).toBeUndefined()
    expect(broken('banner', { banner: undefined })).toBe('size')
  })

  test.each([
    ['secure', { secure: 1 }, { secure: 0 }],
    ['attribute', { banner: { w: 300, h: 250, battr: [8] } }, { banner: { w: 300, h: 250, battr: [9, 40, 8.5] } }],
    ['type', { banner: { w: 300, h: 250, btype: [3] } }, { banner: { w: 300, h: 250, btype: [2, 4] } }],
    [
      'mime',
      { banner: { w: 300, h: 250, mimes: ['image/png'] } },
      { banner: { w: 300, h: 250, mimes: ['text/html', 'image/png'] } },
    ],
  ])('is held to the rule %s', (rule, violated, honoured) => {
    expect(broken('banner', violated)).toBe(rule)
    expect(broken('banner', honoured)).toBeUndefined()
  })
})

describe('a video', () => {
  test.each([
    ['duration', { minduration: 16 }, { minduration: 15 }],
    ['duration', { maxduration: 14 }, { maxduration: 15 }],
    ['duration', { rqddurs: [14, 16] }, { rqddurs: [15] }],
    ['duration', { rqddurs: [6] }, { rqddurs: ['6'] }],
    ['protocol', { protocols: [2, 3] }, { protocols: [13] }],
    ['protocol', { protocols: [2], protocol: 13 }, { protocol: 13 }],
    ['mime', { mimes: ['video/webm'] }, { mimes: ['video/mp4'] }],
    ['attribute', { battr: [16] }, { battr: [17] }],
  ])('is held to the rule %s by %j', (rule, violated, honoured) => {
    expect(broken('video', { video: violated })).toBe(rule)
    expect(broken('video', { video: honoured })).toBeUndefined()
  })
})

describe('what a bid says of itself', () => {
  test.each([
    ['advertiser', { badv: ['other.example', 'Shop.Example'] }, { badv: ['hop.example', 'x.deep.shop.example', ''] }],
    ['advertiser', { badv: ['example'] }, { badv: 'shop.example' }],
    ['category', { bcat: ['IAB1', 'IAB18'] }, { bcat: ['IAB1', 'IAB18-7', 'IAB2'] }],
    ['category', { acat: ['IAB18'] }, { acat: ['IAB18', 'IAB22'] }],
    ['category', { bcat: ['IAB22'] }, { bcat: ['IAB22'], cattax: 6 }],
    ['app', { bapp: ['com.shop'] }, { bapp: ['com.shop.free'] }],
    ['language', { wlang: ['en'] }, { wlang: ['en', 'DE'] }],
    ['language', { wlangb: ['en-GB'] }, { wlangb: ['en-GB', 'de-AT'] }],
    ['transparency', dsa({ dsarequired: 2, pubrender: 2 }), dsa({ dsarequired: 2, pubrender: 0 })],
    ['seat', { wseat: ['a'] }, { wseat: ['a', 's-1'] }],
    ['seat', { bseat: ['s-1'] }, { bseat: ['s'] }],
  ])('is held to the rule %s by %j', (rule, violated, honoured) => {
    expect(broken('banner', {}, { seat: 's-1' }, violated)).toBe(rule)
    expect(broken('banner', {}, { seat: 's-1' }, honoured)).toBeUndefined()
  })

  test('is held to the seats and the advertisers of its deal', () => {
    const inDeal = (deal: object) =>
      broken('banner', { pmp: { deals: [{ id: 'd', ...deal }] } }, { dealId: 'd', seat: 's-1' })
    expect(inDeal({ wseat: ['x'] })).toBe('seat')
    expect(inDeal({ wseat: ['x', 's-1'] })).toBeUndefined()
    expect(inDeal({ wadomain: ['x.example'] })).toBe('deal-advertiser')
    expect(inDeal({ wadomain: ['x.example', 'Shop.example'] })).toBeUndefined()
  })
})

test('frameworks that a creative needs must be those of its format', () => {
  const video: Creative = { ...VIDEO, apis: [2, 7] }
  const needing = compiledTenant({ ...sampleTenant(), creatives: [video], lineItems: [] })
  const rule = (api: unknown) => {
    const bid = { impId: '1', lineItem: 0, creative: 0, price: 2, currency: 'USD', dealId: '', seat: '' }
    const against = { catalog: needing, rates: needing.header.rates }
    const imp = { banner: { api: [2, 7] }, video: { api } }
    return brokenRule({ ...bid, ...against, imp }, {}, { saidOf: () => ({ ...SAID, apis: [2, 7] }) })
  }
  expect([rule(undefined), rule([2]), rule([7, 2])]).toEqual(['framework', 'framework', undefined])
})
