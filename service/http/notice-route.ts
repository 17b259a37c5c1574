/**
 * `/{tenant}/notice/{kind}/{token}` and `/{tenant}/event/{kind}/{token}`: what exchanges and the markup of bids tell.
 * Nothing but the token's signature is trusted, and no answer repeats anything of the address.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { LIMITS } from '../limits.ts'
import {
  DEVICE_EVENTS,
  EXCHANGE_NOTICES,
  isBilled,
  type Notice,
  type NoticeKind,
  readNotice,
} from '../openrtb/notice.ts'
import type { EncryptedPrice } from '../openrtb/notice-price.ts'
import { type NoticeToken, readToken, type TokenReader, type TokenRefusal } from '../openrtb/notice-token.ts'
import { isLanding, MARKUP_PARAMETER } from '../openrtb/notice-urls.ts'
import type { Recorder } from '../telemetry/recorder.ts'
import type { RequestTracer } from '../telemetry/request-tracer.ts'
import { noticeCounter, priceCounter, refusalCounter, responseCounter } from '../telemetry/signals.ts'
import type { Markup } from './won-markup.ts'

/** What the route needs of its bid thread. */
export interface NoticeRouteDeps {
  readonly reader: TokenReader
  /** Prices of exchanges that encrypt them, by exchange. */
  readonly prices: ReadonlyMap<string, EncryptedPrice>
  readonly recorder: Recorder
  readonly tracer?: RequestTracer | undefined
  /** @returns whether the notice is safe */
  readonly send: (notice: Notice) => Promise<boolean>
  /** Markup of what was won; undefined where it is served no more. */
  readonly markupOf: (token: NoticeToken, tokenText: string, rendition: number) => Markup | undefined
  readonly nowMs: () => number
  /** From SIGTERM on: every answer asks for the connection to be closed. */
  readonly isDraining: () => boolean
}

/** A token's status where it is none. */
const REFUSALS: Readonly<Record<TokenRefusal, number>> = {
  malformed: 400,
  'unknown-key': 400,
  forged: 400,
  expired: 410,
}
/** One transparent pixel, the smallest GIF that all devices take. */
const PIXEL = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64')
const NO_STORE = ['Cache-Control', 'no-store'] as const
/** Of a creative; few have more than one. */
const RENDITION = /^\d$/
const NO_BODY = ['Content-Length', '0'] as const
const PIXEL_HEAD = ['Content-Type', 'image/gif', 'Content-Length', String(PIXEL.length), ...NO_STORE] as const
const TURNED_AWAY_HEAD = ['Retry-After', String(LIMITS.noticeRetryS), ...NO_BODY] as const

/** One notice on its way. */
interface Call {
  readonly kind: NoticeKind
  readonly isEvent: boolean
  readonly tokenText: string
  readonly parameters: URLSearchParams
}

/** The notice routes of one bid thread. Total: nothing is thrown, whatever comes. */
export class NoticeRoute {
  readonly #deps: NoticeRouteDeps
  readonly #kinds: ReadonlyMap<string, NoticeKind>
  readonly #prefix: string

  constructor(deps: NoticeRouteDeps) {
    this.#deps = deps
    this.#prefix = `/${deps.reader.tenantId}/`
    const paths = (kinds: readonly NoticeKind[], place: string) =>
      kinds.map(kind => [`${place}/${kind}`, kind] as const)
    this.#kinds = new Map([...paths(EXCHANGE_NOTICES, 'notice'), ...paths(DEVICE_EVENTS, 'event')])
  }

  /** @returns false when the request is not for this route; then nothing has been done with it. */
  take(req: IncomingMessage, res: ServerResponse): boolean {
    if (req.method !== 'GET' && req.method !== 'POST') return false
    const call = this.#callOf(req.url as string)
    if (call === undefined) return false
    req.resume()
    const { reader, tracer } = this.#deps
    const startedMs = tracer?.draws() === true ? performance.now() : undefined
    const read = readToken(call.tokenText, reader, this.#tokenNowS(call))
    if (startedMs !== undefined)
      res.once('finish', () => {
        const exchange = 'refusal' in read ? '' : read.token.exchangeId
        const { kind } = call
        tracer?.endNotice({ kind, startedMs, exchange, status: res.statusCode, rawHeaders: req.rawHeaders })
      })
    if ('refusal' in read) this.#refused(call, read.refusal, res)
    else if (call.isEvent) void this.#event(call, read.token, res)
    else void this.#notice(call, read.token, res)
    return true
  }

  #callOf(url: string): Call | undefined {
    if (!url.startsWith(this.#prefix)) return undefined
    const query = url.indexOf('?')
    const path = url.slice(this.#prefix.length, query < 0 ? undefined : query)
    const at = path.lastIndexOf('/')
    const kind = this.#kinds.get(path.slice(0, at))
    if (kind === undefined) return undefined
    const parameters = new URLSearchParams(query < 0 ? '' : url.slice(query + 1))
    return { kind, isEvent: path.startsWith('event'), tokenText: unescaped(path.slice(at + 1)), parameters }
  }

  /** Bills end with the token; what a person does may come long after it. */
  #tokenNowS({ kind, isEvent }: Call): number {
    const nowS = Math.floor(this.#deps.nowMs() / 1_000)
    return isEvent && kind !== 'impression' ? nowS - LIMITS.eventLifeS : nowS
  }

  /** A person who clicked on what we signed gets there, whatever became of the token. */
  #refused({ kind, parameters }: Call, refusal: TokenRefusal, res: ServerResponse): void {
    this.#deps.recorder.count(refusalCounter(refusal))
    const landing = kind === 'click' ? this.#landingOf(parameters) : undefined
    if (landing === undefined) this.#send(res, REFUSALS[refusal], NO_BODY)
    else this.#redirect(res, landing)
  }

  async #notice(call: Call, token: NoticeToken, res: ServerResponse): Promise<void> {
    const isKept = await this.#told(call, token)
    if (!isKept) this.#send(res, 503, TURNED_AWAY_HEAD)
    else if (call.kind !== 'win' || !this.#sendMarkup(call, token, res)) this.#send(res, 204, [])
  }

  /** @returns false when none is asked for, or none is there any more */
  #sendMarkup({ tokenText, parameters }: Call, token: NoticeToken, res: ServerResponse): boolean {
    const asked = parameters.get(MARKUP_PARAMETER)
    if (asked === null || !RENDITION.test(asked)) return false
    const markup = this.#deps.markupOf(token, tokenText, Number(asked))
    if (markup === undefined) return false
    const body = Buffer.from(markup.body)
    const head = ['Content-Type', markup.contentType, 'Content-Length', String(body.length), ...NO_STORE]
    this.#send(res, 200, head, body)
    return true
  }

  /** Who shows an ad does not wait, but where money depends on it. */
  async #event(call: Call, token: NoticeToken, res: ServerResponse): Promise<void> {
    const told = this.#told(call, token)
    const landing = call.kind === 'click' ? this.#landingOf(call.parameters) : undefined
    if (landing !== undefined) this.#redirect(res, landing)
    else if (isBilled(call.kind, token) && !(await told)) this.#send(res, 503, TURNED_AWAY_HEAD)
    else this.#send(res, 200, PIXEL_HEAD, PIXEL)
  }

  #told({ kind, parameters }: Call, token: NoticeToken): Promise<boolean> {
    const { prices, recorder, send, nowMs } = this.#deps
    const notice = readNotice({ kind, token, atMs: nowMs() }, parameters, prices.get(token.exchangeId))
    recorder.count(noticeCounter(kind))
    if (notice.price !== undefined) recorder.count(priceCounter(notice.price.reading))
    return send(notice)
  }

  /** The address after a click, when it is one that we signed. */
  #landingOf(parameters: URLSearchParams): string | undefined {
    const [url, signature] = [parameters.get('to'), parameters.get('s')]
    if (url === null || signature === null) return undefined
    // As an address is written in a header: in ASCII.
    return isLanding(url, signature, this.#deps.reader) && URL.canParse(url) ? new URL(url).href : undefined
  }

  #redirect(res: ServerResponse, url: string): void {
    this.#send(res, 302, ['Location', url, ...NO_BODY, ...NO_STORE])
  }

  #send(res: ServerResponse, status: number, head: readonly string[], body?: Buffer): void {
    this.#deps.recorder.count(responseCounter(status))
    if (this.#deps.isDraining()) res.shouldKeepAlive = false
    res.writeHead(status, [...head])
    res.end(body)
  }
}

/** Some who call an address escape more of it than they have to. */
function unescaped(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return ''
  }
}
