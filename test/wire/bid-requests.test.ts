import { fileURLToPath } from 'node:url'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { brokenRules } from '../../loadtest/acceptance.ts'
import { type ServiceProcess, startService } from '../../loadtest/service-process.ts'
import { exchangeBytes, RawConnection, type RawPost, rawPost } from './raw-connection.ts'

const TENANT = 'acme-outdoor'
const PATH = `/${TENANT}/openrtb2/adx`
const REQUEST = { id: 'r1', imp: [{ id: '1', banner: { w: 300, h: 250 } }], site: { domain: 'news.example' } }
const BODY = JSON.stringify(REQUEST)

let service: ServiceProcess
let port: number

beforeAll(async () => {
  const directory = fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))
  service = await startService({ env: { TENANT_ID: TENANT, STATE_URL: `file:${directory}`, DRAIN_S: '2' } })
  port = Number(new URL(service.url).port)
})
afterAll(async () => {
  expect(await service.stop()).toBe(0)
})

const post = (request: Partial<RawPost> = {}) => exchangeBytes(port, rawPost({ path: PATH, body: BODY, ...request }))
const statusOf = async (request: Partial<RawPost>) => (await post(request))?.status
const withExt = (text: string) => JSON.stringify({ ...REQUEST, ext: { text } })
/** Text that hardly compresses. */
const noise = (bytes: number) => {
  let text = ''
  for (let x = 1; text.length < bytes; x = (x * 48_271) % 2_147_483_647) text += x.toString(36)
  return text.slice(0, bytes)
}
function chunked(body: string, pieces: number): string {
  const size = Math.ceil(body.length / pieces)
  let text = ''
  for (let at = 0; at < body.length; at += size) {
    const piece = body.slice(at, at + size)
    text += `${piece.length.toString(16)}\r\n${piece}\r\n`
  }
  return `${text}0\r\n\r\n`
}
const CHUNKED = { 'Content-Length': undefined, 'Transfer-Encoding': 'chunked' }

describe('a bid request', () => {
  test('gets a bid that an exchange accepts', async () => {
    const answer = await post()
    const { status = 0, headers = {}, body = Buffer.alloc(0) } = answer ?? {}
    expect(status).toBe(200)
    expect(brokenRules(REQUEST, { status, headers, bodyText: body.toString() })).toEqual([])
  })

  test('that nobody bids on gets an empty 204', async () => {
    const imp = [{ id: '1', banner: { w: 7, h: 7 } }]
    const answer = await post({ body: JSON.stringify({ ...REQUEST, imp }) })
    expect([answer?.status, answer?.body.length]).toEqual([204, 0])
    expect(answer?.headers).not.toHaveProperty('content-length')
  })

  test('whose body was long on its way has so much less of its tmax', async () => {
    const answerAfterMs = async (tmax: number): Promise<number | undefined> => {
      const bytes = rawPost({ path: PATH, body: JSON.stringify({ ...REQUEST, tmax }) })
      const connection = await RawConnection.open(port)
      connection.write(bytes.subarray(0, bytes.length - 10))
      await new Promise(resolve => setTimeout(resolve, 300))
      connection.write(bytes.subarray(bytes.length - 10))
      const answer = await connection.answer()
      connection.close()
      return answer?.status
    }
    expect(await Promise.all([answerAfterMs(250), answerAfterMs(5_000)])).toEqual([204, 200])
  })

  test('of an exchange that wants reasons gets 200 with the reason', async () => {
    const body = JSON.stringify({ ...REQUEST, imp: [{ id: '1', banner: { w: 7, h: 7 } }] })
    const answer = await post({ path: `/${TENANT}/openrtb2/magnite`, body })
    expect(answer?.status).toBe(200)
    expect(JSON.parse(String(answer?.body))).toEqual({ id: 'r1', seatbid: [], nbr: 0 })
  })

  test.each([
    ['nothing', ''],
    ['no JSON', '{"id":"1",'],
    ['a list', '[]'],
    ['JSON without id', '{"imp":[{"id":"1"}]}'],
    ['JSON without imp', '{"id":"1"}'],
    ['JSON with an empty imp', '{"id":"1","imp":[]}'],
  ])('that is %s gets 400 without a body', async (_, body) => {
    const answer = await post({ body })
    expect([answer?.status, answer?.body.length]).toEqual([400, 0])
  })

  test('may come with a query', async () => {
    expect(await statusOf({ path: `${PATH}?source=x&y=/../z` })).toBe(200)
  })

  test('may come without a type, and with a charset', async () => {
    for (const type of [undefined, 'application/json;charset=utf-8', 'Application/JSON ; charset=latin1'])
      expect(await statusOf({ headers: { 'Content-Type': type } }), type).toBe(200)
  })

  test('whose type has blanks around it, or parameters, is JSON all the same (fault 26)', async () => {
    for (const type of [' application/json', '\tapplication/json', 'application/json \t', 'application/json;x=";y"'])
      expect(await statusOf({ headers: { 'Content-Type': type } }), type).toBe(200)
  })

  test.each([
    'text/plain',
    'application/jsonx',
    'application/json garbage',
    'application/x-www-form-urlencoded',
    ';',
    '\xa0application/json',
    'application/json, text/plain',
  ])('of type %s gets 415 (fault 26)', async type => {
    expect(await statusOf({ headers: { 'Content-Type': type } })).toBe(415)
  })

  test('is read to the end, whatever characters it holds', async () => {
    const id = 'Zürich 東京 😀 \u2028 "\\'
    const answer = await post({ body: JSON.stringify({ ...REQUEST, id }) })
    expect(JSON.parse(String(answer?.body)).id).toBe(id)
    expect(answer?.headers['content-length']).toBe(String(answer?.body.length))
  })

  test('keeps its connection, which is kept longer than the load balancer keeps it', async () => {
    const answer = await post()
    expect(answer?.headers.connection ?? 'keep-alive').toBe('keep-alive')
    expect(Number(/timeout=(\d+)/.exec(answer?.headers['keep-alive'] ?? '')?.[1])).toBeGreaterThan(60)
  })
})

describe('a body', () => {
  test('may come in chunks', async () => {
    for (const pieces of [1, 3, 40])
      expect(await statusOf({ headers: CHUNKED, body: chunked(BODY, pieces) }), `${pieces}`).toBe(200)
  })

  test('may come byte by byte', async () => {
    const connection = await RawConnection.open(port)
    for (const byte of rawPost({ path: PATH, body: BODY }).toString('latin1')) {
      connection.write(byte)
      await new Promise(setImmediate)
    }
    expect((await connection.answer())?.status).toBe(200)
    connection.close()
  })

  test('may come with the next request right behind it', async () => {
    const connection = await RawConnection.open(port)
    const requests = Array.from({ length: 30 }, (_, index) =>
      rawPost({ path: PATH, body: JSON.stringify({ ...REQUEST, id: `p${index}` }) }),
    )
    connection.write(Buffer.concat(requests))
    for (let index = 0; index < requests.length; index++) {
      const answer = await connection.answer()
      // A machine that is busy with something else makes the thread shed, which is an answer, too.
      if (answer?.status !== 204) expect(JSON.parse(String(answer?.body)).id).toBe(`p${index}`)
    }
    connection.close()
  })

  test('in chunks leaves the next request of its connection alone', async () => {
    const connection = await RawConnection.open(port)
    const first = rawPost({ path: PATH, headers: CHUNKED, body: chunked(BODY, 7) })
    connection.write(Buffer.concat([first, rawPost({ path: PATH, body: '{' }), first]))
    const statuses = [await connection.answer(), await connection.answer(), await connection.answer()]
    expect(statuses.map(answer => answer?.status)).toEqual([200, 400, 200])
    connection.close()
  })

  test('up to the limit is read and one above it gets 413, as it was declared', async () => {
    const fits = withExt('').length
    expect(await statusOf({ body: withExt('x'.repeat(256 * 1_024 - fits)) })).toBe(200)
    expect(await statusOf({ body: withExt('x'.repeat(256 * 1_024 - fits + 1)) })).toBe(413)
    expect(await statusOf({ headers: { 'Content-Length': '999999999999' }, body: '{' })).toBe(413)
  })

  test('that grows above the limit in chunks gets 413 and loses its connection', async () => {
    const connection = await RawConnection.open(port)
    const head = rawPost({ path: PATH, headers: CHUNKED, body: '' })
    connection.write(Buffer.concat([head, Buffer.from(chunked(withExt('x'.repeat(400_000)), 50))]))
    expect((await connection.answer())?.status).toBe(413)
    await connection.closed
  })
})

describe('gzip', () => {
  const zipped = { 'Content-Encoding': 'gzip' }

  test.each([
    ['in one go', BODY],
    ['as a stream when it is large', withExt(noise(120_000))],
  ])('is undone %s', async (_, body) => {
    const bytes = gzipSync(body)
    expect(await statusOf({ headers: { ...zipped, 'Content-Length': String(bytes.length) }, body: bytes })).toBe(200)
  })

  test('is undone from chunks', async () => {
    const bytes = gzipSync(BODY).toString('latin1')
    const body = Buffer.from(chunked(bytes, 5), 'latin1')
    expect(await statusOf({ headers: { ...zipped, ...CHUNKED }, body })).toBe(200)
  })

  test('makes large answers small for exchanges that take it', async () => {
    const imp = Array.from({ length: 6 }, (_, index) => ({ id: `${index}`, banner: { w: 300, h: 250 } }))
    const body = JSON.stringify({ ...REQUEST, imp })
    const accepts = { 'Accept-Encoding': 'gzip, deflate' }
    const answer = await post({ body, headers: accepts })
    expect(answer?.headers['content-encoding']).toBe('gzip')
    expect(JSON.parse(String(gunzipSync(answer?.body ?? ''))).seatbid[0].bid.length).toBeGreaterThan(1)
    const plain = await post({ path: `/${TENANT}/openrtb2/magnite`, body, headers: accepts })
    expect(plain?.headers).not.toHaveProperty('content-encoding')
    expect((await post({ body }))?.headers).not.toHaveProperty('content-encoding')
  })

  test('that inflates above the limit gets 413, small or large (fault 22)', async () => {
    for (const mib of [4, 64]) {
      const bomb = gzipSync(Buffer.alloc(mib * 1_024 * 1_024, ' '))
      expect(await statusOf({ headers: zipped, body: bomb }), `${mib}`).toBe(413)
    }
  })

  test('that is cut or none gets 415 (fault 22)', async () => {
    const bytes = gzipSync(BODY)
    for (const body of [bytes.subarray(0, bytes.length - 9), Buffer.from(BODY), Buffer.alloc(0)])
      expect(await statusOf({ headers: zipped, body }), String(body.length)).toBe(415)
  })

  test.each(['deflate', 'br', 'gzip, gzip', 'x', 'gzip, identity'])(
    'is the only encoding: %s gets 415 (fault 22)',
    async encoding => {
      expect(await statusOf({ headers: { 'Content-Encoding': encoding } })).toBe(415)
    },
  )
})

describe('headers', () => {
  const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-${i}`, 'v']))

  test('up to a hundred are read and more get 431 (fault 24)', async () => {
    // Host, Content-Type and Content-Length are there already.
    expect(await statusOf({ headers: many(97) })).toBe(200)
    expect(await statusOf({ headers: many(98) })).toBe(431)
    expect(await statusOf({ headers: many(2_100) })).toBe(431)
  })

  test('are as many on every other path, and none is lost (fault 24)', async () => {
    for (const path of [`/${TENANT}/health/live`, `/${TENANT}/notice/win/x`, '/globex/openrtb2/adx']) {
      expect(await statusOf({ path, headers: many(98) }), path).toBe(431)
      expect(await statusOf({ path, headers: many(2_100) }), path).toBe(431)
      expect(await statusOf({ path, headers: { ['__proto__']: 'x', constructor: 'y' } }), path).not.toBe(431)
    }
  })

  test('of more than 16 KiB get 431 (fault 24)', async () => {
    expect(await statusOf({ headers: { 'X-Long': 'x'.repeat(15_000) } })).toBe(200)
    expect(await statusOf({ headers: { 'X-Long': 'x'.repeat(17_000) } })).toBe(431)
  })

  test('named like prototypes do no harm (fault 24)', async () => {
    expect(await statusOf({ headers: { ['__proto__']: 'x', constructor: 'y', 'X-Tenant-Id': 'globex' } })).toBe(200)
  })
})
