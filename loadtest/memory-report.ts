/** What the memory scenario found, as a report. */
import { Random } from '../service/foundation/random.ts'
import type { ContainerEvent } from './container-stage.ts'
import { addedBooks, bookedProblem } from './exchange-books.ts'
import type { ExchangeReport } from './generator.ts'
import type { RunFindings } from './generator-process.ts'
import {
  type ArmFigures,
  type ArmWindow,
  armFigures,
  armSeries,
  armTable,
  moveIntervals,
  moveObjective,
  noFailureObjective,
} from './paired-arms.ts'
import type { Objective, Report, Section } from './report.ts'

/** How hard, how long. The tenants are those of the compose stack. */
export interface MemoryOptions {
  /** The victim's constant rate. */
  readonly ratePerS: number
  /** One window of one arm; a leak must have time to end. */
  readonly windowS: number
  readonly rounds: number
  /** Above this p99 of its send lag the victim's generator was too slow, and the window is played again. */
  readonly sendLagP99UsMax: number
  readonly seed: number
}

/** What the neighbour does in a window. */
export const MEMORY_ARMS = {
  alone: 'the neighbour runs as usual',
  control: 'processor time is burnt in the container of the neighbour',
  leaking: 'the neighbour runs out of memory',
} as const
/** One of them. */
export type MemoryArm = keyof typeof MEMORY_ARMS

/** How one leak went. */
export interface LeakSeen {
  readonly events: readonly ContainerEvent[]
  /** Of the neighbour, those about memory. */
  readonly memoryLines: readonly string[]
  /** From its end until the proxy saw it ready again; undefined when it did not end. */
  readonly awayMs: number | undefined
  /** Seconds since the leak began, and resident MiB. */
  readonly resident: readonly (readonly [second: number, mib: number])[]
}

/** One window, and the leak in it. */
export interface MemoryWindow extends ArmWindow<MemoryArm> {
  readonly neighbour: RunFindings
  readonly leak: LeakSeen | undefined
}

/** What was played and seen. */
export interface MemoryFound {
  readonly rounds: readonly (readonly MemoryWindow[])[]
  /** Windows in which the victim's generator lagged or others used its core: no evidence for latency. */
  readonly dropped: readonly MemoryWindow[]
  /** Of all of the victim's runs. */
  readonly exchanges: readonly ExchangeReport[]
  /** What the victim says that it booked, in its currency. */
  readonly booked: number
  readonly victimEvents: readonly ContainerEvent[]
  readonly foreignLogLines: number
  /** Of the neighbour's container. */
  readonly limitMib: number
}

/** How soon a task that was killed must be there again by itself. */
const BACK_S_MAX = 30
/** By how much the share of requests with a bid may differ: chance alone moves it by one. */
const BID_SHARE_POINTS_MAX = 3
const ARM_NAMES = Object.keys(MEMORY_ARMS) as MemoryArm[]

/** Judges it. */
export function memoryReport(options: MemoryOptions, found: MemoryFound): Report {
  const { rounds, dropped, limitMib } = found
  const arms = ARM_NAMES.map(arm => armFigures(arm, 'control', rounds, new Random(options.seed)))
  const windows = [...rounds.flat(), ...dropped]
  const leaks = windows.flatMap(({ leak }) => (leak === undefined ? [] : [leak]))
  const missing = arms.filter(({ windows: valid }) => valid < options.rounds)
  const why = dropped.at(-1)?.victim.invalid.at(-1) ?? ''
  return {
    scenario: 'memory',
    settings: { ...options, limitMib },
    objectives: objectivesOf(found, arms, leaks),
    invalid: [
      ...missing.map(({ arm, windows: valid }) => {
        const counts = `${valid} of ${options.rounds} windows are valid, ${dropped.length} were dropped`
        return `${arm}: ${counts}; the last: ${why}`
      }),
      ...(leaks.some(isPressed) ? [] : ['the neighbour never came near its memory limit']),
    ],
    examples: windows.flatMap(({ victim }) => victim.findings.examples),
    figures: {
      arms: arms.map(({ pooled: _, ...arm }) => ({
        ...arm,
        means: MEMORY_ARMS[arm.arm],
        bidShare: bidShare(rounds, arm.arm),
      })),
      leaks: leaks.map(({ resident: _, ...leak }) => leak),
      droppedWindows: dropped.length,
    },
    measurements: arms.map(({ arm, pooled }) => ({ name: arm, latencyUs: pooled, series: armSeries(rounds, arm) })),
    plots: [
      {
        title: `The neighbour's resident memory while it leaks; its container has ${limitMib} MiB`,
        label: 'MiB',
        lines: leaks.map(({ resident }, leak) => ({ name: `leak ${leak + 1}`, points: resident })),
      },
    ],
    table: armTable(arms),
    intervals: moveIntervals(arms, arms.find(({ arm }) => arm === 'control')?.latency.p99 ?? 0),
    sections: [leakSection(leaks), moneySection(found)],
  }
}

function isPressed({ events, memoryLines }: LeakSeen): boolean {
  return memoryLines.length > 0 || events.some(({ action }) => action === 'oom')
}

function objectivesOf(
  found: MemoryFound,
  arms: readonly ArmFigures<MemoryArm>[],
  leaks: readonly LeakSeen[],
): readonly Objective[] {
  const windows = [...found.rounds.flat(), ...found.dropped]
  const [control, leaking] = (['control', 'leaking'] as const).map(name => arms.find(({ arm }) => arm === name))
  const foreign = windows.reduce((sum, { victim, neighbour }) => {
    return sum + victim.findings.foreignAnswers + neighbour.findings.foreignAnswers
  }, found.foreignLogLines)
  const broken = windows.reduce((sum, { victim }) => {
    return sum + Object.values(victim.findings.brokenRules).reduce((all, count) => all + count, 0)
  }, 0)
  const problem = bookedProblem(found.booked, booksOf(found))
  const awayS = leaks.map(({ awayMs = 0 }) => awayMs / 1e3)
  const slowestS = Math.max(0, ...awayS)
  const points = 100 * Math.abs(bidShare(found.rounds, 'leaking') - bidShare(found.rounds, 'control'))
  const ends = found.victimEvents.filter(({ action }) => action === 'oom' || action === 'die').length
  return [
    moveObjective(MEMORY_ARMS.leaking, leaking?.move, control?.latency.p99 ?? 0),
    noFailureObjective(arms),
    {
      name: 'the share of requests that the victim bids on moves',
      promised: `≤ ${BID_SHARE_POINTS_MAX} points`,
      observed: `${points.toFixed(2)} points`,
      held: points <= BID_SHARE_POINTS_MAX,
    },
    { name: "victim's answers that break a rule", promised: '0', observed: String(broken), held: broken === 0 },
    { name: 'foreign identifiers in answers and logs', promised: '0', observed: String(foreign), held: foreign === 0 },
    {
      name: "victim's bills are booked once",
      promised: 'what was acknowledged, at most what was billed',
      observed: problem ?? `booked ${found.booked.toFixed(6)}`,
      held: problem === undefined && found.booked > 0,
    },
    { name: "victim's own ends and kills", promised: '0', observed: String(ends), held: ends === 0 },
    {
      name: 'the neighbour is there again by itself',
      promised: `≤ ${BACK_S_MAX} s`,
      observed: `after ${slowestS.toFixed(1)} s at most, ${awayS.length} leaks`,
      held: slowestS <= BACK_S_MAX && leaks.length > 0,
    },
  ]
}

function bidShare(rounds: MemoryFound['rounds'], arm: MemoryArm): number {
  const own = rounds.flat().filter(each => each.arm === arm)
  const sum = (value: (window: MemoryWindow) => number) => own.reduce((all, window) => all + value(window), 0)
  return (
    sum(({ victim }) => victim.findings.bids) /
    Math.max(
      1,
      sum(({ victim }) => victim.answered),
    )
  )
}

function booksOf({ exchanges }: MemoryFound) {
  return addedBooks(exchanges.map(({ books }) => books))
}

function leakSection(leaks: readonly LeakSeen[]): Section {
  const rows = leaks.map(({ events, memoryLines, awayMs }, leak) => {
    const end = events.find(({ action }) => action === 'die')
    const killed = events.some(({ action }) => action === 'oom')
    const how = killed ? 'the kernel killed it' : `it ended itself with ${end?.exitCode ?? ''}`
    const away = awayMs === undefined ? '' : `${(awayMs / 1e3).toFixed(1)} s`
    return [`leak ${leak + 1}`, memoryLines.map(lineName).join(', '), end === undefined ? 'it survived' : how, away]
  })
  return {
    title: 'How the neighbour went',
    notes: ['Its own process keeps 60 MiB more each second, until its container may have no more.'],
    table: [['', 'what it said', 'how it ended', 'away for'], ...rows],
  }
}

/** `memory-warn at 71.3 %` of a log line. */
function lineName(line: string): string {
  const name = /"(memory-[\w-]+)"/.exec(line)?.[1] ?? ''
  const percent = /"used_percent":([\d.]+)/.exec(line)?.[1]
  return percent === undefined ? name : `${name} at ${percent} %`
}

function moneySection(found: MemoryFound): Section {
  const { sales, billed, billedAmount, acknowledgedAmount } = booksOf(found)
  return {
    title: 'What the victim’s exchange knows',
    notes: ['Amounts are in the tenant’s currency.'],
    table: [
      ['', ''],
      ['sold', String(sales)],
      ['billed', `${billed}: ${billedAmount.toFixed(6)}`],
      ['acknowledged', acknowledgedAmount.toFixed(6)],
      ['booked by the service', found.booked.toFixed(6)],
    ],
  }
}
