import { describe, expect, test } from 'vitest'
import { randomFacts } from '../../test/random/targeting.ts'
import { randomOpportunity, randomTenant } from '../../test/random/tenant.ts'
import { compiledTenant } from '../../test/sample-catalog.ts'
import { Random } from '../foundation/random.ts'
import { bannerSlot } from '../state/catalog.ts'
import type { Creative } from '../state/creative-document.ts'
import type { LineItem } from '../state/documents.ts'
import { Engine } from './decide.ts'
import type { Opportunity } from './opportunity.ts'

const SEED = 20_261_121
const NOW_MS = Date.parse('2026-11-21T12:00:00Z')
const IDS = ['cr-0', 'cr-1', 'cr-2']

/** How often each creative is bid with by one line item that has all three; the second is of another size. */
function bidsOf(lineItem: Partial<LineItem>, draws: number, secondFits = true): number[] {
  const random = new Random(SEED)
  const tenant = randomTenant(random, { lineItems: 1, alike: true })
  const creatives = IDS.map((id, index): Creative => {
    const creative = { ...tenant.creatives[0], id } as Creative
    return index === 1 && !secondFits && creative.format === 'banner' ? { ...creative, width: 301 } : creative
  })
  const lineItems = [{ ...(tenant.lineItems[0] as LineItem), creativeIds: IDS, ...lineItem }]
  const engine = new Engine(compiledTenant({ ...tenant, creatives, lineItems }))
  const opportunity: Opportunity = {
    ...randomOpportunity(random),
    ...{
      slots: [bannerSlot(300, 250)],
      banner: { mimes: 0, blockedAttributes: 0, blockedTypes: 0, frameworks: 0, asksForShape: false },
    },
    ...{ floorNanos: 0 as Opportunity['floorNanos'], deals: [], privateAuction: false, secure: false },
  }
  const bids = [0, 0, 0]
  for (let i = 0; i < draws; i++) {
    engine.prepare(randomFacts(random, { empty: true }))
    const decision = engine.decide(opportunity, NOW_MS, random.pickIndex)
    if (decision.kind !== 'bid') throw new Error(decision.reason)
    engine.take(decision)
    bids[decision.creative]!++
  }
  return bids
}

describe('between creatives that fit', () => {
  test('the first is chosen where nothing is said', () => {
    expect(bidsOf({}, 30)).toEqual([30, 0, 0])
    expect(bidsOf({ creativeChoice: 'first' }, 30)).toEqual([30, 0, 0])
  })

  test('they take turns', () => {
    expect(bidsOf({ creativeChoice: 'sequential' }, 31)).toEqual([11, 10, 10])
    expect(bidsOf({ creativeChoice: 'sequential' }, 30, false)).toEqual([15, 0, 15])
  })

  test('chance chooses by weight', () => {
    const draws = 6_000
    const weights = { 'cr-0': 1, 'cr-2': 4 }
    const found = bidsOf({ creativeChoice: 'weighted', creativeWeights: weights }, draws)
    // Five standard deviations of a binomial count are at most 194.
    for (const [index, share] of [1 / 6, 1 / 6, 4 / 6].entries())
      expect(Math.abs((found[index] ?? 0) - share * draws), `SEED=${SEED} ${found}`).toBeLessThan(200)
    expect(bidsOf({ creativeChoice: 'weighted' }, 300, false)[1]).toBe(0)
  })
})
