/** Divides an impression into what is bid on separately, so that deals do not compete with each other inside of us. */
import type { Opportunity } from './opportunity.ts'

const NO_DEALS: Opportunity['deals'] = Object.freeze([])

/**
 * One lot per deal that any line item is in, which isOurs tells, then the open auction, unless it is closed. Between
 * them the exchange chooses (OpenRTB 2.6 implementation guide, 7.3). An impression without such deals is its own only
 * lot, the very object. Pure. Cost: O(deals).
 */
export function lotsOf(opportunity: Opportunity, isOurs: (dealId: string) => boolean): readonly Opportunity[] {
  const { deals, privateAuction } = opportunity
  if (deals.length === 0) return [opportunity]
  const lots: Opportunity[] = []
  for (let i = 0; i < deals.length; i++) {
    const deal = deals[i]!
    if (isOurs(deal.id)) lots.push({ ...opportunity, deals: [deal], privateAuction: true })
  }
  if (!privateAuction || lots.length === 0) lots.push({ ...opportunity, deals: NO_DEALS })
  return lots
}

/** The impression as only the line items of a roadblock may bid for it. Pure. */
export function roadblockLot(opportunity: Opportunity, roadblock: string): Opportunity {
  const { floorNanos, video, audio } = opportunity
  const { lengthFloors } = video ?? audio ?? {}
  const deal = { id: roadblock, seat: '', floorNanos, lengthFloors, isFixedPrice: false, advertiserDomains: [] }
  return { ...opportunity, deals: [deal], privateAuction: true }
}
