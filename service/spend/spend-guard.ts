/**
 * The most that a tenant may spend in a minute: a guard against a runaway. The control thread fills a bucket that all
 * bid threads of the task take from, so that a bid costs one addition in shared memory. What is filled in follows from
 * the tasks that live and from what part of the bids' prices is billed in the end; and nothing is, for as long as what
 * was booked in the last minute has reached the maximum. Instants are monotonic milliseconds.
 */

/** Words of the shared memory: what is left in the bucket, in tokens, and bids that were held back. */
const LEFT = 0
const HELD_BACK = 1
/** A number behind them: nanos per token, 0 for no guard. */
const NANOS_PER_TOKEN_BYTE = 8
const MEMORY_BYTES = 16

/** So many tokens are the maximum: a bid is rounded up by less than a millionth of it. */
const TOKENS_PER_MINUTE = 2 ** 22
/** One bid takes no more than four minutes of them: all threads at once cannot take what a word does not hold. */
const TOKENS_PER_BID_MAX = 2 ** 24

const BIN_MS = 10_000
/** Until bids of so long ago are billed, and over how long what is billed of them is looked at. */
const BILLED_AFTER_BINS = 6
const LEARNED_BINS = 30
const BINS = BILLED_AFTER_BINS + LEARNED_BINS + 1
const MINUTE_BINS = 6
const MINUTE_MS = 60_000
/** A full bucket and what comes in a minute are the maximum together. */
const BUCKET_PART = 1 / 6
/** Part of the bids' prices that is billed: as long as it is not known, and at least, and the margin on it. */
const FIRST_PART = 0.1
const PART_MIN = 0.02
const PART_MARGIN = 1.25

/** Memory of the guard, shared by the control thread and the bid threads of a task. */
export function createGuardMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(MEMORY_BYTES)
}

/** The guard as a bid thread asks it. */
export class SpendBrake {
  readonly #words: Int32Array
  readonly #nanosPerToken: Float64Array

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory, 0, 2)
    this.#nanosPerToken = new Float64Array(memory, NANOS_PER_TOKEN_BYTE, 1)
  }

  /** Takes what a bid may cost. Changes the bucket. @returns false when there must be no bid */
  take(amountNanos: number): boolean {
    const nanosPerToken = this.#nanosPerToken[0] as number
    if (nanosPerToken === 0) return true
    const tokens = tokensOf(amountNanos, nanosPerToken)
    // The last one may take more than there is: what is filled in pays for it first.
    if (Atomics.load(this.#words, LEFT) > 0) {
      Atomics.sub(this.#words, LEFT, tokens)
      return true
    }
    Atomics.add(this.#words, HELD_BACK, 1)
    return false
  }

  /** Gives back what a bid took that is not made. Changes the bucket. */
  giveBack(amountNanos: number): void {
    const nanosPerToken = this.#nanosPerToken[0] as number
    if (nanosPerToken > 0) Atomics.add(this.#words, LEFT, tokensOf(amountNanos, nanosPerToken))
  }
}

function tokensOf(amountNanos: number, nanosPerToken: number): number {
  return Math.min(TOKENS_PER_BID_MAX, Math.ceil(amountNanos / nanosPerToken))
}

/** What the control thread knows at a look. */
export interface GuardLook {
  readonly monotonicMs: number
  /** Tasks that live, this one included. The most of the last minutes counts: who is cut off hears of no other. */
  readonly tasks: number
}

/** The guard as the control thread steers it. Every method changes it. */
export class SpendGuard {
  readonly #words: Int32Array
  readonly #nanosPerToken: Float64Array
  /** By time: nanos that bids took, and that were booked. */
  readonly #taken = new Float64Array(BINS)
  readonly #booked = new Float64Array(BINS)
  readonly #tasks = new Float64Array(BINS)
  #bin = 0
  /** Bins with anything in them, so far. */
  #bins = 0
  #maxNanos = 0
  #lookedMs = Number.NaN
  /** In the bucket after the last look. */
  #left = 0
  #heldBack = 0

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory, 0, 2)
    this.#nanosPerToken = new Float64Array(memory, NANOS_PER_TOKEN_BYTE, 1)
  }

  /** From now on: the most that the tenant spends in a minute; undefined for no guard. */
  limit(nanosPerMinute: number | undefined): void {
    const maxNanos = nanosPerMinute ?? 0
    if (maxNanos === this.#maxNanos) return
    this.#maxNanos = maxNanos
    this.#taken.fill(0)
    this.#booked.fill(0)
    this.#bins = 0
    this.#lookedMs = Number.NaN
    this.#left = 0
    Atomics.store(this.#words, LEFT, 0)
    this.#nanosPerToken[0] = maxNanos / TOKENS_PER_MINUTE
  }

  /** This task has booked so much. */
  booked(nanos: number): void {
    this.#booked[this.#bin] = (this.#booked[this.#bin] as number) + nanos
  }

  /**
   * Fills the bucket; some ten times a second.
   * @returns how many bids were held back since the last look. Cost: O(bins)
   */
  look({ monotonicMs, tasks }: GuardLook): number {
    if (this.#maxNanos === 0) return 0
    const elapsedMs = Number.isNaN(this.#lookedMs) ? MINUTE_MS : monotonicMs - this.#lookedMs
    this.#lookedMs = monotonicMs
    this.#turn(Math.floor(monotonicMs / BIN_MS))
    const left = Atomics.load(this.#words, LEFT)
    const nanosPerToken = this.#nanosPerToken[0] as number
    this.#taken[this.#bin] = (this.#taken[this.#bin] as number) + Math.max(0, this.#left - left) * nanosPerToken
    this.#tasks[this.#bin] = Math.max(1, tasks, this.#tasks[this.#bin] as number)
    const maxNanos = this.#maxNanos / Math.max(...this.#tasks)
    const isOver = this.#sum(this.#booked, 0, MINUTE_BINS) >= maxNanos
    const minuteTokens = maxNanos / this.#part() / nanosPerToken
    const full = Math.floor(minuteTokens * BUCKET_PART)
    const added = isOver ? 0 : Math.floor((minuteTokens * (1 - BUCKET_PART) * elapsedMs) / MINUTE_MS)
    // Threads take meanwhile, so what is there is changed by a difference. A maximum that falls empties the bucket.
    const change = Math.min(added, full - left)
    Atomics.add(this.#words, LEFT, change)
    this.#left = left + change
    return this.#newlyHeldBack()
  }

  #newlyHeldBack(): number {
    const heldBack = Atomics.load(this.#words, HELD_BACK)
    const newly = (heldBack - this.#heldBack) >>> 0
    this.#heldBack = heldBack
    return newly
  }

  #turn(now: number): void {
    const before = this.#bins === 0 ? now : this.#binNumber
    for (let bin = before + 1; bin <= now && bin <= before + BINS; bin++) {
      this.#taken[bin % BINS] = 0
      this.#booked[bin % BINS] = 0
      this.#tasks[bin % BINS] = 0
    }
    if (this.#bins === 0) this.#bins = 1
    else this.#bins = Math.min(BINS, this.#bins + now - before)
    this.#binNumber = now
    this.#bin = now % BINS
  }

  #binNumber = 0

  /** Of the bins from so many ago, 0 for the one of now. */
  #sum(bins: Float64Array, from: number, count: number): number {
    let sum = 0
    for (let ago = from; ago < from + count; ago++) sum += bins[(this.#binNumber + BINS - ago) % BINS] as number
    return sum
  }

  /** What part of the bids' prices is billed in the end. */
  #part(): number {
    if (this.#bins < BINS) return FIRST_PART
    const taken = this.#sum(this.#taken, BILLED_AFTER_BINS, LEARNED_BINS)
    if (taken === 0) return FIRST_PART
    const part = this.#sum(this.#booked, 0, LEARNED_BINS) / taken
    return Math.min(1, Math.max(PART_MIN, part * PART_MARGIN))
  }
}
