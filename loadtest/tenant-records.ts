import { readTenantDirectory } from '../service/remote-cache/tenant-directory.ts'
import type { DocumentKindName, TenantDocuments } from '../service/state/documents.ts'

/** A tenant's documents as they stand in their files, unchecked: the load test only draws traffic from them. */
export type TenantRecords = Pick<
  TenantDocuments,
  'exchanges' | 'advertisers' | 'creatives' | 'lineItems' | 'campaigns' | 'rates' | 'settings'
>

/** Reads a directory of tenant documents. Memory and cost: O(documents). Throws as readTenantDirectory does. */
export async function readTenantRecords(directory: string): Promise<TenantRecords> {
  const found: Partial<Record<DocumentKindName, unknown[]>> = {}
  for await (const { kind, value } of readTenantDirectory(directory)) {
    found[kind] ??= []
    found[kind].push(value)
  }
  const list = (kind: DocumentKindName) => found[kind] ?? []
  const records: { [K in keyof TenantRecords]: unknown } = {
    settings: list('settings')[0] ?? {},
    rates: list('rates')[0] ?? { rates: {} },
    exchanges: list('exchanges'),
    advertisers: list('advertisers'),
    campaigns: list('campaigns'),
    creatives: list('creatives'),
    lineItems: list('lineItems'),
  }
  return records as TenantRecords
}

/** What one unit of each currency is worth in the tenant's own. */
export function ratesOf({ settings, rates }: TenantRecords): Readonly<Record<string, number>> {
  return { ...rates.rates, [settings.currency]: 1 }
}
