/** What is fuzzed: where inputs come from, how they change, what is done with one, and what must not come of it. */
import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { brokenRules } from '../../loadtest/acceptance.ts'
import { diverseRequests } from '../../loadtest/diverse-traffic.ts'
import { ratesOf, type TenantRecords } from '../../loadtest/tenant-records.ts'
import type { Random } from '../../service/foundation/random.ts'
import { DOCUMENT_KIND_NAMES } from '../../service/state/documents.ts'
import { sampleTenant } from '../sample-catalog.ts'
import { type RawAnswer, RawConnection, rawPost } from '../wire/raw-connection.ts'
import { byteMutation, jsonMutation, lineMutation, type Mutate } from './mutation.ts'
import { type Rig, type RigOptions, TENANT } from './rig.ts'

/** One thing that takes input from outside. */
export interface Target {
  /** How the process is started that takes it. */
  readonly rig: RigOptions
  /** Inputs to begin with, good ones. */
  seeds(rig: Rig, random: Random): Promise<readonly Buffer[]>
  readonly mutate: Mutate
  /** @returns what is wrong with what came of an input; '' when nothing is */
  run(rig: Rig, input: Buffer): Promise<string>
}

const EXCHANGES = ['adx', 'openx', 'prebid', 'magnite']
const BODY = '{"id":"r1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'
const PATH = `/${TENANT}/openrtb2/adx`
/** Its record asks for a network, user and password, see `callers` of the sample tenant. */
const GUARDED_PATH = `/${TENANT}/openrtb2/index`
const GZIP = Buffer.from([0x1f, 0x8b])
/** The service takes 6 s at most; a machine that is busy with something else gets its time. */
const CLOSED_WITHIN_MS = 30_000

const HTTP_WORDS = [
  ...['Host: globex', 'Host:', 'Content-Length: 5', 'Content-Length: -1', 'Content-Length: 18446744073709551616'],
  ...[
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: gzip, chunked',
    'Content-Encoding: gzip',
    'Expect: 100-continue',
  ],
  ...['Connection: close', 'Connection: keep-alive', 'Connection: upgrade', 'Upgrade: websocket', 'Upgrade: h2c'],
  ...['Content-Type: text/plain', 'Content-Type: application/json;charset=utf-16', 'Accept-Encoding: gzip;q=0, gzip'],
  ...[
    'X-Tenant-Id: globex',
    'X-Forwarded-For: 203.0.113.7',
    '__proto__: x',
    'constructor: x',
    ': x',
    'X-A : b',
    ' folded',
  ],
  ...['Trailer: X-T', 'TE: trailers', 'Cookie: a=b', 'X-Amzn-Trace-Id: Root=1-0-0', 'Authorization: Basic Og=='],
  ...['x-amzn-mtls-clientcert-subject: CN=globex', 'X-Forwarded-For: 1.1.1.1, [::1]:443, unknown', 'Range: bytes=0-'],
  ...[
    '\r\n',
    '\r\n\r\n',
    '\n',
    '0\r\n\r\n',
    '5\r\n{"a":\r\n',
    'ffffffffffffffff\r\n',
    '1;x=y\r\n{\r\n',
    'HTTP/1.0',
    'HTTP/9.9',
  ],
  ...['GET ', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'CONNECT x:1 HTTP/1.1', 'OPTIONS * HTTP/1.1', '\x16\x03\x01\x02\x00'],
]
const JSON_WORDS = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"',
  '\\u0000',
  '\\ud800',
  '1e400',
  'null',
  '"__proto__":',
  '\xef\xbb\xbf',
]

/** What anything may be answered with. 417 is Node's, to an Expect that nobody knows. Nothing is away, so no 503. */
const STATUSES = [200, 204, 302, 400, 403, 404, 405, 408, 410, 413, 415, 417, 431]

/** What may be answered to somebody who is not let in. */
const REFUSALS = STATUSES.filter(status => status >= 400)

function statusProblem({ status, headers }: RawAnswer, allowed: readonly number[]): string {
  if (!allowed.includes(status)) return `status ${status}`
  return JSON.stringify(headers).includes('globex') ? 'another tenant is named in a header' : ''
}

/** One connection that is used until the other side closes it; another is opened then. */
class Caller {
  #connection: RawConnection | undefined
  #rig: Rig | undefined

  /** The answer; undefined when there is none, on a new connection either. */
  async call(rig: Rig, bytes: Buffer): Promise<RawAnswer | undefined> {
    for (let attempt = 0; attempt < 2; attempt++) {
      if (this.#rig !== rig || this.#connection === undefined || this.#connection.isClosed) {
        this.#connection?.close()
        this.#connection = await RawConnection.open(rig.port)
        this.#rig = rig
      }
      this.#connection.write(bytes)
      const answer = await this.#connection.answer()
      if (answer?.headers.connection === 'close') this.#connection.close()
      if (answer !== undefined) return answer
    }
    return undefined
  }
}

function sampleRecords(): TenantRecords {
  return sampleTenant(TENANT) as unknown as TenantRecords
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(String(body))
  } catch {
    return undefined
  }
}

/** Bodies of bid requests, compressed ones included, each answer judged as an exchange does. */
function bodiesTarget(): Target {
  const caller = new Caller()
  const bytes = byteMutation(JSON_WORDS)
  const json = jsonMutation(bytes)
  const records = sampleRecords()
  const currencyOf = new Map(records.exchanges.map(({ id, currency }) => [id, currency]))
  return {
    rig: {},
    seeds: async (_, random) =>
      EXCHANGES.flatMap(exchange => diverseRequests(records, { count: 24, exchange, random })).map(({ request }) =>
        Buffer.from(JSON.stringify(request)),
      ),
    mutate: (input, random, others) => {
      if (input.subarray(0, 2).equals(GZIP)) return bytes(input, random, others)
      const changed = json(input, random, others)
      return random.chance(0.03) ? gzipSync(changed) : changed
    },
    run: async (rig, input) => {
      const isGzip = input.subarray(0, 2).equals(GZIP)
      const exchange = EXCHANGES[input.length % EXCHANGES.length] as string
      const path = `/${TENANT}/openrtb2/${exchange}`
      const headers = isGzip ? { 'Content-Encoding': 'gzip' } : {}
      const answer = await caller.call(rig, rawPost({ path, body: input, headers }))
      if (answer === undefined) return 'no answer'
      const { status } = answer
      const problem = statusProblem(answer, [200, 204, 400, 413, 415])
      if (problem !== '' || isGzip || status === 413 || status === 415) return problem
      const judged = { status, headers: answer.headers, bodyText: String(answer.body) }
      const agreed = { mayRefuse: true, currency: currencyOf.get(exchange) ?? 'USD', rates: ratesOf(records) }
      const [broken] = brokenRules(parsed(input), judged, agreed)
      return broken === undefined ? '' : `${broken.rule}: ${broken.found}`
    },
  }
}

const HEADS = [
  `Host: ads.example.com\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\nX-Forwarded-For: 203.0.113.9`,
  'Host: ads.example.com\r\nUser-Agent: Exchange/1.0\r\nX-Openrtb-Version: 2.6\r\nConnection: keep-alive\r\nTE: a',
]

/** Heads of requests; path and body are good. Half of them are for an exchange that asks for what nobody has here. */
function headersTarget(): Target {
  return {
    rig: {},
    seeds: async () => HEADS.map(head => Buffer.from(head)),
    mutate: lineMutation(byteMutation(HTTP_WORDS), HTTP_WORDS),
    run: (rig, input) => {
      const isGuarded = input.length % 2 === 1
      const start = Buffer.from(`POST ${isGuarded ? GUARDED_PATH : PATH} HTTP/1.1\r\n`)
      const rest = Buffer.from(`\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`)
      return runRaw(rig, Buffer.concat([start, input, rest]), isGuarded ? REFUSALS : STATUSES)
    },
  }
}

/** Everything that can come over a connection. Half of it comes behind a good request: then it is the lane's first. */
function socketsTarget(): Target {
  const chunked = `Transfer-Encoding: chunked\r\n\r\n${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`
  const post = rawPost({ path: PATH, body: BODY })
  return {
    rig: {},
    seeds: async () => [
      post,
      Buffer.concat([post, post]),
      Buffer.from(`POST ${PATH} HTTP/1.1\r\nHost: x\r\n${chunked}GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n`),
      Buffer.from(`GET /${TENANT}/health/ready HTTP/1.1\r\nHost: x\r\n\r\n`),
      Buffer.from(`GET /globex/openrtb2/adx?x=%zz HTTP/1.1\r\nHost: globex\r\n\r\n`),
      Buffer.from(`GET /${TENANT}/event/click/x?to=http%3A%2F%2Fx&s=y HTTP/1.0\r\n\r\n`),
      rawPost({ path: PATH, body: gzipSync(BODY), headers: { 'Content-Encoding': 'gzip' } }),
    ],
    mutate: lineMutation(byteMutation(HTTP_WORDS), HTTP_WORDS),
    run: (rig, input) => runRaw(rig, input.length % 2 === 0 ? input : Buffer.concat([post, input]), STATUSES),
  }
}

/** Sends bytes, ends our side, and reads until the other side has closed, too. */
async function runRaw(rig: Rig, bytes: Buffer, allowed: readonly number[]): Promise<string> {
  const connection = await RawConnection.open(rig.port)
  connection.write(bytes)
  connection.end()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>(resolve => {
    timer = setTimeout(() => resolve('late'), CLOSED_WITHIN_MS)
  })
  try {
    if ((await Promise.race([connection.closed, late])) === 'late') return 'the connection stays open'
    for (let answer = await connection.answer(); answer !== undefined; answer = await connection.answer()) {
      const problem = statusProblem(answer, allowed)
      if (problem !== '') return problem
    }
    return ''
  } finally {
    clearTimeout(timer)
    connection.close()
  }
}

/** Paths of notices and events with the tokens of real bids. What is taken must bear one of them, unchanged. */
function tokensTarget(): Target {
  const caller = new Caller()
  const known = new Set<string>()
  const words = [
    '%00',
    '%2e',
    '%7E',
    '~',
    '..',
    '/',
    '?',
    '&',
    '=',
    '%',
    'p=',
    'to=',
    's=',
    'AUDIT',
    '1e400',
    '-1',
    'NaN',
  ]
  const bytes = byteMutation([...words, '/notice/win/', '/notice/loss/', '/event/click/', '/event/impression/', 'k2~'])
  return {
    rig: {},
    seeds: async (rig, random) => {
      const requests = diverseRequests(sampleRecords(), { count: 60, exchange: 'openx', random })
      const found: Buffer[] = []
      for (const { request } of requests) {
        const path = `/${TENANT}/openrtb2/openx`
        const answer = await caller.call(rig, rawPost({ path, body: JSON.stringify(request) }))
        if (answer?.status !== 200) continue
        const text = String(answer.body).replaceAll('\\/', '/')
        for (const [, place] of text.matchAll(/https:\/\/ads\.example\.com(\/[^"'\\\s<]+)/g)) {
          found.push(Buffer.from(place ?? '', 'latin1'))
          known.add(tokenIn(place ?? ''))
        }
        if (found.length > 200) break
      }
      return found
    },
    mutate: (input, random, others) => bytes(input, random, others),
    run: async (rig, input) => {
      const url = input.toString('latin1')
      // What would end the line of the request is for other targets.
      if (/[\r\n\0 ]/.test(url)) return ''
      const answer = await caller.call(rig, Buffer.from(`GET ${url} HTTP/1.1\r\nHost: x\r\n\r\n`, 'latin1'))
      if (answer === undefined) return 'no answer'
      const problem = statusProblem(answer, STATUSES)
      if (problem !== '' || answer.status === 400 || answer.status >= 404) return problem
      const isTaken = answer.status !== 302 && !url.includes('/health/')
      return isTaken && !known.has(tokenIn(url)) ? 'a token is taken that nobody signed' : ''
    },
  }
}

/** The token in a path, as the service reads it. */
function tokenIn(url: string): string {
  const text = url.split('?')[0]?.split('/').at(-1) ?? ''
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Documents of a tenant: whatever they say, what is good serves and the rest is refused. See document-rig.ts. */
function documentsTarget(): Target {
  return {
    rig: { script: new URL('./document-rig.ts', import.meta.url).pathname },
    seeds: async () => {
      const ground = JSON.parse(readFileSync(new URL('../stories/ground/tenant.json', import.meta.url), 'utf8'))
      const sample = sampleTenant(TENANT)
      const few = DOCUMENT_KIND_NAMES.map(kind => [kind, [sample[kind]].flat().slice(0, 12)])
      return [ground, Object.fromEntries(few)].map(documents => Buffer.from(JSON.stringify(documents)))
    },
    mutate: jsonMutation(byteMutation(JSON_WORDS)),
    run: (rig, input) =>
      new Promise(resolve => {
        const timer = setTimeout(() => resolve('no answer'), CLOSED_WITHIN_MS)
        rig.tell({ documents: input.toString('latin1') }, ({ problem }) => {
          clearTimeout(timer)
          resolve(String(problem))
        })
      }),
  }
}

/** Every target by its name. */
export const TARGETS: Readonly<Record<string, () => Target>> = {
  bodies: bodiesTarget,
  headers: headersTarget,
  sockets: socketsTarget,
  tokens: tokensTarget,
  documents: documentsTarget,
}
