/** The engine alone: nanoseconds per decision by size of the catalog, beside the naive scan. */
import { Engine } from '../service/decision/decide.ts'
import type { Facts, Opportunity } from '../service/decision/opportunity.ts'
import { scan } from '../service/decision/scan.ts'
import { type Asked, scanTables } from '../service/decision/scan-line-item.ts'
import { Random } from '../service/foundation/random.ts'
import { creativeFragment } from '../service/openrtb/creative-fragment.ts'
import { readRequest } from '../service/openrtb/read-request.ts'
import { readAgent } from '../service/openrtb/user-agent.ts'
import type { Catalog } from '../service/state/catalog.ts'
import { CatalogBuilder } from '../service/state/catalog-builder.ts'
import { DOCUMENT_KIND_NAMES, type TenantDocuments } from '../service/state/documents.ts'
import type { GoodDocument } from '../service/state/validate.ts'
import type { WorkloadRequest } from './workload.ts'

/** What one size of catalog costs. Nanoseconds per decision of one impression. */
export interface EngineFigures {
  readonly medianNs: number
  readonly p99Ns: number
  readonly scanNs: number
  readonly bidShare: number
  readonly eligibleMedian: number
  readonly catalogBytes: number
}

interface Ask {
  readonly facts: Facts
  readonly opportunities: readonly Opportunity[]
}

/** The instant of the tenant's hour 37, as UTC. */
const TUESDAY_13_MS = Date.parse('2026-11-24T13:30:00Z')
const SLAB_BYTES = 2 ** 30
const SCANS = 15
const WARM_ROUNDS = 3

/** Compiles documents as the service does. */
function compileCatalog(documents: TenantDocuments): Catalog {
  const builder = new CatalogBuilder(creativeFragment)
  for (const kind of DOCUMENT_KIND_NAMES) {
    const values = [documents[kind]].flat() as readonly unknown[]
    for (const document of values) builder.add({ kind, document } as GoodDocument)
  }
  return builder.finish(new SharedArrayBuffer(SLAB_BYTES), { version: 'bench', announcement: 1 })
}

/** Measures decisions of a workload against documents, over rounds; the median over all and the 99th percentile. */
export function measureEngine(
  documents: TenantDocuments,
  traffic: readonly WorkloadRequest[],
  rounds: number,
): EngineFigures {
  const catalog = compileCatalog(documents)
  const asks = readAll(documents, catalog, traffic)
  const engine = new Engine(catalog)
  const random = new Random(1)
  const nowMs = Date.now()
  const samples: number[] = []
  let bids = 0
  for (let round = -WARM_ROUNDS; round < rounds; round++) {
    for (const { facts, opportunities } of asks) {
      for (const opportunity of opportunities) {
        const startMs = performance.now()
        engine.prepare(facts)
        const decision = engine.decide(opportunity, nowMs, random.pickIndex)
        const ns = (performance.now() - startMs) * 1e6
        if (round >= 0) samples.push(ns)
        if (round >= 0 && decision.kind === 'bid') bids++
      }
    }
  }
  samples.sort((a, b) => a - b)
  return {
    medianNs: Math.round(samples[Math.floor(samples.length / 2)] ?? 0),
    p99Ns: Math.round(samples[Math.floor(samples.length * 0.99)] ?? 0),
    bidShare: bids / samples.length,
    catalogBytes: catalog.header.bytes,
    ...measureScan(documents, asks, nowMs),
  }
}

function readAll(documents: TenantDocuments, catalog: Catalog, traffic: readonly WorkloadRequest[]): readonly Ask[] {
  const asks: Ask[] = []
  for (const { exchange: id, body } of traffic) {
    const exchange = documents.exchanges.find(each => each.id === id)
    if (exchange === undefined) continue
    const { rates, targeted, slotValues: slotsKnown, needsFrameworks } = catalog.header
    const state = { exchange, rates, slotsKnown, needsFrameworks, targeted, daypart: '37' }
    const terms = { ...state, nowMs: TUESDAY_13_MS, waitedMs: 0, readAgent }
    const read = readRequest(JSON.parse(body.toString()), terms)
    if (read.kind !== 'request') continue
    const opportunities = read.impressions.map(each => each.opportunity).filter(each => each !== undefined)
    asks.push({ facts: read.facts, opportunities })
  }
  return asks
}

/** The naive engine on a few of the requests, and how many line items pass everything but pacing in them. */
function measureScan(documents: TenantDocuments, asks: readonly Ask[], nowMs: number) {
  const tables = scanTables(documents)
  const times: number[] = []
  const eligible: number[] = []
  for (const { facts, opportunities } of asks.slice(0, SCANS)) {
    const opportunity = opportunities[0]
    if (opportunity === undefined) continue
    const startMs = performance.now()
    scan(tables, { facts, opportunity, nowMs, ...NOBODY })
    times.push((performance.now() - startMs) * 1e6)
    eligible.push(eligibleCount(tables, { facts, opportunity, nowMs, ...NOBODY }))
  }
  return { scanNs: Math.round(median(times)), eligibleMedian: median(eligible) }
}

const NOTHING: ReadonlySet<string> = new Set()
const NOBODY = { onPage: NOTHING, spent: NOTHING, cappedLineItems: NOTHING, cappedCreatives: NOTHING }

function eligibleCount(tables: ReturnType<typeof scanTables>, asked: Asked): number {
  const passes = tables.documents.lineItems.filter(lineItem => {
    const alone = { ...tables, documents: { ...tables.documents, lineItems: [lineItem] } }
    const result = scan(alone, asked)
    return result.kind === 'winners' || result.reason === 'paced-out'
  })
  return passes.length
}

/** The middle value; 0 of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}
