/**
 * `npm run bench:load -- --users N`: what a tenant's users cost a task. From Redis to ready beside the raw speed of
 * reading the same bytes; memory with one bid thread and with two, beside that of a task without users; pauses of
 * garbage collection under bid requests, with users and without.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { segmentAt } from '../service/commands/generator-world.ts'
import { bad, EXIT, startProgress, table } from '../service/commands/terminal.ts'
import { keyedHash } from '../service/foundation/keyed-hash.ts'
import { Random } from '../service/foundation/random.ts'
import { audienceKeys, audienceTotals, parseAudienceIndex } from '../service/remote-cache/audience-layout.ts'
import { AudiencePublisher } from '../service/remote-cache/audience-publisher.ts'
import { AudienceRows } from '../service/remote-cache/audience-rows.ts'
import { publishTenant } from '../service/remote-cache/publisher.ts'
import { NEVER_ENDS } from '../service/state/audience-chunk.ts'
import type { TenantDocuments } from '../service/state/documents.ts'
import { ourIdText } from '../service/state/user-ids.ts'
import { median } from './bench-engine.ts'
import { benchDocuments } from './bench-workload.ts'
import { type LiveStage, recordsOf, SEED, startLiveStage, TENANT } from './live-stage.ts'
import { type ServiceProcess, startService } from './service-process.ts'

/** The same documents without users. */
const NO_USERS = 'bench-no-users'
const LINE_ITEMS = 2_000
const RAW_IN_FLIGHT = 4
/** Of the users, how many a segment has; ends in some hundred different hours make sets that differ. */
const SEGMENT_SHARES = [1, 0.5, 0.25] as const
const ENDS_HOURS = 720
/** A young collection of a bid thread comes after some 800 requests. */
const RATE_PER_S = 1_000
const LOAD_S = 10
/** Threads tell their gauges once a second, of the last minute; a task is loaded for less. */
const GAUGE_MS = 2_000
const GAUGE_WINDOW_MS = 60_000
const READY_TIMEOUT_MS = 180_000
const MIB = 1024 * 1024
/** For ten million users: from seeing that there are users to having them. */
const OBJECTIVE = { users: 10_000_000, ms: 10_000, bytesPerUser: 20, secondThread: 1.1, pauses: 1.2 } as const

/** Sizes of a run. */
export interface BenchUsersOptions {
  readonly users: number
  readonly rounds: number
}

/** A started service, and what it says. */
interface Start {
  readonly loadMs: number
  readonly fetchMs: number
  readonly processMs: number
  readonly rssBytes: number
  readonly usersBytes: number
  readonly setBytes: number
}

/** Collections of garbage while a task bids. */
interface Pauses {
  /** Of the bid thread, all together. */
  readonly totalMs: number
  readonly longestMs: number
  /** Of the bids' latencies. */
  readonly p50Ms: number
}

/** Prints what it finds; exit code 1 where an objective is missed. */
export async function benchUsers({ users, rounds }: BenchUsersOptions): Promise<void> {
  const documents = benchDocuments(LINE_ITEMS, SEED)
  const stage = await startLiveStage(documents, RATE_PER_S)
  try {
    const published = await publish(stage, documents, users)
    const raw: number[] = []
    const starts: Start[] = []
    const two: Start[] = []
    const progress = startProgress('starts', rounds)
    for (let round = 0; round < rounds; round++) {
      raw.push(await readRaw(stage.redis))
      starts.push(await startOnce(stage, { tenant: TENANT, threads: 1 }))
      two.push(await startOnce(stage, { tenant: TENANT, threads: 2 }))
      progress.update(round + 1)
    }
    progress.stop()
    const none = await startOnce(stage, { tenant: NO_USERS, threads: 1 })
    const pauses = { none: [] as Pauses[], users: [] as Pauses[] }
    for (let round = 0; round < rounds; round++) {
      pauses.none.push(await pausesUnderLoad(stage, NO_USERS))
      pauses.users.push(await pausesUnderLoad(stage, TENANT))
    }
    report({ users, published, raw, starts, two, none, pauses })
  } finally {
    await stage.close()
  }
}

async function publish({ redis }: LiveStage, documents: TenantDocuments, users: number) {
  for (const tenantId of [TENANT, NO_USERS]) await publishTenant({ redis, tenantId, documents: recordsOf(documents) })
  const publisher = new AudiencePublisher({ redis, tenantId: TENANT, nowMs: Date.now })
  const key = await publisher.key()
  const random = new Random(SEED)
  const hash = new Uint32Array(2)
  const nowHour = Math.floor(Date.now() / 3_600_000)
  let [rowCount, readMs, writeMs] = [0, 0, 0]
  for (const [rank, share] of SEGMENT_SHARES.entries()) {
    const rows = new AudienceRows()
    const startMs = performance.now()
    const progress = startProgress(`users of segment ${rank + 1}`, users)
    for (let i = 0; i < users; i++) {
      if (i % 100_000 === 0) progress.update(i)
      if (share < 1 && !random.chance(share)) continue
      keyedHash(ourIdText(`b-${i}`), key, hash)
      const minute = rank === 0 ? NEVER_ENDS : (nowHour + 24 + random.pickIndex(ENDS_HOURS)) * 60
      rows.add(hash[0] as number, hash[1] as number, minute)
    }
    progress.stop()
    const hashedMs = performance.now()
    const outcome = await publisher.publish({ kind: 'add', segment: segmentAt(rank), rows })
    if (outcome.kind !== 'published') throw new Error(`not published: ${outcome.kind}`)
    rowCount += rows.count
    readMs += hashedMs - startMs
    writeMs += performance.now() - hashedMs
  }
  const index = parseAudienceIndex(await redis.hgetall(audienceKeys(TENANT).index))
  return { rows: rowCount, readMs, writeMs, ...audienceTotals(index ?? { shards: [] }), shards: index?.shards.length }
}

/** Reads all shards as bytes and does nothing with them. @returns ms */
async function readRaw(shared: Redis): Promise<number> {
  const redis = shared.duplicate()
  const keys = audienceKeys(TENANT)
  const index = parseAudienceIndex(await redis.hgetall(keys.index))
  const wanted = (index?.shards ?? []).flatMap(shard => (shard === undefined ? [] : [keys.chunk(shard.name)]))
  const startMs = performance.now()
  const reader = async () => {
    for (let key = wanted.shift(); key !== undefined; key = wanted.shift()) await redis.getBuffer(key)
  }
  await Promise.all(Array.from({ length: RAW_IN_FLIGHT }, reader))
  const ms = performance.now() - startMs
  redis.disconnect()
  return ms
}

async function startOf(stage: LiveStage, { tenant, threads }: { tenant: string; threads: number }) {
  const env = { TENANT_ID: tenant, STATE_URL: stage.server.url, BID_THREADS: String(threads), DRAIN_S: '1' }
  return await startService({ env: { ...env, NODE_ENV: 'production' }, readyTimeoutMs: READY_TIMEOUT_MS })
}

async function startOnce(stage: LiveStage, of: { tenant: string; threads: number }): Promise<Start> {
  const startMs = performance.now()
  const service = await startOf(stage, of)
  const processMs = performance.now() - startMs
  const line = service.logLines.find(each => each.includes('"audience-loaded"'))
  const { total_ms: loadMs = 0, fetch_ms: fetchMs = 0 } = line === undefined ? {} : JSON.parse(line)
  const gauges = await gaugesOf(service)
  const found = { loadMs, fetchMs, processMs, rssBytes: rssOf(service), ...gauges }
  await service.stop()
  return found
}

async function metricsOf({ adminUrl }: ServiceProcess): Promise<string> {
  return await (await fetch(`${adminUrl}/metrics`)).text()
}

function metric(text: string, name: string): number {
  return Number(new RegExp(`^bidcell_${name}(?:\\{[^}]*\\})? (\\S+)`, 'm').exec(text)?.[1] ?? 0)
}

async function gaugesOf(service: ServiceProcess) {
  const text = await metricsOf(service)
  const usersBytes = metric(text, 'audience_memory_bytes')
  return { usersBytes, setBytes: metric(text, 'audience_set_memory_bytes') }
}

function rssOf({ pid }: ServiceProcess): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
}

/** Of the bid thread of a task, from when it has bid for a while. */
async function pausesUnderLoad(stage: LiveStage, tenant: string): Promise<Pauses> {
  const service = await startOf(stage, { tenant, threads: 1 })
  await stage.load(service, 3, 1)
  await sleep(GAUGE_MS)
  const before = await bidThreadGauge(service, 'gc_share_ratio')
  const { latencyUs } = await stage.load(service, LOAD_S, 2)
  await sleep(GAUGE_MS)
  const after = await bidThreadGauge(service, 'gc_share_ratio')
  const longestMs = await bidThreadGauge(service, 'gc_pause_max_milliseconds')
  await service.stop()
  return { totalMs: (after - before) * GAUGE_WINDOW_MS, longestMs, p50Ms: latencyUs.percentile(50) / 1e3 }
}

async function bidThreadGauge(service: ServiceProcess, name: string): Promise<number> {
  const text = await metricsOf(service)
  const value = new RegExp(`^bidcell_${name}\\{[^}]*thread="bid-1"[^}]*\\} (\\S+)`, 'm').exec(text)?.[1]
  if (value === undefined) throw new Error(`no ${name} of the bid thread`)
  return Number(value)
}

interface Found {
  readonly users: number
  readonly published: Awaited<ReturnType<typeof publish>>
  readonly raw: readonly number[]
  readonly starts: readonly Start[]
  readonly two: readonly Start[]
  readonly none: Start
  readonly pauses: Readonly<Record<'none' | 'users', readonly Pauses[]>>
}

function report({ users, published, raw, starts, two, none, pauses }: Found): void {
  const { bytes, rows, readMs, writeMs, sets, shards } = published
  const of = (key: keyof Start) => median(starts.map(start => start[key]))
  const perS = (count: number, ms: number) => Math.round((count / ms) * 1e3).toLocaleString('en')
  console.log(
    `${users} users in ${shards} shards, ${(bytes / MIB).toFixed(1)} MiB in Redis, ${sets} sets over all shards;`,
  )
  console.log(
    `published ${perS(rows, readMs + writeMs)} rows/s (${perS(rows, readMs)} hashed, ${perS(rows, writeMs)} written)\n`,
  )
  const row = (what: string, ms: number) => [what, ms.toFixed(0), (bytes / 1e3 / ms).toFixed(0), perS(users, ms)]
  const rows4 = [
    ['', 'ms', 'MB/s', 'users/s'],
    row('reading the bytes', median(raw)),
    row('users seen → users serve', of('loadMs')),
    row('process start → ready', of('processMs')),
  ]
  console.log(table(rows4))
  const [loadMs, rss, twoRss] = [of('loadMs'), of('rssBytes'), median(two.map(({ rssBytes }) => rssBytes))]
  const perUser = (of('usersBytes') - of('setBytes')) / users
  // The least of the rounds: what else the machine does makes pauses only longer.
  const least = (all: readonly Pauses[], key: keyof Pauses) => Math.min(...all.map(each => each[key]))
  const second = twoRss / rss
  const ratio = least(pauses.users, 'totalMs') / Math.max(1e-9, least(pauses.none, 'totalMs'))
  const mib = (value: number) => Math.round(value / MIB)
  console.log(`\n${perUser.toFixed(1)} bytes a user, and ${(of('setBytes') / MIB).toFixed(1)} MiB of sets`)
  console.log(
    `resident: ${mib(none.rssBytes)} MiB without users, ${mib(rss)} with, ${mib(twoRss)} with two bid threads; ` +
      `that is ${second.toFixed(2)} times, and pauses are ${ratio.toFixed(2)} times those without users`,
  )
  console.log(`waited for Redis ${of('fetchMs').toFixed(0)} ms of a load`)
  for (const [name, all] of Object.entries(pauses)) {
    const told = all.map(
      each =>
        `${each.totalMs.toFixed(1)} ms (longest ${each.longestMs.toFixed(1)}, p50 of bids ${each.p50Ms.toFixed(2)})`,
    )
    console.log(`pauses of the bid thread in ${LOAD_S} s with ${name}: ${told.join(', ')}`)
  }
  const missed: string[] = []
  if (users >= OBJECTIVE.users && loadMs > OBJECTIVE.ms) missed.push(`users took ${loadMs.toFixed(0)} ms`)
  if (perUser > OBJECTIVE.bytesPerUser) missed.push(`a user takes ${perUser.toFixed(1)} bytes`)
  // Of few users the second thread itself is most of the memory.
  if (users >= OBJECTIVE.users && second > OBJECTIVE.secondThread)
    missed.push(`two bid threads take ${second.toFixed(2)} times the memory of one`)
  if (ratio > OBJECTIVE.pauses) missed.push(`pauses are ${ratio.toFixed(2)} times those without users`)
  for (const each of missed) console.error(bad(`objective missed: ${each}`))
  if (missed.length > 0) process.exitCode = EXIT.bad
}
