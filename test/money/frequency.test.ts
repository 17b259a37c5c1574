/** Four tasks, one cache, and users whom every request brings to another task: how much more they see than they may. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterEach, expect, test } from 'vitest'
import { Random } from '../../service/foundation/random.ts'
import { startRedis } from '../redis-server.ts'
import { runService, type ServiceRun } from '../wire/service-run.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const TENANT = 'acme-outdoor'
const DIRECTORY = fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))
const TASKS = 4
const CAP = 3
const VISITS = 6
const MS_BETWEEN_VISITS = [2_000, 1_000, 500, 250, 100, 0] as const

const random = new Random(SEED)
const agent = new Agent({ keepAlive: true, maxSockets: 64 })
const bills: Promise<string>[] = []
const cleanups: (() => unknown)[] = []

async function start(cap: object): Promise<ServiceRun[]> {
  const server = await startRedis()
  cleanups.push(() => server.stop())
  const redis = new Redis(server.url)
  await redis.hset(`t:{${TENANT}}:spend:epoch`, { id: 'begun', opens: 0, at: 0, wall: 0 })
  redis.disconnect()
  const folder = await mkdtemp(join(tmpdir(), 'bidcell-leak-'))
  cleanups.push(() => rm(folder, { recursive: true, force: true }))
  const directory = join(folder, TENANT)
  await cp(DIRECTORY, directory, { recursive: true })
  const settings = JSON.parse(await readFile(join(directory, 'settings.json'), 'utf8'))
  await writeFile(join(directory, 'settings.json'), JSON.stringify({ ...settings, frequencyCaps: [cap] }))
  const env = {
    ...{ TENANT_ID: TENANT, PUBLIC_URL: 'https://ads.example.com', NOTICE_KEYS: `k1:${'s'.repeat(32)}` },
    ...{ BID_THREADS: '1', CACHE_TIMEOUT_MS: '2000', STATE_URL: `file:${directory}`, SPEND_URL: server.url },
  }
  const runs: ServiceRun[] = []
  for (let task = 0; task < TASKS; task++) {
    const run = await runService(env)
    cleanups.push(() => run.kill('SIGKILL'))
    await run.entry('ready')
    runs.push(run)
  }
  // All have heard of each other.
  await sleep(2_000)
  return runs
}

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function send(port: number, path: string, body?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    const method = body === undefined ? 'GET' : 'POST'
    const sent = request({ ...{ host: '127.0.0.1', port, path, method, agent, headers } }, answer => {
      let text = ''
      answer.setEncoding('utf8').on('data', (more: string) => {
        text += more
      })
      answer.on('end', () => resolve(text))
    })
    sent.on('error', reject).end(body)
  })
}

/** One visit at any task, billed at any other at once. @returns whether there was an impression */
async function visit(runs: readonly ServiceRun[], buyeruid: string): Promise<boolean> {
  const imp = [{ id: '1', banner: { w: 300, h: 250 } }]
  const body = JSON.stringify({ id: 'r', imp, user: { buyeruid }, site: { domain: 'news.example' } })
  const text = await send(random.pick(runs).port, `/${TENANT}/openrtb2/adx`, body)
  if (text === '') return false
  const { seatbid = [] } = JSON.parse(text) as { seatbid?: { bid: { burl: string }[] }[] }
  const burl = seatbid[0]?.bid[0]?.burl
  if (burl === undefined) return false
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the macro as an exchange finds it
  const { pathname, search } = new URL(burl.replace('${AUCTION_PRICE}', '0.01'))
  bills.push(send(random.pick(runs).port, pathname + search))
  return true
}

/** What users see who come back after so long. */
async function seen(runs: readonly ServiceRun[], gapMs: number, users: number) {
  const perUser = await Promise.all(
    Array.from({ length: users }, async (_, user) => {
      // Users come spread over a second, not all at once.
      await sleep((user / users) * 1_000)
      let impressions = 0
      const visits: Promise<void>[] = []
      for (let each = 0; each < VISITS; each++) {
        visits.push(
          visit(runs, `${gapMs}-${user}`).then(wasSeen => {
            if (wasSeen) impressions++
          }),
        )
        if (gapMs > 0) await sleep(gapMs)
      }
      await Promise.all(visits)
      return impressions
    }),
  )
  await Promise.all(bills.splice(0))
  const impressions = perUser.reduce((sum, each) => sum + each, 0)
  const above = perUser.reduce((sum, each) => sum + Math.max(0, each - CAP), 0)
  return { impressions, above, leak: above / impressions }
}

test('caps leak at most 0.1 % where a user comes back after 2 s, and less than all in between', {
  timeout: 180_000,
}, async () => {
  const tasks = await start({ impressions: CAP, per: { days: 1 } })
  const lines = ['ms between visits | impressions | above the cap | leak']
  const leaks = new Map<number, number>()
  for (const gapMs of MS_BETWEEN_VISITS) {
    const { impressions, above, leak } = await seen(tasks, gapMs, gapMs === 2_000 ? 400 : 200)
    leaks.set(gapMs, leak)
    lines.push(`${gapMs} | ${impressions} | ${above} | ${(leak * 100).toFixed(2)} %`)
    expect(impressions).toBeGreaterThan(500)
  }
  console.log(`${TASKS} tasks, ${CAP} impressions a day, ${VISITS} visits, SEED=${SEED}\n${lines.join('\n')}`)
  expect(leaks.get(2_000)).toBeLessThanOrEqual(0.001)
})

test('a strict cap leaks nothing, however fast a user comes back', { timeout: 120_000 }, async () => {
  const { impressions, above } = await seen(await start({ impressions: CAP, per: { days: 1 }, strict: true }), 0, 400)
  console.log(`SEED=${SEED} strict: ${impressions} impressions of ${400 * CAP} that caps allow, ${above} above`)
  // 2,400 requests in a second: a busy machine sheds many of them.
  expect(impressions).toBeGreaterThan(100)
  expect(above).toBe(0)
})
