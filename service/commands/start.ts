/**
 * `npm start`: the service with a sample tenant from files, sample traffic for it, and what to try next. Settings from
 * the environment win, so that the same command also runs against a real cache.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { CommandProblem, newCommand, runCommand } from './terminal.ts'

/** A tenant per folder. */
const SAMPLES = fileURLToPath(new URL('../../test/tenants/', import.meta.url))
const SERVICE = fileURLToPath(new URL('../main.ts', import.meta.url))
const TRAFFIC = fileURLToPath(new URL('../../loadtest/sample-traffic.ts', import.meta.url))
const EXIT_CONFIG = 78
const DEFAULT_PORT = '8080'

const given = Object.fromEntries(Object.entries(process.env).filter(([, value]) => value !== ''))
const tenantId = given.TENANT_ID ?? 'acme-outdoor'
const samples = readdirSync(SAMPLES)
const others = samples.filter(name => name !== tenantId)

const HELP = `
Settings are environment variables; these change what it starts with:
  TENANT_ID=NAME      one of ${samples.join(', ')}
  STATE_URL=URL       a tenant of your own; then there is no sample traffic unless you ask for it
  SAMPLE_TRAFFIC=off  only bid requests of your own come
  SAMPLE_TRAFFIC=on   made-up bid requests come to a tenant of your own, too, and spend its budgets
  PORT, ADMIN_PORT    else ${DEFAULT_PORT} and 9090
REFERENCE.md has all of them.

Exit codes: 0 ended as asked · 2 wrong arguments · ${EXIT_CONFIG} a setting is wrong · 1 it failed`

const command = newCommand('start', 'Runs the service with a sample tenant, and sends it sample traffic.')
  .addHelpText('after', HELP)
  .action(start)

/** The documents that sample traffic is drawn from; undefined where there is to be none. */
function trafficFolder(): string | undefined {
  const { STATE_URL: url, SAMPLE_TRAFFIC: wanted = url === undefined ? 'on' : 'off' } = given
  if (wanted !== 'on') return undefined
  if (url === undefined) return `${SAMPLES}${tenantId}`
  if (URL.canParse(url) && new URL(url).protocol === 'file:') return fileURLToPath(url)
  const problem = 'SAMPLE_TRAFFIC=on draws bid requests from the documents of a STATE_URL that begins with file:'
  throw new CommandProblem(`${problem}; leave one of the two out`, EXIT_CONFIG)
}

/** What the service is started with. @param spendFolder of a sample tenant: its budgets last as long as the process */
function settings(spendFolder: string | undefined, hasTraffic: boolean): Record<string, string | undefined> {
  const defaults = {
    TENANT_ID: tenantId,
    TIER_ID: 'local',
    REGION: 'local',
    STATE_URL: `file:${SAMPLES}${tenantId}`,
    HOST: '127.0.0.1',
    METRICS_SINK: 'none',
    SAMPLE_TRAFFIC: hasTraffic ? 'on' : 'off',
    // Nobody has to look away here.
    DRAIN_S: '2',
  }
  const money = {
    PUBLIC_URL: `http://127.0.0.1:${given.PORT ?? DEFAULT_PORT}`,
    NOTICE_KEYS: `start:${randomBytes(32).toString('hex')}`,
    SPEND_URL: `file:${spendFolder}`,
  }
  return { ...defaults, ...(spendFolder === undefined ? {} : money), ...given }
}

function start(): void {
  if (given.STATE_URL === undefined && !existsSync(`${SAMPLES}${tenantId}`)) {
    const remedy = `give TENANT_ID as one of ${others.join(', ')}, or STATE_URL as where its state is`
    throw new CommandProblem(`no sample tenant is called ${JSON.stringify(tenantId)}; ${remedy}`, EXIT_CONFIG)
  }
  const folder = trafficFolder()
  const spendFolder = given.STATE_URL === undefined ? mkdtempSync(join(tmpdir(), 'bidcell-spend-')) : undefined
  const env = settings(spendFolder, folder !== undefined)
  const service = spawn(process.execPath, [SERVICE], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  let traffic: ChildProcess | undefined
  createInterface({ input: service.stdout }).on('line', line => {
    const entry = show(line)
    if (entry.code !== 'ready') return
    const url = `http://127.0.0.1:${entry.port}/${tenantId}`
    if (folder !== undefined)
      traffic = spawn(process.execPath, [TRAFFIC, url, folder], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    tell(url, entry.admin_port, folder !== undefined)
  })
  const stop = (signal: NodeJS.Signals): void => {
    traffic?.kill()
    // A terminal sends Ctrl-C to the service, too; everybody else sends it here only.
    if (signal !== 'SIGINT' || !process.stdin.isTTY) service.kill(signal)
  }
  process.on('SIGTERM', stop).on('SIGINT', stop)
  service.on('exit', code => {
    traffic?.kill()
    if (spendFolder !== undefined) rmSync(spendFolder, { recursive: true, force: true })
    process.exitCode = code ?? 1
  })
}

function tell(url: string, adminPort: unknown, hasTraffic: boolean): void {
  const request = '{"id":"1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'
  const traffic = hasTraffic
    ? `
Sample traffic comes: 5 to 10 made-up bid requests a second; some of what is bid is won, billed and clicked.
Without it: SAMPLE_TRAFFIC=off npm start
`
    : ''
  process.stdout.write(`
Bidcell serves tenant ${tenantId}. Send it a bid request:

  curl -s ${url}/openrtb2/adx -H 'Content-Type: application/json' -d '${request}'

  console    http://127.0.0.1:${adminPort}/console
  readiness  ${url}/health/ready
  metrics    http://127.0.0.1:${adminPort}/metrics
  state      http://127.0.0.1:${adminPort}/state
${traffic}
Edit a file of the tenant and it is loaded within a second or two. Ctrl-C ends.
Other sample tenants: ${others.map(name => `TENANT_ID=${name} npm start`).join(', ')}.

`)
}

/** On a terminal a line for people, otherwise the line as it is. @returns its fields; none where it is not ours */
function show(line: string): Readonly<Record<string, unknown>> {
  let entry: Record<string, unknown> = {}
  try {
    entry = JSON.parse(line)
  } catch {
    // A line that is not ours is shown as it is.
  }
  const isOurs = typeof entry.msg === 'string'
  if (process.stdout.isTTY && isOurs) {
    const { time, level, tenant_id: _, tier_id: _tier, region: _region, msg, ...rest } = entry
    process.stdout.write(`${String(time).slice(11, 23)} ${level} ${msg} ${JSON.stringify(rest)}\n`)
  } else process.stdout.write(`${line}\n`)
  return entry
}

await runCommand(command)
