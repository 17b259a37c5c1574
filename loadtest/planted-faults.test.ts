/** Faults that were planted fail what judges them, and the honest bidder does not. See open-loop.test.ts for more. */
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { GeneratorProcess } from './generator-process.ts'
import { failuresOf, tailObjectives } from './latency.ts'
import { type PlantedFaults, startPlantedBidder } from './planted-bidder.ts'
import { SAMPLE_TENANT } from './stage.ts'

const generator = new GeneratorProcess({})
const loaded = generator.load({
  ...{ kind: 'tenant', directory: SAMPLE_TENANT, count: 400, seed: 1, malformedShare: 0 },
  exchange: 'openx',
})
const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})
afterAll(() => generator.stop())

/** Two and a half seconds at a bidder in this process, with limits that a busy machine keeps. */
async function run(faults: PlantedFaults) {
  await loaded
  const bidder = await startPlantedBidder({ forgetsUsers: true, ...faults })
  closers.push(() => bidder.stop())
  const plan = { arrivals: 'poisson', ratePerS: 200, durationS: 2.5, seed: 2 } as const
  const check = { foreignMark: 'zq-other-tenant', judgeEvery: 5 }
  const limits = { connectionsMax: 64, timeoutMs: 2_000, sendLagP99UsMax: 1e6 }
  return generator.openLoop({ ...plan, ...limits, url: bidder.url, check })
}

const STALL_MS = 120

describe('a planted fault', () => {
  test('of none leaves nothing to find but latency', async () => {
    const { findings, ...result } = await run({})
    expect(failuresOf(result)).toBe(0)
    expect(findings).toMatchObject({ foreignAnswers: 0, brokenRules: {} })
    expect(findings.bids).toBeGreaterThan(100)
    expect(result.invalid).toEqual([])
  })

  test('in the shape of a stall each second misses the promised p99', async () => {
    // Longer than the 20 ms that open-loop.test.ts plants: this machine may be slow by itself.
    const { latencyUs } = await run({ stallMs: STALL_MS })
    const [p99] = tailObjectives(latencyUs, 'this rate')
    expect(p99).toMatchObject({ held: false })
    expect(latencyUs.percentile(99)).toBeGreaterThan((STALL_MS / 3) * 1e3)
  })

  test("in the shape of another tenant's identifier is found in every answer that has it", async () => {
    const { findings } = await run({ leaks: 'zq-other-tenant' })
    expect(findings.foreignAnswers).toBe(findings.bids)
    expect(findings.foreignAnswers).toBeGreaterThan(100)
    expect(findings.examples[0]).toContain('foreign')
  })
})
