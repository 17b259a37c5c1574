import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { systemClock } from '../foundation/clock.ts'
import { Random } from '../foundation/random.ts'
import { creativeFragment } from '../openrtb/creative-fragment.ts'
import type { Catalog } from '../state/catalog.ts'
import { CatalogBuilder } from '../state/catalog-builder.ts'
import type { GoodDocument } from '../state/validate.ts'
import { createRecorderBlock, Recorder } from '../telemetry/recorder.ts'
import { BidGate, createBidGateMemory } from './bid-gate.ts'
import { BidPath } from './bid-path.ts'
import { BidRoute } from './bid-route.ts'
import { CallerGate } from './caller-gate.ts'
import { createPublicServer } from './public-server.ts'
import { ServedCatalog } from './served-catalog.ts'
import { Serving } from './serving.ts'

const SLAB_BYTES = 1024 * 1024
const BODY = JSON.stringify({ id: 'r1', imp: [{ id: '1', banner: { w: 300, h: 250 } }] })

function documentsOf(creativeId: string): readonly GoodDocument[] {
  const status = 'active'
  const names = { name: 'n', status } as const
  const documents = [
    { kind: 'settings', document: { ...names, timeZone: 'UTC', currency: 'USD' } },
    {
      kind: 'exchanges',
      document: { id: 'adx', ...names, currency: 'USD', noBid: 'empty', gzip: false, networkAllowanceMs: 0 },
    },
    { kind: 'advertisers', document: { id: 'a', name: 'n', domain: 'a.example', categories: [] } },
    { kind: 'campaigns', document: { id: 'c', ...names, advertiserId: 'a' } },
    {
      kind: 'creatives',
      document: {
        ...{ format: 'banner', id: creativeId, ...names, advertiserId: 'a', width: 300, height: 250 },
        ...{ bannerType: 2, secure: true, content: { kind: 'html', html: '<p>ad</p>' } },
      },
    },
    {
      kind: 'lineItems',
      document: {
        ...{ id: 'l', ...names, campaignId: 'c', priority: 1, price: { cpm: 2 } },
        ...{ targeting: {}, creativeIds: [creativeId] },
      },
    },
  ]
  return documents as unknown as readonly GoodDocument[]
}

function catalogOf(creativeId: string, slab: SharedArrayBuffer): Catalog {
  const builder = new CatalogBuilder(creativeFragment)
  for (const good of documentsOf(creativeId)) builder.add(good)
  return builder.finish(slab, { version: creativeId, announcement: 1 })
}

/** A public server as a bid thread has it, on a free port of loopback. */
async function startServer(serving: () => Serving | undefined) {
  const recorder = new Recorder(createRecorderBlock())
  const alarms: string[] = []
  const bidPath = new BidPath({
    recorder,
    pickIndex: new Random(1).pickIndex,
    bidIdPrefix: 'b-',
    alarm: (code, detail) => alarms.push(`${code}: ${detail}`),
  })
  const route = new BidRoute({
    ...{ tenantId: 'acme', bidPath, recorder, serving },
    gate: new BidGate(createBidGateMemory()),
    ...{ nowMs: Date.now, monotonicMs: () => performance.now(), loopLagMs: () => 0, isDraining: () => false },
    callers: new CallerGate({ recorder, forwardedHops: 1, monotonicMs: systemClock.monotonicMs, onRefused: () => {} }),
  })
  const health = { isReady: () => true, isLive: () => true }
  const app = createPublicServer({ tenantId: 'acme', route, health, recorder, keepAliveMs: 60_000 })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const address = app.server.address()
  return { app, alarms, port: typeof address === 'object' && address !== null ? address.port : 0 }
}

function answerOn(socket: Socket): Promise<string> {
  return new Promise(resolve => {
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (/^HTTP\/1\.1 \d+/.test(text) && text.includes('\r\n\r\n')) resolve(text)
    })
  })
}

describe('a catalog that is swapped while a body is on its way', () => {
  const closers: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of closers.splice(0)) await close()
  })

  async function halfSent(serving: () => Serving | undefined) {
    let take = () => {}
    const isTaken = new Promise<void>(resolve => {
      take = resolve
    })
    // A route asks for what serves once it takes a request, and then for its body.
    const { app, alarms, port } = await startServer(() => {
      take()
      return serving()
    })
    const socket = connect(port, '127.0.0.1')
    closers.push(() => socket.destroy())
    closers.push(() => app.close())
    const head = `POST /acme/openrtb2/adx HTTP/1.1\r\nHost: h\r\nContent-Length: ${BODY.length}\r\n\r\n`
    socket.write(head + BODY.slice(0, 20))
    await isTaken
    return { socket, alarms }
  }

  test('answers from the new one, because the slab of the old one may be written anew', async () => {
    const slabs = [new SharedArrayBuffer(SLAB_BYTES), new SharedArrayBuffer(SLAB_BYTES)] as const
    let serving: Serving | undefined = new Serving(new ServedCatalog(catalogOf('old', slabs[0])), Date.now())
    const { socket, alarms } = await halfSent(() => serving)
    serving = new Serving(new ServedCatalog(catalogOf('new', slabs[1])), Date.now())
    new Uint8Array(slabs[0]).fill(0xff)
    socket.write(BODY.slice(20))
    const answer = await answerOn(socket)
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
    expect(answer).toContain('"crid":"new"')
    expect(alarms).toEqual([])
  })

  test('answers 404 when the new one has lost the exchange', async () => {
    const slab = new SharedArrayBuffer(SLAB_BYTES)
    const catalog = catalogOf('only', slab)
    let serving: Serving | undefined = new Serving(new ServedCatalog(catalog), Date.now())
    const { socket } = await halfSent(() => serving)
    serving = new Serving(new ServedCatalog({ ...catalog, header: { ...catalog.header, exchanges: [] } }), Date.now())
    socket.write(BODY.slice(20))
    expect(await answerOn(socket)).toMatch(/^HTTP\/1\.1 404 /)
  })
})
