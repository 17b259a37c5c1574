import { describe, expect, test } from 'vitest'
import { compiledTenant, sampleTenant } from '../../test/sample-catalog.ts'
import { Random } from '../foundation/random.ts'
import { CapBoard, createCapBoard } from '../spend/cap-board.ts'
import { CapLog, countedOf } from '../spend/cap-log.ts'
import { CapTable, createCapMemory } from '../spend/cap-table.ts'
import { Shares } from '../spend/shares.ts'
import { createGuardMemory, SpendBrake, SpendGuard } from '../spend/spend-guard.ts'
import { ThreadBudgets } from '../spend/thread-budgets.ts'
import { CapAsker, ThreadCaps } from '../spend/thread-caps.ts'
import { NO_IDENTITIES } from '../state/cap-fields.ts'
import type { Exchange } from '../state/exchange-document.ts'
import { createRecorderBlock, Recorder } from '../telemetry/recorder.ts'
import { BidClaims } from './bid-claims.ts'
import { BidPath } from './bid-path.ts'
import { ServedCatalog } from './served-catalog.ts'
import { Serving } from './serving.ts'

const NOW_MS = Date.parse('2026-11-21T12:00:00Z')
const START_S = NOW_MS / 1_000
const LEASED_NANOS = 1_000_000_000
const MAX_NANOS_PER_MINUTE = 60_000_000_000
const SHARE = { slice: 0, leaseNumber: 7, lease: 'lease-1', day: 1, startMs: 0, endMs: 60_000, bucketMs: 5_000 }

/** The claims of a bid thread on real shares, caps and a guard. Every line item has the one budget there is. */
function stage(isRoadblock = false) {
  const sample = sampleTenant()
  const cap = { impressions: 100, of: 'household', withoutId: 'bid' } as const
  const [first, ...others] = sample.lineItems.map(({ deals: _, ...each }) => ({ ...each, frequencyCaps: [cap] }))
  const wanted = first === undefined ? [] : [{ ...first, targeting: {}, roadblock: isRoadblock }]
  const catalog = compiledTenant({ ...sample, lineItems: isRoadblock ? wanted : [...wanted, ...others] })
  const shares = new Shares()
  const slices = new SharedArrayBuffer(4 * catalog.header.lineItems)
  const rates = new SharedArrayBuffer(4 * catalog.header.lineItems)
  new Uint32Array(rates).fill(1_000_000)
  const board = new CapBoard(createCapBoard(START_S))
  board.open()
  const table = new CapTable(createCapMemory(64 * 1024))
  const log = new CapLog(100)
  const asker = new CapAsker({ table, board, log, onUntold: () => {}, onElsewhere: () => {} })
  const memory = createGuardMemory()
  const guard = new SpendGuard(memory)
  guard.limit(MAX_NANOS_PER_MINUTE)
  guard.look({ monotonicMs: 0, tasks: 1 })
  guard.look({ monotonicMs: 10_000, tasks: 1 })
  const budgets = new ThreadBudgets(shares, { slices, rates }, catalog.columns.lineItemPriceNanos)
  const served = new ServedCatalog(catalog, { budgets, caps: new ThreadCaps(asker, catalog) })
  const left = (): number => new Int32Array(memory, 0, 1)[0] as number
  return { served, shares, table, log, brake: new SpendBrake(memory), left }
}

describe('what a bid takes', () => {
  test('is all of it or nothing, whichever part is missing', () => {
    const { served, shares, brake, left, table } = stage()
    const claims = new BidClaims(brake)
    claims.begin(1_000)
    const bid = { served, lineItem: 0, creative: 0, amountNanos: 400_000_000, expiresS: 60 }
    served.caps.begin(Uint32Array.of(0, 0, 0, 0, 5, 6), 0, [])
    const before = left()
    expect(claims.take(bid)).toBe('no-budget')
    expect(left()).toBe(before)
    shares.give({ ...SHARE, nanos: LEASED_NANOS, holdPart: 1 })
    const cost = claims.take(bid)
    const counted = countedOf(typeof cost === 'string' ? '' : cost.counted)
    expect(counted?.keys).toHaveLength(1)
    for (const key of counted?.keys ?? []) for (let i = 0; i < 99; i++) table.show(key, 0, START_S, START_S)
    const [afterOne, held] = [left(), shares.report(1_000)?.held]
    expect(held).toEqual(Float64Array.of(7, 13, 400_000_000))
    // The count of its household is full now: neither money nor the guard's bucket is touched.
    expect(claims.take(bid)).toBe('frequency-capped')
    expect(left()).toBe(afterOne)
    expect([...(shares.report(1_100)?.held ?? [])].filter((_, i) => i % 3 === 2).every(nanos => nanos === 0)).toBe(true)
    expect(shares.covers(0, LEASED_NANOS - 400_000_000)).toBe(true)
  })

  test('goes back when the bids of a request are not made', () => {
    const { served, shares, brake, left, table, log } = stage()
    const claims = new BidClaims(brake)
    claims.begin(1_000)
    shares.give({ ...SHARE, nanos: LEASED_NANOS, holdPart: 1 })
    served.caps.begin(Uint32Array.of(0, 0, 0, 0, 5, 6), 0, [])
    const before = left()
    const costs = [60, 20, 60].map(expiresS =>
      claims.take({ served, lineItem: 0, creative: 0, amountNanos: 100_000_000, expiresS }),
    )
    expect(shares.covers(0, LEASED_NANOS - 200_000_000)).toBe(false)
    claims.giveBack()
    expect(shares.covers(0, LEASED_NANOS)).toBe(true)
    expect(left()).toBe(before)
    const keys = costs.flatMap(cost => countedOf(typeof cost === 'string' ? '' : cost.counted)?.keys ?? [])
    expect(keys.map(key => table.countOf(key, START_S))).toEqual([0, 0, 0])
    // Other tasks are told of three bids, and that they are none.
    expect(log.count).toBe(6)
    claims.giveBack()
    expect(left()).toBe(before)
  })

  test('stays with the bids of the request before', () => {
    const { served, shares, brake } = stage()
    const claims = new BidClaims(brake)
    claims.begin(1_000)
    shares.give({ ...SHARE, nanos: LEASED_NANOS, holdPart: 1 })
    served.caps.begin(NO_IDENTITIES, 0, [])
    claims.take({ served, lineItem: 0, creative: 0, amountNanos: 100_000_000, expiresS: 60 })
    claims.begin(1_000)
    claims.giveBack()
    expect(shares.covers(0, LEASED_NANOS)).toBe(false)
  })
})

test('a roadblock that cannot have the whole page holds nothing', () => {
  const { served, shares, brake, left } = stage(true)
  const serving = new Serving(served, NOW_MS)
  const path = new BidPath({
    ...{ recorder: new Recorder(createRecorderBlock()), pickIndex: new Random(1).pickIndex, bidIdPrefix: 'test-' },
    ...{ spendLimit: brake, identitySalt: 1 },
    alarm: (code, detail) => expect.fail(`${code}: ${detail}`),
  })
  const exchange = serving.exchange('adx') as Exchange
  const imp = ['1', '2'].map(id => ({ id, banner: { w: 300, h: 250 } }))
  const body = JSON.stringify({ id: 'r', allimps: 1, imp, site: { domain: 'news.example' } })
  const answer = () =>
    path.answer(Buffer.from(body), exchange, serving, { nowMs: NOW_MS, monotonicMs: 1_000, waitedMs: 0 })
  const price = served.catalog.columns.lineItemPriceNanos[0] as number
  shares.give({ ...SHARE, nanos: Math.floor(price * 1.5), holdPart: 1 })
  const before = left()
  expect(answer().status).toBe(204)
  expect(shares.covers(0, Math.floor(price * 1.5))).toBe(true)
  expect(left()).toBe(before)
  shares.give({ ...SHARE, nanos: price, holdPart: 1 })
  expect(answer().status).toBe(200)
  expect(shares.covers(0, price)).toBe(false)
})
