/** Builds what is served next: a catalog, and over it an overlay of the deltas that have come since. */
import { assert } from './foundation/assert.ts'
import { creativeFragment } from './openrtb/creative-fragment.ts'
import type { StoredDelta } from './remote-cache/source.ts'
import type { Catalog } from './state/catalog.ts'
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

/**
 * The control thread's end of the state. Nothing that it does is served before `swap`; after a swap that failed, only a
 * loaded version may follow.
 */
export class NextState {
  readonly #taker: StateTaker
  #base: Catalog | undefined
  #baseIsServed = false
  #overlay: Overlay | undefined
  #deltas = 0

  constructor(taker: StateTaker) {
    this.#taker = taker
  }

  /** Builds a version's catalog, without deltas. @throws as CatalogBuilder.finish */
  load(builder: CatalogBuilder, identity: CatalogIdentity): void {
    this.#baseIsServed = false
    this.#overlay = undefined
    this.#base = builder.finish(this.#taker.nextSlab(), identity)
  }

  /** Takes the next delta of the catalog at hand. Cost: O(size of the delta), the first time O(line items). */
  take({ chain, delta }: StoredDelta): ReadReport {
    assert(this.#base !== undefined, 'a delta comes after its version')
    this.#overlay ??= new Overlay(this.#base, creativeFragment)
    this.#deltas = chain.length
    return this.#overlay.apply(delta, `delta ${chain.length}`)
  }

  /** Has all of it served. @throws as Overlay.build and the taker. Cost: O(records that deltas have changed) */
  async swap(): Promise<void> {
    const overlay = this.#overlay?.build(this.#taker.nextOverlaySlab(), this.#deltas)
    await this.#taker.announce(this.#baseIsServed ? undefined : this.#base, overlay)
    this.#baseIsServed = true
  }
}
