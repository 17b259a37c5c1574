import { describe, expect, test } from 'vitest'
import { Random } from '../foundation/random.ts'
import { nanosFromCpm } from '../foundation/units.ts'
import { bidPrice, writeBid, writeNoBid, writeResponse } from './write-response.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const AWKWARD = '<"\'\\\n\u0000 Zürich 東京 😀 \ud800>'

describe('a response', () => {
  const bid = {
    id: 'b1',
    impId: AWKWARD,
    price: 1.25,
    campaignId: AWKWARD,
    dealId: AWKWARD,
    expiryS: 60,
    shape: '',
    fragment: '"crid":"c"',
    notices: '',
  }

  test('is ASCII and JSON, whatever its texts are', () => {
    const text = writeResponse(
      AWKWARD,
      new Map([
        [AWKWARD, `${writeBid(bid)},${writeBid({ ...bid, id: 'b2' })}`],
        ['other', writeBid(bid)],
      ]),
      'EUR',
      false,
    )
    expect(/^[ -~]*$/.test(text)).toBe(true)
    const one = { id: 'b1', impid: AWKWARD, price: 1.25, cid: AWKWARD, dealid: AWKWARD, exp: 60, crid: 'c' }
    expect(JSON.parse(text)).toEqual({
      ...{ id: AWKWARD, cur: 'EUR' },
      seatbid: [
        { seat: AWKWARD, bid: [one, { ...one, id: 'b2' }] },
        { seat: 'other', bid: [one] },
      ],
    })
  })

  test('has no deal and no seat where there is none', () => {
    const [seatbid] = JSON.parse(
      writeResponse('r', new Map([['', writeBid({ ...bid, dealId: '' })]]), 'USD', true),
    ).seatbid
    expect(seatbid).not.toHaveProperty('seat')
    expect(seatbid.group).toBe(1)
    expect(seatbid.bid[0]).not.toHaveProperty('dealid')
  })

  test('without a bid says why', () => {
    expect(JSON.parse(writeNoBid(AWKWARD, 15))).toEqual({ id: AWKWARD, seatbid: [], nbr: 15 })
  })
})

describe('a price', () => {
  test('is the CPM where the bid is in the ledger currency', () => {
    for (const cpm of [0.0001, 1.1, 5.2, 18.5, 9_999.9999]) expect(bidPrice(nanosFromCpm(cpm, 'down'), 1)).toBe(cpm)
  })

  test("is never above the line item's price and less than one step below it", () => {
    const random = new Random(SEED)
    for (let round = 0; round < 50_000; round++) {
      const nanos = random.between(100, 10 ** random.between(3, 10))
      const rate = random.chance(0.3) ? 1 : Number((10 ** (random.unit() * 6 - 3)).toPrecision(random.between(1, 15)))
      const price = bidPrice(nanos, rate)
      const context = `SEED=${SEED} round=${round} ${nanos} nanos at ${rate}: ${price}`
      // In nanos of the ledger currency; a step is 10^-6 of a CPM, the tolerance a millionth of it.
      expect(price * rate * 1e6, context).toBeLessThanOrEqual(nanos + rate * 1e-6 + nanos * 1e-14)
      expect(price * rate * 1e6, context).toBeGreaterThan(nanos - rate - nanos * 1e-14)
      expect(Number(price.toFixed(6)), context).toBe(price)
    }
  })
})

describe('nanos of a CPM', () => {
  test('round to the side that is asked for, at every amount', () => {
    expect([nanosFromCpm(5.000_000_4, 'up'), nanosFromCpm(5.000_000_4, 'down')]).toEqual([5_000_001, 5_000_000])
    expect([nanosFromCpm(9_999.000_000_1, 'up'), nanosFromCpm(9_999.000_000_9, 'down')]).toEqual([
      9_999_000_001, 9_999_000_000,
    ])
  })

  test('do not take the error of a float for money', () => {
    const random = new Random(SEED)
    for (let round = 0; round < 20_000; round++) {
      const nanos = random.between(1, 10 ** random.between(1, 10))
      const context = `SEED=${SEED} round=${round} ${nanos}`
      expect(nanosFromCpm(nanos / 1e6, 'up'), context).toBe(nanos)
      expect(nanosFromCpm(nanos / 1e6, 'down'), context).toBe(nanos)
    }
  })
})
