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
