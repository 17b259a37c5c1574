import { beforeEach, describe, expect, test } from 'vitest'
import { CAMPAIGN, type SimulatedLineItem, simulatedCatalog, utcDay } from '../../loadtest/money/tenant.ts'
import { Random } from '../foundation/random.ts'
import type { Budget } from '../state/budget-fields.ts'
import { applyToLedger, bookInLedger, emptyLedger, rebuildLedger } from './ledger-memory.ts'
import { Shares } from './shares.ts'
import { abandonedAfterMs, booksAfterMs, type LeaseRules, opensAfterMs } from './slice.ts'
import { TaskBudgets } from './task-budgets.ts'
import { TaskLedger } from './task-ledger.ts'

const RULES: LeaseRules = {
  ...{ leaseMsMin: 5_000, leaseMsMax: 60_000, bucketMs: 5_000, graceMs: 5_000, holdMsMax: 30_000 },
  ...{ clockAllowanceMs: 10_000, parts: 4, shareMs: 1_000 },
}
/** As in service. */
const LONG_RULES: LeaseRules = {
  ...{ leaseMsMin: 5_000, leaseMsMax: 1_800_000, bucketMs: 5_000, graceMs: 10_000, holdMsMax: 600_000 },
  ...{ clockAllowanceMs: 60_000, parts: 8, shareMs: 1_000 },
}
const SEED = Number(process.env.SEED ?? 2026)
const PRICE = 1_000_000
const START_MS = Date.UTC(2026, 10, 21, 12)

/** One task with one thread and a ledger that always answers. */
class World {
  readonly rules: LeaseRules
  nowMs = START_MS
  holdMs = 10_000
  /** Of its bids, the part that is billed in the end, at full price; and which. */
  billedShare = 0
  readonly #random = new Random(SEED)
  #bills = 0
  /** See Slice.holdPart: what the thread was told, one after another. */
  readonly holdParts: number[] = []
  readonly state = emptyLedger()
  shares = new Shares()
  slices: Int32Array = new Int32Array()
  rates: Uint32Array = new Uint32Array()
  #names = 0
  readonly ledger: TaskLedger
  readonly budgets: TaskBudgets

  constructor(rules = RULES) {
    this.rules = rules
    this.ledger = new TaskLedger({
      ...{ task: 't', newEpoch: () => 'e1', graceMs: rules.graceMs },
      ...{ opensAfterMs: opensAfterMs(rules), booksAfterMs: booksAfterMs(rules) },
      ...{ abandonedAfterMs: abandonedAfterMs(rules), leases: () => this.budgets.leases() },
    })
    this.budgets = new TaskBudgets({
      ...{ ledger: this.ledger, rules, threads: [1], newLease: () => `lease-${this.#names++}`, dayAt: utcDay },
      tell: (_, message) => {
        this.shares.take(message)
        this.holdParts.push(...message.shares.map(({ holdPart }) => holdPart))
        for (let i = 2; i < message.more.length; i += 3) this.holdParts.push(message.more[i] as number)
      },
    })
  }

  /** How far the wall clock was set back. */
  setBackMs = 0
  ledgerAnswers = true

  now() {
    return { nowMs: this.nowMs - this.setBackMs, monotonicMs: this.nowMs - START_MS }
  }

  serve(lineItems: readonly SimulatedLineItem[], campaign?: Budget): void {
    const serving = this.budgets.sharesOf(simulatedCatalog(lineItems, campaign))
    this.slices = new Int32Array(serving.shares.slices)
    this.rates = new Uint32Array(serving.shares.rates)
    this.budgets.serve([serving], this.now())
  }

  /** Turns all parts for so long, in tenths of a second, and bids as often as it can. @returns the bids */
  run(ms: number, bidsPerTurn = 0, ordinal = 0): number {
    let bids = 0
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; ) {
      this.nowMs += 100
      for (let i = 0; i < bidsPerTurn; i++) if (this.bid(ordinal)) bids++
      const report = this.shares.report(this.now().monotonicMs)
      if (report !== undefined) this.budgets.report(1, report, this.now())
      this.budgets.turn(this.now())
      this.send()
    }
    return bids
  }

  bid(ordinal: number): boolean {
    const slice = this.slices[ordinal] as number
    this.shares.want(slice, this.shares.covers(slice, PRICE) ? 0 : PRICE)
    if (!this.shares.covers(slice, PRICE)) return false
    const isHeld = this.shares.hold(slice, PRICE, this.now().monotonicMs, this.holdMs)
    if (isHeld && this.#random.unit() < this.billedShare) this.#bill(this.shares)
    return isHeld
  }

  #bill({ lease, bucket }: Shares): void {
    const { accounts = [] } = this.state.leases.get(lease) ?? {}
    const bill = { kind: 'book', key: `k${this.#bills++}`, rememberMs: 1, amountNanos: PRICE } as const
    this.ledger.add({ ...bill, lease, bucket, accounts }, () => {})
  }

  /** What the ledger would have to be told, and is told. */
  send(): void {
    if (!this.ledgerAnswers) return
    const { monotonicMs } = this.now()
    for (let sent = this.ledger.next(monotonicMs); sent !== undefined; sent = this.ledger.next(monotonicMs)) {
      if (sent.kind === 'rebuild') this.ledger.rebuilt(rebuildLedger(this.state, sent.witness, this.nowMs).epoch)
      else if (sent.kind === 'apply') {
        const answer = applyToLedger(this.state, sent.caller, sent.operation, this.nowMs)
        this.ledger.answered(sent.operation, answer, monotonicMs)
        if (answer.kind === 'rebuilding') return
      } else {
        const answers = bookInLedger(this.state, sent.caller, sent.bookings, this.nowMs)
        this.ledger.booked(sent.bookings, answers, monotonicMs)
        if ('kind' in answers) return
      }
    }
  }
}

const lineItem = (id: string, budget?: Budget): SimulatedLineItem => {
  return { id, priceNanos: PRICE, ...(budget === undefined ? {} : { budget }) }
}
/** Of the least budget, 0.01: so many prices. */
const LEAST = 10

describe('the budgets of a task', () => {
  let world: World
  beforeEach(() => {
    world = new World()
  })
  const opened = opensAfterMs(RULES) + RULES.graceMs + 2_000

  test('a line item without a budget has no slice, one with a budget or in a campaign with one has', () => {
    world.serve([lineItem('a'), lineItem('b', { daily: 1 })])
    expect([...world.slices]).toEqual([-1, 0])
    world.serve([lineItem('a'), lineItem('b', { daily: 1 })], { total: 5 })
    expect([...world.slices]).toEqual([1, 0])
  })

  test('no bid without a lease; then bids until the budget is held, and again when holds were not billed', () => {
    world.serve([lineItem('a', { total: 0.01 })])
    expect(world.bid(0)).toBe(false)
    expect(world.run(opened, 1)).toBeLessThanOrEqual(LEAST)
    const [bids] = [world.run(5_000, 5)]
    expect(bids).toBeLessThanOrEqual(LEAST)
    const more = world.run(120_000, 1)
    expect(more).toBeGreaterThan(2 * LEAST)
    expect(world.state.accounts.get('l/a')?.leasedNanos).toBeLessThanOrEqual(LEAST * PRICE)
  })

  test('a line item that is no longer served gives everything back', () => {
    world.serve([lineItem('a', { total: 5 }), lineItem('b', { total: 5 })])
    world.run(opened, 2)
    expect(world.run(10_000, 2)).toBeGreaterThan(50)
    world.serve([lineItem('b', { total: 5 })])
    world.run(60_000)
    expect(world.state.accounts.get('l/a')?.leasedNanos).toBe(0)
    world.run(150_000)
    expect(world.budgets.openCount).toBe(0)
    expect(world.budgets.leases()).toEqual([])
  })

  test('a lower limit ends what was leased on the higher one', () => {
    world.serve([lineItem('a', { total: 100 })])
    world.run(opened, 3)
    world.run(60_000, 3)
    const before = world.state.accounts.get('l/a')?.leasedNanos ?? 0
    expect(before).toBeGreaterThan(0.5 * LEAST * PRICE)
    world.serve([lineItem('a', { total: 0.01 })])
    world.run(20_000)
    world.run(100)
    expect(world.run(40_000)).toBe(0)
    expect(world.state.accounts.get('l/a')?.leasedNanos).toBeLessThanOrEqual(LEAST * PRICE)
  })

  test("a thread's end costs what it had until the longest hold is over, then it is free", () => {
    world.serve([lineItem('a', { total: 0.01 })])
    world.run(opened, 1)
    world.shares = new Shares()
    world.budgets.threadLost(1, world.now())
    world.run(RULES.holdMsMax + RULES.graceMs + 3 * RULES.bucketMs)
    world.run(2_000, 1)
    expect(world.run(120_000, 1)).toBeGreaterThan(LEAST)
  })

  test('a thread that takes the place of one that ended holds on the leases that are there', () => {
    world.serve([lineItem('a', { total: 4_000 })])
    world.run(opened, 1)
    world.run(30_000, 1)
    const leases = world.budgets.leases().map(({ terms }) => terms.lease)
    world.shares = new Shares()
    world.budgets.threadLost(1, world.now())
    expect(world.run(2_000, 1)).toBeGreaterThan(0)
    expect(leases).toContain(world.shares.lease)
  })

  test('a new day has a budget of its own', () => {
    world.serve([lineItem('a', { daily: 0.01 })])
    world.nowMs = Date.UTC(2026, 10, 21, 23, 55)
    world.run(opened, 1)
    world.run(Date.UTC(2026, 10, 22) - world.nowMs + 5_000, 1)
    const today = utcDay(world.nowMs).number
    expect(world.state.accounts.has(`l/a/${today - 1}`)).toBe(true)
    expect(world.state.accounts.get(`l/a/${today}`)?.leasedNanos).toBeGreaterThan(0)
    expect(world.state.accounts.has(`c/${CAMPAIGN}/${today}`)).toBe(true)
    expect(world.shares.day).toBe(today)
  })

  test('a plan sets the rate at which a line item takes part', () => {
    const even = { ...lineItem('a', { daily: 4_000 }), pacing: { plan: 'even' } } as const
    world.serve([even])
    expect(world.rates[0]).toBe(1_000_000)
    world.run(opened, 1)
    world.run(1_000, 1)
    expect(world.rates[0]).toBeGreaterThan(0)
    expect(world.rates[0]).toBeLessThan(1_000_000)
  })

  test('rates go on where a new catalog comes, and while the ledger is away', () => {
    const even = { ...lineItem('a', { daily: 40 }), pacing: { plan: 'even' } } as const
    world.serve([even])
    world.run(opened, 1)
    world.run(60_000, 1)
    const [before] = world.rates
    expect(before).toBeLessThan(1_000_000)
    const next = world.budgets.sharesOf(simulatedCatalog([lineItem('b'), even]))
    expect(new Uint32Array(next.shares.rates)[1]).toBe(before)
    world.ledgerAnswers = false
    world.run(10_000, 1)
    const [away] = world.rates
    world.run(300_000, 1)
    expect(world.rates[0]).toBe(away)
  })

  /** The number of the last lease. */
  const lastLease = () => Math.max(...world.budgets.leases().map(({ terms }) => Number(terms.lease.split('-')[1])))

  test('what bids rarely asks for one lease in half of the time of one', () => {
    world.serve([lineItem('a', { total: 500 })])
    world.run(opened, 1)
    world.run(RULES.leaseMsMax)
    const before = lastLease()
    for (let bids = 0; bids < 4; bids++) {
      world.run(100, 1)
      world.run(RULES.leaseMsMax / 2)
    }
    expect(lastLease() - before).toBeLessThanOrEqual(5)
  })

  describe(`with leases as long as in service (seed ${SEED})`, () => {
    const opensMs = opensAfterMs(LONG_RULES) + LONG_RULES.graceMs + 2_000
    const total = (prices: number) => lineItem('a', { total: (prices * PRICE) / 1e9 })
    const spent = () => (world.state.accounts.get('l/a')?.bookedNanos ?? 0) / PRICE
    beforeEach(() => {
      world = new World(LONG_RULES)
    })

    test('a budget is spent to its end, in whatever pieces its leases lie', () => {
      world.serve([total(50)])
      world.run(opensMs)
      world.billedShare = 1
      world.run(60_000, 1)
      expect(spent()).toBeGreaterThan(40)
      world.run(LONG_RULES.leaseMsMax, 1)
      expect(spent()).toBe(50)
    })

    test('a smooth budget holds what bids cost however long they are held, and is not exceeded', () => {
      world.serve([lineItem('a', { total: 20, kind: 'smooth' })])
      world.run(opensMs)
      world.holdMs = 300_000
      world.billedShare = 0.3
      world.run(600_000, 2)
      world.holdParts.length = 0
      world.run(3_600_000, 2)
      expect(Math.min(...world.holdParts)).toBeGreaterThan(0.3)
      expect(Math.min(...world.holdParts)).toBeLessThan(0.5)
      expect(spent()).toBeGreaterThan(0.9 * 20_000)
      expect(spent()).toBeLessThanOrEqual(1.001 * 20_000)
      expect(world.state.accounts.get('l/a')?.excessNanos).toBeLessThanOrEqual(0.001 * 20_000 * PRICE)
    })

    test('a bid that no lease can hold takes nothing from others', () => {
      world.serve([total(5_000)])
      world.run(opensMs + 10_000, 1)
      const slice = world.slices[0] as number
      for (let second = 0; second < 60; second++) {
        world.shares.want(slice, 15_000 * PRICE)
        world.run(1_000, 1)
      }
      expect(world.state.accounts.get('l/a')?.leasedNanos).toBeLessThan(1_300 * PRICE)
    })
  })

  const moments = Array.from({ length: 30 }, (_, i) => 20_000 + i * 5_000)
  test.each(moments)('leases cover half of their time, also when the ledger goes %d ms after it came', moment => {
    world.serve([lineItem('a', { total: 500 })])
    world.run(opened + moment, 1)
    world.ledgerAnswers = false
    // Less two looks; a bid may be lost where one lease follows another.
    const half = RULES.leaseMsMax / 2 - 2_000
    expect(world.run(half, 1)).toBeGreaterThanOrEqual(half / 100 - 2)
    world.run(RULES.leaseMsMax, 1)
    expect(world.run(60_000, 1)).toBe(0)
  })

  test("no more leases than before are asked for as the day's end comes near", () => {
    world.nowMs = Date.UTC(2026, 10, 21, 23, 50)
    world.serve([lineItem('a', { daily: 500 })])
    world.run(opened + 20_000, 1)
    const before = lastLease()
    const leftMs = Date.UTC(2026, 10, 22) - world.nowMs
    expect(world.run(leftMs - 1_000, 1)).toBeGreaterThan(0.98 * (leftMs / 100 - 10))
    expect(lastLease() - before).toBeLessThan((3 * leftMs) / RULES.leaseMsMax)
  })

  test('while the ledger is away bids go on as long as leases cover, then stop, and go on when it is back', () => {
    world.serve([lineItem('a', { total: 500 })])
    world.run(opened, 1)
    world.run(2 * RULES.leaseMsMax, 1)
    world.ledgerAnswers = false
    world.run(2 * RULES.leaseMsMax, 1)
    expect(world.run(60_000, 1)).toBe(0)
    world.ledgerAnswers = true
    world.run(RULES.graceMs + 60_000, 1)
    expect(world.run(60_000, 1)).toBeGreaterThan(0.95 * 600)
  })

  test('one bid of a very large quantity leaves what is left to those of one', () => {
    world.serve([lineItem('a', { total: 0.1 })])
    world.run(opened)
    world.run(1_000, 1)
    const slice = world.slices[0] as number
    world.shares.want(slice, 90 * PRICE)
    world.run(2_000)
    expect(world.shares.covers(slice, 90 * PRICE) || world.shares.covers(slice, 45 * PRICE)).toBe(true)
    const book = { kind: 'book', key: 'k', lease: '', bucket: 0, accounts: ['l/a'], rememberMs: 1 } as const
    world.ledger.add({ ...book, amountNanos: 40 * PRICE }, () => {})
    world.run(RULES.leaseMsMax + 40_000)
    expect(world.run(60_000, 1)).toBeGreaterThan(LEAST)
  })

  test('a line item that moves to another campaign draws from its accounts', () => {
    world.serve([lineItem('a', { total: 5 })])
    world.run(opened + 20_000, 1)
    expect(world.state.accounts.get(`c/${CAMPAIGN}`)?.leasedNanos).toBeGreaterThan(0)
    world.serve([{ ...lineItem('a', { total: 5 }), campaign: 'y' }])
    expect(world.run(40_000, 1)).toBeGreaterThan(100)
    expect(world.state.accounts.get('c/y')?.leasedNanos).toBeGreaterThan(0)
    world.run(40_000)
    expect(world.state.accounts.get(`c/${CAMPAIGN}`)?.leasedNanos).toBe(0)
  })

  test('what a task does not hold goes back when it stops, also what was on its way to a thread', () => {
    world.serve([lineItem('a', { total: 5 })])
    world.run(opened + 20_500, 1)
    for (let i = 0; i < 5; i++) world.bid(0)
    const last = world.shares.close()
    const wants = { held: new Float64Array(), returned: new Float64Array(), isLast: false }
    world.budgets.report(1, { ...wants, wanted: Float64Array.of(0, 5_000 * PRICE) }, world.now())
    world.budgets.report(1, last, world.now())
    expect(world.budgets.leases().map(({ sharedNanos }) => sharedNanos)).toEqual([0])
    world.budgets.stop(world.now())
    world.budgets.turn(world.now())
    world.send()
    const held = world.budgets.leases().reduce((sum, { heldNanos, sharedNanos }) => sum + heldNanos + sharedNanos, 0)
    expect(held).toBeLessThanOrEqual(200 * PRICE)
    expect(world.state.accounts.get('l/a')?.leasedNanos).toBe(held)
  })

  test('a wall clock that is set back by hours stops no line item at what was the end of the day', () => {
    world.serve([lineItem('a', { total: 50 })])
    world.run(opened, 1)
    world.nowMs = Date.UTC(2026, 10, 21, 22)
    world.setBackMs = 5 * 3_600_000
    world.run(20_000, 1)
    world.nowMs = Date.UTC(2026, 10, 22, 0, 5)
    expect(world.run(60_000, 1)).toBeGreaterThan(100)
  })

  test('totals of days that are over are forgotten', () => {
    world.serve([lineItem('a', { daily: 1 })])
    world.run(opened, 1)
    const day = utcDay(world.nowMs).number
    for (let i = 1; i <= 4; i++) {
      world.nowMs += 24 * 3_600_000
      world.run(20_000, 1)
    }
    const known = [0, 1, 2, 3, 4].map(days => world.ledger.knows(`l/a/${day + days}`))
    expect(known).toEqual([false, false, true, true, true])
    expect(world.ledger.knows('l/a')).toBe(true)
  })
})
