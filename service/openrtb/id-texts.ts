/** Ids by which the tenant's audiences may have whoever a bid request is about. Pure. */
import { LIMITS } from '../limits.ts'
import { deviceIdText, exchangeIdText, ourIdText, sharedIdText } from '../state/user-ids.ts'
import { type Json, listOf, objectOf, textOf } from './json.ts'

/**
 * By user.buyeruid, user.id, device.ifa and user.eids, also where OpenRTB 2.5 has them (2.6: 3.2.18, 3.2.20, 3.2.27).
 * Only for requests whose data may be used. Cost: O(eids), up to LIMITS.userIdsReadMax
 */
export function idTextsOf(user: Json, device: Json, exchangeId: string): readonly string[] {
  const found: string[] = []
  const ours = textOf(user.buyeruid)
  if (ours !== '') found.push(ourIdText(ours))
  const theirs = textOf(user.id)
  if (theirs !== '') found.push(exchangeIdText(exchangeId, theirs))
  const ifa = deviceIdText(textOf(device.ifa))
  if (ifa !== '') found.push(ifa)
  const providers = listOf(user.eids ?? objectOf(user.ext).eids)
  for (let i = 0; i < providers.length; i++) {
    const provider = objectOf(providers[i])
    const uids = listOf(provider.uids)
    for (let j = 0; j < uids.length && found.length < LIMITS.userIdsReadMax; j++) {
      const id = textOf(objectOf(uids[j]).id)
      if (id !== '') found.push(sharedIdText(textOf(provider.source), id))
    }
  }
  return found
}

/** The same of a parsed body. */
export function idTextsOfRequest(body: unknown, exchangeId: string): readonly string[] {
  const { user, device } = objectOf(body)
  return idTextsOf(objectOf(user), objectOf(device), exchangeId)
}
