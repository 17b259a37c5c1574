import { isOne, type Json, objectOf, textOf } from './json.ts'

/**
 * Whether anything about the person may be used. A signal that restricts, or that is not decoded here (consent and
 * privacy strings), means no: what remains is the context (page or app, device class, coarse place).
 * Reads COPPA, lmt, dnt, GDPR, US-privacy, GPP and GPC in their OpenRTB 2.6 and 2.5 places. Pure.
 */
export function userDataAllowed(request: Json): boolean {
  const regs = objectOf(request.regs)
  const regsExt = objectOf(regs.ext)
  const device = objectOf(request.device)
  const restricted =
    isOne(regs.coppa) ||
    isOne(device.lmt) ||
    isOne(device.dnt) ||
    isOne(regs.gdpr) ||
    isOne(regsExt.gdpr) ||
    isGiven(regs.us_privacy) ||
    isGiven(regsExt.us_privacy) ||
    isGiven(regs.gpp) ||
    isGiven(regsExt.gpp) ||
    isOne(regsExt.gpc) ||
    textOf(regsExt.gpc) === '1'
  return !restricted
}

/** A privacy string of any length counts, also one that is too long to be real. */
function isGiven(value: unknown): boolean {
  return typeof value === 'string' && value !== ''
}
