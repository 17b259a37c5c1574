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

/** What a thread has to say. Numbers are leases by number. */
export interface SharesReport {
  /** Lease, bucket and nanos of each, one after another. */
  readonly held: Float64Array
  /** Lease and nanos of each. */
  readonly returned: Float64Array
  /** Slices of which a bid could not be held, and the nanos of the largest one, of each. */
  readonly wanted: Float64Array
}

interface Part {
  readonly leaseNumber: number
  readonly lease: string
  readonly day: number
  readonly startMs: number
  readonly bucketMs: number
  endMs: number
  nanos: number
  /** By bucket, since the last report. */
  readonly held: Map<number, number>
}

interface SliceParts {
  holdPart: number
  parts: Part[]
}

/** The shares of one bid thread. Every method but `covers` changes it. */
export class Shares {
  /** By number. */
  readonly #slices: (SliceParts | undefined)[] = []
  /** Numbers of those that have parts. */
  readonly #known = new Set<number>()
  readonly #wanted = new Map<number, number>()
  #nowMs = 0
  /** Of the last hold: what its notices say. */
  lease = ''
  bucket = 0
  day = 0

  /** Takes a share. */
  give(share: Share): void {
    const { slice, leaseNumber, lease, day, nanos, startMs, endMs, bucketMs, holdPart } = share
    let there = this.#slices[slice]
    if (there === undefined) {
      there = { holdPart, parts: [] }
      this.#slices[slice] = there
      this.#known.add(slice)
    }
    there.holdPart = holdPart
    const part = there.parts.find(each => each.leaseNumber === leaseNumber)
    if (part === undefined)
      there.parts.push({ leaseNumber, lease, day, startMs, bucketMs, endMs, nanos, held: new Map() })
    else part.nanos += nanos
  }

  /** What is not held of these leases goes back with the next report. Cost: O(parts). */
  recall(leaseNumbers: ReadonlySet<number>): void {
    for (const slice of this.#known)
      for (const part of this.#slices[slice]?.parts ?? [])
        if (leaseNumbers.has(part.leaseNumber)) part.endMs = Number.NEGATIVE_INFINITY
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
      part.held.set(bucket, (part.held.get(bucket) ?? 0) + nanos)
      this.lease = part.lease
      this.bucket = bucket
      this.day = part.day
      return true
    }
    this.want(slice, priceNanos)
    return false
  }

  /** A bid of this price could not be held: more is wanted. */
  want(slice: number, nanos: number): void {
    const known = this.#wanted.get(slice) ?? 0
    if (nanos > known) this.#wanted.set(slice, nanos)
  }

  /** What happened since the last report; undefined for nothing. Parts that have ended go back. Cost: O(parts). */
  report(nowMs: number): SharesReport | undefined {
    this.#nowMs = nowMs
    const held: number[] = []
    const returned: number[] = []
    for (const slice of this.#known) {
      const there = this.#slices[slice]
      if (there === undefined) continue
      let ended = 0
      for (const part of there.parts) {
        if (part.held.size > 0) {
          for (const [bucket, nanos] of part.held) held.push(part.leaseNumber, bucket, nanos)
          part.held.clear()
        }
        if (part.endMs > nowMs) continue
        ended++
        if (part.nanos > 0) returned.push(part.leaseNumber, part.nanos)
      }
      if (ended > 0) there.parts = there.parts.filter(({ endMs }) => endMs > nowMs)
      if (there.parts.length > 0) continue
      this.#slices[slice] = undefined
      this.#known.delete(slice)
    }
    const wanted = [...this.#wanted].flat()
    this.#wanted.clear()
    if (held.length + returned.length + wanted.length === 0) return undefined
    return { held: Float64Array.from(held), returned: Float64Array.from(returned), wanted: Float64Array.from(wanted) }
  }
}
