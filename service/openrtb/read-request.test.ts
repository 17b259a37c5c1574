import { describe, expect, test } from 'vitest'
import type { FactValue } from '../decision/opportunity.ts'
import { REQUEST_DIMENSIONS, type RequestDimension } from '../state/dimensions.ts'
import type { Exchange } from '../state/exchange-document.ts'
import { type BidRequest, type ReadTerms, readRequest } from './read-request.ts'
import { readAgent } from './user-agent.ts'

const EXCHANGE: Exchange = {
  ...{ id: 'adx', name: 'Exchange', status: 'active', seat: 'seat-1', currency: 'EUR', noBid: 'empty', gzip: true },
  networkAllowanceMs: 20,
}
const RATES = new Map([
  ['USD', 1],
  ['EUR', 1.1642],
  ['JPY', 0.006712],
])
const TERMS: ReadTerms = {
  ...{ exchange: EXCHANGE, rates: RATES, daypart: '5', nowMs: Date.parse('2026-11-21T22:30:00Z'), waitedMs: 0 },
  ...{ targeted: REQUEST_DIMENSIONS, slotsKnown: new Map<number, number>(), readAgent, needsFrameworks: true },
}
const BANNER = { id: '1', banner: { w: 300, h: 250 } }

function read(request: object, more: Partial<ReadTerms> & { exchange?: Exchange } = {}): BidRequest {
  const terms = { ...TERMS, ...more }
  const outcome = readRequest({ id: 'r', imp: [BANNER], ...request }, terms)
  expect(outcome.kind).toBe('request')
  return outcome as BidRequest
}
/** Facts by their dimensions' names. */
function facts(request: object, more: Partial<ReadTerms> = {}) {
  const { values, ...blocked } = read(request, more).facts
  const named = Object.fromEntries(REQUEST_DIMENSIONS.map((name, position) => [name, values[position]]))
  return { ...blocked, ...(named as { [name in RequestDimension]: FactValue }) }
}

describe('a request is malformed', () => {
  test.each([
    ['it is a list', []],
    ['it is null', null],
    ['it is a number', 7],
    ['it is nothing', undefined],
    ['it has no id', { imp: [BANNER] }],
    ['its id is empty', { id: '', imp: [BANNER] }],
    ['its id is a number', { id: 5, imp: [BANNER] }],
    ['its id is longer than 512 characters', { id: 'x'.repeat(513), imp: [BANNER] }],
    ['it has no imp', { id: '1' }],
    ['its imp is empty', { id: '1', imp: [] }],
    ['its imp is an object', { id: '1', imp: BANNER }],
  ])('when %s', (_, body) => {
    expect(readRequest(body, TERMS).kind).toBe('malformed')
  })
})

describe('impressions', () => {
  test('are read in their order, and those without an id or with one that came before are left out', () => {
    const imp = [BANNER, null, 'x', { banner: {} }, { ...BANNER, id: '2' }, { ...BANNER, id: '1' }, { id: '3' }]
    const { impressions } = read({ imp })
    expect(impressions.map(({ id, reason }) => [id, reason])).toEqual([
      ['1', undefined],
      ['2', undefined],
      ['3', 'no-supported-format'],
    ])
  })

  test('are read up to the limit', () => {
    const imp = Array.from({ length: 200 }, (_, index) => ({ ...BANNER, id: String(index) }))
    expect(read({ imp }).impressions.length).toBe(64)
  })
})

describe('the time that is left', () => {
  test.each([
    ['tmax is missing', {}, undefined],
    ['tmax is of another type', { tmax: '1' }, undefined],
    ['tmax leaves 8 ms after the network', { tmax: 28 }, undefined],
    ['tmax leaves less', { tmax: 27 }, 'deadline-too-short'],
    ['tmax is zero', { tmax: 0 }, 'deadline-too-short'],
    ['tmax is negative', { tmax: -1 }, 'deadline-too-short'],
  ])('decides when %s', (_, request, reason) => {
    expect(read(request).reason).toBe(reason)
  })

  test('is shorter by the lag of the event loop', () => {
    expect(read({ tmax: 100 }, { waitedMs: 72 }).reason).toBeUndefined()
    expect(read({ tmax: 100 }, { waitedMs: 73 }).reason).toBe('deadline-too-short')
  })
})

describe('a seat', () => {
  test.each([
    [{ wseat: ['seat-1', 'other'] }, undefined],
    [{ wseat: [] }, undefined],
    [{ wseat: 'seat-2' }, undefined],
    [{ wseat: ['seat-2'] }, 'seat-not-allowed'],
    [{ bseat: ['seat-2'] }, undefined],
    [{ bseat: ['seat-1'] }, 'seat-not-allowed'],
  ])('is asked for by %j', (request, reason) => {
    expect(read(request).reason).toBe(reason)
  })

  test('that we do not have cannot be the one that is wanted', () => {
    const { seat: _, ...seatless } = EXCHANGE
    expect(read({ wseat: ['seat-1'] }, { exchange: seatless }).reason).toBe('seat-not-allowed')
    expect(read({}, { exchange: seatless }).reason).toBeUndefined()
    expect(read({ bseat: ['x'] }, { exchange: seatless })).toMatchObject({ reason: undefined, seat: '' })
  })

  test('is the first of ours that is wanted and not blocked', () => {
    const exchange: Exchange = { ...EXCHANGE, otherSeats: ['seat-2', 'seat-3'] }
    const seat = (request: object) => read(request, { exchange }).seat
    expect(seat({})).toBe('seat-1')
    expect(seat({ wseat: ['seat-3', 'seat-2'] })).toBe('seat-2')
    expect(seat({ wseat: ['seat-3', 'seat-2'], bseat: ['seat-2'] })).toBe('seat-3')
    expect(read({ wseat: ['seat-3'], bseat: ['seat-3'] }, { exchange }).reason).toBe('seat-not-allowed')
  })
})

describe('the currency', () => {
  test.each([
    [{}, 'EUR'],
    [{ cur: [] }, 'EUR'],
    [{ cur: ['USD', 'EUR'] }, 'EUR'],
    [{ cur: ['CHF', 'JPY', 'USD'] }, 'JPY'],
    [{ cur: ['CHF'] }, ''],
    [{ cur: 'CHF' }, 'EUR'],
    [{ cur: [5, null, 'USD'] }, 'USD'],
  ])('of %j is the one that both sides know', (request, currency) => {
    const found = read(request)
    expect(found.currency).toBe(currency)
    expect(found.reason).toBe(currency === '' ? 'currency-not-accepted' : undefined)
  })
})

describe('a request is not bid on', () => {
  test('when its exchange is paused', () => {
    expect(read({}, { exchange: { ...EXCHANGE, status: 'paused' } }).reason).toBe('exchange-paused')
  })

  test('when it blocks categories of a taxonomy that ours cannot be compared with', () => {
    expect(read({ bcat: ['150'], cattax: 7 }).reason).toBe('category-blocked')
    expect(read({ bcat: ['IAB1'], cattax: 1 }).reason).toBeUndefined()
    expect(read({ bcat: ['IAB1'] }).reason).toBeUndefined()
    expect(read({ bcat: [], cattax: 7 }).reason).toBeUndefined()
  })
})

describe('facts', () => {
  test.each([
    [{ device: { geo: { country: 'deu', region: 'be' } } }, 'DEU', 'DE-BE'],
    [{ device: { geo: { country: 'DE', region: 'DE-BE' } } }, 'DEU', 'DE-BE'],
    [{ user: { geo: { country: 'USA', region: 'CA' } } }, 'USA', 'US-CA'],
    [{ device: { geo: { country: 'XXX', region: 'CA' } } }, '', ''],
    [{ device: { geo: { country: 5, region: [] } } }, '', ''],
  ])('of %j are its country and region', (request, country, region) => {
    expect(facts(request)).toMatchObject({ country, region })
  })

  test('leave out where the user is at home when user data may not be used, and not where the device is', () => {
    const geo = { country: 'USA', region: 'CA' }
    const restricted = { regs: { coppa: 1 } }
    expect(facts({ user: { geo } })).toMatchObject({ country: 'USA', region: 'US-CA' })
    expect(facts({ ...restricted, user: { geo } })).toMatchObject({ country: '', region: '' })
    expect(facts({ ...restricted, user: { geo }, device: { geo } })).toMatchObject({ country: 'USA', region: 'US-CA' })
  })

  test.each([
    [{ device: { language: 'en-US', os: 'iOS', devicetype: 4 } }, { language: 'en', os: 'ios', deviceType: '4' }],
    [{ device: { langb: 'pt_BR' } }, { language: 'pt' }],
    [{ device: { language: 3, os: {}, devicetype: '4' } }, { language: '', os: '', deviceType: '' }],
  ])('of %j are its device', (request, expected) => {
    expect(facts(request)).toMatchObject(expected)
  })

  test.each([
    [{ site: { domain: 'WWW.News.example' } }, ['www.news.example', 'news.example']],
    [{ site: { page: 'https://user@m.news.example:8443/a?b#c' } }, ['m.news.example', 'news.example']],
    [{ site: { domain: 'https://m.news.example/' } }, ['m.news.example', 'news.example']],
    [{ site: { domain: 7, page: {} } }, []],
    [{}, []],
  ])('of %j are its domain and those above it', (request, domain) => {
    expect(facts(request).domain).toEqual(domain)
  })

  test('of an app are its bundle, else its id, and its categories', () => {
    expect(facts({ app: { bundle: 'com.a', id: '9', cat: ['IAB1-6'] } })).toMatchObject({
      ...{ app: ['com.a'], category: ['IAB1-6', 'IAB1'], domain: [] },
    })
    expect(facts({ app: { id: '9' }, site: null })).toMatchObject({ app: ['9'] })
    expect(facts({ app: { cat: ['IAB1'] }, site: null })).toMatchObject({ category: ['IAB1'] })
  })

  test('have categories of the site, its section and its page, each once, and none of another taxonomy', () => {
    const site = { cat: ['IAB1'], sectioncat: ['IAB2-3'], pagecat: ['IAB1', 'IAB2-1'] }
    expect([...facts({ site }).category].sort()).toEqual(['IAB1', 'IAB2', 'IAB2-1', 'IAB2-3'])
    expect(facts({ site: { ...site, cattax: 6 } }).category).toEqual([])
  })

  test('have every blocked advertiser and category, however long the list is', () => {
    const badv = Array.from({ length: 5_000 }, (_, index) => `A${index}.example`)
    const bcat = ['IAB25', 7, 'IAB26-1']
    expect(facts({ badv }).blockedDomains.at(-1)).toBe('a4999.example')
    expect(facts({ bcat }).blockedCategories).toEqual(['IAB25', 'IAB26-1'])
  })
})

describe('tolerance', () => {
  test('holds for unknown fields and values everywhere', () => {
    const imp = [{ ...BANNER, holographic: { w: 1 }, instl: 'yes', banner: { w: 300, h: 250, pos: 99, x: [[]] } }]
    const found = read({ imp, zebra: 1, at: 731, device: { devicetype: 88, x: 1 }, regs: { zebra: 'z' } })
    expect(found.reason).toBeUndefined()
    expect(found.impressions[0]?.opportunity).toBeDefined()
  })

  test.each(['site', 'app', 'device', 'user', 'regs', 'source', 'cur', 'badv', 'bcat', 'wseat', 'bseat', 'tmax'])(
    'holds for every wrong type of %s',
    name => {
      for (const wrong of [null, true, 0, 'x', [], [null], {}, { ext: null }])
        expect(read({ [name]: wrong }).kind, JSON.stringify(wrong)).toBe('request')
    },
  )

  test('holds for the names of prototypes', () => {
    const body: unknown = JSON.parse(
      '{"id":"r","imp":[{"id":"__proto__","banner":{"w":300,"h":250},"__proto__":{"secure":1}}],' +
        '"__proto__":{"tmax":1},"constructor":{"prototype":{"tmax":1}},"cur":["__proto__","constructor","USD"]}',
    )
    const found = read(body as object)
    expect(found.currency).toBe('USD')
    expect(found.reason).toBeUndefined()
    expect(found.impressions[0]?.opportunity?.secure).toBe(false)
    expect(({} as { tmax?: unknown }).tmax).toBeUndefined()
  })
})
