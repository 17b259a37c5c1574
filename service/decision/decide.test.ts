import { describe, expect, test } from 'vitest'
import { randomFacts } from '../../test/random/targeting.ts'
import { randomOpportunity, randomTenant } from '../../test/random/tenant.ts'
import { Random } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import { type Catalog, idAt, openCatalog } from '../state/catalog.ts'
import { CatalogBuilder } from '../state/catalog-builder.ts'
import { renditionsOf } from '../state/creative-document.ts'
import type { TenantDocuments } from '../state/documents.ts'
import type { GoodDocument } from '../state/validate.ts'
import { Engine } from './decide.ts'
import { scan } from './scan.ts'
import { scanTables } from './scan-line-item.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const NOBODY = { cappedLineItems: new Set<string>(), cappedCreatives: new Set<string>() }
const NOW_MS = Date.parse('2026-11-21T12:00:00Z')

function compile(documents: TenantDocuments): Catalog {
  const builder = new CatalogBuilder(creative => `"crid":"${creative.id}"`)
  builder.add({ kind: 'settings', document: documents.settings })
  builder.add({ kind: 'rates', document: documents.rates })
  for (const kind of ['exchanges', 'advertisers', 'campaigns', 'creatives', 'lists', 'listParts', 'lineItems'] as const)
    for (const document of documents[kind]) builder.add({ kind, document } as GoodDocument)
  const slab = new SharedArrayBuffer(32 * 1024 * 1024)
  const built = builder.finish(slab, { version: 'v1', announcement: 1 })
  return openCatalog(structuredClone(built.header), slab)
}

describe('the engine', () => {
  test('agrees with the naive scan on thousands of random tenants and requests', { timeout: 120_000 }, () => {
    let bids = 0
    const reasons = new Set<string>()
    let fixedPrices = 0
    const renditions = ({ creatives }: TenantDocuments) =>
      creatives.flatMap(each => (each.status === 'active' ? renditionsOf(each) : []))
    for (let round = 0; round < 400; round++) {
      const random = new Random(SEED + round)
      const documents = randomTenant(random)
      const tables = scanTables(documents)
      const catalog = compile(documents)
      const { lineItemIdStart, lineItemIds, lineItemPassRatePpm: passRatePpm } = catalog.columns
      const spentShare = round % 4 === 0 ? 0.8 : 0.15
      const spent = new Set(documents.lineItems.filter(() => random.chance(spentShare)).map(({ id }) => id))
      const empty = new Uint32Array(catalog.header.words)
      const covers = (lineItem: number) => {
        if (!spent.has(idAt(lineItemIdStart, lineItemIds, lineItem))) return true
        empty[lineItem >>> 5]! |= 1 << (lineItem & 31)
        return false
      }
      const engine = new Engine(catalog, { passRatePpm, covers, want: () => {}, empty: () => empty })
      for (let ask = 0; ask < 15; ask++) {
        const facts = randomFacts(random)
        engine.prepare(facts)
        const onPage = new Set<string>()
        for (let impression = 0; impression < 2; impression++) {
          const opportunity = randomOpportunity(random)
          const expected = scan(tables, { facts, opportunity, nowMs: NOW_MS, onPage, spent, ...NOBODY })
          const decision = engine.decide(opportunity, NOW_MS, random.pickIndex)
          const context = `SEED=${SEED} round=${round} ask=${ask}.${impression}`
          if (expected.kind === 'no-bid') {
            expect(decision, context).toEqual(expected)
            reasons.add(expected.reason)
          } else {
            expect(decision.kind, context).toBe('bid')
            if (decision.kind !== 'bid') continue
            const id = idAt(lineItemIdStart, lineItemIds, decision.lineItem)
            expect(
              expected.lineItems.map(lineItem => lineItem.id),
              context,
            ).toContain(id)
            engine.take(decision)
            const creative = renditions(documents)[decision.creative]
            expect(creative, context).toBeDefined()
            const { onPage: rule = 'one-per-advertiser' } = documents.settings
            if (rule === 'one-per-creative') onPage.add(creative?.id ?? '')
            if (rule === 'one-per-advertiser') onPage.add(creative?.advertiserId ?? '')
            const offer = opportunity.deals[decision.deal]
            const cpm = documents.lineItems.find(lineItem => lineItem.id === id)?.price.cpm ?? 0
            expect(decision.priceNanos, context).toBe(offer?.isFixedPrice ? offer.floorNanos : Math.round(cpm * 1e6))
            expect(decision.amountNanos, context).toBe(Math.ceil(decision.priceNanos * opportunity.multiplier))
            if (offer?.isFixedPrice) fixedPrices++
            bids++
          }
        }
      }
    }
    expect(bids).toBeGreaterThan(1_500)
    expect(fixedPrices).toBeGreaterThan(20)
    expect(reasons.size).toBe(12)
  })

  test('lets chance decide evenly between line items of equal rank, also when there are very many', () => {
    for (const count of [2, 10, 500]) {
      const random = new Random(SEED)
      const documents = randomTenant(random, { lineItems: count, alike: true })
      const engine = new Engine(compile(documents))
      const opportunity = {
        ...randomOpportunity(random),
        slots: [300 * 16_384 + 250],
        banner: { mimes: 0, blockedAttributes: 0, blockedTypes: 0, frameworks: 0, asksForShape: false },
        floorNanos: 0,
        deals: [],
        privateAuction: false,
        multiplier: 1,
        secure: false,
      } as never
      const wins = new Uint32Array(count)
      engine.prepare(randomFacts(random, { empty: true }))
      const draws = count * 400
      for (let i = 0; i < draws; i++) {
        const decision = engine.decide(opportunity, NOW_MS, random.pickIndex)
        if (decision.kind === 'bid') wins[decision.lineItem]!++
      }
      // Five standard deviations of a binomial count with mean 400.
      for (const won of wins) expect(Math.abs(won - 400), `SEED=${SEED} count=${count}`).toBeLessThan(120)
      expect(LIMITS.tiedCandidatesMax).toBeLessThan(500)
    }
  })
})
