/** Interleaved windows of several arms, and how each moved the victim's latency beside a control arm. */
import type { Random } from '../service/foundation/random.ts'
import { type Difference, percentileDifference } from './bootstrap.ts'
import type { RunFindings } from './generator-process.ts'
import { Histogram, type LatencySummary, summaryOf } from './histogram.ts'
import { failuresOf } from './latency.ts'
import { type Intervals, ms, type Objective } from './report.ts'
import type { SeriesPoint } from './series.ts'

/** One window: what the victim's exchange found while an arm was played. */
export interface ArmWindow<A extends string> {
  readonly arm: A
  readonly victim: RunFindings
}

/** Each with one valid window of each arm, unless none came about. */
export type ArmRounds<A extends string> = readonly (readonly ArmWindow<A>[])[]

/** All windows of one arm. */
export interface ArmFigures<A extends string> {
  readonly arm: A
  readonly windows: number
  readonly pooled: Histogram
  readonly latency: LatencySummary
  readonly failures: number
  readonly causes: Readonly<Record<string, number>>
  /** Beside the control arm; undefined for itself, and where rounds are missing. */
  readonly move: Difference | undefined
}

/** product.md, promise "isolation": p99 moves by at most the greater of 1 ms and 10 %. */
const P99_MOVE_US_MAX = 1_000
const P99_MOVE_SHARE_MAX = 0.1
/** What an objective without valid rounds observed. */
const NOT_SHOWN = 'not shown'

/** Pools the windows of an arm. @param control the arm that it is compared with */
export function armFigures<A extends string>(arm: A, control: A, rounds: ArmRounds<A>, random: Random): ArmFigures<A> {
  const windows = rounds.flatMap(round => round.filter(each => each.arm === arm))
  const pooled = new Histogram()
  const causes: Record<string, number> = {}
  for (const { victim } of windows) {
    pooled.add(victim.latencyUs)
    for (const [cause, count] of Object.entries({ ...victim.errors, timeout: victim.timeouts }))
      if (count > 0) causes[cause] = (causes[cause] ?? 0) + count
  }
  const pairs = rounds.flatMap(round => {
    const [treated, beside] = [arm, control].map(name => round.find(each => each.arm === name)?.victim.latencyUs)
    return treated === undefined || beside === undefined ? [] : [{ treated, control: beside }]
  })
  const move = arm !== control && pairs.length > 1 ? percentileDifference(pairs, 99, random) : undefined
  const failures = windows.reduce((sum, { victim }) => sum + failuresOf(victim), 0)
  return { arm, windows: windows.length, pooled, latency: summaryOf(pooled), failures, causes, move }
}

/** How far an arm may move p99, in µs. @param controlP99Us of the control arm */
function moveLimitUs(controlP99Us: number): number {
  return Math.max(P99_MOVE_US_MAX, controlP99Us * P99_MOVE_SHARE_MAX)
}

/** The moves of all arms that have one, to be drawn. @param controlP99Us of the control arm */
export function moveIntervals<A extends string>(arms: readonly ArmFigures<A>[], controlP99Us: number): Intervals {
  const rows = arms.flatMap(({ arm, move }) => {
    if (move === undefined) return []
    return [{ name: arm, low: move.low / 1e3, estimate: move.estimate / 1e3, high: move.high / 1e3 }]
  })
  const title = 'How far p99 moved beside the control arm, with 95 % intervals'
  return { title, label: 'ms; dashed: what is promised', neutral: 0, limit: moveLimitUs(controlP99Us) / 1e3, rows }
}

/** That an arm moved p99 no further than is promised. @param controlP99Us of the control arm */
export function moveObjective(what: string, move: Difference | undefined, controlP99Us: number): Objective {
  const limit = moveLimitUs(controlP99Us)
  const isInDoubt = move !== undefined && move.low <= limit && move.high > limit
  const observed = move === undefined ? NOT_SHOWN : `${moveText(move)} ms${isInDoubt ? `, ${NOT_SHOWN}` : ''}`
  const held = move !== undefined && move.high <= limit
  return { name: `p99 moved while ${what}`, promised: `≤ ${ms(limit)} ms`, observed, held }
}

/** That no request of the victim failed in any arm. */
export function noFailureObjective<A extends string>(arms: readonly ArmFigures<A>[]): Objective {
  const failures = arms.reduce((sum, each) => sum + each.failures, 0)
  const causes = arms.flatMap(({ arm, causes }) => Object.entries(causes).map(([cause, n]) => `${arm}: ${n} ${cause}`))
  const observed = `${failures}${causes.length > 0 ? ` (${causes.join(', ')})` : ''}`
  return { name: "victim's failed requests", promised: '0', observed, held: failures === 0 }
}

/** Rows for a person, the heading first. */
export function armTable<A extends string>(arms: readonly ArmFigures<A>[]): readonly (readonly string[])[] {
  return [
    ['victim, p99 pooled', 'requests', 'p50 ms', 'p99 ms', 'p99.9 ms', 'max ms', 'failed', 'p99 moved, ms (95 %)'],
    ...arms.map(({ arm, latency: { count, p50, p99, p999, max }, failures, move }) => {
      const moved = move === undefined ? '' : moveText(move)
      return [arm, String(count), ms(p50), ms(p99), ms(p999), ms(max), String(failures), moved]
    }),
  ]
}

function moveText({ estimate, low, high }: Difference): string {
  return `${ms(estimate)} (${ms(low)} to ${ms(high)})`
}

/** The windows of an arm, one after the other: what lay between them is left out. */
export function armSeries<A extends string>(rounds: ArmRounds<A>, arm: A): readonly SeriesPoint[] {
  const points = rounds
    .flatMap(round => round.filter(each => each.arm === arm).flatMap(each => each.victim.series))
    // The last answers of a window come after its last request: no second of their own.
    .filter(({ sent }) => sent > 0)
  return points.map((point, second) => ({ ...point, second }))
}

/** Arms in an order by chance. */
export function shuffled<T>(list: readonly T[], random: Random): readonly T[] {
  const left = [...list]
  return list.map(() => left.splice(random.pickIndex(left.length), 1)[0] as T)
}
