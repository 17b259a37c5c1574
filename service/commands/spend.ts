/** `npm run spend -- report | losses | events | reconcile FILE | rebalance | begin`: what a tenant spent and won. */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { type AuctionOutcome, auctionOutcomes } from '../remote-cache/auction-outcomes.ts'
import { spendPrefix } from '../remote-cache/layout.ts'
import { RedisLedger } from '../remote-cache/redis-ledger.ts'
import { eventSummary, type SpendRecord, spendRecords } from '../remote-cache/spend-records.ts'
import {
  CACHE_UNREACHABLE,
  type CacheOptions,
  cacheUrl,
  connectionOptions,
  withCache,
  withCacheOptions,
} from './cache-arguments.ts'
import { rebalance } from './rebalance.ts'
import { type Comparison, compare, readStatement, type StatementLine } from './statement.ts'
import { CommandProblem, EXIT, newCommand, runCommand, table } from './terminal.ts'

const NANOS = 1e9
const DAY_MS = 86_400_000
const KINDS = ['line-item', 'campaign', 'exchange'] as const
const codes = `0 done · 1 the books differ (reconcile) · 2 usage · ${CACHE_UNREACHABLE} cache unreachable`

const command = newCommand('spend', 'Shows what a tenant spent, and holds it against the statements of exchanges.')
command.addHelpText('after', `\nExit codes: ${codes}\n\nAmounts are in the tenant's currency, days in its time zone.`)

function subcommand(name: string, about: string) {
  return withCacheOptions(command.command(name).description(about)).exitOverride()
}

subcommand('report', 'shows what was booked, by day and in total')
  .option('--days <n>', 'how many days back, up to 60', wholeDays, 7)
  .option('--by <kind>', `${KINDS.join(', ')}; all without it`, kindArgument)
  .option('--json', 'one JSON object per line')
  .action(report)
subcommand('events', 'counts what the event stream holds, and what is missing in it').action(events)
subcommand('losses', 'shows by line item how many bids won, why the others lost, and how likely the next one wins')
  .option('--json', 'one JSON object per line')
  .action(losses)
subcommand('reconcile', "holds an exchange's statement against what was booked")
  .argument('<file>', 'CSV with a heading: date (YYYY-MM-DD), spend, and where wanted impressions, exchange')
  .option('--exchange <id>', 'exchange of lines that name none')
  .option('--tolerance-percent <n>', 'by how much the books may differ', percent, 0.1)
  .action(reconcile)
subcommand('rebalance', 'moves unspent budget from the ledger of another cache to the one of --to, once per transfer')
  .requiredOption('--from <url>', 'the other cache, as the service reaches it', cacheUrl)
  .option('--line-item <id>', 'whose budget')
  .option('--campaign <id>', 'whose budget')
  .option('--day <date>', 'the budget of this day, instead of the total')
  .option(
    '--amount <n>',
    'in the currency of the tenant; without it, half of what there is more there than here',
    units,
  )
  .option('--transfer <id>', 'goes on with a transfer that was not finished')
  .action(rebalance)
subcommand('begin', 'opens the ledger of a new tenant at once, instead of after an hour')
  .requiredOption(
    '--never-spent',
    'confirms that this tenant has never spent anything: otherwise budgets are overspent',
  )
  .action(begin)

interface ReportOptions extends CacheOptions {
  readonly days: number
  readonly by?: (typeof KINDS)[number]
  readonly json?: true
}

function wholeDays(given: string): number {
  if (/^\d{1,2}$/.test(given) && Number(given) >= 1 && Number(given) <= 60) return Number(given)
  throw new CommandProblem(`error: --days must be a whole number from 1 to 60, got ${JSON.stringify(given)}`)
}

function kindArgument(given: string): string {
  if (KINDS.some(kind => kind === given)) return given
  throw new CommandProblem(`error: --by must be one of ${KINDS.join(', ')}, got ${JSON.stringify(given)}`)
}

function percent(given: string): number {
  if (/^\d{1,3}(\.\d+)?$/.test(given)) return Number(given)
  throw new CommandProblem(`error: --tolerance-percent must be a number like 0.1, got ${JSON.stringify(given)}`)
}

function units(given: string): number {
  const amount = /^\d{1,7}(\.\d{1,9})?$/.test(given) ? Number(given) : 0
  if (amount > 0) return amount
  throw new CommandProblem(`error: --amount must be a number like 12.5, got ${JSON.stringify(given)}`)
}

async function report(options: ReportOptions): Promise<void> {
  await withCache(options, async connection => {
    // The tenant's today may be tomorrow in UTC.
    const last = Math.floor(Date.now() / DAY_MS) + 1
    const days = [undefined, ...Array.from({ length: options.days + 1 }, (_, i) => last - i)]
    const found: SpendRecord[] = []
    for (const day of days) found.push(...(await connection.run(redis => spendRecords(redis, options.tenant, day))))
    const shown = found.filter(({ kind }) => options.by === undefined || kind === options.by)
    if (options.json) for (const record of shown) console.log(JSON.stringify(record))
    else if (shown.length === 0) console.log(`Nothing was booked for ${options.tenant} in this time.`)
    else console.log(table([HEADING, ...shown.map(reportRow)]))
  })
}

const HEADING = [
  'day',
  'what',
  'id',
  'limit',
  'spent',
  'of it late',
  'excess',
  'flagged',
  'leased',
  'given',
  'added',
  'bookings',
]

function reportRow(record: SpendRecord): string[] {
  const { kind, id, day, spentNanos, lateNanos, excessNanos, flaggedNanos, leasedNanos, bookings } = record
  const { limitNanos, givenNanos, addedNanos } = record
  const limit = limitNanos === undefined ? '—' : amount(limitNanos)
  const parts = [spentNanos, lateNanos, excessNanos, flaggedNanos, leasedNanos, givenNanos, addedNanos].map(amount)
  return [day === undefined ? 'total' : dateOf(day), kind, id, limit, ...parts, String(bookings)]
}

function amount(nanos: number): string {
  return (nanos / NANOS).toFixed(6)
}

function dateOf(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10)
}

async function events(options: CacheOptions): Promise<void> {
  await withCache(options, async connection => {
    const { kinds, losses, repeated, missing, tasks } = await connection.run(redis =>
      eventSummary(redis, options.tenant),
    )
    const rows = [...kinds].map(([kind, count]) => [kind, String(count)])
    console.log(table([['event', 'count'], ...rows]))
    const reasons = [...losses].map(([reason, count]) => [reason === '' ? 'not told' : reason, String(count)])
    if (reasons.length > 0) console.log(`\n${table([['loss reason', 'count'], ...reasons])}\n`)
    console.log(`${tasks} tasks · ${repeated} repeated entries · ${missing} events missing between others`)
  })
}

async function losses(options: CacheOptions & { readonly json?: true }): Promise<void> {
  await withCache(options, async connection => {
    const found = await connection.run(redis => auctionOutcomes(redis, options.tenant))
    if (options.json)
      for (const each of found) console.log(JSON.stringify({ ...each, lost: Object.fromEntries(each.lost) }))
    else if (found.length === 0) console.log(`No exchange has told ${options.tenant} how an auction ended.`)
    else console.log(table([OUTCOMES, ...found.flatMap(outcomeRows)]))
  })
}

const OUTCOMES = ['line item', 'campaign', 'won', 'lost', 'reason', 'min to win', 'win probability']

/** Loss reason codes of OpenRTB (AdCOM list "Loss Reason Codes"). */
const LOSS_REASONS: Readonly<Record<string, string>> = {
  '1': 'internal error',
  '2': 'expired before the win',
  '3': 'invalid bid response',
  '4': 'invalid deal',
  '5': 'invalid auction id',
  '6': 'malformed advertiser domain',
  '7': 'missing markup',
  '8': 'missing creative id',
  '9': 'missing price',
  '10': 'missing minimum creative approval data',
  '100': 'below the floor',
  '101': 'below the floor of the deal',
  '102': 'a higher bid',
  '103': 'a deal',
  '104': 'seat blocked',
}

/** One row per reason; a line item that lost nothing has one, too. */
function outcomeRows(outcome: AuctionOutcome): string[][] {
  const { lineItem, campaign, won, lost, minToWin, winProbability } = outcome
  const [first = ['0', '—'], ...rest] = [...lost].map(([reason, count]) => [String(count), reasonText(reason)])
  const least = minToWin === undefined ? '—' : minToWin.toFixed(4)
  const probability = winProbability === undefined ? '—' : `${(winProbability * 100).toFixed(1)} %`
  return [
    [lineItem, campaign, String(won), ...first, least, probability],
    ...rest.map(each => ['', '', '', ...each, '', '']),
  ]
}

function reasonText(code: string): string {
  if (code === '') return 'not told'
  const meaning = LOSS_REASONS[code] ?? (Number(code) >= 200 && Number(code) < 300 ? 'creative filtered' : undefined)
  return meaning === undefined ? code : `${code} ${meaning}`
}

interface ReconcileOptions extends CacheOptions {
  readonly exchange?: string
  readonly tolerancePercent: number
}

async function reconcile(file: string, options: ReconcileOptions): Promise<void> {
  const theirs = readStatement(await textOf(file), options.exchange)
  if (theirs.length === 0) throw new CommandProblem(`error: ${file} has no lines below its heading`)
  await withCache(options, async connection => {
    const ours = await booked(theirs, day => connection.run(redis => spendRecords(redis, options.tenant, day)))
    const compared = compare(theirs, ours, options.tolerancePercent / 100)
    const differing = compared.filter(({ agrees }) => !agrees)
    console.log(table([COMPARED, ...compared.map(comparedRow)]))
    console.log(`${compared.length} days of exchanges · ${differing.length} differ`)
    process.exitCode = differing.length === 0 ? EXIT.good : EXIT.bad
  })
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new CommandProblem(`error: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** What was booked at the statement's exchanges from its first day to its last. */
async function booked(
  theirs: readonly StatementLine[],
  recordsOf: (day: number) => Promise<readonly SpendRecord[]>,
): Promise<StatementLine[]> {
  const exchanges = new Set(theirs.map(({ exchange }) => exchange))
  const days = theirs.map(({ day }) => day)
  const lines: StatementLine[] = []
  for (let day = Math.min(...days); day <= Math.max(...days); day++)
    for (const { kind, id, spentNanos, bookings } of await recordsOf(day))
      if (kind === 'exchange' && exchanges.has(id))
        lines.push({ exchange: id, day, spendNanos: spentNanos, impressions: bookings })
  return lines
}

const COMPARED = ['day', 'exchange', 'theirs', 'ours', 'ours − theirs', 'their impressions', 'ours', '']

function comparedRow({ exchange, day, theirs, ours, agrees }: Comparison): string[] {
  const [their, our] = [theirs?.spendNanos ?? 0, ours?.spendNanos ?? 0]
  const counts = [theirs?.impressions, ours?.impressions].map(count => (count === undefined ? '—' : String(count)))
  return [dateOf(day), exchange, amount(their), amount(our), amount(our - their), ...counts, agrees ? '' : 'differs']
}

async function begin(options: CacheOptions): Promise<void> {
  await withCache(options, async connection => {
    const ledger = new RedisLedger({
      ...connectionOptions(options),
      tenantId: options.tenant,
      rememberTaskMs: DAY_MS,
      onConnected: () => {},
    })
    try {
      const nothing = { lostEpoch: '', opensAfterMs: 0, booksAfterMs: 0, spent: new Map(), leases: [], keys: new Map() }
      const { opensInMs } = await ledger.rebuild({ ...nothing, newEpoch: randomBytes(8).toString('hex') })
      if (opensInMs > 0)
        await connection.run(redis => redis.hset(`${spendPrefix(options.tenant)}epoch`, { opens: 0, books: 0 }))
      console.log(`The ledger of ${options.tenant} is open.`)
    } finally {
      ledger.close()
    }
  })
}

await runCommand(command)
