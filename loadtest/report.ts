/** What every scenario hands back: objectives with a verdict, and the facts by which a run can be repeated. */
import { execFileSync } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, platform, release, totalmem } from 'node:os'
import { join } from 'node:path'

/** One stated objective. */
export interface Objective {
  readonly name: string
  readonly promised: string
  readonly observed: string
  readonly held: boolean
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
}

/** The machine, the commit and the command of this run. */
function runFacts(): Readonly<Record<string, unknown>> {
  const processors = cpus()
  return {
    at: new Date().toISOString(),
    command: ['npm run loadtest --', ...process.argv.slice(2)].join(' '),
    commit: commit(),
    node: process.version,
    system: `${platform()} ${release()}`,
    processor: processors[0]?.model ?? 'unknown',
    processors: availableParallelism(),
    memoryMib: Math.round(totalmem() / 1024 / 1024),
  }
}

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return 'unknown'
  }
}

/** Writes `<scenario>.json` into a directory, which is made when it is not there. @returns the file */
export async function writeReport(directory: string, report: Report): Promise<string> {
  await mkdir(directory, { recursive: true })
  const file = join(directory, `${report.scenario}.json`)
  const { table: _, ...rest } = report
  await writeFile(file, `${JSON.stringify({ ...rest, run: runFacts() }, undefined, 2)}\n`)
  return file
}

/** Microseconds as milliseconds for a person. */
export function ms(us: number): string {
  return (us / 1e3).toFixed(2)
}
