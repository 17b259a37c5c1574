/**
 * The hot path of telemetry. Each thread has one block of shared memory and is its only writer, so that counting is
 * one plain addition: no lock, no message, no allocation. The control thread reads all blocks into one snapshot.
 *
 * Everything is a 64-bit float: it counts exactly to 2^53, never wraps, and an aligned one is never seen half written
 * on a 64-bit machine.
 */
import { assert } from '../foundation/assert.ts'
import { type TaskGauge, THREAD_GAUGES, type ThreadGauge } from './gauges.ts'
import { COUNTER_SLOTS, HISTOGRAMS } from './signals.ts'

/** Nanoseconds of the finest bucket; 2^31 of them are 68 s, so that a duration fits the 31 bits that clz32 needs. */
const GRAIN_NS = 32
const GRAINS_MAX = 2 ** 31 - 1
/** 16 buckets per doubling: a bucket's middle is at most 1/32 (3.2 %) from any value in it, from 512 ns up. */
const BUCKETS_PER_DOUBLING = 16
const BUCKET_BITS = 4
/** Buckets of one histogram. */
export const BUCKET_COUNT = (31 - BUCKET_BITS) * BUCKETS_PER_DOUBLING + BUCKETS_PER_DOUBLING

const COUNTERS_AT = 0
const GAUGES_AT = COUNTERS_AT + COUNTER_SLOTS.length
const HISTOGRAMS_AT = GAUGES_AT + Object.keys(THREAD_GAUGES).length
/** One histogram: the sum of its values, then its buckets. */
const HISTOGRAM_WORDS = 1 + BUCKET_COUNT
const HISTOGRAM_COUNT = Object.keys(HISTOGRAMS).length
const BLOCK_WORDS = HISTOGRAMS_AT + HISTOGRAM_COUNT * HISTOGRAM_WORDS

/** The shared memory of one thread's numbers. A thread that is started again goes on in its block. */
export type RecorderBlock = SharedArrayBuffer

/** A block with every number at 0: about 19 KiB. */
export function createRecorderBlock(): RecorderBlock {
  return new SharedArrayBuffer(BLOCK_WORDS * Float64Array.BYTES_PER_ELEMENT)
}

function wordsOf(block: RecorderBlock): Float64Array {
  assert(block.byteLength === BLOCK_WORDS * 8, 'a recorder block must come from createRecorderBlock', {
    bytes: block.byteLength,
  })
  return new Float64Array(block)
}

/** Bucket of a duration: linear below 512 ns, then 16 per doubling; what is above 68 s goes into the last. */
function bucketOf(ns: number): number {
  if (!(ns >= GRAIN_NS)) return 0
  const grains = ns >= GRAINS_MAX * GRAIN_NS ? GRAINS_MAX : (ns / GRAIN_NS) | 0
  if (grains < BUCKETS_PER_DOUBLING) return grains
  const shift = 31 - BUCKET_BITS - Math.clz32(grains)
  return (shift << BUCKET_BITS) + (grains >>> shift)
}

/** Least duration of a bucket, in ns. The bucket ends where the next begins; defined for BUCKET_COUNT too. */
export function bucketStartNs(bucket: number): number {
  if (bucket < BUCKETS_PER_DOUBLING) return bucket * GRAIN_NS
  const shift = (bucket >> BUCKET_BITS) - 1
  return (BUCKETS_PER_DOUBLING + (bucket & (BUCKETS_PER_DOUBLING - 1))) * 2 ** shift * GRAIN_NS
}

/** The value that stands for a bucket, in ns: its middle. */
export function bucketMiddleNs(bucket: number): number {
  return (bucketStartNs(bucket) + bucketStartNs(bucket + 1)) / 2
}

/**
 * Stages of one request in so many are timed: a look at the clock takes 0.1 to 0.3 µs, and a request has six for its
 * stages. A prime, so that no pattern in the traffic keeps step with it.
 */
const TIMED_EVERY = 13

/** One stage of a request that is traced. Instants are those of performance.now in its thread. */
export interface Stage {
  /** Of HISTOGRAM. */
  readonly histogram: number
  readonly startMs: number
  readonly endMs: number
}

/** Writes one thread's block. Exactly one thread may write a block at a time. */
export class Recorder {
  readonly #words: Float64Array
  /** Stages of the request at hand, while it is traced. */
  #stages: Stage[] | undefined
  #isTimed = true
  #untilTimed = 1

  /** @param block from createRecorderBlock; another size is a broken assertion. */
  constructor(block: RecorderBlock) {
    this.#words = wordsOf(block)
  }

  /** Adds 1 to a column of COUNTER. */
  count(counter: number): void {
    this.#words[counter]! += 1
  }

  /** Adds n >= 0 to a column of COUNTER. */
  add(counter: number, n: number): void {
    this.#words[counter]! += n
  }

  /** Records a duration in ns in a histogram of HISTOGRAM. Negative ones and NaN count as 0. */
  time(histogram: number, ns: number): void {
    const at = HISTOGRAMS_AT + histogram * HISTOGRAM_WORDS
    if (ns > 0) this.#words[at]! += ns
    this.#words[at + 1 + bucketOf(ns)]! += 1
  }

  /** A request begins: of one in 13, and of every one that is traced, stages are timed. Before the first all are. */
  beginRequest(): void {
    this.#isTimed = --this.#untilTimed === 0 || this.#stages !== undefined
    if (this.#untilTimed <= 0) this.#untilTimed = TIMED_EVERY
  }

  /** Whether stages of the request at hand are timed. */
  get isTimed(): boolean {
    return this.#isTimed
  }

  /** Goes on with a request that was begun before others. @param isTimed as it was then */
  goOn(isTimed: boolean): void {
    this.#isTimed = isTimed
  }

  /** The beginning of a stage, for `since`. */
  mark(): number {
    return this.#isTimed ? performance.now() : 0
  }

  /** Records the time since a mark in a histogram of HISTOGRAM, where stages are timed. */
  since(histogram: number, markMs: number): void {
    if (!this.#isTimed) return
    const endMs = performance.now()
    this.time(histogram, (endMs - markMs) * 1e6)
    if (this.#stages !== undefined) this.#stages.push({ histogram, startMs: markMs, endMs })
  }

  /** Keeps every stage from now on, in the list. undefined: no more. */
  trace(stages: Stage[] | undefined): void {
    this.#stages = stages
  }

  /** All columns of COUNTER as they are now, as a copy. */
  counters(): Float64Array {
    return this.#words.slice(COUNTERS_AT, GAUGES_AT)
  }

  /** Sets this thread's value of a gauge of THREAD_GAUGE. */
  set(gauge: number, value: number): void {
    this.#words[GAUGES_AT + gauge] = value
  }
}

/** One histogram of a snapshot. */
export interface SnapshotHistogram {
  readonly count: number
  readonly sumNs: number
  /** BUCKET_COUNT counts. */
  readonly buckets: Float64Array
}

/** Gauges of the task; one that is not known is left out and not published. */
export type TaskGauges = { readonly [K in TaskGauge]?: number }

/** Gauges of one thread. */
export interface ThreadGauges {
  /** `control`, `bid-1`, `bid-2`, … */
  readonly thread: string
  readonly values: { readonly [K in ThreadGauge]: number }
}

/** All numbers of the task at one moment. Every exporter reads this and nothing else. Not changed once made. */
export interface Snapshot {
  readonly takenAtMs: number
  /** One sum per column of COUNTER_SLOTS, since the process began. */
  readonly counters: Float64Array
  /** One per row of HISTOGRAMS, since the process began. */
  readonly histograms: readonly SnapshotHistogram[]
  readonly gauges: TaskGauges
  readonly threads: readonly ThreadGauges[]
}

/** What a snapshot is made of. */
export interface SnapshotSource {
  /** The control thread's block first, then one per bid thread. */
  readonly blocks: readonly RecorderBlock[]
  readonly gauges: TaskGauges
  readonly takenAtMs: number
}

/** Sums all threads. Cost: O(threads × columns), about 30 µs per thread; never on a bid thread. */
export function snapshot({ blocks, gauges, takenAtMs }: SnapshotSource): Snapshot {
  const views = blocks.map(wordsOf)
  const total = new Float64Array(BLOCK_WORDS)
  for (const view of views) for (let i = 0; i < BLOCK_WORDS; i++) total[i]! += view[i]!
  return {
    takenAtMs,
    counters: total.slice(COUNTERS_AT, GAUGES_AT),
    histograms: Array.from({ length: HISTOGRAM_COUNT }, (_, index) => histogramAt(total, index)),
    gauges,
    threads: views.map((view, index) => ({ thread: threadName(index), values: threadValues(view) })),
  }
}

/** Name of the thread that owns a block, by the block's place: the control thread's comes first. */
function threadName(blockIndex: number): string {
  return blockIndex === 0 ? 'control' : `bid-${blockIndex}`
}

function threadValues(words: Float64Array): ThreadGauges['values'] {
  const keys = Object.keys(THREAD_GAUGES) as ThreadGauge[]
  return Object.fromEntries(keys.map((key, index) => [key, words[GAUGES_AT + index]!])) as ThreadGauges['values']
}

function histogramAt(words: Float64Array, index: number): SnapshotHistogram {
  const at = HISTOGRAMS_AT + index * HISTOGRAM_WORDS
  const buckets = words.slice(at + 1, at + HISTOGRAM_WORDS)
  // The count is the sum of the buckets, never a word of its own: so it agrees with them while threads write.
  return { count: buckets.reduce((sum, n) => sum + n, 0), sumNs: words[at]!, buckets }
}

/** What happened between two snapshots; without an earlier one, since the process began. Gauges are the later ones. */
export function difference(later: Snapshot, earlier: Snapshot | undefined): Snapshot {
  if (earlier === undefined) return later
  return {
    ...later,
    counters: later.counters.map((sum, slot) => sum - earlier.counters[slot]!),
    histograms: later.histograms.map((histogram, index) => histogramBetween(histogram, earlier.histograms[index]!)),
  }
}

function histogramBetween(later: SnapshotHistogram, earlier: SnapshotHistogram): SnapshotHistogram {
  return {
    count: later.count - earlier.count,
    sumNs: later.sumNs - earlier.sumNs,
    buckets: later.buckets.map((n, bucket) => n - earlier.buckets[bucket]!),
  }
}

/**
 * The duration in ns below which a share of the values lies, within 3.2 % (16 ns below 512 ns).
 * @param share 0 < share <= 1, such as 0.99
 * @returns undefined when there are no values. Cost: O(buckets).
 */
export function percentile(histogram: SnapshotHistogram, share: number): number | undefined {
  assert(share > 0 && share <= 1, 'a percentile is a share above 0 and up to 1', { share })
  const rank = Math.ceil(share * histogram.count)
  let seen = 0
  for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
    seen += histogram.buckets[bucket]!
    if (seen >= rank && seen > 0) return bucketMiddleNs(bucket)
  }
  return undefined
}
