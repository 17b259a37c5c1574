import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Random } from '../../service/foundation/random.ts'
import { LIMITS } from '../../service/limits.ts'
import { RawConnection, rawPost } from './raw-connection.ts'
import { runService, type ServiceRun } from './service-run.ts'

const TENANT = 'acme-outdoor'
const STATE_URL = `file:${fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))}`
const BODY = '{"id":"r1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'
const BID = rawPost({ path: `/${TENANT}/openrtb2/adx`, body: BODY })
const IDLE_S = 2
const SEED = 11

let run: ServiceRun

beforeAll(async () => {
  const settings = { ALB_IDLE_TIMEOUT_S: String(IDLE_S), BID_THREADS: '2', DRAIN_S: '2' }
  run = await runService({ TENANT_ID: TENANT, STATE_URL, ...settings })
  await run.entry('ready')
})
afterAll(() => run.kill('SIGKILL'))

describe('a connection that a load balancer keeps', () => {
  test(`takes requests just before and after the idle timeout, 1,000 times (fault 13, seed ${SEED})`, async () => {
    const random = new Random(SEED)
    const idleMs = () => IDLE_S * 1_000 + (random.unit() - 0.5) * 600
    const reuse = async (): Promise<number> => {
      const connection = await RawConnection.open(run.port)
      let answers = 0
      for (let round = 0; round <= 4; round++) {
        if (round > 0) await sleep(idleMs())
        connection.write(BID)
        // A burst on a busy machine is shed; what counts is that it is answered.
        if (![200, 204].includes((await connection.answer())?.status ?? 0)) break
        answers++
      }
      connection.close()
      return answers - 1
    }
    const reused = await Promise.all(Array.from({ length: 250 }, reuse))
    expect(reused.filter(times => times !== 4)).toEqual([])
  })

  test('is closed by the service long after the load balancer would have closed it (fault 13)', async () => {
    const connection = await RawConnection.open(run.port)
    connection.write(BID)
    expect((await connection.answer())?.status).toBe(200)
    const startMs = performance.now()
    await connection.closed
    expect(performance.now() - startMs).toBeGreaterThan(IDLE_S * 1_000 + LIMITS.keepAliveMarginMs - 100)
  })
})
