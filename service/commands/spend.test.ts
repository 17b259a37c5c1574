import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort, type RedisServer, startRedis } from '../../test/redis-server.ts'
import { accessRules, FINANCE_COMMANDS } from '../remote-cache/access.ts'
import { RedisEventStream } from '../remote-cache/event-stream.ts'
import { RedisLedger } from '../remote-cache/redis-ledger.ts'
import { accountsOf, tallyOf } from '../spend/accounts.ts'

const TODAY = Math.floor(Date.now() / 86_400_000)
const pickIndex = () => 0

let server: RedisServer
let admin: Redis
let folder = ''
let at: readonly string[] = []

beforeAll(async () => {
  const users = (['service', 'finance'] as const).map(
    role => `user acme-${role} on >secret ${accessRules('acme', role).join(' ')}`,
  )
  server = await startRedis({ aclRules: ['user default off', 'user admin on >root ~* &* +@all', ...users] })
  admin = new Redis(server.url.replace('//', '//admin:root@'))
  folder = await mkdtemp(join(tmpdir(), 'bidcell-spend-'))
  at = ['--to', urlOf('finance'), '--tenant', 'acme']
})
afterAll(async () => {
  admin.disconnect()
  await Promise.all([server.stop(), rm(folder, { recursive: true, force: true })])
})

function urlOf(role: string): string {
  return server.url.replace('//', `//acme-${role}:secret@`)
}

async function run(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'spend.ts'), ...args])
  const ended = once(child, 'exit')
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)])
  await ended
  return { code: child.exitCode, out, err }
}

/** Books as the service does: line item and campaign of a bid, and its exchange. */
async function book(): Promise<void> {
  const connection = { url: urlOf('service'), tenantId: 'acme', timeoutMs: 2_000, pickIndex }
  const ledger = new RedisLedger({ ...connection, rememberTaskMs: 60_000, onConnected: () => {} })
  const nothing = { spent: new Map(), leases: [], keys: new Map() }
  const { epoch } = await ledger.rebuild({
    lostEpoch: '',
    newEpoch: 'e1',
    opensAfterMs: 60_000,
    booksAfterMs: 60_000,
    ...nothing,
  })
  for (let i = 0; i < 10; i++) {
    const day = TODAY - (i % 2)
    const [lineItem, exchange] = [i % 3 === 0 ? '1001' : 'li-2', i < 5 ? 'adx' : 'openx']
    const of = { accounts: accountsOf('c-1', lineItem, day), tallies: [tallyOf(exchange, day)] }
    const operation = { kind: 'book', key: `b${i}`, lease: i === 0 ? 'gone' : '', bucket: 1, ...of } as const
    const amount = { amountNanos: 1_500_000, isFlagged: i === 9, rememberMs: 60_000 }
    const answers = await ledger.book({ task: 't', epoch, told: 0 }, [{ ...operation, ...amount }])
    expect(answers).toMatchObject([{ kind: 'done' }])
  }
  ledger.close()
  const stream = new RedisEventStream(connection)
  const event = (number: number) => ({
    key: `b${number}:billing`,
    kind: 'billing',
    task: 't',
    number,
    atMs: 1,
    about: {},
  })
  await stream.append([0, 1, 2, 2, 6].map(event))
  const loss = { ...event(7), key: 'b7:loss', kind: 'loss' }
  await stream.append([{ ...loss, about: { lossReason: 102, minToWin: 2.5 } }])
  await stream.append([{ ...loss, key: 'b8:loss', number: 8 }])
  await stream.close()
}

test('a new tenant is opened once somebody says that it never spent, and then reported', async () => {
  const begin = ['begin', '--to', urlOf('service'), '--tenant', 'acme']
  expect((await run(...begin)).code).toBe(2)
  expect(await run(...begin, '--never-spent')).toMatchObject({ code: 0, out: 'The ledger of acme is open.\n' })
  await book()
  await admin.config('RESETSTAT')
  const { code, out } = await run('report', '--json', ...at)
  expect(code).toBe(0)
  const records = out
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  const found = (kind: string, id: string, day?: number) =>
    records.find(record => record.kind === kind && record.id === id && record.day === day)
  expect(found('campaign', 'c-1')).toMatchObject({ spentNanos: 15_000_000, flaggedNanos: 1_500_000, bookings: 10 })
  expect(found('campaign', 'c-1')).toMatchObject({ lateNanos: 1_500_000, excessNanos: 0, leasedNanos: 0 })
  // An id that looks like a day is none, and its total never ends.
  expect(found('line-item', '1001')).toMatchObject({ spentNanos: 6_000_000 })
  expect(await admin.pttl('t:{acme}:spend:account:l/1001')).toBe(-1)
  expect(await admin.pttl(`t:{acme}:spend:account:l/1001/${TODAY}`)).toBeGreaterThan(60 * 86_400_000)
  expect(found('exchange', 'adx', TODAY)).toMatchObject({ spentNanos: 4_500_000, bookings: 3 })
  const shown = await run('report', '--by', 'exchange', '--days', '1', ...at)
  expect(shown.out.split('\n')[0]).toMatch(
    /^day +what +id +limit +spent +of it late +excess +flagged +leased +given +added +bookings/,
  )
  expect(shown.out).toMatch(/adx +— +0\.004500( +0\.000000){6} +3/)
  expect(shown.out).not.toContain('campaign')
})

test('the event stream is counted with its repetitions and gaps', async () => {
  const { code, out } = await run('events', ...at)
  expect(code).toBe(0)
  expect(out).toMatch(/billing +4/)
  expect(out).toMatch(/loss reason +count\s+102 +1\s+not told +1/)
  expect(out).toContain('1 tasks · 1 repeated entries · 3 events missing between others')
})

test('a statement that agrees is told from one that does not', async () => {
  const date = (day: number) => new Date(day * 86_400_000).toISOString().slice(0, 10)
  const good = join(folder, 'good.csv')
  const lines = [`${date(TODAY)},0.0030,2`, `${date(TODAY)},0.0015,1`, `${date(TODAY - 1)},"0.003",2`]
  await writeFile(good, `Date,Spend,Impressions\r\n${lines.join('\r\n')}\r\n`)
  const agreed = await run('reconcile', good, '--exchange', 'adx', ...at)
  expect([agreed.code, agreed.err]).toEqual([0, ''])
  expect(agreed.out).toContain('2 days of exchanges · 0 differ')
  const bad = join(folder, 'bad.csv')
  await writeFile(bad, `exchange,date,spend\nadx,${date(TODAY)},0.0046\nopenx,${date(TODAY - 1)},0.0045\n`)
  const differing = await run('reconcile', bad, ...at)
  expect(differing.code).toBe(1)
  expect(differing.out).toMatch(/adx +0\.004600 +0\.004500 +-0\.000100 +— +3 +differs/)
  // Both exchanges have days that the statement leaves out.
  expect(differing.out).toContain('4 days of exchanges · 3 differ')
  expect((await run('reconcile', good, '--exchange', 'adx', '--tolerance-percent', '0', ...at)).code).toBe(0)
})

test('finance can do nothing but read what was spent', async () => {
  const stats = await admin.info('commandstats')
  const issued = [...stats.matchAll(/^cmdstat_([^:|]+)[^:]*:calls=\d+/gm)].map(match => match[1] ?? '')
  expect(issued.filter(name => !['config', 'acl', 'info', 'pttl'].includes(name)).toSorted()).toEqual([
    ...FINANCE_COMMANDS,
  ])
  const redis = new Redis(urlOf('finance'), { protocol: 2, disableClientInfo: true, enableReadyCheck: false })
  for (const [command = '', ...args] of [
    ['hset', 't:{acme}:spend:epoch', 'id', 'x'],
    ['get', 't:{acme}:state:announced'],
    ['smembers', 't:{other}:spend:accounts'],
  ])
    await expect(redis.call(command, ...args)).rejects.toThrow(/NOPERM/)
  redis.disconnect()
})

test('line items tell how many bids won, why others lost, and how likely they win', async () => {
  const stream = new RedisEventStream({ url: urlOf('service'), tenantId: 'acme', timeoutMs: 2_000, pickIndex })
  let number = 100
  const told = (bid: string, kind: string, about: Record<string, string | number> = {}) => {
    const ids = { bid, exchange: 'adx', campaign: 'c-9', lineItem: 'li-9' }
    return { key: `${bid}:${kind}`, kind, task: 't', number: number++, atMs: 1, about: { ...ids, ...about } }
  }
  const lost = [1.5, 3, 2.25].map((minToWin, i) => told(`l${i}`, 'loss', { lossReason: 102, minToWin }))
  // Told twice, in two ways, and lost by an exchange that billed it: each bid counts once, and a bill is a win.
  const won = [told('w', 'win'), told('w', 'billing'), told('w', 'impression'), told('w', 'loss', { lossReason: 1 })]
  await stream.append([...lost, ...lost, told('l3', 'loss', { lossReason: 203 }), ...won])
  // This exchange never tells losses: its wins say nothing about how likely one is.
  await stream.append([told('o1', 'billing', { exchange: 'openx' }), told('o2', 'billing', { exchange: 'openx' })])
  await stream.close()
  const { code, out } = await run('losses', ...at)
  expect(code).toBe(0)
  expect(out).toMatch(/^line item +campaign +won +lost +reason +min to win +win probability/)
  expect(out).toMatch(/li-9 +c-9 +3 +3 +102 a higher bid +2\.2500 +28\.6 %\n +1 +203 creative filtered/)
  const [json] = (await run('losses', '--json', ...at)).out.split('\n')
  expect(JSON.parse(json ?? '')).toMatchObject({
    lineItem: 'li-9',
    won: 3,
    lost: { '102': 3, '203': 1 },
    minToWin: 2.25,
  })
})

test.each([
  [['report', '--days', '0'], /--days must be a whole number from 1 to 60, got "0"/],
  [['report', '--by', 'day'], /--by must be one of line-item, campaign, exchange/],
  [['reconcile', 'nothing.csv'], /ENOENT/],
])('%j is told what is wrong, with exit code 2', async (args, problem) => {
  const { code, err } = await run(...args, ...at)
  expect([code, err]).toEqual([2, expect.stringMatching(problem)])
})

test('a cache that is not there is said, without its password', async () => {
  const { code, err } = await run(
    'report',
    '--to',
    `redis://u:hunter2@127.0.0.1:${await freePort()}`,
    '--tenant',
    'acme',
  )
  expect([code, err.includes('hunter2')]).toEqual([69, false])
})
