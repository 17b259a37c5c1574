/** `npm run replay -- FILE.ndjson`: sends recorded and drawn requests and judges every answer as an exchange would. */

import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  bad,
  CommandProblem,
  EXIT,
  newCommand,
  runCommand,
  startProgress,
  styled,
  table,
} from '../service/commands/terminal.ts'
import { tenantIdProblem } from '../service/config.ts'
import { Random } from '../service/foundation/random.ts'
import { TenantDirectoryError } from '../service/remote-cache/tenant-directory.ts'
import { addedCounts, Client, labelledCounts } from './client.ts'
import { diverseRequests } from './diverse-traffic.ts'
import { summaryOf } from './histogram.ts'
import { TargetRefused } from './loopback.ts'
import { MALFORMED_WAYS } from './malformed.ts'
import { type Offence, type ReplayFindings, type ReplayOptions, replayMalformed, replayRecorded } from './replay-run.ts'
import { ServiceFailure, startService } from './service-process.ts'
import { ratesOf, readTenantRecords, type TenantRecords } from './tenant-records.ts'
import { RecordedProblem, type RecordedRequest, readRecorded } from './workload.ts'

interface Options {
  readonly url?: string
  readonly adminUrl?: string
  readonly tenantDir: string
  readonly exchange?: string
  readonly drawn: string
  readonly variants: boolean
  readonly seed: string
  readonly explain: boolean
}

/** A service that answers, ours or another's. */
interface Served {
  readonly url: string
  readonly adminUrl: string | undefined
  isAlive(): Promise<boolean>
  stop(): Promise<unknown>
}

const OFFENCES_SHOWN = 40
const PARALLEL = 4
const TIMEOUT_MS = 10_000
const SAMPLE = fileURLToPath(new URL('../test/tenants/acme-outdoor', import.meta.url))

async function readAll(file: string): Promise<readonly RecordedRequest[]> {
  const found: RecordedRequest[] = []
  try {
    for await (const request of readRecorded(file)) found.push(request)
  } catch (error) {
    const isFileError = error instanceof Error && 'code' in error
    if (error instanceof RecordedProblem || isFileError) throw new CommandProblem(`${file}: ${error.message}`)
    throw error
  }
  if (found.length === 0) throw new CommandProblem(`${file} has no request; give one JSON object a line`)
  return found
}

async function readDocuments(directory: string): Promise<TenantRecords> {
  try {
    return await readTenantRecords(directory)
  } catch (error) {
    if (error instanceof TenantDirectoryError) throw new CommandProblem(`${directory}: ${error.message}`)
    throw error
  }
}

/** The exchange whose path is used: the one named, else Prebid Server's when the tenant has it, else the first. */
function exchangeOf(records: TenantRecords, named: string | undefined): string {
  const active = records.exchanges.filter(each => each.status === 'active').map(each => each.id)
  const found = named ?? (active.includes('prebid') ? 'prebid' : active[0])
  if (found === undefined) throw new CommandProblem('the tenant has no active exchange; name one with --exchange')
  return found
}

async function serve({ url, adminUrl, tenantDir }: Options): Promise<Served> {
  if (url !== undefined) {
    const client = new Client(url, { connections: 1, timeoutMs: TIMEOUT_MS })
    const isAlive = async () => 'status' in (await client.send('GET', '/health/live'))
    return { url, adminUrl, isAlive, stop: async () => client.close() }
  }
  const tenantId = basename(resolve(tenantDir))
  const problem = tenantIdProblem(tenantId)
  if (problem !== undefined)
    throw new CommandProblem(`${tenantDir}: the directory's name is the tenant id and ${problem}`)
  // With notices, as in production: without them nothing bids that is capped or has a budget.
  const spendFolder = await mkdtemp(join(tmpdir(), 'bidcell-replay-'))
  const remove = () => rm(spendFolder, { recursive: true, force: true })
  const money = { PUBLIC_URL: 'https://ads.example', NOTICE_KEYS: `replay:${randomBytes(32).toString('hex')}` }
  const env = { TENANT_ID: tenantId, STATE_URL: `file:${resolve(tenantDir)}`, SPEND_URL: `file:${spendFolder}` }
  const service = await startService({ env: { ...env, ...money, LOG_LEVEL: 'warn' } }).catch(async (error: unknown) => {
    await remove()
    throw error
  })
  const stop = async () => {
    await service.stop()
    await remove()
  }
  return { url: service.url, adminUrl: service.adminUrl, isAlive: async () => service.isAlive(), stop }
}

async function replay(file: string | undefined, options: Options): Promise<void> {
  if (!/^\d{1,9}$/.test(options.seed)) throw new CommandProblem('--seed must be a whole number from 0 to 999999999')
  if (!/^\d{1,6}$/.test(options.drawn)) throw new CommandProblem('--drawn must be a whole number from 0 to 999999')
  const count = Number(options.drawn)
  if (file === undefined && count === 0) throw new CommandProblem('give a file, or --drawn with a number of requests')
  const recorded = file === undefined ? [] : [...(await readAll(file))]
  const records = await readDocuments(options.tenantDir)
  const exchange = exchangeOf(records, options.exchange)
  const drawn = diverseRequests(records, { count, exchange, random: new Random(Number(options.seed)) })
  recorded.push(...drawn)
  const served = await serve(options).catch((error: unknown) => {
    throw error instanceof TargetRefused ? new CommandProblem(error.message) : error
  })
  const client = new Client(served.url, { connections: PARALLEL, timeoutMs: TIMEOUT_MS })
  const currency = records.exchanges.find(({ id }) => id === exchange)?.currency ?? 'USD'
  const settings = { client, path: `/openrtb2/${exchange}`, rates: ratesOf(records), currency, parallel: PARALLEL }
  try {
    const sources = [
      file === undefined ? '' : `${recorded.length - count} recorded requests`,
      count === 0 ? '' : `${count} drawn ones (seed ${options.seed})`,
    ]
    console.log(`${sources.filter(text => text !== '').join(' and ')} to ${served.url}${settings.path}`)
    let good = await replayOnce(recorded, settings, served, options.explain)
    if (options.variants) good = (await variants(recorded, settings, Number(options.seed))) && good
    if (!(await served.isAlive())) {
      console.error(bad('The service is dead.'))
      good = false
    }
    process.exitCode = good ? EXIT.good : EXIT.bad
  } finally {
    client.close()
    await served.stop()
  }
}

type Settings = Omit<ReplayOptions, 'onProgress' | 'onAnswer'>

async function replayOnce(
  recorded: readonly RecordedRequest[],
  settings: Settings,
  { adminUrl }: Served,
  explain: boolean,
): Promise<boolean> {
  const counts = async () => (adminUrl === undefined ? undefined : await labelledCounts(adminUrl, 'no_bids', 'reason'))
  const before = await counts()
  let last = before
  const explained: (readonly string[])[] = [['recorded request without a bid', 'reasons']]
  const onAnswer = async (source: string, missed: boolean): Promise<void> => {
    const now = await counts()
    if (missed && last && now)
      explained.push([
        source,
        addedCounts(last, now)
          .map(([reason]) => reason)
          .join(', '),
      ])
    last = now
  }
  const progress = startProgress('Replaying', recorded.length)
  const once = explain ? { parallel: 1, onAnswer } : {}
  const findings = await replayRecorded(recorded, { ...settings, ...once, onProgress: progress.update })
  progress.stop()
  const after = await counts()
  showFindings(findings)
  if (before && after) showReasons(addedCounts(before, after))
  else console.log(styled('dim', 'No-bid reasons: no admin port to ask; give it with --admin-url.'))
  if (explain) console.log(`\n${table(explained)}`)
  return showOffences(findings)
}

async function variants(recorded: readonly RecordedRequest[], settings: Settings, seed: number): Promise<boolean> {
  console.log(`\n${MALFORMED_WAYS.length} malformed variants of each (seed ${seed})`)
  const progress = startProgress('Replaying variants', recorded.length * MALFORMED_WAYS.length)
  const findings = await replayMalformed(recorded, seed, { ...settings, onProgress: progress.update })
  progress.stop()
  showFindings(findings)
  return showOffences(findings)
}

function showFindings(findings: ReplayFindings): void {
  const { p50, p90, p99, max } = summaryOf(findings.latencyUs)
  const percent = (part: number, whole: number) => (whole === 0 ? '–' : `${((100 * part) / whole).toFixed(1)} %`)
  const { biddable, biddableWithBid } = findings
  const rows = [
    ['answers', ''],
    ...Object.entries(findings.statuses).map(([status, count]) => [`  status ${status}`, String(count)]),
    ['requests with a bid', `${findings.requestsWithBid} of ${findings.sent}`],
    ['  of those with enough to bid on', `${biddableWithBid} of ${biddable} (${percent(biddableWithBid, biddable)})`],
    ['bids', String(findings.bids)],
    ['latency p50 / p90 / p99 / max, ms', [p50, p90, p99, max].map(us => (us / 1e3).toFixed(2)).join(' / ')],
  ]
  console.log(table(rows))
}

function showReasons(reasons: ReturnType<typeof addedCounts>): void {
  const rows = reasons.map(([reason, count]) => [`  ${reason}`, String(count)])
  console.log(table([['impressions without a bid, by reason', ''], ...rows]))
}

/** What each judge says. @returns whether neither found anything wrong */
function showOffences({ sent, responses, offences }: ReplayFindings): boolean {
  const byRules = offences.filter(({ broken }) => broken.length > 0).length
  const bySchema = offences.filter(({ faults }) => faults.length > 0).length
  const unanswered = offences.filter(({ failure }) => failure !== undefined).length
  const rows = [
    ['judges', 'refused'],
    ['  acceptance rules of an exchange', `${byRules} of ${sent - unanswered} answers`],
    ['  JSON Schema of the specification and of the request', `${bySchema} of ${responses} bid responses`],
  ]
  console.log(table(rows))
  if (offences.length === 0) {
    console.log(styled('green', 'No acceptance rule broken, no schema broken, no 5xx, no request without an answer.'))
    return true
  }
  console.error(bad(`${offences.length} answers are not acceptable:`))
  for (const offence of offences.slice(0, OFFENCES_SHOWN)) console.error(offenceText(offence))
  if (offences.length > OFFENCES_SHOWN) console.error(`  … and ${offences.length - OFFENCES_SHOWN} more`)
  return false
}

function offenceText({ source, broken, faults, failure }: Offence): string {
  const lines = broken.map(({ rule, found, bidId }) => `    ${rule}${bidId ? ` (bid ${bidId})` : ''}: ${found}`)
  for (const fault of faults) lines.push(`    schema ${fault}`)
  if (failure !== undefined) lines.push(`    no answer: ${failure}`)
  return [`  ${source}`, ...lines].join('\n')
}

const command = newCommand('replay', 'Sends recorded bid requests and judges every answer as an exchange would.')
  .argument('[file]', 'one JSON object a line: a bid request, or {"source", "request"}')
  .option('--drawn <number>', "so many requests more, drawn around the tenant's line items in many dialects", '0')
  .option('--url <url>', "the tenant's URL of a running service, like http://127.0.0.1:8080/acme; else one is started")
  .option('--admin-url <url>', 'admin port of that service, to tell no-bid reasons')
  .option('--tenant-dir <dir>', 'tenant documents: what a started service loads, and the rates for floors', SAMPLE)
  .option('--exchange <id>', 'exchange in whose name they are sent (prebid when the tenant has it, else the first)')
  .option('--variants', 'send malformed variants of each, too: 400 or a valid answer is right', false)
  .option('--seed <number>', 'for the variants and what is drawn', '1')
  .option('--explain', 'tell the reasons for each request that had enough to bid on and got no bid', false)
  .addHelpText('after', '\nExit codes: 0 every answer good, 1 an invalid bid, a 5xx or no answer, 2 usage.')
  .action(replay)

try {
  await runCommand(command)
} catch (error) {
  if (!(error instanceof ServiceFailure)) throw error
  console.error(bad(error.message))
  process.exitCode = EXIT.bad
}
