/** Builds what is served next: a catalog, and over it an overlay of the deltas that have come since. */
import { isDeepStrictEqual } from 'node:util'
import { assert } from './foundation/assert.ts'
import { creativeFragment } from './openrtb/creative-fragment.ts'
import type { StoredDelta } from './remote-cache/source.ts'
import type { Catalog, CatalogColumns } from './state/catalog.ts'
import type { CatalogBuilder, CatalogIdentity } from './state/catalog-builder.ts'
import { Overlay } from './state/overlay.ts'
import type { ReadReport } from './state/validate.ts'

/** Where catalogs go. */
export interface StateTaker {
  /** Slabs that nobody reads. */
  nextSlab(): SharedArrayBuffer
  nextOverlaySlab(): SharedArrayBuffer
  /** See BidThreads.announce. */
  announce(base: Catalog | undefined, overlay?: Catalog): Promise<void>
}

/** A catalog, and what deltas have changed in it. */
interface Stack {
  readonly base: Catalog
  overlay: Overlay | undefined
  deltas: number
  /** What of the overlay was built last. */
  built: Catalog | undefined
}

/**
 * The control thread's end of the state. Nothing that it does is served before `swap`; after a swap of deltas that
 * failed, only a loaded version may follow.
 */
export class NextState {
  readonly #taker: StateTaker
  #served: Stack | undefined
  #next: Stack | undefined
  #bytesBefore = 0

  constructor(taker: StateTaker) {
    this.#taker = taker
  }

  /** What the slab of the next catalog has held, so that so many bytes of it are resident. */
  get reusableBytes(): number {
    return this.#bytesBefore
  }

  /** Builds a version's catalog aside, without deltas. @throws as CatalogBuilder.finish */
  load(builder: CatalogBuilder, identity: CatalogIdentity): void {
    this.#next = undefined
    const base = builder.finish(this.#taker.nextSlab(), identity)
    this.#bytesBefore = base.header.bytes
    this.#next = { base, overlay: undefined, deltas: 0, built: undefined }
  }

  /**
   * Takes the next delta of what was loaded aside, else of what is served. Cost: O(size of the delta), the first time
   * O(line items).
   */
  take({ chain, delta }: StoredDelta): ReadReport {
    const stack = this.#next ?? this.#served
    assert(stack !== undefined, 'a delta comes after its version')
    stack.overlay ??= new Overlay(stack.base, creativeFragment)
    stack.deltas = chain.length
    return stack.overlay.apply(delta, `delta ${chain.length}`)
  }

  /** Has all of it served. @throws as Overlay.build and the taker. Cost: O(records that deltas have changed) */
  async swap(): Promise<void> {
    const stack = this.#next ?? this.#served
    assert(stack !== undefined, 'something was loaded before it is served')
    this.#build(stack)
    const before = this.#served?.base.header.bytes ?? 0
    await this.#taker.announce(stack === this.#next ? stack.base : undefined, stack.built)
    // From now on the next one goes where the one before was.
    if (stack === this.#next) this.#bytesBefore = before
    this.#served = stack
    this.#next = undefined
  }

  /** Whether what was loaded aside is another state than the one that is served. Cost: O(bytes of both) */
  differs(): boolean {
    const [served, next] = [this.#served, this.#next]
    assert(served !== undefined && next !== undefined, 'two states are compared')
    this.#build(next)
    if (!isSame(served.base, next.base)) return true
    if (served.built === undefined || next.built === undefined) return served.built !== next.built
    return !isSame(served.built, next.built)
  }

  /** Forgets what was loaded aside. */
  drop(): void {
    this.#next = undefined
  }

  #build(stack: Stack): void {
    if (stack.overlay === undefined) return
    stack.built = stack.overlay.build(this.#taker.nextOverlaySlab(), stack.deltas)
  }
}

/** Every column and every member but the announcement's number, which may grow without a change. */
function isSame(one: Catalog, other: Catalog): boolean {
  if (!isDeepStrictEqual({ ...one.header, announcement: 0 }, { ...other.header, announcement: 0 })) return false
  const columns = Object.keys(one.columns) as (keyof CatalogColumns)[]
  return columns.every(name => bytesOf(one.columns[name]).equals(bytesOf(other.columns[name])))
}

function bytesOf({ buffer, byteOffset, byteLength }: CatalogColumns[keyof CatalogColumns]): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}
