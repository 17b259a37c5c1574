import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { freePort } from '../redis-server.ts'

/** What `npm start` runs once packages are there. */
const START = fileURLToPath(new URL('../../service/commands/start.ts', import.meta.url))
const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
/** A start takes a second or two where nothing else runs. */
const LIMIT_MS = 120_000
const TEST_MS = 3 * LIMIT_MS

interface Started {
  readonly said: () => string
  readonly ended: Promise<number | null>
  /** Waits until it has said this. */
  until(words: string): Promise<void>
  interrupt(): void
}

function start(env: Readonly<Record<string, string>>, ...args: readonly string[]): Started {
  const child = spawn(process.execPath, [START, ...args], {
    env: { PATH: process.env.PATH ?? '', ...env },
    stdio: 'pipe',
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', text => (said += text))
  const ended = new Promise<number | null>(resolve => child.once('close', resolve))
  process.once('exit', () => child.kill('SIGKILL'))
  return {
    said: () => said,
    ended,
    until: async words => {
      for (const untilMs = performance.now() + LIMIT_MS; !said.includes(words); await sleep(20))
        if (performance.now() > untilMs) throw new Error(`it did not say ${JSON.stringify(words)}:\n${said}`)
    },
    interrupt: () => child.kill('SIGINT'),
  }
}

/** What the README shows as the answer to a command: JSON over several lines. */
function shownAfter(command: string): object {
  const lines = README.slice(README.indexOf(command)).split('\n')
  const from = lines.findIndex(line => line.startsWith('{'))
  const shown = lines.slice(from, lines.indexOf('', from)).join('')
  return JSON.parse(shown)
}

/** The names of all members, in order, with those inside. */
function namesIn(value: unknown, path = ''): string[] {
  if (Array.isArray(value)) return value.slice(0, 1).flatMap(item => namesIn(item, `${path}[]`))
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, inside]) => [`${path}.${name}`, ...namesIn(inside, `${path}.${name}`)])
}

interface Answer {
  readonly seatbid: readonly { readonly bid: readonly { readonly crid: string }[] }[]
}

/** The answer with this creative: several line items pay the same, and chance decides between them. */
async function answerOf(url: string, body: string, crid: string): Promise<Answer> {
  for (let times = 0; times < 100; times++) {
    const response = await fetch(url, { method: 'POST', body, headers: { 'Content-Type': 'application/json' } })
    const answer = (await response.json()) as Answer
    if (answer.seatbid[0]!.bid[0]!.crid === crid) return answer
  }
  throw new Error(`${crid} is not bid in 100 answers`)
}

interface Look {
  readonly isSample: boolean
  readonly total: { readonly bidRequests: number }
}

/** What a console that opens is told first. */
async function lookAt(adminPort: number): Promise<Look> {
  const answer = await fetch(`http://127.0.0.1:${adminPort}/console/live`)
  const reader = (answer.body as ReadableStream<Uint8Array>).getReader()
  let text = ''
  for (const decoder = new TextDecoder(); !text.includes('\n\n'); )
    text += decoder.decode((await reader.read()).value, { stream: true })
  await reader.cancel()
  return (JSON.parse(/^data: (.*)$/m.exec(text)?.[1] ?? '') as { now: Look }).now
}

type Counts = Readonly<Record<'bids' | 'wins' | 'billed', number>>

async function lineItems(adminPort: number): Promise<readonly Counts[]> {
  const answer = await fetch(`http://127.0.0.1:${adminPort}/line-items?limit=100`)
  return ((await answer.json()) as { rows: readonly Counts[] }).rows
}

const sumOf = (rows: readonly Counts[], what: keyof Counts) => rows.reduce((sum, row) => sum + row[what], 0)

describe('the first minutes', () => {
  test(
    'are as the README tells them: it starts, bids, shows its state, knows no other tenant, and ends',
    async () => {
      const [port, adminPort] = await Promise.all([freePort(), freePort()])
      const service = start({ PORT: String(port), ADMIN_PORT: String(adminPort) })
      await service.until('Ctrl-C ends')
      const [, url = '', body = ''] = /curl -s (\S+) -H 'Content-Type: application\/json' -d '([^']+)'/.exec(
        service.said(),
      )!
      expect(README).toContain(`-d '${body}'`)
      expect(README).toContain(new URL(url).pathname)
      const shown = shownAfter("-d '{") as Answer
      const answer = await answerOf(url, body, shown.seatbid[0]!.bid[0]!.crid)
      expect(namesIn(answer)).toEqual(namesIn(shown))
      const state = await (await fetch(`http://127.0.0.1:${adminPort}/state`)).json()
      expect(namesIn(state)).toEqual(namesIn(shownAfter(':9090/state')))
      const other = await fetch(`http://127.0.0.1:${port}/somebody-else/openrtb2/adx`, { method: 'POST' })
      expect([other.status, await other.text()]).toEqual([404, ''])
      service.interrupt()
      expect(await service.ended).toBe(0)
    },
    TEST_MS,
  )

  test(
    'show traffic at first sight: bids, wins and bills come by themselves, and are said to be made up',
    async () => {
      const [port, adminPort] = await Promise.all([freePort(), freePort()])
      const service = start({ PORT: String(port), ADMIN_PORT: String(adminPort) })
      await service.until('Sample traffic comes')
      expect(service.said()).toContain('"code":"sample-traffic"')
      expect((await lookAt(adminPort)).isSample).toBe(true)
      for (const what of ['bids', 'wins', 'billed'] as const)
        await expect.poll(async () => sumOf(await lineItems(adminPort), what), { timeout: LIMIT_MS }).toBeGreaterThan(0)
      service.interrupt()
      expect(await service.ended).toBe(0)
    },
    TEST_MS,
  )

  test(
    'are quiet for who wants that',
    async () => {
      const [port, adminPort] = await Promise.all([freePort(), freePort()])
      const ports = { PORT: String(port), ADMIN_PORT: String(adminPort) }
      const service = start({ ...ports, TENANT_ID: 'bluebird-games', SAMPLE_TRAFFIC: 'off' })
      await service.until('Ctrl-C ends')
      expect(service.said()).not.toMatch(/sample.traffic/i)
      const now = await lookAt(adminPort)
      expect([now.isSample, now.total.bidRequests]).toEqual([false, 0])
      service.interrupt()
      expect(await service.ended).toBe(0)
    },
    TEST_MS,
  )

  test('leave the budgets of a real tenant alone: its requests are not made up unless they can be', async () => {
    const service = start({ TENANT_ID: 'acme', STATE_URL: 'redis://:secret@127.0.0.1:1', SAMPLE_TRAFFIC: 'on' })
    expect(await service.ended).toBe(78)
    expect(service.said()).toBe(
      'SAMPLE_TRAFFIC=on draws bid requests from the documents of a STATE_URL that begins with file:; ' +
        'leave one of the two out\n',
    )
  })

  test('begin with help for who asks, and not at all for who misspells', async () => {
    const asked = start({}, '--help')
    expect(await asked.ended).toBe(0)
    expect(asked.said()).toContain('SAMPLE_TRAFFIC=off')
    for (const wrong of ['--colour', 'acme-outdoor']) {
      const service = start({}, wrong)
      expect(await service.ended, wrong).toBe(2)
      expect(service.said()).toContain('--help shows how it is used')
    }
  })

  test('with a tenant that is no sample say which there are', async () => {
    const service = start({ TENANT_ID: 'nobody' })
    expect(await service.ended).toBe(78)
    expect(service.said()).toBe(
      'no sample tenant is called "nobody"; give TENANT_ID as one of acme-outdoor, bluebird-games, cinema-now, ' +
        'or STATE_URL as where its state is\n',
    )
  })
})
