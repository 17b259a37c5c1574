import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { brokenRules } from '../loadtest/acceptance.ts'
import { diverseRequests } from '../loadtest/diverse-traffic.ts'
import { schemaFaults } from '../loadtest/schema-judge.ts'
import { ratesOf, readTenantRecords } from '../loadtest/tenant-records.ts'
import { Random } from '../service/foundation/random.ts'
import { BidPath } from '../service/http/bid-path.ts'
import { ServedCatalog } from '../service/http/served-catalog.ts'
import { Serving } from '../service/http/serving.ts'
import type { Exchange } from '../service/state/exchange-document.ts'
import { createRecorderBlock, Recorder } from '../service/telemetry/recorder.ts'
import { FREEDOMS, spelt } from './random/spelling.ts'
import { compiledTenant, sampleTenant } from './sample-catalog.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const NOW_MS = Date.parse('2026-11-21T12:00:00Z')
const REQUESTS = 600
/** To compile the schema of a request with many impressions costs tens of milliseconds. */
const JUDGED = 150

const catalog = compiledTenant(sampleTenant())
const exchange = new Serving(new ServedCatalog(catalog), NOW_MS).exchange('prebid') as Exchange
const recorder = new Recorder(createRecorderBlock())
const records = await readTenantRecords(fileURLToPath(new URL('tenants/acme-outdoor', import.meta.url)))
const requests = diverseRequests(records, { count: REQUESTS, exchange: 'prebid', random: new Random(SEED) })

/** The answer of a bid path that has answered nothing before, by the same chance each time. */
function answerTo(text: string): { status: number; body: string; alarms: readonly string[] } {
  const alarms: string[] = []
  // Creatives that take turns remember whose turn it is.
  const serving = new Serving(new ServedCatalog(catalog), NOW_MS)
  const path = new BidPath({
    recorder,
    pickIndex: new Random(SEED).pickIndex,
    bidIdPrefix: 'b-',
    alarm: (code, detail) => alarms.push(`${code}: ${detail}`),
  })
  const { status, body } = path.answer(Buffer.from(text), exchange, serving, {
    nowMs: NOW_MS,
    monotonicMs: 0,
    waitedMs: 0,
  })
  return { status, body, alarms }
}

const textOf = ({ status, body, alarms }: ReturnType<typeof answerTo>): string => [status, body, ...alarms].join(' ')

describe(`the answer to a bid request (seed ${SEED})`, () => {
  const answers = requests.map(({ request }) => answerTo(JSON.stringify(request)))
  const plain = answers.map(textOf)

  test('is a bid often enough for the rest to mean something', () => {
    expect(plain.filter(answer => answer.startsWith('200 ')).length).toBeGreaterThan(REQUESTS / 3)
    expect(new Set(plain).size).toBeGreaterThan(REQUESTS / 3)
  })

  test('is taken by both judges, and nothing is alarmed about', () => {
    const rates = ratesOf(records)
    for (const [i, { request, source }] of requests.slice(0, JUDGED).entries()) {
      const { status, body, alarms } = answers[i] as ReturnType<typeof answerTo>
      const headers = { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }
      const asked: unknown = JSON.parse(JSON.stringify(request))
      const broken = brokenRules(asked, { status, headers, bodyText: body }, { rates, currency: exchange.currency })
      const faults = status === 200 ? schemaFaults(asked, body, { rates, currency: exchange.currency }) : []
      expect([...broken, ...faults, ...alarms], `${source}: ${JSON.stringify(request).slice(0, 2_000)}`).toEqual([])
    }
  })

  const ways = [...FREEDOMS.map(freedom => [freedom]), FREEDOMS].map(
    freedoms => [freedoms.join(' and '), freedoms] as const,
  )

  test.each(ways)('is the same whatever the %s', (_name, freedoms) => {
    const random = new Random(SEED + 1)
    for (const [i, { request, source }] of requests.entries()) {
      const text = spelt(request, freedoms, random)
      expect(textOf(answerTo(text)), `${source}: ${text.slice(0, 2_000)}`).toBe(plain[i])
    }
  })

  test('changes with what the request says, so that the tests above can fail', () => {
    const request = { id: 'r', imp: [{ id: '1', banner: { w: 300, h: 250 } }] }
    const other = { ...request, imp: [{ id: '1', banner: { w: 300, h: 600 } }] }
    expect(textOf(answerTo(spelt(other, FREEDOMS, new Random(1))))).not.toBe(textOf(answerTo(JSON.stringify(request))))
  })
})
