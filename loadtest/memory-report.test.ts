import { describe, expect, test } from 'vitest'
import type { RunFindings } from './generator-process.ts'
import { Histogram } from './histogram.ts'
import { type LeakSeen, type MemoryArm, type MemoryFound, type MemoryWindow, memoryReport } from './memory-report.ts'

const OPTIONS = { ratePerS: 200, windowS: 10, rounds: 3, sendLagP99UsMax: 1_000, seed: 1 }
const ARMS: readonly MemoryArm[] = ['alone', 'control', 'leaking']
const KILLED: LeakSeen = {
  events: [
    { action: 'oom', atMs: 7_000, exitCode: undefined },
    { action: 'die', atMs: 7_001, exitCode: '137' },
  ],
  memoryLines: ['{"code":"memory-warn","used_percent":71.2,"msg":"memory is above its warning line"}'],
  awayMs: 2_500,
  resident: [
    [1, 200],
    [7, 512],
  ],
}

/** A run in which every request took so long. */
function run(latencyMs: number, bids = 300): RunFindings {
  const latencyUs = new Histogram()
  for (let count = 0; count < 1_000; count++) latencyUs.record(latencyMs * 1e3)
  const findings = { bids, noBids: 1_000 - bids, refusals: 0, judged: 50, brokenRules: {}, foreignAnswers: 0 }
  return {
    ...{ planned: 1_000, answered: 1_000, timeouts: 0, queued: 0, connectionsUsed: 8, answersPerS: 200 },
    ...{ ownCpuShare: 0.1, latencyUs, sendLagUs: new Histogram(), series: [] },
    ...{ statuses: { '200': 1_000 }, errors: {}, invalid: [] },
    ...{ findings: { ...findings, examples: [] }, goodput: undefined, exchange: undefined },
  }
}

/** Three rounds. @param leaking what the victim saw while the neighbour leaked */
function found(leaking: RunFindings, more: Partial<MemoryFound> = {}, leak = KILLED): MemoryFound {
  const round = ARMS.map((arm): MemoryWindow => {
    const isLeaking = arm === 'leaking'
    return { arm, victim: isLeaking ? leaking : run(1), neighbour: run(1), leak: isLeaking ? leak : undefined }
  })
  const books = { sales: 3, billed: 3, billedAmount: 0.006, acknowledgedAmount: 0.004, overspent: [] }
  const money = { books: { ...books, aboveCap: 0, capped: 0, capExamples: [] } }
  const exchange = { ...money, bids: 3, wins: 3, losses: 0, brokenRules: {}, examples: [] }
  const notices = { told: 6, acknowledged: 5, retries: 0, lost: 1, statuses: {}, kinds: {} }
  return {
    ...{ rounds: [round, round, round], dropped: [], exchanges: [{ ...exchange, notices }] },
    ...{ booked: 0.005, victimEvents: [], foreignLogLines: 0, limitMib: 512, ...more },
  }
}

/** Names of what was missed. */
function missed(of: MemoryFound): readonly string[] {
  return memoryReport(OPTIONS, of).objectives.flatMap(({ name, held }) => (held ? [] : [name]))
}

describe('the memory scenario', () => {
  test('holds where only the neighbour is killed, and tells how it went', () => {
    const report = memoryReport(OPTIONS, found(run(1)))
    expect(report.objectives.filter(({ held }) => !held)).toEqual([])
    expect(report.invalid).toEqual([])
    expect(report.sections?.[0]?.table[1]).toEqual(['leak 1', 'memory-warn at 71.2 %', 'the kernel killed it', '2.5 s'])
  })

  test.each<[string, MemoryFound, string]>([
    ['latency moves', found(run(3)), 'p99 moved while the neighbour runs out of memory'],
    ['a request fails', found({ ...run(1), timeouts: 1 }), "victim's failed requests"],
    ['bids get fewer', found(run(1, 200)), 'the share of requests that the victim bids on moves'],
    ['a bill is booked twice', found(run(1), { booked: 0.007 }), "victim's bills are booked once"],
    ['an acknowledged bill is lost', found(run(1), { booked: 0.003 }), "victim's bills are booked once"],
    ['the neighbour is named', found(run(1), { foreignLogLines: 1 }), 'foreign identifiers in answers and logs'],
    ['the victim is killed, too', found(run(1), { victimEvents: KILLED.events }), "victim's own ends and kills"],
    ['it takes too long', found(run(1), {}, { ...KILLED, awayMs: 31_000 }), 'the neighbour is there again by itself'],
  ])('is missed where %s', (_, seen, name) => {
    expect(missed(seen)).toEqual([name])
  })

  test('says nothing where the neighbour was never short of memory, or windows are missing', () => {
    const idle = found(run(1), {}, { ...KILLED, events: [], memoryLines: [], awayMs: undefined })
    expect(memoryReport(OPTIONS, idle).invalid).toEqual(['the neighbour never came near its memory limit'])
    const short = found(run(1))
    expect(memoryReport(OPTIONS, { ...short, rounds: short.rounds.slice(1) }).invalid).toHaveLength(3)
  })
})
