/** The benchmark's fixed workload: a generated tenant, half of its best ranked line items paced out, and traffic. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generateTenant } from '../service/commands/generator.ts'
import type { TargetingStyle } from '../service/commands/generator-targeting.ts'
import type { DocumentKindName, LineItem, TenantDocuments } from '../service/state/documents.ts'
import { tenantWorkload, type WorkloadRequest } from './workload.ts'

/** Of the line items, those that rank best; every second of them takes part in nothing. */
const BEST_SHARE = 0.5

/** All documents of a generated tenant in memory. Cost: O(line items), about 0.05 ms each. */
export function benchDocuments(lineItems: number, seed: number, targeting: TargetingStyle = 'usual'): TenantDocuments {
  const found: Partial<Record<DocumentKindName, unknown[]>> = {}
  for (const { kind, value } of generateTenant({ lineItems, seed, targeting })) {
    found[kind] ??= []
    found[kind].push(value)
  }
  const { settings, rates, ...lists } = found
  const documents = { ...lists, settings: settings?.[0], rates: rates?.[0] } as unknown as TenantDocuments
  return { ...documents, lineItems: pacedOut(documents.lineItems) }
}

function pacedOut(lineItems: readonly LineItem[]): readonly LineItem[] {
  const ranked = [...lineItems].sort((a, b) => a.priority - b.priority || b.price.cpm - a.price.cpm)
  const best = ranked.slice(0, ranked.length * BEST_SHARE)
  const stopped = new Set(best.filter((_, rank) => rank % 2 === 0).map(({ id }) => id))
  return lineItems.map(lineItem => (stopped.has(lineItem.id) ? { ...lineItem, passThroughRate: 0 } : lineItem))
}

/** The same with a budget, a plan and a frequency cap for every line item: more than the benchmark ever spends. */
export function withMoney(documents: TenantDocuments): TenantDocuments {
  const money = {
    budget: { daily: 1_000_000 },
    pacing: { plan: 'asap' },
    frequencyCaps: [{ impressions: 200, per: { days: 1 }, withoutId: 'bid' }],
  } as const
  return { ...documents, lineItems: documents.lineItems.map(lineItem => ({ ...lineItem, ...money })) }
}

/** Writes documents as a directory that the service loads with `file:`. */
export async function writeTenantDirectory(documents: TenantDocuments, directory: string): Promise<void> {
  for (const [kind, value] of Object.entries(documents) as [DocumentKindName, unknown][]) {
    const isList = Array.isArray(value)
    const text = isList ? value.map(record => `${JSON.stringify(record)}\n`).join('') : JSON.stringify(value)
    await writeFile(join(directory, `${kind}.${isList ? 'ndjson' : 'json'}`), text)
  }
}

/** Requests drawn from the documents, none malformed; the same seed gives the same bytes. */
export function benchTraffic(documents: TenantDocuments, count: number, seed: number): readonly WorkloadRequest[] {
  return tenantWorkload(documents, { count, seed, malformedShare: 0 })
}
