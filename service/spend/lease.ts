/**
 * A lease as the task that has it sees it: what may still be held, and what is held by expiry bucket. Every bid holds
 * its price until its bucket is over; what was not billed by then is free again only after the ledger has closed the
 * bucket and said what was booked in it. Instants are monotonic milliseconds of the task, so no wall clock matters.
 */
import { ALL_BUCKETS, type SettleOperation } from './ledger.ts'

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
  #heldNanos = 0
  /** Booked in closed buckets, as the ledger said. */
  #bookedNanos = 0
  #closedThrough = 0
  #returned = false

  constructor(terms: LeaseTerms) {
    this.terms = terms
    this.#amountNanos = terms.amountNanos
    this.#endMs = terms.endMs
  }

  /** What can still be held. Below 0 where more was booked than held, which only smooth budgets allow. */
  get roomNanos(): number {
    return this.#amountNanos - this.#heldNanos - this.#bookedNanos
  }

  get heldNanos(): number {
    return this.#heldNanos
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

  /**
   * Holds an amount until an instant. Changes the lease.
   * @returns the expiry bucket for the notice token, or −1 when the lease has ended or has not this much room
   */
  hold(nanos: number, nowMs: number, expiresMs: number): number {
    if (nowMs >= this.#endMs || this.#returned || nanos > this.roomNanos) return -1
    const bucket = Math.max(this.#closedThrough + 1, Math.ceil((expiresMs - this.terms.startMs) / this.terms.bucketMs))
    this.#held.set(bucket, (this.#held.get(bucket) ?? 0) + nanos)
    this.#heldNanos += nanos
    return bucket
  }

  /** Ends the lease now; its open holds stay. */
  end(nowMs: number): void {
    this.#endMs = Math.min(this.#endMs, nowMs)
  }

  /**
   * What to tell the ledger: buckets that are over are closed, and a lease that has ended gives back what it cannot
   * need. The lease changes only when the answer comes.
   * @param mayClose false while tasks may still have bookings to repeat; see TaskLedger
   * @returns undefined when there is nothing to tell. Cost: O(open buckets).
   */
  settlement(nowMs: number, mayClose: boolean): SettleOperation | undefined {
    if (this.#returned) return undefined
    const { lease, accounts, startMs, bucketMs, graceMs } = this.terms
    const over = mayClose ? Math.floor((nowMs - graceMs - startMs) / bucketMs) : this.#closedThrough
    const ended = nowMs >= this.#endMs
    const open = [...this.#held.keys()].some(bucket => bucket > over)
    if (ended && !open && mayClose)
      return { kind: 'settle', lease, accounts, closedThrough: ALL_BUCKETS, amountNanos: 0 }
    const closes = [...this.#held.keys()].some(bucket => bucket <= over)
    if (!closes && !(ended && this.roomNanos > 0)) return undefined
    const closedThrough = Math.max(over, this.#closedThrough)
    const amountNanos = ended ? this.#amountNanos - Math.max(0, this.roomNanos) : this.#amountNanos
    return { kind: 'settle', lease, accounts, closedThrough, amountNanos }
  }

  /** Takes the answer to a settlement: what was booked in all closed buckets, −1 when the lease is returned. */
  settled({ closedThrough, amountNanos }: SettleOperation, bookedNanos: number): void {
    if (closedThrough === ALL_BUCKETS || bookedNanos < 0) {
      this.#returned = true
      return
    }
    this.#amountNanos = Math.min(this.#amountNanos, amountNanos)
    // Never less than it once was: a ledger that went back in time may not have been brought forward by all tasks.
    this.#bookedNanos = Math.max(this.#bookedNanos, bookedNanos)
    this.#closedThrough = Math.max(this.#closedThrough, closedThrough)
    for (const [bucket, nanos] of this.#held) {
      if (bucket > closedThrough) continue
      this.#heldNanos -= nanos
      this.#held.delete(bucket)
    }
  }

  /** The ledger's memory is lost: of this lease only what is held can still be billed, and nothing more is held. */
  freeze(nowMs: number): void {
    this.end(nowMs)
    this.#amountNanos = this.#heldNanos
    this.#bookedNanos = 0
  }
}
