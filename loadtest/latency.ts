import { basename } from 'node:path'
import { CoreWatch, canPin } from './cpu.ts'
import type { WorkloadSource } from './generator.ts'
import type { GeneratorProcess } from './generator-process.ts'
import { type Histogram, summaryOf } from './histogram.ts'
import { loopbackTarget } from './loopback.ts'
import { ms, type Objective, type Report } from './report.ts'
import type { ServiceProcess } from './service-process.ts'
import type { Stage } from './stage.ts'
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
type Capacity = Awaited<ReturnType<GeneratorProcess['capacity']>>

interface Step {
  readonly name: string
  readonly share: number | undefined
  readonly ratePerS: number
  readonly run: Run
  /** Beyond what is promised: looked for, not judged. */
  readonly isKnee?: true
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
/** product.md, promise "tail": at half of capacity, on one core. */
const P99_US_MAX = 2_000
const P999_US_MAX = 8_000
const JUDGE_EVERY = 10

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
  const open = async (what: string, ratePerS: number, durationS: number): Promise<Run> => {
    stage.say(`${what}: ${Math.round(ratePerS)} requests/s for ${durationS} s`)
    const check = { judgeEvery: JUDGE_EVERY, rates }
    const { seed, sendLagP99UsMax } = options
    const plan = { arrivals: 'poisson', ratePerS, durationS, seed, sendLagP99UsMax } as const
    const watch = service && canPin('0') ? new CoreWatch(0, service.pid) : undefined
    const run = await generator.openLoop({ ...plan, url, connectionsMax: 256, timeoutMs: TIMEOUT_MS, check })
    const problem = watch?.problem()
    return problem === undefined ? run : { ...run, invalid: [...run.invalid, problem] }
  }
  await open('Warming up', options.ratePerS ?? WARM_UP_PER_S, Math.min(WARM_UP_S, 2 * options.durationS))
  const capacity =
    options.ratePerS === undefined ? await measured(source, { url, pid: service?.pid }, options, stage) : undefined
  const steps: Step[] = []
  if (options.ratePerS !== undefined) {
    const run = await open('Measuring', options.ratePerS, options.durationS)
    steps.push({ name: `${options.ratePerS}/s`, share: undefined, ratePerS: options.ratePerS, run })
  }
  const share = async (part: number, durationS: number, storm?: StormKind): Promise<Step> => {
    const ratePerS = (capacity?.answersPerS ?? 0) * part
    const name = `${Math.round(part * 100)} % of capacity${storm === undefined ? '' : `, with ${storm}`}`
    const started = storm === undefined || own?.state === undefined ? undefined : startStorm(storm, own.state)
    const run = await open(name, ratePerS, durationS)
    await started?.stop()
    return { name, share: storm === undefined ? part : undefined, ratePerS, run }
  }
  for (const part of capacity === undefined ? [] : options.shares) steps.push(await share(part, options.durationS))
  if (own?.state !== undefined && capacity !== undefined) {
    for (const storm of STORMS) steps.push(await share(0.5, options.durationS, storm))
    for (const part of KNEE_SHARES) {
      steps.push({ ...(await share(part, Math.min(KNEE_S_MAX, options.durationS))), isKnee: true })
      if ((steps.at(-1)?.run.latencyUs.percentile(99) ?? 0) > KNEE_P99_US) break
    }
  }
  const report = reportOf(options, { capacity, steps, requestBytesMean: loaded.bytesMean })
  if (own === undefined || report.objectives.every(({ held }) => held)) return report
  const judged = judgedOf(steps)
  const section = await stage.profile(PROFILED, options.tenantDirectory, target => {
    const plan = { arrivals: 'poisson', ratePerS: judged?.ratePerS ?? 500, durationS: PROFILE_S, seed: 1 } as const
    const limits = { connectionsMax: 256, timeoutMs: TIMEOUT_MS, check: { judgeEvery: 1_000 } }
    return generator.openLoop({ ...plan, ...limits, url: target })
  })
  return { ...report, sections: section === undefined ? [] : [section] }
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

/** A closed loop saturates the generator: it must not take precedence over everything else on its core. */
async function measured(
  source: WorkloadSource,
  { url, pid }: { readonly url: string; readonly pid: number | undefined },
  options: LatencyOptions,
  stage: Stage,
): Promise<Capacity> {
  const generator = stage.generator({ cpus: '1' })
  await generator.load(source)
  const task = { url, connections: CONNECTIONS, timeoutS: TIMEOUT_MS / 1e3 }
  stage.say('Measuring capacity')
  await generator.capacity({ ...task, durationS: CAPACITY_WARM_UP_S })
  const capacity = await generator.capacityOf(pid, {
    ...task,
    durationS: Math.max(3, Math.round(options.durationS / 2)),
  })
  generator.stop()
  return capacity
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

interface Found {
  readonly capacity: Capacity | undefined
  readonly steps: readonly Step[]
  readonly requestBytesMean: number
}

function reportOf(options: LatencyOptions, { capacity, steps, requestBytesMean }: Found): Report {
  const judged = judgedOf(steps)
  const promised = steps.filter(({ isKnee }) => isKnee !== true)
  const figures = steps.map(({ name, ratePerS, run }) => ({
    ...{ name, ratePerS: Math.round(ratePerS), answersPerS: Math.round(run.answersPerS) },
    ...{ latencyUs: summaryOf(run.latencyUs), sendLagUs: summaryOf(run.sendLagUs), ownCpuShare: run.ownCpuShare },
    ...{ statuses: run.statuses, errors: run.errors, timeouts: run.timeouts, findings: run.findings },
    invalid: run.invalid,
  }))
  const limited = capacity !== undefined && capacity.ownCpuShare > 0.9
  const { tenantDirectory: _, ...settings } = options
  return {
    scenario: 'latency',
    settings: { ...settings, requestBytesMean },
    objectives: judged ? objectivesOf(judged, promised) : [],
    invalid: promised.flatMap(({ name, run }) => run.invalid.map(why => `${name}: ${why}`)),
    examples: steps.flatMap(({ run }) => run.findings.examples),
    figures: {
      capacityPerS: capacity && Math.round(capacity.answersPerS),
      capacityLimitedByGenerator: limited,
      steps: figures,
    },
    measurements: steps.map(({ name, run }) => ({ name, latencyUs: run.latencyUs, series: run.series })),
    table: [
      ['', 'sent/s', 'p50 ms', 'p90 ms', 'p99 ms', 'p99.9 ms', 'max ms', 'bids', 'lag p99 ms'],
      ...(capacity ? [[`capacity${limited ? ' (generator at its limit)' : ''}`, capacity.answersPerS.toFixed(0)]] : []),
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
  const failures = steps.reduce((sum, { run }) => sum + failuresOf(run), 0)
  const broken = steps.reduce((sum, { run }) => sum + Object.values(run.findings.brokenRules).reduce(add, 0), 0)
  return [
    ...tailObjectives(judged.run.latencyUs, judged.name),
    // "Also during state swaps" is part of the promise.
    ...steps
      .filter(({ share, name }) => share === undefined && name.includes('with'))
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
