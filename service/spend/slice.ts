/**
 * What one task may spend on one line item with a budget: its leases, when it asks for the next one and how much, and
 * what its bid threads get of them. While the budget is far from its end leases cover at least half of the longest
 * lease's time at any moment, so that losing the cache stops no bids; near the end only a part of what is left, for
 * seconds, so that other tasks get theirs.
 */
import { Lease } from './lease.ts'
import type { AccountLimit, Done, LeaseOperation } from './ledger.ts'
import type { TaskLedger } from './task-ledger.ts'

/** Times and shares by which leases are made. */
export interface LeaseRules {
  readonly leaseMsMin: number
  readonly leaseMsMax: number
  readonly bucketMs: number
  readonly graceMs: number
  /** The longest that a bid can be held. */
  readonly holdMsMax: number
  /** What the clocks of task and ledger may differ by, over one lease. */
  readonly clockAllowanceMs: number
  /** One lease takes at most one such part of what is left. */
  readonly parts: number
  /** A thread is given what it holds in so long. */
  readonly shareMs: number
}

/** How long after its grant a lease counts as abandoned. */
export function abandonedAfterMs({ leaseMsMax, holdMsMax, bucketMs, graceMs, clockAllowanceMs }: LeaseRules): number {
  return leaseMsMax + holdMsMax + bucketMs + graceMs + clockAllowanceMs
}

/** After the ledger's whole memory was lost: until all holds of tasks that cannot witness are over. */
export function opensAfterMs({ holdMsMax, bucketMs, graceMs }: LeaseRules): number {
  return holdMsMax + bucketMs + 2 * graceMs
}

/** After that, too: until all tasks that reach the ledger have told what they know, and bookings count again. */
export function booksAfterMs({ graceMs }: LeaseRules): number {
  return 2 * graceMs
}

/** What a slice's leases are made for. It changes with the documents and with the day. */
export interface SliceTerms {
  readonly accounts: readonly AccountLimit[]
  /** What one bid of quantity 1 holds, at most. */
  readonly priceNanosMax: number
  /** A strict budget always holds the full price. */
  readonly isStrict: boolean
  /** No lease goes on after this: the day's end, on the task's clock. */
  readonly endsMs: number
}

/** What a slice is made of. */
export interface SliceOptions {
  readonly rules: LeaseRules
  readonly ledger: TaskLedger
  /** Bid threads of the task. */
  readonly threads: number
  /** A name that no lease ever had. */
  readonly newLease: () => string
}

/** A smooth budget holds full prices for this last part of it. */
const FULL_PRICE_PART = 0.1
/** Rates are smoothed over some ten seconds of looks. */
const SMOOTHING = 0.1
const RETRY_MS_MAX = 60_000
/** Where what leases have lies in pieces that hold no bid, the next one is asked for after so long. */
const SHORT_MS = 1_000
/** A lease has this many shares of a thread whose demand is not known yet. */
const BURST_SHARES = 10
/** What bids cost on average is held with so much more, and never less than so much of the price. */
const HOLD_MARGIN = 1.25
const HOLD_PART_MIN = 0.02

/** The permission of one task for one line item. */
export class Slice {
  readonly #options: SliceOptions
  #terms: SliceTerms
  #leases: Lease[] = []
  readonly #settling = new Set<Lease>()
  #isAsking = false
  #asksFromMs = Number.NEGATIVE_INFINITY
  /** In the narrowest account, as the ledger last said; unknown at first. */
  #leftNanos = Number.POSITIVE_INFINITY
  #heldSinceLook = 0
  /** When a thread last held or wanted something. */
  #usedMs = Number.NEGATIVE_INFINITY
  #lookedMs = Number.NaN
  /** Nanos per millisecond that bids hold. */
  #demand = 0
  /** When more was last asked for because what is there is short. */
  #shortMs = Number.NEGATIVE_INFINITY
  #stopped = false
  /** What a thread is given beyond its demand, because it wanted more than it had. */
  #burstNanos = 0
  /** What the largest bid of late holds: quantities make it several prices. */
  #largestNanos: number
  /** Leases in a row that were asked for and not granted. */
  #refusals = 0
  /** What was booked of what bids would have held at full price, smoothed. */
  #bookedPart = 1

  constructor(terms: SliceTerms, options: SliceOptions) {
    this.#terms = terms
    this.#largestNanos = terms.priceNanosMax
    this.#options = options
  }

  get terms(): SliceTerms {
    return this.#terms
  }

  /** Leases that are not returned. */
  get leases(): readonly Lease[] {
    return this.#leases
  }

  /** The ledger has granted or refused what was asked for. */
  get hasAnswer(): boolean {
    return !this.#isAsking
  }

  /** Has no lease and asks for none. */
  get isIdle(): boolean {
    return this.#leases.length === 0 && !this.#isAsking
  }

  get isStopped(): boolean {
    return this.#stopped
  }

  /** The part of a price that a bid holds: all, or while a smooth budget is far from its end what bids cost. */
  get holdPart(): number {
    const { isStrict, accounts } = this.#terms
    const narrowest = Math.min(...accounts.map(({ limitNanos }) => limitNanos))
    const isFar = this.#leftNanos >= narrowest * FULL_PRICE_PART && this.#leftNanos < Number.POSITIVE_INFINITY
    return isStrict || !isFar ? 1 : Math.min(1, Math.max(HOLD_PART_MIN, this.#bookedPart * HOLD_MARGIN))
  }

  /** Other limits, another price or another day: what is leased on the old terms ends. */
  change(terms: SliceTerms, nowMs: number): void {
    this.#terms = terms
    this.#largestNanos = terms.priceNanosMax
    this.#stopped = false
    this.#leftNanos = Number.POSITIVE_INFINITY
    this.#asksFromMs = Number.NEGATIVE_INFINITY
    this.#refusals = 0
    for (const lease of this.#leases) lease.end(nowMs)
  }

  /** The day ends at another moment than was thought, because the wall clock was set. */
  endAt(endsMs: number): void {
    if (Math.abs(endsMs - this.#terms.endsMs) >= 1) this.#terms = { ...this.#terms, endsMs }
  }

  /**
   * Room for a thread that bids, enough for a moment.
   * @returns the lease and how much of it, which is the thread's from now on; undefined when there is no room
   */
  share(thread: number, nowMs: number): { readonly lease: Lease; readonly nanos: number } | undefined {
    const { rules, threads } = this.#options
    const largestNanos = this.#largestNanos
    const wantedNanos = Math.max(largestNanos, Math.ceil(this.#demand * rules.shareMs), this.#burstNanos)
    for (const lease of this.#leases) {
      if (lease.endMs <= nowMs || lease.roomNanos < this.#terms.priceNanosMax) continue
      const lackNanos = wantedNanos - lease.sharedWith(thread)
      if (lackNanos <= 0) return undefined
      // The last of it goes in prices, so that each thread gets some.
      const fair = Math.max(largestNanos, Math.floor(lease.roomNanos / (2 * threads)))
      const nanos = Math.min(lackNanos, fair, lease.roomNanos)
      lease.share(thread, nanos)
      return { lease, nanos }
    }
    return undefined
  }

  /** A thread has held a part of what it was given. */
  hold(lease: Lease, thread: number, bucket: number, nanos: number): void {
    lease.hold(thread, bucket, nanos, nanos / this.holdPart)
    this.#heldSinceLook += nanos
  }

  /** A thread could not hold so much for one bid: quantities make a bid cost several prices. */
  want(nanos: number, nowMs: number): void {
    this.#usedMs = nowMs
    const narrowest = Math.min(...this.#terms.accounts.map(({ limitNanos }) => limitNanos))
    // No lease can ever hold it, and one that tries has all that is left.
    if (nanos > narrowest) return
    this.#largestNanos = Math.max(this.#largestNanos, nanos)
    // Demand is known only from what could be held: as long as that is too little, twice as much is given each time.
    this.#burstNanos = Math.min(narrowest, Math.max(this.#largestNanos, 2 * this.#burstNanos))
    if (!this.#hasRoom(nowMs)) this.#ask(nowMs, this.#isShort(nowMs))
  }

  /**
   * What leases have lies in pieces that hold no bid, or with other threads: then more is asked for although it looks
   * like enough, once a second, and not for a bid of so many prices that a lease would take too much for it.
   */
  #isShort(nowMs: number): boolean {
    const { rules } = this.#options
    const isUsual = this.#largestNanos <= Math.max(this.#terms.priceNanosMax, this.#leftNanos / rules.parts)
    return isUsual && nowMs - this.#shortMs >= SHORT_MS
  }

  #hasRoom(nowMs: number): boolean {
    return this.#leases.some(lease => lease.endMs > nowMs && lease.roomNanos >= this.#largestNanos)
  }

  /** Settles what is over and asks for what is needed; some once a second. Cost: O(leases and their buckets). */
  look(nowMs: number): void {
    this.#measure(nowMs)
    if (this.#leases.some(lease => lease.isReturned)) this.#leases = this.#leases.filter(lease => !lease.isReturned)
    for (const lease of this.#leases) this.#settle(lease, nowMs)
    // What nobody bids with is not leased again.
    if (nowMs - this.#usedMs < this.#options.rules.leaseMsMax) this.#ask(nowMs)
  }

  #settle(lease: Lease, nowMs: number): void {
    const { ledger } = this.#options
    const operation = this.#settling.has(lease) ? undefined : lease.settlement(nowMs, ledger.mayClose(nowMs))
    if (operation === undefined) return
    this.#settling.add(lease)
    ledger.add(operation, answer => {
      this.#settling.delete(lease)
      if (answer === undefined) return
      const closed = lease.settled(operation, answer.nanos)
      if (closed.pricedNanos > 0) this.#learn(closed.bookedNanos / closed.pricedNanos)
    })
  }

  /** No more leases; what is not held goes back at the next looks. */
  stop(nowMs: number): void {
    this.#stopped = true
    for (const lease of this.#leases) lease.end(nowMs)
  }

  /** @param part booked ÷ full price of what was held in buckets that were closed */
  #learn(part: number): void {
    this.#bookedPart += (Math.min(1, part) - this.#bookedPart) * SMOOTHING
  }

  #measure(nowMs: number): void {
    if (this.#heldSinceLook > 0) this.#usedMs = nowMs
    const elapsedMs = nowMs - this.#lookedMs
    this.#lookedMs = nowMs
    if (elapsedMs > 0) this.#demand += (this.#heldSinceLook / elapsedMs - this.#demand) * SMOOTHING
    this.#heldSinceLook = 0
    this.#burstNanos = Math.floor(this.#burstNanos / 2)
    this.#largestNanos = Math.max(this.#terms.priceNanosMax, Math.floor(this.#largestNanos / 2))
  }

  /** What leases have that have not ended, in whatever pieces. */
  #roomNanos(nowMs: number): number {
    let nanos = 0
    for (const lease of this.#leases) if (lease.endMs > nowMs) nanos += lease.sharedNanos + Math.max(0, lease.roomNanos)
    return nanos
  }

  /** What leases have for bids at that pace (nanos per millisecond) before each of them ends, the first first. */
  #usableNanos(nowMs: number, pace: number): number {
    let nanos = 0
    for (const lease of this.#leases) {
      const room = lease.sharedNanos + Math.max(0, lease.roomNanos)
      nanos = Math.max(nanos, Math.min(nanos + room, (lease.endMs - nowMs) * pace))
    }
    return nanos
  }

  #ask(nowMs: number, isShort = false): void {
    const { rules, newLease } = this.#options
    const { accounts, endsMs, priceNanosMax } = this.#terms
    const largestNanos = this.#largestNanos
    if (this.#isAsking || this.#stopped || nowMs < this.#asksFromMs || nowMs >= endsMs) return
    const share = this.#leftNanos === Number.POSITIVE_INFINITY ? 0 : Math.floor(this.#leftNanos / rules.parts)
    const planMs = Math.min(rules.leaseMsMax, endsMs - nowMs)
    const plan = Math.max(Math.ceil(this.#demand * planMs), BURST_SHARES * this.#burstNanos)
    const wantedNanos = Math.max(largestNanos, Math.min(plan, share))
    const coversMs = this.#demand === 0 ? rules.leaseMsMax : wantedNanos / this.#demand
    const lastsMs = Math.min(rules.leaseMsMax, Math.max(rules.leaseMsMin, coversMs), endsMs - nowMs)
    const usableNanos = this.#usableNanos(nowMs, wantedNanos / lastsMs)
    if (!isShort && usableNanos * 2 >= wantedNanos && this.#roomNanos(nowMs) >= largestNanos) return
    if (isShort) this.#shortMs = nowMs
    const operation: LeaseOperation = {
      kind: 'lease',
      lease: newLease(),
      accounts,
      wantedNanos: Math.max(largestNanos, Math.ceil(wantedNanos - usableNanos)),
      // What is left may be too little for the largest bid, and still enough for others.
      leastNanos: priceNanosMax,
      abandonedAfterMs: abandonedAfterMs(rules),
      again: false,
    }
    this.#isAsking = true
    const endMs = nowMs + lastsMs
    this.#options.ledger.add(operation, answer => this.#granted(operation, answer, { startMs: nowMs, endMs }))
  }

  #granted(operation: LeaseOperation, answer: Done | undefined, times: { startMs: number; endMs: number }): void {
    const { rules } = this.#options
    const { startMs, endMs } = times
    this.#isAsking = false
    if (answer === undefined) return
    this.#leftNanos = answer.leftNanos
    if (answer.nanos <= 0) {
      // What others give back, or what expires, may leave some later; ever less likely.
      this.#asksFromMs = startMs + Math.min(RETRY_MS_MAX, rules.leaseMsMin * 2 ** Math.min(8, this.#refusals++))
      return
    }
    this.#refusals = 0
    const isOld = this.#stopped || operation.accounts !== this.#terms.accounts
    const lease = new Lease({
      lease: operation.lease,
      accounts: operation.accounts.map(({ account }) => account),
      amountNanos: answer.nanos,
      startMs,
      endMs: isOld ? startMs : endMs,
      bucketMs: rules.bucketMs,
      graceMs: rules.graceMs,
    })
    this.#leases.push(lease)
    // Asked on terms that are no more: it goes back at once, because a task that stops may look no more.
    if (isOld) this.#settle(lease, startMs)
  }
}
