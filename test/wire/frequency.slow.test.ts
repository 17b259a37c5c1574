import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { runService, type ServiceRun } from './service-run.ts'

const TENANT = 'acme-outdoor'
const DIRECTORY = fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))
const SETTINGS = {
  ...{ TENANT_ID: TENANT, PUBLIC_URL: 'https://ads.example.com', NOTICE_KEYS: `k1:${'s'.repeat(32)}` },
  ...{ BID_THREADS: '2', DRAIN_S: '4' },
}

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'bidcell-frequency-'))
  cleanups.push(() => rm(made, { recursive: true, force: true }))
  return made
}

/** The sample tenant with a cap over all that it shows. */
async function cappedTenant(frequencyCaps: readonly object[]): Promise<string> {
  const made = join(await folder(), TENANT)
  await cp(DIRECTORY, made, { recursive: true })
  const settings = join(made, 'settings.json')
  await writeFile(settings, JSON.stringify({ ...JSON.parse(await readFile(settings, 'utf8')), frequencyCaps }))
  return made
}

async function start(directory: string, spend: string): Promise<ServiceRun> {
  const run = await runService({ ...SETTINGS, STATE_URL: `file:${directory}`, SPEND_URL: `file:${spend}` })
  cleanups.push(() => run.kill('SIGKILL'))
  await run.entry('ready')
  return run
}

/** The billing address of a bid for somebody, undefined without a bid. */
async function bid(run: ServiceRun, about: object): Promise<string | undefined> {
  const imp = [{ id: '1', banner: { w: 300, h: 250 } }]
  const body = JSON.stringify({ id: 'r1', imp, site: { domain: 'news.example' }, ...about })
  const headers = { 'content-type': 'application/json' }
  const url = `http://127.0.0.1:${run.port}/${TENANT}/openrtb2/adx`
  const answer = await fetch(url, { method: 'POST', headers, body })
  if (answer.status === 204) return undefined
  const { seatbid = [] } = (await answer.json()) as { seatbid?: { bid: { burl: string }[] }[] }
  return seatbid[0]?.bid[0]?.burl
}

async function bill(run: ServiceRun, burl: string | undefined): Promise<void> {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the macro as an exchange finds it
  const { pathname, search } = new URL((burl ?? '').replace('${AUCTION_PRICE}', '1'))
  expect((await fetch(`http://127.0.0.1:${run.port}${pathname}${search}`)).status).toBe(204)
}

async function capped(run: ServiceRun): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${run.adminPort}/metrics`)).text()
  const line = text.split('\n').find(each => each.includes('reason="frequency-capped"'))
  return Number(line?.split(' ').at(-1))
}

const user = (buyeruid: string, more: object = {}) => ({ user: { buyeruid }, ...more })

describe('frequency caps of a running service', () => {
  test('hold over all bid threads, over a restart and over a kill', { timeout: 90_000 }, async () => {
    const directory = await cappedTenant([{ impressions: 3, per: { days: 1 } }])
    const spend = await folder()
    const first = await start(directory, spend)
    const open = await Promise.all(Array.from({ length: 20 }, () => bid(first, user('u-1'))))
    const made = open.filter(burl => burl !== undefined)
    expect(made).toHaveLength(3)
    for (const burl of [...made, ...made]) await bill(first, burl)
    expect(await bid(first, user('u-1'))).toBeUndefined()
    expect(await capped(first)).toBeGreaterThan(0)
    // Another user has their own count, of which a kill may come after a moment at any time.
    await bill(first, await bid(first, user('u-2')))
    await sleep(1_000)
    first.kill('SIGKILL')
    await first.ended
    const second = await start(directory, spend)
    expect(await bid(second, user('u-1'))).toBeUndefined()
    for (let i = 0; i < 2; i++) await bill(second, await bid(second, user('u-2')))
    expect(await bid(second, user('u-2'))).toBeUndefined()
    second.kill('SIGTERM')
    expect(await second.ended).toBe(0)
    const third = await start(directory, spend)
    for (const each of ['u-1', 'u-2']) expect(await bid(third, user(each))).toBeUndefined()
    expect(await bid(third, user('u-3'))).toBeDefined()
  })

  test('count nobody whose data may not be stored: what is capped does not bid, unless it says so', {
    timeout: 60_000,
  }, async () => {
    const restricted = [
      user('u-1', { regs: { coppa: 1 } }),
      user('u-1', { regs: { gdpr: 1 } }),
      user('u-1', { device: { lmt: 1 } }),
      { device: { ip: '192.0.2.7' } },
    ]
    const spend = await folder()
    const closed = await start(await cappedTenant([{ impressions: 1, per: { days: 1 } }]), spend)
    for (const about of restricted) expect(await bid(closed, about)).toBeUndefined()
    expect(await capped(closed)).toBe(restricted.length)
    const free = await start(
      await cappedTenant([{ impressions: 1, per: { days: 1 }, withoutId: 'bid' }]),
      await folder(),
    )
    for (const about of [...restricted, ...restricted]) await bill(free, await bid(free, about))
    expect(await bid(free, user('u-1'))).toBeDefined()
    await sleep(500)
    for (const run of [closed, free]) run.kill('SIGTERM')
    await Promise.all([closed.ended, free.ended])
    const lines = (await readFile(join(spend, 'counts.ndjson'), 'utf8')).trim().split('\n')
    expect(lines.flatMap(line => (JSON.parse(line) as { events: number[] }).events)).toEqual([])
  })
})
