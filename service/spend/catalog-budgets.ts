/** The budgets and plans of one catalog, as the control thread reads them. */
import { BUDGET_KIND, NO_LIMIT_NANOS, pacingOfText, priceMaxNanos } from '../state/budget-fields.ts'
import type { Day } from '../state/calendar.ts'
import { type Catalog, idAt } from '../state/catalog.ts'
import type { Settings } from '../state/documents.ts'
import { accountsOf } from './accounts.ts'
import type { AccountLimit } from './ledger.ts'
import type { PacerOptions, PacingPlan } from './pacing.ts'

/** A plan with its account: what a pacer steers by. */
export interface PacedBudget {
  /** The same for the same plan, limit and time. */
  readonly key: string
  /** Whose plan it is: the same on every day. */
  readonly owner: string
  readonly account: string
  readonly options: PacerOptions
}

/** A line item with a budget, its own or its campaign's. */
export interface BudgetedLineItem {
  readonly id: string
  readonly accounts: readonly AccountLimit[]
  readonly priceNanos: number
  readonly isStrict: boolean
  /** The part of all opportunities that documents let it take part in, of 1,000,000. */
  readonly passRatePpm: number
  /** Its own plan and its campaign's, where they are not as fast as possible. */
  readonly paced: readonly PacedBudget[]
}

/** Ordinals of line items with budgets. Cost: O(line items). */
export function budgetedOrdinals({ columns }: Catalog): readonly number[] {
  const found: number[] = []
  for (const [ordinal, kind] of columns.lineItemBudgetKind.entries()) if (kind !== BUDGET_KIND.none) found.push(ordinal)
  return found
}

/** Ordinals of line items that cost more than the tenant's guards let them bid. Cost: O(line items) with a guard. */
export function aboveMaximumCpm({ columns }: Catalog, settings: Settings): readonly number[] {
  const maxNanos = priceMaxNanos(settings.guards)
  const found: number[] = []
  if (maxNanos === NO_LIMIT_NANOS) return found
  for (const [ordinal, nanos] of columns.lineItemPriceNanos.entries()) if (nanos > maxNanos) found.push(ordinal)
  return found
}

/** The id of a line item. Makes a string. */
export function lineItemIdAt({ columns }: Catalog, ordinal: number): string {
  return idAt(columns.lineItemIdStart, columns.lineItemIds, ordinal)
}

/** Names what a line item draws from: one that moves to another campaign is another. Makes a string. */
export function budgetKeyAt(catalog: Catalog, ordinal: number): string {
  const { lineItemCampaign, campaignIdStart, campaignIds } = catalog.columns
  return `${idAt(campaignIdStart, campaignIds, lineItemCampaign[ordinal] as number)}/${lineItemIdAt(catalog, ordinal)}`
}

/** What a line item's budgets are on a day. Makes strings. */
export function budgetsOf(catalog: Catalog, ordinal: number, day: Day): BudgetedLineItem {
  const { columns } = catalog
  const campaign = columns.lineItemCampaign[ordinal] as number
  const id = lineItemIdAt(catalog, ordinal)
  const names = accountsOf(idAt(columns.campaignIdStart, columns.campaignIds, campaign), id, day.number)
  const limits = [
    columns.lineItemTotalNanos[ordinal] as number,
    columns.lineItemDailyNanos[ordinal] as number,
    columns.campaignTotalNanos[campaign] as number,
    columns.campaignDailyNanos[campaign] as number,
  ]
  const accounts = names.map((account, i) => ({ account, limitNanos: limits[i] as number }))
  const [total, daily, campaignTotal, campaignDaily] = accounts as [
    AccountLimit,
    AccountLimit,
    AccountLimit,
    AccountLimit,
  ]
  const own = {
    plan: planOf(catalog, columns.lineItemPacing[ordinal]),
    startMs: columns.lineItemFlightStartMs[ordinal] as number,
    endMs: columns.lineItemFlightEndMs[ordinal] as number,
  }
  const shared = {
    plan: planOf(catalog, columns.campaignPacing[campaign]),
    startMs: columns.campaignFlightStartMs[campaign] as number,
    endMs: columns.campaignFlightEndMs[campaign] as number,
  }
  return {
    id,
    accounts,
    priceNanos: columns.lineItemPriceNanos[ordinal] as number,
    isStrict: columns.lineItemBudgetKind[ordinal] === BUDGET_KIND.strict,
    passRatePpm: columns.lineItemPassRatePpm[ordinal] as number,
    paced: [paced(own, total, daily, day), paced(shared, campaignTotal, campaignDaily, day)].flat(),
  }
}

function planOf({ header }: Catalog, value: number | undefined): PacingPlan {
  const { plan, weights } = pacingOfText(header.pacingPlans.get(value ?? -1) ?? 'asap')
  return plan === 'custom' ? { kind: plan, weights } : { kind: plan }
}

interface FlightPlan {
  readonly plan: PacingPlan
  readonly startMs: number
  readonly endMs: number
}

/** A daily budget is spent over the day, another one over the flight. */
function paced(flight: FlightPlan, total: AccountLimit, daily: AccountLimit, day: Day): readonly PacedBudget[] {
  const { plan } = flight
  if (plan.kind === 'asap') return []
  const isDaily = daily.limitNanos !== NO_LIMIT_NANOS
  const { account, limitNanos } = isDaily ? daily : total
  const { startMs, endMs } = isDaily ? day : flight
  const options = { plan, limitNanos, startMs, endMs }
  return [{ key: JSON.stringify([account, options]), owner: total.account, account, options }]
}
