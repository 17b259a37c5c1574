/**
 * What bids, notices and money do while the cache hangs, dies and comes back, and while the task is killed. One open
 * loop by a mock exchange through all of it; its own books are the judge.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type RedisServer, startRedis } from '../test/redis-server.ts'
import { bookedProblem } from './exchange-books.ts'
import type { RunFindings } from './generator-process.ts'
import { ms, type Objective, type Report } from './report.ts'
import type { SeriesPoint } from './series.ts'
import type { ServiceProcess } from './service-process.ts'
import type { Stage } from './stage.ts'

/** With whose documents, and how hard. */
export interface FaultsOptions {
  readonly tenantDirectory: string
  readonly ratePerS: number
  /** Of each fault, and of each rest. */
  readonly phaseS: number
  readonly seed: number
}

const TENANT = 'faults'
/** In the order in which they come; requests may only fail while the task itself is away. */
const PHASES = {
  quiet: 'nothing happens',
  paused: 'the cache hangs: SIGSTOP',
  resumed: 'the cache goes on',
  killed: 'the cache is killed (fault 2)',
  started: 'the cache is started again, with its data',
  restarted: 'the task is killed, and started again at once',
  after: 'nothing happens',
} as const
type Phase = keyof typeof PHASES
const PHASE_NAMES = Object.keys(PHASES) as Phase[]
const CACHE_AWAY: readonly Phase[] = ['paused', 'killed']
const TIMEOUT_MS = 2_000
/** Notices that wait in a journal are booked once the ledger is back. */
const BOOKED_WITHIN_MS = 60_000
/** reference: p99 at most 1.2 times the quiet one; below a millisecond a share means nothing. */
const P99_SHARE_MAX = 1.2
const P99_SLACK_US = 1_000
/** product.md, promise "frequency". */
const CAP_LEAK_MAX = 0.001

interface Cast {
  service: ServiceProcess
  cache: RedisServer
}

/** Plays all phases in one run. */
export async function runFaults(options: FaultsOptions, stage: Stage): Promise<Report> {
  const { tenantDirectory, ratePerS, phaseS, seed } = options
  const data = await stage.directory('cache')
  // The data outlives the process, as that of a managed cache does; what is written survives its SIGKILL unsynced.
  const args = ['--dir', data, '--appendonly', 'yes', '--appendfsync', 'everysec']
  const cast = { cache: await startRedis({ args }) } as Cast
  stage.atEnd(() => cast.cache.stop())
  const { port } = cast.cache
  const env = await stage.spendingTenant(TENANT, tenantDirectory, cast.cache.url)
  cast.service = await stage.serviceWith(env, { cpus: '0', precedence: 'urgent' })
  const servicePort = new URL(cast.service.url).port
  const acts: Partial<Record<Phase, () => Promise<void> | void>> = {
    paused: () => cast.cache.pause(),
    resumed: () => cast.cache.resume(),
    killed: () => cast.cache.kill(),
    started: async () => {
      cast.cache = await startRedis({ args, port })
    },
    restarted: async () => {
      process.kill(cast.service.pid, 'SIGKILL')
      cast.service = await stage.serviceWith({ ...env, PORT: servicePort }, { cpus: '0', precedence: 'urgent' })
    },
  }
  const generator = stage.generator({ cpus: '1', precedence: 'urgent' })
  await generator.load({ kind: 'tenant', directory: tenantDirectory, count: 3_000, seed, malformedShare: 0.002 })
  const plan = { arrivals: 'poisson', ratePerS, seed } as const
  const limits = { connectionsMax: 128, timeoutMs: TIMEOUT_MS, sendLagP99UsMax: 10_000 }
  const task = { ...plan, ...limits, url: cast.service.url, check: { judgeEvery: 1_000 } }
  await generator.openLoop({ ...task, durationS: 3 })
  const started = generator.openLoop({ ...task, durationS: phaseS * PHASE_NAMES.length, exchange: { seed } })
  const times = playPhases(acts, phaseS, stage)
  const [run] = await Promise.all([started, times])
  const booked = await untilBooked(run, () => stage.booked(TENANT, cast.cache.url))
  return reportOf(options, { run, booked })
}

async function playPhases(
  acts: Partial<Record<Phase, () => Promise<void> | void>>,
  phaseS: number,
  stage: Stage,
): Promise<void> {
  const startMs = performance.now()
  for (const [index, phase] of PHASE_NAMES.entries()) {
    await sleep(Math.max(0, startMs + index * phaseS * 1e3 - performance.now()))
    stage.say(`${phaseS} s: ${PHASES[phase]}`)
    await acts[phase]?.()
  }
}

async function untilBooked({ exchange }: RunFindings, read: () => Promise<number>): Promise<number> {
  for (const endMs = performance.now() + BOOKED_WITHIN_MS; ; await sleep(1_000)) {
    const booked = await read()
    const isRight = exchange !== undefined && bookedProblem(booked, exchange.books) === undefined
    if (isRight || performance.now() > endMs) return booked
  }
}

interface Found {
  readonly run: RunFindings
  readonly booked: number
}

interface PhaseFigures {
  readonly phase: Phase
  readonly answered: number
  readonly failed: number
  /** Median of the seconds' p99s, the phase's first second left out. */
  readonly p99Us: number
}

function figuresOf(phase: Phase, series: readonly SeriesPoint[], phaseS: number): PhaseFigures {
  const start = PHASE_NAMES.indexOf(phase) * phaseS
  const own = series.filter(({ second }) => second >= start && second < start + phaseS)
  const p99s = own
    .slice(1)
    .map(({ p99Us }) => p99Us)
    .sort((a, b) => a - b)
  const sum = (value: (point: SeriesPoint) => number) => own.reduce((total, point) => total + value(point), 0)
  return {
    ...{ phase, answered: sum(point => point.answered), failed: sum(point => point.failed) },
    p99Us: p99s[Math.floor(p99s.length / 2)] ?? 0,
  }
}

function reportOf(options: FaultsOptions, { run, booked }: Found): Report {
  const phases = PHASE_NAMES.map(phase => figuresOf(phase, run.series, options.phaseS))
  const { exchange } = run
  return {
    scenario: 'faults',
    settings: { ...options },
    objectives: objectivesOf(options, phases, { run, booked }),
    invalid: exchange === undefined || exchange.wins === 0 ? ['the mock exchange bought nothing'] : [],
    examples: [...(exchange?.examples ?? []), ...(exchange?.books.capExamples ?? [])],
    figures: { phases, booked, exchange, errors: run.errors, statuses: run.statuses, timeouts: run.timeouts },
    measurements: [{ name: 'all requests', latencyUs: run.latencyUs, series: run.series }],
    table: [
      ['', 'answers', 'failed', 'p99 ms'],
      ...phases.map(({ phase, answered, failed, p99Us }) => [
        PHASES[phase],
        String(answered),
        String(failed),
        ms(p99Us),
      ]),
    ],
    sections: [
      {
        title: 'What the exchange knows',
        notes: ['Amounts are in the tenant’s currency. A bill that was not acknowledged may be booked or not.'],
        table: [
          ['', ''],
          ['sold', String(exchange?.books.sales ?? 0)],
          ['billed', `${exchange?.books.billed ?? 0}: ${exchange?.books.billedAmount.toFixed(6) ?? ''}`],
          ['acknowledged', exchange?.books.acknowledgedAmount.toFixed(6) ?? ''],
          ['booked by the service', booked.toFixed(6)],
          ['notices tried again', String(exchange?.notices.retries ?? 0)],
          ...Object.entries(exchange?.notices.kinds ?? {}).map(([kind, count]) => [`${kind}, taken`, String(count)]),
          ['shown of what is capped', String(exchange?.books.capped ?? 0)],
        ],
      },
    ],
  }
}

function objectivesOf(
  { phaseS }: FaultsOptions,
  phases: readonly PhaseFigures[],
  { run: { exchange, series }, booked }: Found,
): readonly Objective[] {
  const of = (phase: Phase) => phases.find(each => each.phase === phase)
  const limitUs = Math.max((of('quiet')?.p99Us ?? 0) * P99_SHARE_MAX, (of('quiet')?.p99Us ?? 0) + P99_SLACK_US)
  const awayUs = Math.max(...CACHE_AWAY.map(phase => of(phase)?.p99Us ?? Number.POSITIVE_INFINITY))
  const killedAt = PHASE_NAMES.indexOf('restarted') * phaseS
  // The exchange's seconds and the phases begin some tenths apart.
  const isExcused = (second: number) => second >= killedAt - 1 && second < killedAt + phaseS
  const failed = series.filter(({ second }) => !isExcused(second)).reduce((sum, each) => sum + each.failed, 0)
  const back = series.find(({ second, answered, failed: lost }) => second > killedAt && answered > 0 && lost === 0)
  const backS = back === undefined ? Number.POSITIVE_INFINITY : back.second - killedAt
  const problem = exchange === undefined ? 'no exchange' : bookedProblem(booked, exchange.books)
  const overspent = exchange?.books.overspent ?? []
  const broken = Object.values(exchange?.brokenRules ?? {}).reduce((sum, count) => sum + count, 0)
  const lost = exchange?.notices.lost ?? 0
  const { aboveCap = 0, capped = 0 } = exchange?.books ?? {}
  return [
    {
      name: 'p99 while the cache is away, median of its seconds',
      promised: `≤ ${ms(limitUs)} ms`,
      observed: `${ms(awayUs)} ms`,
      held: awayUs <= limitUs,
    },
    { name: 'failed requests, the killed task’s apart', promised: '0', observed: String(failed), held: failed === 0 },
    {
      name: 'a killed task answers again',
      promised: `≤ ${phaseS} s`,
      observed: Number.isFinite(backS) ? `after ${backS} s` : 'never',
      held: backS <= phaseS,
    },
    {
      name: 'every bill is booked once',
      promised: 'what was acknowledged, at most what was billed',
      observed: problem ?? `booked ${booked.toFixed(6)}`,
      held: problem === undefined,
    },
    { name: 'notices lost', promised: '0', observed: String(lost), held: lost === 0 },
    {
      name: 'budgets exceeded',
      promised: 'none',
      observed: overspent.length === 0 ? 'none' : overspent.join('; '),
      held: overspent.length === 0,
    },
    {
      name: 'impressions above their frequency caps',
      promised: `≤ ${CAP_LEAK_MAX * 100} % of what is capped`,
      observed: `${aboveCap} of ${capped}`,
      held: aboveCap <= capped * CAP_LEAK_MAX,
    },
    { name: 'broken acceptance rules', promised: '0', observed: String(broken), held: broken === 0 },
  ]
}
