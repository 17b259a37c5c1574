/** Ids of users as one text each, so that ids of different kinds never mean the same user by accident. */

/** A device without an advertising id sends zeros. */
const NO_IFA = /^[0-]*$/

/** Our own id for a user, that exchanges know from cookie matching (OpenRTB 2.6, 3.2.20: user.buyeruid). */
export function ourIdText(id: string): string {
  return `ours ${id}`
}

/** An exchange's id for a user (user.id). */
export function exchangeIdText(exchangeId: string, id: string): string {
  return `at ${exchangeId} ${id}`
}

/** An id that several parties share (3.2.27: user.eids). */
export function sharedIdText(source: string, id: string): string {
  return `of ${source} ${id}`
}

/** A device's advertising id (3.2.18: device.ifa), spelled in both cases; '' where it says that it has none. */
export function deviceIdText(ifa: string): string {
  return NO_IFA.test(ifa) ? '' : `device ${ifa.toLowerCase()}`
}

/** Kinds of ids as people write them: `user` and `eid` with a colon and whose id it is. */
export const ID_KINDS = 'buyeruid, ifa, user:EXCHANGE or eid:SOURCE'

/** What makes an id of a kind its text, '' for an id that says that there is none; undefined for an unknown kind. */
export function idTextMaker(kind: string): ((id: string) => string) | undefined {
  if (kind === 'buyeruid') return ourIdText
  if (kind === 'ifa') return deviceIdText
  const [name, ...rest] = kind.split(':')
  const of = rest.join(':')
  if (!/^\S{1,128}$/.test(of)) return undefined
  if (name === 'user') return id => exchangeIdText(of, id)
  return name === 'eid' ? id => sharedIdText(of, id) : undefined
}
