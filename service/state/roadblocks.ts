/**
 * Roadblocks: line items of one campaign that bid for all impressions of a page together, or for none. To the index
 * they are in a deal that only we offer, so that nothing else has to know of them.
 */
import type { LineItem } from './documents.ts'

/** No deal of an exchange begins so: those are left out when a request is read. */
const MARK = '\u0001'

/** Whether a deal's id is that of a roadblock. */
export function isRoadblock(dealId: string): boolean {
  return dealId.startsWith(MARK)
}

/** The deals that a line item serves in; undefined for one that serves in the open auction. */
export function dealsOf({ campaignId, deals, roadblock }: LineItem): readonly string[] | undefined {
  return roadblock === true ? [MARK + campaignId] : deals
}
