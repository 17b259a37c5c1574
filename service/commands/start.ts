/**
 * `npm start`: the service with a sample tenant from files, and what to try next. Settings from the environment win,
 * so that the same command also runs against a real cache.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** A tenant per folder. */
const SAMPLES = fileURLToPath(new URL('../../test/tenants/', import.meta.url))
const EXIT_CONFIG = 78
const DEFAULT_PORT = '8080'

const given = Object.fromEntries(Object.entries(process.env).filter(([, value]) => value !== ''))
const tenantId = given.TENANT_ID ?? 'acme-outdoor'
const others = readdirSync(SAMPLES).filter(name => name !== tenantId)
if (given.STATE_URL === undefined && !existsSync(`${SAMPLES}${tenantId}`)) {
  const remedy = `give TENANT_ID as one of ${others.join(', ')}, or STATE_URL as where its state is`
  process.stderr.write(`no sample tenant is called ${JSON.stringify(tenantId)}; ${remedy}\n`)
  process.exit(EXIT_CONFIG)
}

const DEFAULTS = {
  TENANT_ID: tenantId,
  TIER_ID: 'local',
  REGION: 'local',
  STATE_URL: `file:${SAMPLES}${tenantId}`,
  HOST: '127.0.0.1',
  METRICS_SINK: 'none',
  // Nobody has to look away here.
  DRAIN_S: '2',
}

/** Of a sample tenant: bills come to this process, and budgets last as long as it does. */
const spendFolder = given.STATE_URL === undefined ? mkdtempSync(join(tmpdir(), 'bidcell-spend-')) : undefined
const MONEY = {
  PUBLIC_URL: `http://127.0.0.1:${given.PORT ?? DEFAULT_PORT}`,
  NOTICE_KEYS: `start:${randomBytes(32).toString('hex')}`,
  SPEND_URL: `file:${spendFolder}`,
}

const env = { ...DEFAULTS, ...(spendFolder === undefined ? {} : MONEY), ...given }
const service = spawn(process.execPath, [fileURLToPath(new URL('../main.ts', import.meta.url))], {
  env,
  stdio: ['ignore', 'pipe', 'inherit'],
})

function tell(port: unknown, adminPort: unknown): void {
  const base = `http://127.0.0.1:${port}`
  const request = '{"id":"1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'
  process.stdout.write(`
Bidcell serves tenant ${tenantId}. Send it a bid request:

  curl -s ${base}/${tenantId}/openrtb2/adx -H 'Content-Type: application/json' -d '${request}'

  console    http://127.0.0.1:${adminPort}/console
  readiness  ${base}/${tenantId}/health/ready
  metrics    http://127.0.0.1:${adminPort}/metrics
  state      http://127.0.0.1:${adminPort}/state

Edit a file of the tenant and it is loaded within a second or two. Ctrl-C ends.
Other sample tenants: ${others.map(name => `TENANT_ID=${name} npm start`).join(', ')}.

`)
}

/** On a terminal a line for people, otherwise the line as it is. */
function show(line: string): void {
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
  if (entry.code === 'ready') tell(entry.port, entry.admin_port)
}

createInterface({ input: service.stdout }).on('line', show)
// A terminal sends Ctrl-C to the service too; everybody else sends it here only.
process.on('SIGTERM', () => service.kill('SIGTERM'))
process.on('SIGINT', () => {
  if (!process.stdin.isTTY) service.kill('SIGINT')
})
service.on('exit', code => {
  if (spendFolder !== undefined) rmSync(spendFolder, { recursive: true, force: true })
  process.exitCode = code ?? 1
})
