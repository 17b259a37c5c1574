/** Where a service's time goes, for the report of a run that missed an objective: V8's own profile, read as a table. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Section } from './report.ts'

/** The parts of V8's profile that are read. Times are in µs. */
interface Profile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

const ROWS_MAX = 25
/** Not work of the thread. */
const RESTING = new Set(['(idle)', '(root)'])

/** Flags by which Node writes a profile of each thread into a directory when the process ends. */
export function profileFlags(directory: string): readonly string[] {
  return ['--cpu-prof', `--cpu-prof-dir=${directory}`]
}

/** The busiest thread's profile, as a table of functions by their own time. Undefined when there is none. */
export async function profileSection(directory: string): Promise<Section | undefined> {
  const files = (await readdir(directory)).filter(name => name.endsWith('.cpuprofile'))
  const texts = await Promise.all(files.map(name => readFile(join(directory, name), 'utf8')))
  const times = texts.map(text => ownTimes(JSON.parse(text) as Profile))
  const [busiest] = times.sort((a, b) => sumOf(b) - sumOf(a))
  if (busiest === undefined || sumOf(busiest) === 0) return undefined
  const total = sumOf(busiest)
  const rows = [...busiest].sort((a, b) => b[1] - a[1]).slice(0, ROWS_MAX)
  return {
    title: 'Where the time goes',
    notes: [
      `A service of its own at the judged load, its busiest thread: ${(total / 1e6).toFixed(1)} s of work. ` +
        'Functions by their own time, without what they call; the profiler itself costs some per cent.',
    ],
    table: [['function', 'share'], ...rows.map(([name, us]) => [name, `${((100 * us) / total).toFixed(1)} %`])],
  }
}

function sumOf(times: ReadonlyMap<string, number>): number {
  let sum = 0
  for (const us of times.values()) sum += us
  return sum
}

function ownTimes({ nodes, samples, timeDeltas }: Profile): ReadonlyMap<string, number> {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]))
  const times = new Map<string, number>()
  for (const [index, id] of samples.entries()) {
    const frame = names.get(id)
    if (frame === undefined || RESTING.has(frame.functionName)) continue
    const { functionName, url, lineNumber } = frame
    // Without the part of the path that is this machine's.
    const file = url.replace(/^file:.*\/(?=(?:service|node_modules)\/)/, '')
    const name = `${functionName || '(anonymous)'}${file === '' ? '' : ` ${file}:${lineNumber + 1}`}`
    times.set(name, (times.get(name) ?? 0) + (timeDeltas[index] ?? 0))
  }
  return times
}
