import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runService, type ServiceRun } from './service-run.ts'

const TENANT = 'acme-outdoor'
const STATE_URL = `file:${fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))}`
const BODY = '{"id":"r1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'
const WITHIN_MS = 1_000

let run: ServiceRun

beforeAll(async () => {
  run = await runService({ TENANT_ID: TENANT, STATE_URL, BID_THREADS: '2' })
  await run.entry('ready')
})
afterAll(() => run.kill('SIGKILL'))

async function bids(exchange = 'adx'): Promise<{ cid: string }[]> {
  const url = `http://127.0.0.1:${run.port}/${TENANT}/openrtb2/${exchange}`
  const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: BODY })
  if (answer.status !== 200) return []
  return ((await answer.json()) as { seatbid?: { bid: { cid: string }[] }[] }).seatbid?.[0]?.bid ?? []
}

async function stops(method: string, body?: unknown): Promise<{ status: number; told: Record<string, unknown> }> {
  const headers = { 'content-type': 'application/json' }
  const url = `http://127.0.0.1:${run.adminPort}/stops`
  const answer = await fetch(url, { method, ...(body === undefined ? {} : { headers, body: JSON.stringify(body) }) })
  return { status: answer.status, told: (await answer.json()) as Record<string, unknown> }
}

/** Campaigns that win in many requests, once a change has had its second. */
async function winners(exchange?: string): Promise<Set<string>> {
  await sleep(WITHIN_MS)
  const answers = await Promise.all(Array.from({ length: 40 }, () => bids(exchange)))
  return new Set(answers.flat().map(({ cid }) => cid))
}

describe('the brake at the admin port', () => {
  test('stops a campaign, and another one wins; then lets it go', async () => {
    const before = await winners()
    const [campaign] = [...before] as [string]
    expect((await stops('POST', { campaign })).told).toMatchObject({ campaigns: [campaign] })
    const meanwhile = await winners()
    expect(meanwhile).not.toContain(campaign)
    expect(meanwhile.size).toBeGreaterThan(0)
    expect((await stops('DELETE', { campaign })).told).toMatchObject({ campaigns: [] })
    expect(await winners()).toContain(campaign)
    expect(run.lines.filter(line => line.includes('"stopped-by-hand"'))).toHaveLength(2)
  })

  test('stops an exchange, and the whole tenant', async () => {
    await stops('POST', { exchange: 'adx' })
    expect((await winners('adx')).size).toBe(0)
    expect((await winners('prebid')).size).toBeGreaterThan(0)
    await stops('POST', { tenant: true })
    expect((await winners('prebid')).size).toBe(0)
    await stops('DELETE', { exchange: 'adx' })
    expect((await stops('DELETE', { tenant: true })).told).toMatchObject({ tenant: false, exchanges: [] })
    expect((await winners('adx')).size).toBeGreaterThan(0)
  })

  test('says which ids nothing has that is served', async () => {
    expect((await stops('POST', { lineItem: 'li-1108' })).told).toMatchObject({ unknown: [] })
    await stops('POST', { exchange: 'adx' })
    await stops('POST', { campaign: 'cmp-acme-always-onn' })
    await stops('POST', { lineItem: 'li-11o8' })
    const { told } = await stops('POST', { exchange: 'add' })
    expect(told.unknown).toEqual(['exchange add', 'campaign cmp-acme-always-onn', 'lineItem li-11o8'])
    expect(run.lines.some(line => line.includes('nothing that is served has this id'))).toBe(true)
    for (const exchange of ['adx', 'add']) await stops('DELETE', { exchange })
    await stops('DELETE', { campaign: 'cmp-acme-always-onn' })
    for (const lineItem of ['li-1108', 'li-11o8']) await stops('DELETE', { lineItem })
  })

  test('refuses what names nothing it knows, with the remedy', async () => {
    for (const body of [{}, { lineitem: 'x' }, { tenant: false }, { campaign: 'a', exchange: 'b' }, { campaign: '' }]) {
      const { status, told } = await stops('POST', body)
      expect(status, JSON.stringify(body)).toBe(400)
      expect(told.error).toContain('{"lineItem":"ID"}')
    }
    const nothing = { tenant: false, exchanges: [], campaigns: [], lineItems: [], unknown: [] }
    expect((await stops('GET')).told).toEqual(nothing)
  })
})
