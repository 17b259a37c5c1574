import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ServiceProcess, startService } from '../../loadtest/service-process.ts'
import { type RedisServer, startRedis } from '../redis-server.ts'
import { sampleTenant } from '../sample-catalog.ts'
import { exchangeBytes, rawPost } from './raw-connection.ts'

const TENANT = 'acme-outdoor'
const documents = sampleTenant()
const [sample] = documents.lineItems
const campaign = documents.campaigns.find(({ id }) => id === sample?.campaignId)
const banner = documents.creatives.find(
  each => each.format === 'banner' && each.status === 'active' && each.advertiserId === campaign?.advertiserId,
)
if (sample === undefined || campaign === undefined || banner?.format !== 'banner') throw new Error('no sample')
/** Wins every opportunity that its creative fits. */
const winner = {
  ...{ id: 'li-live', name: 'Live', campaignId: campaign.id, status: 'active', priority: 1, price: { cpm: 900 } },
  ...{ targeting: {}, creativeIds: [banner.id] },
}
const body = JSON.stringify({
  id: 'r1',
  imp: [{ id: '1', banner: { w: banner.width, h: banner.height } }],
  site: { domain: 'news.example' },
})

let server: RedisServer
let service: ServiceProcess
let directory: string

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bidcell-changes-'))
  server = await startRedis()
  expect(await publish(fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url)))).toContain('Published version')
  service = await startService({ env: { TENANT_ID: TENANT, STATE_URL: server.url, DRAIN_S: '2', BID_THREADS: '2' } })
})
afterAll(async () => {
  expect(await service.stop()).toBe(0)
  await server.stop()
  await rm(directory, { recursive: true, force: true })
})

/** Runs `npm run publish` as a person does. @returns what it printed */
async function publish(...args: string[]): Promise<string> {
  const command = fileURLToPath(new URL('../../service/commands/publish.ts', import.meta.url))
  const all = [command, ...args, '--to', server.url, '--tenant', TENANT]
  const child = spawn(process.execPath, all, { stdio: ['ignore', 'pipe', 'pipe'] })
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (printed += data.toString()))
  await new Promise(resolve => child.once('exit', resolve))
  return printed
}

async function change(...changes: object[]): Promise<string> {
  const file = join(directory, 'changes.ndjson')
  await writeFile(file, changes.map(each => JSON.stringify(each)).join('\n'))
  return await publish('--changes', file)
}

/** The price that is bid, 0 without a bid. */
async function priceNow(): Promise<number> {
  const port = Number(new URL(service.url).port)
  const answer = await exchangeBytes(port, rawPost({ path: `/${TENANT}/openrtb2/adx`, body }))
  return answer?.status === 200 ? JSON.parse(String(answer.body)).seatbid[0].bid[0].price : 0
}

/** Waits until all of several requests, which go to any bid thread, get what is wanted. */
async function untilAll(holds: (price: number) => boolean): Promise<void> {
  const untilMs = performance.now() + 3_000
  for (;;) {
    const prices = await Promise.all(Array.from({ length: 8 }, priceNow))
    if (prices.every(holds)) return
    if (performance.now() > untilMs) throw new Error(`still ${prices}:\n${service.logLines.slice(-8).join('\n')}`)
    await sleep(20)
  }
}

describe('a change that is published to a service under way', () => {
  test('bids: a new line item, its price, its pause, and its end', async () => {
    const before = await priceNow()
    expect(await change({ put: 'lineItems', record: winner })).toMatch(/^Published 1 change .* as delta 1 of version/)
    await untilAll(price => price === 900)
    await change({ put: 'lineItems', record: { ...winner, price: { cpm: 901 } } })
    await untilAll(price => price === 901)
    await change({ put: 'lineItems', record: { ...winner, status: 'paused' } })
    await untilAll(price => price === before)
    await change({ put: 'lineItems', record: winner }, { put: 'campaigns', record: { ...campaign, name: 'Other' } })
    await untilAll(price => price === 900)
    expect(await change({ delete: 'lineItems', id: winner.id })).toContain('as delta 5')
    await untilAll(price => price === before)
  })

  test('stops all bids when the tenant is paused, and starts them again', async () => {
    await change({ put: 'settings', record: { ...documents.settings, status: 'paused' } })
    await untilAll(price => price === 0)
    await change({ put: 'settings', record: documents.settings })
    await untilAll(price => price > 0)
  })

  test('that is refused says why, and changes nothing', async () => {
    const before = await priceNow()
    const printed = await change({ put: 'lineItems', record: { ...winner, price: { cpm: -1 } } })
    expect(printed).toContain('Nothing published: the changes do not fit.')
    expect(printed).toContain('(li-live) price.cpm: -1: must be')
    await sleep(400)
    expect(await priceNow()).toBe(before)
  })

  test('is in no version that is published later without it', async () => {
    await change({ put: 'lineItems', record: winner })
    await untilAll(price => price === 900)
    expect(await publish(fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url)))).toContain('Superseded ')
    await untilAll(price => price > 0 && price < 900)
    await change({ put: 'lineItems', record: winner })
    await untilAll(price => price === 900)
  })

  test('is there again when the service starts anew', async () => {
    const again = await startService({ env: { TENANT_ID: TENANT, STATE_URL: server.url, BID_THREADS: '1' } })
    const port = Number(new URL(again.url).port)
    const answer = await exchangeBytes(port, rawPost({ path: `/${TENANT}/openrtb2/adx`, body }))
    expect(JSON.parse(String(answer?.body)).seatbid[0].bid[0].price).toBe(900)
    await again.stop()
  })
})
