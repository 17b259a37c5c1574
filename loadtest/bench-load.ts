/**
 * `npm run bench:load`: from a version in Redis to a task that is ready, beside the raw speed of reading its bytes.
 * A real Redis, a real publish, the real service process; rounds of both, interleaved.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { generatedCounts, generateTenant } from '../service/commands/generator.ts'
import { bad, EXIT, newCommand, runCommand, startProgress, table } from '../service/commands/terminal.ts'
import { VersionCompiler } from '../service/compiled-chunks.ts'
import { stateKeys } from '../service/remote-cache/layout.ts'
import { publishTenant } from '../service/remote-cache/publisher.ts'
import { DOCUMENT_KIND_NAMES } from '../service/state/documents.ts'
import { startRedis } from '../test/redis-server.ts'
import { median } from './bench-engine.ts'
import { benchUsers } from './bench-users.ts'
import { type ServiceProcess, startService } from './service-process.ts'

/** One is published with its compilation, as a publish does; of the other there are only the records. */
const TENANTS = { compiled: 'bench-tenant', records: 'bench-records' } as const
type From = keyof typeof TENANTS
const SEED = 20_261_121
/** From seeing the announcement to ready, for 100,000 line items. */
const PROMISED_MS = { compiled: 1_000, records: 3_000 } as const satisfies Record<From, number>
const PROMISED_LINE_ITEMS = 100_000
const LABELS = { compiled: 'compiled by the publish', records: 'from the JSON alone' } as const
const RAW_IN_FLIGHT = 4
const LOG_TIMEOUT_MS = 5_000

interface Options {
  readonly json: boolean
  readonly lineItems: string
  readonly rounds: string
  readonly users?: string
}

/** One start of the service, in ms; steps of several threads are summed. */
interface Start {
  readonly loadMs: number
  readonly processMs: number
  readonly fetchMs: number
  readonly parseMs: number
  readonly validateMs: number
  readonly buildMs: number
}

function* documentsOf(lineItems: number) {
  let record = 0
  for (const { kind, value } of generateTenant({ lineItems, seed: SEED }))
    yield { kind, value, where: { file: kind, record: record++ } }
}

async function publish(
  url: string,
  from: From,
  lineItems: number,
): Promise<{ version: string; bytes: number; records: number }> {
  const redis = new Redis(url)
  const total = Object.values(generatedCounts(lineItems)).reduce((sum, count) => sum + count, 0)
  const progress = startProgress(`publishing ${from}`, total)
  const outcome = await publishTenant({
    redis,
    tenantId: TENANTS[from],
    documents: documentsOf(lineItems),
    ...(from === 'compiled' ? { compiler: new VersionCompiler() } : {}),
    onProgress: ({ records }) => progress.update(records),
  })
  progress.stop()
  redis.disconnect()
  if (outcome.kind !== 'published') throw new Error(`not published: ${outcome.because}`)
  return { version: outcome.announcement.version, bytes: outcome.bytes, records: outcome.records }
}

/** Reads every chunk of the version as bytes and does nothing with them. @returns ms */
async function readRaw(url: string, version: string): Promise<number> {
  const redis = new Redis(url)
  const keys = stateKeys(TENANTS.records)
  const manifest = JSON.parse((await redis.get(keys.manifest(version))) ?? '{}')
  const wanted = DOCUMENT_KIND_NAMES.flatMap(kind =>
    (manifest.kinds?.[kind]?.chunks ?? []).map((_: unknown, index: number) => keys.chunk(version, kind, index)),
  )
  const startMs = performance.now()
  const reader = async () => {
    for (let key = wanted.shift(); key !== undefined; key = wanted.shift()) await redis.getBuffer(key)
  }
  await Promise.all(Array.from({ length: RAW_IN_FLIGHT }, reader))
  const ms = performance.now() - startMs
  redis.disconnect()
  return ms
}

/** The service's own account of the load, which it writes a moment before or after it is seen to be ready. */
async function loadedLine({ logLines }: ServiceProcess) {
  for (const untilMs = performance.now() + LOG_TIMEOUT_MS; performance.now() < untilMs; await sleep(10))
    for (const line of logLines) if (line.includes('"state-loaded"')) return JSON.parse(line)
  throw new Error(`the service did not say that it loaded:\n${logLines.slice(-10).join('\n')}`)
}

async function startOnce(url: string, from: From): Promise<Start> {
  const startMs = performance.now()
  const service = await startService({
    env: { TENANT_ID: TENANTS[from], STATE_URL: url, BID_THREADS: '1', DRAIN_S: '1', NODE_ENV: 'production' },
    readyTimeoutMs: 120_000,
  })
  const processMs = performance.now() - startMs
  const loaded = await loadedLine(service)
  await service.stop()
  return {
    loadMs: loaded.total_ms,
    processMs,
    fetchMs: loaded.fetch_ms,
    parseMs: loaded.parse_ms,
    validateMs: loaded.validate_ms,
    buildMs: loaded.build_ms,
  }
}

async function benchLoad(options: Options): Promise<void> {
  if (options.users !== undefined)
    return await benchUsers({ users: Number(options.users), rounds: Number(options.rounds) })
  const lineItems = Number(options.lineItems)
  const server = await startRedis()
  try {
    await publish(server.url, 'compiled', lineItems)
    const { version, bytes, records } = await publish(server.url, 'records', lineItems)
    const raw: number[] = []
    const starts: Record<From, Start[]> = { compiled: [], records: [] }
    const progress = startProgress('rounds', Number(options.rounds))
    for (let round = 0; round < Number(options.rounds); round++) {
      raw.push(await readRaw(server.url, version))
      for (const from of ['compiled', 'records'] as const) starts[from].push(await startOnce(server.url, from))
      progress.update(round + 1)
    }
    progress.stop()
    report({ lineItems, bytes, records, raw, starts, json: options.json })
  } finally {
    await server.stop()
  }
}

/** Medians of a few starts. */
function medians(starts: readonly Start[]) {
  const of = (key: keyof Start) => Math.round(median(starts.map(start => start[key])))
  const loads = starts.map(({ loadMs }) => loadMs)
  const spread = { min: Math.min(...loads), max: Math.max(...loads) }
  const steps = (['fetchMs', 'parseMs', 'validateMs', 'buildMs'] as const).map(key => `${key} ${of(key)}`).join(', ')
  return { loadMs: of('loadMs'), processMs: of('processMs'), spread, steps }
}

function report(found: {
  lineItems: number
  bytes: number
  records: number
  raw: readonly number[]
  starts: Record<From, readonly Start[]>
  json: boolean
}): void {
  const { lineItems, bytes, records, raw, starts } = found
  const rawMs = Math.round(median(raw))
  const compiled = medians(starts.compiled)
  const fromRecords = medians(starts.records)
  const row = (what: string, ms: number) => [
    what,
    String(ms),
    (bytes / 1e3 / ms).toFixed(0),
    Math.round((records / ms) * 1e3).toLocaleString('en'),
  ]
  console.log(`${lineItems} line items, ${records} records, ${(bytes / 1e6).toFixed(1)} MB of JSON,`)
  console.log(`${Math.round(bytes / records)} bytes a record, seed ${SEED}, medians of ${raw.length} rounds\n`)
  const rows = [
    ['', 'ms', 'MB/s', 'records/s'],
    row('reading the bytes of the JSON', rawMs),
    row(`announced → ready, ${LABELS.compiled}`, compiled.loadMs),
    row(`process start → ready, ${LABELS.compiled}`, compiled.processMs),
    row(`announced → ready, ${LABELS.records}`, fromRecords.loadMs),
    row(`process start → ready, ${LABELS.records}`, fromRecords.processMs),
  ]
  console.log(table(rows))
  console.log(`\nsteps, threads summed\n  compiled: ${compiled.steps}\n  from JSON: ${fromRecords.steps}`)
  if (found.json) {
    const { loadMs, processMs, spread } = compiled
    console.log(JSON.stringify({ lineItems, bytes, records, rawMs, loadMs, processMs, spread, fromRecords }))
  }
  if (lineItems === PROMISED_LINE_ITEMS) judge({ compiled: compiled.loadMs, records: fromRecords.loadMs })
}

/** Says of both figures what is promised and whether it is kept. */
function judge(loadMs: Record<From, number>): void {
  for (const from of ['compiled', 'records'] as const) {
    const isKept = loadMs[from] < PROMISED_MS[from]
    const line = `announced → ready, ${LABELS[from]}: ${loadMs[from]} ms, promised is less than ${PROMISED_MS[from]} ms`
    if (isKept) console.log(`kept: ${line}`)
    else console.error(bad(`missed: ${line}`))
    if (!isKept) process.exitCode = EXIT.bad
  }
}

await runCommand(
  newCommand('bench:load', 'Measures the start of a task: Redis to ready, beside reading the same bytes.')
    .option('--json', 'end with one line of JSON', false)
    .option('--line-items <count>', 'size of the tenant', '100000')
    .option('--users <count>', 'instead: users of a small tenant, and what they cost')
    .option('--rounds <count>', 'starts of the service', '5')
    .action(benchLoad),
)
