/**
 * The naive engine: reads the documents themselves and tries every line item. Too slow to bid with; it is the oracle
 * that the index is held against, the yardstick of the benchmark, and what explains a decision. Shares no code with
 * the index.
 */
import type { LineItem } from '../state/documents.ts'
import { STAGES } from './decide.ts'
import type { NoBidReason } from './reasons.ts'
import { type Asked, findingsOf, type ScanTables } from './scan-line-item.ts'

/** All line items that the best rank holds, or the reason why there is none. */
export type ScanResult =
  | { readonly kind: 'winners'; readonly lineItems: readonly LineItem[] }
  | { readonly kind: 'no-bid'; readonly reason: NoBidReason }

/**
 * Tries every line item. A pass-through rate of 0 is paced out, any other takes part. Pure.
 * @returns the line items between which chance may decide, or the last check that any reached. Cost: O(line items).
 */
export function scan(tables: ScanTables, asked: Asked): ScanResult {
  let furthest = 0
  let winners: LineItem[] = []
  for (const lineItem of tables.documents.lineItems) {
    const { value: first } = findingsOf(tables, lineItem, asked).next()
    if (first === undefined) winners = better(winners, lineItem)
    else furthest = Math.max(furthest, STAGES.indexOf(first.reason))
  }
  if (winners.length > 0) return { kind: 'winners', lineItems: winners }
  return { kind: 'no-bid', reason: STAGES[furthest] as NoBidReason }
}

function better(winners: LineItem[], next: LineItem): LineItem[] {
  const best = winners[0]
  if (best === undefined) return [next]
  const order = rankOrder(best, next)
  if (order > 0) return [next]
  return order === 0 ? [...winners, next] : winners
}

/** Below 0 when the first would win, above when the second would, 0 where chance decides. Pure. */
export function rankOrder(a: LineItem, b: LineItem): number {
  return a.priority - b.priority || b.price.cpm - a.price.cpm
}
