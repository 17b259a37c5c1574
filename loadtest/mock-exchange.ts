/**
 * An exchange, as far as a bidder sees one: it judges every bid, holds the auction, tells what became of it (late,
 * twice or never, as exchanges do) and keeps its own books.
 */
import { Random } from '../service/foundation/random.ts'
import { bidsOf, brokenRules } from './acceptance.ts'
import { type Json, objectFrom, textFrom } from './acceptance-rules.ts'
import { expanded, holdAuction, macroValues, type Outcome } from './auction.ts'
import { deviceCalls } from './device-calls.ts'
import { ExchangeBooks } from './exchange-books.ts'
import { viewerOf } from './exchange-caps.ts'
import { type HttpResponse, headersOf } from './http-response.ts'
import { NoticeCalls, type NoticeCounts } from './notice-calls.ts'
import { ratesOf, type TenantRecords } from './tenant-records.ts'
import type { WorkloadRequest } from './workload.ts'

/** Whose bids, and how the exchange behaves. */
export interface MockExchangeOptions {
  readonly url: string
  readonly records: TenantRecords
  readonly seed: number
  readonly habits?: BillingHabits
}

/** Shares of sales, 0 to 1; the rest is billed once and soon. */
interface BillingHabits {
  readonly late: number
  readonly lateMs: number
  readonly twice: number
  readonly never: number
}

/** What the exchange found. */
export interface ExchangeFindings {
  readonly bids: number
  readonly wins: number
  readonly losses: number
  /** Broken acceptance rules, with how often. */
  readonly brokenRules: Readonly<Record<string, number>>
  readonly notices: NoticeCounts
  readonly examples: readonly string[]
}

const HABITS: BillingHabits = { late: 0.03, lateMs: 3_000, twice: 0.03, never: 0.02 }
/** Between the auction and the impression. */
const RENDER_MS = 150
const EXAMPLES_MAX = 5
/** An answer that takes part in an auction. */
interface Auctioned {
  readonly exchange: string
  readonly request: Json
  readonly response: Json
  readonly bodyText: string
}

/** What an exchange's document says of how it tells. */
interface Ways {
  readonly billing: 'burl' | 'win' | 'impression'
  /** Whether markup comes with the bid, or as the answer to the win. */
  readonly markup: 'win-notice' | 'bid' | undefined
  /** Its own spelling of macros. */
  readonly macros: Readonly<Record<string, string>>
}

/** Fills the macros of a text of one bid; undefined where the bid has none. */
type Told = (text: unknown) => string | undefined

/** One exchange in one run. Its work per answer is some 0.1 ms: for hundreds of requests per second, not thousands. */
export class MockExchange {
  readonly books = new ExchangeBooks()
  readonly #habits: BillingHabits
  readonly #random: Random
  readonly #calls: NoticeCalls
  readonly #rates: Readonly<Record<string, number>>
  readonly #ways: ReadonlyMap<string, Ways>
  /** Line item by creative, undefined where several have it. */
  readonly #lineItems = new Map<string, string | undefined>()
  readonly #broken: Record<string, number> = {}
  readonly #examples: string[] = []
  #bids = 0
  #wins = 0

  constructor(options: MockExchangeOptions) {
    this.#habits = options.habits ?? HABITS
    this.#random = new Random(options.seed)
    this.#calls = new NoticeCalls(options.url)
    this.#rates = ratesOf(options.records)
    this.#ways = new Map(
      options.records.exchanges.map(({ id, billing = 'burl', markup, auctionMacros: macros = {} }) => [
        id,
        { billing, markup, macros },
      ]),
    )
    for (const { id, creativeIds } of options.records.lineItems)
      for (const creative of creativeIds) this.#lineItems.set(creative, this.#lineItems.has(creative) ? undefined : id)
  }

  /** Takes one answer. */
  look(response: HttpResponse, { body, malformed, source, exchange }: WorkloadRequest): void {
    const request = parsed(body)
    const bodyText = response.body.toString('utf8')
    const answer = { status: response.status, headers: headersOf(response.head), bodyText }
    const { markup } = this.#ways.get(exchange) ?? {}
    const broken = brokenRules(request, answer, { mayRefuse: malformed, rates: this.#rates, markup })
    for (const { rule, found } of broken) {
      this.#broken[rule] = (this.#broken[rule] ?? 0) + 1
      if (this.#examples.length < EXAMPLES_MAX) this.#examples.push(`${rule}: ${found} (${source})`)
    }
    // What breaks a rule takes no part in the auction, nor does what an exchange would not have sent.
    if (response.status === 200 && broken.length === 0 && !malformed)
      this.#auction({ exchange, request: objectFrom(request), response: objectFrom(parsed(response.body)), bodyText })
  }

  /** Waits for the last notice. */
  async end(): Promise<ExchangeFindings> {
    const notices = await this.#calls.end()
    const counts = { bids: this.#bids, wins: this.#wins, losses: this.#bids - this.#wins }
    return { ...counts, brokenRules: this.#broken, notices, examples: this.#examples }
  }

  #auction({ exchange, request, response, bodyText }: Auctioned): void {
    const own = bidsOf(bodyText)
    const seats = new Map(own.map(({ bid, seat }) => [bid, seat]))
    this.#bids += own.length
    const { billing = 'burl', macros } = this.#ways.get(exchange) ?? {}
    for (const outcome of holdAuction(request, [...seats.keys()], this.#random)) {
      const values = macroValues(outcome, request, response, seats.get(outcome.bid))
      const told: Told = text => {
        const found = textFrom(text)
        return found === undefined ? undefined : expanded(found, values, macros)
      }
      if (outcome.won) {
        this.#sell(outcome, request, values.AUCTION_CURRENCY ?? '')
        this.#tellWin(outcome.bid, billing, told)
      } else this.#tell(told(outcome.bid.lurl), { delayMs: 0, isTwice: this.#habit() === 'twice' })
    }
  }

  #sell({ bid, clearingPrice }: Outcome, request: Json, currency: string): void {
    this.#wins++
    const creativeId = textFrom(bid.crid) ?? ''
    this.books.sell({
      bidId: textFrom(bid.id) ?? '',
      campaignId: textFrom(bid.cid) ?? '',
      creativeId,
      lineItemId: this.#lineItems.get(creativeId),
      viewer: viewerOf(request),
      amount: (clearingPrice / 1_000) * (this.#rates[currency] ?? Number.NaN),
      soldAtMs: Date.now(),
    })
  }

  /** The win at once, the bill when it is shown; markup that is missing comes as the answer to the win. */
  #tellWin(bid: Json, billing: Ways['billing'], told: Told): void {
    const bidId = textFrom(bid.id) ?? ''
    const habit = this.#habit()
    const isTwice = habit === 'twice'
    const delayMs = habit === 'late' ? this.#habits.lateMs : this.#random.unit() * RENDER_MS
    const billed = () => this.books.acknowledge(bidId)
    const markup = told(bid.adm)
    let isShown = habit === 'never'
    const show = (text: string, afterMs: number) => {
      if (isShown || text === '') return
      isShown = true
      if (billing !== 'win') this.books.bill(bidId, Date.now() + afterMs)
      if (billing === 'burl') this.#tell(told(bid.burl), { delayMs: afterMs, isTwice, onAcknowledged: billed })
      for (const { kind, address, atMs } of deviceCalls(text, this.#random)) {
        const isBill = billing === 'impression' && kind === 'impression'
        const acknowledged = isBill ? { onAcknowledged: billed } : {}
        this.#tell(address, { delayMs: afterMs + atMs, isTwice: isBill && isTwice, ...acknowledged })
      }
    }
    const winMs = billing === 'win' ? delayMs : 0
    if (billing === 'win') this.books.bill(bidId, Date.now() + winMs)
    const onAcknowledged = (body: string) => {
      if (billing === 'win') billed()
      if (markup === undefined) show(told(body) ?? '', 0)
    }
    this.#tell(told(bid.nurl), { delayMs: winMs, isTwice, onAcknowledged })
    if (markup !== undefined) show(markup, delayMs)
  }

  #tell(
    address: string | undefined,
    how: { readonly delayMs: number; readonly isTwice: boolean; readonly onAcknowledged?: (body: string) => void },
  ): void {
    if (address === undefined) return
    this.#calls.tell(address, how.delayMs, how.onAcknowledged)
    if (how.isTwice) this.#calls.tell(address, how.delayMs + RENDER_MS, how.onAcknowledged)
  }

  #habit(): 'soon' | 'late' | 'twice' | 'never' {
    const { late, twice, never } = this.#habits
    const drawn = this.#random.unit()
    if (drawn < late) return 'late'
    if (drawn < late + twice) return 'twice'
    return drawn < late + twice + never ? 'never' : 'soon'
  }
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}
