/** The naive engine's judgement of one line item: every check that it fails, in the order of decision. */
import { NANOS_PER_CPM } from '../foundation/units.ts'
import type { Creative } from '../state/creative-document.ts'
import type { Advertiser, Campaign, LineItem, TenantDocuments } from '../state/documents.ts'
import { STAGES } from './decide.ts'
import { type Finding, side } from './finding.ts'
import type { DealOffer, Facts, Opportunity } from './opportunity.ts'
import { creativeFindings, slotFinding } from './scan-creatives.ts'
import { type NamedList, targetingFindings } from './scan-targeting.ts'

/** What is asked of the naive engine. */
export interface Asked {
  readonly facts: Facts
  readonly opportunity: Opportunity
  readonly nowMs: number
  /** Ids of advertisers, or of creatives where settings.onPage says so, with a bid for an earlier impression. */
  readonly onPage: ReadonlySet<string>
  /** Ids of line items and creatives whose caps whoever asks has reached. */
  readonly cappedLineItems: ReadonlySet<string>
  readonly cappedCreatives: ReadonlySet<string>
  /** Ids of line items whose budget holds no bid. */
  readonly spent: ReadonlySet<string>
}

/** Documents by id, made once. */
export interface ScanTables {
  readonly documents: TenantDocuments
  readonly campaigns: ReadonlyMap<string, Campaign>
  readonly creatives: ReadonlyMap<string, Creative>
  readonly advertisers: ReadonlyMap<string, Advertiser>
  readonly lists: ReadonlyMap<string, NamedList>
}

/** Looks documents up by id for the naive engine. Cost: O(documents). */
export function scanTables(documents: TenantDocuments): ScanTables {
  return {
    documents,
    campaigns: new Map(documents.campaigns.map(campaign => [campaign.id, campaign])),
    creatives: new Map(documents.creatives.map(creative => [creative.id, creative])),
    advertisers: new Map(documents.advertisers.map(advertiser => [advertiser.id, advertiser])),
    lists: new Map(documents.lists.map(({ id, dimension }) => [id, { dimension, values: valuesOf(documents, id) }])),
  }
}

function valuesOf({ listParts }: TenantDocuments, listId: string): ReadonlySet<string> {
  return new Set(listParts.flatMap(part => (part.listId === listId ? part.values : [])))
}

type Findings = Generator<Finding, void, undefined>
const UNTARGETED = 'no-eligible-line-item'

/**
 * All that keeps a line item from bidding; nothing when it may win. The first finding is the check that stops it. A
 * pass-through rate of 0 is paced out, any other takes part. Pure. Cost: O(what it targets), less for the first alone.
 */
export function* findingsOf(tables: ScanTables, lineItem: LineItem, asked: Asked): Findings {
  const { opportunity } = asked
  const campaign = tables.campaigns.get(lineItem.campaignId)
  const advertiser = tables.advertisers.get(campaign?.advertiserId ?? '')
  if (campaign === undefined || advertiser === undefined) return yield orphaned(lineItem)
  yield* statusFindings(lineItem, campaign)
  yield* dealFindings(lineItem, opportunity)
  const creatives = lineItem.creativeIds.flatMap(id => tables.creatives.get(id) ?? [])
  const misplaced = creatives.map(creative => slotFinding(creative, opportunity))
  if (!misplaced.includes(undefined)) for (const finding of misplaced) if (finding !== undefined) yield finding
  yield* targetingFindings(lineItem.targeting, { ...asked, lists: tables.lists })
  yield* flightFindings(campaign.flight, 'campaign flight', asked.nowMs)
  yield* flightFindings(lineItem.flight, 'flight', asked.nowMs)
  yield* guardFindings(lineItem, tables.documents.settings)
  const inviting = invitingDeals(lineItem, advertiser, opportunity)
  yield* floorFindings(lineItem, inviting, opportunity)
  yield* advertiserFindings(lineItem, advertiser, inviting, asked)
  const placed = creatives.filter((_, i) => misplaced[i] === undefined)
  const blocked = blockedFindings(tables, placed, { lineItem, advertiser, inviting, asked })
  const isCapped = blocked[0]?.reason === 'frequency-capped'
  if (!isCapped) yield* blocked
  if (asked.onPage.has(advertiser.id))
    yield {
      ...{ reason: 'already-on-page', what: 'page', ours: side('is of', advertiser.id) },
      theirs: side('page has a bid of', advertiser.id),
    }
  if (isCapped) yield* blocked
  yield* limitFindings(lineItem, asked)
}

/** Creatives that would be sent: they fail no check. Pure. */
export function fittingCreatives(tables: ScanTables, lineItem: LineItem, asked: Asked): readonly Creative[] {
  const advertiser = tables.advertisers.get(tables.campaigns.get(lineItem.campaignId)?.advertiserId ?? '')
  if (advertiser === undefined) return []
  const own = { lineItem, advertiser, inviting: invitingDeals(lineItem, advertiser, asked.opportunity), asked }
  return lineItem.creativeIds.flatMap(id => {
    const creative = tables.creatives.get(id)
    if (creative === undefined || slotFinding(creative, asked.opportunity) !== undefined) return []
    return blockedFindings(tables, [creative], own).length === 0 ? [creative] : []
  })
}

/** Of the offered deals that the line item is in and its advertiser is invited to, the cheapest. Pure. */
export function dealOf(tables: ScanTables, lineItem: LineItem, opportunity: Opportunity): DealOffer | undefined {
  const advertiser = tables.advertisers.get(tables.campaigns.get(lineItem.campaignId)?.advertiserId ?? '')
  return advertiser === undefined ? undefined : cheapest(invitingDeals(lineItem, advertiser, opportunity))
}

function orphaned({ campaignId }: LineItem): Finding {
  const theirs = { verb: 'there is no such campaign or advertiser' }
  return { reason: UNTARGETED, what: 'campaign', ours: side('is of', campaignId), theirs }
}

function* statusFindings(lineItem: LineItem, campaign: Campaign): Findings {
  const theirs = { verb: 'only active ones bid' }
  if (campaign.status !== 'active')
    yield { reason: UNTARGETED, what: 'campaign status', ours: side('is', campaign.status), theirs }
  if (lineItem.status !== 'active')
    yield { reason: UNTARGETED, what: 'status', ours: side('is', lineItem.status), theirs }
}

function* dealFindings(lineItem: LineItem, { deals, privateAuction }: Opportunity): Findings {
  const own = dealsOf(lineItem)
  if (own === undefined ? !privateAuction : deals.some(({ id }) => own.includes(id))) return
  const [first] = deals
  if (first?.id.startsWith('\u0001'))
    yield {
      ...{ reason: UNTARGETED, what: 'roadblock', ours: side('is not of', first.id.slice(1)) },
      theirs: side('page is filled by the roadblock of', first.id.slice(1)),
    }
  else if (lineItem.roadblock === true)
    yield {
      ...{ reason: UNTARGETED, what: 'roadblock', ours: side('wants', 'all impressions of an open page') },
      theirs: side('request offers it', 'no such page'),
    }
  else if (own === undefined)
    yield {
      ...{ reason: UNTARGETED, what: 'private auction', ours: side('is in', 'no deal') },
      theirs: side('impression is only for', ...deals.map(({ id }) => id)),
    }
  else
    yield {
      ...{ reason: UNTARGETED, what: 'deal', ours: side('serves only in', ...own) },
      theirs: side('impression offers', ...deals.map(({ id }) => id)),
    }
}

function* flightFindings(flight: Campaign['flight'], what: string, nowMs: number): Findings {
  const theirs = side('it is', new Date(nowMs).toISOString())
  if (flight?.start !== undefined && nowMs < Date.parse(flight.start))
    yield { reason: 'outside-flight', what, ours: side('begins', flight.start), theirs }
  if (flight?.end !== undefined && nowMs >= Date.parse(flight.end))
    yield { reason: 'outside-flight', what, ours: side('ended', flight.end), theirs }
}

function* guardFindings({ price: { cpm } }: LineItem, { guards }: TenantDocuments['settings']): Findings {
  if (guards?.cpmMax === undefined || cpm <= guards.cpmMax) return
  const theirs = side('tenant guards against more than', guards.cpmMax)
  yield { reason: 'above-maximum-cpm', what: 'guards.cpmMax', ours: side('pays', cpm), theirs }
}

function* floorFindings(lineItem: LineItem, inviting: readonly DealOffer[], opportunity: Opportunity): Findings {
  const isOpen = dealsOf(lineItem) === undefined
  const offered = [...(opportunity.privateAuction ? [] : [opportunity]), ...opportunity.deals]
  // Who is in no deal that invites is asked for the least that anybody pays here.
  const floors = (isOpen ? [opportunity] : inviting.length > 0 ? inviting : offered).map(({ floorNanos }) => floorNanos)
  const floorNanos = Math.min(...floors)
  const { cpm } = lineItem.price
  if (Math.round(cpm * NANOS_PER_CPM) < floorNanos)
    yield {
      ...{ reason: 'below-floor', what: isOpen ? 'floor (CPM)' : 'floor of the deal (CPM)', ours: side('pays', cpm) },
      theirs: side('impression asks', floorNanos / NANOS_PER_CPM),
    }
}

function* advertiserFindings(
  lineItem: LineItem,
  { domain }: Advertiser,
  inviting: readonly DealOffer[],
  { facts, opportunity }: Asked,
): Findings {
  const reason = 'advertiser-blocked'
  const own = dealsOf(lineItem)
  if (own !== undefined && inviting.length === 0) {
    const invited = opportunity.deals.flatMap(({ id, advertiserDomains }) =>
      own.includes(id) ? advertiserDomains : [],
    )
    yield { reason, what: 'wadomain', ours: side('advertises', domain), theirs: side('deal invites', ...invited) }
  }
  const blocking = facts.blockedDomains.filter(blocked => isWithin(domain, blocked))
  if (blocking.length > 0)
    yield { reason, what: 'badv', ours: side('advertises', domain), theirs: side('request blocks', ...blocking) }
}

interface Own {
  readonly lineItem: LineItem
  readonly advertiser: Advertiser
  readonly inviting: readonly DealOffer[]
  readonly asked: Asked
}

/** Why none of the creatives bids, those of the creative that came furthest first; nothing when one does. */
function blockedFindings(tables: ScanTables, creatives: readonly Creative[], own: Own): readonly Finding[] {
  const { lineItem, advertiser, asked } = own
  const scene = {
    ...{ facts: asked.facts, opportunity: asked.opportunity, lineItem, advertiser },
    exchange: tables.documents.exchanges.find(({ id }) => id === asked.facts.exchangeId),
    deal: dealsOf(lineItem) === undefined ? undefined : (cheapest(own.inviting) ?? { lengthFloors: undefined }),
    onPage: asked.onPage,
    capped: asked.cappedCreatives,
  }
  const found = creatives.map(creative => [...creativeFindings(creative, scene)])
  if (found.some(findings => findings.length === 0)) return []
  return found.sort((a, b) => stageOf(b) - stageOf(a)).flat()
}

function* limitFindings(lineItem: LineItem, { cappedLineItems, spent }: Asked): Findings {
  if (cappedLineItems.has(lineItem.id))
    yield {
      ...{ reason: 'frequency-capped', what: 'frequency caps', ours: side('may be seen', 'as often as its caps say') },
      theirs: side('user has seen', 'that many'),
    }
  if (lineItem.passThroughRate === 0)
    yield {
      ...{ reason: 'paced-out', what: 'passThroughRate', ours: side('takes part in', '0 of all opportunities') },
      theirs: side('this is', 'one of them'),
    }
  if (spent.has(lineItem.id))
    yield {
      ...{
        reason: 'no-budget',
        what: 'budget',
        ours: { verb: 'holds no bid: its budget has nothing left here, or it is stopped' },
      },
      theirs: side('a bid costs', lineItem.price.cpm / 1_000),
    }
}

function stageOf([first]: readonly Finding[]): number {
  return first === undefined ? STAGES.length : STAGES.indexOf(first.reason)
}

/** Written out once more: see state/roadblocks.ts. */
function dealsOf({ roadblock, campaignId, deals }: LineItem): LineItem['deals'] {
  return roadblock === true ? [`\u0001${campaignId}`] : deals
}

function invitingDeals(lineItem: LineItem, { domain }: Advertiser, { deals }: Opportunity): readonly DealOffer[] {
  const own = dealsOf(lineItem)
  if (own === undefined) return []
  return deals.filter(
    ({ id, advertiserDomains: invited }) =>
      own.includes(id) && (invited.length === 0 || invited.some(each => isWithin(domain, each))),
  )
}

function cheapest(deals: readonly DealOffer[]): DealOffer | undefined {
  return deals.reduce((a, b) => (a !== undefined && a.floorNanos <= b.floorNanos ? a : b), deals[0])
}

const isWithin = (domain: string, above: string) => `.${domain}`.endsWith(`.${above}`)
