/** The decision: which line item bids for an impression, or why none does. Pure, synchronous, total. */
import type { PickIndex } from '../foundation/random.ts'
import type { Nanos } from '../foundation/units.ts'
import { LIMITS } from '../limits.ts'
import { priceMaxNanos } from '../state/budget-fields.ts'
import { type Catalog, FORMAT } from '../state/catalog.ts'
import type { Settings } from '../state/documents.ts'
import { type Allowance, unlimited } from './allowance.ts'
import { Blocking } from './blocking.ts'
import { CHOICE_FIRST, CreativeChoice } from './creative-choice.ts'
import { creativeFits, hasFrameworks, isTransparent } from './creative-fit.ts'
import { dealFor, lowestFloor, NOT_THIS_ADVERTISER, OPEN_AUCTION } from './deal-choice.ts'
import { type Frequency, withoutCounting } from './frequency.ts'
import { lengthFloor } from './length-floors.ts'
import { Matcher } from './matcher.ts'
import type { Facts, Opportunity } from './opportunity.ts'
import { Page } from './page.ts'
import type { NoBidReason } from './reasons.ts'

/** What to bid. Ordinals are positions in the catalog's columns. */
export interface Bid {
  readonly kind: 'bid'
  readonly lineItem: number
  readonly creative: number
  /** Per impression, in the ledger currency. */
  readonly priceNanos: Nanos
  /** The most that it can cost: the price of all impressions that it is billed as, rounded up. */
  readonly amountNanos: Nanos
  /** Position among the opportunity's deals, −1 in the open auction. */
  readonly deal: number
  /** Whose ordinals these are. */
  readonly catalog: Catalog
}

/** That nobody bids, and the last check that any line item reached. One frozen value per reason. */
export interface NoBid {
  readonly kind: 'no-bid'
  readonly reason: NoBidReason
}

/** What one impression comes to. */
export type Decision = Bid | NoBid

/**
 * The checks after targeting, in order. When nobody wins, the reason is the last check that any line item reached:
 * the one that a buyer would have to change first.
 */
export const STAGES = [
  'no-eligible-line-item',
  'outside-flight',
  'above-maximum-cpm',
  'below-floor',
  'advertiser-blocked',
  'category-blocked',
  'transparency-required',
  'creative-not-allowed',
  'creative-not-approved',
  'already-on-page',
  'frequency-capped',
  'paced-out',
  'no-budget',
] as const satisfies readonly NoBidReason[]

/** A no-bid per stage. */
export const NO_BIDS: readonly NoBid[] = STAGES.map(reason => Object.freeze({ kind: 'no-bid', reason }))
const FLIGHT = STAGES.indexOf('outside-flight')
const ABOVE = STAGES.indexOf('above-maximum-cpm')
const FLOOR = STAGES.indexOf('below-floor')
const ADVERTISER = STAGES.indexOf('advertiser-blocked')
const CATEGORY = STAGES.indexOf('category-blocked')
const TRANSPARENT = STAGES.indexOf('transparency-required')
const CREATIVE = STAGES.indexOf('creative-not-allowed')
const APPROVAL = STAGES.indexOf('creative-not-approved')
const ON_PAGE = STAGES.indexOf('already-on-page')
const CAPPED = STAGES.indexOf('frequency-capped')
const PACED = STAGES.indexOf('paced-out')
const BUDGET = STAGES.indexOf('no-budget')
const PASSED = STAGES.length

/** Of a pass-through rate above 0: it takes part. */
const ALWAYS: PickIndex = () => 0
const RATE_WHOLE_PPM = 1_000_000
const WANTED_MAX = 4

/** Decides with one catalog. One bid thread uses one engine; nothing is kept between requests but scratch. */
export class Engine {
  readonly catalog: Catalog
  readonly #matcher: Matcher
  readonly #allowance: Allowance
  readonly #frequency: Frequency
  readonly #blocking: Blocking
  readonly #page: Page
  readonly #choice = new CreativeChoice()
  /** Per line item how often it has bid, where any takes turns between its creatives. */
  readonly #turns: Uint32Array | undefined
  #request = 0
  readonly #needsFrameworks: boolean
  /** See GUARDS. */
  #priceMaxNanos: number
  #languages: readonly number[] = []
  #transparency = 0
  /** Position of the exchange that asks, −1 where no creative is barred from any. */
  #exchange = -1
  #tied = 0
  readonly #tiedLineItem = new Uint32Array(LIMITS.tiedCandidatesMax)
  readonly #tiedCreative = new Uint32Array(LIMITS.tiedCandidatesMax)
  readonly #tiedDeal = new Int32Array(LIMITS.tiedCandidatesMax)
  /** The lowest floor of this impression, its deals included. */
  #floorMinNanos = 0
  /** Whether a line item of this impression got as far as pacing, and as its budget. */
  #reachedPacing = false
  #reachedBudget = false
  /** Line items of this impression whose budget holds no bid. */
  #wanted = 0
  #furthest = 0
  /** What `#check` found beside the stage. */
  #creative = -1
  #deal = -1

  /** @param below where the catalog is an overlay: the one below it */
  constructor(
    catalog: Catalog,
    allowance: Allowance = unlimited(catalog),
    frequency: Frequency = withoutCounting(catalog),
    below?: Catalog,
  ) {
    this.catalog = catalog
    this.#allowance = allowance
    this.#frequency = frequency
    this.#matcher = new Matcher(catalog, below)
    this.#needsFrameworks = catalog.header.needsFrameworks
    this.#priceMaxNanos = priceMaxNanos(catalog.header.settings.guards)
    if (catalog.header.choosesCreatives) this.#turns = new Uint32Array(catalog.header.lineItems)
    this.#blocking = new Blocking(catalog)
    this.#page = new Page(catalog.columns)
  }

  /** From now on line items with a set bit are as if they were not there, and the overlay's settings count. */
  mask(lineItems: Uint32Array | undefined, settings = this.catalog.header.settings): void {
    this.#matcher.mask(lineItems)
    this.#priceMaxNanos = priceMaxNanos(settings.guards)
  }

  /** Takes in what all impressions of a bid request have in common. Cost: O(values of the request). */
  prepare(facts: Facts): void {
    this.#matcher.prepare(facts)
    // The number comes round, and 0 is nobody's.
    this.#request = (this.#request + 1) >>> 0 || 1
    this.#page.begin(this.#request)
    this.#blocking.begin(this.#request, facts)
    this.#languages = facts.allowedLanguages
    this.#transparency = facts.transparency
    const { columns, header } = this.catalog
    if (columns.creativeBarred.length > 0)
      this.#exchange = header.exchanges.findIndex(({ id }) => id === facts.exchangeId)
  }

  /** Notes that a bid is made, so that what may be once on a page does not bid for its later impressions. */
  take({ lineItem, creative }: Bid, settings = this.catalog.header.settings): void {
    if (this.#turns !== undefined) this.#turns[lineItem]!++
    this.#page.occupy(settings, this.catalog.columns.lineItemAdvertiser[lineItem]!, this.firstRendition(creative))
  }

  /** As Page.occupy. */
  occupy(settings: Settings, advertiser: number, creative: number): void {
    this.#page.occupy(settings, advertiser, creative)
  }

  /** The ordinal of a creative's first rendition. */
  firstRendition(creative: number): number {
    return creative - this.catalog.columns.creativeRendition[creative]!
  }

  /**
   * Chooses for one impression of the prepared request: the best priority, then the best price, then chance.
   * Prices are nanos per impression.
   * @param pickIndex decides between line items of equal rank, and whether one at a pass-through rate takes part
   * @returns a bid of at least its floor, or the last check that any line item reached. Cost: O(matching line items
   *   that rank above the winner), at worst O(line items / 32).
   */
  decide(opportunity: Opportunity, nowMs: number, pickIndex: PickIndex): Decision {
    const found = this.find(opportunity, nowMs, pickIndex)
    if (found === 0) return NO_BIDS[this.#furthest]!
    return this.bid(found === 1 ? 0 : pickIndex(found), opportunity)
  }

  /** Position in STAGES of the last check that any line item reached when `find` last found none. */
  get furthest(): number {
    return this.#furthest
  }

  /** The ordinal of one of those that `find` last found; all are of its rank. */
  get best(): number {
    return this.#tiedLineItem[0]!
  }

  /**
   * Finds the line items of the best rank that pass all checks, between which chance decides; `bid` makes a bid of one.
   * @returns how many, at most LIMITS.tiedCandidatesMax; 0 when nobody bids. Cost: as decide
   */
  find(opportunity: Opportunity, nowMs: number, pickIndex: PickIndex): number {
    const matcher = this.#matcher
    this.#floorMinNanos = lowestFloor(opportunity)
    let furthest = 0
    this.#reachedPacing = false
    this.#reachedBudget = false
    this.#wanted = 0
    matcher.begin(opportunity)
    for (let ordinal = matcher.next(); ordinal >= 0; ordinal = matcher.next()) {
      const stage = this.#check(ordinal, opportunity, nowMs, pickIndex)
      if (stage === PASSED) return this.#amongEquals(ordinal, opportunity, nowMs, pickIndex)
      if (stage > furthest) furthest = stage
      if (furthest >= FLOOR) this.#skipCheaper(ordinal)
    }
    this.#furthest = furthest
    return 0
  }

  /**
   * Tells of every line item that targets the opportunity the position in STAGES of the check that stops it, or
   * STAGES.length. For whoever looks at single requests. Cost: O(line items that target it)
   */
  judge(opportunity: Opportunity, nowMs: number, visit: (ordinal: number, stage: number) => void): void {
    this.#floorMinNanos = lowestFloor(opportunity)
    this.#matcher.begin(opportunity)
    for (let ordinal = this.#matcher.next(); ordinal >= 0; ordinal = this.#matcher.next()) {
      // In their order for each: nobody is to be found soon.
      this.#reachedPacing = this.#reachedBudget = false
      visit(ordinal, this.#check(ordinal, opportunity, nowMs, ALWAYS))
    }
  }

  /**
   * Chance decides between the line items of the first one's rank. Where there are very many, those after a random
   * place are looked at, and no more than LIMITS.tiedCandidatesMax, so that the cost stays bounded.
   */
  #amongEquals(first: number, opportunity: Opportunity, nowMs: number, pickIndex: PickIndex): number {
    const end = this.catalog.columns.lineItemRankEnd[first]!
    const firstCreative = this.#creative
    const firstDeal = this.#deal
    const middle = end - first <= LIMITS.tiedCandidatesMax ? first : first + pickIndex(end - first)
    this.#tied = 0
    if (middle > first) {
      this.#matcher.seek(middle)
      this.#collect(end, opportunity, nowMs, pickIndex)
      this.#matcher.seek(first + 1)
    }
    if (this.#tied < LIMITS.tiedCandidatesMax) {
      this.#creative = firstCreative
      this.#deal = firstDeal
      this.#remember(first)
      this.#collect(middle > first ? middle : end, opportunity, nowMs, pickIndex)
    }
    return this.#tied
  }

  /** Remembers the line items before `end` that pass all checks, as long as there is room. */
  #collect(end: number, opportunity: Opportunity, nowMs: number, pickIndex: PickIndex): void {
    while (this.#tied < LIMITS.tiedCandidatesMax) {
      const ordinal = this.#matcher.next()
      if (ordinal < 0 || ordinal >= end) return
      if (this.#check(ordinal, opportunity, nowMs, pickIndex) === PASSED) this.#remember(ordinal)
    }
  }

  #remember(ordinal: number): void {
    this.#tiedLineItem[this.#tied] = ordinal
    this.#tiedCreative[this.#tied] = this.#creative
    this.#tiedDeal[this.#tied] = this.#deal
    this.#tied++
  }

  /**
   * Within a priority prices only fall: below the floor the rest of it cannot bid, nor can a whole priority whose first
   * price is below the floor.
   */
  #skipCheaper(ordinal: number): void {
    const { lineItemPriceNanos, lineItemPriorityEnd } = this.catalog.columns
    let next = ordinal
    while (next < lineItemPriceNanos.length && lineItemPriceNanos[next]! < this.#floorMinNanos)
      next = lineItemPriorityEnd[next]!
    if (next > ordinal) this.#matcher.seek(next)
  }

  /** The bid of one of those that `find` has just found, counted from 0. */
  bid(at: number, { deals, multiplier }: Opportunity): Bid {
    const lineItem = this.#tiedLineItem[at]!
    const deal = this.#tiedDeal[at]!
    const offer = deal < 0 ? undefined : deals[deal]
    const ownNanos = this.catalog.columns.lineItemPriceNanos[lineItem]! as Nanos
    const priceNanos = offer?.isFixedPrice ? offer.floorNanos : ownNanos
    const amountNanos = Math.ceil(priceNanos * multiplier) as Nanos
    const creative = this.#tiedCreative[at]!
    return { kind: 'bid', lineItem, creative, priceNanos, amountNanos, deal, catalog: this.catalog }
  }

  /** The first check that a targeted line item fails, or PASSED; then #creative and #deal are set. */
  #check(ordinal: number, opportunity: Opportunity, nowMs: number, pickIndex: PickIndex): number {
    const { columns } = this.catalog
    // Once a last check was reached it is asked first: it is the cheapest, and none before it can change the reason.
    const [paceFirst, budgetFirst] = [this.#reachedPacing, this.#reachedBudget]
    if (paceFirst && this.#isPacedOut(ordinal, pickIndex)) return PACED
    if (budgetFirst && !this.#isCovered(ordinal, opportunity)) return BUDGET
    if (nowMs < columns.lineItemFlightStartMs[ordinal]! || nowMs >= columns.lineItemFlightEndMs[ordinal]!) return FLIGHT
    if (columns.lineItemPriceNanos[ordinal]! > this.#priceMaxNanos) return ABOVE
    this.#deal = opportunity.deals.length === 0 ? OPEN_AUCTION : dealFor(columns, ordinal, opportunity)
    if (this.#deal === NOT_THIS_ADVERTISER)
      return columns.lineItemPriceNanos[ordinal]! < this.#floorMinNanos ? FLOOR : ADVERTISER
    const floorNanos = this.#deal < 0 ? opportunity.floorNanos : opportunity.deals[this.#deal]!.floorNanos
    if (columns.lineItemPriceNanos[ordinal]! < floorNanos) return FLOOR
    if (this.#blocking.blocksAdvertiser(columns.lineItemAdvertiser[ordinal]!)) return ADVERTISER
    const stage = this.#chooseCreative(ordinal, opportunity, pickIndex)
    if (stage !== PASSED && stage !== CAPPED) return stage
    if (this.#page.hasAdvertiser(columns.lineItemAdvertiser[ordinal]!)) return ON_PAGE
    if (stage === CAPPED || !this.#frequency.allowsLineItem(ordinal)) return CAPPED
    if (!paceFirst && this.#isPacedOut(ordinal, pickIndex)) {
      this.#reachedPacing = true
      return PACED
    }
    if (budgetFirst || this.#isCovered(ordinal, opportunity)) return PASSED
    this.#reachedBudget = true
    return BUDGET
  }

  /** A budget that holds no bid is wanted, of the best few; then those known to be empty are passed over. */
  #isCovered(ordinal: number, { multiplier }: Opportunity): boolean {
    const amountNanos = Math.ceil(this.catalog.columns.lineItemPriceNanos[ordinal]! * multiplier)
    if (this.#allowance.covers(ordinal, amountNanos)) return true
    if (++this.#wanted <= WANTED_MAX) this.#allowance.want(ordinal, amountNanos)
    if (this.#wanted === WANTED_MAX && multiplier === 1) this.#matcher.passOver(this.#allowance.empty())
    return false
  }

  /** Chance at the line item's pass-through rate. */
  #isPacedOut(ordinal: number, pickIndex: PickIndex): boolean {
    const passRatePpm = this.#allowance.passRatePpm[ordinal]!
    return passRatePpm < RATE_WHOLE_PPM && pickIndex(RATE_WHOLE_PPM) >= passRatePpm
  }

  /** Whether the exchange that asks does not take it. */
  #isBarred(creative: number): boolean {
    const { creativeBarredStart: starts, creativeBarred } = this.catalog.columns
    for (let i = starts[creative]!; i < starts[creative + 1]!; i++)
      if (creativeBarred[i] === this.#exchange) return true
    return false
  }

  /** Whether it speaks a language that is not wanted. */
  #hasOtherLanguage(creative: number): boolean {
    const language = this.catalog.columns.creativeLanguage[creative]!
    return language !== 0 && !this.#languages.includes(language)
  }

  /** Whether a line item pays what a creative of this length costs, in the deal that was found or without one. */
  #paysForLength(ordinal: number, creative: number, opportunity: Opportunity): boolean {
    const { columns } = this.catalog
    const format = columns.creativeFormat[creative]
    if (format !== FORMAT.video && format !== FORMAT.audio) return true
    const offer = format === FORMAT.video ? opportunity.video : opportunity.audio
    const floors = this.#deal < 0 ? offer?.lengthFloors : opportunity.deals[this.#deal]!.lengthFloors
    if (floors === undefined) return true
    return columns.lineItemPriceNanos[ordinal]! >= lengthFloor(floors, columns.creativeDurationS[creative]!)
  }

  /** A creative that the place takes. @returns PASSED, or the furthest check that a creative failed. */
  #chooseCreative(ordinal: number, opportunity: Opportunity, pickIndex: PickIndex): number {
    const { columns } = this.catalog
    const choice = this.#turns === undefined ? CHOICE_FIRST : columns.lineItemCreativeChoice[ordinal]!
    let furthest = CATEGORY
    this.#choice.clear()
    const end = columns.lineItemCreativeStart[ordinal + 1]!
    for (let i = columns.lineItemCreativeStart[ordinal]!; i < end; i++) {
      const creative = columns.lineItemCreatives[i]!
      const stage = this.#checkCreative(ordinal, creative, opportunity)
      if (stage > furthest) furthest = stage
      if (stage !== PASSED) continue
      this.#creative = creative
      if (choice === CHOICE_FIRST) return PASSED
      this.#choice.add(creative, this.firstRendition(creative), columns.lineItemCreativeWeights[i]!)
    }
    if (this.#choice.count > 0) this.#creative = this.#choice.pick(choice, this.#turns?.[ordinal] ?? 0, pickIndex)
    return furthest
  }

  /** The check that a creative fails, 0 for one that the place does not offer a slot for, or PASSED. */
  #checkCreative(ordinal: number, creative: number, opportunity: Opportunity): number {
    const { columns } = this.catalog
    if (!opportunity.slots.includes(columns.creativeSlot[creative]!)) return 0
    if (this.#blocking.blocksCreative(creative)) return CATEGORY
    if (this.#transparency !== 0 && !isTransparent(columns, creative, this.#transparency)) return TRANSPARENT
    if (!creativeFits(columns, creative, opportunity)) return CREATIVE
    if (this.#needsFrameworks && !hasFrameworks(columns, creative, opportunity)) return CREATIVE
    if (this.#languages.length > 0 && this.#hasOtherLanguage(creative)) return CREATIVE
    if (!this.#paysForLength(ordinal, creative, opportunity)) return CREATIVE
    if (this.#exchange >= 0 && this.#isBarred(creative)) return APPROVAL
    if (this.#page.hasCreative(this.firstRendition(creative))) return ON_PAGE
    if (!this.#frequency.allowsCreative(creative)) return CAPPED
    return PASSED
  }
}
