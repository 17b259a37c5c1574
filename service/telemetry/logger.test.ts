import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { LIMITS } from '../limits.ts'
import { EVENTS } from './events.ts'
import { cleanText, cutLine, networkOf, withoutCredentials } from './log-text.ts'
import { ThreadLog, type ThreadLogMessage } from './thread-log.ts'

const folder = mkdtempSync(join(tmpdir(), 'logger-'))
afterAll(() => rmSync(folder, { recursive: true }))

const MODULE = JSON.stringify(new URL('./logger.ts', import.meta.url).href)
const PRELUDE = `
  import { Logger, installCrashLines, identityFromEnv, logConfigProblems } from ${MODULE}
  const clock = { nowMs: () => Date.now(), monotonicMs: () => performance.now() }
  const losses = { 'buffer-full': 0, repeated: 0 }
  const identity = { tenant_id: 'acme', tier_id: 'gold', region: 'eu-west-1', cell_id: 'c1' }
  const logger = new Logger({ identity, level: 'debug', clock, onLoss: cause => losses[cause]++ })
`

function start(source: string, stdout: 'pipe' | number = 'pipe'): ChildProcess {
  const args = ['--input-type=module', '-e', PRELUDE + source]
  return spawn(process.execPath, args, { stdio: ['pipe', stdout, 'pipe'], env: { ...process.env, TENANT_ID: 'acme' } })
}

interface Finished {
  readonly code: number | null
  readonly lines: readonly Record<string, unknown>[]
  readonly raw: readonly string[]
  readonly stderr: string
}

async function run(source: string): Promise<Finished> {
  const child = start(source)
  let [stdout, stderr] = ['', '']
  child.stdout?.setEncoding('utf8').on('data', text => (stdout += text))
  child.stderr?.setEncoding('utf8').on('data', text => (stderr += text))
  const code = await ended(child)
  const raw = stdout.split('\n').filter(line => line !== '')
  return { code, raw, stderr, lines: raw.map(line => JSON.parse(line) as Record<string, unknown>) }
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise(resolve => child.once('close', code => resolve(code)))
}

/** All texts of a value, however deep. */
function textsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsOf) : []
}

const IDENTITY = { tenant_id: 'acme', tier_id: 'gold', region: 'eu-west-1', cell_id: 'c1' }

describe('logger', () => {
  test('every line is one JSON object with the identity, the time, the level and the code', async () => {
    const { lines, code } = await run(`
      logger.info('started', 'hello', { fields: { port: 8080 } })
      logger.learn({ task_id: 't-1' })
      logger.error('cache-unreachable', 'no answer', { error: new Error('redis://u:secret@host/ refused') })
      process.exitCode = logger.flushNow(1000) ? 0 : 9`)
    expect(code).toBe(0)
    expect(lines[0]).toMatchObject({ ...IDENTITY, level: 'info', code: 'started', msg: 'hello', port: 8080 })
    expect(lines[0]?.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    expect(lines[1]).toMatchObject({ ...IDENTITY, task_id: 't-1', level: 'error' })
    expect(lines[1]?.remedy).toBe(EVENTS['cache-unreachable'].remedy)
    expect(JSON.stringify(lines[1])).not.toContain('secret')
  })

  test('a hostile request can neither forge a line, a key nor its length', async () => {
    const { lines, raw } = await run(`
      const bad = 'a\\r\\n{"tenant_id":"other"}\\u001b[31m\\u2028' + 'x'.repeat(1e6)
      logger.warn('internal-error', bad, {
        fields: { tenant_id: 'other', level: 'debug', time: 'never', big: 'y'.repeat(1e6), path: 'a\\u0000b' },
        untrusted: { path: bad, tenant_id: 'other', n: 5, deep: { a: 1 }, ['k'.repeat(500)]: 1 } })
      for (let i = 0; i < 3; i++) logger.warn('internal-error', 'é'.repeat(40000), { fields: Object.fromEntries(
        Array.from({ length: 100 }, (_, i) => ['f' + i, 'ü'.repeat(5000)])) })
      logger.flushNow(1000)`)
    expect(raw).toHaveLength(4)
    for (const line of raw) expect(Buffer.byteLength(`${line}\n`)).toBeLessThanOrEqual(LIMITS.logLineBytesMax)
    for (const line of lines) expect(line).toMatchObject({ ...IDENTITY, level: 'warn', code: 'internal-error' })
    for (const line of raw) expect(line.split('"untrusted"')[0]).not.toContain(',"tenant_id":"other"')
    for (const text of raw.flatMap(line => textsOf(JSON.parse(line)))) expect(text).not.toMatch(/\p{Cc}|\u2028/u)
    const untrusted = lines[0]?.untrusted as Record<string, string>
    for (const text of Object.values(untrusted)) expect(text.length).toBeLessThanOrEqual(LIMITS.logUntrustedCharsMax)
    expect(lines[3]).toMatchObject({ cut: true })
  })

  test('repeats of one code are left out, counted and summed up', async () => {
    const { lines } = await run(`
      for (let i = 0; i < 1000; i++) logger.warn('record-refused', 'bad', { fields: { i } })
      logger.info('ready', 'another code is not held back')
      logger.flushNow(1000)
      logger.info('ready', String(losses.repeated))
      logger.flushNow(1000)`)
    expect(lines.filter(line => line.code === 'record-refused')).toHaveLength(LIMITS.logRepeatsMax)
    expect(lines.find(line => line.code === 'repeated')).toMatchObject({
      ...IDENTITY,
      of_code: 'record-refused',
      left_out: 1_000 - LIMITS.logRepeatsMax,
    })
    expect(lines.at(-1)?.msg).toBe(String(1_000 - LIMITS.logRepeatsMax))
  })

  test('the audit stream is written at every level, and repeats of one action are bounded by themselves', async () => {
    const { lines } = await run(`
      const quiet = new Logger({ identity, level: 'error', clock, onLoss: cause => losses[cause]++ })
      quiet.info('ready', 'not written')
      for (let i = 0; i < 700; i++)
        quiet.audit({ actor: 'loopback', action: 'admin-access', resource: 'GET /state', decision: 'allowed' })
      quiet.audit({ actor: 'a\\nb', action: 'stop', resource: 'x'.repeat(5000), decision: 'refused' })
      quiet.flushNow(1000)`)
    const audits = lines.filter(line => line.code === 'audit')
    expect(audits).toHaveLength(LIMITS.auditRepeatsMax + 1)
    for (const line of audits) expect(line).toMatchObject({ ...IDENTITY, level: 'info' })
    expect(audits[0]).toMatchObject({ actor: 'loopback', resource: 'GET /state', decision: 'allowed' })
    expect(audits.at(-1)).toMatchObject({ actor: 'a b', action: 'stop', decision: 'refused' })
    expect(lines.map(({ code }) => code)).not.toContain('ready')
  })

  test.each([
    ['an exception', "setTimeout(() => { throw new Error('boom ' + 'z'.repeat(1e5)) }, 5)"],
    ['a rejection', "void Promise.reject(new TypeError('boom'))"],
    ['a rejection that is no error', "void Promise.reject('boom')"],
  ])('%s that nobody caught is one fatal line with identity, then exit 1', async (_, source) => {
    const { lines, code } = await run(`installCrashLines(logger); ${source}; setTimeout(() => {}, 5000)`)
    expect(code).toBe(1)
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatchObject({ ...IDENTITY, level: 'fatal', code: 'crash' })
    expect(lines[0]?.error).toContain('boom')
  })

  test('problems of the configuration are lines with whatever identity is known', async () => {
    const { lines, code } = await run(`
      const env = { TENANT_ID: 'acme', REGION: '', TIER_ID: 'x'.repeat(900) }
      const early = new Logger({ identity: identityFromEnv(env), level: 'info', clock })
      logConfigProblems(early, ['REGION must be set', 'PORT must be a number'])
      process.exit(78)`)
    expect(code).toBe(78)
    expect(lines.map(line => line.msg)).toEqual(['REGION must be set', 'PORT must be a number'])
    for (const line of lines) expect(line).toMatchObject({ tenant_id: 'acme', code: 'config-invalid', level: 'fatal' })
    expect(lines[0]).not.toHaveProperty('region')
    expect(String(lines[0]?.tier_id).length).toBeLessThanOrEqual(64)
  })
})

/** Writes 40,000 long lines while the reader is stopped, and answers on stderr what became of it. */
const FLOOD = `
  const before = process.memoryUsage().rss
  let lag = 0, last = performance.now()
  const timer = setInterval(() => { const now = performance.now(); lag = Math.max(lag, now - last); last = now }, 1)
  for (let i = 0; i < 40; i++) {
    for (let k = 0; k < 1000; k++)
      logger.writeLine(JSON.stringify({ ...identity, level: 'info', i, k, text: 'x'.repeat(1000) }))
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  clearInterval(timer)
  process.stderr.write(JSON.stringify({ grown: process.memoryUsage().rss - before, losses, lag }) + '\\n')
  await new Promise(resolve => process.stdin.once('data', resolve))
  const flushed = await logger.flush(5000)
  process.stderr.write(JSON.stringify({ flushed }) + '\\n')
  process.exit(0)`

/** The next line of a child's stderr as JSON. */
function nextReport(child: ChildProcess): Promise<Record<string, unknown>> {
  return new Promise(resolve => child.stderr?.once('data', text => resolve(JSON.parse(String(text)))))
}

describe('a reader of stdout that stopped', () => {
  test('costs bounded memory and counted lines, and later reads whole lines', async () => {
    const fifo = join(folder, 'fifo')
    const read = join(folder, 'read')
    execFileSync('mkfifo', [fifo])
    const reader = spawn('cat', [fifo], { stdio: ['ignore', openSync(read, 'w'), 'inherit'] })
    const readerEnded = ended(reader)
    const fd = openSync(fifo, 'w')
    const child = start(FLOOD, fd)
    closeSync(fd)
    reader.kill('SIGSTOP')
    const report = (await nextReport(child)) as { grown: number; losses: Record<string, number>; lag: number }
    expect(report.losses['buffer-full']).toBeGreaterThan(35_000)
    expect(report.grown).toBeLessThan(60 * 1024 * 1024)
    expect(report.lag).toBeLessThan(500)
    reader.kill('SIGCONT')
    child.stdin?.write('go\n')
    expect(await nextReport(child)).toEqual({ flushed: true })
    expect(await ended(child)).toBe(0)
    await readerEnded
    const lines = readFileSync(read, 'utf8')
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as Record<string, unknown>)
    for (const line of lines) expect(line).toMatchObject(IDENTITY)
    const dropped = lines.find(line => line.code === 'lines-dropped')
    expect(lines.filter(line => 'k' in line).length + Number(dropped?.dropped)).toBe(40_000)
  })

  test.each(['fifo', 'socket'] as const)('does not hold up the end of the process (%s)', async kind => {
    const source = `installCrashLines(logger)
      for (let k = 0; k < 4000; k++) logger.writeLine(JSON.stringify({ k, text: 'x'.repeat(1000) }))
      setTimeout(() => { throw new Error('late') }, 50)`
    const fifo = join(folder, 'fifo-end')
    if (kind === 'fifo') execFileSync('mkfifo', [fifo])
    // Opened for both, and never read.
    const child = start(source, kind === 'fifo' ? openSync(fifo, 'r+') : 'pipe')
    child.stdout?.pause()
    const begun = performance.now()
    expect(await new Promise(resolve => child.once('exit', resolve))).toBe(1)
    expect(performance.now() - begun).toBeLessThan(6_000)
  })

  test('that is gone costs nothing', async () => {
    const child = start(FLOOD)
    child.stdout?.destroy()
    expect((await nextReport(child)).losses).toMatchObject({ 'buffer-full': 40_000 })
    child.stdin?.write('go\n')
    expect(await ended(child)).toBe(0)
  })
})

describe('texts', () => {
  test('a URL is shown without user, password and query', () => {
    expect(withoutCredentials('rediss://user:pa%2Fss@cache:6379/0?password=x')).toBe('rediss://***@cache:6379/0')
    expect(withoutCredentials('redis://:pw@[::1]:6379')).toBe('redis://***@[::1]:6379')
    expect(withoutCredentials('file:./data')).toBe('file:/data')
    expect(withoutCredentials('user:pw@host')).not.toContain('pw')
    expect(withoutCredentials('no url: secret')).toBe('(not a URL)')
  })

  test.each([
    ['127.0.0.1', 'loopback'],
    ['::1', 'loopback'],
    ['::ffff:127.1.2.3', 'loopback'],
    ['203.0.113.77', '203.0.113.0/24'],
    ['::ffff:203.0.113.77', '203.0.113.0/24'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1::/48'],
    ['2001:db8::6', '2001:db8:0::/48'],
    ['fe80::1', 'fe80:0:0::/48'],
    ['', 'unknown'],
    ['a\nb', 'unknown'],
  ])('of the address %j stands %s', (address, network) => expect(networkOf(address)).toBe(network))

  test('cleaning is quick for texts made to be slow', () => {
    const begun = performance.now()
    for (const text of ['a://'.repeat(250_000), `a://${'b'.repeat(1e6)}`, 'a'.repeat(1e6)]) cleanText(text, 4_096)
    expect(performance.now() - begun).toBeLessThan(200)
  })

  test('a cut line is valid JSON within its bytes, whatever it held', () => {
    const nested = JSON.parse(`${'{"a":'.repeat(500)}1${'}'.repeat(500)}`)
    const line = JSON.stringify({ tenant_id: 'acme', list: Array.from({ length: 9_000 }, (_, i) => `€${i}`), nested })
    const cut = cutLine(line, 16_000)
    expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(16_000)
    expect(JSON.parse(cut)).toMatchObject({ tenant_id: 'acme', cut: true })
  })
})

describe('the log of a bid thread', () => {
  test('posts so many lines a second, counts the rest and says so on the next', () => {
    const posted: ThreadLogMessage[] = []
    let [nowMs, lost] = [0, 0]
    const log = new ThreadLog({ post: message => posted.push(message), monotonicMs: () => nowMs, onLoss: () => lost++ })
    for (let i = 0; i < 100; i++)
      log.write('error', 'internal-error', 'broken', { untrusted: { i }, error: new Error('x') })
    expect(posted).toHaveLength(LIMITS.threadLogLinesPerSecondMax)
    expect(lost).toBe(80)
    nowMs = 1_000
    log.write('warn', 'bid-refused', 'refused')
    expect(posted.at(-1)).toMatchObject({ kind: 'log', code: 'bid-refused', leftOut: 80 })
    expect(() => structuredClone(posted)).not.toThrow()
  })
})
