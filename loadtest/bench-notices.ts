/**
 * `npm run bench:notices`: billing notices from an exchange's socket to the ledger in a real Redis, at rates that grow.
 * Each is of a bid of its own; whoever acknowledges has booked it or has it on the disk, and in the end all are booked.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { bad, CommandProblem, EXIT, newCommand, runCommand, table } from '../service/commands/terminal.ts'
import { signerOf } from '../service/http/notice-keys.ts'
import { NoticeUrls } from '../service/openrtb/notice-urls.ts'
import { startRedis } from '../test/redis-server.ts'
import { cpuSecondsOf } from './cpu.ts'
import { summaryOf } from './histogram.ts'
import { runOpenLoop } from './open-loop.ts'
import { commit, ms } from './report.ts'
import { startService } from './service-process.ts'
import { SAMPLE_TENANT } from './stage.ts'

const TENANT = 'acme-outdoor'
const SPEND = `t:{${TENANT}}:spend:`
const SECRET = 's'.repeat(32)
const PUBLIC_URL = 'https://ads.example.com'
const SEED = 20_261_121
const CONNECTIONS = 64
const TIMEOUT_MS = 10_000
const SETTLING_MS = 120_000
const CPM_NANOS = 1e6
const RATE_MAX = 20_000
const SECONDS_MAX = 120

interface Options {
  readonly rates: string
  readonly seconds: string
}

function wholeOf(name: string, given: string, max: number): number {
  const value = Number(given)
  if (Number.isInteger(value) && value >= 1 && value <= max) return value
  throw new CommandProblem(`--${name} must be whole numbers from 1 to ${max}, got ${given}`)
}

/** Requests of so many notices, each of another bid, over a hundred line items without leases. */
function noticesOf(first: number, count: number): Buffer[] {
  const urls = new NoticeUrls({
    ...{ publicUrl: PUBLIC_URL, tenantId: TENANT, keyId: 'k1' },
    sign: signerOf([{ id: 'k1', secret: SECRET }]),
  })
  const nowS = Math.floor(Date.now() / 1_000)
  return Array.from({ length: count }, (_, i) => {
    const token = urls.tokenOf({
      ...{ bidId: `bench-${first + i}`, exchangeId: 'adx', campaignId: `c-${i % 10}`, lineItemId: `l-${i % 100}` },
      ...{ creativeId: 'cr-1', billedBy: 'billing', day: Math.floor(nowS / 86_400), lease: '', counted: '', bucket: 0 },
      ...{ amountNanosMax: CPM_NANOS, nanosPerCpm: CPM_NANOS, expiresS: nowS + 3_600 },
    })
    return Buffer.from(`GET /${TENANT}/notice/billing/${token}?price=1 HTTP/1.1\r\nHost: ads.example.com\r\n\r\n`)
  })
}

/** Bookings of all exchanges. */
async function bookings(redis: Redis): Promise<number> {
  const tallies = await redis.keys(`${SPEND}account:x/*`)
  const counts = await Promise.all(tallies.map(key => redis.hget(key, 'count')))
  return counts.reduce((sum, count) => sum + Number(count ?? 0), 0)
}

async function benchNotices(options: Options): Promise<void> {
  const rates = options.rates.split(',').map(rate => wholeOf('rates', rate, RATE_MAX))
  const durationS = wholeOf('seconds', options.seconds, SECONDS_MAX)
  const journal = await mkdtemp(join(tmpdir(), 'bidcell-notices-'))
  const server = await startRedis()
  const redis = new Redis(server.url)
  await redis.hset(`${SPEND}epoch`, { id: 'begun', opens: 0, at: 0, wall: 0 })
  const service = await startService({
    env: {
      ...{ TENANT_ID: TENANT, STATE_URL: `file:${SAMPLE_TENANT}`, SPEND_URL: server.url, JOURNAL_DIR: journal },
      ...{ PUBLIC_URL, NOTICE_KEYS: `k1:${SECRET}`, BID_THREADS: '1' },
    },
  })
  try {
    console.log(`seed ${SEED}, commit ${commit()}`)
    const rows = [
      ['notices/s', 'acknowledged', 'others', 'p50', 'p99', 'CPU of the task', 'CPU of Redis', 'all booked'],
    ]
    let [told, owed, isGood] = [0, 0, true]
    for (const ratePerS of rates) {
      const requests = noticesOf(told, ratePerS * durationS)
      told += requests.length
      const [before, cacheBefore] = [cpuSecondsOf(service.pid) ?? 0, cpuSecondsOf(server.pid) ?? 0]
      const run = await runOpenLoop({
        ...{ url: service.url, requests, ratePerS, durationS, arrivals: 'fixed', seed: SEED },
        ...{ connectionsMax: CONNECTIONS, timeoutMs: TIMEOUT_MS },
      })
      const acknowledged = run.statuses['204'] ?? 0
      owed += acknowledged
      const begunMs = performance.now()
      while ((await bookings(redis)) < owed && performance.now() - begunMs < SETTLING_MS) await sleep(50)
      const settledS = (performance.now() - begunMs) / 1e3
      const perNotice = (after: number | undefined, from: number) =>
        `${((((after ?? 0) - from) / requests.length) * 1e6).toFixed(0)} µs`
      const { p50, p99 } = summaryOf(run.latencyUs)
      // Who was not answered in time may be booked all the same; nothing is booked that was not sent.
      const booked = await bookings(redis)
      const isBooked = booked >= owed && booked <= told
      isGood &&= isBooked
      rows.push([
        ...[String(ratePerS), String(acknowledged), String(requests.length - acknowledged), ms(p50), ms(p99)],
        ...[perNotice(cpuSecondsOf(service.pid), before), perNotice(cpuSecondsOf(server.pid), cacheBefore)],
        isBooked ? `${settledS.toFixed(1)} s later` : bad(`${booked} of ${owed}`),
      ])
      for (const why of run.invalid) console.log(`${ratePerS}/s: ${why}`)
    }
    console.log(table(rows))
    if (!isGood) process.exitCode = EXIT.bad
  } finally {
    await service.stop()
    redis.disconnect()
    await server.stop()
    await rm(journal, { recursive: true, force: true })
  }
}

await runCommand(
  newCommand('bench:notices', 'Sends billing notices at growing rates, until all of them are booked in a real Redis.')
    .option('--rates <list>', 'notices a second, one window after another', '500,1000,2000,5000')
    .option('--seconds <n>', 'length of one window', '8')
    .action(benchNotices),
)
