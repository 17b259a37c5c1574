import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { runService } from './service-run.ts'

const TENANT = 'acme-outdoor'
const DIRECTORY = fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))
const BID_REQUEST = '{"id":"r1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** The sample tenant with these guards. */
async function guarded(guards: unknown): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bidcell-guards-'))
  cleanups.push(() => rm(folder, { recursive: true, force: true }))
  const state = join(folder, 'state')
  await cp(DIRECTORY, state, { recursive: true })
  const path = join(state, 'settings.json')
  await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')), guards }))
  return state
}

test('what all bids of a minute may cost is bounded, and both guards tell when they hold something back', async () => {
  const spendPerMinuteMax = 0.01
  const cpmMax = 10
  const run = await runService({
    ...{ TENANT_ID: TENANT, STATE_URL: `file:${await guarded({ cpmMax, spendPerMinuteMax })}`, BID_THREADS: '2' },
    ...{ PUBLIC_URL: 'https://ads.example.com', NOTICE_KEYS: `k1:${'s'.repeat(32)}` },
  })
  cleanups.push(() => run.kill('SIGKILL'))
  await run.entry('ready')
  expect(Number((await run.entry('above-maximum-cpm')).too_dear)).toBeGreaterThan(0)
  const url = `http://127.0.0.1:${run.port}/${TENANT}/openrtb2/openx`
  const headers = { 'content-type': 'application/json' }
  const startMs = performance.now()
  let cost = 0
  let dearest = 0
  for (let i = 0; i < 5_000; i++) {
    const answer = await fetch(url, { method: 'POST', headers, body: BID_REQUEST })
    const text = await answer.text()
    if (text !== '') {
      const price = (JSON.parse(text) as { seatbid: { bid: { price: number }[] }[] }).seatbid[0]?.bid[0]?.price ?? 0
      expect(price).toBeLessThanOrEqual(cpmMax)
      dearest = Math.max(dearest, price / 1_000)
      cost += price / 1_000
    } else if (i % 20 === 19 && run.lines.some(line => line.includes('"code":"spending-too-fast"'))) break
  }
  await run.entry('spending-too-fast')
  const minutes = Math.ceil((performance.now() - startMs) / 60_000)
  expect(cost).toBeGreaterThan(0)
  // At first a tenth of what is bid is taken to be billed; each of the two threads may take more than there is once.
  expect(cost).toBeLessThanOrEqual(minutes * 10 * spendPerMinuteMax + 2 * dearest)
  const metrics = await (await fetch(`http://127.0.0.1:${run.adminPort}/metrics`)).text()
  expect(Number(/no_bids\w*\{[^}]*reason="spending-too-fast"[^}]*\} (\d+)/.exec(metrics)?.[1])).toBeGreaterThan(0)
})
