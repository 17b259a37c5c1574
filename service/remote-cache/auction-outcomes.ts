/** What exchanges tell of the auctions that bids were in: won, or lost and why. Read from the event stream. */
import type { Redis } from 'ioredis'
import { tenantEvents } from './spend-records.ts'

/** Bids of one line item. */
export interface AuctionOutcome {
  readonly campaign: string
  readonly lineItem: string
  /** Different bids that were won, by a win or billing notice or an impression. */
  readonly won: number
  /** Different bids that were lost, by OpenRTB's reason code, '' where the exchange named none. Most frequent first. */
  readonly lost: ReadonlyMap<string, number>
  /** Median CPM that would have won the lost ones, in the exchanges' currencies; undefined where none told it. */
  readonly minToWin: number | undefined
  /**
   * (won + 1) ÷ (won + lost + 2) of the bids at exchanges that tell losses at all: few bids say little, so it begins at
   * a half. undefined where no exchange tells any.
   */
  readonly winProbability: number | undefined
}

interface Bid {
  readonly campaign: string
  readonly lineItem: string
  readonly exchange: string
  isWon: boolean
  lossReason: string | undefined
  minToWin: number | undefined
}

const WON: ReadonlySet<string> = new Set(['win', 'billing', 'impression'])

/** Outcomes by line item, the most often lost first. @throws Error of the client. Cost: O(events of the stream). */
export async function auctionOutcomes(redis: Redis, tenantId: string): Promise<AuctionOutcome[]> {
  const bids = new Map<string, Bid>()
  for await (const event of tenantEvents(redis, tenantId)) {
    const { kind, bid: id, campaign, lineItem, exchange, lossReason, minToWin } = event
    if (id === '' || (kind !== 'loss' && !WON.has(kind))) continue
    let bid = bids.get(id)
    if (bid === undefined) {
      bid = { campaign, lineItem, exchange, isWon: false, lossReason: undefined, minToWin: undefined }
      bids.set(id, bid)
    }
    if (kind === 'loss') {
      bid.lossReason = lossReason
      if (minToWin !== '') bid.minToWin = Number(minToWin)
    } else bid.isWon = true
  }
  const all = [...bids.values()]
  const telling = new Set(all.filter(isLost).map(({ exchange }) => exchange))
  const byLineItem = Map.groupBy(all, ({ campaign, lineItem }) => `${campaign}/${lineItem}`)
  return [...byLineItem.values()]
    .map(its => outcomeOf(its, telling))
    .sort((a, b) => sumOf(b.lost) - sumOf(a.lost) || b.won - a.won)
}

/** Who is billed has won, whatever else was told of the bid. */
function isLost({ isWon, lossReason }: Bid): boolean {
  return !isWon && lossReason !== undefined
}

function outcomeOf(bids: readonly Bid[], telling: ReadonlySet<string>): AuctionOutcome {
  const { campaign = '', lineItem = '' } = bids[0] ?? {}
  const lost = bids.filter(isLost)
  const reasons = [...Map.groupBy(lost, ({ lossReason }) => lossReason ?? '')]
    .map(([reason, { length }]) => [reason, length] as const)
    .sort(([, a], [, b]) => b - a)
  const known = bids.filter(({ exchange }) => telling.has(exchange))
  const wonOfKnown = known.filter(({ isWon }) => isWon).length
  return {
    ...{ campaign, lineItem, won: bids.length - lost.length, lost: new Map(reasons) },
    minToWin: medianOf(lost.flatMap(({ minToWin }) => minToWin ?? [])),
    winProbability: known.length === 0 ? undefined : (wonOfKnown + 1) / (known.length + 2),
  }
}

function medianOf(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]
}

function sumOf(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0)
}
