import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { type ArrivalPlan, Arrivals } from './arrivals.ts'
import { GoodputLog, SLICE_S } from './goodput.ts'
import { Histogram } from './histogram.ts'
import { postRequest } from './http-response.ts'
import { runOpenLoop } from './open-loop.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close().closeAllConnections()
})

const plan: ArrivalPlan = {
  ...{ arrivals: 'poisson', seed: 3, ratePerS: 100, durationS: 1 },
  laterSteps: [
    { ratePerS: 400, durationS: 1 },
    { ratePerS: 100, durationS: 1 },
  ],
}

describe('rates one after the other', () => {
  test.each(['poisson', 'fixed'] as const)('have each its own count, without a pause: %s', arrivals => {
    const counts = [0, 0, 0]
    const planned = new Arrivals({ ...plan, arrivals })
    let last = -1
    for (let at = planned.next(); at !== undefined; at = planned.next()) {
      expect(at).toBeGreaterThan(last)
      last = at
      counts[Math.floor(at / 1e6)]!++
    }
    const slack = arrivals === 'fixed' ? 1 : 60
    for (const [step, rate] of [100, 400, 100].entries())
      expect(Math.abs(counts[step]! - rate), `step ${step}: ${counts}`).toBeLessThanOrEqual(slack)
  })
})

describe('goodput', () => {
  test('is bids in time; no-bids and late bids are none, and slices show a stall', async () => {
    // A server that gives no bid in its second second, late bids at the start of its third.
    let startMs = 0
    const server = createServer(async (_, response) => {
      startMs ||= performance.now()
      const atS = (performance.now() - startMs) / 1e3
      if (atS >= 1 && atS < 2) response.writeHead(204).end()
      else {
        if (atS >= 2 && atS < 2.3) await sleep(600)
        response.end('{"seatbid":[{"bid":[{"impid":"1"}]}]}')
      }
    })
    servers.push(server)
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const log = new GoodputLog(plan, 300)
    const result = await runOpenLoop({
      ...{ ...plan, url, requests: [postRequest({ host: 'h', path: '/' }, Buffer.from('{}'))], gridUs: 1_000 },
      ...{ connectionsMax: 256, connectionsAtStart: 64, timeoutMs: 2_000, sendLagP99UsMax: 1e6 },
      onAnswer: (response, _, timing) => log.look(response, timing),
      onProgress: () => log.tick(),
    })
    expect(result.answered).toBe(result.planned)
    const { steps, slices } = log.end()
    const [first, second, third] = steps
    expect(first!.bidsInTime).toBeGreaterThan(first!.planned * 0.8)
    expect(second!.bidsInTime).toBeLessThan(second!.planned * 0.2)
    expect(second!.answered).toBe(second!.planned)
    expect(third!.bidsInTime).toBeGreaterThan(third!.planned * 0.8)
    expect(Histogram.from(second!.bidLatencyUs).count).toBe(second!.bidsInTime + second!.bidsLate)
    expect(slices[Math.round(2.15 / SLICE_S)], 'late').toBe(0)
    expect(slices[Math.round(2.7 / SLICE_S)], 'in time').toBeGreaterThan(0.5)
    for (const { cpuShare } of steps) expect(cpuShare).toBeGreaterThan(0)
  })
})
