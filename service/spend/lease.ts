/**
 * A lease as the task that has it sees it: what its bid threads may still hold, and what is held by expiry bucket. A
 * bid holds its price until its bucket is over; what was not billed by then is free again only after the ledger has
 * closed the bucket and said what was booked in it. Instants are monotonic milliseconds of the task, so no wall clock
 * matters.
 */
import { assert } from '../foundation/assert.ts'
import { ALL_BUCKETS, type SettleOperation } from './ledger.ts'

/** The expiry bucket of a hold that ends then. */
export function bucketAt(expiresMs: number, startMs: number, bucketMs: number): number {
  return Math.max(1, Math.ceil((expiresMs - startMs) / bucketMs))
}

/** What a lease begins with. */
export interface LeaseTerms {
  readonly lease: string
  readonly accounts: readonly string[]
  readonly amountNanos: number
  /** Before the request for it was sent, so that the ledger's clock for it started later. */
  readonly startMs: number
  /** No hold from then on. */
  readonly endMs: number
  /** Holds expire in steps of this. */
  readonly bucketMs: number
  /** A bucket is closed this long after it expired: notices travel, and journals are replayed. */
  readonly graceMs: number
}

/** One lease of one task. */
export class Lease {
  readonly terms: LeaseTerms
  #amountNanos: number
  #endMs: number
  /** Holds by bucket, of buckets that the ledger has not closed. */
  readonly #held = new Map<number, number>()
  /** What those bids would cost at their full price: smooth budgets hold less. */
  readonly #priced = new Map<number, number>()
  /** Of those buckets, the first. */
  #firstBucket = Number.POSITIVE_INFINITY
  #heldNanos = 0
  /** Given to each bid thread, which may hold it at any time until it says more. */
  readonly #shared = new Map<number, number>()
  #sharedNanos = 0
  /** Booked in closed buckets, as the ledger said. */
  #bookedNanos = 0
  #closedThrough = 0
  #returned = false

  constructor(terms: LeaseTerms) {
    this.terms = terms
    this.#amountNanos = terms.amountNanos
    this.#endMs = terms.endMs
  }

  /** What can still be given to threads. Below 0 where more was booked than held, which only smooth budgets allow. */
  get roomNanos(): number {
    return this.#amountNanos - this.#heldNanos - this.#sharedNanos - this.#bookedNanos
  }

  /** What bids hold, and may hold before their threads have said so. */
  get heldNanos(): number {
    return this.#heldNanos + this.#sharedNanos
  }

  get sharedNanos(): number {
    return this.#sharedNanos
  }

  get closedThrough(): number {
    return this.#closedThrough
  }

  get endMs(): number {
    return this.#endMs
  }

  /** Settled for good: nothing of it is out any more. */
  get isReturned(): boolean {
    return this.#returned
  }

  /** Gives room to a bid thread. Changes the lease. */
  share(thread: number, nanos: number): void {
    assert(nanos > 0 && nanos <= this.roomNanos, 'a lease shares what it has', { nanos, room: this.roomNanos })
    this.#shared.set(thread, this.sharedWith(thread) + nanos)
    this.#sharedNanos += nanos
  }

  /** What a thread has and has not held or returned, as far as it said. */
  sharedWith(thread: number): number {
    return this.#shared.get(thread) ?? 0
  }

  /**
   * A thread has held a part of its share. A bucket that is closed already has only late notices to come.
   * @param pricedNanos the full price of what is held
   */
  hold(thread: number, bucket: number, nanos: number, pricedNanos = nanos): void {
    this.unshare(thread, nanos)
    if (bucket <= this.#closedThrough || this.#returned) return
    this.#held.set(bucket, (this.#held.get(bucket) ?? 0) + nanos)
    this.#priced.set(bucket, (this.#priced.get(bucket) ?? 0) + pricedNanos)
    this.#firstBucket = Math.min(this.#firstBucket, bucket)
    this.#heldNanos += nanos
  }

  /** A thread gives a part of its share back. */
  unshare(thread: number, nanos: number): void {
    const left = this.sharedWith(thread) - nanos
    assert(left >= 0, 'a thread has no more than it was given', { thread, nanos, left })
    if (left === 0) this.#shared.delete(thread)
    else this.#shared.set(thread, left)
    this.#sharedNanos -= nanos
  }

  /** A thread ended without a word: whatever it had may be held for bids that it made in its last moments. */
  threadLost(thread: number, expiresMs: number): void {
    const { startMs, bucketMs } = this.terms
    this.hold(thread, bucketAt(expiresMs, startMs, bucketMs), this.sharedWith(thread))
  }

  /** Ends the lease now; its open holds stay. */
  end(nowMs: number): void {
    this.#endMs = Math.min(this.#endMs, nowMs)
  }

  /**
   * What to tell the ledger: buckets that are over are closed, and a lease that has ended gives back what it cannot
   * need. The lease changes only when the answer comes.
   * @param mayClose false while tasks may still have bookings to repeat; see TaskLedger
   * @returns undefined when there is nothing to tell. Cost: O(1), of a lease that has ended O(open buckets).
   */
  settlement(nowMs: number, mayClose: boolean): SettleOperation | undefined {
    if (this.#returned) return undefined
    const { lease, accounts, startMs, bucketMs, graceMs } = this.terms
    const over = mayClose ? Math.floor((nowMs - graceMs - startMs) / bucketMs) : this.#closedThrough
    const ended = nowMs >= this.#endMs
    const closes = this.#firstBucket <= over
    if (!closes && !ended) return undefined
    const isOpen = () => this.#sharedNanos > 0 || [...this.#held.keys()].some(bucket => bucket > over)
    if (ended && mayClose && !isOpen())
      return { kind: 'settle', lease, accounts, closedThrough: ALL_BUCKETS, amountNanos: 0 }
    if (!closes && !(ended && this.roomNanos > 0)) return undefined
    const closedThrough = Math.max(over, this.#closedThrough)
    const amountNanos = ended ? this.#amountNanos - Math.max(0, this.roomNanos) : this.#amountNanos
    return { kind: 'settle', lease, accounts, closedThrough, amountNanos }
  }

  /**
   * Takes the answer to a settlement: what was booked in all closed buckets, −1 when the lease is returned.
   * @returns the full price of what was held in the buckets that it closed, and what was booked in them
   */
  settled(
    { closedThrough, amountNanos }: SettleOperation,
    bookedNanos: number,
  ): { readonly pricedNanos: number; readonly bookedNanos: number } {
    if (closedThrough === ALL_BUCKETS || bookedNanos < 0) {
      this.#returned = true
      return { pricedNanos: 0, bookedNanos: 0 }
    }
    this.#amountNanos = Math.min(this.#amountNanos, amountNanos)
    const bookedBefore = this.#bookedNanos
    // Never less than it once was: a ledger that went back in time may not have been brought forward by all tasks.
    this.#bookedNanos = Math.max(this.#bookedNanos, bookedNanos)
    this.#closedThrough = Math.max(this.#closedThrough, closedThrough)
    let [heldNanos, pricedNanos] = [0, 0]
    this.#firstBucket = Number.POSITIVE_INFINITY
    for (const [bucket, nanos] of this.#held) {
      if (bucket > closedThrough) {
        this.#firstBucket = Math.min(this.#firstBucket, bucket)
        continue
      }
      heldNanos += nanos
      pricedNanos += this.#priced.get(bucket) ?? 0
      this.#held.delete(bucket)
      this.#priced.delete(bucket)
    }
    this.#heldNanos -= heldNanos
    return { pricedNanos, bookedNanos: this.#bookedNanos - bookedBefore }
  }

  /** The ledger's memory is lost: of this lease only what is held can still be billed, and nothing more is held. */
  freeze(nowMs: number): void {
    this.end(nowMs)
    this.#amountNanos = this.heldNanos
    this.#bookedNanos = 0
  }
}
