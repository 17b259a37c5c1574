/** `npm run explain -- request.json --tenant-dir DIR`: what a bid request would be answered, and why. */
import { readFile, stat } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { scanTables } from '../decision/scan-line-item.ts'
import { LIMITS } from '../limits.ts'
import { type Explanation, explainRequest } from '../openrtb/explain-request.ts'
import { idTextsOfRequest } from '../openrtb/id-texts.ts'
import type { TenantDocuments } from '../state/documents.ts'
import type { Exchange } from '../state/exchange-document.ts'
import { CACHE_UNREACHABLE } from './cache-arguments.ts'
import { type DocumentOptions, findDocuments, findUsers } from './explain-documents.ts'
import { explanationText, judgedIn, lineItemText } from './explain-text.ts'
import { CommandProblem, EXIT, newCommand, runCommand, styled } from './terminal.ts'

interface Options extends DocumentOptions {
  readonly exchange?: string
  readonly lineItem?: string
  readonly at?: number
  readonly json?: true
}

/** They live in the ledger and with the tasks, not in the documents. */
const NOT_LOOKED_AT = [...['budgets', 'pacing', 'frequency caps', 'stops by hand', 'how long the request waited']]
const OTHERS_SHOWN = 20
const IDS_SHOWN = 8

const codes = `0 bids · 1 does not bid · 2 usage, or no bid request · ${CACHE_UNREACHABLE} cache unreachable`
const command = newCommand('explain', 'Tells per impression which line items would bid, and what keeps each other one.')
  .argument('<request>', 'file with one OpenRTB bid request as JSON; - is the standard input')
  .option('--tenant-dir <dir>', "directory of the tenant's documents")
  .option('--from <url>', 'the remote cache instead: redis://user:password@host:port or rediss://…')
  .option('--tenant <id>', 'with --from: whose announced version it is')
  .option('--exchange <id>', 'path name of the exchange that asks; the first active one without it')
  .option('--line-item <id>', 'why this one bids or does not: all checks that it fails')
  .option('--at <instant>', 'when it is asked, as an ISO 8601 instant; now without it', instant)
  .option('--timeout-ms <ms>', 'longest wait for one answer of the cache', wholeMs, 10_000)
  .option('--json', 'one JSON object, with every line item')
  .addHelpText('after', `\nNot looked at: ${NOT_LOOKED_AT.join(', ')}. Nothing is spent.\nExit codes: ${codes}`)
  .action(explain)

function instant(given: string): number {
  const ms = /^\d{4}-\d\d-\d\dT/.test(given) ? Date.parse(given) : Number.NaN
  if (!Number.isNaN(ms)) return ms
  throw new CommandProblem(`error: --at must be like 2026-11-21T12:00:00Z, got ${JSON.stringify(given)}`)
}

function wholeMs(given: string): number {
  if (/^\d{2,6}$/.test(given)) return Number(given)
  throw new CommandProblem(`error: --timeout-ms must be a whole number from 10 to 999999, got ${JSON.stringify(given)}`)
}

async function explain(file: string, options: Options): Promise<void> {
  const body = await readBody(file)
  const { documents, where, problems } = await findDocuments(options)
  const exchange = exchangeOf(documents, options.exchange)
  const audience = await findUsers(options, idTextsOfRequest(body, exchange.id))
  const { lineItem } = options
  if (lineItem !== undefined) checkLineItem(documents, lineItem)
  const explanation = explainRequest(body, {
    tables: scanTables(documents),
    audience,
    exchange,
    nowMs: options.at ?? Date.now(),
    scope: { lineItemId: lineItem, lineItemsMax: options.json ? Number.POSITIVE_INFINITY : OTHERS_SHOWN },
  })
  if (explanation.kind === 'malformed')
    throw new CommandProblem(`error: ${file} would be answered with 400: ${explanation.problem}`)
  process.exitCode = bids(explanation, lineItem) ? EXIT.good : EXIT.bad
  if (options.json) {
    console.log(JSON.stringify({ ...explanation, state: where, badRecords: problems, notLookedAt: NOT_LOOKED_AT }))
    return
  }
  console.log(lineItem === undefined ? explanationText(explanation) : lineItemText(explanation, lineItem))
  console.log()
  const left = problems === 0 ? '' : ` Bad records are left out (${problems} problems, see npm run validate).`
  console.log(styled('dim', `From ${where}: ${documents.lineItems.length} line items.${left}`))
  console.log(styled('dim', `Not looked at: ${NOT_LOOKED_AT.join(', ')}.`))
}

async function readBody(file: string): Promise<unknown> {
  let json: string
  try {
    if (file !== '-' && (await stat(file)).size > LIMITS.inflatedBytesMax)
      throw new CommandProblem(`error: ${file} has more than ${LIMITS.inflatedBytesMax} bytes; give one bid request`)
    json = file === '-' ? await text(process.stdin) : await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof CommandProblem || !(error instanceof Error)) throw error
    throw new CommandProblem(`error: ${file} cannot be read (${error.message}); give a file with one bid request`)
  }
  try {
    return JSON.parse(json)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new CommandProblem(`error: ${file} is not JSON (${why}); give one bid request`)
  }
}

function exchangeOf({ exchanges }: TenantDocuments, id: string | undefined): Exchange {
  const found = exchanges.find(each => (id === undefined ? each.status === 'active' : each.id === id))
  if (found !== undefined) return found
  const known = exchanges.map(each => each.id).join(', ')
  const what = id === undefined ? 'no exchange is active' : `there is no exchange ${JSON.stringify(id)}`
  throw new CommandProblem(`error: ${what}; give --exchange one of: ${known === '' ? '(the tenant has none)' : known}`)
}

function checkLineItem({ lineItems }: TenantDocuments, id: string): void {
  if (lineItems.some(each => each.id === id)) return
  const alike = lineItems.filter(each => each.id.startsWith(id.slice(0, 4)) || each.name.includes(id))
  const some = (alike.length > 0 ? alike : lineItems).slice(0, IDS_SHOWN).map(each => each.id)
  throw new CommandProblem(
    `error: --line-item ${JSON.stringify(id)} is none of the ${lineItems.length} good ones, such as ${some.join(', ')}`,
  )
}

function bids({ reason, impressions }: Explanation, lineItem: string | undefined): boolean {
  if (reason !== undefined) return false
  if (lineItem === undefined) return impressions.some(each => each.reason === undefined)
  return impressions.some(({ lots }) => lots.some(lot => judgedIn(lot, lineItem)?.outcome === 'wins'))
}

await runCommand(command)
