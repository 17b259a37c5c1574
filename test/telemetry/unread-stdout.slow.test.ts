import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { LIMITS } from '../../service/limits.ts'
import { freePort } from '../redis-server.ts'
import { exchangeBytes, rawPost } from '../wire/raw-connection.ts'
import { readLine } from './log-reader.ts'

const TENANT = 'acme-outdoor'
const MAIN = fileURLToPath(new URL('../../service/main.ts', import.meta.url))
const STATE_URL = `file:${fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))}`
const BODY = '{"id":"r1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'
const MIB = 1_024 * 1_024
/** On every line, so that lines are long. */
const LONG = 'x'.repeat(64)
const IDENTITY = { tenant_id: TENANT, tier_id: LONG, region: LONG, cell_id: LONG, infra_group_id: LONG }
/** A stop and a release are lines of the audit stream, each as often as it may be in a minute. */
const PAIRS = LIMITS.auditRepeatsMax
const AT_ONCE = 8
const FULL_MS = 150_000

let child: ChildProcess | undefined
afterAll(() => child?.kill('SIGKILL'))

function rssBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1_024
}

/** Lines that found no room, by the service's own count. */
async function droppedLines(adminPort: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()
  return Number(/^bidcell_log_lines_lost_total\{[^}]*cause="buffer-full"[^}]*\} (\d+)/m.exec(text)?.[1])
}

test('a stdout that nobody reads costs counted lines and nothing else, and says so once it is read', {
  timeout: 240_000,
}, async () => {
  const [port, adminPort] = await Promise.all([freePort(), freePort()])
  const settings = { TENANT_ID: TENANT, TIER_ID: LONG, REGION: LONG, CELL_ID: LONG, INFRA_GROUP_ID: LONG, STATE_URL }
  const ports = { PORT: String(port), ADMIN_PORT: String(adminPort), HOST: '127.0.0.1', BID_THREADS: '1', DRAIN_S: '2' }
  const env = { PATH: process.env.PATH ?? '', ...settings, ...ports, METRICS_SINK: 'emf', METRICS_PERIOD_S: '1' }
  const started = spawn(process.execPath, [MAIN], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  child = started
  const ended = new Promise(resolve => started.once('exit', resolve))
  const isReady = () =>
    fetch(`http://127.0.0.1:${port}/health/ready`).then(
      answer => answer.status,
      () => 0,
    )
  await expect.poll(isReady, { timeout: 60_000 }).toBe(200)
  const rssBefore = rssBytes(started.pid ?? 0)

  const headers = { 'content-type': 'application/json' }
  const stop = (method: 'POST' | 'DELETE', body: string) =>
    fetch(`http://127.0.0.1:${adminPort}/stops`, { method, headers, body }).then(answer => answer.text())
  const floods = Array.from({ length: AT_ONCE }, async (_, which) => {
    const body = JSON.stringify({ lineItem: `${which}${LONG}`.slice(0, 64) })
    for (let i = 0; i < PAIRS / AT_ONCE; i++) for (const method of ['POST', 'DELETE'] as const) await stop(method, body)
  })
  await Promise.all(floods)
  const bid = async () => (await exchangeBytes(port, rawPost({ path: `/${TENANT}/openrtb2/adx`, body: BODY })))?.status
  // What is still missing to fill the buffer, metrics bring: the more that happens, the longer their lines.
  const droppedYet = async () => {
    await Promise.all(Array.from({ length: AT_ONCE }, bid))
    return await droppedLines(adminPort)
  }
  await expect.poll(droppedYet, { timeout: FULL_MS, interval: 100 }).toBeGreaterThan(0)
  const dropped = await droppedLines(adminPort)
  // A machine that stands still sheds one now and then.
  await expect.poll(bid, { timeout: 30_000 }).toBe(200)
  expect(rssBytes(started.pid ?? 0) - rssBefore).toBeLessThan(96 * MIB)

  const lines: string[] = []
  createInterface({ input: started.stdout }).on('line', text => lines.push(text))
  const told = () => lines.map(text => readLine(text, IDENTITY)).filter(({ code }) => code === 'lines-dropped')
  await expect.poll(() => told().length, { timeout: 30_000 }).toBeGreaterThan(0)
  expect(told()[0]?.dropped).toBeGreaterThanOrEqual(dropped)
  started.kill('SIGTERM')
  expect(await ended).toBe(0)
})
