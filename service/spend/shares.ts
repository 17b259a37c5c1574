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

interface Part {
  readonly slice: number
  readonly leaseNumber: number
  readonly lease: string
  readonly day: number
  readonly startMs: number
  readonly bucketMs: number
  readonly endMs: number
  nanos: number
  /** Where its last hold lies among those that are not told yet, if it does. */
  heldAt: number
}

interface SliceParts {
  holdPart: number
  parts: Part[]
}

/** The shares of one bid thread. Every method but `covers` changes it. No cost grows with the slices that it has. */
export class Shares {
  /** By number. */
  readonly #slices: (SliceParts | undefined)[] = []
  /** By number of the lease. */
  readonly #parts = new Map<number, Part>()
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
    const part = this.#parts.get(leaseNumber)
    if (part === undefined) {
      this.#returned.push(leaseNumber, nanos)
      return
    }
    this.increases++
    part.nanos += nanos
    const there = this.#slices[part.slice] as SliceParts
    there.holdPart = holdPart
  }

  /** Takes a share. */
  give(share: Share): void {
    const { slice, leaseNumber, nanos, holdPart } = share
    this.increases++
    let there = this.#slices[slice]
    if (there === undefined) {
      there = { holdPart, parts: [] }
      this.#slices[slice] = there
    }
    there.holdPart = holdPart
    const known = this.#parts.get(leaseNumber)
    if (known !== undefined) {
      known.nanos += nanos
      return
    }
    const { lease, day, startMs, endMs, bucketMs } = share
    const part: Part = { slice, leaseNumber, lease, day, startMs, bucketMs, endMs, nanos, heldAt: -1 }
    this.#parts.set(leaseNumber, part)
    there.parts.push(part)
  }

  /** What is not held of these leases goes back with the next report. Cost: O(leases). */
  recall(leaseNumbers: Iterable<number>): void {
    for (const leaseNumber of leaseNumbers) {
      const part = this.#parts.get(leaseNumber)
      if (part === undefined) continue
      this.#parts.delete(leaseNumber)
      if (part.nanos > 0) this.#returned.push(leaseNumber, part.nanos)
      const there = this.#slices[part.slice] as SliceParts
      if (there.parts.length > 1) there.parts = there.parts.filter(each => each !== part)
      else this.#slices[part.slice] = undefined
    }
  }

  /** Whether a bid of this price could be held, by the time of the last report. */
  covers(slice: number, priceNanos: number): boolean {
    const there = this.#slices[slice]
    if (there !== undefined) {
      const nanos = Math.ceil(priceNanos * there.holdPart)
      for (const part of there.parts) if (part.nanos >= nanos && part.endMs > this.#nowMs) return true
    }
    return false
  }

  /**
   * Holds a bid's price until it expires. Then `lease`, `bucket` and `day` are those of the hold.
   * @returns false when no part has room: then there must be no bid
   */
  hold(slice: number, priceNanos: number, nowMs: number, holdMs: number): boolean {
    const there = this.#slices[slice]
    if (there === undefined) return false
    const nanos = Math.ceil(priceNanos * there.holdPart)
    for (const part of there.parts) {
      if (part.nanos < nanos || part.endMs <= nowMs) continue
      const bucket = bucketAt(nowMs + holdMs, part.startMs, part.bucketMs)
      part.nanos -= nanos
      this.#note(part, bucket, nanos)
      this.lease = part.lease
      this.bucket = bucket
      this.day = part.day
      return true
    }
    this.want(slice, priceNanos)
    return false
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
    const there = this.#slices[slice]
    const part = there?.parts.find(each => each.lease === lease)
    if (there === undefined || part === undefined) return
    const nanos = Math.ceil(priceNanos * there.holdPart)
    const held = this.#held
    for (let at = held.length - 3; at >= 0; at -= 3) {
      if (held[at] !== part.leaseNumber || held[at + 1] !== bucket || (held[at + 2] as number) < nanos) continue
      held[at + 2] = (held[at + 2] as number) - nanos
      part.nanos += nanos
      this.increases++
      return
    }
  }

  /** Most holds of a lease between two reports expire in one bucket, and are one sum. */
  #note(part: Part, bucket: number, nanos: number): void {
    const held = this.#held
    const at = part.heldAt
    if (at >= 0 && held[at] === part.leaseNumber && held[at + 1] === bucket) {
      held[at + 2] = (held[at + 2] as number) + nanos
      return
    }
    part.heldAt = held.length
    held.push(part.leaseNumber, bucket, nanos)
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
    this.recall([...this.#parts.keys()])
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
