import { describe, expect, test } from 'vitest'
import { Random } from '../foundation/random.ts'
import { type Share, Shares } from './shares.ts'

const SHARE: Share = {
  ...{ slice: 3, leaseNumber: 7, lease: 'task-1', day: 20_778, nanos: 100, holdPart: 1 },
  ...{ startMs: 1_000, endMs: 11_000, bucketMs: 5_000 },
}

function sharesWith(...more: readonly Partial<Share>[]): Shares {
  const shares = new Shares()
  for (const each of more) shares.give({ ...SHARE, ...each })
  return shares
}

describe('the shares of a thread', () => {
  test('hold what they have and no more, and say in which lease and bucket', () => {
    const shares = sharesWith({})
    expect(shares.hold(3, 60, 2_000, 9_500)).toBe(true)
    expect([shares.lease, shares.bucket, shares.day]).toEqual(['task-1', 3, 20_778])
    expect(shares.covers(3, 41)).toBe(false)
    expect(shares.hold(3, 41, 2_000, 1_000)).toBe(false)
    expect(shares.hold(3, 40, 2_000, 1_000)).toBe(true)
    expect(shares.report(2_100)).toEqual({
      held: Float64Array.of(7, 3, 60, 7, 1, 40),
      returned: new Float64Array(),
      wanted: Float64Array.of(3, 41),
      isLast: false,
    })
    expect(shares.report(2_200)).toBeUndefined()
  })

  test('grow by numbers alone; what is given of a lease that the thread does not have goes back', () => {
    const shares = sharesWith({ nanos: 10 })
    shares.take({ shares: [], more: Float64Array.of(7, 50, 0.5, 9, 20, 1), recalled: new Set() })
    expect([shares.covers(3, 120), shares.covers(3, 121)]).toEqual([true, false])
    expect(shares.report(2_000)?.returned).toEqual(Float64Array.of(9, 20))
  })

  test('are not held after their lease ended, and go back when it is recalled', () => {
    const shares = sharesWith({}, { leaseNumber: 8, nanos: 30, endMs: 99_000 })
    expect(shares.hold(3, 10, 10_999, 1_000)).toBe(true)
    expect(shares.hold(3, 31, 11_001, 1_000)).toBe(false)
    expect(shares.hold(3, 5, 11_001, 1_000)).toBe(true)
    shares.recall(new Set([7, 8, 9]))
    expect(shares.hold(3, 5, 11_002, 1_000)).toBe(false)
    expect(shares.report(11_100)?.returned).toEqual(Float64Array.of(7, 90, 8, 25))
  })

  test('are told by lease and bucket, also when another lease was held in between', () => {
    const shares = sharesWith({}, { slice: 4, leaseNumber: 8 })
    for (const slice of [3, 3, 4, 3]) expect(shares.hold(slice, 10, 2_000, 3_000)).toBe(true)
    expect(shares.hold(3, 10, 2_000, 9_000)).toBe(true)
    expect(shares.report(2_100)?.held).toEqual(Float64Array.of(7, 1, 30, 8, 1, 10, 7, 2, 10))
    expect(shares.hold(3, 10, 2_200, 3_000)).toBe(true)
    expect(shares.report(2_300)?.held).toEqual(Float64Array.of(7, 1, 10))
  })

  test('all go back with the last report', () => {
    const shares = sharesWith({}, { slice: 4, leaseNumber: 8, nanos: 30, endMs: 99_000 })
    expect(shares.hold(3, 10, 2_000, 3_000)).toBe(true)
    const { held, returned, isLast } = shares.close()
    expect([...held, ...returned, isLast]).toEqual([7, 1, 10, 7, 90, 8, 30, true])
    expect(shares.covers(4, 1)).toBe(false)
  })

  test('hold a part of the price for a smooth budget, rounded up', () => {
    const shares = sharesWith({ holdPart: 0.25 })
    expect(shares.hold(3, 399, 2_000, 1_000)).toBe(true)
    expect(shares.covers(3, 1)).toBe(false)
  })

  test('want a slice that they know nothing of', () => {
    const shares = sharesWith()
    expect(shares.covers(5, 1)).toBe(false)
    shares.want(5, 1)
    shares.want(5, 2)
    expect(shares.report(1)?.wanted).toEqual(Float64Array.of(5, 2))
  })

  test('lose and invent nothing over leases that come and go, 600 at a time (seed 11)', () => {
    const random = new Random(11)
    const shares = new Shares()
    const left = new Map<number, { readonly slice: number; nanos: number }>()
    const given = new Map<number, number>()
    const told = new Map<number, number>()
    const add = (sums: Map<number, number>, leaseNumber: number, nanos: number) =>
      sums.set(leaseNumber, (sums.get(leaseNumber) ?? 0) + nanos)
    let leases = 0
    const tell = ({ held, returned } = shares.report(1) ?? shares.close()) => {
      for (let i = 0; i < held.length; i += 3) add(told, held[i]!, held[i + 2]!)
      for (let i = 0; i < returned.length; i += 2) add(told, returned[i]!, returned[i + 1]!)
    }
    for (let step = 0; step < 6_000; step++) {
      const slice = random.between(0, 299)
      const nanos = random.between(1, 50)
      if (left.size < 600 && random.unit() < 0.4) {
        shares.give({ ...SHARE, slice, leaseNumber: leases, lease: `l-${leases}`, nanos })
        given.set(leases, nanos)
        left.set(leases++, { slice, nanos })
      } else if (random.unit() < 0.1) {
        const recalled = random.pick([...left.keys()])
        shares.recall([recalled])
        left.delete(recalled)
      } else {
        const room = [...left.entries()].find(([, part]) => part.slice === slice && part.nanos >= nanos)
        expect(shares.covers(slice, nanos), `step ${step}`).toBe(room !== undefined)
        expect(shares.hold(slice, nanos, 2_000, 1_000), `step ${step}`).toBe(room !== undefined)
        if (room !== undefined) {
          room[1].nanos -= nanos
          expect(shares.lease).toBe(`l-${room[0]}`)
        }
      }
      if (step % 100 === 99) tell()
    }
    tell(shares.close())
    expect([...told].sort(([a], [b]) => a - b)).toEqual([...given])
  })
})
