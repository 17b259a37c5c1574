import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ServiceProcess, startService } from '../../loadtest/service-process.ts'
import { freePort, type RedisServer, startRedis } from '../redis-server.ts'
import { exchangeBytes, rawPost } from './raw-connection.ts'

const TENANT = 'acme-outdoor'
const PATH = `/${TENANT}/openrtb2/openx`
const DIRECTORY = fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))
const USER_ID = 'user-7d3f1c'
const ADDRESSES = ['203.0.113.77', '2001:db8:77::7']

let cache: RedisServer
let redis: Redis
let decoy: Server
let decoyPort: number
let called = 0
let ledger: string
let service: ServiceProcess
let port: number

beforeAll(async () => {
  ;[cache, decoyPort, ledger] = await Promise.all([
    startRedis(),
    freePort(),
    mkdtemp(join(tmpdir(), 'bidcell-outbound-')),
  ])
  redis = new Redis(cache.url)
  decoy = createServer(socket => {
    called++
    socket.destroy()
  }).listen(decoyPort, '127.0.0.1')
  await publish()
  service = await startService({
    env: {
      ...{ TENANT_ID: TENANT, STATE_URL: cache.url, STATE_POLL_MS: '3600000', SPEND_URL: `file:${ledger}` },
      ...{ PUBLIC_URL: 'https://ads.example.com', NOTICE_KEYS: `k1:${'s'.repeat(32)}`, DRAIN_S: '2' },
    },
    nodeFlags: ['--import', fileURLToPath(new URL('./connection-watch.ts', import.meta.url))],
  })
  port = Number(new URL(service.url).port)
})
afterAll(async () => {
  expect(await service.stop()).toBe(0)
  redis.disconnect()
  decoy.close()
  await cache.stop()
  await rm(ledger, { recursive: true, force: true })
})

async function publish(): Promise<void> {
  const command = fileURLToPath(new URL('../../service/commands/publish.ts', import.meta.url))
  const child = spawn(process.execPath, [command, DIRECTORY, '--to', cache.url, '--tenant', TENANT], {
    stdio: 'ignore',
  })
  expect(await new Promise(resolve => child.once('exit', resolve))).toBe(0)
}

/** Commands that the cache has run, without the one that asks. */
async function commandsRun(): Promise<number> {
  const stats = await redis.info('stats')
  return Number(/total_commands_processed:(\d+)/.exec(stats)?.[1])
}

const outbound = () => service.logLines.filter(line => line.startsWith('outbound '))
const statusOf = async (path: string, body = '', headers = {}) =>
  (await exchangeBytes(port, rawPost({ path, body, headers })))?.status

/** A bid request in which everything that can be an address is one where somebody listens. */
function lure(address: string) {
  const url = `http://${address}/pixel.gif`
  return {
    id: 'r1',
    imp: [
      {
        ...{ id: '1', banner: { w: 300, h: 250 }, secure: 0, displaymanager: url, iframebuster: [url] },
        ...{ ext: { url, callback: url }, metric: [{ type: url, value: 1 }], pmp: { deals: [{ id: url }] } },
      },
    ],
    site: { domain: address, page: url, ref: url, content: { url }, publisher: { domain: address, id: url } },
    device: { ip: ADDRESSES[0], ipv6: ADDRESSES[1], ua: `Mozilla/5.0 (${url})`, ifa: USER_ID },
    user: { id: USER_ID, buyeruid: USER_ID, eids: [{ source: address, uids: [{ id: USER_ID }] }] },
    ext: { schain: { nodes: [{ asi: address, sid: url }] }, nurl: url, burl: url },
    source: { pchain: url, ext: { omidpn: url } },
  }
}

describe('an address in a request', () => {
  test('is never connected to, looked up or called (fault 30)', async () => {
    expect(
      outbound().some(line => line.includes(`"port":${cache.port}`)),
      outbound().join('\n'),
    ).toBe(true)
    const before = outbound().length
    const address = `127.0.0.1:${decoyPort}`
    const headers = {
      ...{ Referer: `http://${address}/`, Origin: `http://${address}`, 'X-Forwarded-Host': address, Host: address },
      ...{ 'X-Forwarded-For': ADDRESSES[0], 'X-Original-Url': `http://${address}/`, Via: `1.1 ${address}` },
    }
    const statuses = new Set<number | undefined>()
    for (const named of [address, `decoy.invalid:${decoyPort}`])
      for (let round = 0; round < 5; round++) statuses.add(await statusOf(PATH, JSON.stringify(lure(named)), headers))
    expect([...statuses]).toContain(200)
    const to = encodeURIComponent(`http://${address}/landing`)
    for (const kind of ['notice/win', 'notice/billing', 'event/click', 'event/impression'])
      expect(await statusOf(`/${TENANT}/${kind}/none?to=${to}&s=${'A'.repeat(22)}&url=${to}&p=1`, '', headers)).toBe(
        400,
      )
    expect(await statusOf(`http://${address}/${TENANT}/openrtb2/openx`, '{}')).toBe(404)
    expect(outbound().slice(before)).toEqual([])
    expect(called).toBe(0)
  })
})

describe('a request for another tenant', () => {
  test('costs the cache no command, and neither does one for ours (fault 28)', async () => {
    const before = await commandsRun()
    const body = JSON.stringify(lure('news.example'))
    for (const path of ['/globex/openrtb2/openx', `/${TENANT}/../globex/openrtb2/openx`, '/globex/notice/win/x'])
      for (let round = 0; round < 20; round++)
        expect(await statusOf(path, body, { 'X-Tenant-Id': 'globex', Host: 'globex.example' })).toBe(404)
    for (let round = 0; round < 20; round++) await statusOf(PATH, body)
    // The one that asked before.
    expect((await commandsRun()) - before).toBe(1)
  })
})

describe('the log', () => {
  test('has no user id, address or token, and all of its lines are ours (fault 30)', async () => {
    const answer = await exchangeBytes(port, rawPost({ path: PATH, body: JSON.stringify(lure('news.example')) }))
    const [bid] = JSON.parse(String(answer?.body)).seatbid[0].bid as { burl: string }[]
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the macro as an exchange finds it
    const { pathname, search } = new URL((bid?.burl ?? '').replace('${AUCTION_PRICE}', '99999'))
    const token = pathname.split('/').at(-1) ?? ''
    expect(token.length).toBeGreaterThan(50)
    expect(await statusOf(pathname + search, '', { 'X-Forwarded-For': ADDRESSES[0] })).toBe(204)
    expect(await statusOf(`${pathname.slice(0, -1)}x${search}`)).toBe(400)
    const lines = () => service.logLines.filter(line => !line.startsWith('outbound '))
    await expect.poll(() => lines().some(line => line.includes('price-above'))).toBe(true)
    const secrets = [USER_ID, ...ADDRESSES, token, token.split('~').at(-1) ?? '', 's'.repeat(32)]
    for (const line of lines()) {
      expect(JSON.parse(line), line).toMatchObject({ tenant_id: TENANT, tier_id: 'standard', region: 'local' })
      expect(line.length).toBeLessThan(16 * 1_024)
      for (const secret of secrets) expect(line).not.toContain(secret)
    }
  })
})
