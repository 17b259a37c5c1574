import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BidThreads } from '../../service/bid-threads.ts'
import { generateTenant } from '../../service/commands/generator.ts'
import { createBidGateMemory } from '../../service/http/bid-gate.ts'
import { memoryPlan } from '../../service/memory-plan.ts'
import { creativeFragment } from '../../service/openrtb/creative-fragment.ts'
import { createAudienceMemory } from '../../service/state/audience-table.ts'
import { CatalogBuilder } from '../../service/state/catalog-builder.ts'
import { DOCUMENT_KIND_NAMES, DOCUMENT_KINDS, type TenantDocuments } from '../../service/state/documents.ts'
import { DocumentReader } from '../../service/state/validate.ts'
import { createRecorderBlock, snapshot } from '../../service/telemetry/recorder.ts'
import { COUNTER, shedCounter } from '../../service/telemetry/signals.ts'
import { sampleTenant } from '../sample-catalog.ts'
import { startLoad } from './load.ts'
import { exchangeBytes, rawPost } from './raw-connection.ts'
import { runService } from './service-run.ts'

const TENANT = 'acme-outdoor'
const PATH = `/${TENANT}/openrtb2/adx`
const BODY = '{"id":"r1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'
const MIB = 1_024 * 1_024

const blocks = [createRecorderBlock(), createRecorderBlock()]
const lost: string[] = []
const logged: string[] = []
const threads = new BidThreads({
  forwardedHops: 1,
  certificate: () => undefined,
  ...{ tenantId: TENANT, threads: 2, host: '127.0.0.1', port: 0, keepAliveMs: 60_000 },
  ...{ slabBytes: 16 * MIB, overlaySlabBytes: MIB },
  gate: createBidGateMemory(),
  size: memoryPlan({ limitMib: 1_024, bidThreads: 2 }),
  audience: createAudienceMemory(MIB),
  notices: { publicUrl: undefined, keys: [], priceKeys: [] },
  onNotice: async () => false,
  budgets: undefined,
  caps: undefined,
  recorderBlocks: blocks,
  onBids: () => {},
  onSample: () => {},
  onLog: (_, message) => logged.push(JSON.stringify(message)),
  onStuck: thread => lost.push(`${thread} is stuck`),
  onLost: (thread, error) => lost.push(`${thread}: ${error.message}`),
})
let announcement = 0

/** Builds a catalog where the threads will read it. */
function catalogOf(documents: TenantDocuments) {
  const builder = new CatalogBuilder(creativeFragment)
  const reader = new DocumentReader(good => builder.add(good))
  for (const kind of DOCUMENT_KIND_NAMES)
    for (const [record, value] of [documents[kind]].flat().entries())
      reader.read(kind, value, { file: `${kind}.json`, record })
  announcement++
  return builder.finish(threads.nextSlab(), { version: `v${announcement}`, announcement })
}
const bidStatus = async () => (await exchangeBytes(threads.port, rawPost({ path: PATH, body: BODY })))?.status
const shedCount = () => snapshot({ blocks, gauges: {}, takenAtMs: 0 }).counters[shedCounter('overload')] as number
const requestsOf = (thread: number) =>
  snapshot({ blocks: [blocks[thread - 1] as SharedArrayBuffer], gauges: {}, takenAtMs: 0 }).counters[
    COUNTER.bidRequests
  ] as number
const serves = async () => {
  const statuses = new Set<number | undefined>()
  for (let round = 0; round < 20; round++) statuses.add(await bidStatus())
  return [...statuses]
}
async function until(isTrue: () => boolean): Promise<void> {
  for (const untilMs = performance.now() + 15_000; !isTrue(); await sleep(20))
    if (performance.now() > untilMs) throw new Error('it does not come true')
}

beforeAll(() => threads.start())
afterAll(() => threads.stop())

describe('two bid threads', () => {
  test('answer no-bids on one port before there is a catalog', async () => {
    expect(threads.liveCount).toBe(2)
    expect(await serves()).toEqual([204])
  })

  test('refuse a first catalog that they cannot bid with, and take the next one', async () => {
    await expect(threads.announce(catalogOf({ ...sampleTenant(), exchanges: [] }))).rejects.toThrow(
      'the tenant has no exchange',
    )
    expect(threads.serving).toBeUndefined()
    expect(await serves()).toEqual([204])
    await threads.announce(catalogOf(sampleTenant()))
    expect(await serves()).toEqual([200])
  })

  test('both serve, when there are enough connections', async () => {
    const before = [requestsOf(1), requestsOf(2)]
    for (let round = 0; round < 60; round++) expect(await bidStatus()).toBe(200)
    expect(requestsOf(1)).toBeGreaterThan(before[0] as number)
    expect(requestsOf(2)).toBeGreaterThan(before[1] as number)
  })

  test('take one catalog after another in turns of two slabs, under load', async () => {
    const shedBefore = shedCount()
    const load = startLoad(threads.port, PATH)
    for (let round = 0; round < 20; round++) await threads.announce(catalogOf(sampleTenant()))
    const seen = await load.stop()
    expect(seen.failed).toBe(0)
    // Where other tests have the processors, turns are long, and some of what comes in them is shed.
    const shed = shedCount() - shedBefore
    const { 200: bids = 0, ...others } = Object.fromEntries(seen.statuses)
    expect(others).toEqual(shed > 0 ? { 204: shed } : {})
    expect(bids).toBeGreaterThan(9 * shed)
    expect(threads.serving?.base.header.announcement).toBe(announcement)
  })

  test('serve on with the catalog before one that is refused', async () => {
    const before = threads.serving
    await expect(threads.announce(catalogOf({ ...sampleTenant(), exchanges: [] }))).rejects.toThrow(
      'the tenant has no exchange',
    )
    expect(threads.serving).toBe(before)
    expect(await serves()).toEqual([200])
    await threads.announce(catalogOf(sampleTenant()))
    expect(await serves()).toEqual([200])
  })

  test('that end unasked are replaced on the same port, with the catalog', { timeout: 40_000 }, async () => {
    const { port } = threads
    await threads.kill()
    expect(lost.length).toBe(2)
    expect(threads.liveCount).toBe(0)
    // A catalog that comes while nobody is there does not wait, and the next one finds a slab.
    await threads.announce(catalogOf(sampleTenant()))
    await until(() => threads.liveCount === 2)
    // Given while they start: neither catalog nor answer gets lost between the two.
    for (let round = 0; round < 3; round++) await threads.announce(catalogOf(sampleTenant()))
    expect(threads.port).toBe(port)
    for (const untilMs = performance.now() + 10_000; performance.now() < untilMs; await sleep(50)) {
      const ready = await serves().catch(() => [])
      if (ready.length === 1 && ready[0] === 200) break
    }
    expect(await serves()).toEqual([200])
    for (let round = 0; round < 4; round++) await threads.announce(catalogOf(sampleTenant()))
    expect(await serves()).toEqual([200])
    expect(logged).toEqual([])
  })
})

describe('memory', () => {
  const LINE_ITEMS = 20_000
  let directory: string

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'bidcell-tenant-'))
    const lines = new Map<string, string[]>()
    for (const { kind, value } of generateTenant({ lineItems: LINE_ITEMS, seed: 1 })) {
      const file = `${kind}.${DOCUMENT_KINDS[kind].count === 'one' ? 'json' : 'ndjson'}`
      const known = lines.get(file)
      if (known === undefined) lines.set(file, [JSON.stringify(value)])
      else known.push(JSON.stringify(value))
    }
    for (const [file, texts] of lines) await writeFile(join(directory, file), texts.join('\n'))
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  /** Resident bytes once ready, and the part of them that is the catalog. */
  async function measured(bidThreads: number): Promise<{ rss: number; arena: number }> {
    const url = `file:${directory}`
    const run = await runService({ TENANT_ID: TENANT, STATE_URL: url, BID_THREADS: String(bidThreads), DRAIN_S: '1' })
    try {
      await run.entry('ready')
      await sleep(500)
      const answer = await fetch(`http://127.0.0.1:${run.adminPort}/state`)
      const { arenaBytes, lineItems } = (await answer.json()) as { arenaBytes: number; lineItems: number }
      expect(lineItems).toBeGreaterThan(LINE_ITEMS / 2)
      return { rss: run.rssBytes(), arena: arenaBytes }
    } finally {
      run.kill('SIGTERM')
      expect(await run.ended).toBe(0)
    }
  }

  test('holds state once, however many threads', { timeout: 60_000 }, async () => {
    const one = await measured(1)
    const four = await measured(4)
    const perThread = (four.rss - one.rss) / 3
    const said = `1: ${one.rss / MIB} MiB, 4: ${four.rss / MIB} MiB, catalog ${one.arena / MIB} MiB`
    // A thread's own heap, stacks and code, some 35 MiB. The documents as objects of its own would be twice that.
    expect(perThread, said).toBeLessThan(45 * MIB)
    expect(one.arena, said).toBeGreaterThan(5 * MIB)
  })
})
