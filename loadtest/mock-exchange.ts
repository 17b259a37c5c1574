/**
 * An exchange, as far as a bidder sees one: it judges every bid, holds the auction, tells what became of it (late,
 * twice or never, as exchanges do) and keeps its own books.
 */
import { Random } from '../service/foundation/random.ts'
import { bidsOf, brokenRules } from './acceptance.ts'
import { type Json, objectFrom, textFrom } from './acceptance-rules.ts'
import { expanded, holdAuction, macroValues, type Outcome } from './auction.ts'
import { ExchangeBooks } from './exchange-books.ts'
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
/** In markup of any kind: the token and the price need no escape in any of them. */
const IMPRESSION = /https?:\/\/[\w.:-]+\/[\w-]+\/event\/impression\/[\w~.:-]+(\?price=[\w.%-]*)?/

/** An answer that takes part in an auction. */
interface Auctioned {
  readonly exchange: string
  readonly request: Json
  readonly response: Json
  readonly bodyText: string
}

/** One exchange in one run. Its work per answer is some 0.1 ms: for hundreds of requests per second, not thousands. */
export class MockExchange {
  readonly books = new ExchangeBooks()
  readonly #habits: BillingHabits
  readonly #random: Random
  readonly #calls: NoticeCalls
  readonly #rates: Readonly<Record<string, number>>
  /** By what each exchange bills, as agreed in its document. */
  readonly #billing: ReadonlyMap<string, 'burl' | 'win' | 'impression'>
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
    this.#billing = new Map(options.records.exchanges.map(({ id, billing }) => [id, billing ?? 'burl']))
    for (const { id, creativeIds } of options.records.lineItems)
      for (const creative of creativeIds) this.#lineItems.set(creative, this.#lineItems.has(creative) ? undefined : id)
  }

  /** Takes one answer. */
  look(response: HttpResponse, { body, malformed, source, exchange }: WorkloadRequest): void {
    const request = parsed(body)
    const bodyText = response.body.toString('utf8')
    const answer = { status: response.status, headers: headersOf(response.head), bodyText }
    const broken = brokenRules(request, answer, { mayRefuse: malformed, rates: this.#rates })
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
    for (const outcome of holdAuction(request, [...seats.keys()], this.#random)) {
      const values = macroValues(outcome, request, response, seats.get(outcome.bid))
      const told = (name: 'nurl' | 'burl' | 'lurl' | 'adm') => {
        const text = textFrom(outcome.bid[name])
        return text === undefined ? undefined : expanded(text, values)
      }
      const sale = { exchange, request, currency: values.AUCTION_CURRENCY ?? '' }
      if (outcome.won) this.#won(outcome, sale, told)
      else {
        const loss = told('lurl')
        if (loss !== undefined) this.#calls.tell(loss, 0)
      }
    }
  }

  #won(
    { bid, clearingPrice }: Outcome,
    { exchange, request, currency }: { readonly exchange: string; readonly request: Json; readonly currency: string },
    told: (name: 'nurl' | 'burl' | 'adm') => string | undefined,
  ): void {
    this.#wins++
    const bidId = textFrom(bid.id) ?? ''
    this.books.sell({
      bidId,
      campaignId: textFrom(bid.cid) ?? '',
      lineItemId: this.#lineItems.get(textFrom(bid.crid) ?? ''),
      userId: userOf(request),
      amount: (clearingPrice / 1_000) * (this.#rates[currency] ?? Number.NaN),
      soldAtMs: Date.now(),
    })
    const mode = this.#billing.get(exchange) ?? 'burl'
    const win = told('nurl')
    const habit = this.#habit()
    const delayMs = habit === 'late' ? this.#habits.lateMs : this.#random.unit() * RENDER_MS
    if (win !== undefined && mode !== 'win') this.#calls.tell(win, 0)
    if (habit === 'never' && mode !== 'win') return
    const shown = IMPRESSION.exec(told('adm') ?? '')?.[0]
    const bill = mode === 'win' ? win : mode === 'impression' ? shown : told('burl')
    // What is shown calls its own address, whoever bills.
    if (shown !== undefined && shown !== bill && habit !== 'never') this.#calls.tell(shown, delayMs)
    if (bill === undefined) return
    for (const laterMs of habit === 'twice' ? [0, RENDER_MS] : [0])
      this.#calls.tell(bill, delayMs + laterMs, () => this.books.acknowledge(bidId))
    this.books.bill(bidId, Date.now() + delayMs)
  }

  #habit(): 'soon' | 'late' | 'twice' | 'never' {
    const { late, twice, never } = this.#habits
    const drawn = this.#random.unit()
    if (drawn < late) return 'late'
    if (drawn < late + twice) return 'twice'
    return drawn < late + twice + never ? 'never' : 'soon'
  }
}

/** As the exchange knows the person: its own id, else the device's. */
function userOf(request: Json): string | undefined {
  return textFrom(objectFrom(request.user).id) ?? textFrom(objectFrom(request.device).ifa)
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}
