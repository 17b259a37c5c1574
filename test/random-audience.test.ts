import { expect, test } from 'vitest'
import { Engine } from '../service/decision/decide.ts'
import type { Facts, FactValue } from '../service/decision/opportunity.ts'
import { scan } from '../service/decision/scan.ts'
import { scanTables } from '../service/decision/scan-line-item.ts'
import { Random } from '../service/foundation/random.ts'
import { readFacts } from '../service/openrtb/read-facts.ts'
import { NEVER_ENDS } from '../service/state/audience-chunk.ts'
import { type Catalog, idAt, openCatalog } from '../service/state/catalog.ts'
import { CatalogBuilder } from '../service/state/catalog-builder.ts'
import { REQUEST_DIMENSIONS } from '../service/state/dimensions.ts'
import { DOCUMENT_KIND_NAMES, type TenantDocuments } from '../service/state/documents.ts'
import { idTextMaker } from '../service/state/user-ids.ts'
import type { GoodDocument } from '../service/state/validate.ts'
import { NaiveAudience } from './random/audience.ts'
import { randomFacts, some, VALUES } from './random/targeting.ts'
import { randomOpportunity, randomTenant } from './random/tenant.ts'
import { type Member, SampleAudience } from './sample-audience.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const ROUNDS = 25
const NOW_MINUTE = 29_000_000
const NOW_MS = NOW_MINUTE * 60_000 + 30_000
const SEGMENT = REQUEST_DIMENSIONS.indexOf('segment')
const KINDS = ['buyeruid', 'ifa', 'user:adx', 'user:other', 'eid:one.example', 'eid:two.example'] as const
const NOBODY = { cappedLineItems: new Set<string>(), cappedCreatives: new Set<string>(), spent: new Set<string>() }

/** The same members for a task and for the oracle. */
function randomUsers(random: Random, audience: SampleAudience): NaiveAudience {
  const naive = new NaiveAudience()
  const members: Member[] = []
  for (const segment of VALUES.segment) {
    const rows = new Map<string, number>()
    for (const kind of KINDS)
      for (let i = 0; i < 6; i++)
        if (random.chance(0.3))
          rows.set(textOf(kind, `id-${i}`), random.chance(0.5) ? NEVER_ENDS : NOW_MINUTE + random.between(-1, 1))
    for (const [idText, minute] of rows) members.push({ segment, idText, minute })
    naive.publish('add', segment, rows)
  }
  audience.replace(members)
  return naive
}

/** Not validated: random targeting may say nothing at all. */
function compile(documents: TenantDocuments): Catalog {
  const builder = new CatalogBuilder(creative => `"crid":"${creative.id}"`)
  for (const kind of DOCUMENT_KIND_NAMES)
    for (const document of [documents[kind]].flat()) builder.add({ kind, document } as GoodDocument)
  const slab = new SharedArrayBuffer(8 * 1024 * 1024)
  return openCatalog(builder.finish(slab, { version: 'v1', announcement: 1 }).header, slab)
}

function textOf(kind: string, id: string): string {
  return idTextMaker(kind)?.(id) ?? ''
}

/** A request with some ids, and their texts. */
function randomRequest(random: Random) {
  const texts: string[] = []
  const id = (kind: string) => {
    const drawn = `id-${random.pickIndex(6)}`
    texts.push(textOf(kind, drawn))
    return drawn
  }
  const maybe = (kind: string) => (random.chance(0.4) ? id(kind) : undefined)
  const eids = ['one.example', 'two.example']
    .filter(() => random.chance(0.4))
    .map(source => ({
      source,
      uids: Array.from({ length: random.between(1, 2) }, () => ({ id: id(`eid:${source}`) })),
    }))
  const data = some(random, VALUES.segment, 2).map(segment => ({ segment: [{ id: segment }] }))
  const old = random.chance(0.2)
  const user = { buyeruid: maybe('buyeruid'), id: maybe('user:adx'), data, ...(old ? { ext: { eids } } : { eids }) }
  return {
    request: { user, device: { ifa: maybe('ifa') } },
    texts,
    told: data.map(({ segment }) => segment[0]?.id ?? ''),
  }
}

test('a line item wins by segments of audiences as it would by the same ones in the request', {
  timeout: 60_000,
}, () => {
  let found = 0
  const audience = new SampleAudience()
  for (let round = 0; round < ROUNDS; round++) {
    const random = new Random(SEED + round)
    const documents = randomTenant(random)
    const [tables, catalog] = [scanTables(documents), compile(documents)]
    const { lineItemIdStart, lineItemIds, lineItemPassRatePpm: passRatePpm } = catalog.columns
    const engine = new Engine(catalog, { passRatePpm, covers: () => true, want: () => {}, empty: () => undefined })
    const naive = randomUsers(random, audience)
    for (let ask = 0; ask < 20; ask++) {
      const { request, texts, told } = randomRequest(random)
      const personal = random.chance(0.8)
      const readAgent = () => ({ browser: '', os: '', osVersion: '' }) as const
      const { values } = readFacts(request, {
        ...{ exchangeId: 'adx', daypart: '', nowMs: NOW_MS, personal, targeted: ['segment'] as const, readAgent },
        audience: audience.reader,
      })
      const own = texts.flatMap(text => naive.segmentsOf(text, NOW_MS))
      const expected = personal ? [...new Set([...told, ...own])] : []
      const context = `SEED=${SEED} round=${round} ask=${ask}`
      expect([...new Set(values[SEGMENT] as readonly string[])].toSorted(), context).toEqual(expected.toSorted())
      found += own.length
      const others = randomFacts(random)
      const withSegments = (segments: FactValue): Facts => ({
        ...others,
        values: others.values.with(SEGMENT, segments),
      })
      const opportunity = randomOpportunity(random)
      engine.prepare(withSegments(values[SEGMENT] as readonly string[]))
      const decision = engine.decide(opportunity, NOW_MS, random.pickIndex)
      const asked = { facts: withSegments(expected), opportunity, nowMs: NOW_MS, onPage: new Set<string>(), ...NOBODY }
      const right = scan(tables, asked)
      if (decision.kind === 'no-bid' || right.kind === 'no-bid') expect(decision, context).toEqual(right)
      else
        expect(
          right.lineItems.map(({ id }) => id),
          context,
        ).toContain(idAt(lineItemIdStart, lineItemIds, decision.lineItem))
    }
  }
  expect(found).toBeGreaterThan(ROUNDS)
})
