import { describe, expect, test } from 'vitest'
import { Random } from '../foundation/random.ts'
import { createGuardMemory, SpendBrake, SpendGuard } from './spend-guard.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const PRICE = 2_000_000
const MAX = 60 * PRICE
const LOOK_MS = 100

/** Tasks of one tenant with endless traffic, and an exchange that bills a part of the bids to any of them. */
class Tenant {
  readonly tasks
  nowMs = 1_000_000
  winPart = 0.2
  /** Nanos that were billed, by second. */
  readonly billed: number[] = []
  readonly bids: number[] = []
  heldBack = 0
  readonly #random = new Random(SEED)
  readonly #bills: { readonly atMs: number }[] = []
  readonly #delayMs: number

  constructor(tasks: number, { delayMs = 5_000, max = MAX } = {}) {
    this.#delayMs = delayMs
    this.tasks = Array.from({ length: tasks }, () => {
      const memory = createGuardMemory()
      const guard = new SpendGuard(memory)
      guard.limit(max === 0 ? undefined : max)
      return { guard, brake: new SpendBrake(memory) }
    })
  }

  run(seconds: number, requestsPerLook: number): void {
    const random = this.#random
    for (const endMs = this.nowMs + seconds * 1_000; this.nowMs < endMs; this.nowMs += LOOK_MS) {
      const second = Math.floor(this.nowMs / 1_000)
      for (const { guard } of this.tasks)
        this.heldBack += guard.look({ monotonicMs: this.nowMs, tasks: this.tasks.length })
      const requests = requestsPerLook < 1 ? Number(random.chance(requestsPerLook)) : requestsPerLook
      for (let i = 0; i < requests; i++) {
        if (!random.pick(this.tasks).brake.take(PRICE)) continue
        this.bids[second] = (this.bids[second] ?? 0) + PRICE
        if (random.chance(this.winPart)) this.#bills.push({ atMs: this.nowMs + random.between(0, 2 * this.#delayMs) })
      }
      for (let i = this.#bills.length - 1; i >= 0; i--) {
        if ((this.#bills[i]?.atMs ?? 0) > this.nowMs) continue
        this.#bills.splice(i, 1)
        random.pick(this.tasks).guard.booked(PRICE)
        this.billed[second] = (this.billed[second] ?? 0) + PRICE
      }
    }
  }

  /** The most in any minute from a second on. */
  dearestMinute(fromS: number, nanos = this.billed): number {
    const at = (second: number) => nanos[second] ?? 0
    let most = 0
    for (let start = Math.floor(fromS); start * 1_000 < this.nowMs; start++) {
      let sum = 0
      for (let second = start; second < start + 60; second++) sum += at(second)
      most = Math.max(most, sum)
    }
    return most
  }
}

describe(`the most that is spent in a minute (seed ${SEED})`, () => {
  test.each([1, 2, 4])('is kept by %i tasks together once they know what part of bids is billed', tasks => {
    const tenant = new Tenant(tasks)
    tenant.run(600, 40)
    const learnedS = tenant.nowMs / 1_000
    tenant.run(900, 40)
    expect(tenant.heldBack).toBeGreaterThan(1_000)
    expect(tenant.dearestMinute(learnedS)).toBeLessThanOrEqual(MAX * 1.1)
    expect(tenant.dearestMinute(learnedS)).toBeGreaterThan(MAX * 0.5)
  })

  test('is kept at once when traffic grows a hundred times', () => {
    const tenant = new Tenant(2)
    tenant.winPart = 0.1
    tenant.run(600, 0.3)
    expect(tenant.heldBack).toBe(0)
    const grownS = tenant.nowMs / 1_000
    tenant.run(120, 100)
    expect(tenant.dearestMinute(grownS)).toBeLessThanOrEqual(MAX * 1.3)
  })

  test('is passed by no more than what is open when suddenly all bids win', () => {
    const tenant = new Tenant(2, { delayMs: 2_000 })
    tenant.winPart = 0.05
    tenant.run(600, 40)
    tenant.winPart = 1
    const wonS = tenant.nowMs / 1_000
    tenant.run(900, 40)
    // Bids of the few seconds until bills arrive, and of one more bucket.
    expect(tenant.dearestMinute(wonS)).toBeLessThanOrEqual(MAX * 5)
    expect(tenant.dearestMinute(tenant.nowMs / 1_000 - 300)).toBeLessThanOrEqual(MAX * 1.1)
  })

  test('bounds the prices of bids from the first second, when nothing is known', () => {
    const tenant = new Tenant(3)
    tenant.run(300, 500)
    expect(tenant.dearestMinute(0 + tenant.nowMs / 1_000 - 300, tenant.bids)).toBeLessThanOrEqual(MAX * 10 + 60 * PRICE)
  })

  test('is no limit where there is none, and can be taken away', () => {
    const tenant = new Tenant(1, { max: 0 })
    tenant.run(10, 50)
    expect(tenant.heldBack).toBe(0)
    const [{ guard, brake }] = tenant.tasks as [(typeof tenant.tasks)[number]]
    guard.limit(PRICE)
    expect(brake.take(PRICE)).toBe(false)
    guard.look({ monotonicMs: tenant.nowMs, tasks: 1 })
    expect(brake.take(PRICE)).toBe(true)
    for (let i = 0; i < 20; i++) brake.take(PRICE)
    expect(brake.take(PRICE)).toBe(false)
    guard.limit(undefined)
    expect(brake.take(PRICE)).toBe(true)
  })

  test('a bid that is dearer than the bucket is made when there is something in it, and is paid for first', () => {
    const memory = createGuardMemory()
    const [guard, brake] = [new SpendGuard(memory), new SpendBrake(memory)]
    guard.limit(PRICE)
    guard.look({ monotonicMs: 0, tasks: 1 })
    expect(brake.take(4 * PRICE)).toBe(true)
    // The first guess is that a tenth is billed: 10 prices a minute, a sixth of them at once.
    for (let second = 1; second <= 10; second++) guard.look({ monotonicMs: second * 1_000, tasks: 1 })
    expect(brake.take(PRICE)).toBe(false)
    for (let second = 11; second <= 30; second++) guard.look({ monotonicMs: second * 1_000, tasks: 1 })
    expect(brake.take(PRICE)).toBe(true)
  })
})
