import type { NoBidReason } from '../decision/reasons.ts'
import type { Exchange } from '../state/exchange-document.ts'

/** OpenRTB no-bid reason codes (AdCOM list "No-Bid Reason Codes"), sent where an exchange's setting asks for them. */
const NBR: Readonly<Record<NoBidReason, number>> = {
  'state-not-ready': 1,
  'tenant-paused': 0,
  'exchange-paused': 0,
  stopped: 0,
  'seat-not-allowed': 0,
  'deadline-too-short': 15,
  'transparency-required': 0,
  'currency-not-accepted': 0,
  'no-supported-format': 0,
  'no-eligible-line-item': 0,
  'outside-flight': 0,
  'above-maximum-cpm': 0,
  'below-floor': 0,
  'advertiser-blocked': 0,
  'category-blocked': 0,
  'creative-not-allowed': 0,
  'creative-not-approved': 0,
  'already-on-page': 0,
  'frequency-capped': 9,
  'paced-out': 0,
  'no-budget': 0,
  'spending-too-fast': 0,
  'answer-full': 0,
  'bid-refused': 1,
  'internal-error': 1,
}

/** The number of a reason as an exchange wants it. */
export function noBidCode(reason: NoBidReason, { noBidCodes }: Exchange): number {
  const code = NBR[reason]
  return noBidCodes?.[code] ?? code
}
