import { Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { sampleTenant } from '../../test/sample-catalog.ts'
import { Random } from '../foundation/random.ts'
import type { Exchange } from '../state/exchange-document.ts'
import { BidGate, createBidGateMemory, type GatedState } from './bid-gate.ts'

const [EXCHANGE, OTHER] = sampleTenant().exchanges as [Exchange, Exchange]

function stateOf(perS: { readonly exchange?: number; readonly tenant?: number }): {
  state: GatedState
  exchange: Exchange
} {
  const exchange: Exchange = perS.exchange === undefined ? EXCHANGE : { ...EXCHANGE, requestsPerS: perS.exchange }
  const settings = perS.tenant === undefined ? {} : { requestsPerS: perS.tenant }
  return { exchange, state: { hasQuotas: true, header: { settings, exchanges: [exchange, OTHER] } } }
}

/** How many of so many requests a second pass in some seconds. */
function passed(
  gate: BidGate,
  { exchange, state }: ReturnType<typeof stateOf>,
  { perS, seconds, fromMs = 0 }: { readonly perS: number; readonly seconds: number; readonly fromMs?: number },
): number {
  let count = 0
  for (let n = 0; n < perS * seconds; n++) {
    const nowMs = fromMs + (n * 1_000) / perS
    if (gate.turnsAway(exchange, state, () => nowMs) === undefined) count++
  }
  return count
}

describe('a quota', () => {
  test.each([1, 7, 100, 3_333, 30_000])('of %i requests a second lets so many through, and a clump once', perS => {
    const seconds = perS > 1_000 ? 4 : 40
    const gate = new BidGate(createBidGateMemory())
    const count = passed(gate, stateOf({ exchange: perS }), { perS: perS * 5, seconds })
    expect(count).toBeGreaterThanOrEqual(perS * seconds)
    expect(count).toBeLessThanOrEqual(perS * (seconds + 0.25) * 1.001 + 2)
  })

  test('is no obstacle to who stays below it', () => {
    const gate = new BidGate(createBidGateMemory())
    expect(passed(gate, stateOf({ exchange: 1_000 }), { perS: 990, seconds: 10 })).toBe(9_900)
  })

  test('is not lost to a thread that was held up between its look at the clock and its turn', () => {
    const gate = new BidGate(createBidGateMemory())
    const quota = stateOf({ exchange: 100 })
    let count = passed(gate, quota, { perS: 1_000, seconds: 10 })
    for (let n = 0; n < 100; n++) if (!gate.turnsAway(quota.exchange, quota.state, () => 5_000 + n)) count++
    count += passed(gate, quota, { perS: 1_000, seconds: 1, fromMs: 10_000 })
    expect(count).toBeLessThanOrEqual(11.25 * 100 + 2)
  })

  test('is divided by the tasks that live, as they come and go', () => {
    const gate = new BidGate(createBidGateMemory())
    const quota = stateOf({ exchange: 1_000 })
    gate.share(4)
    expect(passed(gate, quota, { perS: 2_000, seconds: 10 })).toBeLessThanOrEqual(250 * 10.25 + 2)
    gate.share(2)
    const two = passed(gate, quota, { perS: 2_000, seconds: 10, fromMs: 10_000 })
    expect(two).toBeGreaterThan(4_900)
    expect(two).toBeLessThanOrEqual(500 * 10.25 + 2)
  })

  test('of the tenant holds over all of its exchanges, and one exchange takes nothing of the others', () => {
    const gate = new BidGate(createBidGateMemory())
    const { state, exchange } = stateOf({ exchange: 10, tenant: 100 })
    const causes: (string | undefined)[] = []
    for (let n = 0; n < 1_000; n++) {
      causes.push(gate.turnsAway(exchange, state, () => n))
      causes.push(gate.turnsAway(OTHER, state, () => n))
    }
    const count = (cause: string | undefined) => causes.filter(each => each === cause).length
    expect(count(undefined)).toBeGreaterThanOrEqual(100)
    expect(count(undefined)).toBeLessThanOrEqual(128)
    expect(count('exchange-quota')).toBeGreaterThan(980)
    expect(count('tenant-quota')).toBeGreaterThan(850)
  })

  test('forgets after any pause (seed 7)', () => {
    const gate = new BidGate(createBidGateMemory())
    const quota = stateOf({ exchange: 100 })
    const random = new Random(7)
    for (let round = 0, nowMs = 0; round < 2_000; round++) {
      nowMs += 1_000 + random.unit() * 1_000_000
      const at = nowMs
      expect(
        gate.turnsAway(quota.exchange, quota.state, () => at),
        String(at),
      ).toBeUndefined()
    }
  })

  test('is exact when threads come at once', async () => {
    const memory = createBidGateMemory()
    const { state, exchange } = stateOf({ exchange: 1_000 })
    const script = `
      const { parentPort, workerData } = require('node:worker_threads')
      import(workerData.gate).then(({ BidGate }) => {
        const gate = new BidGate(workerData.memory)
        const exchange = workerData.state.header.exchanges[0]
        Atomics.wait(new Int32Array(workerData.start), 0, 0)
        let passed = 0
        for (let nowMs = 0; nowMs < 10_000; nowMs += 0.05)
          if (gate.turnsAway(exchange, workerData.state, () => workerData.atMs) === undefined) passed++
        parentPort.postMessage(passed)
      })`
    const start = new SharedArrayBuffer(4)
    const workerData = { gate: new URL('./bid-gate.ts', import.meta.url).href, memory, state, start, atMs: 5_000 }
    expect(exchange).toBe(state.header.exchanges[0])
    const workers = Array.from({ length: 3 }, () => new Worker(script, { eval: true, workerData }))
    const passedBy = workers.map(worker => new Promise<number>(resolve => worker.once('message', resolve)))
    await Promise.all(workers.map(worker => new Promise(resolve => worker.once('online', resolve))))
    await new Promise(resolve => setTimeout(resolve, 200))
    Atomics.store(new Int32Array(start), 0, 1)
    Atomics.notify(new Int32Array(start), 0)
    const all = (await Promise.all(passedBy)).reduce((sum, each) => sum + each, 0)
    // At one instant passes what a quarter of a second gives, and one more.
    expect(all).toBe(251)
  })
})

describe('little memory', () => {
  test.each([0, 0.25, 1 / 3, 0.9, 1])('sheds a share of %d of the bid requests, evenly', share => {
    const gate = new BidGate(createBidGateMemory())
    gate.shed(share)
    const state = { ...stateOf({}).state, hasQuotas: false }
    let shed = 0
    for (let n = 0; n < 3_000; n++) if (gate.turnsAway(EXCHANGE, state, () => 0) === 'memory') shed++
    expect(Math.abs(shed - share * 3_000)).toBeLessThanOrEqual(1)
  })
})
