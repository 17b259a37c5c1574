import {
  type AcceptanceOptions,
  type Json,
  numberFrom,
  objectFrom,
  objectsFrom,
  type Report,
  textFrom,
} from './acceptance-rules.ts'

interface Floor {
  readonly price: number
  readonly currency: string
}

/** Prices are decimal: a millionth of a millionth is the float's error and no offence. */
const PRICE_TOLERANCE = 1e-9

interface FloorSetting {
  readonly currency: string
  readonly rates: AcceptanceOptions['rates']
  /** Length of the creative in seconds, when it has one. */
  readonly durationS?: number | undefined
}

/**
 * Judges a bid's price against the floor that the guide for buyers puts first: the deal's, else one by duration, else
 * the impression's.
 */
export function judgeFloor(imp: Json, bid: Json, setting: FloorSetting, report: Report): void {
  const price = numberFrom(bid.price)
  if (price === undefined) return
  const floor = floorOf(imp, bid, setting.durationS)
  if (floor.price <= 0) return
  const factor = conversion(floor.currency, setting.currency, setting.rates)
  if (factor === undefined) return
  const needed = floor.price * factor
  // Not a number: there is no rate, so the exchange would drop the bid.
  if (!(price >= needed * (1 - PRICE_TOLERANCE)))
    report('floor', { price, currency: setting.currency, floor: floor.price, floorCurrency: floor.currency })
}

function floorOf(imp: Json, bid: Json, durationS: number | undefined): Floor {
  const dealId = textFrom(bid.dealid)
  const deal = dealId === undefined ? undefined : objectsFrom(objectFrom(imp.pmp).deals).find(one => one.id === dealId)
  if (deal) {
    const currency = textFrom(deal.bidfloorcur) ?? 'USD'
    const price = floorByDuration(deal, durationS) ?? numberFrom(deal.bidfloor)
    if (price !== undefined) return { price, currency }
  }
  const currency = textFrom(imp.bidfloorcur) ?? 'USD'
  const format = objectFrom(bid.mtype === 2 ? imp.video : bid.mtype === 3 ? imp.audio : undefined)
  return { price: floorByDuration(format, durationS) ?? numberFrom(imp.bidfloor) ?? 0, currency }
}

/** mincpmpersec × seconds, or the floor of the first duration range that holds the duration. */
function floorByDuration(owner: Json, durationS: number | undefined): number | undefined {
  if (durationS === undefined) return undefined
  const perSecond = numberFrom(owner.mincpmpersec)
  if (perSecond !== undefined) return perSecond * durationS
  for (const range of objectsFrom(owner.durfloors)) {
    const from = numberFrom(range.mindur) ?? 0
    const to = numberFrom(range.maxdur) ?? Number.POSITIVE_INFINITY
    if (durationS >= from && durationS <= to) return numberFrom(range.bidfloor)
  }
  return undefined
}

/** Units of the target per unit of the source; NaN when a rate is missing, undefined when it cannot be judged. */
function conversion(source: string, target: string, rates: AcceptanceOptions['rates']): number | undefined {
  if (source === target) return 1
  if (rates === undefined) return undefined
  return (rates[source] ?? Number.NaN) / (rates[target] ?? Number.NaN)
}
