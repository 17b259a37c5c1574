import { describe, expect, test } from 'vitest'
import { sampleTenant } from '../../test/sample-catalog.ts'
import { BUDGET_KIND, NO_LIMIT_NANOS, pacingOfText } from './budget-fields.ts'
import { type Catalog, idAt, openCatalog } from './catalog.ts'
import { CatalogBuilder } from './catalog-builder.ts'
import { DOCUMENT_KIND_NAMES, type LineItem, type TenantDocuments } from './documents.ts'
import type { GoodDocument } from './validate.ts'

const MIB = 1_024 * 1_024
const SAMPLE = sampleTenant()
const BASE: LineItem = {
  ...{ id: 'li', name: 'Line item', campaignId: 'cmp-acme-winter', status: 'active', priority: 5 },
  ...{ price: { cpm: 2 }, targeting: {}, creativeIds: ['cr-acme-300x250'] },
}

function builderOf(documents: TenantDocuments): CatalogBuilder {
  const builder = new CatalogBuilder(creative => `"crid":"${creative.id}"`)
  for (const kind of DOCUMENT_KIND_NAMES)
    for (const document of [documents[kind]].flat()) builder.add({ kind, document } as GoodDocument)
  return builder
}

function compiled(documents: TenantDocuments, slab = new SharedArrayBuffer(4 * MIB)): Catalog {
  const { header } = builderOf(documents).finish(slab, { version: 'v1', announcement: 7 })
  return openCatalog(structuredClone(header), slab)
}
const withLineItems = (...lineItems: readonly Partial<LineItem>[]): TenantDocuments => ({
  ...SAMPLE,
  lineItems: lineItems.map((more, index) => ({ ...BASE, id: `li-${index}`, ...more })),
})
const idsOf = ({ header, columns }: Catalog) =>
  Array.from({ length: header.lineItems }, (_, ordinal) => idAt(columns.lineItemIdStart, columns.lineItemIds, ordinal))

describe('a catalog', () => {
  test('has budgets and plans by line item and by campaign', () => {
    const campaigns = SAMPLE.campaigns.map(each =>
      each.id === 'cmp-acme-winter'
        ? { ...each, budget: { daily: 0.29, kind: 'smooth' as const }, pacing: { plan: 'even' as const } }
        : each,
    )
    const weights = [1, 0.5]
    const withBudgets = { ...SAMPLE, campaigns }
    const catalog = compiled({
      ...withBudgets,
      lineItems: [
        { ...BASE, id: 'a', budget: { total: 100.1 }, pacing: { plan: 'custom', weights } },
        { ...BASE, id: 'b' },
        { ...BASE, id: 'c', campaignId: 'cmp-acme-always-on' },
      ],
    })
    const { columns, header } = catalog
    expect([...columns.lineItemTotalNanos]).toEqual([100.1e9, NO_LIMIT_NANOS, NO_LIMIT_NANOS])
    const { strict, smooth, none } = BUDGET_KIND
    expect([...columns.lineItemBudgetKind]).toEqual([strict, smooth, none])
    expect(columns.campaignDailyNanos[columns.lineItemCampaign[0]!]).toBe(0.29e9)
    const planOf = (value: number | undefined) => pacingOfText(header.pacingPlans.get(value ?? -1) ?? '')
    expect(planOf(columns.lineItemPacing[0])).toEqual({ plan: 'custom', weights })
    expect(planOf(columns.lineItemPacing[1])).toEqual({ plan: 'asap', weights: [] })
    expect(planOf(columns.campaignPacing[columns.lineItemCampaign[1]!])).toEqual({ plan: 'even', weights: [] })
  })

  test('has its line items in the order in which they would win: priority, price, as they came', () => {
    const prices = [2, 3, 3, 9].map(cpm => ({ price: { cpm } }))
    const catalog = compiled(withLineItems(...prices, { priority: 1 }, { priority: 16, price: { cpm: 99 } }))
    expect(idsOf(catalog)).toEqual(['li-4', 'li-3', 'li-1', 'li-2', 'li-0', 'li-5'])
    expect([...catalog.columns.lineItemRankEnd]).toEqual([1, 2, 4, 4, 5, 6])
    expect([...catalog.columns.lineItemPriorityEnd]).toEqual([1, 5, 5, 5, 5, 6])
    expect([...catalog.columns.lineItemPriceNanos]).toEqual([2e6, 9e6, 3e6, 3e6, 2e6, 99e6])
  })

  test('leaves out what is paused, and line items that are left with nothing', () => {
    const pause = <T extends { readonly id: string }>(records: readonly T[], id: string): T[] =>
      records.map(record => (record.id === id ? { ...record, status: 'paused' } : record))
    const documents = withLineItems({}, { status: 'paused' }, { creativeIds: ['cr-acme-728x90'] })
    expect(idsOf(compiled(documents))).toEqual(['li-0', 'li-2'])
    const creatives = pause(documents.creatives, 'cr-acme-300x250')
    expect(idsOf(compiled({ ...documents, creatives }))).toEqual(['li-2'])
    const campaigns = pause(documents.campaigns, 'cmp-acme-winter')
    expect(idsOf(compiled({ ...documents, campaigns }))).toEqual([])
  })

  test('has for each line item the part of its flight that lies in that of its campaign', () => {
    const flight = { start: '2026-11-02T00:00:00+02:00', end: '2026-11-30T00:00:00Z' }
    const campaigns = SAMPLE.campaigns.map(campaign => ({ ...campaign, flight }))
    const own = { start: '2026-11-05T00:00:00Z', end: '2027-01-01T00:00:00Z' }
    const { columns } = compiled({ ...withLineItems({}, { flight: own }), campaigns })
    const end = Date.parse(flight.end)
    expect([...columns.lineItemFlightStartMs]).toEqual([Date.parse(flight.start), Date.parse(own.start)])
    expect([...columns.lineItemFlightEndMs]).toEqual([end, end])
  })

  test('knows the ledger currency at 1 and carries what does not fit columns', () => {
    const { header } = compiled({ ...SAMPLE, rates: { asOf: '2026-11-21T00:00:00Z', rates: { EUR: 1.2, USD: 7 } } })
    expect([...header.rates]).toEqual([
      ['EUR', 1.2],
      ['USD', 1],
    ])
    expect(header).toMatchObject({ version: 'v1', announcement: 7, settings: SAMPLE.settings })
    expect(header.exchanges).toEqual(SAMPLE.exchanges)
  })

  test('is the same whatever lay in the slab before', () => {
    const used = new SharedArrayBuffer(4 * MIB)
    new Uint8Array(used).fill(0xab)
    const clean = compiled(SAMPLE)
    const { columns, header } = compiled(SAMPLE, used)
    expect(header).toEqual(clean.header)
    for (const [name, column] of Object.entries(columns))
      expect(
        Buffer.from(new Uint8Array(column.buffer, column.byteOffset, column.byteLength)).equals(bytesOf(name)),
        name,
      ).toBe(true)
    function bytesOf(name: string): Uint8Array {
      const { buffer, byteOffset, byteLength } = clean.columns[name as keyof typeof columns]
      return new Uint8Array(buffer, byteOffset, byteLength)
    }
  })

  test('may be empty', () => {
    const none = { advertisers: [], campaigns: [], creatives: [], lineItems: [], exchanges: [] }
    expect(compiled({ ...SAMPLE, ...none }).header.lineItems).toBe(0)
  })

  test('that is larger than its slab is refused with the remedy', () => {
    const small = new SharedArrayBuffer(16 * 1_024)
    expect(() => compiled(SAMPLE, small)).toThrow('give the task more memory')
  })

  test('without settings is none', () => {
    const builder = new CatalogBuilder(() => '')
    const slab = new SharedArrayBuffer(MIB)
    expect(() => builder.finish(slab, { version: 'v', announcement: 1 })).toThrow('a catalog has settings')
  })
})
