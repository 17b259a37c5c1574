import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TaskPlans } from './plans.ts'
import { FilePlans } from './remote-cache/file-plans.ts'
import { hourAt } from './spend/forecast.ts'
import { PlanRates } from './spend/plan-rates.ts'
import { TaskLedger } from './spend/task-ledger.ts'

const HOUR_MS = 3_600_000
const START_MS = Date.UTC(2026, 10, 21)
let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bidcell-plans-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

function noRates(): PlanRates {
  const ledger = new TaskLedger({
    ...{ task: 't', newEpoch: () => 'e', graceMs: 0, opensAfterMs: 0, booksAfterMs: 0, abandonedAfterMs: 0 },
    leases: () => [],
  })
  return new PlanRates(ledger)
}

/** One start of a task, until it has told its traffic for the first time. */
async function startAt(hour: number, opportunities: number): Promise<TaskPlans> {
  const nowMs = START_MS + hour * HOUR_MS
  const plans = new TaskPlans({
    board: await FilePlans.open(folder),
    clock: { nowMs: () => nowMs, monotonicMs: () => nowMs },
    opportunities: () => opportunities,
    onFailure: () => expect.unreachable('the disk has room'),
  })
  plans.start(noRates())
  await plans.stop()
  return plans
}

test('what earlier starts of a task saw of its traffic is what the next one expects', async () => {
  for (let hour = 0; hour < 30; hour++) await startAt(hour, 100 + hour)
  const { forecast } = await startAt(30, 0)
  // The first hour may have been seen in part; the one before last is of two days.
  const expected = [24, 31, 53].map(hour => forecast?.ofHour(hourAt(START_MS) + hour))
  expect(expected).toEqual([undefined, 107, (129 + 105 / 2) / 1.5])
})
