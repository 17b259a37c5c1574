import type { Catalog } from './catalog.ts'
import { IdIndex } from './id-index.ts'

/** What a catalog has ids of. */
type Known = 'exchange' | 'campaign' | 'lineItem'

/** Whether a catalog has something of that kind and id. Cost: O(bytes of the ids) when first asked of a kind. */
export function knownIds({ header, columns }: Catalog): (kind: Known, id: string) => boolean {
  let campaigns: IdIndex | undefined
  let lineItems: IdIndex | undefined
  return (kind, id) => {
    if (kind === 'exchange') return header.exchanges.some(exchange => exchange.id === id)
    if (kind === 'campaign') {
      campaigns ??= new IdIndex(columns.campaignIdStart, columns.campaignIds)
      return campaigns.find(id) >= 0
    }
    lineItems ??= new IdIndex(columns.lineItemIdStart, columns.lineItemIds)
    return lineItems.find(id) >= 0
  }
}
