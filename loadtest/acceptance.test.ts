import { describe, expect, test } from 'vitest'
import { ACCEPTANCE_RULES, type AcceptanceOptions, type AcceptanceRule, bidsOf, brokenRules } from './acceptance.ts'

type Loose = Record<string, unknown>

interface Story {
  request: Loose
  response: Loose
  imp: Loose
  bid: Loose
  status: number
  headers: Record<string, string>
  /** Sent instead of the response when set. */
  body: string | undefined
  options: AcceptanceOptions
}

const VAST = `<?xml version="1.0"?><VAST version="3.0"><Ad id="1"><InLine><AdSystem>a</AdSystem><AdTitle>t</AdTitle>
<Impression><![CDATA[https://t.example/i]]></Impression><Creatives><Creative><Linear><Duration>00:00:15</Duration>
<MediaFiles>
<MediaFile delivery="progressive" type="video/mp4" width="640" height="360">
https://c.example/v.mp4</MediaFile>
</MediaFiles></Linear></Creative></Creatives></InLine></Ad></VAST>`

function banner(): Story {
  const imp: Loose = { id: '1', bidfloor: 1, secure: 1, banner: { w: 300, h: 250, format: [{ w: 728, h: 90 }] } }
  const bid: Loose = {
    ...{ id: 'b1', impid: '1', price: 1.5, crid: 'cr1', adomain: ['shop.example'], cat: ['IAB1-6'], mtype: 1 },
    ...{ w: 300, h: 250, adm: '<a href="https://a.example"><img src="https://c.example/i.png" width="300"></a>' },
  }
  return story(imp, bid)
}

function video(): Story {
  const imp: Loose = {
    ...{ id: '1', bidfloor: 1, secure: 1 },
    video: { mimes: ['video/mp4'], w: 640, h: 360, minduration: 5, maxduration: 30, protocols: [2, 3] },
  }
  const bid: Loose = {
    ...{ id: 'b1', impid: '1', price: 1.5, crid: 'cr1', adomain: ['shop.example'], cat: ['IAB1-6'], mtype: 2 },
    ...{ w: 640, h: 360, adm: VAST, dur: 15, protocol: 3 },
  }
  return story(imp, bid)
}

function native(): Story {
  const assets = [
    { id: 1, required: 1, title: { len: 9 } },
    { id: 2, img: { type: 3, wmin: 300 } },
  ]
  const request = JSON.stringify({ ver: '1.2', assets, eventtrackers: [{ event: 1, methods: [1] }] })
  const ad = {
    ...{
      assets: [
        { id: 1, title: { text: 'Boots' } },
        { id: 2, img: { url: 'https://c.example/i', w: 300, h: 157 } },
      ],
    },
    ...{ link: { url: 'https://a.example' }, eventtrackers: [{ event: 1, method: 1, url: 'https://t.example' }] },
  }
  const bid: Loose = {
    ...{ id: 'b1', impid: '1', price: 1.5, crid: 'cr1', adomain: ['shop.example'], cat: ['IAB1-6'], mtype: 4 },
    adm: JSON.stringify(ad),
  }
  return story({ id: '1', bidfloor: 1, secure: 1, native: { request } }, bid)
}

function story(imp: Loose, bid: Loose): Story {
  return {
    request: { id: 'r1', imp: [imp] },
    response: { id: 'r1', cur: 'USD', seatbid: [{ seat: 's1', bid: [bid] }] },
    headers: { 'content-type': 'application/json; charset=utf-8' },
    ...{ imp, bid, status: 200, body: undefined, options: {} },
  }
}

function judged(start: Story, change: (story: Story) => unknown): readonly AcceptanceRule[] {
  change(start)
  const body = start.body ?? JSON.stringify(start.response)
  const headers = { 'content-length': String(Buffer.byteLength(body)), ...start.headers }
  return brokenRules(start.request, { status: start.status, headers, bodyText: body }, start.options).map(
    each => each.rule,
  )
}

type Case = readonly [AcceptanceRule, () => Story, good: (s: Story) => unknown, bad: (s: Story) => unknown]

const set = (target: 'request' | 'response' | 'imp' | 'bid', fields: Loose) => (s: Story) =>
  Object.assign(s[target], fields)
const all =
  (...changes: ((s: Story) => unknown)[]) =>
  (s: Story) => {
    for (const change of changes) change(s)
  }
const none = () => {}
const shaped = (wratio: number, hratio: number) => set('imp', { banner: { format: [{ wratio, hratio, wmin: 200 }] } })
const format = (name: 'banner' | 'video', fields: Loose) => (s: Story) => Object.assign(s.imp[name] as Loose, fields)
const deal = (fields: Loose, bid: Loose = {}) =>
  all(set('imp', { pmp: { deals: [{ id: 'd1', ...fields }] } }), set('bid', { dealid: 'd1', ...bid }))
const adm = (from: string | RegExp, to: string) => (s: Story) => {
  s.bid.adm = String(s.bid.adm).replace(from, to)
}
const secondBid = (fields: Loose) => (s: Story) =>
  set('response', { seatbid: [{ seat: 's1', bid: [s.bid, { ...s.bid, ...fields }] }] })(s)
const rates = { USD: 1, EUR: 1.1 }

const CASES: readonly Case[] = [
  ['server-error', banner, none, s => Object.assign(s, { status: 503 })],
  ['status-code', banner, s => Object.assign(s, { status: 204, body: '' }), s => Object.assign(s, { status: 302 })],
  [
    'refused-good-request',
    banner,
    s => Object.assign(s, { status: 400, request: { id: 'r1' } }),
    s => Object.assign(s, { status: 400 }),
  ],
  [
    'no-content-is-empty',
    banner,
    s => Object.assign(s, { status: 204, body: '' }),
    s => Object.assign(s, { status: 204, body: '{}' }),
  ],
  ['json-content-type', banner, none, s => Object.assign(s.headers, { 'content-type': 'text/html' })],
  ['content-length', banner, none, s => Object.assign(s.headers, { 'content-length': '7' })],
  ['json-body', banner, none, s => Object.assign(s, { body: '[1' })],
  ['response-id', banner, none, set('response', { id: 'other' })],
  [
    'response-shape',
    banner,
    s => Object.assign(s, { response: { id: 'r1', nbr: 2 } }),
    set('response', { seatbid: [] }),
  ],
  [
    'currency',
    banner,
    all(set('request', { cur: ['EUR'] }), set('response', { cur: 'EUR' })),
    set('response', { cur: 'EUR' }),
  ],
  ['seat-allowed', banner, set('request', { wseat: ['s1'] }), set('request', { bseat: ['s1'] })],
  ['unique-bid-ids', banner, secondBid({ id: 'b2' }), secondBid({})],
  ['bid-id', banner, none, set('bid', { id: '' })],
  ['impression-exists', banner, none, set('bid', { impid: '2' })],
  ['price', banner, deal({ bidfloor: 0 }, { price: 0 }), all(set('imp', { bidfloor: 0 }), set('bid', { price: 0 }))],
  ['floor', banner, set('bid', { price: 1 }), set('bid', { price: 0.99 })],
  [
    'floor',
    banner,
    all(set('imp', { bidfloorcur: 'EUR' }), set('bid', { price: 1.1 }), s => Object.assign(s, { options: { rates } })),
    all(set('imp', { bidfloorcur: 'EUR' }), set('bid', { price: 1 }), s => Object.assign(s, { options: { rates } })),
  ],
  ['floor', banner, deal({ bidfloor: 0.5 }, { price: 0.6 }), deal({ bidfloor: 2 })],
  ['floor', video, format('video', { mincpmpersec: 0.1 }), format('video', { mincpmpersec: 0.2 })],
  ['crid', banner, none, set('bid', { crid: 'x'.repeat(129) })],
  ['adomain', banner, none, set('bid', { adomain: [] })],
  ['category', banner, none, set('bid', { cat: undefined })],
  ['mtype', banner, none, set('bid', { mtype: undefined })],
  ['format-offered', banner, none, set('bid', { mtype: 2 })],
  ['size', banner, none, set('bid', { w: 0 })],
  ['size-offered', banner, set('bid', { w: 728, h: 90 }), set('bid', { w: 728, h: 250 })],
  [
    'size-offered',
    banner,
    all(shaped(6, 5), set('bid', { w: 300, h: 250, wratio: 6, hratio: 5 })),
    all(shaped(16, 9), set('bid', { w: 300, h: 250, wratio: 16, hratio: 9 })),
  ],
  ['size-offered', banner, none, all(shaped(6, 5), set('bid', { w: 300, h: 250 }))],
  [
    'language',
    banner,
    all(set('request', { wlangb: ['en-GB'] }), set('bid', { language: 'en' })),
    all(set('request', { wlangb: ['de-AT'] }), set('bid', { language: 'en' })),
  ],
  ['markup', banner, none, set('bid', { adm: '' })],
  ['secure-markup', banner, all(set('imp', { secure: 0 }), adm('https:', 'http:')), adm('https:', 'http:')],
  ['secure-markup', video, adm('<VAST', '<VAST xmlns:x="http://w.example/x"'), adm('https:', 'http:')],
  [
    'blocked-advertiser',
    banner,
    set('request', { badv: ['op.example'] }),
    all(set('request', { badv: ['Shop.example'] }), set('bid', { adomain: ['m.shop.example'] })),
  ],
  ['blocked-category', banner, set('request', { bcat: ['IAB1-7'] }), set('request', { bcat: ['IAB1'] })],
  ['blocked-category', banner, set('request', { acat: ['IAB1'] }), set('request', { acat: ['IAB2'] })],
  [
    'blocked-app',
    banner,
    set('bid', { bundle: 'a.b' }),
    all(set('bid', { bundle: 'a.b' }), set('request', { bapp: ['a.b'] })),
  ],
  [
    'blocked-attribute',
    banner,
    all(format('banner', { battr: [1] }), set('bid', { attr: [2] })),
    all(format('banner', { battr: [1] }), set('bid', { attr: [1] })),
  ],
  ['blocked-banner-type', banner, format('banner', { btype: [3, 4] }), format('banner', { btype: [2] })],
  ['media-type', banner, format('banner', { mimes: ['image/png'] }), format('banner', { mimes: ['image/jpg'] })],
  ['media-type', video, none, format('video', { mimes: ['video/webm'] })],
  ['api', banner, all(format('banner', { api: [5] }), set('bid', { apis: [5] })), set('bid', { apis: [5] })],
  [
    'language',
    banner,
    all(set('request', { wlang: ['EN'] }), set('bid', { language: 'en' })),
    all(set('request', { wlang: ['de'] }), set('bid', { language: 'en' })),
  ],
  ['vast-well-formed', video, adm('id="1"', 'id="&amp;"'), adm('</InLine>', '')],
  ['vast-complete', video, none, adm(/<Impression>.*<\/Impression>/, '')],
  ['duration', video, format('video', { rqddurs: [15] }), format('video', { maxduration: 14 })],
  ['protocol', video, format('video', { protocols: undefined }), format('video', { protocols: [2, 6] })],
  ['linearity', video, format('video', { linearity: 1 }), format('video', { linearity: 2 })],
  [
    'skippable-attribute',
    video,
    all(adm('<Linear', '<Linear skipoffset="00:00:05"'), set('bid', { attr: [16] })),
    adm('<Linear', '<Linear skipoffset="00:00:05"'),
  ],
  ['native-complete', native, adm('a.example', 'b.example'), adm('"url":"https://a.example"', '')],
  ['native-complete', native, none, s => Object.assign(s.bid, { adm: `{"native":${s.bid.adm}}` })],
  ['native-asset', native, adm('"Boots"', '"Boots now"'), adm('"Boots"', '"Boots, now"')],
  ['native-asset', native, adm('"w":300', '"w":301'), adm('"w":300', '"w":299')],
  ['native-asset', native, none, adm('"id":1', '"id":3')],
  ['native-tracker', native, adm('"method":1', '"method":1'), adm('"method":1', '"method":2')],
  ['deal-offered', banner, deal({}), all(deal({}), set('bid', { dealid: 'd2' }))],
  ['deal-seat', banner, deal({ wseat: ['s1'] }), deal({ wseat: ['s2'] })],
  ['deal-advertiser', banner, deal({ wadomain: ['shop.example'] }), deal({ wadomain: ['op.example'] })],
  [
    'private-auction',
    banner,
    set('imp', { pmp: { private_auction: 0, deals: [] } }),
    set('imp', { pmp: { private_auction: 1, deals: [{ id: 'd1' }] } }),
  ],
  [
    'transparency',
    banner,
    all(set('request', { regs: { ext: { dsa: { dsarequired: 3 } } } }), set('bid', { ext: { dsa: {} } })),
    set('request', { regs: { ext: { dsa: { dsarequired: 3 } } } }),
  ],
  [
    'transparency',
    banner,
    all(set('request', { regs: { ext: { dsa: { pubrender: 2 } } } }), set('bid', { ext: { dsa: { adrender: 0 } } })),
    all(set('request', { regs: { ext: { dsa: { pubrender: 2 } } } }), set('bid', { ext: { dsa: { adrender: 1 } } })),
  ],
]

describe('the acceptance rules', () => {
  test('accept the ads that the cases start from', () => {
    expect(judged(banner(), none)).toEqual([])
    expect(judged(video(), none)).toEqual([])
    expect(judged(native(), none)).toEqual([])
  })

  test.each(CASES.map((each, at) => [each[0], at, each] as const))('%s (case %i) is told apart', (rule, _, each) => {
    const [, start, good, bad] = each
    expect(judged(start(), good)).toEqual([])
    expect(judged(start(), bad)).toContain(rule)
  })

  test('each have a case', () => {
    expect(Object.keys(ACCEPTANCE_RULES).filter(rule => !CASES.some(each => each[0] === rule))).toEqual([])
  })

  test('read any request and any answer without throwing', () => {
    const answer = (status: number, bodyText: string) => ({ status, headers: {}, bodyText })
    const values = [null, 1, 'x', [], {}, [null], { imp: 1 }, { id: 1, imp: [1, { id: '1', banner: 3, pmp: [] }] }]
    for (const request of values)
      for (const body of values) expect(() => brokenRules(request, answer(200, JSON.stringify(body)))).not.toThrow()
    expect(brokenRules(undefined, answer(400, ''))).toEqual([])
    expect(bidsOf('nonsense')).toEqual([])
  })
})
