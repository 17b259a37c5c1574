/** What every scenario hands back: objectives with a verdict, and the facts by which a run can be repeated. */
import { execFileSync } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, platform, release, totalmem } from 'node:os'
import { join } from 'node:path'
import type { Histogram } from './histogram.ts'
import { htmlReport, percentilePoints } from './html-report.ts'
import type { SeriesPoint } from './series.ts'

/** One stated objective. */
export interface Objective {
  readonly name: string
  readonly promised: string
  readonly observed: string
  readonly held: boolean
}

/** What is plotted of one part of a run. */
export interface Measurement {
  readonly name: string
  readonly latencyUs: Histogram
  /** Second by second; without it only the percentiles are plotted. */
  readonly series?: readonly SeriesPoint[]
}

/** Something else over time, or over something else, from 0 up. */
export interface Plot {
  readonly title: string
  /** What lies below, with its unit; seconds of the run without it. */
  readonly x?: string
  /** Values above 0 over several powers of ten. */
  readonly isLog?: true
  /** What the values are, with their unit. */
  readonly label: string
  readonly lines: readonly {
    readonly name: string
    readonly points: readonly (readonly [x: number, value: number])[]
  }[]
}

/** Estimates with their 95 % intervals. */
export interface Intervals {
  readonly title: string
  /** What the values are, with their unit. */
  readonly label: string
  /** The value that says: no difference. */
  readonly neutral: number
  /** An interval whose upper end is above it misses what is promised. */
  readonly limit?: number
  readonly rows: readonly {
    readonly name: string
    readonly low: number
    readonly estimate: number
    readonly high: number
  }[]
}

/** A table with a heading of its own, for what does not fit the main one. */
export interface Section {
  readonly title: string
  /** What the table says and what it leaves out, in sentences. */
  readonly notes: readonly string[]
  /** The first row is the heading. */
  readonly table: readonly (readonly string[])[]
}

/** One run of a scenario. */
export interface Report {
  readonly scenario: string
  readonly settings: Readonly<Record<string, unknown>>
  readonly objectives: readonly Objective[]
  /** Why the run proves nothing; empty when it is valid. */
  readonly invalid: readonly string[]
  /** Figures by the scenario's own names. */
  readonly figures: Readonly<Record<string, unknown>>
  /** Offending answers, short, a few. */
  readonly examples: readonly string[]
  /** Rows for a person, the first is the heading. */
  readonly table: readonly (readonly string[])[]
  /** In the order of the legend; the first eight are plotted. */
  readonly measurements?: readonly Measurement[]
  readonly plots?: readonly Plot[]
  readonly intervals?: Intervals
  readonly sections?: readonly Section[]
}

/** The machine, the commit and the command of this run. */
function runFacts(): Readonly<Record<string, unknown>> {
  return { ...machineFacts(), command: ['npm run loadtest --', ...process.argv.slice(2)].join(' ') }
}

/** When and on what a run happens: `at`, `commit`, and the machine. Cost: starts a process. */
export function machineFacts(): Readonly<Record<string, unknown>> {
  const processors = cpus()
  return {
    at: new Date().toISOString(),
    commit: commit(),
    node: process.version,
    system: `${platform()} ${release()}`,
    processor: processors[0]?.model ?? 'unknown',
    processors: availableParallelism(),
    memoryMib: Math.round(totalmem() / 1024 / 1024),
  }
}

/** The commit of the working copy, 'unknown' outside of one. Cost: starts a process. */
export function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return 'unknown'
  }
}

/**
 * Writes `<scenario>.json` and `report.html` into a directory, which is made when it is not there. The page needs no
 * other file. @returns both files
 */
export async function writeReport(directory: string, report: Report): Promise<readonly [json: string, html: string]> {
  await mkdir(directory, { recursive: true })
  const { table: _, measurements = [], ...rest } = report
  const run = runFacts()
  const plotted = measurements.map(({ latencyUs, ...each }) => ({
    ...each,
    percentilesMs: percentilePoints(latencyUs),
  }))
  const shown = { ...report, settings: withoutDirectories(report.settings) }
  const json = join(directory, `${report.scenario}.json`)
  const html = join(directory, 'report.html')
  await writeFile(
    json,
    `${JSON.stringify({ ...rest, settings: shown.settings, measurements: plotted, run }, undefined, 2)}\n`,
  )
  await writeFile(html, htmlReport(shown, run))
  return [json, html]
}

/** The command says whose documents they were; where a run kept them is nobody's business. */
function withoutDirectories(settings: Report['settings']): Report['settings'] {
  return Object.fromEntries(Object.entries(settings).filter(([name]) => !name.endsWith('Directory')))
}

/** Microseconds as milliseconds for a person. */
export function ms(us: number): string {
  return (us / 1e3).toFixed(2)
}
