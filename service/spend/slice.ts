/**
 * What one task may spend on one line item with a budget: its leases, when it asks for the next one and how much. While
 * the budget is far from its end a lease covers some 15 minutes, so that losing the cache stops no bids; near the end
 * only a part of what is left, for seconds, so that other tasks get theirs.
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
}

/** How long after its grant a lease counts as abandoned. */
export function abandonedAfterMs({ leaseMsMax, holdMsMax, bucketMs, graceMs, clockAllowanceMs }: LeaseRules): number {
  return leaseMsMax + holdMsMax + bucketMs + graceMs + clockAllowanceMs
}

/** A hold: what the notice token needs to say of it. */
export interface Hold {
  readonly lease: string
  readonly bucket: number
}

/** What a slice is made of. */
export interface SliceOptions {
  readonly accounts: readonly AccountLimit[]
  /** A hold of one bid, at most. */
  readonly priceNanosMax: number
  /** A strict budget always holds the full price. */
  readonly isStrict: boolean
  readonly rules: LeaseRules
  readonly ledger: TaskLedger
  /** A name that no lease ever had. */
  readonly newLease: () => string
}

/** A smooth budget holds full prices for this last part of it. */
const FULL_PRICE_PART = 0.1
/** Rates are smoothed over some ten seconds of looks. */
const SMOOTHING = 0.1

/** The permission of one task for one line item. */
export class Slice {
  readonly #options: SliceOptions
  #leases: Lease[] = []
  readonly #settling = new Set<Lease>()
  #isAsking = false
  #asksFromMs = Number.NEGATIVE_INFINITY
  /** In the narrowest account, as the ledger last said; unknown at first. */
  #leftNanos = Number.POSITIVE_INFINITY
  #heldSinceLook = 0
  #lookedMs = Number.NaN
  /** Nanos per millisecond that bids hold. */
  #demand = 0
  #stopped = false
  readonly #fullPriceBelowNanos: number

  constructor(options: SliceOptions) {
    this.#options = options
    const limits = options.accounts.map(({ limitNanos }) => limitNanos)
    this.#fullPriceBelowNanos = Math.min(...limits) * FULL_PRICE_PART
  }

  /** Leases that are not returned. */
  get leases(): readonly Lease[] {
    return this.#leases
  }

  /** What to hold for a bid: the price, or while a smooth budget is far from its end what it costs on average. */
  holdNanos(priceNanos: number, winProbability: number): number {
    const isFar = this.#leftNanos >= this.#fullPriceBelowNanos && this.#leftNanos < Number.POSITIVE_INFINITY
    return this.#options.isStrict || !isFar ? priceNanos : Math.ceil(priceNanos * winProbability)
  }

  /** Holds an amount for one bid. @returns undefined when no lease has room: then there is no bid. Cost: O(leases). */
  hold(nanos: number, nowMs: number, holdMs: number): Hold | undefined {
    this.#heldSinceLook += nanos
    for (const lease of this.#leases) {
      const bucket = lease.hold(nanos, nowMs, nowMs + holdMs)
      if (bucket >= 0) return { lease: lease.terms.lease, bucket }
    }
    return undefined
  }

  /** Settles what is over and asks for what is needed; some once a second. Cost: O(leases and their buckets). */
  look(nowMs: number): void {
    const { ledger } = this.#options
    this.#measure(nowMs)
    this.#leases = this.#leases.filter(lease => !lease.isReturned)
    for (const lease of this.#leases) {
      if (this.#settling.has(lease)) continue
      const operation = lease.settlement(nowMs, ledger.mayClose(nowMs))
      if (operation === undefined) continue
      this.#settling.add(lease)
      ledger.add(operation, answer => {
        this.#settling.delete(lease)
        if (answer !== undefined) lease.settled(operation, answer.nanos)
      })
    }
    if (!this.#isAsking && !this.#stopped && nowMs >= this.#asksFromMs) this.#ask(nowMs)
  }

  /** No more holds; what is not held goes back at the next look. */
  stop(nowMs: number): void {
    this.#stopped = true
    for (const lease of this.#leases) lease.end(nowMs)
  }

  #measure(nowMs: number): void {
    const elapsedMs = nowMs - this.#lookedMs
    this.#lookedMs = nowMs
    if (elapsedMs > 0) this.#demand += (this.#heldSinceLook / elapsedMs - this.#demand) * SMOOTHING
    this.#heldSinceLook = 0
  }

  #ask(nowMs: number): void {
    const { accounts, priceNanosMax, rules, newLease } = this.#options
    const share = this.#leftNanos === Number.POSITIVE_INFINITY ? 0 : Math.floor(this.#leftNanos / rules.parts)
    const plan = Math.ceil(this.#demand * rules.leaseMsMax)
    const wantedNanos = Math.max(priceNanosMax, Math.min(plan, share))
    // A lease that ends soon does not count: the next one takes over without a gap.
    const soonMs = nowMs + rules.leaseMsMin / 2
    let roomNanos = 0
    for (const lease of this.#leases) if (lease.endMs > soonMs) roomNanos += Math.max(0, lease.roomNanos)
    if (roomNanos * 2 >= wantedNanos && roomNanos >= priceNanosMax) return
    const coversMs = this.#demand === 0 ? rules.leaseMsMax : wantedNanos / this.#demand
    const lastsMs = Math.min(rules.leaseMsMax, Math.max(rules.leaseMsMin, coversMs))
    const operation: LeaseOperation = {
      kind: 'lease',
      lease: newLease(),
      accounts,
      wantedNanos,
      leastNanos: priceNanosMax,
      abandonedAfterMs: abandonedAfterMs(rules),
      again: false,
    }
    this.#isAsking = true
    this.#options.ledger.add(operation, answer => this.#granted(operation, answer, { startMs: nowMs, lastsMs }))
  }

  #granted(operation: LeaseOperation, answer: Done | undefined, times: { startMs: number; lastsMs: number }): void {
    const { rules } = this.#options
    const { startMs, lastsMs } = times
    this.#isAsking = false
    if (answer === undefined) return
    this.#leftNanos = answer.leftNanos
    if (answer.nanos <= 0) {
      // What others give back, or what expires, may leave some later.
      this.#asksFromMs = startMs + rules.leaseMsMin
      return
    }
    this.#leases.push(
      new Lease({
        lease: operation.lease,
        accounts: operation.accounts.map(({ account }) => account),
        amountNanos: answer.nanos,
        startMs,
        endMs: this.#stopped ? startMs : startMs + lastsMs,
        bucketMs: rules.bucketMs,
        graceMs: rules.graceMs,
      }),
    )
  }
}
