/** A day of one line item on several tasks, against traffic that swells and falls: does its spend follow its plan? */
import { Random } from '../../service/foundation/random.ts'
import type { BookOperation } from '../../service/spend/ledger.ts'
import { type PacingPlan, plannedShare } from '../../service/spend/pacing.ts'
import type { LeaseRules } from '../../service/spend/slice.ts'
import { FaultyCache } from './faulty-cache.ts'
import { SimulatedTask } from './task.ts'
import { simulatedCatalog, utcDay } from './tenant.ts'

/** What is paced. */
export interface PacedDayOptions {
  readonly seed: number
  readonly plan: PacingPlan
  readonly tasks: number
  /** The budget as a share of what full participation would spend in the day. */
  readonly budgetShare: number
  /** No bid request comes in these hours of the day. */
  readonly outageHours?: readonly [from: number, to: number]
}

/** One point of the curve, as shares of the day and of the budget. */
export interface PacedPoint {
  readonly elapsed: number
  readonly planned: number
  readonly spent: number
}

const DAY_MS = 86_400_000
const STEP_MS = 5_000
const POINT_MS = 300_000
const START_MS = Date.UTC(2027, 0, 15)
const BIDS_PER_STEP = 4
/** Of the most that there is: a fifth at night, all of it at noon. */
const TRAFFIC_MEAN = 0.6
const TRAFFIC_SWING = 0.4
const WIN_PROBABILITY = 0.4
const PRICE_NANOS = 1_000_000
const HOLD_MS = 60_000
const RULES: LeaseRules = {
  leaseMsMin: 10_000,
  leaseMsMax: 900_000,
  bucketMs: 30_000,
  graceMs: 10_000,
  holdMsMax: HOLD_MS,
  clockAllowanceMs: 60_000,
  parts: 8,
  shareMs: 10_000,
}

/** @returns plan and spend every five minutes, the end of the day last. Cost: some seconds. */
export function runPacedDay({ seed, plan, tasks: taskCount, budgetShare, outageHours }: PacedDayOptions): PacedPoint[] {
  const random = new Random(seed)
  const limitNanos = Math.floor(
    (DAY_MS / STEP_MS) * taskCount * BIDS_PER_STEP * TRAFFIC_MEAN * WIN_PROBABILITY * PRICE_NANOS * budgetShare,
  )
  const catalog = simulatedCatalog([
    {
      id: 'paced',
      priceNanos: PRICE_NANOS,
      budget: { daily: limitNanos / 1e9 },
      pacing: { plan: plan.kind, ...(plan.kind === 'custom' ? { weights: plan.weights } : {}) },
    },
  ])
  const cache = new FaultyCache(random, undefined, () => {})
  const tasks = Array.from(
    { length: taskCount },
    (_, i) =>
      new SimulatedTask({
        name: `task-${i}`,
        catalog,
        rules: RULES,
        random,
        broken: undefined,
        journal: new Map(),
        nowMs: START_MS,
      }),
  )
  const notices = new Map<number, BookOperation[]>()
  const points: PacedPoint[] = []
  let bids = 0
  const account = `l/paced/${utcDay(START_MS).number}`
  for (let atMs = STEP_MS; atMs <= DAY_MS; atMs += STEP_MS) {
    const nowMs = START_MS + atMs
    const hour = (atMs / DAY_MS) * 24
    const isOut = outageHours !== undefined && hour >= outageHours[0] && hour < outageHours[1]
    const traffic = isOut ? 0 : TRAFFIC_MEAN - TRAFFIC_SWING * Math.cos((2 * Math.PI * atMs) / DAY_MS)
    for (const task of tasks) {
      task.turn(cache, nowMs, 0)
      for (let i = 0; i < BIDS_PER_STEP; i++) {
        if (!random.chance(traffic)) continue
        const hold = task.bid(0, nowMs, HOLD_MS)
        if (hold === undefined || !random.chance(WIN_PROBABILITY)) continue
        const operation = { kind: 'book', key: `bid-${bids++}`, ...hold } as const
        const dueMs = atMs + STEP_MS * random.between(1, 10)
        const due = notices.get(dueMs) ?? []
        due.push({ ...operation, amountNanos: PRICE_NANOS, rememberMs: DAY_MS })
        notices.set(dueMs, due)
      }
    }
    for (const operation of notices.get(atMs) ?? []) random.pick(tasks).take(operation)
    notices.delete(atMs)
    if (atMs % POINT_MS !== 0) continue
    const spent = (cache.state.accounts.get(account)?.bookedNanos ?? 0) / limitNanos
    points.push({ elapsed: atMs / DAY_MS, planned: plannedShare(plan, atMs / DAY_MS), spent })
  }
  return points
}
