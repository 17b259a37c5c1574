/** A tenant's documents: what ad operations write, what the cache holds, what the catalog is compiled from. */
import { LIMITS } from '../limits.ts'
import { BUDGET, GUARDS, PACING } from './budget-fields.ts'
import { FREQUENCY_CAPS } from './cap-fields.ts'
import { CREATIVE, type Creative } from './creative-document.ts'
import { DIMENSION_NAMES, DIMENSIONS, type DimensionName, dimensionOf } from './dimensions.ts'
import { EXCHANGE, type Exchange, requestsPerS } from './exchange-document.ts'
import { EXPRESSION } from './expressions.ts'
import { type Field, flag, list, mapOf, number, oneOf, optional, record, type TypeOf, text } from './fields.ts'
import { LIST, LIST_PART, type ListPart, type ValueList } from './lists.ts'
import { CATEGORY, CURRENCY, RECORD_NAME, recordId, STATUS } from './record-fields.ts'
import { USER_SPLIT } from './user-split.ts'
import { CURRENCIES } from './vocabulary.ts'

const id = recordId
const name = RECORD_NAME
const status = STATUS
const currency = CURRENCY
const instant = text({
  about: 'an instant with its offset from UTC',
  max: 35,
  pattern: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/,
  test: isInstant,
  like: 'an ISO 8601 instant with offset, like "2026-11-01T00:00:00Z"',
})

/** Date.parse reads the 30th of February as a day in March, so the last days are looked at again. */
function isInstant(at: string): boolean {
  if (Number.isNaN(Date.parse(at))) return false
  const day = Number(at.slice(8, 10))
  return day <= 28 || new Date(`${at.slice(0, 10)}T00:00:00Z`).getUTCDate() === day
}

const domain = DIMENSIONS.domain.value

const flight = record({ start: optional(instant), end: optional(instant) }, 'when it serves; the end is not included')

/** settings.json: one object. */
const SETTINGS = record(
  {
    name,
    status,
    timeZone: text({
      about: 'IANA time zone',
      max: 64,
      test: isTimeZone,
      like: 'an IANA time zone, like "Europe/Berlin"',
    }),
    currency,
    onPage: optional(
      oneOf(
        ['one-per-advertiser', 'one-per-creative', 'any'],
        'what may stand on one page more than once; without it no advertiser, and so no creative',
      ),
    ),
    frequencyCaps: FREQUENCY_CAPS,
    guards: optional(GUARDS),
    requestsPerS: optional(requestsPerS('bid requests a second that the tenant takes, over all exchanges and tasks')),
  },
  'the tenant itself',
)

/** Settings are judged again with each delta, and a zone costs 50 µs. */
let lastTimeZone = ''

function isTimeZone(zone: string): boolean {
  if (zone === lastTimeZone) return true
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone })
    lastTimeZone = zone
    return true
  } catch {
    return false
  }
}

const TRANSPARENCY = record(
  {
    behalf: text({ about: 'on whose behalf ads are shown', max: 100 }),
    paid: text({ about: 'who pays for them', max: 100 }),
    params: optional(
      list(number({ about: 'why a person sees them: 1 profiling, 2 the context, 3 the exact place', min: 1, max: 9 }), {
        min: 1,
        max: 9,
      }),
    ),
  },
  "what the EU's Digital Services Act asks ads to tell",
)

/** One record of advertisers. */
const ADVERTISER = record(
  {
    id: id('id of the advertiser'),
    name,
    domain,
    categories: list(CATEGORY, { max: 20 }),
    transparency: optional(TRANSPARENCY),
    frequencyCaps: FREQUENCY_CAPS,
  },
  'who is advertised',
)

/** One record of campaigns. */
const CAMPAIGN = record(
  {
    id: id('id of the campaign'),
    name,
    advertiserId: id('an advertiser'),
    status,
    flight: optional(flight),
    budget: optional(BUDGET),
    pacing: optional(PACING),
    frequencyCaps: FREQUENCY_CAPS,
  },
  'line items with one purpose',
)

/** Include and exclude of one dimension. Text dimensions and number dimensions differ only in their values. */
function rule<T>(value: Field<T>) {
  const values = list(value, { min: 1, max: LIMITS.targetingValuesMax })
  return optional(record({ include: optional(values), exclude: optional(values) }, 'what to take and what to leave', 1))
}

const listIds = optional(list(id('a list'), { min: 1, max: LIMITS.listsPerRuleMax }))

/** The same for a dimension of whose values there can be lists. */
function listedRule<T>(value: Field<T>) {
  const values = optional(list(value, { min: 1, max: LIMITS.targetingValuesMax }))
  const lists = { includeLists: listIds, excludeLists: listIds }
  return optional(record({ include: values, exclude: values, ...lists }, 'what to take and what to leave', 1))
}

/** The same for a dimension in which a line item can ask for several values at once. */
function ruleWithAll<T>(value: Field<T>) {
  const values = optional(list(value, { min: 1, max: LIMITS.targetingValuesMax }))
  const all = optional(list(value, { min: 1, max: LIMITS.targetingAllMax }))
  const lists = { includeLists: listIds, excludeLists: listIds }
  return optional(record({ include: values, all, exclude: values, ...lists }, 'any of, all of, none of', 1))
}

type ValueOf<D extends DimensionName> = TypeOf<(typeof DIMENSIONS)[D]['value']>
type RuleOf<D extends DimensionName> = (typeof DIMENSIONS)[D] extends { readonly all: true }
  ? ReturnType<typeof ruleWithAll<ValueOf<D>>>
  : (typeof DIMENSIONS)[D] extends { readonly listed: true }
    ? ReturnType<typeof listedRule<ValueOf<D>>>
    : ReturnType<typeof rule<ValueOf<D>>>

function ruleOf(name: DimensionName) {
  const { value, all, listed } = dimensionOf(name)
  if (all === true) return ruleWithAll(value as Field<unknown>)
  return listed === true ? listedRule(value as Field<unknown>) : rule(value as Field<unknown>)
}

const TARGETING = record(
  {
    ...(Object.fromEntries(DIMENSION_NAMES.map(name => [name, ruleOf(name)])) as { [D in DimensionName]: RuleOf<D> }),
    userSplit: optional(USER_SPLIT),
    expression: optional(EXPRESSION),
  },
  'which opportunities it takes; a dimension that is left out takes all',
)

/** How a line item chooses between its creatives that fit. */
export const CREATIVE_CHOICES = ['first', 'weighted', 'sequential'] as const

/** One record of lineItems. */
const LINE_ITEM = record(
  {
    id: id('id of the line item'),
    name,
    campaignId: id('a campaign'),
    status,
    priority: number({ about: '1 wins before 2', min: 1, max: 16 }),
    price: record(
      { cpm: number({ about: "CPM in the tenant's currency", min: 0.0001, max: 10_000, part: true }) },
      'price',
    ),
    flight: optional(flight),
    budget: optional(BUDGET),
    pacing: optional(PACING),
    frequencyCaps: FREQUENCY_CAPS,
    passThroughRate: optional(
      number({ about: 'share of its eligible opportunities that it takes part in', min: 0, max: 1, part: true }),
    ),
    targeting: TARGETING,
    deals: optional(
      list(text({ about: 'deal id; with deals it serves only in them', max: 128 }), {
        min: 1,
        max: LIMITS.dealsPerLineItemMax,
      }),
    ),
    roadblock: optional(flag('bids for all impressions of a page, with others of its campaign, or for none')),
    creativeIds: list(id('a creative'), { min: 1, max: LIMITS.creativesPerLineItemMax }),
    creativeChoice: optional(
      oneOf(CREATIVE_CHOICES, 'which of the creatives that fit: the first (also without it), by weight, or in turn'),
    ),
    creativeWeights: optional(
      mapOf(
        { about: 'a creative of this line item', max: 64, pattern: /^[A-Za-z0-9][A-Za-z0-9._:-]*$/, like: 'an id' },
        number({ about: 'weight of the creative; 1 without it', min: 1, max: 1_000 }),
        { about: 'for the choice by weight', max: LIMITS.creativesPerLineItemMax },
      ),
    ),
  },
  'what is bought, at which price, where',
)

/** rates.json: one object. */
const RATES = record(
  {
    asOf: instant,
    maxAgeHours: optional(
      number({
        about: 'hours after asOf at which no currency but our own is converted any more; without it rates never age',
        min: 1,
        max: 87_600,
      }),
    ),
    /** 1 unit of the key = value units of the tenant's currency. */
    rates: mapOf(
      {
        about: 'ISO 4217 currency',
        max: 3,
        pattern: /^[A-Z]{3}$/,
        test: code => CURRENCIES.has(code),
        like: 'like "EUR"',
      },
      number({ about: "the tenant's currency per unit of this one", min: 1e-9, max: 1e9, part: true }),
      { about: "what one unit of a currency is worth in the tenant's currency", max: 300 },
    ),
  },
  'exchange rates',
)

/** The tenant itself. */
export type Settings = TypeOf<typeof SETTINGS>
/** Who is advertised. */
export type Advertiser = TypeOf<typeof ADVERTISER>
/** Line items with one purpose. */
export type Campaign = TypeOf<typeof CAMPAIGN>
/** What is bought, at which price, where. */
export type LineItem = TypeOf<typeof LINE_ITEM>
/** What one unit of each currency is worth in the tenant's own. */
export type Rates = TypeOf<typeof RATES>
/** A line item's restrictions by dimension; a dimension that is left out takes all. */
export type Targeting = TypeOf<typeof TARGETING>

interface DocumentKind {
  /** 'one' = a single object without id; 'many' = a list of records with ids. */
  readonly count: 'one' | 'many'
  readonly field: Field<unknown>
  readonly max: number
}

/** The kinds of document, in the order in which they are read: what a record refers to comes before it. */
export const DOCUMENT_KINDS = {
  settings: { count: 'one', field: SETTINGS, max: 1 },
  rates: { count: 'one', field: RATES, max: 1 },
  exchanges: { count: 'many', field: EXCHANGE, max: LIMITS.exchangesMax },
  advertisers: { count: 'many', field: ADVERTISER, max: LIMITS.advertisersMax },
  campaigns: { count: 'many', field: CAMPAIGN, max: LIMITS.campaignsMax },
  creatives: { count: 'many', field: CREATIVE, max: LIMITS.creativesMax },
  lists: { count: 'many', field: LIST, max: LIMITS.listsMax },
  listParts: { count: 'many', field: LIST_PART, max: LIMITS.listPartsMax },
  lineItems: { count: 'many', field: LINE_ITEM, max: LIMITS.lineItemsMax },
} as const satisfies Record<string, DocumentKind>

/** Name of a kind of document, as in its file and in the cache. */
export type DocumentKindName = keyof typeof DOCUMENT_KINDS
/** The names in reading order. */
export const DOCUMENT_KIND_NAMES = Object.keys(DOCUMENT_KINDS) as readonly DocumentKindName[]
/** Kinds that are nearly all of a version, and to whose records no other record of the same kind refers. */
export const DIVIDED_KINDS: ReadonlySet<DocumentKindName> = new Set(['creatives', 'listParts', 'lineItems'])

/** A tenant's documents after validation: every record is good and everything it refers to is there. */
export interface TenantDocuments {
  readonly settings: Settings
  readonly rates: Rates
  readonly exchanges: readonly Exchange[]
  readonly advertisers: readonly Advertiser[]
  readonly campaigns: readonly Campaign[]
  readonly creatives: readonly Creative[]
  readonly lists: readonly ValueList[]
  readonly listParts: readonly ListPart[]
  readonly lineItems: readonly LineItem[]
}
