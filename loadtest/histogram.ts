/** Buckets per power of two: a value is known to 1/128, better than 0.8 %. */
const SUB_BITS = 7
const SUB = 1 << SUB_BITS
const VALUE_MAX = 2 ** 31 - 1
const BUCKETS = (31 - SUB_BITS) * SUB + 2 * SUB

/** A histogram as JSON: pairs of bucket and count, most buckets being empty. */
export interface HistogramData {
  readonly counts: readonly (readonly [bucket: number, count: number])[]
  readonly max: number
  readonly sum: number
}

/** A log-linear histogram of whole microseconds from 0 to 2^31 − 1 (36 minutes); larger values count as that. */
export class Histogram {
  readonly #counts = new Float64Array(BUCKETS)
  #count = 0
  #max = 0
  #sum = 0

  /** Counts one value in µs; parts are rounded up, so that nothing looks faster than it was. */
  record(valueUs: number): void {
    const value = valueUs <= 0 ? 0 : Math.min(VALUE_MAX, Math.ceil(valueUs))
    const bucket = bucketOf(value)
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1
    this.#count++
    this.#sum += value
    if (value > this.#max) this.#max = value
  }

  get count(): number {
    return this.#count
  }

  /** Largest value in µs, exact. */
  get max(): number {
    return this.#max
  }

  /** Mean in µs, exact; 0 when empty. */
  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count
  }

  /** The value in µs that this share of values (0 to 100) does not exceed: upper end of its bucket. 0 when empty. */
  percentile(percent: number): number {
    const wanted = Math.max(1, Math.ceil((percent / 100) * this.#count))
    let seen = 0
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.#counts[bucket] ?? 0
      if (seen >= wanted) return Math.min(this.#max, upperEnd(bucket))
    }
    return this.#max
  }

  /** Adds all values of another. Cost: O(buckets). */
  add(other: Histogram): void {
    for (let bucket = 0; bucket < BUCKETS; bucket++)
      this.#counts[bucket] = (this.#counts[bucket] ?? 0) + (other.#counts[bucket] ?? 0)
    this.#count += other.#count
    this.#sum += other.#sum
    this.#max = Math.max(this.#max, other.#max)
  }

  /** Forgets all values. Cost: O(buckets). */
  clear(): void {
    this.#counts.fill(0)
    this.#count = 0
    this.#max = 0
    this.#sum = 0
  }

  /** For reports and other processes. */
  toJSON(): HistogramData {
    const counts: [number, number][] = []
    for (const [bucket, count] of this.#counts.entries()) if (count > 0) counts.push([bucket, count])
    return { counts, max: this.#max, sum: this.#sum }
  }

  /** The histogram that toJSON described. */
  static from(data: HistogramData): Histogram {
    const histogram = new Histogram()
    for (const [bucket, count] of data.counts) {
      histogram.#counts[bucket] = count
      histogram.#count += count
    }
    histogram.#max = data.max
    histogram.#sum = data.sum
    return histogram
  }
}

function bucketOf(value: number): number {
  const shift = Math.max(0, 31 - Math.clz32(value) - SUB_BITS)
  return shift * SUB + (value >>> shift)
}

function upperEnd(bucket: number): number {
  if (bucket < 2 * SUB) return bucket
  const shift = Math.floor(bucket / SUB) - 1
  return (bucket - shift * SUB + 1) * 2 ** shift - 1
}

/** The percentiles that every report shows, in µs. */
export interface LatencySummary {
  readonly count: number
  readonly mean: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

/** Reads the percentiles of a report from a histogram. */
export function summaryOf(histogram: Histogram): LatencySummary {
  return {
    count: histogram.count,
    mean: Math.round(histogram.mean),
    p50: histogram.percentile(50),
    p90: histogram.percentile(90),
    p99: histogram.percentile(99),
    p999: histogram.percentile(99.9),
    max: histogram.max,
  }
}
