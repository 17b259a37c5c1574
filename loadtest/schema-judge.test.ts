import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { schemaFaults } from './schema-judge.ts'

type Loose = Record<string, unknown>

const RATES = { USD: 1, EUR: 1.25 }

function bannerCase(): { request: Loose; imp: Loose; answer: Loose; seat: Loose; bid: Loose } {
  const imp: Loose = { id: '1', bidfloor: 1, banner: { w: 300, h: 250, format: [{ w: 728, h: 90 }] } }
  const bid: Loose = {
    id: 'b',
    impid: '1',
    price: 1.5,
    crid: 'c',
    adomain: ['shop.example'],
    cat: ['IAB1-6'],
    mtype: 1,
  }
  Object.assign(bid, { w: 728, h: 90, adm: '<b>shop</b>' })
  const seat: Loose = { bid: [bid], seat: 's' }
  return { request: { id: 'r', imp: [imp] }, imp, answer: { id: 'r', seatbid: [seat], cur: 'USD' }, seat, bid }
}

function videoCase(): ReturnType<typeof bannerCase> {
  const it = bannerCase()
  it.imp.video = { mimes: ['video/mp4'], minduration: 5, maxduration: 30, protocols: [2, 3] }
  Object.assign(it.bid, { mtype: 2, dur: 15, protocol: 3, adm: '<VAST version="3.0"></VAST>' })
  return it
}

type Case = ReturnType<typeof bannerCase>

/** One mistake each, and the place at which it must be seen. */
const MISTAKES: Readonly<Record<string, readonly [spoil: (it: Case) => void, place: string]>> = {
  'a field that no specification has': [({ bid }) => Object.assign(bid, { adomains: ['a.example'] }), 'bid/0'],
  'a request id of another request': [({ answer }) => Object.assign(answer, { id: 'q' }), '/id'],
  'no seat': [({ answer }) => Object.assign(answer, { seatbid: [] }), '/seatbid'],
  'a reason beside bids': [({ answer }) => Object.assign(answer, { nbr: 2 }), '/seatbid'],
  'an unknown reason': [({ answer }) => Object.assign(answer, { seatbid: undefined, nbr: 99 }), '/nbr'],
  'a currency in small letters': [({ answer }) => Object.assign(answer, { cur: 'usd' }), '/cur'],
  'a currency that is not taken': [({ request }) => Object.assign(request, { cur: ['EUR'] }), '/cur'],
  'a seat that is not wanted': [({ request }) => Object.assign(request, { wseat: ['x'] }), '/seat'],
  'a seat that is blocked': [({ request }) => Object.assign(request, { bseat: ['s'] }), '/seat'],
  'no price': [({ bid }) => Object.assign(bid, { price: undefined }), 'bid/0'],
  'a negative price': [({ bid }) => Object.assign(bid, { price: -1 }), '/price'],
  'a price below the floor': [({ bid }) => Object.assign(bid, { price: 0.99 }), '/price'],
  'a price below a floor in euro': [({ imp }) => Object.assign(imp, { bidfloor: 1.3, bidfloorcur: 'EUR' }), '/price'],
  'a floor without a rate': [({ imp }) => Object.assign(imp, { bidfloorcur: 'SEK' }), '/price'],
  'an impression of nobody': [({ bid }) => Object.assign(bid, { impid: '2' }), '/impid'],
  'no mtype': [({ bid }) => Object.assign(bid, { mtype: undefined }), 'bid/0'],
  'a format that is not offered': [({ bid }) => Object.assign(bid, { mtype: 3, adm: '<VAST/>' }), '/mtype'],
  'a size that is not offered': [({ bid }) => Object.assign(bid, { w: 727 }), '/w'],
  'a width without a height': [({ bid }) => Object.assign(bid, { h: undefined }), 'bid/0'],
  'no markup': [({ bid }) => Object.assign(bid, { adm: undefined }), 'bid/0'],
  'an advertiser by address': [({ bid }) => Object.assign(bid, { adomain: ['https://shop.example'] }), '/adomain/0'],
  'a blocked advertiser': [({ request }) => Object.assign(request, { badv: ['Shop.example'] }), '/adomain/0'],
  'an advertiser below a blocked one': [
    ({ request, bid }) => {
      request.badv = ['shop.example']
      bid.adomain = ['a.shop.example']
    },
    '/adomain/0',
  ],
  'a blocked category': [({ request }) => Object.assign(request, { bcat: ['IAB1'] }), '/cat/0'],
  'a category that is not allowed': [({ request }) => Object.assign(request, { acat: ['IAB2'] }), '/cat/0'],
  'an attribute that is blocked': [
    ({ imp, bid }) => {
      imp.banner = { w: 728, h: 90, battr: [3] }
      bid.attr = [1, 3]
    },
    '/attr/1',
  ],
  'an attribute that does not exist': [({ bid }) => Object.assign(bid, { attr: [99] }), '/attr/0'],
  'a framework that is not listed': [({ bid }) => Object.assign(bid, { apis: [7] }), '/apis/0'],
  'a language that is not wanted': [
    ({ request, bid }) => {
      request.wlang = ['de']
      bid.language = 'en'
    },
    '/language',
  ],
  'two languages': [({ bid }) => Object.assign(bid, { language: 'en', langb: 'en-GB' }), 'bid/0'],
  'a deal that is not offered': [({ bid }) => Object.assign(bid, { dealid: 'd' }), '/dealid'],
  'no deal in a private auction': [({ imp }) => Object.assign(imp, { pmp: { private_auction: 1 } }), 'bid/0'],
  "a price below the deal's floor": [
    ({ imp, bid }) => {
      imp.pmp = { deals: [{ id: 'd', bidfloor: 2 }] }
      bid.dealid = 'd'
    },
    '/price',
  ],
  'an advertiser that the deal does not list': [
    ({ imp, bid }) => {
      imp.pmp = { deals: [{ id: 'd', wadomain: ['other.example'] }] }
      bid.dealid = 'd'
    },
    '/adomain',
  ],
  'a banner with a length': [({ bid }) => Object.assign(bid, { dur: 15 }), '/dur'],
  'nothing on who pays, where it is needed': [
    ({ request }) => Object.assign(request, { regs: { ext: { dsa: { dsarequired: 3 } } } }),
    'bid/0',
  ],
}

const VIDEO_MISTAKES: typeof MISTAKES = {
  'a video that is too long': [({ bid }) => Object.assign(bid, { dur: 31 }), '/dur'],
  'a video of no wanted length': [({ imp }) => Object.assign(imp, { video: { rqddurs: [6] } }), '/dur'],
  'a version that is not taken': [({ bid }) => Object.assign(bid, { protocol: 7 }), '/protocol'],
  'markup that is no XML': [({ bid }) => Object.assign(bid, { adm: '{"native":{}}' }), '/adm'],
}

const faultsOf = ({ request, answer }: Case) => schemaFaults(request, JSON.stringify(answer), { rates: RATES })

describe('the schema judge', () => {
  test('accepts the answers that the mistakes start from, and a no-bid with its reason', () => {
    expect(faultsOf(bannerCase())).toEqual([])
    expect(faultsOf(videoCase())).toEqual([])
    expect(schemaFaults({ id: 'r', imp: [] }, '{"id":"r","nbr":15}')).toEqual([])
    expect(schemaFaults({ id: 'r', cur: ['EUR'] }, '{"id":"r","seatbid":[],"nbr":0}')).toEqual([])
  })

  test.each(Object.entries(MISTAKES))('sees %s', (_name, [spoil, place]) => {
    const it = bannerCase()
    spoil(it)
    const faults = faultsOf(it)
    expect(
      faults.map(fault => fault.split(':')[0]!.endsWith(place)),
      faults.join(),
    ).toContain(true)
  })

  test.each(Object.entries(VIDEO_MISTAKES))('sees %s', (_name, [spoil, place]) => {
    const it = videoCase()
    spoil(it)
    const faults = faultsOf(it)
    expect(
      faults.map(fault => fault.split(':')[0]!.endsWith(place)),
      faults.join(),
    ).toContain(true)
  })

  test('knows the currency that was agreed with the exchange, for requests that name none', () => {
    const { request, answer } = bannerCase()
    answer.cur = 'EUR'
    expect(schemaFaults(request, JSON.stringify(answer), { rates: RATES })).not.toEqual([])
    expect(schemaFaults(request, JSON.stringify(answer), { rates: RATES, currency: 'EUR' })).toEqual([])
    answer.cur = undefined
    expect(schemaFaults(request, JSON.stringify(answer), { rates: RATES, currency: 'EUR' })).not.toEqual([])
  })

  test('reads any request without throwing', () => {
    const odd = [null, 1, 'x', [], {}, [null], { id: 1 }, [{ id: '1', banner: 1, video: [], pmp: 'x' }], ['a', 'a']]
    const answer = JSON.stringify(bannerCase().answer)
    for (const value of odd) {
      expect(() => schemaFaults(value, answer)).not.toThrow()
      for (const field of ['imp', 'cur', 'badv', 'bcat', 'wseat', 'wlang', 'regs'])
        expect(() => schemaFaults({ id: 'r', [field]: value }, answer)).not.toThrow()
    }
    expect(schemaFaults({}, 'x')).toEqual(['/: is no JSON'])
  })

  test('shares no code with the first judge and with the writer but the readers of odd JSON', () => {
    const files = readdirSync(new URL('.', import.meta.url)).filter(name =>
      /^(schema-judge|answer-schema)\.ts$/.test(name),
    )
    expect(files).toHaveLength(2)
    for (const name of files) {
      const text = readFileSync(new URL(name, import.meta.url), 'utf8')
      const imports = [...text.matchAll(/from '(\.[^']+)'/g)].map(([, from]) => from)
      expect(['./acceptance-rules.ts', './answer-schema.ts']).toEqual(expect.arrayContaining(imports))
    }
  })
})
