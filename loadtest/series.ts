import { Histogram } from './histogram.ts'

/** One second of a run. Answers and failures count in the second in which they came. */
export interface SeriesPoint {
  /** Whole seconds since the first planned instant. */
  readonly second: number
  readonly sent: number
  readonly answered: number
  readonly failed: number
  /** Of what ended in this second, failures with the whole timeout; 0 when nothing did. */
  readonly p50Us: number
  readonly p99Us: number
  readonly maxUs: number
  readonly sendLagUsMax: number
}

/** Records a run second by second. One histogram is used again and again: memory grows by one point a second. */
export class SecondSeries {
  readonly #points: SeriesPoint[] = []
  readonly #latencyUs = new Histogram()
  #second = 0
  #sent = 0
  #failed = 0
  #sendLagUsMax = 0

  /** The newest second that has ended. */
  get newest(): SeriesPoint | undefined {
    return this.#points.at(-1)
  }

  /** Counts a request. @param atUs now, since the start @param lagUs how late it was sent */
  sent(atUs: number, lagUs: number): void {
    this.#turnTo(atUs)
    this.#sent++
    this.#sendLagUsMax = Math.max(this.#sendLagUsMax, Math.ceil(lagUs))
  }

  /** Counts an answer. @param atUs now, since the start */
  answered(atUs: number, latencyUs: number): void {
    this.#turnTo(atUs)
    this.#latencyUs.record(latencyUs)
  }

  /** Counts a request that got no answer. @param atUs now, since the start */
  failed(atUs: number, latencyUs: number): void {
    this.#turnTo(atUs)
    this.#failed++
    this.#latencyUs.record(latencyUs)
  }

  /** Ends the second under way, if anything happened in it. @returns all seconds, without gaps */
  end(): readonly SeriesPoint[] {
    if (this.#sent + this.#latencyUs.count > 0) this.#close()
    return this.#points
  }

  /** Cost: O(buckets of the histogram) once a second, else O(1). */
  #turnTo(atUs: number): void {
    const second = Math.floor(atUs / 1e6)
    while (this.#second < second) this.#close()
  }

  #close(): void {
    this.#points.push({
      second: this.#second++,
      sent: this.#sent,
      answered: this.#latencyUs.count - this.#failed,
      failed: this.#failed,
      p50Us: this.#latencyUs.percentile(50),
      p99Us: this.#latencyUs.percentile(99),
      maxUs: this.#latencyUs.max,
      sendLagUsMax: this.#sendLagUsMax,
    })
    this.#latencyUs.clear()
    this.#sent = 0
    this.#failed = 0
    this.#sendLagUsMax = 0
  }
}
