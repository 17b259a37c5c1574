/** The explain thread: holds the documents that are served while somebody asks why, and answers. */
import { setPriority } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { type ScanTables, scanTables } from './decision/scan-line-item.ts'
import { assert } from './foundation/assert.ts'
import { Random } from './foundation/random.ts'
import { LIMITS } from './limits.ts'
import { explainRequest } from './openrtb/explain-request.ts'
import { openSource } from './remote-cache/open-source.ts'
import { readDocuments } from './remote-cache/read-documents.ts'
import { type Announcement, SourceError } from './remote-cache/source.ts'
import type { TenantDocuments } from './state/documents.ts'
import { lookupOf } from './state/found-segments.ts'
import type { ExplainAnswer, ExplainQuestion, ExplainThreadData } from './thread-messages.ts'

assert(parentPort !== null, 'the explain thread is a worker')
const control = parentPort
const { stateUrl, tenantId, timeoutMs, heapMib } = workerData as ExplainThreadData
/** The lowest precedence; on Linux that of this thread alone. */
const NICE_MAX = 19
if (process.platform === 'linux') setPriority(NICE_MAX)
const MIB = 1_024 * 1_024

const source = openSource({ url: stateUrl, tenantId, timeoutMs, pickIndex: new Random(process.pid).pickIndex })

interface Held {
  readonly key: string
  readonly tables: ScanTables
  readonly problems: number
}

let held: Held | undefined

const keyOf = ({ version, deltas }: Announcement) => `${version} ${deltas?.digest ?? ''}`
const refused = (status: 400 | 404 | 503, error: string): ExplainAnswer => ({ kind: 'refused', status, error })

/** @returns why the documents cannot be had; undefined once they are there */
async function problemOfLoad(announced: Announcement): Promise<string | undefined> {
  if (held?.key === keyOf(announced)) return undefined
  held = undefined
  const { bytes } = await source.summary(announced.version)
  const neededMib = Math.ceil((bytes * LIMITS.explainHeapFactor) / MIB)
  if (neededMib > heapMib)
    return `the documents need ${neededMib} MiB and ${heapMib} are free in this task; use npm run explain elsewhere`
  const { documents, problems } = await readDocuments(source, announced)
  if (documents === undefined) return 'the documents have no good settings any more'
  held = { key: keyOf(announced), tables: scanTables(documents), problems }
  return undefined
}

function spentOf({ lineItems }: TenantDocuments, { spent, stops }: ExplainQuestion): ReadonlySet<string> {
  const stopped = lineItems.filter(({ campaignId }) => stops.campaigns.includes(campaignId)).map(({ id }) => id)
  return new Set([...spent, ...stops.lineItems, ...stopped])
}

async function answerTo(question: ExplainQuestion): Promise<ExplainAnswer> {
  const problem = await problemOfLoad(question.held)
  if (problem !== undefined || held === undefined) return refused(503, problem ?? 'there are no documents')
  const { tables, problems } = held
  const { exchanges, lineItems } = tables.documents
  const { exchange: asked, lineItem: lineItemId, request, nowMs, stops } = question
  const exchange = exchanges.find(({ id, status }) => (asked === undefined ? status === 'active' : id === asked))
  if (exchange === undefined)
    return refused(404, `there is no such exchange; there are ${exchanges.map(({ id }) => id).join(', ')}`)
  if (lineItemId !== undefined && !lineItems.some(({ id }) => id === lineItemId))
    return refused(404, `there is no such line item among the ${lineItems.length} that are served`)
  const explanation = explainRequest(request, {
    ...{ tables, exchange, nowMs, spent: spentOf(tables.documents, question) },
    audience: lookupOf(question.segments),
    isStopped: stops.tenant || stops.exchanges.includes(exchange.id),
    scope: { lineItemId, lineItemsMax: LIMITS.explainOthersMax },
  })
  if (explanation.kind === 'malformed') return refused(400, `it would be answered with 400: ${explanation.problem}`)
  return { kind: 'explained', explanation, problems }
}

function whyNot(error: unknown): ExplainAnswer {
  if (error instanceof SourceError) return refused(503, `the documents cannot be read: ${error.message}`)
  return refused(503, `it cannot be explained: ${String(error)}`)
}

/** One after another: a second question must not load the documents twice. */
let last: Promise<void> = Promise.resolve()
control.on('message', (question: ExplainQuestion) => {
  last = last.then(async () => control.postMessage(await answerTo(question).catch(whyNot)))
})
