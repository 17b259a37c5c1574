/**
 * Which bid requests are traced, and what is told of them. A bid thread knows no OpenTelemetry: it posts the stages
 * that its histograms record anyway, and the control thread makes spans of them.
 */
import { LIMITS } from '../limits.ts'
import type { Recorder, Stage } from './recorder.ts'
import { COUNTER_SLOTS, COUNTERS, HISTOGRAM } from './signals.ts'
import { type TraceParent, traceParentOf } from './trace-parent.ts'

/** One traced request, as it is posted to the control thread. Instants are wall clock ms, with their fractions. */
export interface TraceMessage {
  readonly kind: 'trace'
  /** With its method and without what it is filled with, such as `POST /openrtb2/:exchange`. */
  readonly route: string
  readonly startedAtMs: number
  readonly endedAtMs: number
  readonly exchange: string
  readonly status: number
  readonly parent: TraceParent | undefined
  readonly stages: readonly { readonly histogram: number; readonly startedAtMs: number; readonly endedAtMs: number }[]
  /** What it was counted as, such as `bids` or `no_bids.paced-out`. */
  readonly counted: Readonly<Record<string, number>>
}

/** What a tracer needs of its bid thread. */
export interface RequestTracerOptions {
  /** Share of the requests that are traced, above 0 and up to 1. */
  readonly ratio: number
  readonly recorder: Recorder
  readonly post: (message: TraceMessage) => void
  /** 0 <= n < 1 */
  readonly unit: () => number
  readonly nowMs: () => number
}

const BID_ROUTE = 'POST /openrtb2/:exchange'
const NOTICE_ROUTE = 'GET /notice/:kind'

/** A request that ends. Instants are those of performance.now. */
export interface TracedRequest {
  readonly startedMs: number
  readonly wholeMs: number
  readonly exchange: string
  readonly status: number
  readonly rawHeaders: readonly string[]
}

/** A notice or an event that was answered. */
export interface TracedNotice extends Omit<TracedRequest, 'wholeMs'> {
  /** As in its path. */
  readonly kind: string
}

/** Decides by chance alone, before anything else: a request that is not traced costs one subtraction. */
export class RequestTracer {
  readonly #options: RequestTracerOptions
  #untilNext: number
  #stages: Stage[] = []
  #before: Float64Array = new Float64Array()
  #second = Number.NaN
  #inSecond = 0

  constructor(options: RequestTracerOptions) {
    this.#options = options
    this.#untilNext = this.#gap()
  }

  /** Whether the request at hand is traced; then `end` must be called in the same turn. */
  begins(): boolean {
    if (!this.draws()) return false
    const { recorder } = this.#options
    this.#stages = []
    this.#before = recorder.counters()
    recorder.trace(this.#stages)
    return true
  }

  /** Whether a notice at hand is traced; then `endNotice` is to be called once it is answered, in whichever turn. */
  draws(): boolean {
    if (--this.#untilNext > 0) return false
    this.#untilNext = this.#gap()
    const second = Math.floor(this.#options.nowMs() / 1_000)
    if (second !== this.#second) this.#inSecond = 0
    this.#second = second
    return ++this.#inSecond <= LIMITS.tracesPerSecondMax
  }

  /** Posts what became of a notice. Others come and go while it waits: it has no stages and counts itself alone. */
  endNotice({ startedMs, exchange, status, kind, rawHeaders }: TracedNotice): void {
    const { nowMs, post } = this.#options
    const endedAtMs = nowMs()
    post({
      ...{ kind: 'trace', route: NOTICE_ROUTE, exchange, status, parent: traceParentOf(rawHeaders), stages: [] },
      startedAtMs: endedAtMs - (performance.now() - startedMs),
      ...{ endedAtMs, counted: { [`${COUNTERS.notices.name}.${kind}`]: 1 } },
    })
  }

  /** Posts what became of it. */
  end({ startedMs, wholeMs, exchange, status, rawHeaders }: TracedRequest): void {
    const { recorder, nowMs, post } = this.#options
    recorder.trace(undefined)
    const endedMs = performance.now()
    const zeroAtMs = nowMs() - endedMs
    const body: Stage = { histogram: HISTOGRAM.bodyTime, startMs: startedMs, endMs: wholeMs }
    post({
      ...{ kind: 'trace', route: BID_ROUTE },
      startedAtMs: zeroAtMs + startedMs,
      endedAtMs: zeroAtMs + endedMs,
      exchange,
      status,
      parent: traceParentOf(rawHeaders),
      stages: [body, ...this.#stages].map(({ histogram, startMs, endMs }) => {
        return { histogram, startedAtMs: zeroAtMs + startMs, endedAtMs: zeroAtMs + endMs }
      }),
      counted: grownBetween(this.#before, recorder.counters()),
    })
  }

  /** Requests until the next one that is traced: as if each were drawn by itself. */
  #gap(): number {
    const { ratio, unit } = this.#options
    return ratio >= 1 ? 1 : 1 + Math.floor(Math.log(1 - unit()) / Math.log(1 - ratio))
  }
}

function grownBetween(before: Float64Array, after: Float64Array): Record<string, number> {
  const grown: Record<string, number> = {}
  COUNTER_SLOTS.forEach(({ signal, labelValue }, slot) => {
    const count = (after[slot] ?? 0) - (before[slot] ?? 0)
    if (count > 0) grown[labelValue === undefined ? signal.name : `${signal.name}.${labelValue}`] = count
  })
  return grown
}
