import { describe, expect, test } from 'vitest'
import { randomFacts } from '../../test/random/targeting.ts'
import { randomOpportunity, randomTenant } from '../../test/random/tenant.ts'
import { compiledTenant } from '../../test/sample-catalog.ts'
import { Random } from '../foundation/random.ts'
import { idAt } from '../state/catalog.ts'
import type { TenantDocuments } from '../state/documents.ts'
import { Engine, STAGES } from './decide.ts'
import { explainLot, type LotExplanation } from './explain.ts'
import { findingText } from './finding.ts'
import { type Asked, scanTables } from './scan-line-item.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const NOW_MS = Date.parse('2026-11-21T12:00:00Z')
const ALL = { lineItemsMax: Number.POSITIVE_INFINITY }

/** Without rules that say nothing, which no document has. */
function writable(documents: TenantDocuments): TenantDocuments {
  const lineItems = documents.lineItems.map(lineItem => {
    const rules = Object.entries(lineItem.targeting).filter(([, rule]) => Object.keys(rule ?? {}).length > 0)
    return { ...lineItem, targeting: Object.fromEntries(rules) }
  })
  return { ...documents, lineItems }
}

/** What must hold of any explanation, whatever was asked. */
function expectConsistent({ counts, groups, winners, others, reason }: LotExplanation, context: string): void {
  expect(winners.length, context).toBe(counts.wins)
  expect(others.length, context).toBe(counts.outranked + counts.fails)
  expect(
    groups.reduce((sum, { stops }) => sum + stops, 0),
    context,
  ).toBe(counts.fails)
  const odd = others.filter(
    ({ outcome, findings, ...judged }) =>
      findings.length > 0 !== (outcome === 'fails') ||
      judged.reason !== findings[0]?.reason ||
      !findings.every(finding => /^\S.*; .*\S$/.test(findingText(finding))),
  )
  expect(odd, context).toEqual([])
  for (const { bid } of winners) expect(bid?.creativeIds.length, context).toBeGreaterThan(0)
  const stages = groups.filter(({ stops }) => stops > 0).map(group => STAGES.indexOf(group.reason as never))
  if (winners.length === 0) expect(reason, context).toBe(STAGES[Math.max(0, ...stages)])
}

describe(`an explanation (seed ${SEED})`, () => {
  test('never disagrees with the engine about who wins, at which price, or why nobody does', () => {
    const total = { bids: 0, explained: 0, manyFindings: 0, reasons: new Set<string>() }
    for (let round = 0; round < 60; round++) {
      const random = new Random(SEED + round)
      const documents = writable(randomTenant(random, { lineItems: random.between(0, 60) }))
      const tables = scanTables(documents)
      const catalog = compiledTenant(documents)
      const { lineItemIdStart, lineItemIds, creativeIdStart, creativeIds } = catalog.columns
      const spent = new Set(documents.lineItems.filter(() => random.chance(0.15)).map(({ id }) => id))
      const covers = (lineItem: number) => !spent.has(idAt(lineItemIdStart, lineItemIds, lineItem))
      const passRatePpm = catalog.columns.lineItemPassRatePpm
      const engine = new Engine(catalog, { passRatePpm, covers, want: () => {}, empty: () => undefined })
      const free = new Engine(catalog)
      for (let ask = 0; ask < 20; ask++) {
        const facts = randomFacts(random)
        const opportunity = randomOpportunity(random)
        const asked: Asked = {
          ...{ facts, opportunity, nowMs: NOW_MS, spent },
          ...{ onPage: new Set(), cappedLineItems: new Set(), cappedCreatives: new Set() },
        }
        engine.prepare(facts)
        free.prepare(facts)
        const decision = engine.decide(opportunity, NOW_MS, random.pickIndex)
        const explained = explainLot(tables, asked, ALL)
        const context = `SEED=${SEED} round=${round} ask=${ask}`
        expectConsistent(explained, context)
        total.explained++
        total.manyFindings += explained.others.filter(({ findings }) => findings.length > 1).length
        const judged = new Map<string, number>()
        free.judge(opportunity, NOW_MS, (ordinal, stage) =>
          judged.set(idAt(lineItemIdStart, lineItemIds, ordinal), stage),
        )
        const all = explainLot(tables, { ...asked, spent: new Set() }, ALL)
        const eligible = [...all.winners, ...all.others.filter(({ outcome }) => outcome === 'outranked')]
        expect(
          [...judged]
            .filter(([, stage]) => stage === STAGES.length)
            .map(([id]) => id)
            .sort(),
          context,
        ).toEqual(eligible.map(({ id }) => id).sort())
        const stopped = all.others.filter(each => each.reason !== undefined && judged.has(each.id))
        for (const each of stopped) expect(STAGES[judged.get(each.id) ?? -1], context).toBe(each.reason)
        if (decision.kind === 'no-bid') {
          expect(explained.reason, context).toBe(decision.reason)
          total.reasons.add(decision.reason)
          continue
        }
        total.bids++
        const id = idAt(lineItemIdStart, lineItemIds, decision.lineItem)
        const winner = explained.winners.find(each => each.id === id)
        expect(winner?.bid?.creativeIds, context).toContain(idAt(creativeIdStart, creativeIds, decision.creative))
        expect(Math.round((winner?.bid?.cpm ?? 0) * 1e6), context).toBe(decision.priceNanos)
        expect(winner?.bid?.dealId, context).toBe(opportunity.deals[decision.deal]?.id ?? '')
      }
    }
    expect(total.bids).toBeGreaterThan(60)
    expect(total.manyFindings).toBeGreaterThan(1_000)
    expect(total.reasons.size).toBeGreaterThan(8)
  })

  test('tells all of one line item when it is asked for one, and the winners beside it', () => {
    const random = new Random(SEED)
    const documents = writable(randomTenant(random, { lineItems: 40 }))
    const asked: Asked = {
      ...{
        facts: randomFacts(random),
        opportunity: randomOpportunity(random),
        nowMs: NOW_MS,
        spent: new Set<string>(),
      },
      ...{ onPage: new Set<string>(), cappedLineItems: new Set<string>(), cappedCreatives: new Set<string>() },
    }
    const all = explainLot(scanTables(documents), asked, ALL)
    const last = all.others.at(-1)
    const one = explainLot(scanTables(documents), asked, { lineItemId: last?.id, lineItemsMax: 1 })
    expect(one.others).toEqual([last])
    expect([one.winners, one.counts, one.groups]).toEqual([all.winners, all.counts, all.groups])
  })
})
