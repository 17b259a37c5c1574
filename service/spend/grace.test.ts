import { describe, expect, test } from 'vitest'
import { Grace } from './grace.ts'

const GRACE_MS = 10_000

/** A task that was connected at 0. */
function connected(): Grace {
  const grace = new Grace(GRACE_MS)
  grace.begin(0)
  return grace
}

describe('the grace after a new connection', () => {
  test('is none where nobody else can be connected, and nothing is said', () => {
    const grace = new Grace(GRACE_MS)
    expect([grace.mayLease(0), grace.mayClose(0), grace.hello(0)]).toEqual([true, true, undefined])
  })

  test('holds for leasing and closing when nobody vouches and others have leases', () => {
    const grace = connected()
    for (let nowMs = 0; nowMs < GRACE_MS; nowMs += 500) {
      grace.heard({ vouches: 7, leasing: 2 }, nowMs)
      expect([grace.mayLease(nowMs), grace.mayClose(nowMs)]).toEqual([false, false])
    }
    expect([grace.mayLease(GRACE_MS), grace.mayClose(GRACE_MS)]).toEqual([true, true])
  })

  test('is over for leasing once somebody has vouched since, and not for closing', () => {
    const grace = connected()
    grace.heard({ vouches: 7, leasing: 2 }, 20)
    expect(grace.mayLease(20)).toBe(false)
    grace.heard({ vouches: 8, leasing: 2 }, 600)
    expect([grace.mayLease(600), grace.mayClose(600)]).toEqual([true, false])
    // Another connection is another ledger, and what was vouched for before says nothing of it.
    grace.begin(700)
    grace.heard({ vouches: 9, leasing: 2 }, 720)
    expect(grace.mayLease(720)).toBe(false)
  })

  test('is a second for a task that never leased and finds nobody who has', () => {
    const grace = connected()
    grace.heard({ vouches: 0, leasing: 0 }, 20)
    expect(grace.mayLease(20)).toBe(false)
    grace.heard({ vouches: 0, leasing: 0 }, 1_019)
    expect(grace.mayLease(1_019)).toBe(false)
    grace.heard({ vouches: 0, leasing: 0 }, 1_020)
    expect(grace.mayLease(1_020)).toBe(true)
    const established = connected()
    established.leased()
    for (let nowMs = 0; nowMs < GRACE_MS; nowMs += 500) established.heard({ vouches: 0, leasing: 0 }, nowMs)
    expect(established.mayLease(GRACE_MS - 1)).toBe(false)
  })

  test('is waited for in hellos, and only a task whose own is over vouches', () => {
    const grace = connected()
    expect([grace.hello(0), grace.hello(100), grace.hello(300)]).toEqual(['waiting', undefined, 'waiting'])
    grace.heard({ vouches: 1, leasing: 1 }, 300)
    grace.heard({ vouches: 2, leasing: 1 }, 600)
    expect([grace.hello(700), grace.hello(1_400)]).toEqual([undefined, 'waiting'])
    expect([grace.hello(GRACE_MS), grace.hello(GRACE_MS + 500)]).toEqual(['vouching', undefined])
  })

  test('begins when a ledger that was closed opens, be that sooner than it said', () => {
    const grace = connected()
    grace.closed(3_600_000)
    expect(grace.mayLease(20_000)).toBe(false)
    grace.open(30_000)
    expect([grace.mayClose(39_999), grace.mayClose(40_000)]).toEqual([false, true])
    grace.open(90_000)
    expect(grace.mayClose(90_000)).toBe(true)
  })
})
