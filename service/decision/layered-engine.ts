/** The decision with a catalog and, above it, an overlay of what deltas have changed in it. */
import type { PickIndex } from '../foundation/random.ts'
import { SPACE } from '../state/catalog.ts'
import { findText } from '../state/text-table.ts'
import { type Bid, type Decision, type Engine, NO_BIDS } from './decide.ts'
import type { Facts, Opportunity } from './opportunity.ts'

/**
 * Decides as one engine would with one catalog of everything. Line items that the overlay replaces are masked in the
 * catalog below; of what the two engines find, the better rank wins, and within a rank chance. One bid thread uses it.
 */
export class LayeredEngine {
  /** Whether any line item is in a deal. */
  readonly hasDeal: (dealId: string) => boolean
  readonly #base: Engine
  readonly #overlay: Engine | undefined

  /** Masks line items of the base engine, or none when there is no overlay. */
  constructor(base: Engine, overlay: Engine | undefined) {
    this.#base = base
    this.#overlay = overlay
    const hasText = ({ catalog }: Engine, dealId: string) => findText(catalog.columns, SPACE.deal, dealId) >= 0
    this.hasDeal = dealId => hasText(base, dealId) || (overlay !== undefined && hasText(overlay, dealId))
    this.mask()
  }

  /** Masks line items of the base engine, which may have been under another overlay meanwhile. */
  mask(): void {
    const overlay = this.#overlay?.catalog
    this.#base.mask(overlay?.columns.maskedBelow, overlay?.header.settings)
  }

  /** As Engine.prepare. */
  prepare(facts: Facts): void {
    this.#base.prepare(facts)
    this.#overlay?.prepare(facts)
  }

  /**
   * As Engine.decide. Where more than LIMITS.tiedCandidatesMax line items of one rank tie in the base, and some in the
   * overlay, those of the overlay have more than their share: the others are not counted beyond that. Cost: of both
   */
  decide(opportunity: Opportunity, nowMs: number, pickIndex: PickIndex): Decision {
    const base = this.#base
    const overlay = this.#overlay
    if (overlay === undefined) return base.decide(opportunity, nowMs, pickIndex)
    const above = overlay.find(opportunity, nowMs, pickIndex)
    const below = base.find(opportunity, nowMs, pickIndex)
    if (above + below === 0) return NO_BIDS[Math.max(overlay.furthest, base.furthest)]!
    const order = above === 0 ? 1 : below === 0 ? -1 : rankOrder(overlay, base)
    const first = order > 0 ? 0 : above
    const count = first + (order < 0 ? 0 : below)
    const at = count === 1 ? 0 : pickIndex(count)
    return at < first ? overlay.bid(at, opportunity) : base.bid(at - first, opportunity)
  }

  /** As Engine.take. The same advertiser or creative is on the page in both catalogs. */
  take(bid: Bid): void {
    const base = this.#base
    const overlay = this.#overlay
    const engine = bid.catalog === base.catalog ? base : overlay!
    if (overlay === undefined) {
      engine.take(bid)
      return
    }
    // The settings of the overlay are the newer ones.
    const { settings } = overlay.catalog.header
    engine.take(bid, settings)
    const advertiser = bid.catalog.columns.lineItemAdvertiser[bid.lineItem]!
    const creative = engine.firstRendition(bid.creative)
    const { advertiserBelow, creativeBelow } = overlay.catalog.columns
    if (engine === overlay) base.occupy(settings, advertiserBelow[advertiser]!, creativeBelow[creative]!)
    else overlay.occupy(settings, advertiserBelow.indexOf(advertiser), creativeBelow.indexOf(creative))
  }
}

/** Negative when the first engine's best ranks before the second's: a smaller priority, then a higher price. */
function rankOrder(one: Engine, other: Engine): number {
  const { lineItemPriority: onePriority, lineItemPriceNanos: onePrice } = one.catalog.columns
  const { lineItemPriority: otherPriority, lineItemPriceNanos: otherPrice } = other.catalog.columns
  return onePriority[one.best]! - otherPriority[other.best]! || otherPrice[other.best]! - onePrice[one.best]!
}
