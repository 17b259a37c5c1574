import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../../test/redis-server.ts'
import { LIMITS } from '../limits.ts'
import type { PlanBoard } from '../spend/plan-board.ts'
import { accessRules } from './access.ts'
import { FilePlans } from './file-plans.ts'
import { RedisPlans } from './redis-plans.ts'

const NOW_MS = Date.UTC(2026, 10, 21, 12)
const HOUR = 495_000
let server: RedisServer
let admin: Redis
let folder = ''
const opened: RedisPlans[] = []
beforeAll(async () => {
  server = await startRedis()
  admin = new Redis(server.url)
  // The very rights of a task: what is not allowed there fails here.
  await admin.call('ACL', 'SETUSER', 'acme', 'on', '>secret', ...accessRules('acme', 'service'))
  folder = await mkdtemp(join(tmpdir(), 'bidcell-plans-'))
})
afterAll(async () => {
  for (const plans of opened) plans.close()
  admin.disconnect()
  await server.stop()
  await rm(folder, { recursive: true, force: true })
})

function redisPlans(): RedisPlans {
  const url = `redis://acme:secret@127.0.0.1:${server.port}`
  const plans = new RedisPlans({ url, tenantId: 'acme', timeoutMs: 2_000, pickIndex: () => 0 })
  opened.push(plans)
  return plans
}

describe.each([
  ['in the remote cache', async (): Promise<PlanBoard> => redisPlans()],
  ['in a file', (): Promise<PlanBoard> => FilePlans.open(join(folder, 'traffic'))],
])('traffic %s', (_, open) => {
  test('adds up by the hour, over a start, and the oldest hours are forgotten', async () => {
    const first = await open()
    await first.addTraffic(HOUR, 5)
    await first.addTraffic(HOUR, 7)
    const second = await open()
    expect(await second.addTraffic(HOUR + 1, 3)).toEqual(
      new Map([
        [HOUR, 12],
        [HOUR + 1, 3],
      ]),
    )
    await second.addTraffic(HOUR + LIMITS.trafficHoursKept, 1)
    const left = await second.addTraffic(HOUR + LIMITS.trafficHoursKept, 0)
    expect([...left.keys()].toSorted()).toEqual([HOUR + 1, HOUR + LIMITS.trafficHoursKept])
  })
})

describe('rates in the remote cache', () => {
  test('are those of the task that told before, of the same plans, as long as they are fresh', async () => {
    const [first, second] = [redisPlans(), redisPlans()]
    expect(await first.exchange(new Map([['l/a', 0.25]]), NOW_MS)).toEqual(new Map())
    expect(await second.exchange(new Map([['l/a', undefined]]), NOW_MS)).toEqual(new Map([['l/a', 0.25]]))
    const own = new Map([
      ['l/a', 1e-7],
      ['c/b', 1],
    ])
    expect(await second.exchange(own, NOW_MS + 1)).toEqual(new Map([['l/a', 0.25]]))
    expect(await first.exchange(new Map([['l/a', 0.25]]), NOW_MS + 10_000)).toEqual(new Map([['l/a', 1e-7]]))
    expect(await first.exchange(own, NOW_MS + 20_000)).toEqual(new Map([['c/b', 1]]))
    expect(await second.exchange(own, NOW_MS + 120_000)).toEqual(new Map())
  })

  test('of 2,500 plans are told, and are gone after two days', async () => {
    const [first, second] = [redisPlans(), redisPlans()]
    const rates = new Map(Array.from({ length: 2_500 }, (_, i) => [`l/many-${i}`, i / 2_500] as const))
    await first.exchange(rates, NOW_MS)
    expect(await second.exchange(rates, NOW_MS)).toEqual(rates)
    const [key = ''] = await admin.keys('t:{acme}:spend:rates:*')
    expect(await admin.pttl(key)).toBeGreaterThan(86_400_000)
  })
})

test('a file of traffic that is not ours is as none', async () => {
  const path = join(folder, 'odd')
  await (await FilePlans.open(path)).addTraffic(HOUR, 1)
  for (const text of ['{', '{"a":1}', '[[1],["x",2],[-1,5]]']) {
    await writeFile(join(path, 'traffic.json'), text)
    expect(await (await FilePlans.open(path)).addTraffic(HOUR, 2)).toEqual(new Map([[HOUR, 2]]))
  }
})
