/** Where stories are played: a public port with one bid thread's parts, on a real socket, with the stories' tenant. */

import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { gunzipSync, gzipSync } from 'node:zlib'
import { NO_BID_REASON_NAMES } from '../../service/decision/reasons.ts'
import { systemClock } from '../../service/foundation/clock.ts'
import { Random } from '../../service/foundation/random.ts'
import { BidGate, createBidGateMemory } from '../../service/http/bid-gate.ts'
import { BidPath } from '../../service/http/bid-path.ts'
import { BidRoute } from '../../service/http/bid-route.ts'
import { CallerGate } from '../../service/http/caller-gate.ts'
import { signerOf } from '../../service/http/notice-keys.ts'
import { createPublicServer } from '../../service/http/public-server.ts'
import { ServedCatalog } from '../../service/http/served-catalog.ts'
import { Serving } from '../../service/http/serving.ts'
import { NoticeUrls } from '../../service/openrtb/notice-urls.ts'
import { NEVER_ENDS } from '../../service/state/audience-chunk.ts'
import type { Catalog } from '../../service/state/catalog.ts'
import type { TenantDocuments } from '../../service/state/documents.ts'
import { idTextMaker } from '../../service/state/user-ids.ts'
import { createRecorderBlock, Recorder, snapshot } from '../../service/telemetry/recorder.ts'
import { noBidCounter } from '../../service/telemetry/signals.ts'
import { type Member, SampleAudience } from '../sample-audience.ts'
import { compiledTenant } from '../sample-catalog.ts'
import { ABSENT, changed, type Given, readGround } from './story.ts'

/** Everything that is given, whole. */
export interface Scene {
  readonly documents: TenantDocuments
  readonly exchange: string
  readonly audience: NonNullable<Given['audience']>
  readonly at: string
  readonly lagMs: number
  readonly headers: Readonly<Record<string, string>>
  readonly method: string
  /** As it goes over the wire. */
  readonly body: Buffer
  /** Before it is compressed. */
  readonly bodyText: string
}

/** What came back. */
export interface Played {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Inflated. */
  readonly bodyText: string
  /** Reasons of the impressions without a bid, sorted. */
  readonly noBids: readonly string[]
  /** What must not happen: broken assertions, bids that our own check refused. */
  readonly alarms: readonly string[]
}

const TENANT = readGround('tenant')
const AT = '2026-11-21T12:00:00Z'
const SEED = 20_261_121
const sign = signerOf([{ id: 'k1', secret: 'a secret of stories and nothing else' }])

/** The scene of some givens, each changing what those before it say. */
export function sceneOf(request: unknown, givens: readonly Given[]): Scene {
  let documents = TENANT
  let asked = request
  let headers: Record<string, string> = { 'content-type': 'application/json' }
  let rest: Given = {}
  for (const given of givens) {
    documents = changed(documents, given.state)
    asked = changed(asked, given.request)
    headers = { ...headers, ...given.headers }
    rest = { ...rest, ...given }
  }
  const bodyText = rest.body ?? JSON.stringify(asked)
  return {
    documents: documents as TenantDocuments,
    exchange: rest.exchange ?? 'adx',
    audience: rest.audience ?? {},
    at: rest.at ?? AT,
    lagMs: rest.lagMs ?? 0,
    headers: Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== ABSENT)),
    method: rest.method ?? 'POST',
    body: rest.gzip === true ? gzipSync(bodyText) : Buffer.from(bodyText),
    bodyText,
  }
}

/** One public port for many stories, one after the other. */
export class Stage {
  readonly #block = createRecorderBlock()
  readonly #app
  readonly #catalogs = new Map<string, Catalog>()
  readonly #audience = new SampleAudience()
  #alarms: string[] = []
  #serving: Serving | undefined
  #scene: Scene | undefined
  #port = 0

  constructor() {
    const recorder = new Recorder(this.#block)
    const bidPath = new BidPath({
      audience: this.#audience.reader,
      recorder,
      pickIndex: new Random(SEED).pickIndex,
      bidIdPrefix: 'story-',
      notices: new NoticeUrls({ publicUrl: 'https://ads.example', tenantId: 'acme', keyId: 'k1', sign }),
      alarm: (code, detail) => this.#alarms.push(`${code}: ${detail}`),
    })
    const route = new BidRoute({
      tenantId: 'acme',
      bidPath,
      recorder,
      serving: () => this.#serving,
      gate: new BidGate(createBidGateMemory()),
      nowMs: () => Date.parse(this.#scene?.at ?? AT),
      monotonicMs: () => performance.now(),
      loopLagMs: () => this.#scene?.lagMs ?? 0,
      isDraining: () => false,
      callers: new CallerGate({
        recorder,
        forwardedHops: 1,
        monotonicMs: systemClock.monotonicMs,
        onRefused: () => {},
      }),
    })
    const health = { isReady: () => true, isLive: () => true }
    this.#app = createPublicServer({ tenantId: 'acme', route, health, recorder, keepAliveMs: 60_000 })
  }

  /** To be called once, before the first story. */
  async open(): Promise<void> {
    await this.#app.listen({ host: '127.0.0.1', port: 0 })
    const address = this.#app.server.address()
    this.#port = typeof address === 'object' && address !== null ? address.port : 0
  }

  async close(): Promise<void> {
    this.#app.server.closeAllConnections()
    await this.#app.close()
  }

  /** Sends the scene's request and gathers what comes of it. @throws Error when a document of its state is bad */
  async play(scene: Scene): Promise<Played> {
    this.#scene = scene
    this.#serving = new Serving(new ServedCatalog(this.#catalogOf(scene.documents)), Date.parse(scene.at))
    this.#audience.replace(membersOf(scene))
    this.#alarms = []
    const before = this.#counts()
    const answer = await this.#send(scene)
    const noBids = this.#counts().flatMap((count, i) =>
      Array.from({ length: count - (before[i] ?? 0) }, () => NO_BID_REASON_NAMES[i] as string),
    )
    return { ...answer, noBids: noBids.sort(), alarms: this.#alarms }
  }

  #catalogOf(documents: TenantDocuments): Catalog {
    const key = JSON.stringify(documents)
    const kept = this.#catalogs.get(key)
    if (kept !== undefined) return kept
    const catalog = compiledTenant(documents)
    this.#catalogs.set(key, catalog)
    return catalog
  }

  #counts(): readonly number[] {
    const { counters } = snapshot({ blocks: [this.#block], gauges: {}, takenAtMs: 0 })
    return NO_BID_REASON_NAMES.map((_, i) => counters[noBidCounter(i)] ?? 0)
  }

  #send({ exchange, headers, body, method }: Scene): Promise<Pick<Played, 'status' | 'headers' | 'bodyText'>> {
    const path = `/acme/openrtb2/${exchange}`
    return new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port: this.#port, method, path, agent: false }
      const length = { 'content-length': String(body.length) }
      const call = httpRequest({ ...options, headers: { ...headers, ...length } }, response => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () => {
          const whole = Buffer.concat(chunks)
          const isGzip = response.headers['content-encoding'] === 'gzip'
          const bodyText = (isGzip ? gunzipSync(whole) : whole).toString()
          resolve({ status: response.statusCode ?? 0, headers: response.headers, bodyText })
        })
      })
      call.on('error', reject)
      call.end(body)
    })
  }
}

/** @throws Error for an id of a kind that there is none of */
function* membersOf({ audience }: Scene): Generator<Member> {
  for (const [segment, users] of Object.entries(audience))
    for (const user of users) {
      const [kind = '', ...id] = user.split(' ')
      const make = idTextMaker(kind)
      if (make === undefined) throw new Error(`${user} is no kind and id of a user`)
      yield { segment, idText: make(id.join(' ')), minute: NEVER_ENDS }
    }
}
