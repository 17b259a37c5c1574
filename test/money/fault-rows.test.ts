/**
 * The rows of the list of faults that touch money, each by its number, with real processes and a real Redis. Whatever
 * is judged by time has a deadline of many times what it takes; `npm run loadtest -- faults` measures. Of row 10, links
 * that are cut and healed by 100 seeds are `npm run test:links`.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Random } from '../../service/foundation/random.ts'
import { sameSignature, signerOf } from '../../service/http/notice-keys.ts'
import { readToken } from '../../service/openrtb/notice-token.ts'
import { NoticeUrls } from '../../service/openrtb/notice-urls.ts'
import { startRedis } from '../redis-server.ts'
import type { ServiceRun } from '../wire/service-run.ts'
import { LossyProxy } from './lossy-proxy.ts'
import {
  ask,
  bidsOf,
  bill,
  call,
  lineItemAccounts,
  MoneyStage,
  metric,
  NOTICE_KEY,
  type SentBid,
  SPEND,
  TENANT,
  tallied,
  until,
} from './stage.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const PUBLISH = fileURLToPath(new URL('../../service/commands/publish.ts', import.meta.url))
/** `npm run test:outage` takes ten minutes, as the row says; seconds otherwise. */
const AWAY_MS = Number(process.env.AWAY_MINUTES ?? 0.15) * 60_000
/** One ask in so long, so that what is spent meanwhile does not follow how fast answers come. */
const ASK_MS = 60
/**
 * The budget, of whose eighth, the most that a lease has, so many asks take less than all; how long it takes until
 * demand is known; and by when leases are spent by who asks as fast as he can.
 */
const [TOTAL, KNOWN_MS, SPENT_MS] = AWAY_MS > 60_000 ? [1_000, 40_000, 300_000] : [16, 8_000, 60_000]
const NANOS = 1e9
const HOUR_MS = 3_600_000

let stage: MoneyStage
beforeEach(() => {
  stage = new MoneyStage()
})
afterEach(() => stage.end())

/** Asks at one pace for so long. @returns milliseconds of each answer, and statuses */
async function steady(run: ServiceRun, forMs: number) {
  const [times, statuses]: [number[], number[]] = [[], []]
  const untilMs = performance.now() + forMs
  for (let plannedMs = performance.now(); plannedMs < untilMs; plannedMs += ASK_MS) {
    await sleep(Math.max(0, plannedMs - performance.now()))
    const begunMs = performance.now()
    statuses.push((await ask(run)).status)
    times.push(performance.now() - begunMs)
  }
  times.sort((a, b) => a - b)
  const at = (share: number) => times[Math.floor(times.length * share)] as number
  return { p50: at(0.5), p99: at(0.99), statuses, bids: statuses.filter(status => status === 200).length }
}

describe('row 2: the cache is killed under load', () => {
  test('bids go on while leases cover, nobody gets a 5xx, and then they stop for want of a budget', {
    timeout: 120_000 + SPENT_MS + AWAY_MS,
  }, async () => {
    const { server, redis } = await stage.ledger()
    const args = ['--tenant', TENANT, '--to', server.url]
    const publish = spawn(process.execPath, [PUBLISH, await stage.tenant(TOTAL), ...args], { stdio: 'ignore' })
    expect((await once(publish, 'exit'))[0]).toBe(0)
    const run = await stage.task({ STATE_URL: server.url, JOURNAL_DIR: await stage.folder() })
    await bidsOf(run, 50)
    const before = await steady(run, KNOWN_MS)
    const ageBefore = await metric(run, 'state_age_seconds')
    redis.disconnect()
    await server.kill()
    const away = await steady(run, AWAY_MS)
    console.log(`p50 and p99 of bids with the cache: ${before.p50.toFixed(2)} and ${before.p99.toFixed(2)} ms`)
    console.log(`without it, ${AWAY_MS / 1_000} s: ${away.p50.toFixed(2)} and ${away.p99.toFixed(2)} ms`)
    const [asks, awayAsks] = [before.statuses.length, away.statuses.length]
    console.log(`bids of asks: ${before.bids} of ${asks}, then ${away.bids} of ${awayAsks}`)
    expect(before.bids).toBeGreaterThan(50)
    expect(away.bids / awayAsks).toBeGreaterThan(0.95 * (before.bids / asks))
    // 1.2 times is what is promised of a quiet machine; here it is that nothing waits for the cache.
    expect(away.p99).toBeLessThan(3 * before.p99 + 100)
    expect(await metric(run, 'state_age_seconds')).toBeGreaterThan(ageBefore + 3)
    const statuses = new Set([...before.statuses, ...away.statuses])
    const isSpent = async () => {
      const answers = await Promise.all(Array.from({ length: 60 }, () => ask(run)))
      for (const { status } of answers) statuses.add(status)
      return answers.every(({ status }) => status === 204) && (await metric(run, 'no_bids_total', '"no-budget"')) > 50
    }
    // What leases hold is spent faster than it lasts by plan.
    await until(isSpent, 50, SPENT_MS)
    expect([...statuses].toSorted()).toEqual([200, 204])
    expect(await metric(run, 'ledger_reachable')).toBe(0)
  })
})

test('row 4: roles are swapped; READONLY replies and cut connections pass, and spend is exact afterwards', {
  timeout: 180_000,
}, async () => {
  const { server, redis } = await stage.ledger()
  const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(server.port)] })
  stage.later(() => replica.stop())
  const promoted = stage.client(replica)
  const proxy = await LossyProxy.start(server.port, new Random(SEED))
  stage.later(() => proxy.close())
  const env = { STATE_URL: `file:${await stage.tenant(5)}`, SPEND_URL: `redis://127.0.0.1:${proxy.port}` }
  const tasks = [
    await stage.task({ ...env, JOURNAL_DIR: await stage.folder() }),
    await stage.task({ ...env, JOURNAL_DIR: await stage.folder() }),
  ] as const
  const bids = (await Promise.all(tasks.map(run => bidsOf(run, 30)))).flat()
  const billAt = (from: number, to: number) =>
    Promise.all(bids.slice(from, to).map((bid, i) => bill(tasks[i % 2] as ServiceRun, bid)))
  await billAt(0, 20)
  await until(async () => (await tallied(promoted)).bookings === 20)
  // The replica stops following before the end: what comes now is acknowledged and will be forgotten.
  await promoted.replicaof('NO', 'ONE')
  await billAt(20, 30)
  await until(async () => (await tallied(redis)).bookings === 30)
  expect((await tallied(promoted)).bookings).toBe(20)
  await redis.replicaof('127.0.0.1', replica.port)
  await billAt(30, 40)
  const begunMs = performance.now()
  proxy.turnTo(replica.port)
  await until(async () =>
    (await Promise.all(tasks.map(run => metric(run, 'ledger_reachable')))).every(one => one === 1),
  )
  console.log(`reached again ${((performance.now() - begunMs) / 1_000).toFixed(1)} s after the swap`)
  await billAt(40, 60)
  await until(async () => (await tallied(promoted)).bookings >= 60, 200)
  await Promise.all(bids.slice(0, 60).map(bid => bill(tasks[0], bid)))
  expect(await tallied(promoted)).toEqual({ nanos: 60_000_000, bookings: 60 })
  for (const { name, spent, late, leased } of await lineItemAccounts(promoted))
    expect(spent - late + leased, name).toBeLessThanOrEqual(5 * NANOS)
})

test('row 5: a reply that is lost after its script has run is counted once', { timeout: 120_000 }, async () => {
  const { server, redis } = await stage.ledger()
  const proxy = await LossyProxy.start(server.port, new Random(SEED))
  stage.later(() => proxy.close())
  const run = await stage.task({
    ...{ STATE_URL: `file:${await stage.tenant(5)}`, SPEND_URL: `redis://127.0.0.1:${proxy.port}` },
    JOURNAL_DIR: await stage.folder(),
  })
  const [first, bid] = (await bidsOf(run, 2)) as [SentBid, SentBid]
  // From then on the cache knows the script.
  await bill(run, first)
  await until(async () => (await tallied(redis)).bookings === 1)
  const repeated = async () => await metric(run, 'bookings_total', '"repeated"')
  const before = await repeated()
  proxy.cutsReplyTo = `${SPEND}key:${bid.id}`
  await bill(run, bid)
  // The script had run: the task hears of it when it asks again.
  await until(async () => (await repeated()) > before)
  expect(proxy.cuts).toBe(1)
  expect(await tallied(redis)).toEqual({ nanos: 2_000_000, bookings: 2 })
})

describe('row 10: the cache has lost what it knew', () => {
  const losses = [
    ['comes back empty', 'flushall'],
    ['has evicted its epoch', 'epoch'],
  ] as const
  test.each(losses)('%s: nothing counts as unspent, and no budget is leased', { timeout: 180_000 }, async (_, what) => {
    const { server, redis } = await stage.ledger()
    const run = await stage.task({
      ...{ STATE_URL: `file:${await stage.tenant(2)}`, SPEND_URL: server.url, JOURNAL_DIR: await stage.folder() },
    })
    const bids = await bidsOf(run, 30)
    for (const bid of bids.slice(0, 20)) await bill(run, bid)
    await until(async () => (await tallied(redis)).bookings === 20)
    const before = await lineItemAccounts(redis)
    const spentBefore = before.reduce((sum, { spent }) => sum + spent, 0)
    expect(spentBefore).toBe(20_000_000)
    if (what === 'flushall') await redis.flushall()
    else await redis.del(`${SPEND}epoch`)
    // Whoever connects anew learns of it at once; others with their next word.
    await run.entry('ledger-closed')
    const spent = async () => (await lineItemAccounts(redis)).reduce((sum, account) => sum + account.spent, 0)
    await until(async () => (await spent()) >= spentBefore)
    const leases = async () => (await redis.keys(`${SPEND}lease:*`)).toSorted()
    const known = await leases()
    for (const bid of bids.slice(15)) await bill(run, bid)
    await until(async () => (await spent()) >= 30_000_000, 500)
    expect(await spent()).toBe(30_000_000)
    expect((await leases()).filter(lease => !known.includes(lease))).toEqual([])
    expect(await metric(run, 'ledger_opens_in_seconds')).toBeGreaterThan(3_000)
  })

  test('comes back older: the tasks tell it again what it forgot', { timeout: 180_000 }, async () => {
    const { server, redis } = await stage.ledger()
    const older = await startRedis({ args: ['--replicaof', '127.0.0.1', String(server.port)] })
    stage.later(() => older.stop())
    const restored = stage.client(older)
    const proxy = await LossyProxy.start(server.port, new Random(SEED))
    stage.later(() => proxy.close())
    const run = await stage.task({
      ...{ STATE_URL: `file:${await stage.tenant(2)}`, SPEND_URL: `redis://127.0.0.1:${proxy.port}` },
      JOURNAL_DIR: await stage.folder(),
    })
    const bids = await bidsOf(run, 40)
    for (const bid of bids.slice(0, 10)) await bill(run, bid)
    await until(async () => (await tallied(restored)).bookings === 10)
    await restored.replicaof('NO', 'ONE')
    for (const bid of bids.slice(10, 30)) await bill(run, bid)
    await until(async () => (await tallied(redis)).bookings === 30)
    proxy.turnTo(older.port)
    for (const bid of bids.slice(25)) await bill(run, bid)
    await until(async () => (await tallied(restored)).bookings >= 40, 200)
    expect(await tallied(restored)).toEqual({ nanos: 40_000_000, bookings: 40 })
    for (const { name, spent, leased } of await lineItemAccounts(restored))
      expect(spent + leased, name).toBeLessThanOrEqual(2 * NANOS)
  })
})

describe('row 12: a task ends amid notices', () => {
  test.each([
    ['by SIGTERM', ['SIGTERM']],
    ['by a second SIGTERM', ['SIGTERM', 'SIGTERM']],
    ['by SIGKILL', ['SIGKILL']],
  ] as const)('%s: what was acknowledged is booked, and no more', { timeout: 180_000 }, async (_, signals) => {
    const { server, redis } = await stage.ledger()
    const JOURNAL_DIR = await stage.folder()
    const env = { STATE_URL: `file:${await stage.tenant(2)}`, SPEND_URL: server.url, JOURNAL_DIR }
    const run = await stage.task(env)
    const bids = await bidsOf(run, 80)
    const acknowledged: string[] = []
    const calls = bids.map(async ({ id, burl }, i) => {
      await sleep(i * 8)
      if ((await call(run, burl).catch(() => 0)) === 204) acknowledged.push(id)
    })
    await until(() => acknowledged.length >= 10, 5)
    for (const signal of signals) {
      run.kill(signal)
      await sleep(50)
    }
    await Promise.all(calls)
    expect(await run.ended).toBe(signals[0] === 'SIGKILL' ? null : 0)
    // Whoever comes next finds what the disk has.
    const next = await stage.task(env)
    const isBooked = async () => await Promise.all(acknowledged.map(id => redis.exists(`${SPEND}key:${id}`)))
    await until(async () => (await isBooked()).every(count => count === 1), 500)
    const { nanos, bookings } = await tallied(redis)
    // What was booked and not acknowledged before the end is billed again, and known.
    expect(bookings).toBeGreaterThanOrEqual(acknowledged.length)
    expect(nanos).toBe(bookings * 1_000_000)
    await Promise.all(bids.map(bid => bill(next, bid)))
    await until(async () => (await tallied(redis)).bookings >= 80, 500)
    expect(await tallied(redis)).toEqual({ nanos: 80_000_000, bookings: 80 })
    for (const { name, spent, leased, excess } of await lineItemAccounts(redis)) {
      expect(spent + leased, name).toBeLessThanOrEqual(2 * NANOS)
      expect(excess, name).toBe(0)
    }
  })
})

test('row 20: a wall clock that jumps by an hour and by twelve resets no budget and books nothing twice', {
  timeout: 180_000,
}, async () => {
  const { server, redis } = await stage.ledger()
  const total = 0.5
  const run = await stage.task({
    ...{ STATE_URL: `file:${await stage.tenant(total)}`, SPEND_URL: server.url, JOURNAL_DIR: await stage.folder() },
  })
  const billed = new Map<string, number>()
  const spendSome = async () => {
    for (let i = 0; i < 40; i++) {
      const { bid } = await ask(run)
      if (bid === undefined) continue
      const price = bid.price.toFixed(6)
      await bill(run, bid, price)
      billed.set(bid.id, Math.round(Number(price) * 1e6))
      if (i % 4 === 0) await bill(run, bid, price)
    }
  }
  const spent = async () => (await lineItemAccounts(redis)).reduce((sum, account) => sum + account.spent, 0)
  await bidsOf(run, 1)
  for (const ms of [0, HOUR_MS, -HOUR_MS, 12 * HOUR_MS, 0]) {
    for (const thread of [0, 1]) run.inject({ thread, kind: 'set-clock', ms })
    // A bid of a thread that has the old clock yet has a token of the wrong hour.
    await sleep(1_000)
    await spendSome()
    // Budgets are looked at once a second.
    await sleep(1_500)
    await spendSome()
    const all = [...billed.values()].reduce((sum, nanos) => sum + nanos, 0)
    await until(async () => (await spent()) >= all, 200)
    expect(await spent()).toBe(all)
  }
  expect(billed.size).toBeGreaterThan(50)
  for (const account of await lineItemAccounts(redis))
    expect(account.spent - account.late + account.leased, account.name).toBeLessThanOrEqual(total * NANOS)
})

describe('row 29: tokens and prices that are not what we signed', () => {
  const PUBLIC_URL = 'https://ads.example.com'
  const [keyId, secret] = NOTICE_KEY.split(':') as [string, string]
  const sign = signerOf([{ id: keyId, secret }])
  const tokenOf = ({ burl }: SentBid) => new URL(burl).pathname.split('/')[4] as string

  test('are refused, and the budget is as it was', { timeout: 120_000 }, async () => {
    const { server, redis } = await stage.ledger()
    const env = { STATE_URL: `file:${await stage.tenant(5)}`, SPEND_URL: server.url }
    const retired = await stage.task({ ...env, NOTICE_KEYS: `k0:${'r'.repeat(32)}` })
    const [oldBid] = (await bidsOf(retired, 1)) as [SentBid]
    const run = await stage.task(env)
    const [bid] = (await bidsOf(run, 1)) as [SentBid]
    const token = tokenOf(bid)
    const reader = { tenantId: TENANT, sign, same: sameSignature }
    const read = readToken(token, reader, Date.now() / 1_000)
    if ('refusal' in read) throw new Error(read.refusal)
    const urlsOf = (tenantId: string) => new NoticeUrls({ publicUrl: PUBLIC_URL, tenantId, keyId, sign })
    const foreign = urlsOf('bluebird-games').tokenOf(read.token)
    const expired = urlsOf(TENANT).tokenOf({ ...read.token, expiresS: Math.floor(Date.now() / 1_000) - 10 })
    const random = new Random(SEED)
    const flipped = Array.from({ length: 60 }, () => {
      const at = random.pickIndex(token.length)
      const other = random.pick([...'abcdefghij0123456789~-_'].filter(each => each !== token[at]))
      return token.slice(0, at) + other + token.slice(at + 1)
    })
    const wrong = [...flipped, token.slice(1), token.slice(0, -1), `${token}a`, foreign, tokenOf(oldBid), 'x', '%00']
    for (const each of wrong) {
      const status = await call(run, `${PUBLIC_URL}/${TENANT}/notice/billing/${each}?price=1`)
      expect([status, each]).toEqual([expect.toSatisfy(code => code === 400 || code === 404), each])
    }
    expect(await call(run, `${PUBLIC_URL}/${TENANT}/notice/billing/${expired}?price=1`)).toBe(410)
    for (const click of [token, foreign, expired])
      expect(await call(run, `${PUBLIC_URL}/${TENANT}/event/click/${click}?to=https://evil.example/`)).not.toBe(302)
    expect(await tallied(redis)).toEqual({ nanos: 0, bookings: 0 })
  })

  test('count once however often they are replayed at once, and never above what was signed', {
    timeout: 120_000,
  }, async () => {
    const { server, redis } = await stage.ledger()
    const env = { STATE_URL: `file:${await stage.tenant(5)}`, SPEND_URL: server.url }
    const tasks = [await stage.task(env), await stage.task(env)] as const
    const [replayed, audited, ...odd] = (await bidsOf(tasks[0], 8)) as [SentBid, SentBid, ...SentBid[]]
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) => call(tasks[i % 2] as ServiceRun, replayed.burl, '0.5').catch(() => 0)),
    )
    expect(answers.filter(status => status === 204).length).toBeGreaterThan(0)
    await bill(tasks[1], replayed, '0.5')
    expect(await tallied(redis)).toEqual({ nanos: 500_000, bookings: 1 })
    await bill(tasks[0], audited, 'AUDIT')
    expect(await tallied(redis)).toEqual({ nanos: 500_000, bookings: 1 })
    // The macro as it stands, nothing, no number, encrypted by nobody's key, less than nothing, far too much.
    const prices = ['%24%7BAUCTION_PRICE%7D', '', 'abc', 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', '-1', '1e9']
    for (const [i, price] of prices.entries()) await bill(tasks[0], odd[i] as SentBid, price)
    const most = odd.reduce((sum, { price }) => sum + Math.round(price * 1e6), 0)
    expect(await tallied(redis)).toEqual({ nanos: 500_000 + most, bookings: 7 })
  })
})
