/**
 * Whether a neighbour moves a tenant's latency. The victim is alone on core 0; the neighbour, the cache that both use
 * and all generators are on core 1. A control arm burns core 1 just as much without sharing anything else, so that what
 * the machine itself does to the victim is not blamed on the neighbour. There is no proxy: one of ours takes 60 µs of
 * core 1 for a request, so it would be what is measured; the compose stack shows routing.
 */
import { Random } from '../service/foundation/random.ts'
import { CoreWatch, canPin } from './cpu.ts'
import type { GeneratorProcess } from './generator-process.ts'
import { writeMarkedTenant } from './marked-tenant.ts'
import { ARMS, type Arm, NEIGHBOUR_PLACEMENT, Neighbour } from './neighbour.ts'
import {
  type ArmFigures,
  type ArmWindow,
  armFigures,
  armSeries,
  armTable,
  moveIntervals,
  moveObjective,
  noFailureObjective,
  shuffled,
} from './paired-arms.ts'
import type { Objective, Report } from './report.ts'
import type { ServiceProcess } from './service-process.ts'
import type { SharedRedis, Stage } from './stage.ts'
import { ratesOf, readTenantRecords } from './tenant-records.ts'

/** How long, how hard, and with whose documents. */
export interface IsolationOptions {
  readonly victimDirectory: string
  readonly aggressorDirectory: string
  /** The victim's constant rate. */
  readonly ratePerS: number
  /** One window of one arm. */
  readonly windowS: number
  readonly rounds: number
  /** Above this p99 of its send lag the victim's generator was too slow, and the round is played again. */
  readonly sendLagP99UsMax: number
  readonly seed: number
}

type Run = Awaited<ReturnType<GeneratorProcess['openLoop']>>

interface Window extends ArmWindow<Arm> {
  /** What the neighbour's exchange found, where it sent anything. */
  readonly neighbour: Run | undefined
}

interface Victim {
  readonly mark: string
  readonly service: ServiceProcess
  readonly generator: GeneratorProcess
  readonly rates: Readonly<Record<string, number>>
}

const REQUESTS = 3_000
/** On core 1 the victim's generator comes before all else: its lag would be taken for the victim's. */
const VICTIM = { service: { cpus: '0', precedence: 'urgent' }, generator: { cpus: '1', precedence: 'urgent' } } as const
const HUGE_LINE_ITEMS = 20_000
const TIMEOUT_MS = 2_000
const SETTLE_S = 1
const WARM_UP = { ratePerS: 4_000, durationS: 25 }
const ARM_NAMES = Object.keys(ARMS) as Arm[]
const TREATED: readonly Arm[] = ARM_NAMES.filter(arm => arm !== 'alone' && arm !== 'control')
/** A window in which the victim's generator lagged or others used its core is played again, up to so many times. */
const ATTEMPTS = 3

/** Plays interleaved windows of all arms and judges the difference between each treated one and the control. */
export async function runIsolation(options: IsolationOptions, stage: Stage): Promise<Report> {
  const random = new Random(options.seed)
  const suffix = random.next().toString(36).slice(0, 5)
  const marks = { victim: `victim-${suffix}`, neighbour: `neighbour-${suffix}` }
  const redis = await stage.redis(Object.values(marks), '1')
  const neighbour = await startNeighbour(options, marks, redis, stage)
  const victim = await startVictim(options, marks.victim, redis, stage)
  // V8 compiles what a service runs often for tens of thousands of requests.
  await load(victim, marks.neighbour, { ...WARM_UP, seed: options.seed })

  const rounds: Window[][] = []
  const dropped: Window[] = []
  for (let number = 1; number <= options.rounds; number++) {
    const round: Window[] = []
    for (const arm of shuffled(ARM_NAMES, random))
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        stage.say(`Round ${number} of ${options.rounds}: ${ARMS[arm]}`)
        const window = await playWindow(arm, { victim, neighbour, foreign: marks.neighbour }, options, random.next())
        const isGood = window.victim.invalid.length === 0
        if (isGood) round.push(window)
        else dropped.push(window)
        if (isGood) break
      }
    rounds.push(round)
  }
  const foreignLogLines = named(victim.service.logLines, marks.neighbour) + named(neighbour.logLines, marks.victim)
  return reportOf(options, { rounds, dropped, foreignLogLines, neighbourPerS: neighbour.capacityPerS })
}

type Marks = Readonly<Record<'victim' | 'neighbour', string>>

async function startNeighbour(
  { aggressorDirectory, seed }: IsolationOptions,
  { neighbour: mark, victim: foreignMark }: Marks,
  redis: SharedRedis,
  stage: Stage,
): Promise<Neighbour> {
  const usual = await stage.directory(mark)
  await writeMarkedTenant(aggressorDirectory, usual, mark)
  const huge = await stage.generatedTenant({ lineItems: HUGE_LINE_ITEMS, seed })
  const [generator, hostileGenerator] = [0, 1].map(() => stage.generator(NEIGHBOUR_PLACEMENT)) as [
    GeneratorProcess,
    GeneratorProcess,
  ]
  const traffic = { kind: 'tenant', directory: usual, count: REQUESTS, seed: 1 } as const
  await generator.load({ ...traffic, malformedShare: 0.002 })
  await hostileGenerator.load({ ...traffic, malformedShare: 1 })
  const env = { TENANT_ID: mark, STATE_URL: redis.urlOf(mark, 'service') }
  const directories = { usual, huge }
  const parts = { mark, stage, redis, env, directories, generator, hostileGenerator, foreignMark }
  const neighbour = new Neighbour(parts)
  await neighbour.start()
  return neighbour
}

async function startVictim(
  { victimDirectory }: IsolationOptions,
  mark: string,
  redis: SharedRedis,
  stage: Stage,
): Promise<Victim> {
  const directory = await stage.directory(mark)
  await writeMarkedTenant(victimDirectory, directory, mark)
  await stage.publish(redis, mark, directory)
  const env = { TENANT_ID: mark, STATE_URL: redis.urlOf(mark, 'service') }
  const service = await stage.serviceWith(env, VICTIM.service)
  const generator = stage.generator(VICTIM.generator)
  await generator.load({ kind: 'tenant', directory, count: REQUESTS, seed: 1, malformedShare: 0.002 })
  return { mark, service, generator, rates: ratesOf(await readTenantRecords(directory)) }
}

interface LoadPlan {
  readonly ratePerS: number
  readonly durationS: number
  readonly seed: number
  readonly sendLagP99UsMax?: number
}

function load({ generator, service, rates }: Victim, foreignMark: string, wish: LoadPlan): Promise<Run> {
  const check = { foreignMark, judgeEvery: 20, rates }
  const plan = { arrivals: 'poisson', connectionsMax: 128, timeoutMs: TIMEOUT_MS, ...wish } as const
  return generator.openLoop({ ...plan, url: service.url, check })
}

async function playWindow(
  arm: Arm,
  sides: { readonly victim: Victim; readonly neighbour: Neighbour; readonly foreign: string },
  { ratePerS, windowS, sendLagP99UsMax }: IsolationOptions,
  seed: number,
): Promise<Window> {
  const { victim, neighbour, foreign } = sides
  const pressure = neighbour.press(arm, windowS + 2 * SETTLE_S, seed)
  await new Promise(resolve => setTimeout(resolve, SETTLE_S * 1e3))
  const watch = new CoreWatch(0, victim.service.pid)
  const run = await load(victim, foreign, { ratePerS, durationS: windowS, seed, sendLagP99UsMax })
  const problem = canPin('0') ? watch.problem() : undefined
  const invalid = problem === undefined ? run.invalid : [...run.invalid, problem]
  return { arm, victim: { ...run, invalid }, neighbour: await pressure.stop() }
}

/** Log lines that name the other tenant. */
function named(logLines: readonly string[], foreignMark: string): number {
  return logLines.filter(line => line.includes(foreignMark)).length
}

interface Found {
  /** Each with one valid window of each arm, unless none came about. */
  readonly rounds: readonly (readonly Window[])[]
  /** Windows in which the victim's generator lagged or others used its core: no evidence for latency. */
  readonly dropped: readonly Window[]
  readonly foreignLogLines: number
  readonly neighbourPerS: number
}

function reportOf(options: IsolationOptions, found: Found): Report {
  const { rounds, dropped, foreignLogLines, neighbourPerS } = found
  const arms = ARM_NAMES.map(arm => armFigures(arm, 'control', rounds, new Random(options.seed)))
  const missing = arms.filter(({ windows }) => windows < options.rounds)
  const why = dropped.at(-1)?.victim.invalid.at(-1) ?? ''
  const invalid = missing.map(({ arm, windows }) => {
    return `${arm}: ${windows} of ${options.rounds} windows are valid, ${dropped.length} were dropped; the last: ${why}`
  })
  return {
    scenario: 'isolation',
    settings: { ...options, pinned: canPin('0') && canPin('1'), neighbourCapacityPerS: Math.round(neighbourPerS) },
    objectives: objectivesOf(found, arms),
    invalid,
    examples: [...rounds.flat(), ...dropped].flatMap(({ victim, neighbour }) => {
      // What else the neighbour's exchange finds while its service is tormented is no news.
      const isForeign = (neighbour?.findings.foreignAnswers ?? 0) > 0
      return [...victim.findings.examples, ...(isForeign ? (neighbour?.findings.examples ?? []) : [])]
    }),
    measurements: arms.map(({ arm, pooled }) => ({ name: arm, latencyUs: pooled, series: armSeries(rounds, arm) })),
    figures: {
      arms: arms.map(({ pooled: _, ...arm }) => ({ ...arm, means: ARMS[arm.arm] })),
      droppedWindows: dropped.length,
      foreignLogLines,
    },
    table: armTable(arms),
    intervals: moveIntervals(arms, arms.find(({ arm }) => arm === 'control')?.latency.p99 ?? 0),
  }
}

function objectivesOf(found: Found, arms: readonly ArmFigures<Arm>[]): readonly Objective[] {
  const all = [...found.rounds.flat(), ...found.dropped]
  const controlP99Us = arms.find(each => each.arm === 'control')?.latency.p99 ?? 0
  const foreign = all.reduce((sum, { victim, neighbour }) => {
    return sum + victim.findings.foreignAnswers + (neighbour?.findings.foreignAnswers ?? 0)
  }, found.foreignLogLines)
  const looked = all.reduce((sum, { victim, neighbour }) => sum + victim.answered + (neighbour?.answered ?? 0), 0)
  return [
    ...arms
      .filter(({ arm }) => TREATED.includes(arm))
      .map(({ arm, move }) => moveObjective(ARMS[arm], move, controlP99Us)),
    noFailureObjective(arms),
    {
      name: 'foreign identifiers in answers and logs',
      promised: '0',
      observed: `${foreign} in ${looked} answers`,
      held: foreign === 0,
    },
  ]
}
