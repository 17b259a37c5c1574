/** Who a bid request is about, as frequency caps count them: hashes, made while it is read. Pure. */
import { hashText, mixWord } from '../foundation/hash.ts'
import { readAddress } from '../state/addresses.ts'
import { CAP_SUBJECTS, type Identities } from '../state/cap-fields.ts'
import { deviceIdText, exchangeIdText, ourIdText, sharedIdText } from '../state/user-ids.ts'
import { isObject, type Json, listOf, objectOf, textOf } from './json.ts'

/** How a tenant knows people. */
export interface IdentityTerms {
  /** Of the tenant, so that no other tenant's hashes are the same. */
  readonly salt: number
  /** Whom anybody asks for: see countedSubjects. The others are not read. */
  readonly subjects: number
}

const USER = CAP_SUBJECTS.indexOf('user')
const DEVICE = CAP_SUBJECTS.indexOf('device')
const HOUSEHOLD = CAP_SUBJECTS.indexOf('household')
const address = new Uint32Array(4)

/**
 * Reads user, device and household (OpenRTB 2.6, 3.2.18, 3.2.20, 3.2.27). Only for requests whose data may be used.
 */
export function readIdentities(request: Json, exchangeId: string, { salt, subjects }: IdentityTerms): Identities {
  const identities: Identities = new Uint32Array(2 * CAP_SUBJECTS.length)
  const device = objectOf(request.device)
  const [asksUser, asksDevice] = [(subjects & (1 << USER)) !== 0, (subjects & (1 << DEVICE)) !== 0]
  const user = asksUser ? userText(objectOf(request.user), exchangeId) : ''
  const deviceText = asksDevice || (asksUser && user === '') ? deviceIdText(textOf(device.ifa)) : ''
  if (asksUser) writeHash(identities, USER, user || deviceText, salt)
  if (asksDevice) writeHash(identities, DEVICE, deviceText, salt)
  if ((subjects & (1 << HOUSEHOLD)) !== 0) writeHousehold(identities, device, salt)
  return identities
}

/** Our own id for the user, the exchange's, one that several parties share. */
function userText(user: Json, exchangeId: string): string {
  const ours = textOf(user.buyeruid)
  if (ours !== '') return ourIdText(ours)
  const theirs = textOf(user.id)
  return theirs === '' ? sharedText(user) : exchangeIdText(exchangeId, theirs)
}

function sharedText(user: Json): string {
  const [first] = listOf(user.eids ?? objectOf(user.ext).eids)
  if (!isObject(first)) return ''
  const [uid] = listOf(first.uids)
  const id = isObject(uid) ? textOf(uid.id) : ''
  return id === '' ? '' : sharedIdText(textOf(first.source), id)
}

function writeHash(identities: Identities, subject: number, text: string, salt: number): void {
  if (text === '') return
  identities[2 * subject] = hashText(text, salt)
  // Both words 0 would be nobody.
  identities[2 * subject + 1] = hashText(text, ~salt) || 1
}

/** An IPv4 address, or the 64 bits of an IPv6 address that a home keeps. A shortened address is nobody's. */
function writeHousehold(identities: Identities, device: Json, salt: number): void {
  const isV4 = readAddress(textOf(device.ip), address) && ((address[3] as number) & 0xff) !== 0
  if (!isV4 && !(readAddress(textOf(device.ipv6), address) && address[1] !== 0)) return
  const first = isV4 ? 2 : 0
  const one = address[first] as number
  const other = address[first + 1] as number
  identities[2 * HOUSEHOLD] = mixWord(mixWord(one ^ salt) ^ other)
  identities[2 * HOUSEHOLD + 1] = mixWord(mixWord(other ^ ~salt) ^ one) || 1
}
