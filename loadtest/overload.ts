/**
 * What a service does with more than it can: bids in time at multiples of its capacity, and how soon after. Requests
 * have so many impressions that they cost the service far more than the generator; it has budgets, caps and notices, as
 * a task has that earns money.
 */
import { startRedis } from '../test/redis-server.ts'
import { plannedSeconds } from './arrivals.ts'
import { addedCounts, labelledCounts } from './client.ts'
import { CoreWatch, canPin, pin } from './cpu.ts'
import { HealthProbe } from './health-probe.ts'
import { FACTORS, JUDGED_FACTOR, type OverloadSettings, overloadReport, PLAYED, WITHIN_MS } from './overload-report.ts'
import type { Report } from './report.ts'
import type { Stage } from './stage.ts'
import { ratesOf, readTenantRecords } from './tenant-records.ts'

/** With whose documents, and how long. */
export interface OverloadOptions extends OverloadSettings {
  readonly tenantDirectory: string
  readonly seed: number
}

const IMPRESSIONS = 20
const REQUESTS = 1_000
const TENANT = 'overload'
/** Line items want their first lease, and V8 compiles what it finds hot. */
const WARM_S = 15
const GRID_US = 1_000
/** Requests go out in groups: the grid and a turn of the generator's event loop. */
const LAG_P99_US_MAX = 10_000
/**
 * So many are never all busy, or the generator's own queue would be measured. All are open from the start, as a load
 * balancer has them after a busy hour: hundreds at once cost the generator the time in which it should send.
 */
const CONNECTIONS = 2_048
const TIMEOUT_MS = 2_000

/** Measures capacity, then plays all multiples of it in one go. */
export async function runOverload(options: OverloadOptions, stage: Stage): Promise<Report> {
  const { tenantDirectory, seed, stepS } = options
  const cache = await startRedis()
  stage.atEnd(() => cache.stop())
  pin(cache.pid, '1')
  const env = await stage.spendingTenant(TENANT, tenantDirectory, cache.url)
  const service = await stage.serviceWith(env, { cpus: '0', precedence: 'urgent' })
  const generator = stage.generator({ cpus: '1', precedence: 'urgent' })
  const traffic = { count: REQUESTS, seed, malformedShare: 0, impressions: IMPRESSIONS }
  const { bytesMean } = await generator.load({ kind: 'tenant', directory: tenantDirectory, ...traffic })
  stage.say(`Measuring capacity with ${IMPRESSIONS} impressions a request, ${bytesMean} bytes`)
  const task = { url: service.url, connections: 16, timeoutS: TIMEOUT_MS / 1e3 }
  await generator.capacity({ ...task, durationS: WARM_S })
  const { answersPerS: capacityPerS } = await generator.capacityOf(service.pid, { ...task, durationS: 4 })

  const stepAt = (factor: number) => ({ ratePerS: capacityPerS * factor, durationS: stepS })
  const plan = { arrivals: 'poisson', ...stepAt(PLAYED[0]), laterSteps: PLAYED.slice(1).map(stepAt), seed } as const
  stage.say(`${plannedSeconds(plan)} s of ${FACTORS.join(', ')} times ${Math.round(capacityPerS)} requests/s`)
  const shed = () => labelledCounts(service.adminUrl, 'shed', 'cause')
  const shedBefore = await shed()
  const health = new HealthProbe(service.url)
  const watch = canPin('0') ? new CoreWatch(0, service.pid) : undefined
  const check = { judgeEvery: 50, rates: ratesOf(await readTenantRecords(tenantDirectory)) }
  const limits = {
    connectionsMax: CONNECTIONS,
    connectionsAtStart: CONNECTIONS,
    timeoutMs: TIMEOUT_MS,
    sendLagP99UsMax: LAG_P99_US_MAX,
  }
  const wish = { ...limits, gridUs: GRID_US, goodputWithinMs: WITHIN_MS, check }
  const run = await generator.openLoop({ ...plan, ...wish, url: service.url })
  const problem = watch?.problem()
  const settings = { ...options, impressions: IMPRESSIONS, requestBytesMean: bytesMean }
  const report = overloadReport(settings, {
    ...{ run, capacityPerS, health: await health.stop() },
    shed: addedCounts(shedBefore ?? new Map(), (await shed()) ?? new Map()),
    invalid: [...run.invalid, ...(problem === undefined ? [] : [problem])],
  })
  if (report.objectives.every(({ held }) => held)) return report
  const burst = { ...plan, ratePerS: capacityPerS * JUDGED_FACTOR, laterSteps: [] }
  const section = await stage.profile(env, url => generator.openLoop({ ...burst, ...wish, url }))
  return { ...report, sections: section === undefined ? [] : [section] }
}
