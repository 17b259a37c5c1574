/**
 * One bid request from text to text: read, decide, check, write, count. No await, no I/O, no log line, and no object
 * for a line item that does not win.
 */
import type { Bid, Decision } from '../decision/decide.ts'
import { lotsOf, roadblockLot } from '../decision/lots.ts'
import type { Opportunity } from '../decision/opportunity.ts'
import { NO_BID_REASON_NAMES, type NoBidReason } from '../decision/reasons.ts'
import type { PickIndex } from '../foundation/random.ts'
import { NANOS_PER_CPM } from '../foundation/units.ts'
import { LIMITS } from '../limits.ts'
import { brokenRule, type OutgoingBid } from '../openrtb/acceptance.ts'
import { spelledFor } from '../openrtb/auction-macros.ts'
import { shapeMembers } from '../openrtb/banner-shape.ts'
import { creativeIdOf, withoutMarkup } from '../openrtb/creative-fragment.ts'
import { expiryS } from '../openrtb/expiry.ts'
import type { IdentityTerms } from '../openrtb/identities.ts'
import { objectOf } from '../openrtb/json.ts'
import { type Fragment, filledFragment, filledWithToken } from '../openrtb/macro-values.ts'
import { noBidCode } from '../openrtb/no-bid.ts'
import { billedBy, type NoticeUrls } from '../openrtb/notice-urls.ts'
import { type BidRequest, type Impression, readRequest } from '../openrtb/read-request.ts'
import { parseRequest } from '../openrtb/request-json.ts'
import { BID_REQUEST } from '../openrtb/request-shapes.ts'
import { bidPrice, writeBid, writeNoBid, writeResponse } from '../openrtb/write-response.ts'
import type { SegmentLookup } from '../state/audience-reader.ts'
import { FORMAT } from '../state/catalog.ts'
import type { Exchange } from '../state/exchange-document.ts'
import { isRoadblock } from '../state/roadblocks.ts'
import type { Recorder } from '../telemetry/recorder.ts'
import { COUNTER, HISTOGRAM, noBidCounter } from '../telemetry/signals.ts'
import { keepingAgents } from './agents.ts'
import { BidClaims, type BidCost } from './bid-claims.ts'
import type { SpendLimit } from './budgets.ts'
import type { Serving } from './serving.ts'

/** What to send. Status 204 and 400 have no body. */
export interface Answer {
  readonly status: 200 | 204 | 400
  readonly body: string
}

const EMPTY: Answer = Object.freeze({ status: 204, body: '' })
const MALFORMED: Answer = Object.freeze({ status: 400, body: '' })

/** What answering needs beside the request and the catalog. */
export interface BidPathDeps {
  readonly recorder: Recorder
  readonly pickIndex: PickIndex
  /** Distinct for every thread of every task, in characters that need no escape. */
  readonly bidIdPrefix: string
  /** See IdentityTerms: without it nobody is told apart. */
  readonly identitySalt?: number
  /** What the tenant knows of users; without it only what requests tell. */
  readonly audience?: SegmentLookup
  /** Without it a tenant spends as fast as its budgets let it. */
  readonly spendLimit?: SpendLimit | undefined
  /** Without it bids carry no notice addresses. */
  readonly notices?: NoticeUrls | undefined
  /** Told of what must not happen: a broken assertion, a bid that an exchange would refuse. */
  readonly alarm: (code: 'internal-error' | 'bid-refused', detail: string, error?: unknown) => void
}

/** When and how late a request is answered. */
export interface Moment {
  readonly nowMs: number
  /** On a clock that all threads share. */
  readonly monotonicMs: number
  /** Since the request's head came, and behind other work of this thread before: it counts against tmax. */
  readonly waitedMs: number
}

/** A request that is decided on, and by what. */
interface Asked {
  readonly read: BidRequest
  readonly exchange: Exchange
  readonly serving: Serving
  readonly moment: Moment
}

/** What a bid's token says of it. */
interface PricedBid extends BidCost {
  readonly id: string
  readonly campaignId: string
  readonly lineItemId: string
  readonly fragment: string
  readonly lot: Opportunity
}

/** What its markup may say of it. */
interface MadeBid {
  readonly id: string
  readonly campaignId: string
  readonly lineItemId: string
  readonly token: string
}

const REASON_COUNTERS = Object.fromEntries(
  NO_BID_REASON_NAMES.map((reason, index) => [reason, noBidCounter(index)]),
) as Readonly<Record<NoBidReason, number>>

const CACHE_BUSTERS = 2 ** 32

/** Answers bid requests for one bid thread. */
export class BidPath {
  readonly #deps: BidPathDeps
  readonly #readAgent = keepingAgents()
  readonly #claims: BidClaims
  #bidsMade = 0
  /** Why the last impression has no bid. */
  #reason: NoBidReason = 'no-supported-format'
  /** Bids for the impression at hand. */
  readonly #made: Bid[] = []
  /**
   * What the request at hand is answered, by seat; and how long that is. A new map each time: one that is cleared keeps
   * what it held before, in V8, from its old table to its new, until the next collection of the whole heap.
   */
  #bids = new Map<string, string>()
  #bidsChars = 0

  constructor(deps: BidPathDeps) {
    this.#deps = deps
    this.#claims = new BidClaims(deps.spendLimit)
  }

  /** Total: never throws, whatever the body holds. A broken assertion is a no-bid, counted and alarmed. */
  answer(body: Buffer, exchange: Exchange, serving: Serving, moment: Moment): Answer {
    this.#claims.begin(moment.monotonicMs)
    try {
      return this.#answer(body, exchange, serving, moment)
    } catch (error) {
      this.#made.length = 0
      this.#claims.giveBack()
      this.#deps.alarm('internal-error', String(error), error)
      this.#noBid('internal-error')
      return EMPTY
    }
  }

  #answer(body: Buffer, exchange: Exchange, serving: Serving, moment: Moment): Answer {
    const { recorder } = this.#deps
    const { nowMs, waitedMs } = moment
    const begunMs = recorder.mark()
    const { targeted, slotsKnown, needsFrameworks, rates, daypart } = serving
    const readAgent = this.#readAgent
    const terms = { exchange, rates, slotsKnown, needsFrameworks, targeted, nowMs, waitedMs, daypart, readAgent }
    const read = readRequest(parseRequest(body, BID_REQUEST), {
      ...terms,
      identity: this.#identityFor(serving),
      audience: this.#deps.audience,
    })
    recorder.since(HISTOGRAM.readTime, begunMs)
    if (read.kind === 'malformed') return MALFORMED
    recorder.count(COUNTER.bidRequests)
    recorder.add(COUNTER.impressions, read.impressions.length)
    if (!read.userDataAllowed) recorder.count(COUNTER.contextualRequests)
    const paused = serving.header.settings.status !== 'active'
    const reason = paused ? 'tenant-paused' : serving.isStopped(exchange.id) ? 'stopped' : read.reason
    if (reason !== undefined) return this.#noBids(read, reason, exchange)
    return this.#decideAll({ read, exchange, serving, moment })
  }

  #identityFor({ capSubjects: subjects }: Serving): IdentityTerms | undefined {
    const { identitySalt: salt } = this.#deps
    return subjects === 0 || salt === undefined ? undefined : { salt, subjects }
  }

  #decideAll(asked: Asked): Answer {
    const { read, exchange, serving, moment } = asked
    const { impressions } = read
    this.#bids = new Map()
    this.#bidsChars = 0
    if (serving.capSubjects > 0) serving.identify(read.identities, moment.monotonicMs)
    serving.engine.prepare(read.facts)
    if (serving.roadblocks.length > 0 && this.#roadblocked(asked))
      return { status: 200, body: writeResponse(read.id, this.#bids, read.currency, true) }
    for (let i = 0; i < impressions.length; i++)
      if (!this.#bidsFor(impressions[i] as Impression, asked)) this.#noBid(this.#reason)
    if (this.#bids.size > 0) return { status: 200, body: writeResponse(read.id, this.#bids, read.currency, false) }
    return noBidAnswer(read.id, this.#reason, exchange)
  }

  /** Whether one roadblock bids for every impression of a whole page. Few tenants have any. */
  #roadblocked(asked: Asked): boolean {
    const { impressions, isWholePage } = asked.read
    const isOpen = impressions.every(({ opportunity }) => opportunity?.privateAuction === false)
    if (!isWholePage || impressions.length < 2 || !isOpen) return false
    const tried = Math.min(asked.serving.roadblocks.length, LIMITS.roadblocksTriedMax)
    for (let i = 0; i < tried; i++) if (this.#bidsForAll(asked.serving.roadblocks[i] as string, asked)) return true
    return false
  }

  #bidsForAll(roadblock: string, asked: Asked): boolean {
    const { impressions } = asked.read
    const lots = impressions.map(({ opportunity }) => roadblockLot(opportunity as Opportunity, roadblock))
    const decisions = lots.map(lot => this.#decide(lot, asked))
    if (decisions.some(({ kind }) => kind === 'no-bid')) return false
    for (let i = 0; i < lots.length; i++)
      this.#accept(decisions[i] as Bid, impressions[i] as Impression, lots[i] as Opportunity, asked)
    if (this.#made.length === impressions.length) return this.#takeMade(asked.serving)
    this.#claims.giveBack()
    this.#bids = new Map()
    this.#bidsChars = 0
    this.#made.length = 0
    return false
  }

  /** Makes all bids for one impression. @returns whether there is any; otherwise #reason says why */
  #bidsFor(impression: Impression, asked: Asked): boolean {
    const { opportunity } = impression
    const { exchange, serving } = asked
    this.#reason = impression.reason ?? 'no-supported-format'
    if (opportunity === undefined) return false
    const lots = exchange.bidsPerImpression === 'many' ? lotsOf(opportunity, serving.engine.hasDeal) : undefined
    for (let i = 0; i < (lots?.length ?? 1); i++) this.#bidFor(impression, lots?.[i] ?? opportunity, asked)
    // Bids for one impression are alternatives: only later impressions are on a page with them.
    return this.#takeMade(serving)
  }

  /** Counts the bids at hand, and tells the engine of them. @returns whether there are any */
  #takeMade(serving: Serving): boolean {
    const bids = this.#made.length
    for (let i = 0; i < bids; i++) {
      const bid = this.#made[i] as Bid
      serving.engine.take(bid)
      serving.served(bid.catalog).countBid(bid.lineItem)
    }
    this.#deps.recorder.add(COUNTER.bids, bids)
    this.#made.length = 0
    return bids > 0
  }

  #bidFor(impression: Impression, lot: Opportunity, asked: Asked): void {
    if (this.#bidsChars >= LIMITS.responseBytesMax) {
      this.#reason = 'answer-full'
      return
    }
    const decision = this.#decide(lot, asked)
    if (decision.kind === 'no-bid') this.#reason = decision.reason
    else this.#accept(decision, impression, lot, asked)
  }

  #decide(lot: Opportunity, { serving, moment }: Asked): Decision {
    const { recorder, pickIndex } = this.#deps
    const startedMs = recorder.mark()
    const decision = serving.engine.decide(lot, moment.nowMs, pickIndex)
    recorder.since(HISTOGRAM.decideTime, startedMs)
    return decision
  }

  /** Looks at a decision once more, holds its money and writes it; otherwise #reason says why not. */
  #accept(decision: Bid, impression: Impression, lot: Opportunity, asked: Asked): void {
    const { read, serving } = asked
    const { alarm } = this.#deps
    const outgoing = outgoingBid(decision, lot, impression, asked)
    const broken = brokenRule(outgoing, read.request, serving.served(outgoing.catalog))
    if (broken !== undefined) {
      alarm('bid-refused', broken)
      this.#reason = 'bid-refused'
      return
    }
    const expiresS = expiryS(asked.exchange, read.request, outgoing.imp)
    const { lineItem, creative } = outgoing
    const served = serving.served(outgoing.catalog)
    const cost = this.#claims.take({ served, lineItem, creative, amountNanos: decision.amountNanos, expiresS })
    if (typeof cost === 'string') {
      this.#reason = cost
      return
    }
    this.#made.push(decision)
    this.#add(outgoing.seat, this.#write(outgoing, lot, cost, asked))
  }

  #add(seat: string, bid: string): void {
    const others = this.#bids.get(seat)
    this.#bids.set(seat, others === undefined ? bid : `${others},${bid}`)
    this.#bidsChars += bid.length
  }

  #write(bid: OutgoingBid, lot: Opportunity, cost: BidCost, asked: Asked): string {
    const { exchange, serving } = asked
    const id = this.#deps.bidIdPrefix + (this.#bidsMade++).toString(36)
    const served = serving.served(bid.catalog)
    const campaignId = served.campaignIdOf(bid.lineItem)
    const markup = served.fragmentOf(bid.creative, lot.native)
    // Nothing else says it.
    const isTold = this.#deps.notices !== undefined || markup.holes.length > 0
    const lineItemId = isTold ? served.lineItemIdOf(bid.lineItem) : ''
    const token = this.#tokenOf(bid, { ...cost, id, campaignId, lineItemId, lot, fragment: markup.text }, asked)
    const made = { id, campaignId, lineItemId, token }
    const fragment = this.#fragmentFor(markup, bid, made, asked)
    return writeBid({
      id,
      impId: bid.impId,
      price: bid.price,
      campaignId,
      dealId: bid.dealId,
      expiryS: cost.expiresS,
      shape: lot.banner?.asksForShape ? shapeOf(bid) : '',
      fragment: spelledFor(exchange, fragment),
      notices: token === '' ? '' : spelledFor(exchange, this.#membersOf(token, bid, exchange)),
    })
  }

  /** The token of a bid's notices; '' where nobody could call them. */
  #tokenOf(bid: OutgoingBid, made: PricedBid, { exchange, serving, moment }: Asked): string {
    const { notices } = this.#deps
    if (notices === undefined) return ''
    const format = bid.catalog.columns.creativeFormat[bid.creative]
    return notices.tokenOf({
      bidId: made.id,
      exchangeId: exchange.id,
      campaignId: made.campaignId,
      lineItemId: made.lineItemId,
      creativeId: creativeIdOf(made.fragment),
      billedBy: billedBy(exchange, format === FORMAT.video || format === FORMAT.audio),
      day: made.hold.day ?? serving.day,
      lease: made.hold.lease,
      counted: made.counted,
      bucket: made.hold.bucket,
      amountNanosMax: made.amountNanos,
      nanosPerCpm: NANOS_PER_CPM * (made.lot.multiplier || 1) * (serving.header.rates.get(bid.currency) ?? Number.NaN),
      expiresS: Math.floor(moment.nowMs / 1_000) + LIMITS.noticeLifeS,
    })
  }

  #membersOf(token: string, { catalog: { columns }, creative }: OutgoingBid, exchange: Exchange): string {
    return this.#deps.notices?.membersOf(token, exchange, columns.creativeRendition[creative] ?? 0) ?? ''
  }

  /** What the creative says in the bid: with its markup, unless the win notice is answered with that. */
  #fragmentFor(fragment: Fragment, bid: OutgoingBid, made: MadeBid, asked: Asked): string {
    if (asked.exchange.markup === 'win-notice' && made.token !== '') return withoutMarkup(fragment.text)
    if (fragment.holes.length === 0) return fragment.text
    return fragment.asksForTokenOnly ? filledWithToken(fragment, made.token) : this.#filled(fragment, bid, made, asked)
  }

  /** Markup with macros of ours: few creatives have any, so nothing is made ready for them beforehand. */
  #filled(fragment: Fragment, bid: OutgoingBid, made: MadeBid, asked: Asked): string {
    return filledFragment(fragment, {
      bidId: made.id,
      noticeToken: made.token,
      exchangeId: asked.exchange.id,
      dealId: bid.dealId,
      campaignId: made.campaignId,
      lineItemId: made.lineItemId,
      request: asked.read.request,
      imp: bid.imp,
      nowMs: asked.moment.nowMs,
      cacheBuster: this.#deps.pickIndex(CACHE_BUSTERS),
    })
  }

  #noBids(read: BidRequest, reason: NoBidReason, exchange: Exchange): Answer {
    for (let i = 0; i < read.impressions.length; i++) this.#noBid(reason)
    return noBidAnswer(read.id, reason, exchange)
  }

  #noBid(reason: NoBidReason): void {
    this.#deps.recorder.count(REASON_COUNTERS[reason])
  }
}

function outgoingBid(decision: Bid, lot: Opportunity, impression: Impression, { read, serving }: Asked): OutgoingBid {
  const { rates } = serving.header
  const rate = rates.get(read.currency) ?? Number.NaN
  const deal = decision.deal < 0 ? undefined : lot.deals[decision.deal]
  return {
    impId: impression.id,
    imp: impression.imp,
    lineItem: decision.lineItem,
    creative: decision.creative,
    price: bidPrice(decision.priceNanos, rate),
    currency: read.currency,
    dealId: deal === undefined || isRoadblock(deal.id) ? '' : deal.id,
    seat: deal === undefined || isRoadblock(deal.id) ? read.seat : deal.seat,
    catalog: decision.catalog,
    rates,
  }
}

/** By which shape a banner fits; '' for other bids. */
function shapeOf({ imp, creative, catalog: { columns } }: OutgoingBid): string {
  if (columns.creativeFormat[creative] !== FORMAT.banner) return ''
  return shapeMembers(objectOf(imp.banner), columns.creativeWidth[creative] ?? 0, columns.creativeHeight[creative] ?? 0)
}

function noBidAnswer(requestId: string, reason: NoBidReason, exchange: Exchange): Answer {
  if (exchange.noBid === 'empty') return EMPTY
  return { status: 200, body: writeNoBid(requestId, noBidCode(reason, exchange)) }
}
