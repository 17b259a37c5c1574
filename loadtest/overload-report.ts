/** What an overload run shows: bids in time by what was sent, and how soon after a burst all is as before. Pure. */
import { median } from './bench-engine.ts'
import type { RunFindings } from './generator-process.ts'
import { type Goodput, type GoodputStep, SLICE_S } from './goodput.ts'
import type { HealthSeen } from './health-probe.ts'
import { Histogram } from './histogram.ts'
import { failuresOf } from './latency.ts'
import { ms, type Objective, type Report } from './report.ts'

/** Times the capacity; after the worst comes the first again. */
export const FACTORS = [0.5, 1, 2, 3, 5, 10] as const
/** The one that is judged. */
export const JUDGED_FACTOR = 5
/** How long the exchange waits. The shortest time that exchanges give is 80 ms, most give 100 to 300. */
export const WITHIN_MS = 100
/**
 * All factors so often, and of each the median: a machine's speed may change by half from one step to the next, and
 * then a single round compares two machines.
 */
const ROUNDS = 5
/** The factors of a run's steps, in their order. */
export const PLAYED: readonly [number, ...number[]] = [
  FACTORS[0],
  ...Array.from({ length: ROUNDS }, () => [...FACTORS.slice(1), FACTORS[0]]).flat(),
]

/** Fault 15 (test/faults/README.md): goodput at five times the capacity, and after how long a burst is forgotten. */
const GOODPUT_SHARE_MIN = 0.8
const RECOVERY_S_MAX = 2
/** After the burst a second is good again with this share of what it was before. */
const RECOVERED_SHARE = 0.9
/** A generator that is busier may itself be why bids come late. */
const GENERATOR_SHARE_MAX = 0.6

/** What was asked for. */
export interface OverloadSettings {
  /** Of each step. */
  readonly stepS: number
}

/** What was found. */
export interface OverloadFound {
  readonly run: Pick<RunFindings, 'goodput' | 'findings' | 'latencyUs' | 'series' | 'statuses' | 'errors' | 'timeouts'>
  readonly capacityPerS: number
  readonly health: HealthSeen
  /** Requests that the service says it shed, by cause. */
  readonly shed: readonly (readonly [cause: string, count: number])[]
  readonly invalid: readonly string[]
}

type Step = GoodputStep<Histogram>

/** All steps of one factor. */
interface FactorSteps extends Step {
  readonly name: string
  readonly offeredPerS: number
  /** Median over the steps. */
  readonly goodputPerS: number
}

/** Judges a run of the steps PLAYED. */
export function overloadReport(
  settings: OverloadSettings & Readonly<Record<string, unknown>>,
  found: OverloadFound,
): Report {
  const { run, capacityPerS, health, shed } = found
  const goodput = run.goodput ?? { steps: [], slices: [] }
  const factors = FACTORS.map(factor => together(factor, goodput.steps, capacityPerS))
  const recoveriesS = recoveriesOf(goodput, settings.stepS)
  return {
    scenario: 'overload',
    settings: { ...settings, withinMs: WITHIN_MS },
    objectives: objectivesOf(found, { factors, recoveriesS }),
    invalid: [...found.invalid, ...factors.flatMap(busyGenerator)],
    examples: run.findings.examples,
    figures: {
      ...{ capacityPerS: Math.round(capacityPerS), recoveriesS, shed: Object.fromEntries(shed) },
      factors: factors.map(({ bidLatencyUs, ...step }) => ({ ...step, bidP99Us: bidLatencyUs.percentile(99) })),
      health: { asked: health.asked, failed: health.failed, p99Us: health.latencyUs.percentile(99) },
      ...{ statuses: run.statuses, errors: run.errors, timeouts: run.timeouts },
    },
    measurements: [
      { name: 'all answers', latencyUs: run.latencyUs, series: run.series },
      ...factors.map(({ name, bidLatencyUs }) => ({ name: `bids at ${name}`, latencyUs: bidLatencyUs })),
    ],
    plots: [
      {
        ...{ title: 'Bids in time by what was sent', x: 'sent/s', label: 'bids in time/s' },
        lines: [
          { name: 'bids in time', points: factors.map(each => [each.offeredPerS, each.goodputPerS]) },
          {
            name: `${percent(GOODPUT_SHARE_MIN)} of the peak`,
            points: factors.map(each => [each.offeredPerS, GOODPUT_SHARE_MIN * peakOf(factors)]),
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
      ...factors.map(tableRow),
    ],
  }
}

function together(factor: number, played: readonly Step[], capacityPerS: number): FactorSteps {
  const own = played.filter((_, i) => PLAYED[i] === factor)
  const sum = (of: (step: Step) => number) => own.reduce((all, step) => all + of(step), 0)
  const bidLatencyUs = new Histogram()
  for (const step of own) bidLatencyUs.add(step.bidLatencyUs)
  return {
    name: `${factor} × capacity`,
    offeredPerS: capacityPerS * factor,
    goodputPerS: median(own.map(step => goodputOf(step, capacityPerS * factor))),
    planned: sum(step => step.planned),
    answered: sum(step => step.answered),
    bidsInTime: sum(step => step.bidsInTime),
    bidsLate: sum(step => step.bidsLate),
    bidLatencyUs,
    cpuShare: Math.max(0, ...own.map(step => step.cpuShare)),
  }
}

/** A step's count leaves out its beginning, so rates follow from what was planned in the rest. */
function goodputOf({ bidsInTime, planned }: Step, offeredPerS: number): number {
  return (offeredPerS * bidsInTime) / Math.max(1, planned)
}

function peakOf(factors: readonly FactorSteps[]): number {
  return Math.max(...factors.map(each => each.goodputPerS))
}

function sharePoints({ slices }: Goodput<Histogram>): readonly (readonly [number, number])[] {
  return slices.flatMap((share, slice) => (share === undefined ? [] : [[slice * SLICE_S, share * 100] as const]))
}

function tableRow(step: FactorSteps): readonly string[] {
  const { name, offeredPerS, goodputPerS, planned, answered, bidsInTime, bidsLate, bidLatencyUs, cpuShare } = step
  const share = (count: number) => `${((100 * count) / Math.max(1, planned)).toFixed(1)} %`
  const latencies = [ms(bidLatencyUs.percentile(50)), ms(bidLatencyUs.percentile(99))]
  const counts = [share(bidsLate), share(answered - bidsInTime - bidsLate)]
  return [name, offeredPerS.toFixed(0), goodputPerS.toFixed(0), ...counts, ...latencies, percent(cpuShare)]
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

function busyGenerator({ name, cpuShare }: FactorSteps): readonly string[] {
  if (cpuShare <= GENERATOR_SHARE_MAX) return []
  return [`${name}: the generator was busy ${percent(cpuShare)} of the time, allowed ${percent(GENERATOR_SHARE_MAX)}`]
}

/**
 * Seconds from the end of each round's burst until each whole second has the share of bids in time that there was
 * before the first burst; without end where its step ends before. Single slices are too short to judge: some are worse
 * before.
 */
function recoveriesOf({ slices, steps }: Goodput<Histogram>, stepS: number): readonly number[] {
  const [before] = steps
  const usual = before === undefined ? 1 : before.bidsInTime / Math.max(1, before.planned)
  const perSecond = Math.round(1 / SLICE_S)
  return Array.from({ length: ROUNDS }, (_, round) => {
    const first = Math.round(((round + 1) * FACTORS.length * stepS) / SLICE_S)
    const after = slices.slice(first, first + Math.round(stepS / SLICE_S)).map(share => share ?? usual)
    const seconds = after.slice(perSecond - 1).map((_, i) => after.slice(i, i + perSecond))
    const good = seconds.findLastIndex(shares => shares.reduce(add, 0) / perSecond < usual * RECOVERED_SHARE) + 1
    return good === seconds.length ? Number.POSITIVE_INFINITY : good * SLICE_S
  })
}

function add(a: number, b: number): number {
  return a + b
}

interface Judged {
  readonly factors: readonly FactorSteps[]
  readonly recoveriesS: readonly number[]
}

function objectivesOf({ run, health }: OverloadFound, { factors, recoveriesS }: Judged): readonly Objective[] {
  const judged = factors[FACTORS.indexOf(JUDGED_FACTOR)]
  const peak = peakOf(factors)
  const share = (judged?.goodputPerS ?? 0) / peak
  const p99Us = judged?.bidLatencyUs.percentile(99) ?? Number.POSITIVE_INFINITY
  const recoveryS = Math.max(...recoveriesS)
  const failures = failuresOf(run)
  const broken = Object.values(run.findings.brokenRules).reduce(add, 0)
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
      name: 'recovery after each burst',
      promised: `≤ ${RECOVERY_S_MAX} s`,
      observed: `${recoveriesS.map(seconds => seconds.toFixed(1)).join(', ')} s`,
      held: recoveryS <= RECOVERY_S_MAX,
    },
    { name: 'failed requests', promised: '0', observed: String(failures), held: failures === 0 },
    { name: 'broken acceptance rules', promised: '0', observed: String(broken), held: broken === 0 },
    {
      name: 'failed health checks',
      promised: '0',
      observed: `${health.failed} of ${health.asked}, slowest ${ms(health.latencyUs.max)} ms`,
      held: health.failed === 0,
    },
  ]
}
