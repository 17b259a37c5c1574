import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { Random } from '../service/foundation/random.ts'
import { DEVICE_EVENTS, EXCHANGE_NOTICES } from '../service/openrtb/notice.ts'
import { objectFrom } from './acceptance-rules.ts'
import { expanded, holdAuction, macroValues } from './auction.ts'
import { labelledCounts } from './client.ts'
import { deviceCalls } from './device-calls.ts'
import { bookedProblem, ExchangeBooks, rulesOf, type Sale } from './exchange-books.ts'
import { type CappedSale, type CapRule, capRulesOf, judgeCaps, viewerOf } from './exchange-caps.ts'
import { postRequest } from './http-response.ts'
import { MockExchange, type MockExchangeOptions } from './mock-exchange.ts'
import { runOpenLoop } from './open-loop.ts'
import { type PlantedFaults, startPlantedBidder } from './planted-bidder.ts'
import { type ServiceProcess, startService } from './service-process.ts'
import { SAMPLE_TENANT } from './stage.ts'
import { readTenantRecords, type TenantRecords } from './tenant-records.ts'
import { type TenantTraffic, tenantWorkload } from './workload.ts'

const SEED = 7
/** Its currency is the tenant's. */
const EXCHANGE = 'openx'
const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

const records = await readTenantRecords(SAMPLE_TENANT)
/** With caps, and an exchange that has its own macros and asks for markup with the win. */
const CAPPED_TENANT = resolve(SAMPLE_TENANT, '../bluebird-games')
const cappedRecords = await readTenantRecords(CAPPED_TENANT)

/** A moment of traffic at a bidder. */
async function played(
  options: Omit<MockExchangeOptions, 'records' | 'seed'>,
  { from: of = records, ...traffic }: Partial<TenantTraffic> & { readonly from?: TenantRecords } = {},
) {
  const workload = tenantWorkload(of, { count: 400, seed: SEED, malformedShare: 0.02, ...traffic })
  const exchange = new MockExchange({ ...options, records: of, seed: SEED })
  const { pathname, host } = new URL(options.url)
  const requests = workload.map(each => postRequest({ host, path: `${pathname}/openrtb2/${each.exchange}` }, each.body))
  const plan = { arrivals: 'poisson', ratePerS: 200, durationS: 1.2, seed: SEED } as const
  const limits = { connectionsMax: 32, timeoutMs: 2_000, sendLagP99UsMax: 1e6, ownCpuShareMax: 2 }
  const onAnswer = (response: Parameters<MockExchange['look']>[0], index: number) => {
    exchange.look(response, workload[index] as (typeof workload)[number])
  }
  await runOpenLoop({ ...plan, ...limits, url: options.url, requests, onAnswer })
  return { exchange, findings: await exchange.end() }
}

async function planted(faults: PlantedFaults) {
  const bidder = await startPlantedBidder(faults)
  closers.push(() => bidder.stop())
  const habits = { late: 0, lateMs: 0, twice: 0.3, never: 0.1 }
  const { exchange, findings } = await played({ url: bidder.url, habits }, { exchange: EXCHANGE })
  const cap: CapRule = {
    ...{ name: 'campaign capped', isOf: ({ campaignId }) => campaignId === 'capped', subject: 'user' },
    ...{ impressionsMax: 1, periodMs: 60_000, gapMs: 0, takesUnknown: true },
  }
  return { findings, verdict: exchange.books.judge({ budgets: [], caps: [cap] }), booked: bidder.booked() }
}

/** The service with a ledger of its own. */
async function startedService(documents: string): Promise<ServiceProcess> {
  const directory = await mkdtemp(join(tmpdir(), 'mock-exchange-'))
  closers.push(() => rm(directory, { recursive: true, force: true, maxRetries: 10 }))
  const env = {
    ...{ TENANT_ID: 'mock-exchange', STATE_URL: `file:${documents}`, SPEND_URL: `file:${directory}` },
    ...{ PUBLIC_URL: 'https://ads.example', NOTICE_KEYS: `k1:${'0123456789abcdef'.repeat(4)}` },
  }
  const service = await startService({ env })
  closers.push(() => process.kill(service.pid, 'SIGKILL'))
  return service
}

describe('the mock exchange', () => {
  test('buys from the service, and its books agree with what the service booked', async () => {
    const service = await startedService(SAMPLE_TENANT)
    const { exchange, findings } = await played({
      url: service.url,
      habits: { late: 0.1, lateMs: 800, twice: 0.2, never: 0.1 },
    })
    expect(findings.brokenRules, findings.examples.join('\n')).toEqual({})
    // A busy machine is late with many answers: how much is sold is no verdict.
    expect(findings.wins).toBeGreaterThan(10)
    expect(findings.losses).toBeGreaterThan(0)
    // A pixel is an answer, too, and that to a banner's click is where it leads.
    const statuses = Object.keys(findings.notices.statuses)
    expect([...new Set([...statuses, '302'])].sort(), JSON.stringify(findings)).toEqual(['200', '204', '302'])
    expect(findings.notices.acknowledged).toBe(findings.notices.told)
    const verdict = exchange.books.judge(rulesOf(records))
    expect(verdict.billed).toBeGreaterThan(verdict.sales * 0.7)
    expect(verdict.billed).toBeLessThan(verdict.sales)
    const response = await fetch(`${service.adminUrl}/metrics`)
    const booked = Number(/^bidcell_spend_total\S* (\S+)$/m.exec(await response.text())?.[1])
    expect(bookedProblem(booked, verdict)).toBeUndefined()
    const kinds = await labelledCounts(service.adminUrl, 'notices', 'kind')
    for (const kind of [...EXCHANGE_NOTICES, 'impression', 'click', 'start', 'complete'])
      expect(findings.notices.kinds[kind] ?? 0, kind).toBeGreaterThan(0)
    for (const [kind, acknowledged] of Object.entries(findings.notices.kinds))
      expect(kinds?.get(kind), kind).toBe(acknowledged)
  })

  test('finds that the service keeps frequency caps, though few people see much', async () => {
    const service = await startedService(CAPPED_TENANT)
    const habits = { late: 0.1, lateMs: 800, twice: 0.1, never: 0.1 }
    const { exchange, findings } = await played({ url: service.url, habits }, { from: cappedRecords, users: 10 })
    expect(findings.brokenRules, findings.examples.join('\n')).toEqual({})
    const verdict = exchange.books.judge(rulesOf(cappedRecords))
    // Ten people: a minute must lie between impressions on a device.
    expect(verdict.capped).toBeGreaterThan(5)
    expect(verdict.aboveCap, verdict.capExamples.join('\n')).toBe(0)
    const noBids = await labelledCounts(service.adminUrl, 'no_bids', 'reason')
    expect(noBids?.get('frequency-capped')).toBeGreaterThan(0)
  })

  test('finds nothing at an honest bidder', async () => {
    const { findings, verdict, booked } = await planted({})
    expect(findings.brokenRules, findings.examples.join('\n')).toEqual({})
    expect(verdict).toMatchObject({ aboveCap: 0, overspent: [] })
    expect(verdict.billed).toBeGreaterThan(10)
    expect(bookedProblem(booked, verdict)).toBeUndefined()
  })

  test('finds a doubled billing', async () => {
    const { verdict, booked } = await planted({ booksTwice: true })
    expect(bookedProblem(booked, verdict)).toContain('though only')
  })

  test('finds a capped user who is served again', async () => {
    const { verdict } = await planted({ forgetsUsers: true })
    expect(verdict.aboveCap).toBeGreaterThan(0)
    expect(verdict.capExamples[0]).toContain('campaign capped: user b-')
  })
})

describe('its books', () => {
  const sale = (bidId: string, amount: number, soldAtMs: number): Sale => {
    return { bidId, amount, soldAtMs, campaignId: 'c', creativeId: 'k', lineItemId: 'l', viewer: { user: 'u' } }
  }

  test('show budgets that were exceeded, in all and by day, by what was billed only', () => {
    const books = new ExchangeBooks()
    const days = ['2026-11-20T23:00Z', '2026-11-21T01:00Z', '2026-11-21T02:00Z', '2026-11-21T03:00Z'].map(Date.parse)
    for (const [index, atMs] of days.entries()) books.sell(sale(`b${index}`, 1, atMs))
    for (const index of [0, 1, 2]) books.bill(`b${index}`, days[index] as number)
    books.bill('b1', Date.now())
    expect(books.judge({ budgets: [{ campaignId: 'c', total: 3, daily: 2 }], caps: [] }).overspent).toEqual([])
    expect(books.judge({ budgets: [{ campaignId: 'c', total: 2.5 }], caps: [] }).overspent).toHaveLength(1)
    expect(books.judge({ budgets: [{ lineItemId: 'l', daily: 1.5 }], caps: [] }).overspent).toEqual([
      'line item l: 2.000000 of 1.5 2026-11-21',
    ])
    expect(books.judge({ budgets: [{ lineItemId: 'other', daily: 0.1 }], caps: [] }).overspent).toEqual([])
  })

  test('take a bill that was not acknowledged as one that may be booked or not', () => {
    const books = new ExchangeBooks()
    for (const id of ['a', 'b']) {
      books.sell(sale(id, 0.25, 0))
      books.bill(id, 0)
    }
    books.acknowledge('a')
    const verdict = books.judge({ budgets: [], caps: [] })
    for (const booked of [0.25, 0.5]) expect(bookedProblem(booked, verdict)).toBeUndefined()
    expect(bookedProblem(0.2, verdict)).toContain('0.250000 was acknowledged')
    expect(bookedProblem(0.75, verdict)).toContain('only 0.500000 was billed')
  })
})

describe('its caps', () => {
  const rules = capRulesOf({
    ...cappedRecords,
    settings: { ...cappedRecords.settings, frequencyCaps: [] },
    ...{ advertisers: [], creatives: [], campaigns: [] },
    lineItems: cappedRecords.lineItems.slice(0, 1).map(each => ({
      ...each,
      id: 'l',
      frequencyCaps: [
        { impressions: 2, per: { hours: 1 }, minGapS: 10 },
        { impressions: 1, of: 'device' },
      ],
    })),
  })
  const minutes = (...times: readonly number[]) =>
    times.map((minute, at): CappedSale => {
      const viewer = { user: 'u', device: `d${at}` }
      return {
        ...{ bidId: `b${at}`, campaignId: 'c', lineItemId: 'l', creativeId: 'k', viewer },
        soldAtMs: minute * 60_000,
      }
    })
  const changed = (sales: readonly CappedSale[], change: Partial<CappedSale>) =>
    sales.map(each => ({ ...each, ...change }))

  test('count in any hour, by whom, and only what is of them', () => {
    expect(judgeCaps(rules, minutes(0, 30, 61, 91))).toMatchObject({ aboveCap: 0, capped: 4 })
    expect(judgeCaps(rules, minutes(0, 30, 59, 91))).toMatchObject({ aboveCap: 1 })
    expect(judgeCaps(rules, minutes(0, 0.1)).capExamples).toEqual(['line item l: user u saw it again after 6000 ms'])
    const once = changed(minutes(0, 300), { viewer: { user: 'u', device: 'd' } })
    expect(judgeCaps(rules, once).capExamples[0]).toContain('device d saw it 2 times')
    expect(judgeCaps(rules, changed(minutes(0, 1, 2), { lineItemId: 'other' }))).toMatchObject({ capped: 0 })
  })

  test('let nobody pass who cannot be told apart, unless they say so', () => {
    expect(judgeCaps(rules, changed(minutes(0), { viewer: {} }))).toMatchObject({ aboveCap: 1, capped: 1 })
    const open = rules.map(each => ({ ...each, takesUnknown: true }))
    expect(judgeCaps(open, changed(minutes(0, 1, 2), { viewer: {} }))).toMatchObject({ aboveCap: 0, capped: 0 })
    expect(judgeCaps(rules, changed(minutes(0, 1, 2), { viewer: { inDoubt: true } }))).toMatchObject({ capped: 0 })
  })

  test('know people as the exchange does, where they may be known', () => {
    const user = { id: 'x', buyeruid: 'b' }
    const device = { ifa: 'AB-1', ip: '192.0.2.9' }
    expect(viewerOf({ user, device })).toEqual({ user: 'b', device: 'ab-1', household: '192.0.2.9' })
    expect(viewerOf({ user: { id: 'x' }, device: { ifa: '00-00' } })).toEqual({ user: 'x' })
    expect(viewerOf({ user, device: { ...device, lmt: 1 } })).toEqual({})
    expect(viewerOf({ user, device, regs: { ext: { gdpr: 1 } } })).toEqual({})
    expect(viewerOf({ user: { ...user, consent: 'CP' }, device })).toEqual({ inDoubt: true })
  })
})

test('a device calls what the markup has, in the order in which people see it', () => {
  const kinds = [...DEVICE_EVENTS].reverse()
  const urls = kinds.map(kind => `<![CDATA[https://ads.example/t/event/${kind}/k~1?to=a&amp;s=b]]>`)
  const random = new Random(SEED)
  const seen = new Set<string>()
  for (let round = 0; round < 200; round++) {
    const calls = deviceCalls(urls.join(' '), random)
    const played = calls.filter(({ kind }) => !['viewable', 'click'].includes(kind))
    expect(played.map(({ atMs }) => atMs)).toEqual(played.map(({ atMs }) => atMs).sort((a, b) => a - b))
    expect(calls[0]).toEqual({
      kind: 'impression',
      atMs: 0,
      address: 'https://ads.example/t/event/impression/k~1?to=a&s=b',
    })
    expect(calls.some(({ kind }) => kind === 'skip')).toBe(!calls.some(({ kind }) => kind === 'complete'))
    for (const { kind } of calls) seen.add(kind)
  }
  expect([...DEVICE_EVENTS].filter(kind => !seen.has(kind))).toEqual(['conversion'])
  expect(deviceCalls('<p>nothing of ours: https://other.example/x</p>', random)).toEqual([])
})

describe('its auction', () => {
  const bid = { id: 'x', impid: '1', price: 4 }
  const impression = { id: '1', bidfloor: 1 }

  test.each([
    ['first price', 1, 4, 4],
    ['second price', 2, 1.01, 4],
  ])('charges what the rule says: %s', (_, at, least, most) => {
    const random = new Random(SEED)
    let wins = 0
    for (let round = 0; round < 300; round++)
      for (const { won, clearingPrice, minToWin } of holdAuction({ at, imp: [impression] }, [bid], random)) {
        expect(minToWin).toBeGreaterThan(1)
        if (!won) {
          expect(clearingPrice).toBeGreaterThanOrEqual(4)
          continue
        }
        wins++
        expect(clearingPrice).toBeGreaterThanOrEqual(least)
        expect(clearingPrice).toBeLessThanOrEqual(most)
      }
    expect(wins).toBeGreaterThan(200)
    expect(wins).toBeLessThan(300)
  })

  test('lets a deal of an agreed price win, at that price', () => {
    const deal = { ...impression, pmp: { deals: [{ id: 'd', at: 3, bidfloor: 2.5 }] } }
    const bids = [bid, { ...bid, id: 'y', dealid: 'd', price: 3 }]
    const [first, second] = holdAuction({ at: 1, imp: [deal] }, bids, new Random(SEED))
    expect(first).toMatchObject({ bid: { id: 'y' }, won: true, clearingPrice: 2.5 })
    expect(second).toMatchObject({ bid: { id: 'x' }, won: false, lossReason: 103 })
  })

  test('fills macros, encoded ones too, and leaves none', () => {
    const [outcome] = holdAuction({ id: 'r&1', at: 1, imp: [impression] }, [{ ...bid, price: 1e6 }], new Random(1))
    const values = macroValues(outcome!, objectFrom({ id: 'r&1' }), objectFrom({ cur: 'EUR' }), 's')
    const names = ['ID', 'PRICE', 'PRICE:B64', 'CURRENCY', 'X'].map(name => `\${AUCTION_${name}}`)
    expect(expanded(names.join(' '), values)).toBe('r%261 1000000 MTAwMDAwMA%3D%3D EUR ')
  })
})
