/** Budgets and pacing, as campaigns and line items say them, and as a catalog keeps them. */
import { nanosFromCpm } from '../foundation/units.ts'
import { type Field, list, number, oneOf, optional, record, type TypeOf } from './fields.ts'

/** 10^9 nanos per unit of a currency, and amounts stay below 2^53 of them. */
const NANOS_PER_UNIT = 1e9
/** Two of them can still be added exactly. */
const AMOUNT_MAX = 4_000_000

const amount = (about: string): Field<number | undefined> & { readonly optional: true } =>
  optional(number({ about, min: 0.01, max: AMOUNT_MAX, part: true }))

/** The budget of a campaign or line item. */
export const BUDGET = record(
  {
    total: amount("over all its time, in the tenant's currency"),
    daily: amount("per day of the tenant's time zone, in the tenant's currency"),
    kind: optional(
      oneOf(
        ['strict', 'smooth'],
        'strict, also without it: each open bid holds its full price; smooth: far from its end what bids cost in fact',
      ),
    ),
  },
  'the most that may be spent',
  1,
)

/** What stops a runaway. */
export const GUARDS = record(
  {
    cpmMax: optional(
      number({
        about: "line items with a higher CPM in the tenant's currency do not bid",
        min: 0.0001,
        max: 10_000,
        part: true,
      }),
    ),
    spendPerMinuteMax: amount(
      "in any minute, all tasks together, in the tenant's currency: bids are held back that would cost more",
    ),
  },
  'what stops a runaway, whatever the other documents say',
  1,
)

/** Plans along which a budget can be spent. */
const PACING_PLANS = ['asap', 'even', 'front-loaded', 'custom'] as const

const WEIGHTS_MAX = 168

/** How a budget is spent over its time. */
export const PACING = record(
  {
    plan: oneOf(PACING_PLANS, 'asap: as fast as possible, also without pacing'),
    weights: optional(
      list(number({ about: 'share of a part of the time', min: 0, max: 1_000, part: true }), {
        min: 1,
        max: WEIGHTS_MAX,
        twins: true,
      }),
    ),
  },
  "along which plan it is spent: over the day for a daily budget, else over the flight; weights are a custom plan's" +
    ' shares of equal parts of that time, such as 24 hours',
)

/** The budget of a campaign or line item. */
export type Budget = TypeOf<typeof BUDGET>
/** How a budget is spent over its time. */
export type Pacing = TypeOf<typeof PACING>

/** Stands for the limit where there is none. */
export const NO_LIMIT_NANOS = Number.MAX_SAFE_INTEGER

/** Nanos of an amount in the tenant's currency, rounded down; NO_LIMIT_NANOS without one. */
export function limitNanos(units: number | undefined): number {
  return units === undefined ? NO_LIMIT_NANOS : Math.floor(units * NANOS_PER_UNIT + 1e-3)
}

/** The highest price at which line items bid, in nanos per impression; NO_LIMIT_NANOS where there is none. */
export function priceMaxNanos(guards: TypeOf<typeof GUARDS> | undefined): number {
  return guards?.cpmMax === undefined ? NO_LIMIT_NANOS : nanosFromCpm(guards.cpmMax, 'down')
}

/** What a line item's bids must hold, its campaign's budget included. */
export const BUDGET_KIND = { none: 0, smooth: 1, strict: 2 } as const

/** The stricter of the two budgets' kinds. */
export function budgetKind(campaign: Budget | undefined, lineItem: Budget | undefined): number {
  const kinds = [campaign, lineItem].filter(budget => budget !== undefined).map(({ kind }) => kind ?? 'strict')
  if (kinds.length === 0) return BUDGET_KIND.none
  return kinds.includes('strict') ? BUDGET_KIND.strict : BUDGET_KIND.smooth
}

/** A plan as one text, such as `even` or `custom 1 2 3`. */
export function pacingText(pacing: Pacing | undefined): string {
  if (pacing === undefined) return 'asap'
  return [pacing.plan, ...(pacing.weights ?? [])].join(' ')
}

/** The plan that a text says. */
export function pacingOfText(text: string): Required<Pacing> {
  const [plan, ...weights] = text.split(' ')
  return { plan: plan as Pacing['plan'], weights: weights.map(Number) }
}
