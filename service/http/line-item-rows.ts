/** Line items as the admin port lists them: read from the catalog that serves. */
import { type Catalog, idAt } from '../state/catalog.ts'
import type { LineItemCount } from '../telemetry/line-item-counts.ts'

/** One line item that is served. */
export interface LineItemRow extends Readonly<LineItemCount> {
  readonly id: string
  readonly campaignId: string
  readonly priority: number
  readonly cpm: number
}

/** Which of them, and in which order. */
export interface LineItemQuery {
  /** Part of an id, of a line item or its campaign. */
  readonly search?: string
  readonly sort?: 'rank' | 'bids' | 'wins' | 'billed' | 'spendNanos'
  readonly limit: number
}

const NANOS_PER_CPM = 1e6

/** @returns how many there are, and the first ones. Cost: O(line items), some 20 ms at 100,000 */
export function lineItemRows(
  catalogs: readonly Catalog[],
  { search = '', sort = 'rank', limit }: LineItemQuery,
  countOf: (lineItemId: string) => Readonly<LineItemCount>,
): { readonly total: number; readonly rows: readonly LineItemRow[] } {
  const found = catalogs.flatMap(catalog => servedRows(catalog, catalogs.at(-1) as Catalog, { search, countOf }))
  if (sort === 'rank') found.sort((a, b) => a.priority - b.priority || b.cpm - a.cpm)
  else found.sort((a, b) => b[sort] - a[sort] || a.priority - b.priority)
  return { total: found.length, rows: found.slice(0, limit) }
}

interface Wanted {
  readonly search: string
  readonly countOf: (lineItemId: string) => Readonly<LineItemCount>
}

/** Without those that the overlay replaces. */
function servedRows(catalog: Catalog, top: Catalog, { search, countOf }: Wanted): LineItemRow[] {
  const { columns, header } = catalog
  const masked = top === catalog ? undefined : top.columns.maskedBelow
  const rows: LineItemRow[] = []
  for (let i = 0; i < header.lineItems; i++) {
    if (((masked?.[i >>> 5] ?? 0) >>> (i & 31)) & 1) continue
    const id = idAt(columns.lineItemIdStart, columns.lineItemIds, i)
    const campaignId = idAt(columns.campaignIdStart, columns.campaignIds, columns.lineItemCampaign[i] as number)
    if (search !== '' && !id.includes(search) && !campaignId.includes(search)) continue
    const cpm = (columns.lineItemPriceNanos[i] as number) / NANOS_PER_CPM
    rows.push({ id, campaignId, priority: columns.lineItemPriority[i] as number, cpm, ...countOf(id) })
  }
  return rows
}
