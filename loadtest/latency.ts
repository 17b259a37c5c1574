import { basename } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CoreWatch, canPin } from './cpu.ts'
import type { WorkloadSource } from './generator.ts'
import type { GeneratorProcess } from './generator-process.ts'
import { type Histogram, summaryOf } from './histogram.ts'
import { type PlayedStep, playSteps, type StepPlan } from './latency-steps.ts'
import { loopbackTarget } from './loopback.ts'
import { ms, type Objective, type Report } from './report.ts'
import type { ServiceProcess } from './service-process.ts'
import { filedTenant, type Stage } from './stage.ts'
import { STORMS, type StormKind, type StormTarget, startStorm } from './state-storm.ts'
import { ratesOf, readTenantRecords } from './tenant-records.ts'

/** Which service is loaded, with what, and for how long. */
export interface LatencyOptions {
  /** A running service with its tenant's path; else one is started on core 0. */
  readonly target?: string
  /** Documents that a started service loads, and from which traffic is drawn. */
  readonly tenantDirectory: string
  /** Recorded requests instead of drawn ones, with the exchange that sends them. */
  readonly recorded?: { readonly file: string; readonly exchange: string }
  /** Only this rate; else shares of the measured capacity. */
  readonly ratePerS?: number
  /** Shares of capacity that are measured, 0 to 1. */
  readonly shares: readonly number[]
  /** With a service of our own: half of capacity while its state changes, and on to the knee. */
  readonly isThorough: boolean
  readonly durationS: number
  /** Above this p99 of the send lag a run is invalid. */
  readonly sendLagP99UsMax: number
  readonly seed: number
}

type Run = Awaited<ReturnType<GeneratorProcess['openLoop']>>

interface Step extends Omit<PlayedStep, 'share'> {
  /** Undefined at a wished rate. */
  readonly share: number | undefined
  /** Beyond what is promised: looked for, not judged. */
  readonly isKnee?: true
}

interface Shares {
  /** The mean of all looks; undefined at a wished rate. */
  readonly capacityPerS: number | undefined
  /** Whether the generator had no more to give. */
  readonly isLimited: boolean
  readonly steps: readonly Step[]
}

const CORE_0 = { cpus: '0', precedence: 'urgent' } as const
/** On the way to the knee, until p99 is above KNEE_P99_US. */
const KNEE_SHARES = [0.85, 0.95, 1.05, 1.2]
const KNEE_P99_US = 20_000
const KNEE_S_MAX = 5
const PROFILED = 'profiled'
const PROFILE_S = 5
const REQUESTS = 5_000
const MALFORMED_SHARE = 0.002
const CONNECTIONS = 32
const TIMEOUT_MS = 2_000
/** V8 compiles what a service runs often for the first hundred thousand requests. */
const WARM_UP_S = 25
const WARM_UP_PER_S = 5_000
const CAPACITY_WARM_UP_S = 3
/** Of each look at the capacity, and of what is played right after it. */
const CAPACITY_S = 1
const WINDOW_S = 1
const STORM_WINDOW_S = 3
/** Until its publisher has started. */
const STORM_HEAD_START_MS = 1_500
/** product.md, promise "tail": at half of capacity, on one core. */
const P99_US_MAX = 2_000
const P999_US_MAX = 8_000
const JUDGE_EVERY = 50

/** Capacity by a closed loop, then latency by open loops at shares of it. */
export async function runLatency(options: LatencyOptions, stage: Stage): Promise<Report> {
  if (options.target !== undefined) loopbackTarget(options.target)
  const own = options.target === undefined ? await ownService(options, stage) : undefined
  const service = own?.service
  const url = options.target ?? service?.url ?? ''
  const rates = ratesOf(await readTenantRecords(options.tenantDirectory))
  const source = sourceOf(options)
  const generator = stage.generator({ cpus: '1', precedence: 'urgent' })
  const loaded = await generator.load(source)
  const open = async (ratePerS: number, durationS: number): Promise<Run> => {
    const check = { judgeEvery: JUDGE_EVERY, rates }
    const { seed, sendLagP99UsMax } = options
    const plan = { arrivals: 'poisson', ratePerS, durationS, seed, sendLagP99UsMax } as const
    const watch = service && canPin('0') ? new CoreWatch(0, service.pid) : undefined
    const run = await generator.openLoop({ ...plan, url, connectionsMax: 256, timeoutMs: TIMEOUT_MS, check })
    const problem = watch?.problem()
    return problem === undefined ? run : { ...run, invalid: [...run.invalid, problem] }
  }
  const warmUp = { ratePerS: options.ratePerS ?? WARM_UP_PER_S, durationS: Math.min(WARM_UP_S, 2 * options.durationS) }
  stage.say(`Warming up: ${warmUp.ratePerS} requests/s for ${warmUp.durationS} s`)
  await open(warmUp.ratePerS, warmUp.durationS)
  const found =
    options.ratePerS === undefined
      ? await sharesOfCapacity(options, { stage, source, own, url, open })
      : { capacityPerS: undefined, isLimited: false, steps: [await atRate(options.ratePerS, options, { stage, open })] }
  const report = reportOf(options, { ...found, requestBytesMean: loaded.bytesMean })
  if (own === undefined || report.objectives.every(({ held }) => held)) return report
  const judged = judgedOf(found.steps)
  const section = await stage.profile(filedTenant(PROFILED, options.tenantDirectory), target => {
    const plan = { arrivals: 'poisson', ratePerS: judged?.ratePerS ?? 500, durationS: PROFILE_S, seed: 1 } as const
    const limits = { connectionsMax: 256, timeoutMs: TIMEOUT_MS, check: { judgeEvery: 1_000 } }
    return generator.openLoop({ ...plan, ...limits, url: target })
  })
  return { ...report, sections: section === undefined ? [] : [section] }
}

type Open = (ratePerS: number, durationS: number) => Promise<Run>

async function atRate(ratePerS: number, { durationS }: LatencyOptions, { stage, open }: { stage: Stage; open: Open }) {
  stage.say(`Measuring: ${ratePerS} requests/s for ${durationS} s`)
  return { name: `${ratePerS}/s`, share: undefined, ratePerS, run: await open(ratePerS, durationS), dropped: [] }
}

interface Bench {
  readonly stage: Stage
  readonly source: WorkloadSource
  readonly own: OwnService | undefined
  readonly url: string
  readonly open: Open
}

/** The wished shares of capacity and, with a cache of our own, half of it while the state changes, and the knee. */
async function sharesOfCapacity(options: LatencyOptions, { stage, source, own, url, open }: Bench): Promise<Shares> {
  const percent = (share: number) => `${Math.round(share * 100)} % of capacity`
  const { durationS } = options
  const short = { windows: Math.max(1, Math.round(durationS / WINDOW_S)), windowS: WINDOW_S }
  const long = { windows: Math.max(1, Math.round(durationS / STORM_WINDOW_S)), windowS: STORM_WINDOW_S }
  const plans: StepPlan[] = options.shares.map(share => ({
    name: percent(share),
    share,
    ...short,
    changesState: false,
    play: open,
  }))
  const state = own?.state
  if (state !== undefined)
    for (const storm of STORMS)
      plans.push({
        name: `${percent(0.5)}, with ${storm}`,
        share: 0.5,
        ...long,
        changesState: true,
        play: during(storm),
      })
  // A closed loop saturates the generator: it must not take precedence over everything else on its core.
  const generator = stage.generator({ cpus: '1' })
  await generator.load(source)
  const pid = own?.service.pid
  const task = { url, connections: CONNECTIONS, timeoutS: TIMEOUT_MS / 1e3 }
  stage.say('Measuring capacity')
  await generator.capacity({ ...task, durationS: CAPACITY_WARM_UP_S })
  const { steps, capacities } = await playSteps(plans, {
    pid,
    capacity: () => generator.capacityOf(pid, { ...task, durationS: CAPACITY_S }),
    say: what => stage.say(what),
  })
  generator.stop()
  const capacityPerS = capacities.reduce((sum, each) => sum + each.answersPerS, 0) / capacities.length
  const knee: Step[] = []
  if (state !== undefined)
    for (const share of KNEE_SHARES) {
      const [ratePerS, kneeS] = [capacityPerS * share, Math.min(KNEE_S_MAX, durationS)]
      stage.say(`${percent(share)}: ${Math.round(ratePerS)} requests/s for ${kneeS} s`)
      const run = await open(ratePerS, kneeS)
      knee.push({ name: percent(share), share, ratePerS, run, dropped: [], isKnee: true })
      if (run.latencyUs.percentile(99) > KNEE_P99_US) break
    }
  const isLimited = capacities.some(({ ownCpuShare }) => ownCpuShare > 0.9)
  return { capacityPerS, isLimited, steps: [...steps, ...knee] }

  function during(storm: StormKind): Open {
    return async (ratePerS, durationS) => {
      const started = state && startStorm(storm, state)
      await sleep(STORM_HEAD_START_MS)
      const run = await open(ratePerS, durationS)
      await started?.stop()
      return run
    }
  }
}

/** Half of capacity, where it was measured. */
function judgedOf(steps: readonly Step[]): Step | undefined {
  return steps.find(step => step.share === 0.5) ?? steps.at(-1)
}

interface OwnService {
  readonly service: ServiceProcess
  /** Where its state can be changed; undefined with documents in files. */
  readonly state: StormTarget | undefined
}

async function ownService({ tenantDirectory, isThorough }: LatencyOptions, stage: Stage): Promise<OwnService> {
  const tenantId = tenantIdFrom(tenantDirectory)
  if (!isThorough) return { service: await stage.service(tenantId, tenantDirectory, CORE_0), state: undefined }
  const redis = await stage.redis([tenantId], '1')
  await stage.publish(redis, tenantId, tenantDirectory)
  const env = { TENANT_ID: tenantId, STATE_URL: redis.urlOf(tenantId, 'service') }
  const service = await stage.serviceWith(env, CORE_0)
  return { service, state: { stage, redis, tenantId, directory: tenantDirectory } }
}

/** A directory's name when it can be a tenant id. */
function tenantIdFrom(directory: string): string {
  const name = basename(directory)
  return /^[a-z][a-z0-9-]{1,18}[a-z0-9]$/.test(name) ? name : 'loadtest'
}

function sourceOf({ recorded, tenantDirectory: directory, seed }: LatencyOptions): WorkloadSource {
  if (recorded) return { kind: 'recorded', ...recorded }
  return { kind: 'tenant', directory, count: REQUESTS, seed, malformedShare: MALFORMED_SHARE }
}

interface Found extends Shares {
  readonly requestBytesMean: number
}

function reportOf(options: LatencyOptions, { capacityPerS, isLimited, steps, requestBytesMean }: Found): Report {
  const judged = judgedOf(steps)
  const promised = steps.filter(({ isKnee }) => isKnee !== true)
  const figures = steps.map(({ name, ratePerS, run, dropped }) => ({
    ...{ name, ratePerS: Math.round(ratePerS), answersPerS: Math.round(run.answersPerS) },
    ...{ latencyUs: summaryOf(run.latencyUs), sendLagUs: summaryOf(run.sendLagUs), ownCpuShare: run.ownCpuShare },
    ...{ statuses: run.statuses, errors: run.errors, timeouts: run.timeouts, findings: run.findings },
    ...{ windowsDropped: dropped.length, invalid: run.invalid },
  }))
  const { tenantDirectory: _, ...settings } = options
  return {
    scenario: 'latency',
    settings: { ...settings, requestBytesMean },
    objectives: judged ? objectivesOf(judged, promised) : [],
    invalid: promised.flatMap(({ name, run }) => run.invalid.map(why => `${name}: ${why}`)),
    examples: steps.flatMap(({ run }) => run.findings.examples),
    figures: {
      capacityPerS: capacityPerS && Math.round(capacityPerS),
      capacityLimitedByGenerator: isLimited,
      steps: figures,
    },
    measurements: steps.map(({ name, run }) => ({ name, latencyUs: run.latencyUs, series: run.series })),
    table: [
      ['', 'sent/s', 'p50 ms', 'p90 ms', 'p99 ms', 'p99.9 ms', 'max ms', 'bids', 'lag p99 ms'],
      ...(capacityPerS ? [[`capacity${isLimited ? ' (generator at its limit)' : ''}`, capacityPerS.toFixed(0)]] : []),
      ...steps.map(tableRow),
    ],
  }
}

function tableRow({ name, ratePerS, run }: Step): readonly string[] {
  const { p50, p90, p99, p999, max } = summaryOf(run.latencyUs)
  const bids = `${((100 * run.findings.bids) / Math.max(1, run.answered)).toFixed(0)} %`
  const lag = ms(run.sendLagUs.percentile(99))
  return [name, ratePerS.toFixed(0), ms(p50), ms(p90), ms(p99), ms(p999), ms(max), bids, lag]
}

function objectivesOf(judged: Step, steps: readonly Step[]): readonly Objective[] {
  const runs = steps.flatMap(({ run, dropped }) => [run, ...dropped])
  const failures = runs.reduce((sum, run) => sum + failuresOf(run), 0)
  const broken = runs.reduce((sum, run) => sum + Object.values(run.findings.brokenRules).reduce(add, 0), 0)
  return [
    ...tailObjectives(judged.run.latencyUs, judged.name),
    // "Also during state swaps" is part of the promise.
    ...steps
      .filter(({ name }) => name.includes(', with '))
      .flatMap(({ run, name }) => tailObjectives(run.latencyUs, name)),
    { name: 'failed requests', promised: '0', observed: String(failures), held: failures === 0 },
    { name: 'broken acceptance rules', promised: '0', observed: String(broken), held: broken === 0 },
  ]
}

/** The promised tail, p99 first. @param at where it was measured, for the name */
export function tailObjectives(latencyUs: Histogram, at: string): readonly Objective[] {
  const { p99, p999 } = summaryOf(latencyUs)
  return [
    { name: `p99 at ${at}`, promised: '≤ 2 ms', observed: `${ms(p99)} ms`, held: p99 <= P99_US_MAX },
    { name: `p99.9 at ${at}`, promised: '≤ 8 ms', observed: `${ms(p999)} ms`, held: p999 <= P999_US_MAX },
  ]
}

function add(sum: number, each: number): number {
  return sum + each
}

/** Requests of a run that got no answer, or a 5xx. */
export function failuresOf(run: Pick<Run, 'timeouts' | 'errors' | 'statuses'>): number {
  const fiveHundreds = Object.entries(run.statuses).filter(([status]) => Number(status) >= 500)
  const withoutAnswer = run.timeouts + Object.values(run.errors).reduce(add, 0)
  return withoutAnswer + fiveHundreds.reduce((sum, [, count]) => sum + count, 0)
}
