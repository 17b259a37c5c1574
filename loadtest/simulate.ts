/**
 * `npm run simulate`: the ledger's rules under everything that can go wrong, one seed after another, and the invariants
 * of ARCHITECTURE.md at every step. A seed that fails is printed; the same seed repeats it.
 */
import { writeFile } from 'node:fs/promises'
import {
  bad,
  CommandProblem,
  EXIT,
  newCommand,
  runCommand,
  startProgress,
  table,
} from '../service/commands/terminal.ts'
import { CapSimulation, type CapSimulationResult } from './money/cap-simulation.ts'
import { BROKEN_RULES, type BrokenRule } from './money/faulty-cache.ts'
import { BROKEN_COUNTS, type BrokenCount } from './money/faulty-counts.ts'
import { type PacedPoint, runPacedDay } from './money/paced-day.ts'
import { plotDays } from './money/plot.ts'
import { Simulation, type SimulationResult } from './money/simulation.ts'
import { commit } from './report.ts'

/** What `--plot` shows. Traffic swells from a fifth to all of it, so budgets can be spent along their plans. */
const DAYS = {
  even: { plan: { kind: 'even' } },
  'front-loaded': { plan: { kind: 'front-loaded' } },
  'custom, 8 to 20 h': {
    plan: { kind: 'custom', weights: Array.from({ length: 24 }, (_, h) => (h >= 8 && h < 20 ? 1 : 0)) },
  },
  'even, no traffic from 10 to 12 h': { plan: { kind: 'even' }, outageHours: [10, 12] },
  'even, 80 % of all traffic': { plan: { kind: 'even' }, budgetShare: 0.8 },
  'the same, traffic of a week known to 10 %': { plan: { kind: 'even' }, budgetShare: 0.8, forecastNoise: 0.1 },
  'campaign and four line items, even': { plan: { kind: 'even' }, lineItems: 4, campaignPart: 1 },
} as const

interface Options {
  readonly seeds: string
  readonly from: string
  readonly broken?: string
  readonly plot?: string
}

const SEEDS_MAX = 1_000_000
const FAILED_SHOWN = 10
const LEAK_MAX = 0.001

function wholeOf(name: string, given: string, min: number): number {
  const value = Number(given)
  if (Number.isInteger(value) && value >= min && value <= SEEDS_MAX) return value
  throw new CommandProblem(`--${name} must be a whole number from ${min} to ${SEEDS_MAX}, got ${given}`)
}

function isOneOf<T extends string>(given: string | undefined, rules: Readonly<Record<T, string>>): given is T {
  return given !== undefined && given in rules
}

function checkRule(given: string | undefined): void {
  if (given === undefined || isOneOf(given, BROKEN_RULES) || isOneOf(given, BROKEN_COUNTS)) return
  const known = Object.keys({ ...BROKEN_RULES, ...BROKEN_COUNTS }).join(', ')
  throw new CommandProblem(`--broken must be one of ${known}, got ${given}`)
}

/** The value below which a share of the sorted values lies. */
function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

function percent(part: number): string {
  return `${(part * 100).toFixed(3)} %`
}

function rowsOf(name: string, results: readonly SimulationResult[]): readonly (readonly string[])[] {
  const sorted = (of: (result: SimulationResult) => number) => results.map(of).toSorted((a, b) => a - b)
  const measures = [
    ['spend ÷ budget', sorted(({ used }) => used)],
    ['above the budget, in time', sorted(({ over }) => over)],
    ['above the budget, with late ones', sorted(({ used }) => Math.max(0, used - 1))],
    ['late ÷ budget', sorted(({ late }) => late)],
  ] as const
  return measures.map(([measure, values]) => {
    return [`${name}: ${measure}`, ...[0.05, 0.5, 0.99, 1].map(share => percent(quantile(values, share)))]
  })
}

function show(results: readonly SimulationResult[]): void {
  const sum = (of: (result: SimulationResult) => number) => results.reduce((total, each) => total + of(each), 0)
  const totals = [`${results.length} seeds`, `${sum(each => each.bids)} bids`, `${sum(each => each.billed)} billed`]
  console.log([...totals, `${sum(each => each.faults)} faults`].join(', '))
  const strict = results.filter(({ isStrict }) => isStrict)
  const smooth = results.filter(({ isStrict }) => !isStrict)
  console.log(table([['', 'p5', 'median', 'p99', 'most'], ...rowsOf('strict', strict), ...rowsOf('smooth', smooth)]))
}

/** What users saw above their caps, who came back after 2 s or later. @returns whether it is within the promise */
function showCaps(results: readonly CapSimulationResult[]): boolean {
  const sum = (of: (result: CapSimulationResult) => number) => results.reduce((total, each) => total + of(each), 0)
  const impressions = sum(each => each.impressions)
  const leak = sum(each => each.above) / impressions
  const worst = Math.max(...results.map(each => each.above / each.impressions))
  const heading = ['caps', 'impressions', 'faults', 'leak', 'of the worst seed', 'while tasks are cut off or killed']
  const inTrouble = percent(sum(each => each.aboveInTrouble) / impressions)
  const counts = [String(impressions), String(sum(each => each.faults))]
  console.log(table([heading, ['', ...counts, percent(leak), percent(worst), inTrouble]]))
  return leak <= LEAK_MAX
}

/** Days of pacing on three tasks: their table, and plan against spend as a picture. */
async function plot(file: string, seed: number): Promise<void> {
  const days = new Map<string, readonly PacedPoint[]>()
  for (const [name, day] of Object.entries(DAYS))
    days.set(name, runPacedDay({ seed, tasks: 3, budgetShare: 0.25, ...day }))
  const rows = [...days].map(([name, points]) => {
    const furthest = Math.max(...points.map(({ planned, spent }) => Math.abs(planned - spent)))
    return [name, percent(points.at(-1)?.spent ?? 0), percent(furthest)]
  })
  console.log(table([['pacing', 'spent at the end', 'furthest from plan'], ...rows]))
  await writeFile(file, plotDays(days))
}

async function simulate({ seeds, from, broken, plot: plotFile }: Options): Promise<void> {
  checkRule(broken)
  const [count, first] = [wholeOf('seeds', seeds, 1), wholeOf('from', from, 0)]
  const rule: BrokenRule | undefined = isOneOf(broken, BROKEN_RULES) ? broken : undefined
  const brokenCount: BrokenCount | undefined = isOneOf(broken, BROKEN_COUNTS) ? broken : undefined
  const without = broken === undefined ? '' : `, without: ${broken}`
  console.log(`seeds ${first} to ${first + count - 1}, commit ${commit()}${without}`)
  const progress = startProgress('simulating', count)
  const results: SimulationResult[] = []
  const caps: CapSimulationResult[] = []
  for (let seed = first; seed < first + count; seed++) {
    results.push(new Simulation(seed, rule).run())
    caps.push(await new CapSimulation(seed, brokenCount).run())
    progress.update(results.length)
  }
  progress.stop()
  show(results)
  const failed = results.filter(({ violations }) => violations.length > 0)
  console.log(`${failed.length} seeds with violations`)
  for (const { seed, violations } of failed.slice(0, FAILED_SHOWN)) console.log(bad(`seed ${seed}: ${violations[0]}`))
  const holdsCaps = showCaps(caps)
  if (!holdsCaps) console.log(bad(`caps leak more than ${percent(LEAK_MAX)}`))
  if (failed.length > 0 || !holdsCaps) process.exitCode = EXIT.bad
  if (plotFile !== undefined) await plot(plotFile, first)
}

await runCommand(
  newCommand('simulate', 'Runs the ledger under faults by seeds, and checks that the money is right at every step.')
    .option('--seeds <count>', 'how many seeds', '100')
    .option('--from <seed>', 'the first seed', '1')
    .option('--plot <file>', 'writes plan against spend of some days as SVG')
    .option('--broken <rule>', 'leaves one rule out, to see that it is noticed')
    .action(simulate),
)
