import { describe, expect, test } from 'vitest'
import { randomFacts } from '../../test/random/targeting.ts'
import { randomOpportunity, randomTenant } from '../../test/random/tenant.ts'
import { Random } from '../foundation/random.ts'
import { type Catalog, idAt, openCatalog } from '../state/catalog.ts'
import { CatalogBuilder } from '../state/catalog-builder.ts'
import { parseDelta } from '../state/delta.ts'
import { DOCUMENT_KIND_NAMES, DOCUMENT_KINDS, type DocumentKindName, type TenantDocuments } from '../state/documents.ts'
import { Overlay } from '../state/overlay.ts'
import { type GoodDocument, problemLine } from '../state/validate.ts'
import { type Change, WorkingCopy } from '../state/working-copy.ts'
import { Engine } from './decide.ts'
import { LayeredEngine } from './layered-engine.ts'
import { scan } from './scan.ts'
import { scanTables } from './scan-line-item.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const NOW_MS = Date.parse('2026-11-21T12:00:00Z')
const NOBODY = { spent: new Set<string>(), cappedLineItems: new Set<string>(), cappedCreatives: new Set<string>() }
const SLAB_BYTES = 4 * 1024 * 1024
const CHANGED_KINDS = ['settings', 'exchanges', 'advertisers', 'campaigns', 'creatives', 'lineItems'] as const

const render = (creative: { id: string }) => `"crid":"${creative.id}"`

/** The tenant that a publisher's copy has become. */
function documentsOf(copy: WorkingCopy): TenantDocuments {
  const lists = Object.fromEntries(DOCUMENT_KIND_NAMES.map(kind => [kind, [] as unknown[]]))
  for (const { kind, value } of copy.records()) lists[kind]?.push(value)
  const one = (kind: DocumentKindName) => (DOCUMENT_KINDS[kind].count === 'one' ? lists[kind]?.[0] : lists[kind])
  return Object.fromEntries(DOCUMENT_KIND_NAMES.map(kind => [kind, one(kind)])) as unknown as TenantDocuments
}

/** Without rules that say nothing, which no document has. */
function writable(documents: TenantDocuments): TenantDocuments {
  const lineItems = documents.lineItems.map(lineItem => {
    const rules = Object.entries(lineItem.targeting).filter(([, rule]) => Object.keys(rule ?? {}).length > 0)
    return { ...lineItem, targeting: Object.fromEntries(rules) }
  })
  return { ...documents, lineItems }
}

function copyOf(documents: TenantDocuments): WorkingCopy {
  const copy = new WorkingCopy()
  for (const kind of DOCUMENT_KIND_NAMES) for (const each of [documents[kind]].flat()) copy.put(kind, each)
  return copy
}

function compile(documents: TenantDocuments): Catalog {
  const builder = new CatalogBuilder(render)
  for (const kind of DOCUMENT_KIND_NAMES)
    for (const document of [documents[kind]].flat()) builder.add({ kind, document } as GoodDocument)
  const slab = new SharedArrayBuffer(SLAB_BYTES)
  return opened(builder.finish(slab, { version: 'v1', announcement: 1 }), slab)
}

/** As another thread reads it. */
function opened({ header }: Catalog, slab: SharedArrayBuffer): Catalog {
  return openCatalog(structuredClone(header), slab)
}

/** One to four changes: records of another random tenant with the same ids, or deletions. */
function randomChanges(random: Random, other: TenantDocuments): Change[] {
  return Array.from({ length: random.between(1, 4) }, () => {
    const kind = random.chance(0.5) ? 'lineItems' : random.pick(CHANGED_KINDS)
    const records: readonly unknown[] = [other[kind]].flat()
    const record = records.length === 0 ? undefined : (random.pick(records) as { readonly id?: string })
    if (record?.id !== undefined && random.chance(kind === 'lineItems' ? 0.2 : 0.05)) return { kind, delete: record.id }
    return record === undefined ? { kind: 'settings', put: other.settings } : { kind, put: record }
  })
}

interface Layers {
  readonly base: Catalog
  readonly overlay: Catalog
}

/** Asks the layered engine and the oracle the same. @returns how many bids there were, by layer */
function compare(layers: Layers, documents: TenantDocuments, random: Random, context: string) {
  const engine = new LayeredEngine(
    new Engine(layers.base),
    new Engine(layers.overlay, undefined, undefined, layers.base),
  )
  const tables = scanTables(documents)
  const counts = { base: 0, overlay: 0, reasons: new Set<string>() }
  for (let ask = 0; ask < 6; ask++) {
    const facts = randomFacts(random)
    engine.prepare(facts)
    const onPage = new Set<string>()
    for (let impression = 0; impression < 3; impression++) {
      const opportunity = randomOpportunity(random)
      const expected = scan(tables, { facts, opportunity, nowMs: NOW_MS, onPage, ...NOBODY })
      const decision = engine.decide(opportunity, NOW_MS, random.pickIndex)
      const where = `${context} ask=${ask}.${impression}`
      if (expected.kind === 'no-bid') {
        expect(decision, where).toEqual(expected)
        counts.reasons.add(expected.reason)
        continue
      }
      if (decision.kind !== 'bid') throw new Error(`${where}: ${decision.reason} instead of a bid`)
      const { columns } = decision.catalog
      const id = idAt(columns.lineItemIdStart, columns.lineItemIds, decision.lineItem)
      const winner = expected.lineItems.find(lineItem => lineItem.id === id)
      expect(winner, where).toBeDefined()
      const offer = opportunity.deals[decision.deal]
      const ownNanos = Math.round((winner?.price.cpm ?? 0) * 1e6)
      expect(decision.priceNanos, where).toBe(offer?.isFixedPrice ? offer.floorNanos : ownNanos)
      engine.take(decision)
      const creativeId = idAt(columns.creativeIdStart, columns.creativeIds, decision.creative)
      expect(winner?.creativeIds, where).toContain(creativeId)
      const advertiserId = documents.creatives.find(creative => creative.id === creativeId)?.advertiserId ?? ''
      const { onPage: rule = 'one-per-advertiser' } = documents.settings
      if (rule === 'one-per-creative') onPage.add(creativeId)
      if (rule === 'one-per-advertiser') onPage.add(advertiserId)
      counts[decision.catalog === layers.base ? 'base' : 'overlay']++
    }
  }
  return counts
}

describe(`an overlay over a base (seed ${SEED})`, () => {
  test('decides as one catalog of all records, after any sequence of changes', { timeout: 120_000 }, () => {
    const total = { base: 0, overlay: 0, deltas: 0, refused: 0, whole: 0 }
    const reasons = new Set<string>()
    for (let round = 0; round < 60; round++) {
      const random = new Random(SEED + round)
      const documents = writable(randomTenant(random))
      const other = { ...writable(randomTenant(random)), lists: documents.lists, listParts: documents.listParts }
      const copy = copyOf(documents)
      let base = compile(documents)
      let overlay = new Overlay(base, render)
      for (let step = 1; step <= 12; step++) {
        const context = `SEED=${SEED} round=${round} step=${step}`
        const outcome = copy.change(randomChanges(random, other), 'changes')
        total[outcome.kind === 'delta' ? 'deltas' : outcome.kind]++
        if (outcome.kind === 'refused') continue
        if (outcome.kind === 'whole') {
          base = compile(documentsOf(copy))
          overlay = new Overlay(base, render)
          continue
        }
        const delta = parseDelta(outcome.text)
        if (typeof delta === 'string') throw new Error(delta)
        const report = overlay.apply(delta, `delta ${step}`)
        expect(report.problems.map(problemLine), context).toEqual([])
        if (step % 3 !== 0) continue
        const slab = new SharedArrayBuffer(SLAB_BYTES)
        const layers = { base, overlay: opened(overlay.build(slab, step), slab) }
        const counts = compare(layers, documentsOf(copy), random, context)
        total.base += counts.base
        total.overlay += counts.overlay
        for (const reason of counts.reasons) reasons.add(reason)
      }
    }
    expect(total.deltas).toBeGreaterThan(200)
    expect(total.refused).toBeGreaterThan(10)
    expect(total.whole).toBeGreaterThan(5)
    expect(total.base).toBeGreaterThan(200)
    expect(total.overlay).toBeGreaterThan(200)
    expect(reasons.size).toBe(11)
  })
})
