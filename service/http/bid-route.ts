/**
 * `POST /{tenant}/openrtb2/{exchange}`: caller, limits, body, inflate, decide, send. A framework's parser and reply
 * would cost the bid path a fifth of its time (see ARCHITECTURE.md).
 */
import { constants, gunzip, gunzipSync, gzipSync } from 'node:zlib'
import { NO_BID_REASON_NAMES } from '../decision/reasons.ts'
import { LIMITS } from '../limits.ts'
import type { Recorder } from '../telemetry/recorder.ts'
import type { RequestSampler } from '../telemetry/request-sampler.ts'
import type { RequestTracer } from '../telemetry/request-tracer.ts'
import { COUNTER, HISTOGRAM, noBidCounter, responseCounter, type ShedCause, shedCounter } from '../telemetry/signals.ts'
import { AnswerBatch } from './answer-batch.ts'
import type { BidGate } from './bid-gate.ts'
import { type BidHeaders, readBidHeaders } from './bid-headers.ts'
import type { BidPath } from './bid-path.ts'
import type { CallerGate } from './caller-gate.ts'
import type { BodyTaker, HttpCall } from './http-call.ts'
import { isBeyond, type JsonBounds } from './json-bounds.ts'
import { LoopTurn } from './loop-turn.ts'
import { ownCopy } from './read-buffer.ts'
import type { Serving } from './serving.ts'

/** What the route needs of its bid thread. */
export interface BidRouteDeps {
  readonly tenantId: string
  readonly bidPath: BidPath
  readonly recorder: Recorder
  /** Without it no request is traced. */
  readonly tracer?: RequestTracer | undefined
  /** Without it no request is looked at as a whole. */
  readonly sampler?: RequestSampler
  /** The catalog that serves, undefined before the first. A request is decided with one of them. */
  readonly serving: () => Serving | undefined
  readonly gate: BidGate
  readonly nowMs: () => number
  /** On a clock that all threads share. */
  readonly monotonicMs: () => number
  readonly loopLagMs: () => number
  /** From SIGTERM on: every answer asks for the connection to be closed. */
  readonly isDraining: () => boolean
  /** Asked where an exchange's record says who may call. */
  readonly callers: CallerGate
}

const OPENRTB_VERSION = '2.6'
const JSON_TYPE = 'application/json; charset=utf-8'
const BEFORE_LENGTH = `Content-Type: ${JSON_TYPE}\r\nContent-Length: `
const AFTER_LENGTH = `\r\nx-openrtb-version: ${OPENRTB_VERSION}\r\n`
/** Below this an answer is not compressed: the headers weigh more than what is saved. */
const GZIP_BYTES_MIN = 1_024
const GZIP_FAST = { level: constants.Z_BEST_SPEED }
const EMPTY = Buffer.alloc(0)
const NO_BODY = 'Content-Length: 0\r\n'
const INFLATE = { maxOutputLength: LIMITS.inflatedBytesMax }
const JSON_BOUNDS: JsonBounds = { depthMax: LIMITS.jsonDepthMax, membersMax: LIMITS.jsonMembersMax }
const EXCHANGE_ID = /^[a-z][a-z0-9-]{0,30}$/
const NO_BID = Object.freeze({ status: 204, body: '' })
const OVER_QUOTA = Object.freeze({ status: 429, body: '' })
const NOT_READY = noBidCounter(NO_BID_REASON_NAMES.indexOf('state-not-ready'))
const SHED_NOT_READY = shedCounter('not-ready')
const SHED_OVERLOAD = shedCounter('overload')
const SHED_DEADLINE = shedCounter('deadline')

/** A request whose head has come. */
interface Begun {
  readonly call: HttpCall
  /** Of performance.now. */
  readonly startedMs: number
}

/**
 * One request on its way, and its body as far as it has come. It holds no catalog: a body may take seconds to come, and
 * once this thread has taken another catalog, the slab of the one before is written anew. The catalog is read when the
 * body is whole.
 */
class AskedBid implements BodyTaker {
  readonly call: HttpCall
  readonly exchangeId: string
  readonly headers: BidHeaders
  readonly startedMs: number
  readonly #route: BidRoute
  /** Almost every body is one chunk, so a list is made only for the others. */
  #first: Buffer | undefined
  #more: Buffer[] | undefined
  #bytes = 0
  #heldBytes = 0

  constructor(route: BidRoute, { call, startedMs }: Begun, exchangeId: string, headers: BidHeaders) {
    this.#route = route
    this.call = call
    this.startedMs = startedMs
    this.exchangeId = exchangeId
    this.headers = headers
  }

  chunk(bytes: Buffer): void {
    this.#bytes += bytes.length
    if (this.#bytes > LIMITS.bodyBytesMax) this.#route.refuse(this.call, 413)
    // A body that is whole with this piece is read before anything else happens: it waits nowhere.
    else if (this.#bytes === this.headers.bodyBytes) this.#keep(bytes)
    else if (this.hold(bytes.length)) this.#keep(ownCopy(bytes))
  }

  #keep(bytes: Buffer): void {
    if (this.#first === undefined) this.#first = bytes
    else if (this.#more === undefined) this.#more = [this.#first, bytes]
    else this.#more.push(bytes)
  }

  /**
   * Keeps bytes of this body until its answer is sent or its connection is gone.
   * @returns false when this thread holds as many as it may: then the call has had its no-bid
   */
  hold(bytes: number): boolean {
    if (!this.#route.hold(bytes)) {
      this.#route.shed(this.call)
      return false
    }
    if (this.#heldBytes === 0) this.call.onceOver(() => this.#route.release(this.#heldBytes))
    this.#heldBytes += bytes
    return true
  }

  end(): void {
    const body = this.#more === undefined ? (this.#first ?? EMPTY) : Buffer.concat(this.#more)
    this.#route.takeBody(this, body)
  }
}

/** An answer to a whole request, which may wait for others of its turn. */
interface MadeAnswer {
  readonly call: HttpCall
  readonly answer: { readonly status: number; readonly body: string }
  /** Of a request that was decided on. */
  readonly decided?: { readonly startedMs: number; readonly isTimed: boolean; readonly isGzip: boolean }
}

/** A call whose body nobody wants. It is answered once that has passed: only then is the answer one write. */
class Unwanted implements BodyTaker {
  readonly #route: BidRoute
  readonly #call: HttpCall
  readonly #answer: MadeAnswer['answer']

  constructor(route: BidRoute, call: HttpCall, answer: MadeAnswer['answer']) {
    this.#route = route
    this.#call = call
    this.#answer = answer
  }

  chunk(bytes: Buffer): void {
    this.#route.pass(bytes)
  }

  end(): void {
    this.#route.answer({ call: this.#call, answer: this.#answer })
  }
}

/** The route of one bid thread. A request that is refused or has no bid still gets its answer; nothing is thrown. */
export class BidRoute {
  readonly #deps: BidRouteDeps
  readonly #prefix: string
  readonly #turn = new LoopTurn()
  readonly #batch = new AnswerBatch<MadeAnswer>(made => this.#send(made))
  /** The clock that all threads share is so far ahead of this thread's performance.now. */
  readonly #sharedMs: number
  /** Takes what comes of a body after its answer. The stream by which Node would read it costs more than that. */
  readonly #rest: BodyTaker = { chunk: bytes => this.pass(bytes), end: () => {} }
  /** Of bodies that have come in part, or wait to be inflated. */
  #heldBytes = 0

  constructor(deps: BidRouteDeps) {
    this.#deps = deps
    this.#prefix = `/${deps.tenantId}/openrtb2/`
    this.#sharedMs = deps.monotonicMs() - performance.now()
  }

  /** @returns false when the request is not for this route; then nothing has been done with it. */
  take(call: HttpCall): boolean {
    const { url } = call
    if (call.method !== 'POST' || !url.startsWith(this.#prefix)) return false
    const query = url.indexOf('?', this.#prefix.length)
    const place = query < 0 ? url.slice(this.#prefix.length) : url.slice(this.#prefix.length, query)
    const slash = place.indexOf('/')
    const exchangeId = slash < 0 ? place : place.slice(0, slash)
    const pathSecret = slash < 0 ? undefined : place.slice(slash + 1)
    const serving = this.#deps.serving()
    if (serving === undefined) {
      if (!EXCHANGE_ID.test(exchangeId)) return false
      this.#notReady(call)
      return true
    }
    const exchange = serving.exchange(exchangeId)
    if (exchange === undefined) return false
    const rule = serving.callerRule(exchangeId)
    if (pathSecret !== undefined && rule?.isInPath !== true) return false
    if (rule !== undefined && !this.#deps.callers.lets(call, exchangeId, rule, pathSecret)) {
      this.refuse(call, 403)
      return true
    }
    const cause = this.#deps.gate.turnsAway(exchange, serving, this.#deps.monotonicMs)
    if (cause !== undefined) {
      this.#turnAway(call, cause, cause !== 'memory' && exchange.overQuota === 'status-429' ? OVER_QUOTA : NO_BID)
      return true
    }
    const startedMs = performance.now()
    if (this.#turn.isOver(startedMs)) {
      this.#turnAway(call, 'overload', NO_BID)
      return true
    }
    const headers = readBidHeaders(call.rawHeaders)
    if (headers.refusal !== 0) this.refuse(call, headers.refusal)
    else call.takeBody(new AskedBid(this, { call, startedMs }, exchangeId, headers))
    return true
  }

  /** A load balancer that fails open sends requests before we are ready: they get their no-bid at once. */
  #notReady(call: HttpCall): void {
    this.#deps.recorder.count(NOT_READY)
    this.#deps.recorder.count(SHED_NOT_READY)
    call.takeBody(new Unwanted(this, call, NO_BID))
  }

  /** Without a look at the body; the connection stays. */
  #turnAway(call: HttpCall, cause: ShedCause, answer: MadeAnswer['answer']): void {
    this.#deps.recorder.count(shedCounter(cause))
    call.takeBody(new Unwanted(this, call, answer))
  }

  /** Counts what is not kept. */
  pass(bytes: Buffer): void {
    this.#deps.recorder.add(COUNTER.bytesIn, bytes.length)
  }

  /** @returns false when these bytes would be too many; then they are not counted */
  hold(bytes: number): boolean {
    const { gate } = this.#deps
    if (gate.isGrowthStopped || this.#heldBytes + bytes > LIMITS.partialBodyBytesMax) return false
    this.#heldBytes += bytes
    return true
  }

  /** What was held is gone. */
  release(bytes: number): void {
    this.#heldBytes -= bytes
  }

  /** No bid for want of memory; the connection closes, because the rest of the body is not read. */
  shed(call: HttpCall): void {
    this.#deps.recorder.count(SHED_OVERLOAD)
    call.close()
    call.takeBody(this.#rest)
    this.send(call, 204, '')
  }

  /** Answers a call whose body is whole; large compressed bodies after a turn of the event loop. */
  takeBody(asked: AskedBid, body: Buffer): void {
    const wholeMs = performance.now()
    this.#deps.recorder.add(COUNTER.bytesIn, body.length)
    if (this.#isShedUnread(asked.call, wholeMs)) return
    if (!asked.headers.isGzip) {
      this.#answer(asked, body, wholeMs)
      return
    }
    this.#deps.recorder.count(COUNTER.gzipIn)
    if (body.length > LIMITS.inflateSyncBytesMax) {
      if (!asked.hold(body.length)) return
      gunzip(ownCopy(body), INFLATE, (error, inflated) => {
        if (error === null) this.#answer(asked, inflated, performance.now())
        else this.refuse(asked.call, inflateStatus(error))
      })
      return
    }
    let inflated: Buffer
    try {
      inflated = gunzipSync(body, INFLATE)
    } catch (error) {
      this.refuse(asked.call, inflateStatus(error))
      return
    }
    this.#answer(asked, inflated, performance.now())
  }

  /**
   * Sheds what has waited too long, before anything is done with its body, as `take` does with most of it by the head:
   * the time goes to those that can still win. Only bid requests are treated so. Notices, events and health checks wait
   * for one turn at most, which this keeps short.
   * @returns whether the request has had its no-bid
   */
  #isShedUnread(call: HttpCall, wholeMs: number): boolean {
    const isLate = this.#deps.loopLagMs() > LIMITS.bidLagMsMax
    if (!isLate && !this.#turn.isOver(wholeMs)) return false
    this.#deps.recorder.count(isLate ? SHED_DEADLINE : SHED_OVERLOAD)
    this.answer({ call, answer: NO_BID })
    return true
  }

  /** From here on there is no wait: the catalog that serves now serves until the answer is made. */
  #answer({ call, exchangeId, headers, startedMs }: AskedBid, body: Buffer, wholeMs: number): void {
    const { bidPath, recorder, sampler, tracer, nowMs, loopLagMs } = this.#deps
    const serving = this.#deps.serving()
    const exchange = serving?.exchange(exchangeId)
    if (serving === undefined || exchange === undefined) {
      // The exchange was removed while its body came.
      this.refuse(call, 404)
      return
    }
    if (body.length >= LIMITS.boundsCheckBytesMin && isBeyond(body, JSON_BOUNDS)) {
      this.refuse(call, 400)
      return
    }
    const isTraced = tracer?.begins() === true
    recorder.beginRequest()
    const isSampled = sampler?.begins() === true
    recorder.time(HISTOGRAM.bodyTime, (wholeMs - startedMs) * 1e6)
    const waitedMs = Math.max(wholeMs - startedMs, this.#turn.ageMs(wholeMs)) + loopLagMs()
    const moment = { nowMs: nowMs(), monotonicMs: wholeMs + this.#sharedMs, waitedMs }
    const answer = bidPath.answer(body, exchange, serving, moment)
    if (isSampled) sampler?.end({ exchange: exchangeId, request: body.toString(), answer: answer.body })
    const isGzip = exchange.gzip && answer.body.length >= GZIP_BYTES_MIN && headers.takesGzip
    const made = { call, answer, decided: { startedMs, isTimed: recorder.isTimed, isGzip } }
    if (!isTraced) {
      this.answer(made)
      return
    }
    // What its trace tells of sending is this answer's alone.
    this.#send(made)
    tracer?.end({ startedMs, wholeMs, exchange: exchangeId, status: answer.status, rawHeaders: call.rawHeaders })
  }

  /** Answers a request that has come whole, together with others of this turn. */
  answer(made: MadeAnswer): void {
    this.#batch.add(made)
  }

  #send({ call, answer: { status, body }, decided }: MadeAnswer): void {
    if (decided === undefined) {
      this.send(call, status, body)
      return
    }
    const { recorder } = this.#deps
    recorder.goOn(decided.isTimed)
    const begunMs = recorder.mark()
    if (decided.isGzip) this.#sendGzip(call, body)
    else this.send(call, status, body)
    recorder.since(HISTOGRAM.sendTime, begunMs)
    recorder.time(HISTOGRAM.requestTime, (performance.now() - decided.startedMs) * 1e6)
  }

  /** Answers now. @param body ASCII: one byte per character */
  send(call: HttpCall, status: number, body: string): void {
    const { recorder } = this.#deps
    recorder.count(responseCounter(status))
    if (this.#deps.isDraining()) call.close()
    if (body === '') {
      call.answer(status, status === 204 ? '' : NO_BODY, '')
      return
    }
    recorder.add(COUNTER.bytesOut, body.length)
    call.answer(status, BEFORE_LENGTH + body.length + AFTER_LENGTH, body)
  }

  #sendGzip(call: HttpCall, body: string): void {
    const { recorder } = this.#deps
    const compressed = gzipSync(body, GZIP_FAST)
    recorder.count(responseCounter(200))
    recorder.count(COUNTER.gzipOut)
    recorder.add(COUNTER.bytesOut, compressed.length)
    if (this.#deps.isDraining()) call.close()
    call.answer(200, `Content-Encoding: gzip\r\n${BEFORE_LENGTH}${compressed.length}${AFTER_LENGTH}`, compressed)
  }

  /** A status without a body; once only. The connection closes, because the rest of the body may never be read. */
  refuse(call: HttpCall, status: number): void {
    if (call.isAnswered) return
    // What the load balancer keeps open for others is not closed for a caller that may not call.
    if (status !== 400 && status !== 403) call.close()
    call.takeBody(this.#rest)
    this.send(call, status, '')
  }
}

/** Too much when inflated, or not what its encoding says. */
function inflateStatus(error: unknown): number {
  return (error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE' ? 413 : 415
}
