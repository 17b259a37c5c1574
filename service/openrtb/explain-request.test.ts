import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { diverseRequests } from '../../loadtest/diverse-traffic.ts'
import { readTenantRecords } from '../../loadtest/tenant-records.ts'
import { compiledTenant, sampleTenant } from '../../test/sample-catalog.ts'
import type { JudgedLineItem } from '../decision/explain.ts'
import { NO_BID_REASON_NAMES } from '../decision/reasons.ts'
import { scanTables } from '../decision/scan-line-item.ts'
import { Random } from '../foundation/random.ts'
import { BidPath } from '../http/bid-path.ts'
import { ServedCatalog } from '../http/served-catalog.ts'
import { Serving } from '../http/serving.ts'
import type { TenantDocuments } from '../state/documents.ts'
import type { Exchange } from '../state/exchange-document.ts'
import { createRecorderBlock, Recorder, snapshot } from '../telemetry/recorder.ts'
import { noBidCounter } from '../telemetry/signals.ts'
import { type ExplainTerms, type Explanation, explainRequest } from './explain-request.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)
const NOW_MS = Date.parse('2026-11-21T12:00:00Z')
const MOMENT = { nowMs: NOW_MS, monotonicMs: 0, waitedMs: 0 }
const REQUESTS = 150

interface AnsweredBid {
  readonly impid: string
  readonly cid: string
  readonly crid: string
  readonly price: number
  readonly dealid?: string
}

/** Without what documents alone cannot decide: budgets, caps and chance. */
function certain(documents: TenantDocuments): TenantDocuments {
  const without = <T extends object>(record: T): T => {
    const { budget, pacing, frequencyCaps, passThroughRate, ...rest } = record as Record<string, unknown>
    return rest as T
  }
  return {
    ...documents,
    settings: without(documents.settings),
    advertisers: documents.advertisers.map(without),
    campaigns: documents.campaigns.map(without),
    creatives: documents.creatives.map(without),
    lineItems: documents.lineItems.map(without),
  }
}

/** What the service answers: its bids, and of the impressions without one the reasons. */
function answerOf(documents: TenantDocuments, exchangeId: string) {
  const serving = new Serving(new ServedCatalog(compiledTenant(documents)), NOW_MS)
  const exchange = serving.exchange(exchangeId) as Exchange
  return (request: unknown) => {
    const block = createRecorderBlock()
    const path = new BidPath({
      ...{ recorder: new Recorder(block), pickIndex: new Random(SEED).pickIndex, bidIdPrefix: 'b-' },
      alarm: (code, detail) => {
        throw new Error(`${code}: ${detail}`)
      },
    })
    const { body } = path.answer(Buffer.from(JSON.stringify(request)), exchange, serving, MOMENT)
    const answer = (body === '' ? {} : JSON.parse(body)) as { seatbid?: readonly { bid: readonly AnsweredBid[] }[] }
    const { counters } = snapshot({ blocks: [block], gauges: {}, takenAtMs: 0 })
    const reasons = NO_BID_REASON_NAMES.flatMap((reason, i) =>
      new Array<string>(counters[noBidCounter(i)] as number).fill(reason),
    )
    return { bids: (answer.seatbid ?? []).flatMap(({ bid }) => bid), reasons, exchange }
  }
}

/** The winner that was bid: later impressions of the page depend on which it was, and with which creative. */
function chosenAs(bids: readonly AnsweredBid[]): NonNullable<ExplainTerms['choose']> {
  return (impressionId, winners) => {
    const at = (winner: JudgedLineItem) => (bid: AnsweredBid) =>
      bid.impid === impressionId && bid.cid === winner.campaignId && winner.bid?.creativeIds.includes(bid.crid)
    const winner = winners.find(each => bids.some(at(each)))
    // A request that is not bid on at all is explained as if it were.
    if (winner === undefined) return winners[0] as JudgedLineItem
    const crid = bids.find(at(winner))?.crid as string
    return { ...winner, bid: { cpm: winner.cpm, dealId: '', creativeIds: [crid] } }
  }
}

function reasonsOf({ reason, impressions }: Explanation): readonly string[] {
  return impressions.flatMap(each => reason ?? each.reason ?? []).sort()
}

describe.each([
  ['acme-outdoor', 'adx'],
  ['acme-outdoor', 'prebid'],
  ['bluebird-games', undefined],
  ['cinema-now', undefined],
])(`the explanation of a request to %s at %s (seed ${SEED})`, (name, asking) => {
  test('never disagrees with what the service answers', async () => {
    const documents = certain(sampleTenant(name))
    const exchange = asking ?? (documents.exchanges[0]?.id as string)
    const records = await readTenantRecords(fileURLToPath(new URL(`../../test/tenants/${name}`, import.meta.url)))
    const requests = diverseRequests(records, { count: REQUESTS, exchange, random: new Random(SEED) })
    const answer = answerOf(documents, exchange)
    const tables = scanTables(documents)
    let bids = 0
    for (const { request, source } of requests) {
      const answered = answer(request)
      const explanation = explainRequest(JSON.parse(JSON.stringify(request)), {
        ...{ tables, exchange: answered.exchange, nowMs: NOW_MS, scope: { lineItemsMax: 0 } },
        choose: chosenAs(answered.bids),
      })
      const context = `SEED=${SEED} ${source}: ${JSON.stringify(request).slice(0, 2_000)}`
      if (explanation.kind === 'malformed') throw new Error(context)
      const withBid = explanation.impressions.filter(({ reason }) => reason === undefined).map(({ id }) => id)
      const expected = explanation.reason === undefined ? withBid : []
      expect([...new Set(answered.bids.map(bid => bid.impid))].sort(), context).toEqual(expected.sort())
      expect([...answered.reasons].sort(), context).toEqual(reasonsOf(explanation))
      bids += answered.bids.length
    }
    expect(bids).toBeGreaterThan(REQUESTS / 5)
  })
})
