/**
 * What one bid thread may hold: parts of leases that the control thread gave it. Holding is a subtraction; what was
 * held is told to the control thread in one piece some times a second.
 */
import { bucketAt } from './lease.ts'

/** A part of a lease, as it is given to a thread. Instants are monotonic milliseconds. */
export interface Share {
  readonly slice: number
  /** Names the lease between the threads of a task. */
  readonly leaseNumber: number
  /** The lease's name in the ledger, for tokens. */
  readonly lease: string
  /** Whole days since 1970 on which it is booked, see accountsOf. */
  readonly day: number
  readonly nanos: number
  readonly startMs: number
  readonly endMs: number
  readonly bucketMs: number
  /** The part of a price that a bid holds: 1, or less for a smooth budget that is far from its end. */
  readonly holdPart: number
}

/** What the control thread has to say: new shares, more of leases that the thread has, and leases to give back. */
export interface SharesMessage {
  readonly shares: readonly Share[]
  /**
   * Lease, nanos and Share.holdPart of each, one after another: nearly every bid is followed by one, and a share as an
   * object takes both threads 1.1 µs to pass on, as numbers 0.03.
   */
  readonly more: Float64Array
  /** Leases whose rest is to come back. */
  readonly recalled: ReadonlySet<number>
}

/** What a thread has to say. Numbers are leases by number; a lease and bucket may come more than once. */
export interface SharesReport {
  /** Lease, bucket and nanos of each, one after another. */
  readonly held: Float64Array
  /** Lease and nanos of each. */
  readonly returned: Float64Array
  /** Slices of which a bid could not be held, and the nanos of the largest one, of each. */
  readonly wanted: Float64Array
  /** The thread ends: it holds nothing more, whatever it is still given. */
  readonly isLast: boolean
}

/** Columns of a part, which is one cache line: its share of a lease. */
const NANOS = 0
const END_MS = 1
const START_MS = 2
const BUCKET_MS = 3
/** The same in all parts of a slice: its newest share said it. */
const HOLD_PART = 4
const LEASE_NUMBER = 5
/** Where its last hold lies among those that are not told yet, if it does; else NONE. */
const HELD_AT = 6
/** The slice's next part, or NONE. */
const NEXT = 7
const COLUMNS = 8
const NONE = -1
const PARTS_AT_FIRST = 256

/** The shares of one bid thread. Every method but `covers` changes it. No cost grows with the slices that it has. */
export class Shares {
  /** The first part of each slice, or NONE. Ones that are not here have none. */
  #first = new Int32Array(PARTS_AT_FIRST).fill(NONE)
  /** Parts one after another: in objects, a bid reads eight places of memory, which nobody else has kept warm. */
  #parts = new Float64Array(PARTS_AT_FIRST * COLUMNS)
  /** By part: what tokens say of it. */
  readonly #leases: string[] = []
  readonly #days: number[] = []
  readonly #sliceOf: number[] = []
  /** By number of the lease: where its part begins. */
  readonly #partOf = new Map<number, number>()
  /** Parts that were given back. */
  readonly #free: number[] = []
  readonly #wanted = new Map<number, number>()
  /** What the next report says. */
  #held: number[] = []
  #returned: number[] = []
  #nowMs = 0
  /** How often there was more to hold than before: shares that were given, and holds that were released. */
  increases = 0
  /** Of the last hold: what its notices say. */
  lease = ''
  bucket = 0
  day = 0

  /** Does what the control thread says. Cost: O(what it says). */
  take({ shares, more, recalled }: SharesMessage): void {
    for (const share of shares) this.give(share)
    for (let i = 0; i < more.length; i += 3)
      this.#giveMore(more[i] as number, more[i + 1] as number, more[i + 2] as number)
    this.recall(recalled)
  }

  /** More of a lease; what it has no share of goes back. */
  #giveMore(leaseNumber: number, nanos: number, holdPart: number): void {
    const part = this.#partOf.get(leaseNumber)
    if (part === undefined) {
      this.#returned.push(leaseNumber, nanos)
      return
    }
    this.increases++
    this.#parts[part + NANOS]! += nanos
    this.#holdOnly(this.#sliceOf[part / COLUMNS]!, holdPart)
  }

  /** From now on bids of a slice hold that part of their price. Cost: O(parts of the slice), which are few. */
  #holdOnly(slice: number, holdPart: number): void {
    for (let part = this.#first[slice]!; part !== NONE; part = this.#parts[part + NEXT]!)
      this.#parts[part + HOLD_PART] = holdPart
  }

  /** Takes a share. */
  give(share: Share): void {
    const { slice, leaseNumber, nanos, holdPart } = share
    const known = this.#partOf.get(leaseNumber)
    if (known !== undefined) {
      this.#giveMore(leaseNumber, nanos, holdPart)
      return
    }
    this.increases++
    const part = this.#room()
    const { lease, day, startMs, endMs, bucketMs } = share
    this.#parts.set([nanos, endMs, startMs, bucketMs, holdPart, leaseNumber, NONE, NONE], part)
    this.#leases[part / COLUMNS] = lease
    this.#days[part / COLUMNS] = day
    this.#sliceOf[part / COLUMNS] = slice
    this.#partOf.set(leaseNumber, part)
    this.#append(slice, part)
    this.#holdOnly(slice, holdPart)
  }

  /** Where a part may be put. Amortised O(1). */
  #room(): number {
    const free = this.#free.pop()
    if (free !== undefined) return free
    const end = this.#leases.length * COLUMNS
    if (end === this.#parts.length) {
      const larger = new Float64Array(2 * end)
      larger.set(this.#parts)
      this.#parts = larger
    }
    return end
  }

  /** The newest part is held last. Cost: O(parts of the slice), which are few. */
  #append(slice: number, part: number): void {
    if (slice >= this.#first.length) {
      const larger = new Int32Array(Math.max(2 * this.#first.length, slice + 1)).fill(NONE)
      larger.set(this.#first)
      this.#first = larger
    }
    let last = this.#first[slice]!
    if (last === NONE) {
      this.#first[slice] = part
      return
    }
    while (this.#parts[last + NEXT]! !== NONE) last = this.#parts[last + NEXT]!
    this.#parts[last + NEXT] = part
  }

  /** What is not held of these leases goes back with the next report. Cost: O(leases). */
  recall(leaseNumbers: Iterable<number>): void {
    for (const leaseNumber of leaseNumbers) {
      const part = this.#partOf.get(leaseNumber)
      if (part === undefined) continue
      this.#partOf.delete(leaseNumber)
      const nanos = this.#parts[part + NANOS]!
      if (nanos > 0) this.#returned.push(leaseNumber, nanos)
      this.#remove(part)
    }
  }

  #remove(part: number): void {
    const parts = this.#parts
    const slice = this.#sliceOf[part / COLUMNS]!
    const next = parts[part + NEXT]!
    if (this.#first[slice] === part) this.#first[slice] = next
    else {
      let before = this.#first[slice]!
      while (parts[before + NEXT] !== part) before = parts[before + NEXT]!
      parts[before + NEXT] = next
    }
    this.#free.push(part)
  }

  /** Whether a bid of this price could be held, by the time of the last report. */
  covers(slice: number, priceNanos: number): boolean {
    return this.#partFor(slice, priceNanos, this.#nowMs) !== NONE
  }

  /** The oldest part that has room, or NONE. */
  #partFor(slice: number, priceNanos: number, nowMs: number): number {
    const parts = this.#parts
    if (slice >= this.#first.length) return NONE
    let part = this.#first[slice]!
    while (part !== NONE) {
      const nanos = Math.ceil(priceNanos * parts[part + HOLD_PART]!)
      if (parts[part + NANOS]! >= nanos && parts[part + END_MS]! > nowMs) return part
      part = parts[part + NEXT]!
    }
    return NONE
  }

  /**
   * Holds a bid's price until it expires. Then `lease`, `bucket` and `day` are those of the hold.
   * @returns false when no part has room: then there must be no bid
   */
  hold(slice: number, priceNanos: number, nowMs: number, holdMs: number): boolean {
    const part = this.#partFor(slice, priceNanos, nowMs)
    if (part === NONE) {
      this.want(slice, priceNanos)
      return false
    }
    const parts = this.#parts
    const nanos = Math.ceil(priceNanos * parts[part + HOLD_PART]!)
    const bucket = bucketAt(nowMs + holdMs, parts[part + START_MS]!, parts[part + BUCKET_MS]!)
    parts[part + NANOS]! -= nanos
    this.#note(part, bucket, nanos)
    this.lease = this.#leases[part / COLUMNS]!
    this.bucket = bucket
    this.day = this.#days[part / COLUMNS]!
    return true
  }

  /**
   * There is no bid of this price after all: what it held is free again. Only for a hold that no report has told of.
   * Cost: O(what is not told)
   */
  release(
    slice: number,
    priceNanos: number,
    { lease, bucket }: { readonly lease: string; readonly bucket: number },
  ): void {
    const parts = this.#parts
    let part = this.#first[slice] ?? NONE
    while (part !== NONE && this.#leases[part / COLUMNS] !== lease) part = parts[part + NEXT]!
    if (part === NONE) return
    const leaseNumber = parts[part + LEASE_NUMBER]!
    const nanos = Math.ceil(priceNanos * parts[part + HOLD_PART]!)
    const held = this.#held
    for (let at = held.length - 3; at >= 0; at -= 3) {
      if (held[at] !== leaseNumber || held[at + 1] !== bucket || held[at + 2]! < nanos) continue
      held[at + 2]! -= nanos
      parts[part + NANOS]! += nanos
      this.increases++
      return
    }
  }

  /** Most holds of a lease between two reports expire in one bucket, and are one sum. */
  #note(part: number, bucket: number, nanos: number): void {
    const held = this.#held
    const at = this.#parts[part + HELD_AT]!
    const leaseNumber = this.#parts[part + LEASE_NUMBER]!
    if (at >= 0 && held[at] === leaseNumber && held[at + 1] === bucket) {
      held[at + 2]! += nanos
      return
    }
    this.#parts[part + HELD_AT] = held.length
    held.push(leaseNumber, bucket, nanos)
  }

  /** A bid of this price could not be held: more is wanted. */
  want(slice: number, nanos: number): void {
    const known = this.#wanted.get(slice) ?? 0
    if (nanos > known) this.#wanted.set(slice, nanos)
  }

  /** What happened since the last report; undefined for nothing. Cost: O(what happened). */
  report(nowMs: number): SharesReport | undefined {
    this.#nowMs = nowMs
    return this.#held.length + this.#returned.length + this.#wanted.size === 0 ? undefined : this.#tell(false)
  }

  /** The last report: everything that is not held goes back, and nothing can be held after it. */
  close(): SharesReport {
    this.recall([...this.#partOf.keys()])
    this.#wanted.clear()
    return this.#tell(true)
  }

  #tell(isLast: boolean): SharesReport {
    const held = Float64Array.from(this.#held)
    const returned = Float64Array.from(this.#returned)
    const wanted = Float64Array.from([...this.#wanted].flat())
    this.#held = []
    this.#returned = []
    this.#wanted.clear()
    return { held, returned, wanted, isLast }
  }
}
