import type { Exchange } from '../state/exchange-document.ts'
import { isObject, isOne, type Json, numberOf, objectOf } from './json.ts'

/** How long impressions usually take, in seconds. OpenRTB 2.6, implementation guide, 7.8. */
const USUAL = { page: 60, app: 300, player: 300, native: 600, fullScreen: 1_800 } as const

/**
 * Seconds from a bid until its impression at most, as the bid says (`bid.exp`, OpenRTB 2.6, 4.2.3): the exchange's
 * setting, or what is usual for such a place, and never longer than the impression says (`imp.exp`). Pure.
 */
export function expiryS({ expiryS: agreed }: Exchange, request: Json, imp: Json): number {
  const ours = agreed ?? usualS(request, imp)
  const theirs = Math.floor(numberOf(imp.exp, ours))
  return theirs >= 1 && theirs < ours ? theirs : ours
}

function usualS(request: Json, imp: Json): number {
  const { video, audio } = imp
  if (isOne(imp.instl) || isOne(imp.rwdd) || isOne(objectOf(objectOf(video).ext).rewarded)) return USUAL.fullScreen
  if (isObject(imp.native)) return USUAL.native
  if (isObject(video) || isObject(audio)) return USUAL.player
  return isObject(request.app) ? USUAL.app : USUAL.page
}
