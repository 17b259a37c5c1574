import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../../test/redis-server.ts'
import { CACHE_UNREACHABLE } from './cache-arguments.ts'

const COMMANDS = fileURLToPath(new URL('.', import.meta.url))
const ACME = fileURLToPath(new URL('../../test/tenants/acme-outdoor', import.meta.url))
const AT = ['--at', '2026-11-21T12:00:00Z']
const REQUEST = {
  id: 'r-1',
  imp: [{ id: '1', banner: { w: 300, h: 250 }, bidfloor: 1.5 }],
  site: { domain: 'news.example' },
  device: { geo: { country: 'DEU' } },
}
// biome-ignore lint/suspicious/noControlCharactersInRegex: their absence is what is tested
const CONTROL = /[\u0000-\u0009\u000b-\u001f]/

let scratch = ''
let request = ''
let redis: RedisServer
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'bidcell-explain-'))
  request = join(scratch, 'request.json')
  await writeFile(request, JSON.stringify(REQUEST))
  redis = await startRedis()
})
afterAll(async () => {
  await redis.stop()
  await rm(scratch, { recursive: true })
})

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command as a process of its own, without a terminal. */
function run(command: string, ...args: string[]): Promise<Ended> {
  return new Promise(resolve => {
    const child = execFile(process.execPath, [join(COMMANDS, `${command}.ts`), ...args], (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    )
  })
}

const explain = (...args: string[]) => run('explain', ...args)

describe('explain', () => {
  test.each([
    ['hiker-1', 0, /li-1127 .* wins with/],
    ['hiker-3', 1, /segment: wants none of acme-crm\/bought-30d; request has acme-crm\/bought-30d/],
  ])("looks at the tenant's own audiences: %s", async (buyeruid, code, told) => {
    const file = join(scratch, `${buyeruid}.json`)
    await writeFile(file, JSON.stringify({ ...REQUEST, user: { buyeruid } }))
    const ended = await explain(file, '--tenant-dir', ACME, '--line-item', 'li-1127', ...AT)
    expect(ended.stdout).toMatch(told)
    expect(ended).toMatchObject({ code, stderr: '' })
  })

  test('tells who bids, who is outranked, and what stops the others, without colour', async () => {
    const { code, stdout, stderr } = await explain(request, '--tenant-dir', ACME, ...AT)
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toContain('Impression 1: bid')
    expect(stdout).toMatch(/li-1108 +7 +4\.5 +4\.5 +– +cr-ridge-300x250/)
    expect(stdout).toContain('Outranked (priority, CPM): li-1201 (12, 4.6)')
    expect(stdout).toMatch(/country +li-\d+ wants one of USA, CAN; request has DEU/)
    expect(stdout).toContain('Not looked at: budgets, pacing, frequency caps')
    expect(stdout).not.toMatch(CONTROL)
  })

  test('tells why one line item does not bid, with all checks that it fails, and exits 1', async () => {
    const { code, stdout } = await explain(request, '--tenant-dir', ACME, ...AT, '--line-item', 'li-1101')
    expect(code).toBe(1)
    expect(stdout).toContain('does not bid: no-eligible-line-item stops it, and fails every check below.')
    expect(stdout).toContain('size: creative cr-acme-320x50 is 320x50; place takes 300x250')
    expect(stdout).toContain('country: wants one of USA; request has DEU')
    const outranked = await explain(request, '--tenant-dir', ACME, ...AT, '--line-item', 'li-1201')
    expect(outranked.stdout).toContain('is outranked by li-1108 (priority 7, CPM 4.5).')
    expect(outranked.code).toBe(1)
    expect((await explain(request, '--tenant-dir', ACME, ...AT, '--line-item', 'li-1108')).code).toBe(0)
  })

  test('prints one JSON object with every line item, and exits 1 where nothing is bid', async () => {
    const other = join(scratch, 'other.json')
    await writeFile(other, JSON.stringify({ ...REQUEST, imp: [{ id: 'x', banner: { w: 1, h: 1 } }] }))
    const { code, stdout } = await explain(other, '--tenant-dir', ACME, ...AT, '--json')
    expect(code).toBe(1)
    const told = JSON.parse(stdout) as { impressions: readonly { lots: readonly { others: readonly object[] }[] }[] }
    const lineItems = JSON.parse(await readFile(join(ACME, 'lineItems.json'), 'utf8')) as readonly object[]
    expect(told).toMatchObject({
      requestId: 'r-1',
      exchange: 'adx',
      impressions: [{ reason: 'no-eligible-line-item' }],
    })
    expect(told.impressions[0]?.lots[0]?.others).toHaveLength(lineItems.length)
  })

  test('reads what is announced in the cache, single changes included', async () => {
    const to = ['--to', redis.url, '--tenant', 'acme-outdoor']
    expect((await run('publish', ACME, ...to)).code).toBe(0)
    const changes = join(scratch, 'changes.ndjson')
    await writeFile(changes, '{"delete":"lineItems","id":"li-1108"}\n')
    const from = ['--from', redis.url, '--tenant', 'acme-outdoor', ...AT]
    expect((await explain(request, ...from, '--line-item', 'li-1108')).code).toBe(0)
    expect((await run('publish', '--changes', changes, ...to)).code).toBe(0)
    const { stdout, stderr } = await explain(request, ...from)
    expect(stderr).toBe('')
    expect(stdout).toMatch(/One of these 2 bids, by chance:/)
    expect(stdout).toMatch(/From acme-outdoor at \S+, version \S+ with 1 changes: 47 line items\./)
  })

  test('leaves bad records out as the service does, and says so', async () => {
    const directory = join(scratch, 'bad')
    await cp(ACME, directory, { recursive: true })
    const file = join(directory, 'lineItems.json')
    await writeFile(file, (await readFile(file, 'utf8')).replace('"id": "li-1108"', '"id": "li-1108", "colour": 1'))
    const { stdout } = await explain(request, '--tenant-dir', directory, ...AT)
    expect(stdout).toContain('Bad records are left out (1 problems, see npm run validate).')
    expect(stdout).not.toContain('li-1108')
  })

  test('names what is wrong with its arguments, and the remedy', async () => {
    const wrong: readonly (readonly [readonly string[], string])[] = [
      [[request], 'give either --tenant-dir DIR, or --from redis://… with --tenant ID'],
      [[request, '--from', 'redis://127.0.0.1:1'], '--from needs --tenant ID'],
      [[request, '--from', 'http://x', '--tenant', 'acme'], '--from must be a URL that begins with redis://'],
      [[request, '--tenant-dir', ACME, '--exchange', 'nobody'], 'give --exchange one of: adx,'],
      [[request, '--tenant-dir', ACME, '--line-item', 'li-9'], 'is none of the 48 good ones, such as li-1001'],
      [[request, '--tenant-dir', ACME, '--at', 'yesterday'], '--at must be like 2026-11-21T12:00:00Z, got "yesterday"'],
      [
        [join(ACME, 'lineItems.json'), '--tenant-dir', ACME],
        'would be answered with 400: the body is not a JSON object',
      ],
    ]
    const ended = await Promise.all(wrong.map(([args]) => explain(...args)))
    for (const [i, { code, stdout, stderr }] of ended.entries()) {
      expect([code, stdout], stderr).toEqual([2, ''])
      expect(stderr).toContain(wrong[i]?.[1])
    }
    const away = await explain(
      request,
      '--from',
      'redis://u:hidden@127.0.0.1:1',
      '--tenant',
      'acme',
      '--timeout-ms',
      '50',
    )
    expect([away.code, away.stderr.includes('hidden')]).toEqual([CACHE_UNREACHABLE, false])
  })
})
