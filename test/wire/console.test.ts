import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runService, type ServiceRun } from './service-run.ts'

const TENANT = 'acme-outdoor'
const STATE_URL = `file:${fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))}`
const BODY = '{"id":"r1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'
const BIDS = 7

let run: ServiceRun
let scratch: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'bidcell-console-'))
  run = await runService({
    ...{ TENANT_ID: TENANT, STATE_URL, BID_THREADS: '1', SPEND_URL: `file:${scratch}/spend` },
    ...{ NOTICE_KEYS: 'k1:at-least-thirty-two-letters-long', PUBLIC_URL: 'https://ads.example' },
  })
  await run.entry('ready')
}, 60_000)
afterAll(async () => {
  run.kill('SIGKILL')
  await run.ended
  await rm(scratch, { recursive: true })
})

const admin = (path: string) => fetch(`http://127.0.0.1:${run.adminPort}${path}`)

interface Rows {
  readonly total: number
  readonly rows: readonly { readonly id: string; readonly campaignId: string; readonly bids: number }[]
}

async function lineItems(query = ''): Promise<Rows> {
  return (await (await admin(`/line-items${query}`)).json()) as Rows
}

describe('the console', () => {
  test('is a page that loads scripts and styles of its own only, each of them JavaScript without types', async () => {
    const page = await admin('/console')
    const policy = page.headers.get('content-security-policy') ?? ''
    expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
    const html = await page.text()
    const asked = [...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path]) => path as string)
    const seen = new Set(asked)
    for (const path of seen) {
      const answer = await admin(path)
      expect(answer.status, path).toBe(200)
      const text = await answer.text()
      if (!path.endsWith('.ts')) continue
      expect(answer.headers.get('content-type')).toBe('text/javascript; charset=utf-8')
      expect(text).not.toMatch(/^import type|^interface/m)
      for (const [, to] of text.matchAll(/from '\.\/([\w-]+\.ts)'/g)) seen.add(`/console/${to}`)
    }
    expect(seen.size).toBeGreaterThan(5)
    expect(html).not.toMatch(/https?:\/\/|style="|onclick/)
  })

  test('is told every second what happens, the last minutes first', async () => {
    const answer = await admin('/console/live')
    expect(answer.headers.get('content-type')).toBe('text/event-stream')
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader()
    let text = ''
    for (const decoder = new TextDecoder(); !/event: second\n.*\n\n/.test(text); )
      text += decoder.decode((await reader.read()).value, { stream: true })
    await reader.cancel()
    const [first, second] = [...text.matchAll(/^data: (.*)$/gm)].map(([, data]) => JSON.parse(data as string))
    expect(first).toMatchObject({ now: { identity: { tenant_id: TENANT }, ready: true, lineItems: 46 } })
    expect(first.now.isSample).toBe(false)
    expect(first.tail.versions[0]).toMatchObject({ outcome: 'serves', detail: '48 line items' })
    expect(second).toMatchObject({ second: { bidRequests: 0, bids: 0 }, now: { memory: { level: 'ok' } } })
    expect(second.tail.counts.log).toBeGreaterThanOrEqual(first.tail.counts.log)
  })

  test('is turned away when many look already', async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => admin('/console/live')))
    expect(answers.filter(({ status }) => status === 503)).toHaveLength(2)
    await Promise.all(answers.map(answer => answer.body?.cancel()))
  })
})

describe('GET /line-items', () => {
  test('lists what is served as it would win, and finds line items and campaigns', async () => {
    const { total, rows } = await lineItems('?limit=3')
    expect([total, rows.length]).toEqual([46, 3])
    const { rows: found } = await lineItems('?search=li-110')
    expect(found.every(({ id }) => id.includes('li-110'))).toBe(true)
    const { rows: campaign } = await lineItems('?search=acme-winter')
    expect(campaign.length).toBeGreaterThan(1)
    expect((await admin('/line-items?sort=colour')).status).toBe(400)
  })

  test('counts every bid, by line item', async () => {
    const url = `http://127.0.0.1:${run.port}/${TENANT}/openrtb2/adx`
    const headers = { 'content-type': 'application/json' }
    for (let i = 0; i < BIDS; i++) expect((await fetch(url, { method: 'POST', headers, body: BODY })).status).toBe(200)
    await expect
      .poll(async () => (await lineItems('?sort=bids')).rows.reduce((sum, { bids }) => sum + bids, 0), {
        timeout: 10_000,
      })
      .toBe(BIDS)
  })
})

describe('GET /events', () => {
  test('tells the last log lines, versions and notices, and nothing of who looks', async () => {
    const url = `http://127.0.0.1:${run.port}/${TENANT}/openrtb2/adx`
    const headers = { 'content-type': 'application/json' }
    const { seatbid } = (await (await fetch(url, { method: 'POST', headers, body: BODY })).json()) as {
      seatbid: { bid: { burl: string; price: number }[] }[]
    }
    const { burl = '', price } = seatbid[0]?.bid[0] ?? {}
    const { pathname, search } = new URL(burl.replace(/\$\{AUCTION_PRICE\}/, String(price)))
    expect((await fetch(`http://127.0.0.1:${run.port}${pathname}${search}`)).status).toBe(204)
    const { log, notices, versions } = (await (await admin('/events')).json()) as {
      log: readonly { readonly code: string; readonly fields: object }[]
      notices: readonly object[]
      versions: readonly object[]
    }
    expect(log.map(({ code }) => code)).toEqual(expect.arrayContaining(['started', 'state-loaded', 'ready']))
    expect(log[0]?.fields).not.toHaveProperty('tenant_id')
    expect(JSON.stringify(log)).not.toContain('admin-access')
    expect(notices).toHaveLength(1)
    expect(notices[0]).toMatchObject({ kind: 'billing', exchange: 'adx', amount: (price ?? 0) / 1_000 })
    expect(versions).toHaveLength(1)
  })
})

describe('GET /pacing', () => {
  test('tells of line items with a plan what the plan wants over its time, and what was spent', async () => {
    interface Plan {
      readonly id: string
      readonly limit: number
      readonly spent: number
      readonly curve: readonly number[]
      readonly points: readonly unknown[]
    }
    type Pacing = { readonly total: number; readonly rows: readonly { lineItemId: string; plans: readonly Plan[] }[] }
    const pacing = async (query = '') => (await (await admin(`/pacing${query}`)).json()) as Pacing
    // Line items that would win are leased for before they bid, and then their plans are known within seconds.
    await expect.poll(async () => (await pacing()).total, { timeout: 30_000 }).toBeGreaterThan(0)
    const { total, rows } = await pacing('?limit=1')
    expect([total > 0, rows.length]).toEqual([true, 1])
    const [plan] = rows[0]?.plans ?? []
    expect(plan?.limit).toBeGreaterThan(0)
    expect([plan?.curve[0], plan?.curve.at(-1), plan?.spent]).toEqual([0, 1, 0])
    await expect
      .poll(async () => (await pacing('?limit=1')).rows[0]?.plans[0]?.points.length, { timeout: 30_000 })
      .toBeGreaterThan(0)
    const found = await pacing(`?search=${plan?.id}`)
    expect(found.rows.every(({ plans }) => plans.some(({ id }) => id === plan?.id))).toBe(true)
    expect((await pacing('?search=no-such-line-item')).total).toBe(0)
    expect((await admin('/pacing?limit=0')).status).toBe(400)
  })
})
