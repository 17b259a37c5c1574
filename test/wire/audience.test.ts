import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort, type RedisServer, startRedis } from '../redis-server.ts'
import { sampleTenant } from '../sample-catalog.ts'
import { exchangeBytes, rawPost } from './raw-connection.ts'
import { runService, type ServiceRun } from './service-run.ts'

const TENANT = 'acme-outdoor'
const SEGMENT = 'own/vip'
const documents = sampleTenant()
const campaign = documents.campaigns.find(({ id }) => id === documents.lineItems[0]?.campaignId)
const banner = documents.creatives.find(
  each => each.format === 'banner' && each.status === 'active' && each.advertiserId === campaign?.advertiserId,
)
if (campaign === undefined || banner?.format !== 'banner') throw new Error('no sample')
const size = { w: banner.width, h: banner.height }
/** For people in the segment alone; nobody else pays as much. */
const forVips = {
  ...{ id: 'li-vip', name: 'VIPs', campaignId: campaign.id, status: 'active', priority: 1, price: { cpm: 900 } },
  ...{ targeting: { segment: { include: [SEGMENT] } }, creativeIds: [banner.id] },
}

let server: RedisServer
let redis: Redis
let service: ServiceRun
let directory: string

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bidcell-audience-'))
  server = await startRedis()
  redis = new Redis(server.url)
  expect((await run('publish', fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url)))).code).toBe(0)
  const file = join(directory, 'changes.ndjson')
  await writeFile(file, JSON.stringify({ put: 'lineItems', record: forVips }))
  expect(await run('publish', '--changes', file)).toMatchObject({ code: 0 })
  const env = { TENANT_ID: TENANT, STATE_URL: server.url, STATE_COPY_DIR: directory }
  service = await runService({ ...env, DRAIN_S: '2', BID_THREADS: '2' })
  await service.entry('ready')
})
afterAll(async () => {
  service.kill('SIGTERM')
  expect(await service.ended).toBe(0)
  redis.disconnect()
  await server.stop()
  await rm(directory, { recursive: true, force: true })
})

/** Runs a command as a person does. */
async function run(command: string, ...args: string[]): Promise<{ code: number | null; printed: string }> {
  const path = fileURLToPath(new URL(`../../service/commands/${command}.ts`, import.meta.url))
  const child = spawn(process.execPath, [path, ...args, '--to', server.url, '--tenant', TENANT], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (printed += data.toString()))
  const code = await new Promise<number | null>(resolve => child.once('exit', resolve))
  return { code, printed }
}

async function publishUsers(name: string, text: string, ...args: string[]) {
  const file = join(directory, name)
  await writeFile(file, text)
  return await run('publish-audience', file, '--segment', SEGMENT, ...args)
}

function requestAbout(about: object): object {
  return { id: 'r', imp: [{ id: '1', banner: size }], site: { domain: 'news.example' }, ...about }
}

/** Whether the bid for a request is that for people in the segment. */
async function isVip(about: object, port = service.port): Promise<boolean> {
  const body = JSON.stringify(requestAbout(about))
  const answer = await exchangeBytes(port, rawPost({ path: `/${TENANT}/openrtb2/adx`, body }))
  return answer?.status === 200 && JSON.parse(String(answer.body)).seatbid[0].bid[0].price > 500
}

async function liveThreads(): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${service.adminPort}/metrics`)).text()
  return Number(/^bidcell_live_threads\{[^}]*\} (\d+)/m.exec(text)?.[1])
}

/** Waits until several requests, which go to any bid thread, all say the same. */
async function untilAll(about: object, wanted: boolean): Promise<void> {
  const untilMs = performance.now() + 10_000
  for (;;) {
    const found = await Promise.all(Array.from({ length: 6 }, () => isVip(about)))
    if (found.every(each => each === wanted)) return
    if (performance.now() > untilMs) throw new Error(`still ${found}:\n${service.lines.slice(-8).join('\n')}`)
    await sleep(20)
  }
}

describe('an audience', () => {
  const byIds = [
    ['user.buyeruid', { user: { buyeruid: 'b 1' } }],
    ['user.id at its exchange', { user: { id: 'x-2' } }],
    ['an eid of its source', { user: { eids: [{ source: 'id.example', uids: [{ id: 'z' }, { id: 'e-3' }] }] } }],
    ['an eid in the place of 2.5', { user: { ext: { eids: [{ source: 'id.example', uids: [{ id: 'e-3' }] }] } } }],
    ['the advertising id in any case', { device: { ifa: 'ABCD-4' } }],
  ] as const

  test('is published from files, and its users are bid for a moment later, by any of their ids', async () => {
    expect(await isVip(byIds[0][1])).toBe(false)
    const rows = ['\ufeffid,kind,expires', '"b 1",,', 'x-2,user:adx,', 'e-3,eid:id.example,2099-01-01', 'abcd-4,ifa,']
    const outcome = await publishUsers('vips.csv', rows.join('\r\n'))
    expect(outcome.printed).toMatch(
      /^Published 4 rows of segment own\/vip of acme-outdoor as change 1 of its users:\n4 users/,
    )
    expect(outcome.code).toBe(0)
    for (const [, about] of byIds) await untilAll(about, true)
  })

  test.each(byIds)('is not looked at by %s where the request forbids it', async (_, about) => {
    const device = { ...('device' in about ? about.device : {}), lmt: 1 }
    expect(await isVip({ ...about, device })).toBe(false)
    expect(await isVip({ ...about, regs: { coppa: 1 } })).toBe(false)
  })

  test.each([
    ['the same id of another exchange or kind', { user: { id: 'b 1' } }],
    ['the same eid of another source', { user: { eids: [{ source: 'other.example', uids: [{ id: 'e-3' }] }] } }],
    ['no id', {}],
  ])('has nobody by %s', async (_, about) => {
    expect(await isVip(about)).toBe(false)
  })

  test('loses whoever asked to be forgotten at once, and keeps nothing of them', async () => {
    const told = await run('forget', '--user-id', 'b 1')
    expect(told.printed).toMatch(/Forgotten as change 2 of the users of acme-outdoor; 1 of the ids had segments/)
    await untilAll({ user: { buyeruid: 'b 1' } }, false)
    const audits = () => service.lines.filter(line => line.includes('"action":"forget"')).map(line => JSON.parse(line))
    await expect.poll(audits, { timeout: 20_000 }).toHaveLength(1)
    expect(audits()[0]).toMatchObject({ actor: 'publisher', decision: 'allowed', tenant_id: TENANT })
    expect(audits()[0].resource).toMatch(/^[12] of the users, change 2$/)
    expect(await isVip({ user: { id: 'x-2' } })).toBe(true)
    const again = await publishUsers('again.csv', 'b 1\n')
    expect(again.printed).toContain('Left out 1 rows: their users asked to be forgotten.')
    await untilAll({ user: { buyeruid: 'b 1' } }, false)
    const chunks = await redis.keys('*audience:chunk*')
    const stored = (await Promise.all(chunks.map(key => redis.get(key)))).join()
    for (const id of ['b 1', 'x-2', 'e-3', 'abcd']) expect(stored).not.toContain(id)
  })

  test('takes users out, and is replaced', async () => {
    expect(await publishUsers('out.ndjson', '{"id":"x-2","kind":"user:adx"}\n', '--remove')).toMatchObject({ code: 0 })
    await untilAll({ user: { id: 'x-2' } }, false)
    expect(await isVip({ device: { ifa: 'abcd-4' } })).toBe(true)
    expect(await publishUsers('all.ndjson', '{"id":"n-9"}\n\n', '--replace', '--expires-in', '2h')).toMatchObject({
      code: 0,
    })
    await untilAll({ user: { buyeruid: 'n-9' } }, true)
    expect(await isVip({ device: { ifa: 'abcd-4' } })).toBe(false)
  })

  test.each([
    ['who is in it', { user: { buyeruid: 'n-9' } }, true],
    ['somebody else', { user: { buyeruid: 'n-10' } }, false],
    ['who is in it and may not be looked at', { user: { buyeruid: 'n-9' }, regs: { coppa: 1 } }, false],
  ])('is looked at when it is explained what %s is bid for', async (_, about, wins) => {
    const url = `http://127.0.0.1:${service.adminPort}/explain`
    const body = JSON.stringify({ request: requestAbout(about), lineItem: 'li-vip' })
    const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    const text = await answer.text()
    expect(answer.status, text).toBe(200)
    const { winners, others } = JSON.parse(text).impressions[0].lots[0]
    expect(winners.some(({ id }: { id: string }) => id === 'li-vip')).toBe(wins)
    if (!wins) expect(others[0].findings.map(({ what }: { what: string }) => what)).toEqual(['segment'])
    expect(text).not.toContain('n-9')
  })

  test('is known to a bid thread that replaces another', async () => {
    service.inject({ thread: 1, kind: 'throw' })
    await service.entry('thread-lost')
    await expect.poll(liveThreads, { timeout: 20_000 }).toBe(2)
    // Counted as live from its start; it listens a moment later.
    await sleep(1_000)
    for (let i = 0; i < 5; i++) await untilAll({ user: { buyeruid: 'n-9' } }, true)
  })

  test('is in the copy on the disk, with which a task starts when the cache is away', {
    timeout: 180_000,
  }, async () => {
    const index = join(directory, `${TENANT}.users`, 'index')
    const change = JSON.stringify(await redis.hget(`t:{${TENANT}}:state:audience`, 'change'))
    const wait = { timeout: 120_000, interval: 200 }
    await expect.poll(async () => await readFile(index, 'utf8').catch(String), wait).toContain(`"change":${change}`)
    await expect.poll(() => readdir(join(directory, TENANT)).catch(() => []), wait).toContain('lineItems.ndjson')
    const away = `redis://127.0.0.1:${await freePort()}`
    const late = await runService({ TENANT_ID: TENANT, STATE_URL: away, STATE_COPY_DIR: directory, BID_THREADS: '1' })
    try {
      await late.entry('ready')
      expect(await isVip({ user: { buyeruid: 'n-9' } }, late.port)).toBe(true)
      expect(await isVip({ user: { buyeruid: 'b 1' } }, late.port)).toBe(false)
      const told = late.lines.filter(line => line.includes('"state-copy-serves"'))
      expect(told.map(line => line.includes('old copy of users')).toSorted()).toEqual([false, true])
    } finally {
      late.kill('SIGKILL')
      await late.ended
    }
  })

  test('with bad lines is refused with the line, the value and the remedy, unless that is allowed', async () => {
    const bad = ['{"id":"good"}', '{"id":7}', 'nonsense', '{"id":"a","kind":"cookie"}', '{"id":"a","expires":"soon"}']
    const refused = await publishUsers('bad.ndjson', [...bad, `{"id":"${'x'.repeat(5_000)}"}`].join('\n'))
    expect(refused.code).toBe(1)
    for (const told of [
      'line 2: id 7 must be',
      'line 3: "nonsense" must be one JSON object',
      'line 4: kind "cookie" must be',
    ])
      expect(refused.printed).toContain(told)
    for (const told of ['line 5: expires "soon" must be', 'line 6: the line must have at most', '5 bad lines'])
      expect(refused.printed).toContain(told)
    const allowed = await publishUsers('bad.ndjson', bad.join('\n'), '--allow-bad')
    expect(allowed).toMatchObject({ code: 0, printed: expect.stringContaining('Published 1 rows') })
    const unknown = await publishUsers('columns.csv', 'id,email\na,b\n')
    expect(unknown.printed).toContain('column "email" must be one of id, kind, expires')
  })

  test.each([
    [['x.csv', '--segment', 's', '--expires-in', '3w'], /--expires-in must be a whole number and m, h or d/],
    [['x.csv', '--segment', 's', '--id-kind', 'cookie'], /--id-kind must be buyeruid, ifa/],
    [['x.csv', '--segment', 's'], /cannot read x\.csv/],
  ])('is not published where arguments are wrong: %j', async (args, message) => {
    const { code, printed } = await run('publish-audience', ...args)
    expect(printed).toMatch(message)
    expect(code).toBe(2)
  })
})
