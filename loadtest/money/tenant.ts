/** A tenant of a simulation: its budgets compiled into a catalog, as the service does it. */
import type { Budget, Pacing } from '../../service/state/budget-fields.ts'
import type { Day } from '../../service/state/calendar.ts'
import type { Catalog } from '../../service/state/catalog.ts'
import { CatalogBuilder } from '../../service/state/catalog-builder.ts'
import type { LineItem } from '../../service/state/documents.ts'

/** A line item of the simulated tenant. */
export interface SimulatedLineItem {
  readonly id: string
  readonly priceNanos: number
  readonly budget?: Budget
  readonly pacing?: Pacing
  /** CAMPAIGN unless told otherwise. */
  readonly campaign?: string
}

const NANOS_PER_CPM = 1e6
const DAY_MS = 86_400_000
const SLAB_BYTES = 1024 * 1024
/** The campaign of all simulated line items. */
export const CAMPAIGN = 'x'

/** Compiles line items; every campaign has this budget and plan; the time zone is UTC. */
export function simulatedCatalog(
  lineItems: readonly SimulatedLineItem[],
  campaignBudget?: Budget,
  campaignPacing?: Pacing,
): Catalog {
  const builder = new CatalogBuilder(() => '')
  const common = { name: 'simulated', status: 'active', advertiserId: 'a' } as const
  builder.add({ kind: 'settings', document: { ...common, timeZone: 'UTC', currency: 'USD' } })
  builder.add({ kind: 'advertisers', document: { id: 'a', name: 'a', domain: 'a.example', categories: [] } })
  const budget = {
    ...(campaignBudget === undefined ? {} : { budget: campaignBudget }),
    ...(campaignPacing === undefined ? {} : { pacing: campaignPacing }),
  }
  for (const id of new Set([CAMPAIGN, ...lineItems.flatMap(({ campaign }) => campaign ?? [])]))
    builder.add({ kind: 'campaigns', document: { ...common, id, ...budget } })
  const size = { width: 300, height: 250, bannerType: 4, secure: true } as const
  const content = { kind: 'html', html: 'ad' } as const
  builder.add({ kind: 'creatives', document: { ...common, id: 'c', format: 'banner', ...size, content } })
  for (const { id, priceNanos, budget: own, pacing, campaign: campaignId = CAMPAIGN } of lineItems) {
    const document: LineItem = {
      ...{ id, name: id, status: 'active', campaignId, priority: 1 },
      ...{ price: { cpm: priceNanos / NANOS_PER_CPM }, targeting: {}, creativeIds: ['c'] },
      ...(own === undefined ? {} : { budget: own }),
      ...(pacing === undefined ? {} : { pacing }),
    }
    builder.add({ kind: 'lineItems', document })
  }
  return builder.finish(new SharedArrayBuffer(SLAB_BYTES), { version: 'simulated', announcement: 1 })
}

/** The day of UTC. */
export function utcDay(nowMs: number): Day {
  const number = Math.floor(nowMs / DAY_MS)
  return { number, startMs: number * DAY_MS, endMs: (number + 1) * DAY_MS }
}
