import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { type AcceptanceOptions, brokenRules, isGoodRequest } from '../../loadtest/acceptance.ts'
import { MALFORMED_WAYS, malformedBody } from '../../loadtest/malformed.ts'
import { compiledTenant, sampleTenant } from '../../test/sample-catalog.ts'
import { NO_BID_REASON_NAMES, type NoBidReason } from '../decision/reasons.ts'
import { Random } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import { readToken } from '../openrtb/notice-token.ts'
import { NoticeUrls } from '../openrtb/notice-urls.ts'
import type { TenantDocuments } from '../state/documents.ts'
import type { Exchange } from '../state/exchange-document.ts'
import { createRecorderBlock, Recorder, snapshot } from '../telemetry/recorder.ts'
import { noBidCounter } from '../telemetry/signals.ts'
import { BidPath } from './bid-path.ts'
import { sameSignature, signerOf } from './notice-keys.ts'
import { ServedCatalog } from './served-catalog.ts'
import { Serving } from './serving.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const NOW_MS = Date.parse('2026-11-21T12:00:00Z')
const MOMENT = { nowMs: NOW_MS, monotonicMs: 0, waitedMs: 0 }
const RATES: NonNullable<AcceptanceOptions['rates']> = sampleTenant().rates.rates

/** A bid path over a whole tenant, and what it was alarmed about. */
class Bench {
  readonly alarms: string[] = []
  readonly errors: unknown[] = []
  readonly serving: Serving
  readonly path: BidPath
  readonly #block = createRecorderBlock()

  constructor(documents: TenantDocuments = sampleTenant(), seed = SEED, notices?: NoticeUrls) {
    this.serving = new Serving(new ServedCatalog(compiledTenant(documents), { notices }), NOW_MS)
    this.path = new BidPath({
      recorder: new Recorder(this.#block),
      pickIndex: new Random(seed).pickIndex,
      bidIdPrefix: 'test-',
      notices,
      alarm: (code, detail, error) => {
        this.alarms.push(`${code}: ${detail}`)
        this.errors.push(error)
      },
    })
  }

  answer(body: unknown, exchangeId = 'adx') {
    const exchange = this.serving.exchange(exchangeId) as Exchange
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    return this.path.answer(Buffer.from(text), exchange, this.serving, MOMENT)
  }

  noBids(reason: NoBidReason): number {
    const { counters } = snapshot({ blocks: [this.#block], gauges: {}, takenAtMs: 0 })
    return counters[noBidCounter(NO_BID_REASON_NAMES.indexOf(reason))] ?? 0
  }
}

/** A fault inside: markup that cannot be read. */
class BrokenCatalog extends ServedCatalog {
  override fragmentOf(): never {
    throw new Error('broken')
  }
}

const IMP = { id: '1', banner: { w: 300, h: 250 } }
const REQUEST = { id: 'r1', imp: [IMP], site: { domain: 'news.example' } }

/** Requests over everything that the reader looks at, in combinations that nobody thought of. */
function anyRequest(random: Random): Record<string, unknown> {
  const maybe = (name: string, ...values: unknown[]) => (random.chance(0.3) ? { [name]: random.pick(values) } : {})
  const floor = () => ({
    ...maybe('bidfloor', 0, 0.5, 2.000_000_3, 4.1234567, 7, -1, '3', 1e308),
    ...maybe('bidfloorcur', 'USD', 'EUR', 'JPY', 'XXX', 5),
  })
  const deal = () => ({
    id: random.pick(['SUMMIT-PREMIUM-VIDEO', 'WX-STORM-2026', 'nobody', '']),
    ...floor(),
    ...maybe('wseat', ['acme-4410'], ['x'], 'x'),
    ...maybe('at', 1, 3),
  })
  const banner = () => ({
    ...{ w: random.pick([300, 320, 728, 970]), h: random.pick([250, 50, 90]) },
    ...maybe(
      'format',
      [
        { w: 300, h: 600 },
        { w: 320, h: 100 },
      ],
      [],
      [null, 'x'],
    ),
    ...maybe('battr', [1, 2, 3], [13.5, -1, 99], 'x', [3]),
    ...maybe('btype', [1], [2], [3, 4], [2.5]),
    ...maybe('mimes', ['image/png'], ['text/html'], ['x/y'], [7], []),
  })
  const video = () => ({
    ...maybe('mimes', ['video/mp4'], ['video/webm'], ['x/y'], 'video/mp4'),
    ...maybe('protocols', [2, 3], [7], [99], ['2'], []),
    ...maybe('protocol', 2, 99, '3'),
    ...maybe('minduration', 0, 10, 16),
    ...maybe('maxduration', 30, 15, 10),
    ...maybe('rqddurs', [15, 30], [6], ['15'], [null]),
    ...maybe('battr', [16], [1], [16.5]),
    ...maybe('linearity', 1, 2),
  })
  const imp = (id: number) => ({
    id: String(id),
    ...(random.chance(0.7) ? { banner: banner() } : {}),
    ...(random.chance(0.5) ? { video: video() } : {}),
    ...maybe('secure', 1, 0, '1'),
    ...floor(),
    ...maybe('pmp', { private_auction: random.pick([0, 1]), deals: [deal(), deal(), deal()] }, { deals: 'x' }, []),
  })
  return {
    id: 'r',
    imp: Array.from({ length: random.between(1, 4) }, (_, index) => imp(index)),
    ...maybe('cur', ['USD'], ['EUR'], ['JPY', 'EUR'], ['XXX'], 'EUR', []),
    ...maybe('bcat', ['IAB17'], ['IAB22', 'IAB8'], ['IAB25'], 'IAB17'),
    ...maybe(
      'badv',
      ['acme-outdoor.example'],
      ['trailfuel.example'],
      ['ridgelineboots.example', 'NORTHPEAK.example'],
      [1],
    ),
    ...maybe('site', { domain: 'alpinejournal.example' }, { cat: ['IAB17-16'] }, {}),
    ...maybe('app', { bundle: 'com.skycast.weather' }),
    ...maybe('device', { geo: { country: 'USA', region: 'CO' }, os: 'iOS', devicetype: 4, language: 'en' }),
    ...maybe('tmax', 100, 20, '5'),
    ...maybe('wseat', ['acme-4410'], ['x']),
  }
}

describe('the bid path', () => {
  test('sends no bid that an exchange refuses, and never has to hold one back', () => {
    const bench = new Bench()
    const random = new Random(SEED)
    let bids = 0
    for (let round = 0; round < 6_000; round++) {
      const request = anyRequest(random)
      const exchange = random.pick(['adx', 'openx', 'prebid', 'magnite'])
      // Its contract is in euros, which the judge cannot know.
      if (exchange === 'magnite') request.cur = ['EUR', 'JPY']
      const { status, body } = bench.answer(request, exchange)
      const headers = {
        'content-type': 'application/json; charset=utf-8',
        'content-length': String(body.length),
        'x-openrtb-version': '2.6',
      }
      const context = `SEED=${SEED} round=${round} ${exchange} ${JSON.stringify(request)}`
      const broken = brokenRules(request, { status, headers, bodyText: body }, { rates: RATES })
      // The judge guesses the type of a banner from its markup; ours is what its document declares.
      expect(
        broken.filter(({ rule }) => rule !== 'blocked-banner-type'),
        context,
      ).toEqual([])
      expect(bench.alarms, context).toEqual([])
      if (status === 200) bids++
    }
    expect(bids).toBeGreaterThan(1_000)
  })

  test('ends an answer that has become too long', () => {
    const documents = sampleTenant()
    const creatives = documents.creatives.map(creative =>
      creative.format === 'banner'
        ? { ...creative, content: { kind: 'html' as const, html: '<b>x</b>'.repeat(8_000) } }
        : creative,
    )
    const bench = new Bench({ ...documents, settings: { ...documents.settings, onPage: 'any' }, creatives })
    const imp = Array.from({ length: 64 }, (_, i) => ({ ...IMP, id: String(i) }))
    const { body } = bench.answer({ ...REQUEST, imp })
    const bids = JSON.parse(body).seatbid[0].bid.length
    expect(bids).toBe(Math.ceil(LIMITS.responseBytesMax / (body.length / bids)))
    expect(bench.noBids('answer-full')).toBe(64 - bids)
  })

  test.each(MALFORMED_WAYS)('survives a request that is spoilt: %s', how => {
    const bench = new Bench()
    const random = new Random(SEED)
    for (let round = 0; round < 100; round++) {
      const { body } = malformedBody(anyRequest(random), how, random)
      const text = body.toString()
      const { status } = bench.answer(text)
      let parsed: unknown
      try {
        parsed = JSON.parse(text)
      } catch {
        // Not JSON: 400.
      }
      const context = `SEED=${SEED} round=${round} ${text.slice(0, 2_000)}`
      if (!isGoodRequest(parsed)) expect([400, 200, 204], context).toContain(status)
      if (parsed === undefined) expect(status, context).toBe(400)
      expect(bench.alarms, context).toEqual([])
    }
  })

  test('answers 400 to what is no JSON, has no id or no imp', () => {
    const bench = new Bench()
    for (const body of ['', '{', 'null', '[]', '{"id":"1"}', '{"imp":[{"id":"1"}]}', '{"id":"1","imp":[]}'])
      expect(bench.answer(body)).toEqual({ status: 400, body: '' })
  })

  test('answers a no-bid as the exchange wants it and counts its reason', () => {
    const bench = new Bench()
    const request = { ...REQUEST, imp: [{ ...IMP, bidfloor: 1_000 }] }
    expect(bench.answer(request, 'adx')).toEqual({ status: 204, body: '' })
    const { status, body } = bench.answer(request, 'magnite')
    expect([status, JSON.parse(body)]).toEqual([200, { id: 'r1', seatbid: [], nbr: 0 }])
    expect(bench.noBids('below-floor')).toBe(2)
  })

  test('says that there is too little time in the number that OpenRTB has for it', () => {
    const bench = new Bench()
    expect(JSON.parse(bench.answer({ ...REQUEST, tmax: 5 }, 'magnite').body).nbr).toBe(15)
    expect(bench.noBids('deadline-too-short')).toBe(1)
  })

  test('bids for nobody when the tenant or the exchange is paused', () => {
    const documents = sampleTenant()
    const paused = new Bench({ ...documents, settings: { ...documents.settings, status: 'paused' } })
    expect(paused.answer(REQUEST).status).toBe(204)
    expect(paused.noBids('tenant-paused')).toBe(1)
    const bench = new Bench()
    expect(bench.answer(REQUEST, 'index').status).toBe(204)
    expect(bench.noBids('exchange-paused')).toBe(1)
  })

  test('gives every bid an id of its own and answers every impression once', () => {
    const sample = sampleTenant()
    const bench = new Bench({ ...sample, settings: { ...sample.settings, onPage: 'any' } })
    const imp = [IMP, { ...IMP, id: '2' }, { ...IMP, id: '3' }]
    const ids = new Set<string>()
    for (let round = 0; round < 50; round++) {
      const [{ bid: bids }] = JSON.parse(bench.answer({ ...REQUEST, imp }).body).seatbid
      expect(bids.map((bid: { impid: string }) => bid.impid)).toEqual(['1', '2', '3'])
      for (const { id } of bids) ids.add(id)
    }
    expect(ids.size).toBe(150)
  })

  test('keeps answering when the engine breaks a promise, and tells of it', () => {
    const bench = new Bench()
    const broken = new Serving(new BrokenCatalog(bench.serving.base.catalog), NOW_MS)
    const exchange = bench.serving.exchange('adx') as Exchange
    const body = Buffer.from(JSON.stringify(REQUEST))
    expect(bench.path.answer(body, exchange, broken, MOMENT)).toEqual({ status: 204, body: '' })
    expect(bench.alarms).toEqual(['internal-error: Error: broken'])
    expect((bench.errors[0] as Error).stack).toContain('fragmentOf')
    expect(bench.noBids('internal-error')).toBe(1)
    expect(bench.answer(REQUEST).status).toBe(200)
  })

  test('takes nothing of prototypes for a field, and leaves them clean', () => {
    const bench = new Bench()
    const before = Object.getOwnPropertyNames(Object.prototype).length
    const bad = `{"__proto__":{"id":"x","imp":[1]},"constructor":{"prototype":{"id":"y"}},"\\u005f_proto__":{"a":1}}`
    expect(bench.answer(bad).status).toBe(400)
    const good = bad.replace(/}$/, ',"id":"r","imp":[{"id":"1","banner":{"w":300,"h":250,"__proto__":{"w":1}}}]}')
    expect(bench.answer(good).status).toBe(200)
    expect(Object.getOwnPropertyNames(Object.prototype).length).toBe(before)
    expect(({} as { a?: number }).a).toBeUndefined()
  })
})

describe('the notices of a bid', () => {
  const sign = signerOf([{ id: 'k1', secret: 'a'.repeat(32) }])
  const urls = new NoticeUrls({ publicUrl: 'https://ads.example.com', tenantId: 'acme-outdoor', keyId: 'k1', sign })
  const reader = { tenantId: 'acme-outdoor', sign, same: sameSignature }

  function bidAt(exchange: Partial<Exchange>, cur = 'USD') {
    const sample = sampleTenant()
    const exchanges = sample.exchanges.map(each => ({ ...each, ...exchange }))
    const bench = new Bench({ ...sample, exchanges }, SEED, urls)
    const { body } = bench.answer({ ...REQUEST, cur: [cur] }, cur === 'USD' ? 'adx' : 'magnite')
    expect(bench.alarms).toEqual([])
    return { bench, bid: JSON.parse(body).seatbid[0].bid[0] }
  }
  const tokenIn = (url: string) => {
    const read = readToken(new URL(url).pathname.split('/')[4] ?? '', reader, NOW_MS / 1_000)
    if ('refusal' in read) throw new Error(read.refusal)
    return read.token
  }

  test('are the billing notice where the exchange says nothing else, with all that a booking needs', () => {
    const { bid } = bidAt({})
    expect(bid.burl).toMatch(
      /^https:\/\/ads\.example\.com\/acme-outdoor\/notice\/billing\/[\w.:~-]+\?price=\$\{AUCTION_PRICE\}$/,
    )
    expect(bid).not.toHaveProperty('nurl')
    expect(bid).not.toHaveProperty('lurl')
    const ids = { bidId: bid.id, exchangeId: 'adx', campaignId: bid.cid, creativeId: bid.crid }
    expect(tokenIn(bid.burl)).toMatchObject({ ...ids, billedBy: 'billing', day: 20_778, nanosPerCpm: 1e6 })
    expect(tokenIn(bid.burl).amountNanosMax).toBe(Math.round(bid.price * 1e6))
  })

  test('bill what a screen in public is seen by, and nothing in a test auction', () => {
    const bench = new Bench(sampleTenant(), SEED, urls)
    const bid = (request: object) => JSON.parse(bench.answer({ ...REQUEST, ...request }).body).seatbid[0].bid[0]
    const [plain, screen, tried] = [bid({}), bid({ imp: [{ ...IMP, qty: { multiplier: 12.5 } }] }), bid({ test: 1 })]
    expect([screen.price, tried.price]).toEqual([plain.price, plain.price])
    const { amountNanosMax: most } = tokenIn(plain.burl)
    expect(tokenIn(screen.burl)).toMatchObject({ amountNanosMax: Math.ceil(most * 12.5), nanosPerCpm: 12.5e6 })
    expect(tokenIn(tried.burl)).toMatchObject({ amountNanosMax: 0, nanosPerCpm: 1e6 })
  })

  test('follow what the exchange sends', () => {
    const won = bidAt({ billing: 'win', notices: ['loss'] }).bid
    expect(Object.keys(won).filter(key => key.endsWith('url'))).toEqual(['nurl', 'lurl'])
    expect(tokenIn(won.nurl).billedBy).toBe('win')
    expect(won.lurl).toMatch(
      /\/notice\/loss\/.*\?price=\$\{AUCTION_PRICE\}&loss=\$\{AUCTION_LOSS\}&min=\$\{AUCTION_MIN_TO_WIN\}$/,
    )
    const both = bidAt({ notices: ['win', 'loss'] }).bid
    expect(Object.keys(both).filter(key => key.endsWith('url'))).toEqual(['nurl', 'burl', 'lurl'])
    expect(bidAt({ billing: 'impression' }).bid).not.toHaveProperty('burl')
  })

  test('freeze the rate of a bid in another currency', () => {
    const { bench, bid } = bidAt({}, 'EUR')
    const { nanosPerCpm, amountNanosMax } = tokenIn(bid.burl)
    expect(nanosPerCpm).toBe(1e6 * (bench.serving.header.rates.get('EUR') ?? 0))
    expect(bid.price * nanosPerCpm).toBeLessThanOrEqual(amountNanosMax * (1 + 1e-12))
    expect(bid.price * nanosPerCpm).toBeGreaterThan(amountNanosMax - nanosPerCpm)
  })

  test('are not written where nobody could call them', () => {
    const bench = new Bench()
    expect(bench.answer(REQUEST).body).not.toContain('url":"https://ads.example.com')
    expect(JSON.parse(bench.answer(REQUEST).body).seatbid[0].bid[0]).not.toHaveProperty('burl')
  })
})

test('answers leave nothing behind that only a collection of the whole heap takes away', () => {
  const bench = new Bench()
  const body = JSON.stringify(REQUEST)
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const oldBytes = () => getHeapSpaceStatistics().find(space => space.space_name === 'old_space')?.space_used_size ?? 0
  const answerMany = () => {
    for (let n = 0; n < 20_000; n++) bench.answer(body)
  }
  // The code is compiled, what is kept on purpose is kept, and what is young now grows old.
  answerMany()
  collect()
  const before = oldBytes()
  answerMany()
  expect(oldBytes() - before).toBeLessThan(1_000_000)
})
