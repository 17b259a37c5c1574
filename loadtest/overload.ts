/**
 * What a service does with more than it can: bids in time at multiples of its capacity, and how soon after. Requests
 * have so many impressions that they cost the service far more than the generator; it has budgets, caps and notices, as
 * a task has that earns money.
 */
import { startRedis } from '../test/redis-server.ts'
import { plannedSeconds } from './arrivals.ts'
import { addedCounts, labelledCounts } from './client.ts'
import { CoreWatch, canPin, pin } from './cpu.ts'
import type { GeneratorProcess } from './generator-process.ts'
import { type Goodput, type GoodputStep, SLICE_S } from './goodput.ts'
import { HealthProbe, type HealthSeen } from './health-probe.ts'
import type { Histogram } from './histogram.ts'
import { failuresOf } from './latency.ts'
import { ms, type Objective, type Report } from './report.ts'
import type { Stage } from './stage.ts'
import { ratesOf, readTenantRecords } from './tenant-records.ts'

/** With whose documents, and how long. */
export interface OverloadOptions {
  readonly tenantDirectory: string
  /** Of each multiple of the capacity. */
  readonly stepS: number
  readonly seed: number
}

type Run = Awaited<ReturnType<GeneratorProcess['openLoop']>>

const IMPRESSIONS = 20
const REQUESTS = 1_000
const TENANT = 'overload'
/** Line items want their first lease, and V8 compiles what it finds hot. */
const WARM_S = 15
/** Times the capacity; after the worst comes the first again. */
const FACTORS = [0.5, 1, 2, 3, 5, 10] as const
const JUDGED_FACTOR = 5
/** How long the exchange waits. The shortest time that exchanges give is 80 ms, most give 100 to 300. */
const WITHIN_MS = 100
/** Fault 15 (test/faults/README.md): goodput at five times the capacity, and after how long a burst is forgotten. */
const GOODPUT_SHARE_MIN = 0.8
const RECOVERY_S_MAX = 2
/** After the burst a slice is good again with this share of what a slice was before. */
const RECOVERED_SHARE = 0.9
/** A generator that is busier may itself be why bids come late. */
const GENERATOR_SHARE_MAX = 0.6
const GRID_US = 1_000
/** Requests go out in groups: the grid and a turn of the generator's event loop. */
const LAG_P99_US_MAX = 10_000
/**
 * So many are never all busy, or the generator's own queue would be measured. All are open from the start, as those of a
 * load balancer after a busy hour: hundreds at once cost the generator the time in which it should send.
 */
const CONNECTIONS = 2_048
const TIMEOUT_MS = 2_000

/** Measures capacity, then plays all multiples of it in one go. */
export async function runOverload(options: OverloadOptions, stage: Stage): Promise<Report> {
  const { tenantDirectory, seed, stepS } = options
  const cache = await startRedis()
  stage.atEnd(() => cache.stop())
  pin(cache.pid, '1')
  const env = await stage.spendingTenant(TENANT, tenantDirectory, cache.url)
  const service = await stage.serviceWith(env, { cpus: '0', precedence: 'urgent' })
  const generator = stage.generator({ cpus: '1', precedence: 'urgent' })
  const traffic = { count: REQUESTS, seed, malformedShare: 0, impressions: IMPRESSIONS }
  const { bytesMean } = await generator.load({ kind: 'tenant', directory: tenantDirectory, ...traffic })
  stage.say(`Measuring capacity with ${IMPRESSIONS} impressions a request, ${bytesMean} bytes`)
  const task = { url: service.url, connections: 16, timeoutS: TIMEOUT_MS / 1e3 }
  await generator.capacity({ ...task, durationS: WARM_S })
  const { answersPerS: capacityPerS } = await generator.capacityOf(service.pid, { ...task, durationS: 4 })

  const [first, ...laterSteps] = [...FACTORS, FACTORS[0]].map(factor => ({
    ratePerS: capacityPerS * factor,
    durationS: stepS,
  }))
  const plan = { arrivals: 'poisson', ...(first as NonNullable<typeof first>), laterSteps, seed } as const
  stage.say(`${plannedSeconds(plan)} s of ${FACTORS.join(', ')} times ${Math.round(capacityPerS)} requests/s`)
  const shed = () => labelledCounts(service.adminUrl, 'shed', 'cause')
  const shedBefore = await shed()
  const health = new HealthProbe(service.url)
  const watch = canPin('0') ? new CoreWatch(0, service.pid) : undefined
  const check = { judgeEvery: 50, rates: ratesOf(await readTenantRecords(tenantDirectory)) }
  const limits = {
    connectionsMax: CONNECTIONS,
    connectionsAtStart: CONNECTIONS,
    timeoutMs: TIMEOUT_MS,
    sendLagP99UsMax: LAG_P99_US_MAX,
  }
  const wish = { ...limits, gridUs: GRID_US, goodputWithinMs: WITHIN_MS, check }
  const run = await generator.openLoop({ ...plan, ...wish, url: service.url })
  const problem = watch?.problem()
  const report = reportOf(options, {
    ...{ run, capacityPerS, bytesMean, health: await health.stop() },
    shed: addedCounts(shedBefore ?? new Map(), (await shed()) ?? new Map()),
    invalid: [...run.invalid, ...(problem === undefined ? [] : [problem])],
  })
  if (report.objectives.every(({ held }) => held)) return report
  const burst = { ...plan, ratePerS: capacityPerS * JUDGED_FACTOR, laterSteps: [] }
  const section = await stage.profile(env, url => generator.openLoop({ ...burst, ...wish, url }))
  return { ...report, sections: section === undefined ? [] : [section] }
}

interface Found {
  readonly run: Run
  readonly capacityPerS: number
  readonly bytesMean: number
  readonly health: HealthSeen
  /** Requests that the service says it shed, by cause. */
  readonly shed: ReturnType<typeof addedCounts>
  readonly invalid: readonly string[]
}

interface FactorStep extends GoodputStep<Histogram> {
  readonly name: string
  readonly offeredPerS: number
  readonly goodputPerS: number
}

function reportOf(options: OverloadOptions, found: Found): Report {
  const { run, capacityPerS, bytesMean, health, shed } = found
  const { stepS } = options
  const goodput = run.goodput ?? { steps: [], slices: [] }
  const names = [...FACTORS.map(factor => `${factor} × capacity`), `${FACTORS[0]} × after it`]
  const steps = goodput.steps.map((step, i): FactorStep => {
    // A step's count leaves out its beginning, so rates follow from what was planned in the rest.
    const offeredPerS = capacityPerS * (FACTORS[i] ?? FACTORS[0])
    const goodputPerS = (offeredPerS * step.bidsInTime) / Math.max(1, step.planned)
    return { ...step, name: names[i] ?? '', offeredPerS, goodputPerS }
  })
  const recoveryS = recoveryOf(goodput, stepS * FACTORS.length, steps[0])
  return {
    scenario: 'overload',
    settings: { ...options, impressions: IMPRESSIONS, requestBytesMean: bytesMean, withinMs: WITHIN_MS },
    objectives: objectivesOf(found, steps, recoveryS),
    invalid: [...found.invalid, ...steps.flatMap(busyGenerator)],
    examples: run.findings.examples,
    figures: {
      ...{ capacityPerS: Math.round(capacityPerS), recoveryS, shed: Object.fromEntries(shed) },
      steps: steps.map(({ bidLatencyUs, ...step }) => ({ ...step, bidP99Us: bidLatencyUs.percentile(99) })),
      health: { asked: health.asked, failed: health.failed, p99Us: health.latencyUs.percentile(99) },
      ...{ statuses: run.statuses, errors: run.errors, timeouts: run.timeouts },
    },
    measurements: [
      { name: 'all answers', latencyUs: run.latencyUs, series: run.series },
      ...steps.map(({ name, bidLatencyUs }) => ({ name: `bids at ${name}`, latencyUs: bidLatencyUs })),
    ],
    plots: [
      {
        ...{ title: 'Bids in time by what was sent', x: 'sent/s', label: 'bids in time/s' },
        lines: [
          { name: 'bids in time', points: rising(steps, step => step.goodputPerS) },
          {
            name: `${percent(GOODPUT_SHARE_MIN)} of the peak`,
            points: rising(steps, () => GOODPUT_SHARE_MIN * peakOf(steps)),
          },
        ],
      },
      {
        title: 'Requests that got a bid in time',
        label: 'share, %',
        lines: [{ name: 'of what was sent in each tenth of a second', points: sharePoints(goodput) }],
      },
    ],
    table: [
      ['', 'sent/s', 'bids in time/s', 'late bids', 'no bid', 'p50 ms', 'p99 ms', 'generator CPU'],
      ...steps.map(tableRow),
    ],
  }
}

function peakOf(steps: readonly FactorStep[]): number {
  return Math.max(...steps.map(each => each.goodputPerS))
}

/** What is sent more and more; the rest after it is no part of that. */
function rising(steps: readonly FactorStep[], value: (step: FactorStep) => number) {
  return steps.slice(0, FACTORS.length).map(step => [step.offeredPerS, value(step)] as const)
}

function sharePoints({ slices }: Goodput<Histogram>): readonly (readonly [number, number])[] {
  return slices.flatMap((share, slice) => (share === undefined ? [] : [[slice * SLICE_S, share * 100] as const]))
}

function tableRow(step: FactorStep): readonly string[] {
  const { name, offeredPerS, goodputPerS, planned, answered, bidsInTime, bidsLate, bidLatencyUs, cpuShare } = step
  const share = (count: number) => `${((100 * count) / Math.max(1, planned)).toFixed(1)} %`
  const latencies = [ms(bidLatencyUs.percentile(50)), ms(bidLatencyUs.percentile(99))]
  const counts = [share(bidsLate), share(answered - bidsInTime - bidsLate)]
  return [name, offeredPerS.toFixed(0), goodputPerS.toFixed(0), ...counts, ...latencies, percent(cpuShare)]
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

function busyGenerator({ name, cpuShare }: FactorStep): readonly string[] {
  if (cpuShare <= GENERATOR_SHARE_MAX) return []
  return [`${name}: the generator was busy ${percent(cpuShare)} of the time, allowed ${percent(GENERATOR_SHARE_MAX)}`]
}

/**
 * Seconds after the burst until slices have the share of bids in time that they had before it, and all later ones.
 * @param burstEndS since the start of the run
 */
function recoveryOf({ slices }: Goodput<Histogram>, burstEndS: number, before: FactorStep | undefined): number {
  const usual = before === undefined ? 1 : before.bidsInTime / Math.max(1, before.planned)
  const first = Math.round(burstEndS / SLICE_S)
  const after = slices.slice(first)
  const lastBad = after.findLastIndex(share => share !== undefined && share < usual * RECOVERED_SHARE)
  return (lastBad + 1) * SLICE_S
}

function objectivesOf({ run, health }: Found, steps: readonly FactorStep[], recoveryS: number): readonly Objective[] {
  const peak = peakOf(steps)
  const judged = steps[FACTORS.indexOf(JUDGED_FACTOR)]
  const share = (judged?.goodputPerS ?? 0) / peak
  const p99Us = judged?.bidLatencyUs.percentile(99) ?? Number.POSITIVE_INFINITY
  const failures = failuresOf(run)
  const broken = Object.values(run.findings.brokenRules).reduce((sum, count) => sum + count, 0)
  const slowestUs = health.latencyUs.max
  return [
    {
      name: `bids in time at ${JUDGED_FACTOR} times the capacity`,
      promised: `≥ ${percent(GOODPUT_SHARE_MIN)} of the peak`,
      observed: `${percent(share)} of ${peak.toFixed(0)}/s`,
      held: share >= GOODPUT_SHARE_MIN,
    },
    {
      name: `p99 of bids at ${JUDGED_FACTOR} times the capacity`,
      promised: `< ${WITHIN_MS} ms`,
      observed: `${ms(p99Us)} ms`,
      held: p99Us < WITHIN_MS * 1e3,
    },
    {
      name: 'recovery after the burst',
      promised: `≤ ${RECOVERY_S_MAX} s`,
      observed: `${recoveryS.toFixed(1)} s`,
      held: recoveryS <= RECOVERY_S_MAX,
    },
    { name: 'failed requests', promised: '0', observed: String(failures), held: failures === 0 },
    { name: 'broken acceptance rules', promised: '0', observed: String(broken), held: broken === 0 },
    {
      name: 'failed health checks',
      promised: '0',
      observed: `${health.failed} of ${health.asked}, slowest ${ms(slowestUs)} ms`,
      held: health.failed === 0,
    },
  ]
}
