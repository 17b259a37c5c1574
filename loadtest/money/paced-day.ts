/** A day of one line item on several tasks, against traffic that swells and falls: does its spend follow its plan? */
import { Random } from '../../service/foundation/random.ts'
import { Forecast, hourAt } from '../../service/spend/forecast.ts'
import type { BookOperation } from '../../service/spend/ledger.ts'
import { type PacingPlan, plannedShare } from '../../service/spend/pacing.ts'
import type { LeaseRules } from '../../service/spend/slice.ts'
import type { Catalog } from '../../service/state/catalog.ts'
import { FaultyCache } from './faulty-cache.ts'
import { SimulatedTask } from './task.ts'
import { CAMPAIGN, simulatedCatalog, utcDay } from './tenant.ts'

/** What is paced. */
export interface PacedDayOptions {
  readonly seed: number
  readonly plan: PacingPlan
  readonly tasks: number
  /** The budget as a share of what full participation would spend in the day. */
  readonly budgetShare: number
  /** No bid request comes in these hours of the day. */
  readonly outageHours?: readonly [from: number, to: number]
  /** The traffic of a week before, with so much chance in each hour, is known. */
  readonly forecastNoise?: number
  /** Line items beside each other that share the traffic; 1 unless told otherwise. */
  readonly lineItems?: number
  /** Their campaign has the same plan, and this part of their budgets together. */
  readonly campaignPart?: number
}

/** One point of the curve, as shares of the day and of the budget. */
export interface PacedPoint {
  readonly elapsed: number
  readonly planned: number
  readonly spent: number
}

const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000
const STEP_MS = 5_000
const AGREE_MS = 10_000
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
  leaseMsMax: 1_800_000,
  bucketMs: 30_000,
  graceMs: 10_000,
  holdMsMax: HOLD_MS,
  clockAllowanceMs: 60_000,
  parts: 8,
  shareMs: 10_000,
}

/** Of all that there could be. @param atMs of the day */
function trafficAt(atMs: number): number {
  return TRAFFIC_MEAN - TRAFFIC_SWING * Math.cos((2 * Math.PI * atMs) / DAY_MS)
}

function forecastOf({ seed, forecastNoise }: PacedDayOptions): Forecast | undefined {
  if (forecastNoise === undefined) return undefined
  const random = new Random(seed + 1)
  const first = hourAt(START_MS - 7 * DAY_MS) - 1
  const hours = Array.from({ length: 7 * 24 + 1 }, (_, i) => first + i)
  const chance = () => 1 + forecastNoise * (2 * random.unit() - 1)
  const known = hours.map(hour => [hour, 1e6 * trafficAt((hour + 0.5) * HOUR_MS) * chance()] as const)
  return new Forecast(new Map(known), START_MS)
}

function catalogOf({ plan, lineItems = 1, campaignPart }: PacedDayOptions, limitNanos: number): Catalog {
  const pacing = { plan: plan.kind, ...(plan.kind === 'custom' ? { weights: plan.weights } : {}) }
  const each = { priceNanos: PRICE_NANOS, budget: { daily: Math.floor(limitNanos / lineItems) / 1e9 }, pacing }
  const items = Array.from({ length: lineItems }, (_, i) => ({ ...each, id: `paced-${i}` }))
  if (campaignPart === undefined) return simulatedCatalog(items)
  return simulatedCatalog(items, { daily: Math.floor(limitNanos * campaignPart) / 1e9 }, pacing)
}

/** @returns plan and spend every five minutes, the end of the day last. Cost: some seconds. */
export function runPacedDay(options: PacedDayOptions): PacedPoint[] {
  const { seed, plan, tasks: taskCount, budgetShare, outageHours, lineItems = 1, campaignPart = 1 } = options
  const random = new Random(seed)
  const limitNanos = Math.floor(
    (DAY_MS / STEP_MS) * taskCount * BIDS_PER_STEP * TRAFFIC_MEAN * WIN_PROBABILITY * PRICE_NANOS * budgetShare,
  )
  const catalog = catalogOf(options, limitNanos)
  const cache = new FaultyCache(random, undefined, () => {})
  const agreed = new Map<string, number>()
  const common = { catalog, rules: RULES, random, broken: undefined, journal: new Map(), nowMs: START_MS, agreed }
  const tasks = Array.from({ length: taskCount }, (_, i) => {
    return new SimulatedTask({ ...common, name: `task-${i}`, forecast: forecastOf(options) })
  })
  const notices = new Map<number, BookOperation[]>()
  const points: PacedPoint[] = []
  let bids = 0
  const account = `c/${CAMPAIGN}/${utcDay(START_MS).number}`
  for (let atMs = STEP_MS; atMs <= DAY_MS; atMs += STEP_MS) {
    const nowMs = START_MS + atMs
    const hour = atMs / HOUR_MS
    const isOut = outageHours !== undefined && hour >= outageHours[0] && hour < outageHours[1]
    for (const task of tasks) {
      task.turn(cache, nowMs, 0)
      if (atMs % AGREE_MS === 0) task.agree()
      for (let i = 0; i < BIDS_PER_STEP; i++) {
        if (isOut || !random.chance(trafficAt(atMs))) continue
        const hold = task.bid(lineItems === 1 ? 0 : random.pickIndex(lineItems), nowMs, HOLD_MS)
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
    const spent = (cache.state.accounts.get(account)?.bookedNanos ?? 0) / (limitNanos * campaignPart)
    points.push({ elapsed: atMs / DAY_MS, planned: plannedShare(plan, atMs / DAY_MS), spent })
  }
  return points
}
