import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ServiceProcess, startService } from '../../loadtest/service-process.ts'
import { exchangeBytes, RawConnection, rawPost } from './raw-connection.ts'

const TENANT = 'acme-outdoor'
const PATH = `/${TENANT}/openrtb2/adx`
const GOOD = rawPost({ path: PATH, body: '{"id":"r1","imp":[{"id":"1","banner":{"w":300,"h":250}}]}' })
const HEAD = `POST ${PATH} HTTP/1.1\r\nHost: x\r\n`
const SLOW = 5_000
/** 6 s by the server's own clock, see public-server.test.ts; a machine that is busy with something else gets more. */
const CUT_WITHIN_MS = 15_000

let service: ServiceProcess
let port: number

beforeAll(async () => {
  const directory = fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))
  const env = { TENANT_ID: TENANT, STATE_URL: `file:${directory}`, DRAIN_S: '2', BID_THREADS: '2' }
  service = await startService({ env })
  port = Number(new URL(service.url).port)
})
afterAll(async () => {
  expect(await service.stop()).toBe(0)
})

const descriptors = () => readdirSync(`/proc/${service.pid}/fd`).length

/** Ways to be slow: what is sent at once, and what drips after it. */
const WAYS: readonly (readonly [start: string, drip: string])[] = [
  [HEAD, 'X-A: b\r\n'],
  ['POST /', 'a'],
  [`${HEAD}Content-Length: 5000\r\n\r\n{`, ' '],
  [`${HEAD}Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`, '1'],
]

/** Asks for bids one after another until told to stop. @returns how long each took, in ms, by its status */
async function bidsUntil(isOver: () => boolean): Promise<readonly { readonly status: number; readonly ms: number }[]> {
  const answers: { status: number; ms: number }[] = []
  while (!isOver()) {
    const startMs = performance.now()
    const answer = await exchangeBytes(port, GOOD)
    answers.push({ status: answer?.status ?? 0, ms: performance.now() - startMs })
    await sleep(10)
  }
  return answers
}

function percentileMs(answers: readonly { readonly ms: number }[], share: number): number {
  const sorted = answers.map(({ ms }) => ms).sort((one, other) => one - other)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

test('thousands of slow clients are cut, their descriptors come back, and bids go on (fault 27)', {
  timeout: 60_000,
}, async () => {
  const quietUntilMs = performance.now() + 1_500
  const quiet = await bidsUntil(() => performance.now() > quietUntilMs)
  const descriptorsBefore = descriptors()
  const connections: { readonly connection: RawConnection; readonly drip: string }[] = []
  while (connections.length < SLOW) {
    const opened = await Promise.all(
      Array.from({ length: 250 }, async (_, i) => {
        const [start, drip] = WAYS[i % WAYS.length] as readonly [string, string]
        const connection = await RawConnection.open(port)
        connection.write(start)
        return { connection, drip }
      }),
    )
    connections.push(...opened)
  }
  const openedMs = performance.now()
  expect(descriptors()).toBeGreaterThan(descriptorsBefore + SLOW / 2)
  const dripping = setInterval(() => {
    for (const { connection, drip } of connections) if (!connection.isClosed) connection.write(drip)
  }, 1_500)
  let isOver = false
  const closing = Promise.race([
    Promise.all(connections.map(({ connection }) => connection.closed)),
    sleep(CUT_WITHIN_MS),
  ])
  const [answers] = await Promise.all([bidsUntil(() => isOver), closing.then(() => (isOver = true))])
  clearInterval(dripping)
  expect(connections.filter(({ connection }) => !connection.isClosed).length).toBe(0)
  const said =
    `cut after ${((performance.now() - openedMs) / 1e3).toFixed(1)} s; ` +
    `p50 ${percentileMs(quiet, 0.5).toFixed(1)} → ${percentileMs(answers, 0.5).toFixed(1)} ms, ` +
    `p99 ${percentileMs(quiet, 0.99).toFixed(1)} → ${percentileMs(answers, 0.99).toFixed(1)} ms`
  console.log(said)
  // Cut in the order in which they came, and others meanwhile get their bid; a busy machine sheds a few.
  expect(answers.filter(({ status }) => status === 200).length, said).toBeGreaterThan(answers.length * 0.8)
  expect(
    answers.every(({ status }) => status === 200 || status === 204),
    said,
  ).toBe(true)
  await expect.poll(descriptors, { timeout: 10_000 }).toBeLessThan(descriptorsBefore + 20)
})
