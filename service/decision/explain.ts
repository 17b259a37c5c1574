/** Why the line items of a tenant bid for an impression or do not: the naive engine, asked for all it finds. */
import { cpmFromNanos } from '../foundation/units.ts'
import type { LineItem } from '../state/documents.ts'
import { STAGES } from './decide.ts'
import type { Finding } from './finding.ts'
import type { NoBidReason } from './reasons.ts'
import { rankOrder } from './scan.ts'
import { type Asked, dealOf, findingsOf, fittingCreatives, type ScanTables } from './scan-line-item.ts'

/** What became of one line item. */
export interface JudgedLineItem {
  readonly id: string
  readonly name: string
  readonly campaignId: string
  readonly priority: number
  /** Its price, in the ledger currency. */
  readonly cpm: number
  /** 'wins' together with others of its rank: then chance decides. 'outranked': it passes, and others win. */
  readonly outcome: 'wins' | 'outranked' | 'fails'
  /** What stops it, where it fails: the first of its findings. */
  readonly reason?: NoBidReason
  /** All that it fails, in the order of decision. */
  readonly findings: readonly Finding[]
  /** Of one that passes: what it would bid, where, and with which creatives. */
  readonly bid?: { readonly cpm: number; readonly dealId: string; readonly creativeIds: readonly string[] }
}

/** Line items that the same check stops. */
export interface FindingGroup {
  readonly reason: NoBidReason
  readonly what: string
  /** How many it stops, and how many fail it, those included that something else stops before. */
  readonly stops: number
  readonly fails: number
  /** A few of those that fail it. */
  readonly examples: readonly { readonly lineItemId: string; readonly finding: Finding }[]
}

/** One decision. */
export interface LotExplanation {
  readonly reason: NoBidReason | undefined
  readonly counts: { readonly wins: number; readonly outranked: number; readonly fails: number }
  /** In the order of decision; by how many line items each stops within a reason. */
  readonly groups: readonly FindingGroup[]
  /** All between which chance decides. */
  readonly winners: readonly JudgedLineItem[]
  /** Those that they outrank, then those that fail, furthest first: as many as were asked for. */
  readonly others: readonly JudgedLineItem[]
}

/** Of which line items, beside the winners, everything is told. */
export interface ExplainScope {
  /** Only this one. */
  readonly lineItemId?: string | undefined
  /** Of each outcome as many. */
  readonly lineItemsMax: number
}

const EXAMPLES_MAX = 3

interface Judged {
  readonly lineItem: LineItem
  readonly findings: readonly Finding[]
}

/**
 * Judges every line item by every check. Pure.
 * @param roadblock of a line item that wants whole pages: what it is asked instead
 * @returns which would win and what keeps the others from it. Cost: O(line items × what they target)
 */
export function explainLot(
  tables: ScanTables,
  asked: Asked,
  scope: ExplainScope,
  roadblock: (lineItem: LineItem) => readonly Finding[] | undefined = () => undefined,
): LotExplanation {
  const passing: Judged[] = []
  const failing: Judged[] = []
  const groups = new Map<string, Tally>()
  for (const lineItem of tables.documents.lineItems) {
    const findings = roadblock(lineItem) ?? [...findingsOf(tables, lineItem, asked)]
    if (findings.length === 0) passing.push({ lineItem, findings })
    else {
      failing.push({ lineItem, findings })
      countFindings(groups, lineItem, findings)
    }
  }
  passing.sort((a, b) => rankOrder(a.lineItem, b.lineItem))
  const best = passing[0]
  const wins = best === undefined ? 0 : passing.filter(each => rankOrder(best.lineItem, each.lineItem) === 0).length
  const furthest = Math.max(0, ...[...groups.values()].map(group => (group.stops > 0 ? stageOf(group.reason) : 0)))
  failing.sort((a, b) => stageOf(b.findings[0]!.reason) - stageOf(a.findings[0]!.reason))
  const judged = (each: Judged, outcome: JudgedLineItem['outcome']) => judgedLineItem(tables, asked, each, outcome)
  const isTold = ({ lineItem }: Judged) => scope.lineItemId === undefined || lineItem.id === scope.lineItemId
  const told = (list: readonly Judged[]) => list.filter(isTold).slice(0, scope.lineItemsMax)
  return {
    reason: best === undefined ? STAGES[furthest] : undefined,
    counts: { wins, outranked: passing.length - wins, fails: failing.length },
    groups: [...groups.values()].sort((a, b) => stageOf(a.reason) - stageOf(b.reason) || b.stops - a.stops),
    winners: passing.slice(0, wins).map(each => judged(each, 'wins')),
    others: [
      ...told(passing.slice(wins)).map(each => judged(each, 'outranked')),
      ...told(failing).map(each => judged(each, 'fails')),
    ],
  }
}

/** A group that still grows. */
interface Tally {
  readonly reason: NoBidReason
  readonly what: string
  stops: number
  fails: number
  readonly examples: { readonly lineItemId: string; readonly finding: Finding }[]
}

function countFindings(groups: Map<string, Tally>, { id }: LineItem, findings: readonly Finding[]): void {
  const counted = new Set<string>()
  for (const finding of findings) {
    const { reason, what } = finding
    const key = `${reason} ${what}`
    if (counted.has(key)) continue
    counted.add(key)
    const tally = groups.get(key) ?? { reason, what, stops: 0, fails: 0, examples: [] }
    groups.set(key, tally)
    tally.fails++
    if (counted.size === 1) tally.stops++
    if (tally.examples.length < EXAMPLES_MAX) tally.examples.push({ lineItemId: id, finding })
  }
}

function judgedLineItem(
  tables: ScanTables,
  asked: Asked,
  { lineItem, findings }: Judged,
  outcome: JudgedLineItem['outcome'],
): JudgedLineItem {
  const { id, name, campaignId, priority, price } = lineItem
  const told = { id, name, campaignId, priority, cpm: price.cpm, outcome, findings }
  const [first] = findings
  if (first !== undefined) return { ...told, reason: first.reason }
  const deal = dealOf(tables, lineItem, asked.opportunity)
  const creativeIds = fittingCreatives(tables, lineItem, asked).map(creative => creative.id)
  const cpm = deal?.isFixedPrice ? cpmFromNanos(deal.floorNanos) : price.cpm
  return { ...told, bid: { cpm, dealId: deal?.id ?? '', creativeIds } }
}

function stageOf(reason: NoBidReason): number {
  return (STAGES as readonly NoBidReason[]).indexOf(reason)
}
