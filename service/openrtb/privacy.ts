import { type Json, objectOf } from './json.ts'

/**
 * Whether anything about the person may be used. A signal that restricts, or that is not decoded here (consent and
 * privacy strings), means no: what remains is the context (page or app, device class, coarse place).
 * Reads COPPA, lmt, dnt, GDPR, consent, US-privacy, GPP and GPC in their OpenRTB 2.6 and 2.5 places. Pure.
 */
export function userDataAllowed(request: Json): boolean {
  const regs = objectOf(request.regs)
  const regsExt = objectOf(regs.ext)
  const device = objectOf(request.device)
  const user = objectOf(request.user)
  const restricted =
    isSet(regs.coppa) ||
    isSet(device.lmt) ||
    isSet(device.dnt) ||
    isSet(regs.gdpr) ||
    isSet(regsExt.gdpr) ||
    isSet(regs.us_privacy) ||
    isSet(regsExt.us_privacy) ||
    isSet(regs.gpp) ||
    isSet(regsExt.gpp) ||
    isSet(regsExt.gpc) ||
    isListed(regs.gpp_sid) ||
    isListed(regsExt.gpp_sid) ||
    // Where GDPR is said not to apply, a consent string has nothing to consent to.
    ((isSet(user.consent) || isSet(objectOf(user.ext).consent)) && regs.gdpr !== 0 && regsExt.gdpr !== 0)
  return !restricted
}

/**
 * Everywhere else a value of the wrong type counts as absent; here it counts as a restriction, because `"1"` and true
 * are mistakes of a sender who means it. A privacy string of any length counts, also one that is too long to be real.
 */
function isSet(value: unknown): boolean {
  return value !== undefined && value !== null && value !== 0 && value !== '' && value !== '0' && value !== false
}

/** A list with something in it, or something that should have been a list. */
function isListed(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : isSet(value)
}
