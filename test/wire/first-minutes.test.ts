import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { freePort } from '../redis-server.ts'

/** What `npm start` runs once packages are there. */
const START = fileURLToPath(new URL('../../service/commands/start.ts', import.meta.url))
const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
const LIMIT_MS = 20_000

interface Started {
  readonly said: () => string
  readonly ended: Promise<number | null>
  /** Waits until it has said this. */
  until(words: string): Promise<void>
  interrupt(): void
}

function start(env: Readonly<Record<string, string>>): Started {
  const child = spawn(process.execPath, [START], { env: { PATH: process.env.PATH ?? '', ...env }, stdio: 'pipe' })
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

describe('the first minutes', () => {
  test('are as the README tells them: it starts, bids, shows its state, knows no other tenant, and ends', async () => {
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
