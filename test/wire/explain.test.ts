import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runService, type ServiceRun } from './service-run.ts'

const TENANT = 'acme-outdoor'
const ACME = fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))
const REQUEST = {
  id: 'r-1',
  imp: [{ id: '1', banner: { w: 300, h: 250 }, bidfloor: 1.5 }],
  site: { domain: 'news.example' },
  device: { geo: { country: 'DEU' } },
}

let directory = ''
let run: ServiceRun
beforeAll(async () => {
  directory = join(await mkdtemp(join(tmpdir(), 'bidcell-explain-')), TENANT)
  await cp(ACME, directory, { recursive: true })
  run = await runService({
    ...{ TENANT_ID: TENANT, STATE_URL: `file:${directory}`, BID_THREADS: '1' },
    ...{ NOTICE_KEYS: 'k1:at-least-thirty-two-letters-long', PUBLIC_URL: 'http://127.0.0.1:1' },
  })
  await run.entry('ready')
}, 60_000)
afterAll(async () => {
  run.kill('SIGKILL')
  await run.ended
  await rm(join(directory, '..'), { recursive: true })
})

interface Told {
  readonly error?: string
  readonly state: string
  readonly reason?: string
  readonly live: Readonly<Record<string, { readonly passRate?: number; readonly leaseLeft?: number }>>
  readonly impressions: readonly {
    readonly reason?: string
    readonly lots: readonly {
      readonly winners: readonly { readonly id: string; readonly campaignId: string }[]
      readonly others: readonly {
        readonly id: string
        readonly campaignId: string
        readonly findings: readonly { readonly what: string }[]
      }[]
    }[]
  }[]
}

interface DryRun {
  readonly error?: string
  readonly response?: { readonly seatbid: readonly { readonly bid: readonly { readonly cid: string }[] }[] }
  readonly reasons?: Readonly<Record<string, number>>
}

async function admin(path: string, body: unknown): Promise<{ status: number; told: Told }> {
  const headers = { 'content-type': 'application/json' }
  const url = `http://127.0.0.1:${run.adminPort}${path}`
  const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
  return { status: answer.status, told: (await answer.json()) as Told }
}

const explain = (body: unknown) => admin('/explain', body)
const winnersOf = ({ impressions }: Told) => impressions[0]?.lots[0]?.winners.map(({ id }) => id)

describe('POST /explain at the admin port', () => {
  test('tells who wins, and what this task knows of budgets', async () => {
    const { status, told } = await explain({ request: REQUEST })
    expect(status, told.error).toBe(200)
    expect(winnersOf(told)).toEqual(['li-1108'])
    expect(told.state).toMatch(/^files-/)
    expect(Object.values(told.live).every(({ passRate = 2 }) => passRate <= 1)).toBe(true)
    expect(Object.keys(told.live).length).toBeGreaterThan(0)
  })

  test('tells all that keeps one line item from it', async () => {
    const { told } = await explain({ request: REQUEST, lineItem: 'li-1101', exchange: 'adx' })
    expect(told.impressions[0]?.lots[0]?.others[0]?.findings.map(({ what }) => what)).toContain('country')
  })

  test('tells what would be answered, or what one line item alone would bid, and spends nothing', async () => {
    const dryRun = async (body: unknown) => (await admin('/dry-run', body)).told as unknown as DryRun
    const all = await dryRun({ request: REQUEST })
    const bidOf = ({ response }: DryRun) => response?.seatbid?.[0]?.bid[0]
    expect(bidOf(all)).toMatchObject({ impid: '1', adm: expect.any(String) })
    expect(JSON.stringify(all.response)).not.toContain('/notice/')
    const { winners, others } = (await explain({ request: REQUEST })).told.impressions[0]?.lots[0] ?? {}
    const outranked = others?.find(({ findings }) => findings.length === 0)
    const [winner] = winners ?? []
    for (const each of [winner, outranked]) {
      if (each === undefined) continue
      const forced = await dryRun({ request: REQUEST, lineItem: each.id })
      expect(bidOf(forced)?.cid, each.id).toBe(each.campaignId)
    }
    const barred = await dryRun({ request: REQUEST, lineItem: 'li-1101' })
    expect([bidOf(barred), barred.reasons]).toEqual([undefined, { 'no-eligible-line-item': 1 }])
    expect((await dryRun({ request: REQUEST, lineItem: 'nobody' })).error).toContain('there is no such line item')
    expect((await dryRun({ request: 7 })).error).toContain('the body must be JSON like')
    const metrics = await (await fetch(`http://127.0.0.1:${run.adminPort}/metrics`)).text()
    expect(metrics).toMatch(/^bidcell_bid_requests_total\{[^}]*\} 0$/m)
  })

  test('knows what is stopped by hand', async () => {
    await admin('/stops', { lineItem: 'li-1108' })
    const { told } = await explain({ request: REQUEST, lineItem: 'li-1108' })
    expect(told.live['li-1108']).toMatchObject({ stopped: true })
    expect(told.impressions[0]?.lots[0]?.others[0]?.findings.map(({ what }) => what)).toEqual(['budget'])
    await admin('/stops', { exchange: 'adx' })
    expect((await explain({ request: REQUEST, exchange: 'adx' })).told.reason).toBe('stopped')
  })

  test('explains with what serves now, also after a change', async () => {
    const file = join(directory, 'lineItems.json')
    const lineItems = JSON.parse(await readFile(file, 'utf8')) as { id: string }[]
    const before = (await explain({ request: REQUEST, lineItem: 'li-1201' })).told.state
    await writeFile(file, JSON.stringify(lineItems.filter(({ id }) => id !== 'li-1201')))
    for (const untilMs = performance.now() + 20_000; performance.now() < untilMs; await sleep(100)) {
      const { status, told } = await explain({ request: REQUEST, lineItem: 'li-1201' })
      // Between the change of the file and its load there is nothing to read.
      if (status !== 404) continue
      expect(told.error).toContain('there is no such line item among the 47')
      expect((await explain({ request: REQUEST })).told.state).not.toBe(before)
      return
    }
    throw new Error('the change is not explained')
  })

  test('says what to send instead of what it cannot explain', async () => {
    for (const body of [{}, { request: 7 }, { request: {}, at: 'noon' }, { request: {}, lineitem: 'x' }]) {
      const { status, told } = await explain(body)
      expect([status, told.error]).toEqual([400, expect.stringContaining('the body must be JSON like {"request":')])
    }
    expect(await explain({ request: { id: 'x' } })).toMatchObject({
      status: 400,
      told: { error: 'it would be answered with 400: imp is not a list of impressions' },
    })
    const nowhere = await explain({ request: REQUEST, exchange: 'nobody' })
    expect([nowhere.status, nowhere.told.error]).toEqual([404, expect.stringContaining('there are adx')])
  })

  test('turns away more questions than it takes at once', async () => {
    const answers = await Promise.all(Array.from({ length: 12 }, () => explain({ request: REQUEST })))
    const statuses = new Set(answers.map(({ status }) => status))
    expect([...statuses].sort()).toEqual([200, 503])
  })
})
