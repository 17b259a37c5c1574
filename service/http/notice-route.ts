/**
 * `/{tenant}/notice/{kind}/{token}` and `/{tenant}/event/{kind}/{token}`: what exchanges and the markup of bids tell.
 * Nothing but the token's signature is trusted, and no answer repeats anything of the address.
 */
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
import { type HttpCall, PASSED } from './http-call.ts'
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
const NO_STORE = 'Cache-Control: no-store\r\n'
/** Of a creative; few have more than one. */
const RENDITION = /^\d$/
const NO_BODY = 'Content-Length: 0\r\n'
const PIXEL_LINES = `Content-Type: image/gif\r\nContent-Length: ${PIXEL.length}\r\n${NO_STORE}`
const TURNED_AWAY_LINES = `Retry-After: ${LIMITS.noticeRetryS}\r\n${NO_BODY}`

/** One notice on its way. */
interface Told {
  readonly call: HttpCall
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
  take(call: HttpCall): boolean {
    if (call.method !== 'GET' && call.method !== 'POST') return false
    const told = this.#toldBy(call)
    if (told === undefined) return false
    call.takeBody(PASSED)
    const { reader, tracer } = this.#deps
    const startedMs = tracer?.draws() === true ? performance.now() : undefined
    const read = readToken(told.tokenText, reader, this.#tokenNowS(told))
    if (startedMs !== undefined) this.#traced(told, startedMs, 'refusal' in read ? '' : read.token.exchangeId)
    if ('refusal' in read) this.#refused(told, read.refusal)
    else if (told.isEvent) void this.#event(told, read.token)
    else void this.#notice(told, read.token)
    return true
  }

  #traced({ call, kind }: Told, startedMs: number, exchange: string): void {
    call.onceOver(() => {
      const { status, rawHeaders } = call
      // Who went away before has no answer to tell of.
      if (status !== 0) this.#deps.tracer?.endNotice({ kind, startedMs, exchange, status, rawHeaders })
    })
  }

  #toldBy(call: HttpCall): Told | undefined {
    const { url } = call
    if (!url.startsWith(this.#prefix)) return undefined
    const query = url.indexOf('?')
    const path = url.slice(this.#prefix.length, query < 0 ? undefined : query)
    const at = path.lastIndexOf('/')
    const kind = this.#kinds.get(path.slice(0, at))
    if (kind === undefined) return undefined
    const parameters = new URLSearchParams(query < 0 ? '' : url.slice(query + 1))
    return { call, kind, isEvent: path.startsWith('event'), tokenText: unescaped(path.slice(at + 1)), parameters }
  }

  /** Bills end with the token; what a person does may come long after it. */
  #tokenNowS({ kind, isEvent }: Told): number {
    const nowS = Math.floor(this.#deps.nowMs() / 1_000)
    return isEvent && kind !== 'impression' ? nowS - LIMITS.eventLifeS : nowS
  }

  /** A person who clicked on what we signed gets there, whatever became of the token. */
  #refused({ call, kind, parameters }: Told, refusal: TokenRefusal): void {
    this.#deps.recorder.count(refusalCounter(refusal))
    const landing = kind === 'click' ? this.#landingOf(parameters) : undefined
    if (landing === undefined) this.#send(call, REFUSALS[refusal], NO_BODY)
    else this.#redirect(call, landing)
  }

  async #notice(told: Told, token: NoticeToken): Promise<void> {
    const isKept = await this.#tell(told, token)
    if (!isKept) this.#send(told.call, 503, TURNED_AWAY_LINES)
    else if (told.kind !== 'win' || !this.#sendMarkup(told, token)) this.#send(told.call, 204, '')
  }

  /** @returns false when none is asked for, or none is there any more */
  #sendMarkup({ call, tokenText, parameters }: Told, token: NoticeToken): boolean {
    const asked = parameters.get(MARKUP_PARAMETER)
    if (asked === null || !RENDITION.test(asked)) return false
    const markup = this.#deps.markupOf(token, tokenText, Number(asked))
    if (markup === undefined) return false
    const body = Buffer.from(markup.body)
    const lines = `Content-Type: ${markup.contentType}\r\nContent-Length: ${body.length}\r\n${NO_STORE}`
    this.#send(call, 200, lines, body)
    return true
  }

  /** Who shows an ad does not wait, but where money depends on it. */
  async #event(told: Told, token: NoticeToken): Promise<void> {
    const { call, kind, parameters } = told
    const telling = this.#tell(told, token)
    const landing = kind === 'click' ? this.#landingOf(parameters) : undefined
    if (landing !== undefined) this.#redirect(call, landing)
    else if (isBilled(kind, token) && !(await telling)) this.#send(call, 503, TURNED_AWAY_LINES)
    else this.#send(call, 200, PIXEL_LINES, PIXEL)
  }

  #tell({ kind, parameters }: Told, token: NoticeToken): Promise<boolean> {
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

  #redirect(call: HttpCall, url: string): void {
    this.#send(call, 302, `Location: ${url}\r\n${NO_BODY}${NO_STORE}`)
  }

  #send(call: HttpCall, status: number, lines: string, body: Buffer | string = ''): void {
    this.#deps.recorder.count(responseCounter(status))
    if (this.#deps.isDraining()) call.close()
    call.answer(status, lines, body)
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
