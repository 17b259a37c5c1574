/**
 * What an exchange knows about money and users: what it billed, and who saw what. Kept apart from everything that the
 * service says, so that budgets and caps are judged from outside.
 */
import type { Budget } from '../service/state/budget-fields.ts'
import { type CappedSale, type CapRule, type CapsVerdict, capRulesOf, judgeCaps } from './exchange-caps.ts'
import type { TenantRecords } from './tenant-records.ts'

/** One impression that was sold. Amounts are in the tenant's currency. */
export interface Sale extends CappedSale {
  readonly amount: number
}

/** How the billing notice of a sale went. */
export interface Billing {
  /** When the exchange first told it; undefined: never. */
  billedAtMs: number | undefined
  /** Whether the service acknowledged it. */
  acknowledged: boolean
}

/** A limit that must hold, as the tenant's documents say it. */
export interface BudgetRule {
  readonly campaignId?: string
  readonly lineItemId?: string
  readonly total?: number
  readonly daily?: number
}

/** What must hold, and when a day of the tenant begins. */
export interface BooksRules {
  readonly budgets: readonly BudgetRule[]
  readonly caps: readonly CapRule[]
  /** The day of an instant; without it that of UTC. */
  readonly dayOf?: (atMs: number) => string
}

/** The rules that documents state. */
export function rulesOf(records: TenantRecords): BooksRules {
  const { campaigns, lineItems, settings } = records
  const day = new Intl.DateTimeFormat('en-CA', { timeZone: settings.timeZone })
  const budgets = [
    ...campaigns.map(({ id, budget }) => ({ campaignId: id, ...limitsOf(budget) })),
    ...lineItems.map(({ id, budget }) => ({ lineItemId: id, ...limitsOf(budget) })),
  ].filter(({ total, daily }) => total !== undefined || daily !== undefined)
  return { budgets, caps: capRulesOf(records), dayOf: atMs => day.format(atMs) }
}

function limitsOf(budget: Budget | undefined): Pick<BudgetRule, 'total' | 'daily'> {
  const { total, daily } = budget ?? {}
  return { ...(total === undefined ? {} : { total }), ...(daily === undefined ? {} : { daily }) }
}

/** What the books show against the rules. */
export interface BooksVerdict extends CapsVerdict {
  readonly sales: number
  readonly billed: number
  /** Everything that was billed, acknowledged or not. */
  readonly billedAmount: number
  readonly acknowledgedAmount: number
  /** Budgets that were exceeded by what was billed, with how much. */
  readonly overspent: readonly string[]
}

/** Prices are floats: a part of a nano that is not money. */
const AMOUNT_ERROR = 1e-9
const NANOS = 1e9

/** The books of one exchange. Memory: O(sales). */
export class ExchangeBooks {
  readonly #sales = new Map<string, Sale & Billing>()

  /** Enters a sale. */
  sell(sale: Sale): void {
    this.#sales.set(sale.bidId, { ...sale, billedAtMs: undefined, acknowledged: false })
  }

  /** Enters that a sale was billed: once, however often it is told. */
  bill(bidId: string, atMs: number): void {
    const sale = this.#sales.get(bidId)
    if (sale !== undefined) sale.billedAtMs ??= atMs
  }

  /** Enters that the service has acknowledged the bill. */
  acknowledge(bidId: string): void {
    const sale = this.#sales.get(bidId)
    if (sale !== undefined) sale.acknowledged = true
  }

  /** Holds the books against rules. Cost: O(sales × rules). */
  judge({ budgets, caps, dayOf = utcDay }: BooksRules): BooksVerdict {
    const sales = [...this.#sales.values()]
    const billed = sales.filter(each => each.billedAtMs !== undefined)
    return {
      sales: sales.length,
      billed: billed.length,
      billedAmount: sumOf(billed),
      acknowledgedAmount: sumOf(billed.filter(each => each.acknowledged)),
      overspent: budgets.flatMap(budget => overspent(budget, billed, dayOf)),
      // What was sold and not billed was not shown.
      ...judgeCaps(caps, billed),
    }
  }
}

/** Books of several runs of one tenant, as sums: money only, since caps look across runs. */
export function addedBooks(
  books: readonly BooksVerdict[],
): Pick<BooksVerdict, 'sales' | 'billed' | 'billedAmount' | 'acknowledgedAmount'> {
  const sum = (value: (each: BooksVerdict) => number) => books.reduce((all, each) => all + value(each), 0)
  return {
    ...{ sales: sum(each => each.sales), billed: sum(each => each.billed) },
    billedAmount: sum(each => each.billedAmount),
    acknowledgedAmount: sum(each => each.acknowledgedAmount),
  }
}

/** Sum of what `npm run spend -- report --json --by exchange` printed, in the tenant's currency. */
export function bookedIn(printed: string): number {
  const records = printed
    .split('\n')
    .filter(line => line.startsWith('{'))
    .map(line => JSON.parse(line) as { day?: number; spentNanos: number })
  // Of an exchange there are days and no total.
  return records.filter(({ day }) => day !== undefined).reduce((sum, each) => sum + each.spentNanos, 0) / NANOS
}

/**
 * What the service says it booked, against what was billed: a bill is booked exactly once when it was acknowledged, and
 * at most once when it was not.
 */
export function bookedProblem(
  booked: number,
  { billed, billedAmount, acknowledgedAmount }: Pick<BooksVerdict, 'billed' | 'billedAmount' | 'acknowledgedAmount'>,
): string | undefined {
  // What the ledger books is whole nanos, rounded up.
  const error = billed / NANOS + AMOUNT_ERROR * Math.max(1, billedAmount)
  if (booked > billedAmount + error) return `booked ${amount(booked)}, though only ${amount(billedAmount)} was billed`
  if (booked < acknowledgedAmount - error)
    return `booked ${amount(booked)}, though ${amount(acknowledgedAmount)} was acknowledged`
  return undefined
}

function amount(value: number): string {
  return value.toFixed(6)
}

type Entry = Sale & Billing
type Scope = Pick<BudgetRule, 'campaignId' | 'lineItemId'>

function isOf(sale: Sale, { campaignId, lineItemId }: Scope): boolean {
  return lineItemId === undefined ? sale.campaignId === campaignId : sale.lineItemId === lineItemId
}

function nameOf({ campaignId, lineItemId }: Scope): string {
  return lineItemId === undefined ? `campaign ${campaignId}` : `line item ${lineItemId}`
}

function sumOf(sales: readonly Sale[]): number {
  return sales.reduce((sum, each) => sum + each.amount, 0)
}

function overspent(budget: BudgetRule, billed: readonly Entry[], dayOf: (atMs: number) => string): readonly string[] {
  const own = billed.filter(sale => isOf(sale, budget))
  const problems: string[] = []
  const look = (spent: number, limit: number | undefined, what: string) => {
    if (limit !== undefined && spent > limit * (1 + AMOUNT_ERROR))
      problems.push(`${nameOf(budget)}: ${spent.toFixed(6)} of ${limit} ${what}`)
  }
  look(sumOf(own), budget.total, 'in all')
  for (const [day, sales] of Map.groupBy(own, sale => dayOf(sale.soldAtMs))) look(sumOf(sales), budget.daily, day)
  return problems
}

function utcDay(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 10)
}
