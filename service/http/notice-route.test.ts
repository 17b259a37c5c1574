import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { exchangeBytes } from '../../test/wire/raw-connection.ts'
import { Random } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import type { Notice } from '../openrtb/notice.ts'
import { type NoticeToken, writeToken } from '../openrtb/notice-token.ts'
import { NoticeUrls } from '../openrtb/notice-urls.ts'
import { createRecorderBlock, Recorder, snapshot } from '../telemetry/recorder.ts'
import type { RequestTracer } from '../telemetry/request-tracer.ts'
import { noticeCounter, priceCounter, refusalCounter } from '../telemetry/signals.ts'
import { priceReadersOf } from './encrypted-price.ts'
import type { HttpCall } from './http-call.ts'
import { NodeCall } from './node-call.ts'
import { sameSignature, signerOf } from './notice-keys.ts'
import { NoticeRoute } from './notice-route.ts'

const KEYS = [
  { id: 'k1', secret: 'a'.repeat(32) },
  { id: 'k2', secret: 'b'.repeat(32) },
]
const sign = signerOf(KEYS)
const reader = { tenantId: 'acme', sign, same: sameSignature }
const urls = new NoticeUrls({ publicUrl: 'https://ads.example.com', tenantId: 'acme', keyId: 'k1', sign })
const NOW_S = 1_795_000_000
const TOKEN: NoticeToken = {
  ...{
    bidId: 'b-1',
    exchangeId: 'adx',
    campaignId: 'c-1',
    lineItemId: 'li-1',
    creativeId: 'cr-1',
    lease: '',
    counted: '',
  },
  ...{ billedBy: 'billing', day: 20_778, bucket: 0, amountNanosMax: 2_500_000, nanosPerCpm: 1e6 },
  expiresS: NOW_S + 3_600,
}
const googleKey = (text: string) => new Uint8Array(Buffer.from(text, 'base64'))
const GOOGLE = {
  exchangeId: 'google',
  encryptionKey: googleKey('skU7Ax_NL5pPAFyKdkfZjZz2-VhIN8bjj1rVFOaJ_5o='),
  integrityKey: googleKey('arO23ykdNqUQ5LEoQ0FVmPkBd7xB5CO89PDZlSjpFxo='),
}

const block = createRecorderBlock()
let nowS = NOW_S
let isKept = true
let told: Notice[] = []
let traced: number[] = []
let port = 0
const route = new NoticeRoute({
  reader,
  prices: priceReadersOf([GOOGLE]),
  recorder: new Recorder(block),
  tracer: { draws: () => true, endNotice: ({ status }) => void traced.push(status) } as RequestTracer,
  send: async notice => {
    told.push(notice)
    return isKept
  },
  markupOf: ({ creativeId }, tokenText, rendition) =>
    rendition === 1 ? { contentType: 'text/html', body: `<b>${creativeId} ${tokenText}</b> ü` } : undefined,
  nowMs: () => nowS * 1_000,
  isDraining: () => false,
})
const server = createServer((req, res) => {
  if (!route.take(new NodeCall(req, res))) res.writeHead(404).end()
})

beforeAll(async () => {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})
beforeEach(() => {
  nowS = NOW_S
  isKept = true
  told = []
  traced = []
})

const token = (change: Partial<NoticeToken> = {}, keyId = 'k1', by = reader) =>
  writeToken({ ...TOKEN, ...change }, keyId, by)

async function get(path: string, method = 'GET') {
  const answer = await exchangeBytes(port, `${method} ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`)
  if (answer === undefined) throw new Error('no answer')
  return answer
}

function counted(counter: number): number {
  return snapshot({ blocks: [block], gauges: {}, takenAtMs: 0 }).counters[counter] ?? 0
}

describe('a notice', () => {
  test.each(['GET', 'POST'])('with a good token is 204 by %s once it is safe, and says what it bills', async method => {
    const { status, body } = await get(`/acme/notice/billing/${token()}?price=1.25`, method)
    expect([status, body.length]).toEqual([204, 0])
    expect(told).toMatchObject([{ kind: 'billing', token: TOKEN, price: { reading: 'exact', nanos: 1_250_000 } }])
  })

  test('is traced once it is answered, and not when nobody waits for the answer any more', () => {
    for (const status of [0, 204]) {
      let over = () => {}
      const call: HttpCall = {
        ...{ method: 'GET', url: `/acme/notice/loss/${token()}`, rawHeaders: [], peer: undefined },
        ...{ isAnswered: status !== 0, status, takeBody: () => {}, close: () => {}, answer: () => {} },
        onceOver: listener => {
          over = listener
        },
      }
      expect(route.take(call)).toBe(true)
      over()
    }
    expect(traced).toEqual([204])
  })

  test('that is not safe is sent again', async () => {
    isKept = false
    const { status, headers } = await get(`/acme/notice/billing/${token()}?price=1`)
    expect([status, headers['retry-after']]).toEqual([503, '10'])
  })

  test('of a win is answered with markup where its address asks for it and there is some', async () => {
    const won = await get(`/acme/notice/win/${token()}?price=1&m=1`)
    expect([won.status, won.headers['content-type']]).toEqual([200, 'text/html'])
    expect(won.body.toString()).toBe(`<b>cr-1 ${token()}</b> ü`)
    const others = ['win/T?price=1', 'win/T?m=0', 'win/T?m=x', 'win/T?m=11', 'billing/T?m=1']
    for (const each of others) {
      const { status, body } = await get(`/acme/notice/${each.replace('T', token())}`)
      expect([status, body.length], each).toEqual([204, 0])
    }
    isKept = false
    expect((await get(`/acme/notice/win/${token()}?m=1`)).status).toBe(503)
  })

  test('bills only where the bid says so', async () => {
    for (const kind of ['notice/win', 'notice/loss', 'event/impression']) await get(`/acme/${kind}/${token()}?price=1`)
    await get(`/acme/event/impression/${token({ billedBy: 'billing-or-impression' })}?price=1`)
    await get(`/acme/notice/win/${token({ billedBy: 'win' })}?price=1`)
    expect(told.map(({ price }) => price?.nanos)).toEqual([undefined, undefined, undefined, 1_000_000, 1_000_000])
  })

  test('of a loss tells why, and what would have won', async () => {
    await get(`/acme/notice/loss/${token()}?price=&loss=102&min=3.5`)
    await get(`/acme/notice/loss/${token()}?loss=$%7BAUCTION_LOSS%7D&min=x`)
    expect(told).toMatchObject([
      { lossReason: 102, minToWin: 3.5 },
      { lossReason: undefined, minToWin: undefined },
    ])
  })

  const PRICES: readonly (readonly [query: string, reading: string, nanos: number])[] = [
    ['?price=2.5', 'exact', 2_500_000],
    ['?price=Mi41', 'exact', 2_500_000],
    ['?price=Mi41&price=0.1', 'exact', 2_500_000],
    ['', 'unreadable', 2_500_000],
    ['?price=', 'unreadable', 2_500_000],
    ['?price=$%7BAUCTION_PRICE%7D', 'unreadable', 2_500_000],
    ['?price=%zz', 'unreadable', 2_500_000],
    ['?price=0x1', 'unreadable', 2_500_000],
    ['?price=99', 'above', 2_500_000],
    ['?price=AUDIT', 'audit', 0],
  ]
  test.each(PRICES)('with the price "%s" is %s (fault 29)', async (query, reading, nanos) => {
    const before = counted(priceCounter(reading as 'exact'))
    expect((await get(`/acme/notice/billing/${token()}${query}`)).status).toBe(204)
    expect(told[0]?.price).toEqual({ reading, nanos })
    expect(counted(priceCounter(reading as 'exact'))).toBe(before + 1)
  })

  test('of an exchange that encrypts prices takes those, and no plain one', async () => {
    const google = token({ exchangeId: 'google' })
    await get(`/acme/notice/billing/${google}?price=YWJjMTIzZGVmNDU2Z2hpN7fhCuPemCAWJRxOgA`)
    await get(`/acme/notice/billing/${google}?price=0.000001`)
    expect(told.map(({ price }) => price)).toEqual([
      { reading: 'exact', nanos: 1_900 },
      { reading: 'unreadable', nanos: 2_500_000 },
    ])
  })
})

describe('a token', () => {
  test('that is escaped on its way is still one', async () => {
    const escaped = token({ lineItemId: 'li:1' }).replaceAll('~', '%7E').replaceAll(':', '%3A')
    expect((await get(`/acme/notice/billing/${escaped}?price=1`)).status).toBe(204)
  })

  test.each([
    ['malformed', 400, '/acme/notice/billing/nothing'],
    ['malformed', 400, '/acme/notice/billing/'],
    ['malformed', 400, '/acme/notice/billing/%'],
    ['malformed', 400, `/acme/event/start/${'~'.repeat(13)}`],
    ['malformed', 400, `/acme/notice/win/${'a'.repeat(8_000)}`],
    [
      'unknown-key',
      400,
      `/acme/notice/billing/${token({}, 'k9', { ...reader, sign: signerOf([{ id: 'k9', secret: 'c' }]) })}`,
    ],
    ['forged', 400, `/acme/notice/billing/${token({}, 'k1', { ...reader, tenantId: 'other' })}`],
    ['forged', 400, `/acme/notice/billing/${token().replace('b-1', 'b-2')}`],
    ['expired', 410, `/acme/notice/billing/${token({ expiresS: NOW_S })}`],
    ['expired', 410, `/acme/event/impression/${token({ expiresS: NOW_S })}`],
    ['expired', 410, `/acme/event/conversion/${token({ expiresS: NOW_S - LIMITS.eventLifeS })}`],
  ] as const)('that is %s gets %d, changes nothing, is not repeated (fault 29): %s', async (refusal, status, path) => {
    const before = counted(refusalCounter(refusal))
    const answer = await get(`${path}?price=1&x=marker`)
    expect(answer.status).toBe(status)
    expect(JSON.stringify(answer.headers) + answer.body.toString()).not.toMatch(/marker|~/)
    expect(told).toEqual([])
    expect(counted(refusalCounter(refusal))).toBe(before + 1)
  })

  test('with any one bit changed is worth nothing (fault 29, seed 3)', async () => {
    const random = new Random(3)
    const good = Buffer.from(token())
    for (let round = 0; round < 300; round++) {
      const bad = Buffer.from(good)
      const at = random.pickIndex(bad.length)
      bad[at] = (bad[at] ?? 0) ^ (1 << random.pickIndex(7))
      const { status } = await get(`/acme/notice/billing/${encodeURIComponent(bad.toString('latin1'))}?price=1`)
      expect(status, `${at}: ${bad.toString('latin1')}`).toBe(400)
    }
    expect(told).toEqual([])
  })
})

describe('an event', () => {
  test('is one transparent pixel that nobody keeps', async () => {
    const before = counted(noticeCounter('first-quartile'))
    const { status, headers, body } = await get(`/acme/event/first-quartile/${token()}`)
    expect([status, headers['content-type'], headers['cache-control']]).toEqual([200, 'image/gif', 'no-store'])
    expect(body.subarray(0, 6).toString()).toBe('GIF89a')
    expect(counted(noticeCounter('first-quartile'))).toBe(before + 1)
  })

  test('waits for nothing, but where it bills', async () => {
    isKept = false
    expect((await get(`/acme/event/start/${token()}`)).status).toBe(200)
    expect((await get(`/acme/event/impression/${token({ billedBy: 'impression' })}?price=1`)).status).toBe(503)
  })

  test('may come after the bid can be billed', async () => {
    nowS = NOW_S + 7 * 86_400
    expect((await get(`/acme/event/conversion/${token()}`)).status).toBe(200)
  })
})

describe('a click', () => {
  const click = (landing: string) => {
    const { pathname, search } = new URL(urls.clickOf(landing).replace(/\/[^/]*NOTICE_TOKEN[^/?]*\?/, `/${token()}?`))
    return `${pathname}${search}`
  }

  test('leads to the page that we signed, whatever became of its token', async () => {
    const page = 'https://shop.example/a?b=c&d=%20e#f'
    const good = await get(click(page))
    expect([good.status, good.headers.location]).toEqual([302, page])
    const late = await get(click(page).replace(token(), token({ expiresS: 1 })))
    expect([late.status, late.headers.location]).toEqual([302, page])
    expect(told.map(({ kind }) => kind)).toEqual(['click'])
  })

  test('leads nowhere else', async () => {
    const good = click('https://shop.example/')
    for (const bad of [
      good.replace('shop.example', 'evil.example'),
      good.replace(/&s=.*/, ''),
      good.replace(/&s=k1/, '&s=k2'),
      good.replace(/&s=.*/, '&s=~'),
      good.replace(/to=[^&]*/, 'to=%0d%0aLocation:%20https://evil.example'),
    ]) {
      const { status, headers } = await get(bad)
      expect([status, headers.location], bad).toEqual([200, undefined])
    }
  })

  test('to a page whose address is not ASCII has it escaped', async () => {
    const { status, headers } = await get(click('https://shöp.example/größe?q=ü'))
    expect([status, headers.location]).toEqual([302, 'https://xn--shp-tna.example/gr%C3%B6%C3%9Fe?q=%C3%BC'])
  })
})

test('other paths, kinds and methods are none of this route', async () => {
  for (const path of [
    `/other/notice/billing/${token()}`,
    `/acme/notice/impression/${token()}`,
    `/acme/notice/x/${token()}`,
  ])
    expect((await get(path)).status, path).toBe(404)
  for (const path of ['/acme/notice', '/acme/', '/acme/event/click', '/acme/notice/billing'])
    expect((await get(path)).status, path).toBe(404)
  for (const method of ['PUT', 'DELETE', 'OPTIONS'])
    expect((await get(`/acme/notice/win/${token()}`, method)).status).toBe(404)
  expect(told).toEqual([])
})
