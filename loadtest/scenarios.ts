/** The scenarios by name: what each shows, and how the options of the command line become its own. */
import { resolve } from 'node:path'
import { CommandProblem } from '../service/commands/terminal.ts'
import { benchDocuments, withMoney, writeTenantDirectory } from './bench-workload.ts'
import { runColdstart } from './coldstart.ts'
import { runCompare } from './compare.ts'
import { runFaults } from './faults.ts'
import { runIsolation } from './isolation.ts'
import { type LatencyOptions, runLatency } from './latency.ts'
import { runMemory } from './memory.ts'
import { runOverload } from './overload.ts'
import type { Report } from './report.ts'
import { runSizing } from './sizing.ts'
import { runSoak } from './soak.ts'
import { SAMPLE_TENANT, type Stage } from './stage.ts'

/** Options of the command line, those that were given. */
export interface ScenarioOptions {
  /** Of services that run, as arguments. */
  readonly urls: readonly string[]
  readonly target?: string
  readonly tenantDir?: string
  readonly lineItems?: number
  readonly recorded?: string
  readonly exchange: string
  readonly rate?: number
  readonly users: number
  readonly vcpuHourPrice?: number
  readonly gibHourPrice?: number
  readonly duration?: number
  readonly rounds: number
  readonly lagMsMax: number
  readonly seed: number
}

/** One scenario. */
export interface Scenario {
  /** What it shows, for the help. */
  readonly shows: string
  /** Whether it can load a service that runs already; the others start their own. */
  readonly takesTarget?: boolean
  /** How many URLs of running services it needs as arguments. */
  readonly urls?: number
  readonly run: (options: ScenarioOptions, stage: Stage) => Promise<Report>
}

const SHARES = [0.25, 0.5, 0.75]
const VICTIM_RATE_PER_S = 500
const OVERLOAD_LINE_ITEMS = 10_000
const COLDSTART_LINE_ITEMS = 100_000
const COLDSTART_RATE_PER_S = 300
const FAULTS_RATE_PER_S = 200
const FAULTS_PHASE_S = 8
const SOAK_RATE_PER_S = 300
const SOAK_S = 3_600
const MEMORY_RATE_PER_S = 200
const MEMORY_WINDOW_S = 10
const SIZING_RATE_PER_S = 10_000
const SIZING_LINE_ITEMS = 20_000
const SIZING_S = 10
const COMPARE_WINDOW_S = 4
const SECOND_TENANT = resolve(SAMPLE_TENANT, '../bluebird-games')

/** All scenarios. */
export const SCENARIOS = {
  canonical: {
    shows: 'throughput, and p99 at half of it: two numbers',
    takesTarget: true,
    run: (options, stage) => latency(options, stage, { shares: [0.5], durationS: 10, isThorough: false }),
  },
  latency: {
    shows: 'latency at shares of capacity, while the state changes, and to the knee; or at one rate',
    takesTarget: true,
    run: (options, stage) =>
      latency(options, stage, { shares: SHARES, durationS: 12, isThorough: options.recorded === undefined }),
  },
  isolation: {
    shows: "that a neighbour does not move a tenant's latency",
    run: isolation,
  },
  memory: {
    shows: 'that a neighbour which runs out of memory moves nothing; needs a container engine',
    run: ({ rate, duration, rounds, lagMsMax, seed }, stage) => {
      const rates = { ratePerS: rate ?? MEMORY_RATE_PER_S, windowS: duration ?? MEMORY_WINDOW_S }
      return runMemory({ ...rates, rounds, sendLagP99UsMax: lagMsMax * 1e3, seed }, stage)
    },
  },
  compare: {
    shows: 'two running services, by the same workload: compare URL URL',
    urls: 2,
    run: compare,
  },
  coldstart: {
    shows: 'how soon a started task is ready, and its first requests',
    run: async (options, stage) => {
      const wished = { ...options, lineItems: options.lineItems ?? COLDSTART_LINE_ITEMS }
      const tenantDirectory = await documents(options.tenantDir === undefined ? wished : options, stage)
      const { rate: ratePerS = COLDSTART_RATE_PER_S, seed } = options
      return runColdstart({ tenantDirectory, ratePerS, rounds: options.rounds, seed }, stage)
    },
  },
  faults: {
    shows: 'bids and money while the cache hangs and dies and the task is killed',
    run: async (options, stage) => {
      const { rate: ratePerS = FAULTS_RATE_PER_S, duration: phaseS = FAULTS_PHASE_S, seed } = options
      // The sample tenant has no frequency caps.
      const tenantDirectory = await documents({ ...options, tenantDir: options.tenantDir ?? SECOND_TENANT }, stage)
      return runFaults({ tenantDirectory, ratePerS, phaseS, seed }, stage)
    },
  },
  soak: {
    shows: 'drift of memory and latency, over an hour if nothing else is asked',
    run: async (options, stage) => {
      const { rate: ratePerS = SOAK_RATE_PER_S, duration: durationS = SOAK_S, seed } = options
      const tenantDirectory = await documents({ ...options, tenantDir: options.tenantDir ?? SECOND_TENANT }, stage)
      return runSoak({ tenantDirectory, ratePerS, durationS, seed }, stage)
    },
  },
  sizing: {
    shows: 'how many tasks of which size a wished rate needs (--rate, --users, --vcpu-hour-price, --gib-hour-price)',
    run: ({ rate, duration, lineItems, users, lagMsMax, seed, vcpuHourPrice, gibHourPrice }, stage) => {
      const wish = { ratePerS: rate ?? SIZING_RATE_PER_S, lineItems: lineItems ?? SIZING_LINE_ITEMS, users }
      const how = { durationS: duration ?? SIZING_S, sendLagP99UsMax: lagMsMax * 1e3, seed }
      return runSizing({ ...wish, ...how, vcpuHourPrice, gibHourPrice }, stage)
    },
  },
  overload: {
    shows: 'bids in time at up to ten times the capacity, and recovery',
    run: overload,
  },
} as const satisfies Record<string, Scenario>

/** Name of a scenario. */
export type ScenarioName = keyof typeof SCENARIOS

/** The documents that were asked for: generated, given, or the sample tenant's. */
async function documents({ tenantDir, lineItems, seed }: ScenarioOptions, stage: Stage): Promise<string> {
  if (lineItems !== undefined) return stage.generatedTenant({ lineItems, seed })
  return tenantDir === undefined ? SAMPLE_TENANT : resolve(tenantDir)
}

async function latency(
  options: ScenarioOptions,
  stage: Stage,
  { shares, durationS, isThorough }: Pick<LatencyOptions, 'shares' | 'durationS' | 'isThorough'>,
): Promise<Report> {
  const { target, recorded, rate, seed, lagMsMax } = options
  return runLatency(
    {
      ...(target === undefined ? {} : { target }),
      ...(recorded === undefined ? {} : { recorded: { file: resolve(recorded), exchange: options.exchange } }),
      ...(rate === undefined ? {} : { ratePerS: rate }),
      ...{ tenantDirectory: await documents(options, stage), shares, isThorough, seed },
      ...{ durationS: options.duration ?? durationS, sendLagP99UsMax: lagMsMax * 1e3 },
    },
    stage,
  )
}

async function isolation(options: ScenarioOptions, stage: Stage): Promise<Report> {
  const { rate, duration, rounds, lagMsMax, seed } = options
  const directories = { victimDirectory: await documents(options, stage), aggressorDirectory: SECOND_TENANT }
  const rates = { ratePerS: rate ?? VICTIM_RATE_PER_S, windowS: duration ?? 4 }
  return runIsolation({ ...directories, ...rates, rounds, sendLagP99UsMax: lagMsMax * 1e3, seed }, stage)
}

async function compare(options: ScenarioOptions, stage: Stage): Promise<Report> {
  const { urls, rate, duration: windowS = COMPARE_WINDOW_S, rounds, seed } = options
  const tenantDirectory = await documents(options, stage)
  const rates = rate === undefined ? {} : { ratePerS: rate }
  return runCompare({ urls: urls as [string, string], tenantDirectory, rounds, windowS, seed, ...rates }, stage)
}

async function overload(options: ScenarioOptions, stage: Stage): Promise<Report> {
  const { tenantDir, lineItems = OVERLOAD_LINE_ITEMS, seed, duration } = options
  const tenantDirectory = tenantDir === undefined ? await stage.directory('everything') : resolve(tenantDir)
  if (tenantDir === undefined)
    await writeTenantDirectory(withMoney(benchDocuments(lineItems, seed, 'everything')), tenantDirectory)
  return runOverload({ tenantDirectory, stepS: duration ?? 3, seed }, stage)
}

/** @throws CommandProblem for options that this scenario cannot honour */
export function playScenario(name: ScenarioName, options: ScenarioOptions, stage: Stage): Promise<Report> {
  const scenario: Scenario = SCENARIOS[name]
  const { urls: wanted = 0 } = scenario
  if (options.urls.length !== wanted)
    throw new CommandProblem(`${name} takes ${wanted} URLs as arguments, got ${options.urls.length}`)
  if (options.target !== undefined && scenario.takesTarget !== true)
    throw new CommandProblem(`${name} starts its own services; leave --target out`)
  return scenario.run(options, stage)
}
