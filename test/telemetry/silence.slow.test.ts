import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { freePort } from '../redis-server.ts'
import { exchangeBytes, RawConnection, rawPost } from '../wire/raw-connection.ts'

/** `npm run test:silence` gives 10; the everyday run takes seconds. */
const MINUTES = Number(process.env.SILENCE_MINUTES ?? 0)
const RUN_MS = MINUTES > 0 ? MINUTES * 60_000 : 4_000
const TENANT = 'acme-outdoor'
const MAIN = fileURLToPath(new URL('../../service/main.ts', import.meta.url))
const STATE_URL = `file:${fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))}`
const BODY = '{"id":"r1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'
const MIB = 1_024 * 1_024

const ends: (() => unknown)[] = []
afterAll(async () => {
  for (const end of ends.reverse()) await end()
})

/** Takes connections and never says a word. */
async function startBlackhole(): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer(socket => sockets.add(socket.on('error', () => undefined)))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  ends.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

interface Running {
  readonly child: ChildProcess
  readonly port: number
  readonly adminPort: number
  readonly pid: number
}

/** Starts a service and reads its stdout until it is ready, and then never again unless asked to. */
async function start(env: Readonly<Record<string, string>>, readsOn: boolean): Promise<Running> {
  const [port, adminPort] = await Promise.all([freePort(), freePort()])
  const ports = { PORT: String(port), ADMIN_PORT: String(adminPort), HOST: '127.0.0.1' }
  const settings = { TENANT_ID: TENANT, TIER_ID: 'gold', REGION: 'local', STATE_URL, BID_THREADS: '1', DRAIN_S: '3' }
  const all = { PATH: process.env.PATH ?? '', ...settings, ...ports, ...env }
  const child = spawn(process.execPath, [MAIN], { env: all, stdio: ['ignore', 'pipe', 'inherit'] })
  ends.push(() => child.kill('SIGKILL'))
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-100_000)
  })
  const begun = performance.now()
  while (!said.includes('"code":"ready"')) {
    if (child.exitCode !== null || performance.now() - begun > 30_000) throw new Error(`it is not ready: ${said}`)
    await sleep(20)
  }
  if (!readsOn) child.stdout.pause()
  return { child, port, adminPort, pid: child.pid ?? 0 }
}

function rssBytes({ pid }: Running): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1_024
}

/** Milliseconds until a bid; undefined where the request was shed, which a machine that stands still does to any. */
async function timedBid(connection: RawConnection): Promise<number | undefined> {
  const begun = performance.now()
  connection.write(rawPost({ path: `/${TENANT}/openrtb2/adx`, body: BODY }))
  const answer = await connection.answer()
  expect(answer?.status).toBeOneOf([200, 204])
  return answer?.status === 200 ? performance.now() - begun : undefined
}

/** How long a service takes to end in order, with nobody sending it anything. */
async function endMs({ child }: Running): Promise<number> {
  const begun = performance.now()
  child.kill('SIGTERM')
  // Its stdout may never be read to the end: `close` would not come.
  expect(await new Promise(resolve => child.once('exit', resolve))).toBe(0)
  return performance.now() - begun
}

function quantile(values: readonly number[], share: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN
}

test('silent endpoints and a stdout that nobody reads change no bids, memory or end (faults 18, 19)', {
  timeout: RUN_MS + 120_000,
}, async () => {
  const hole = await startBlackhole()
  const sink = MINUTES > 0 ? { METRICS_SINK: 'cloudwatch' } : { METRICS_SINK: 'emf', METRICS_PERIOD_S: '1' }
  const quiet = await start({ METRICS_SINK: 'none' }, true)
  const silenced = await start(
    {
      ...{ OTEL_EXPORTER_OTLP_ENDPOINT: hole, OTEL_METRIC_EXPORT_INTERVAL: '500', OTEL_BSP_SCHEDULE_DELAY: '200' },
      ...{ OTEL_TRACES_SAMPLER: 'always_on', AWS_ENDPOINT_URL: hole },
      ...{ AWS_ACCESS_KEY_ID: 'none', AWS_SECRET_ACCESS_KEY: 'none', ...sink },
    },
    false,
  )
  // More than the pipe holds: each of them is a line of the audit stream.
  for (let i = 0; i < 400; i++) await fetch(`http://127.0.0.1:${silenced.adminPort}/stops`)

  const connections = [await RawConnection.open(quiet.port), await RawConnection.open(silenced.port)] as const
  const times: readonly [number[], number[]] = [[], []]
  const shed = [0, 0]
  for (let i = 0; i < 200; i++) for (const connection of connections) await timedBid(connection)
  const rssBefore = rssBytes(silenced)
  let rssMax = rssBefore
  const pauseMs = MINUTES > 0 ? 20 : 2
  for (const untilMs = performance.now() + RUN_MS; performance.now() < untilMs; await sleep(pauseMs)) {
    for (const which of [0, 1] as const) {
      const ms = await timedBid(connections[which])
      if (ms === undefined) shed[which]!++
      else times[which].push(ms)
    }
    if (times[0].length % 100 === 0) rssMax = Math.max(rssMax, rssBytes(silenced))
  }
  for (const connection of connections) connection.close()
  const [alone, beside] = times.map(all => {
    return { bids: all.length, p50: quantile(all, 0.5), p90: quantile(all, 0.9), p99: quantile(all, 0.99) }
  })
  const figures = { alone, beside, shed, grownMib: Math.round((rssMax - rssBefore) / MIB) }
  if (MINUTES > 0) console.log(JSON.stringify(figures))

  expect(shed[1], JSON.stringify(figures)).toBeLessThanOrEqual(2 * (shed[0] ?? 0) + times[1].length / 100 + 2)
  expect(beside?.p50, JSON.stringify(figures)).toBeLessThan((alone?.p50 ?? 0) * 1.5 + 0.5)
  expect(beside?.p90, JSON.stringify(figures)).toBeLessThan((alone?.p90 ?? 0) * 2 + 2)
  expect(rssMax - rssBefore).toBeLessThan(64 * MIB)
  expect((await exchangeBytes(silenced.port, 'GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n'))?.status).toBe(200)
  const quietMs = await endMs(quiet)
  // 2 s for the exporters and the log, and what a busy machine takes.
  expect(await endMs(silenced)).toBeLessThan(quietMs + 2_000 + 1_500)
})
