/**
 * Shares of a capacity that does not stand still. A shared machine changes its speed by half within a second: what was
 * half of capacity a moment ago may be all of it now. So each step is played in short windows, each right after a look
 * at the capacity, and a window in which the machine became slower is played again.
 */
import type { CapacityResult } from './capacity.ts'
import { cpuSecondsOf } from './cpu.ts'
import type { RunFindings } from './generator-process.ts'
import { Histogram } from './histogram.ts'

/** What is measured at a share of capacity. */
export interface StepPlan {
  readonly name: string
  /** 0 to 1, or beyond. */
  readonly share: number
  readonly windows: number
  readonly windowS: number
  /** Then more than its requests keeps the service busy, and how busy says nothing of the machine. */
  readonly changesState: boolean
  /** Plays one window. */
  readonly play: (ratePerS: number, durationS: number) => Promise<RunFindings>
}

/** A step with its valid windows as one run; where there is none, with the last that is not. */
export interface PlayedStep {
  readonly name: string
  readonly share: number
  /** On average over its windows. */
  readonly ratePerS: number
  readonly run: RunFindings
  /** Windows that prove nothing of latency; what failed in them failed all the same. */
  readonly dropped: readonly RunFindings[]
}

/** How steps are played. */
export interface StepSettings {
  /** The service, to see how busy it is; undefined when it is not ours. */
  readonly pid: number | undefined
  readonly capacity: () => Promise<CapacityResult>
  readonly say: (what: string) => void
}

interface Window {
  readonly ratePerS: number
  readonly run: RunFindings
}

/** Rounds are played until each step has its windows, at most so many times as many. */
const ROUNDS_RATIO = 3
/** Above this much of what its share of capacity would keep the service busy, the machine has become slower. */
const BUSY_RATIO_MAX = 1.25

/** Plays all steps, round by round. @returns them in their order, and each look at the capacity */
export async function playSteps(plans: readonly StepPlan[], settings: StepSettings) {
  const rounds = Math.max(...plans.map(({ windows }) => windows))
  const valid = plans.map((): Window[] => [])
  const dropped = plans.map((): Window[] => [])
  const capacities: CapacityResult[] = []
  for (let round = 1; round <= rounds * ROUNDS_RATIO; round++)
    for (const [index, plan] of plans.entries()) {
      const played = (valid[index]?.length ?? 0) + (dropped[index]?.length ?? 0)
      if ((valid[index]?.length ?? 0) >= plan.windows || played >= plan.windows * ROUNDS_RATIO) continue
      const capacity = await settings.capacity()
      capacities.push(capacity)
      const ratePerS = capacity.answersPerS * plan.share
      settings.say(`Round ${round}, ${plan.name}: ${Math.round(ratePerS)} requests/s for ${plan.windowS} s`)
      const window = { ratePerS, run: await watched(plan, ratePerS, settings) }
      ;(window.run.invalid.length === 0 ? valid : dropped)[index]?.push(window)
    }
  const steps = plans.map(({ name, share, windows }, index): PlayedStep => {
    const [good = [], bad = []] = [valid[index], dropped[index]]
    const pooled = good.length > 0 ? good : bad.slice(-1)
    const ratePerS = pooled.reduce((sum, each) => sum + each.ratePerS, 0) / pooled.length
    const run = pooledRun(pooled.map(each => each.run))
    const why = bad.at(-1)?.run.invalid.at(-1) ?? ''
    const few = `${good.length} of ${windows} windows are valid, ${bad.length} were dropped; the last: ${why}`
    return {
      name,
      share,
      ratePerS,
      run: { ...run, invalid: 2 * good.length > windows ? [] : [few] },
      dropped: bad.filter(each => !pooled.includes(each)).map(each => each.run),
    }
  })
  return { steps, capacities }
}

/** One window; invalid too when the machine became slower. */
async function watched(plan: StepPlan, ratePerS: number, { pid }: StepSettings): Promise<RunFindings> {
  const usedBefore = pid === undefined ? undefined : cpuSecondsOf(pid)
  const run = await plan.play(ratePerS, plan.windowS)
  const usedAfter = pid === undefined ? undefined : cpuSecondsOf(pid)
  if (plan.changesState || usedBefore === undefined || usedAfter === undefined) return run
  const busy = (usedAfter - usedBefore) / plan.windowS
  if (busy <= plan.share * BUSY_RATIO_MAX) return run
  const [part, share] = [busy, plan.share].map(each => `${Math.round(each * 100)} %`)
  return {
    ...run,
    invalid: [...run.invalid, `the machine became slower: ${share} of capacity kept ${part} of it busy`],
  }
}

/** Several runs as one: what was counted is added up, what was timed is pooled. At least one run. */
function pooledRun(runs: readonly RunFindings[]): RunFindings {
  const [first] = runs
  if (first === undefined) throw new Error('nothing to pool')
  const [latencyUs, sendLagUs] = [new Histogram(), new Histogram()]
  for (const run of runs) {
    latencyUs.add(run.latencyUs)
    sendLagUs.add(run.sendLagUs)
  }
  const sum = (of: (run: RunFindings) => number) => runs.reduce((total, run) => total + of(run), 0)
  const mean = (of: (run: RunFindings) => number) => sum(of) / runs.length
  const counts = (of: (run: RunFindings) => Readonly<Record<string, number>>) => addedUp(runs.map(of))
  return {
    ...first,
    ...{ latencyUs, sendLagUs },
    ...{ planned: sum(run => run.planned), answered: sum(run => run.answered), timeouts: sum(run => run.timeouts) },
    ...{ errors: counts(run => run.errors), statuses: counts(run => run.statuses) },
    ...{ ownCpuShare: mean(run => run.ownCpuShare), answersPerS: mean(run => run.answersPerS) },
    series: runs.flatMap(run => run.series).map((point, second) => ({ ...point, second })),
    findings: {
      ...{ bids: sum(run => run.findings.bids), noBids: sum(run => run.findings.noBids) },
      ...{ refusals: sum(run => run.findings.refusals), judged: sum(run => run.findings.judged) },
      brokenRules: counts(run => run.findings.brokenRules),
      foreignAnswers: sum(run => run.findings.foreignAnswers),
      examples: runs.flatMap(run => run.findings.examples),
    },
  }
}

function addedUp(records: readonly Readonly<Record<string, number>>[]): Readonly<Record<string, number>> {
  const total: Record<string, number> = {}
  for (const record of records)
    for (const [name, count] of Object.entries(record)) total[name] = (total[name] ?? 0) + count
  return total
}
