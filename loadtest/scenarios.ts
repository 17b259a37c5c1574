/** The scenarios by name: what each shows, and how the options of the command line become its own. */
import { resolve } from 'node:path'
import { CommandProblem } from '../service/commands/terminal.ts'
import { runIsolation } from './isolation.ts'
import { runLatency } from './latency.ts'
import { runOverload } from './overload.ts'
import type { Report } from './report.ts'
import { SAMPLE_TENANT, type Stage } from './stage.ts'

/** Options of the command line, those that were given. */
export interface ScenarioOptions {
  readonly target?: string
  readonly tenantDir?: string
  readonly lineItems?: number
  readonly recorded?: string
  readonly exchange: string
  readonly rate?: number
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
  readonly takesTarget: boolean
  readonly run: (options: ScenarioOptions, stage: Stage) => Promise<Report>
}

const SHARES = [0.25, 0.5, 0.75]
const VICTIM_RATE_PER_S = 500
const OVERLOAD_LINE_ITEMS = 10_000
const SECOND_TENANT = resolve(SAMPLE_TENANT, '../bluebird-games')

/** All scenarios. */
export const SCENARIOS = {
  canonical: {
    shows: 'throughput, and p99 at half of it: two numbers',
    takesTarget: true,
    run: (options, stage) => latency(options, stage, { shares: [0.5], durationS: 10 }),
  },
  latency: {
    shows: 'latency at 25, 50 and 75 % of capacity, or at one rate',
    takesTarget: true,
    run: (options, stage) => latency(options, stage, { shares: SHARES, durationS: 20 }),
  },
  isolation: {
    shows: "that a neighbour does not move a tenant's latency",
    takesTarget: false,
    run: isolation,
  },
  overload: {
    shows: 'bids in time at up to ten times the capacity, and recovery',
    takesTarget: false,
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
  { shares, durationS }: { readonly shares: readonly number[]; readonly durationS: number },
): Promise<Report> {
  const { target, recorded, rate, seed, lagMsMax } = options
  return runLatency(
    {
      ...(target === undefined ? {} : { target }),
      ...(recorded === undefined ? {} : { recorded: { file: resolve(recorded), exchange: options.exchange } }),
      ...(rate === undefined ? {} : { ratePerS: rate }),
      ...{ tenantDirectory: await documents(options, stage), shares, seed },
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

async function overload(options: ScenarioOptions, stage: Stage): Promise<Report> {
  const { tenantDir, lineItems, seed, duration } = options
  const heavy = { lineItems: lineItems ?? OVERLOAD_LINE_ITEMS, seed, targeting: 'everything' } as const
  const tenantDirectory = tenantDir === undefined ? await stage.generatedTenant(heavy) : resolve(tenantDir)
  return runOverload({ tenantDirectory, stepS: duration ?? 4, seed }, stage)
}

/** @throws CommandProblem for options that this scenario cannot honour */
export function playScenario(name: ScenarioName, options: ScenarioOptions, stage: Stage): Promise<Report> {
  const scenario: Scenario = SCENARIOS[name]
  if (options.target !== undefined && !scenario.takesTarget)
    throw new CommandProblem(`${name} starts its own services; leave --target out`)
  return scenario.run(options, stage)
}
