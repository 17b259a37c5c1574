/** Which bid requests are looked at as a whole, and what is told of them. */
import { NO_BID_REASON_NAMES } from '../decision/reasons.ts'
import { LIMITS } from '../limits.ts'
import type { Recorder } from './recorder.ts'
import { noBidCounter } from './signals.ts'

/** One sampled request, as it is posted to the control thread. */
export interface RequestSample {
  readonly atMs: number
  readonly exchange: string
  /** How many requests it stands for: chance took one of so many. */
  readonly weight: number
  /** As they came and went. */
  readonly request: string
  readonly answer: string
  /** Ids of the line items that bid, in the order of their bids. */
  readonly bidders: readonly string[]
  /** Why impressions got no bid. */
  readonly reasons: readonly string[]
}

/** What a sampler needs of its bid thread. */
export interface RequestSamplerOptions {
  readonly recorder: Recorder
  readonly post: (sample: RequestSample) => void
  /** Who has bid since the last call, by id. */
  readonly takeBidders: () => readonly string[]
  /** 0 <= n < 1 */
  readonly unit: () => number
  readonly nowMs: () => number
}

/**
 * Takes one of N requests by chance alone, before anything is known of it: another one costs one subtraction. N follows
 * the traffic, so that a thread tells some samples a second however many requests there are.
 */
export class RequestSampler {
  readonly #options: RequestSamplerOptions
  #every = 1
  #untilNext = 1
  #weight = 1
  #inSecond = 0
  #before: Float64Array = new Float64Array()

  constructor(options: RequestSamplerOptions) {
    this.#options = options
  }

  /** Whether the request at hand is sampled; then `end` must be called in the same turn. */
  begins(): boolean {
    if (--this.#untilNext > 0) return false
    this.#weight = this.#every
    // Beyond its share of a second a burst doubles the gap with each sample.
    if (++this.#inSecond > LIMITS.samplesPerSecondMax) this.#every = Math.min(2 * this.#every, GAP_MAX)
    this.#untilNext = this.#gap()
    this.#before = this.#options.recorder.counters()
    this.#options.takeBidders()
    return true
  }

  /** Posts what became of it. */
  end(told: Pick<RequestSample, 'exchange' | 'request' | 'answer'>): void {
    const { post, nowMs, recorder, takeBidders } = this.#options
    const bidders = takeBidders()
    if (told.request.length > LIMITS.sampleCharsMax) return
    const after = recorder.counters()
    const grown = (i: number) => (after[noBidCounter(i)] ?? 0) - (this.#before[noBidCounter(i)] ?? 0)
    const reasons = NO_BID_REASON_NAMES.filter((_, i) => grown(i) > 0)
    post({ atMs: nowMs(), weight: this.#weight, ...told, bidders, reasons })
  }

  /** To be called once a second: where there are few, more are taken. */
  turn(): void {
    const isQuiet = this.#inSecond < LIMITS.samplesPerSecondMax / 2
    this.#inSecond = 0
    if (!isQuiet || this.#every === 1) return
    this.#every >>= 1
    // Each request is drawn by itself, so that a gap may be drawn anew at any time.
    this.#untilNext = this.#gap()
  }

  #gap(): number {
    if (this.#every === 1) return 1
    return 1 + Math.floor(Math.log(1 - this.#options.unit()) / Math.log(1 - 1 / this.#every))
  }
}

const GAP_MAX = 2 ** 20
