import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sampleTenant } from '../sample-catalog.ts'
import { runService, type ServiceRun } from './service-run.ts'

const TENANT = 'acme-outdoor'
const STATE_URL = `file:${fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))}`
const BANNER = { id: 'r1', imp: [{ id: '1', banner: { w: 300, h: 250 } }], site: { domain: 'news.example' } }
const WITH_DEAL = {
  ...{ ...BANNER, id: 'r2', device: { ip: '192.0.2.7' }, user: { id: 'somebody' } },
  imp: [{ ...BANNER.imp[0], pmp: { deals: [{ id: 'WX-STORM-2026', bidfloor: 99 }, { id: 'nobodys-deal' }] } }],
}
const TOO_SMALL = { id: 'r3', imp: [{ id: '1', banner: { w: 1, h: 1 } }] }

interface Estimate {
  readonly value: number
  readonly error: number
}

interface Recent {
  readonly samples: number
  readonly requests: readonly {
    readonly request: { readonly id: string }
    readonly bidders: readonly string[]
    readonly reasons: readonly string[]
    readonly impressions: readonly { readonly deals: readonly string[]; readonly targeted: number }[]
  }[]
}

let run: ServiceRun
beforeAll(async () => {
  run = await runService({ TENANT_ID: TENANT, STATE_URL, BID_THREADS: '1' })
  await run.entry('ready')
  for (const request of [BANNER, WITH_DEAL, TOO_SMALL, BANNER]) {
    const url = `http://127.0.0.1:${run.port}/${TENANT}/openrtb2/prebid`
    const headers = { 'content-type': 'application/json' }
    await (await fetch(url, { method: 'POST', headers, body: JSON.stringify(request) })).text()
    // One a second is few enough for each to be told.
    await new Promise(resolve => setTimeout(resolve, 1_100))
  }
}, 60_000)
afterAll(() => run.kill('SIGKILL'))

async function admin<T>(path: string): Promise<T> {
  return (await (await fetch(`http://127.0.0.1:${run.adminPort}${path}`)).json()) as T
}

describe('requests that are looked at as a whole', () => {
  test('are kept with their decisions, newest first, without the person', async () => {
    const { samples, requests } = await admin<Recent>('/recent')
    expect(samples).toBe(4)
    expect(requests.map(({ request }) => request.id)).toEqual(['r1', 'r3', 'r2', 'r1'])
    expect(requests[0]?.bidders).toHaveLength(1)
    expect(requests[1]).toMatchObject({ bidders: [], reasons: ['no-eligible-line-item'] })
    expect(requests[0]?.impressions[0]?.targeted).toBeGreaterThan(2)
    expect(JSON.stringify(requests)).not.toMatch(/somebody|192\.0\.2/)
  })

  test('are found by line item, deal and reason', async () => {
    const { requests: all } = await admin<Recent>('/recent')
    const bidder = all[0]?.bidders[0] as string
    const found = async (query: string) =>
      (await admin<Recent>(`/recent?${query}`)).requests.map(({ request }) => request.id)
    expect(await found(`lineItem=${bidder}`)).toContain('r1')
    expect(await found('deal=nobodys-deal')).toEqual(['r2'])
    expect(await found('reason=no-eligible-line-item')).toEqual(['r3'])
    expect(await found('reason=no-eligible-line-item&deal=nobodys-deal')).toEqual([])
  })

  test('tell of each deal how often it was seen and why it was not bid in', async () => {
    const { deals } = await admin<{
      deals: readonly { id: string; isOurs: boolean; seen: Estimate; reasons: unknown }[]
    }>('/deals')
    expect(deals.map(({ id }) => id).sort()).toEqual(['WX-STORM-2026', 'nobodys-deal'])
    const nobodys = deals.find(({ id }) => id === 'nobodys-deal')
    expect(nobodys).toMatchObject({
      isOurs: false,
      seen: { value: 1, error: 0 },
      reasons: [['no line item is in it', {}]],
    })
    expect(deals.find(({ id }) => id === 'WX-STORM-2026')).toMatchObject({ isOurs: true, seen: { value: 1 } })
  })

  test('make the funnel of each line item: exact where every request was looked at', async () => {
    const { rows } = await admin<{
      rows: readonly { id: string; bids: number; targeted?: Estimate; eligible?: Estimate; paced?: Estimate }[]
    }>('/line-items?sort=bids&limit=1000')
    const bids = rows.reduce((sum, row) => sum + row.bids, 0)
    expect(bids).toBe(3)
    expect(rows[0]?.eligible).toMatchObject({ value: 3, error: 0 })
    // Without notices nothing is steered: what the documents let through counts.
    const rateOf = new Map(sampleTenant().lineItems.map(({ id, passThroughRate = 1 }) => [id, passThroughRate]))
    for (const { id, paced, eligible } of rows)
      expect(paced?.value ?? 0, id).toBeCloseTo((eligible?.value ?? 0) * (rateOf.get(id) ?? Number.NaN), 6)
    for (const { targeted, eligible } of rows) expect(targeted?.value ?? 0).toBeGreaterThanOrEqual(eligible?.value ?? 0)
  })
})
