/**
 * The auction of an exchange: one winner per impression against prices that others might bid. Shares no code with the
 * service. OpenRTB 2.6 sections 3.2.1 (`at`), 3.2.12 (deals), 4.4 (macros); loss reasons of List: Loss Reason Codes.
 */
import type { Random } from '../service/foundation/random.ts'
import { type Json, numberFrom, objectFrom, objectsFrom, textFrom } from './acceptance-rules.ts'

/** What became of one bid. Prices are CPM in the bid's currency. */
export interface Outcome {
  readonly bid: Json
  readonly impression: Json
  readonly won: boolean
  /** What the winner pays, and what a loser is told as the price that won. */
  readonly clearingPrice: number
  /** OpenRTB's code; undefined for the winner. */
  readonly lossReason: number | undefined
  readonly minToWin: number
}

const LOST_TO_HIGHER_BID = 102
const LOST_TO_DEAL = 103
/** In a second-price auction the winner pays this more than the second. */
const STEP = 0.01
/** Share of impressions on which nobody else bids. */
const ALONE_SHARE = 0.2
/** Others' prices: the median, and how they spread around it; few are far above. */
const USUAL_CPM = 2
const SPREAD = 0.8

/**
 * Decides all impressions that have a bid. Pure but for `random`.
 * @param request the bid request after JSON.parse
 */
export function holdAuction(request: Json, bids: readonly Json[], random: Random): readonly Outcome[] {
  return objectsFrom(request.imp).flatMap(impression => {
    const own = bids.filter(bid => bid.impid === impression.id)
    return own.length === 0 ? [] : decided(impression, own, numberFrom(request.at) ?? 2, random)
  })
}

function decided(impression: Json, bids: readonly Json[], at: number, random: Random): readonly Outcome[] {
  const floor = numberFrom(impression.bidfloor) ?? 0
  const others = random.chance(ALONE_SHARE) ? 0 : Math.max(floor, USUAL_CPM * Math.exp(normal(random) * SPREAD))
  // A deal outranks the open auction, as most publishers set it up.
  const ranked = [...bids].sort((a, b) => Number(isDeal(b)) - Number(isDeal(a)) || priceOf(b) - priceOf(a))
  const [best] = ranked
  if (best === undefined) return []
  const won = isDeal(best) || priceOf(best) > others
  const clearingPrice = won ? paidBy(best, { impression, at, others, next: ranked[1] }) : others
  return ranked.map(bid => {
    const isWinner = won && bid === best
    const lossReason = isWinner ? undefined : won && isDeal(best) ? LOST_TO_DEAL : LOST_TO_HIGHER_BID
    return { bid, impression, won: isWinner, clearingPrice, lossReason, minToWin: minToWin(isWinner, others, floor) }
  })
}

interface Rivals {
  readonly impression: Json
  readonly at: number
  readonly others: number
  readonly next: Json | undefined
}

function paidBy(best: Json, { impression, at, others, next }: Rivals): number {
  const deal = objectsFrom(objectFrom(impression.pmp).deals).find(each => each.id === best.dealid)
  const rule = numberFrom(deal?.at) ?? at
  if (rule === 1) return priceOf(best)
  const floor = numberFrom((deal ?? impression).bidfloor) ?? 0
  // 3: the deal's price was agreed.
  const second = rule === 3 ? floor : Math.max(floor, others, next === undefined ? 0 : priceOf(next)) + STEP
  return rounded(Math.min(priceOf(best), second))
}

function minToWin(isWinner: boolean, others: number, floor: number): number {
  return rounded(isWinner ? Math.max(others, floor) + STEP : others + STEP)
}

function isDeal(bid: Json): boolean {
  return textFrom(bid.dealid) !== undefined
}

function priceOf(bid: Json): number {
  return numberFrom(bid.price) ?? 0
}

/** Exchanges tell prices with four places. */
function rounded(price: number): number {
  return Math.round(price * 1e4) / 1e4
}

/** Box and Muller. */
function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.unit())) * Math.cos(2 * Math.PI * random.unit())
}

/** What the macros of OpenRTB 2.6 section 4.4 stand for. */
export type MacroValues = Readonly<Record<string, string>>

/** Values of all macros for one outcome. @param response the whole bid response */
export function macroValues(outcome: Outcome, request: Json, response: Json, seat: string | undefined): MacroValues {
  const { bid, clearingPrice, lossReason, minToWin: least } = outcome
  return {
    AUCTION_ID: textFrom(request.id) ?? '',
    AUCTION_BID_ID: textFrom(response.bidid) ?? textFrom(bid.id) ?? '',
    AUCTION_IMP_ID: textFrom(bid.impid) ?? '',
    AUCTION_SEAT_ID: seat ?? '',
    AUCTION_AD_ID: textFrom(bid.adid) ?? '',
    AUCTION_PRICE: String(clearingPrice),
    AUCTION_CURRENCY: textFrom(response.cur) ?? 'USD',
    AUCTION_MBR: '',
    AUCTION_LOSS: lossReason === undefined ? '0' : String(lossReason),
    AUCTION_MIN_TO_WIN: String(least),
    AUCTION_MULTIPLIER: '1',
    AUCTION_IMP_TS: '',
  }
}

/**
 * Puts values in for macros, in Base64 where the macro asks for it; macros that are unknown become empty.
 * @param spellings of an exchange that has its own for some of them
 */
export function expanded(text: string, values: MacroValues, spellings: Readonly<Record<string, string>> = {}): string {
  let told = text
  for (const [name, spelling] of Object.entries(spellings))
    told = told.replaceAll(spelling, () => encodeURIComponent(values[name] ?? ''))
  return told.replace(/\$\{(AUCTION_[A-Z_]+)(:B64)?\}/g, (_, name: string, encoding: string | undefined) => {
    const value = values[name] ?? ''
    return encodeURIComponent(encoding === undefined ? value : Buffer.from(value).toString('base64'))
  })
}
