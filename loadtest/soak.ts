/**
 * Whether memory or latency drift while a service runs for long with everything on: budgets, caps, notices. Windows of
 * load by an exchange that buys, and a straight line through them.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { startRedis } from '../test/redis-server.ts'
import { pin, residentBytes } from './cpu.ts'
import { addedBooks, bookedProblem } from './exchange-books.ts'
import type { RunFindings } from './generator-process.ts'
import { Histogram, summaryOf } from './histogram.ts'
import { failuresOf } from './latency.ts'
import { ms, type Objective, type Report } from './report.ts'
import type { SeriesPoint } from './series.ts'
import type { Stage } from './stage.ts'
import { ratesOf, readTenantRecords } from './tenant-records.ts'

/** With whose documents, how hard and how long. */
export interface SoakOptions {
  readonly tenantDirectory: string
  readonly ratePerS: number
  readonly durationS: number
  readonly seed: number
}

interface Window {
  readonly atS: number
  readonly run: RunFindings
  readonly residentMib: number
}

const TENANT = 'soak'
/** Of an hour; a short soak has fewer, since each ends with its last notices. */
const WINDOWS = 60
const WINDOW_S_MIN = 12
/** Notices that were taken are booked by then. */
const BOOKED_WITHIN_MS = 10_000
/** Heaps and caches find their size first. */
const WARM_SHARE = 0.25
/** Over the judged part: less than this share of the mean, or than what a heap wanders by itself. */
const MEMORY_DRIFT_SHARE_MAX = 0.05
const MEMORY_DRIFT_MIB_MIN = 16
const P99_DRIFT_SHARE_MAX = 0.25
const P99_DRIFT_US_MIN = 1_000
const TIMEOUT_MS = 2_000
const MIB = 1024 * 1024

/** Loads one service all the time; every window is one point of the line. */
export async function runSoak(options: SoakOptions, stage: Stage): Promise<Report> {
  const { tenantDirectory, ratePerS, durationS, seed } = options
  const cache = await startRedis()
  stage.atEnd(() => cache.stop())
  pin(cache.pid, '1')
  const env = await stage.spendingTenant(TENANT, tenantDirectory, cache.url)
  const service = await stage.serviceWith(env, { cpus: '0', precedence: 'urgent' })
  const generator = stage.generator({ cpus: '1', precedence: 'urgent' })
  await generator.load({ kind: 'tenant', directory: tenantDirectory, count: 5_000, seed, malformedShare: 0.002 })
  const check = { judgeEvery: 100, rates: ratesOf(await readTenantRecords(tenantDirectory)) }
  const windowS = Math.max(WINDOW_S_MIN, durationS / WINDOWS)
  const windows: Window[] = []
  for (let atS = 0; atS < durationS; atS += windowS) {
    const plan = { arrivals: 'poisson', ratePerS, durationS: windowS, seed: seed + windows.length } as const
    const limits = { connectionsMax: 128, timeoutMs: TIMEOUT_MS, sendLagP99UsMax: 10_000 }
    const run = await generator.openLoop({ ...plan, ...limits, url: service.url, check, exchange: { seed } })
    const residentMib = (residentBytes(service.pid) ?? 0) / MIB
    windows.push({ atS: atS + windowS, run, residentMib })
    const { p99 } = summaryOf(run.latencyUs)
    stage.say(`${Math.round(atS + windowS)} of ${durationS} s: p99 ${ms(p99)} ms, ${residentMib.toFixed(0)} MiB`)
  }
  return reportOf(options, windows, await bookedOf(windows, () => stage.booked(TENANT, cache.url)))
}

/** What the ledger holds, once it is what it should be, or after a while. */
async function bookedOf(windows: readonly Window[], read: () => Promise<number>): Promise<number> {
  for (const endMs = performance.now() + BOOKED_WITHIN_MS; ; await sleep(500)) {
    const booked = await read()
    if (bookedProblem(booked, booksOf(windows)) === undefined || performance.now() > endMs) return booked
  }
}

function booksOf(windows: readonly Window[]) {
  return addedBooks(windows.flatMap(({ run }) => run.exchange?.books ?? []))
}

/** A straight line by least squares. */
export interface Line {
  readonly mean: number
  /** What the line adds from the first point to the last. */
  readonly drift: number
}

/** The line through points, at least one. */
export function lineThrough(points: readonly (readonly [x: number, y: number])[]): Line {
  const count = Math.max(1, points.length)
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / count
  const mean = points.reduce((sum, [, y]) => sum + y, 0) / count
  const above = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - mean), 0)
  const below = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0)
  const slope = below === 0 ? 0 : above / below
  return { mean, drift: slope * ((points.at(-1)?.[0] ?? 0) - (points[0]?.[0] ?? 0)) }
}

function reportOf(options: SoakOptions, windows: readonly Window[], booked: number): Report {
  const judged = windows.slice(Math.floor(windows.length * WARM_SHARE))
  const memory = lineThrough(judged.map(({ atS, residentMib }) => [atS, residentMib]))
  const latency = lineThrough(judged.map(({ atS, run }) => [atS, run.latencyUs.percentile(99)]))
  const pooled = new Histogram()
  for (const { run } of windows) pooled.add(run.latencyUs)
  const late = windows.filter(({ run }) => run.invalid.length > 0)
  return {
    scenario: 'soak',
    settings: { ...options },
    objectives: objectivesOf(windows, { memory, latency, booked }),
    // Now and then another process comes in between; where that is common the line is not the service's.
    invalid: late.length > windows.length / 4 ? [`${late.length} windows: ${late.at(-1)?.run.invalid.join()}`] : [],
    examples: windows.flatMap(({ run }) => run.findings.examples),
    figures: {
      ...{ memory, latency, pooled: summaryOf(pooled) },
      windows: windows.map(({ atS, residentMib, run }) => ({ atS, residentMib, p99Us: run.latencyUs.percentile(99) })),
    },
    measurements: [{ name: 'all windows', latencyUs: pooled, series: seriesOf(windows) }],
    plots: [
      {
        title: 'Resident memory',
        label: 'MiB',
        lines: [
          { name: 'the service', points: windows.map(({ atS, residentMib }) => [atS, residentMib]) },
          { name: 'the line that is judged', points: drawn(memory, judged) },
        ],
      },
      {
        title: 'p99 of each window',
        label: 'ms',
        lines: [
          { name: 'the service', points: windows.map(({ atS, run }) => [atS, run.latencyUs.percentile(99) / 1e3]) },
          { name: 'the line that is judged', points: drawn(latency, judged).map(([at, us]) => [at, us / 1e3]) },
        ],
      },
    ],
    table: [
      ['', 'requests', 'p50 ms', 'p99 ms', 'max ms', 'resident MiB'],
      ...windows.map(({ atS, run, residentMib }) => {
        const { count, p50, p99, max } = summaryOf(run.latencyUs)
        return [`${Math.round(atS)} s`, String(count), ms(p50), ms(p99), ms(max), residentMib.toFixed(0)]
      }),
    ],
  }
}

/** Both ends of a line, in seconds of the run. */
function drawn({ mean, drift }: Line, judged: readonly Window[]): readonly (readonly [number, number])[] {
  const [first, last] = [judged[0]?.atS ?? 0, judged.at(-1)?.atS ?? 0]
  return [
    [first, mean - drift / 2],
    [last, mean + drift / 2],
  ]
}

function seriesOf(windows: readonly Window[]): readonly SeriesPoint[] {
  const points = windows.flatMap(({ run }) => run.series).filter(({ sent }) => sent > 0)
  return points.map((point, second) => ({ ...point, second }))
}

interface Drift {
  readonly memory: Line
  readonly latency: Line
  readonly booked: number
}

function objectivesOf(windows: readonly Window[], { memory, latency, booked }: Drift): readonly Objective[] {
  const memoryMax = Math.max(MEMORY_DRIFT_MIB_MIN, memory.mean * MEMORY_DRIFT_SHARE_MAX)
  const latencyMax = Math.max(P99_DRIFT_US_MIN, latency.mean * P99_DRIFT_SHARE_MAX)
  const failures = windows.reduce((sum, { run }) => sum + failuresOf(run), 0)
  const problem = bookedProblem(booked, booksOf(windows))
  const broken = windows.flatMap(({ run }) => Object.values(run.findings.brokenRules)).reduce((sum, n) => sum + n, 0)
  return [
    {
      name: 'drift of resident memory',
      promised: `≤ ${memoryMax.toFixed(0)} MiB`,
      observed: `${memory.drift.toFixed(1)} MiB at ${memory.mean.toFixed(0)} MiB`,
      held: memory.drift <= memoryMax,
    },
    {
      name: 'drift of p99',
      promised: `≤ ${ms(latencyMax)} ms`,
      observed: `${ms(latency.drift)} ms at ${ms(latency.mean)} ms`,
      held: latency.drift <= latencyMax,
    },
    {
      name: 'every bill is booked once',
      promised: 'what was acknowledged, at most what was billed',
      observed: problem ?? `booked ${booked.toFixed(6)} for ${booksOf(windows).billed} bills`,
      held: problem === undefined,
    },
    { name: 'failed requests', promised: '0', observed: String(failures), held: failures === 0 },
    { name: 'broken acceptance rules', promised: '0', observed: String(broken), held: broken === 0 },
  ]
}
