/** Which deal a line item bids in. */
import { type CatalogColumns, SPACE } from '../state/catalog.ts'
import { findText } from '../state/text-table.ts'
import type { Opportunity } from './opportunity.ts'

/** Instead of a deal's position: the line item has no deals. */
export const OPEN_AUCTION = -1
/** Instead of a deal's position: each offered deal of the line item leaves its advertiser out. */
export const NOT_THIS_ADVERTISER = -2

/**
 * Of the offered deals that the line item is in and its advertiser may bid on, the position of the one with the lowest
 * floor, or one of the constants above. Pure. Cost: O(deals of both).
 */
export function dealFor(columns: CatalogColumns, ordinal: number, { deals }: Opportunity): number {
  const start = columns.lineItemDealStart[ordinal]!
  const end = columns.lineItemDealStart[ordinal + 1]!
  if (start === end) return OPEN_AUCTION
  let best = NOT_THIS_ADVERTISER
  for (let offer = 0; offer < deals.length; offer++) {
    const { id, floorNanos, advertiserDomains } = deals[offer]!
    if (best >= 0 && deals[best]!.floorNanos <= floorNanos) continue
    const value = findText(columns, SPACE.deal, id)
    for (let i = start; i < end; i++)
      if (columns.lineItemDeals[i] === value && isInvited(columns, ordinal, advertiserDomains)) best = offer
  }
  return best
}

/** Whether one of the domains is the advertiser's or above it. */
function isInvited(columns: CatalogColumns, ordinal: number, domains: readonly string[]): boolean {
  if (domains.length === 0) return true
  const advertiser = columns.lineItemAdvertiser[ordinal]!
  const start = columns.advertiserDomainStart[advertiser]!
  const end = columns.advertiserDomainStart[advertiser + 1]!
  return domains.some(domain => {
    const value = findText(columns, SPACE.blockedDomain, domain)
    for (let i = start; i < end; i++) if (columns.advertiserDomains[i] === value) return true
    return false
  })
}

/** The lowest floor under which anything may bid for an impression; above every price where nothing may. Pure. */
export function lowestFloor(opportunity: Opportunity): number {
  const { deals } = opportunity
  let lowest: number = opportunity.privateAuction ? Number.POSITIVE_INFINITY : opportunity.floorNanos
  for (let i = 0; i < deals.length; i++) if (deals[i]!.floorNanos < lowest) lowest = deals[i]!.floorNanos
  return lowest
}
