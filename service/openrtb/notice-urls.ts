/** The addresses by which an exchange tells what became of a bid. OpenRTB 2.6 sections 4.2.3 and 4.4. Pure. */

import type { Exchange } from '../state/exchange-document.ts'
import { HOLE_CLOSES, HOLE_OPENS } from './macro-text.ts'
import type { DeviceEvent } from './notice.ts'
import { type BilledBy, type NoticeToken, type SignText, type TokenReader, writeToken } from './notice-token.ts'

/** What all addresses of a task have in common. */
export interface NoticeUrlTerms {
  /** Where exchanges and devices reach the load balancer, without a path. */
  readonly publicUrl: string
  readonly tenantId: string
  /** The key that signs. */
  readonly keyId: string
  readonly sign: SignText
}

/** Exchanges replace it, in the markup, too. What is no address is left out of it by whoever reads it. */
// biome-ignore lint/suspicious/noTemplateCurlyInString: the exchange replaces them, not we
const MACROS = { price: '${AUCTION_PRICE}', loss: '${AUCTION_LOSS}', minToWin: '${AUCTION_MIN_TO_WIN}' } as const

/** Of a win notice that is answered with markup: which rendition of the creative. */
export const MARKUP_PARAMETER = 'm'

/** See macro-values.ts: filled with the bid's token. */
const TOKEN_HOLE = `${HOLE_OPENS}NOTICE_TOKEN${HOLE_CLOSES}`

/** Makes addresses and the tokens in them. What it writes is ASCII and needs no escape in JSON. */
export class NoticeUrls {
  readonly #terms: NoticeUrlTerms
  readonly #base: string

  constructor(terms: NoticeUrlTerms) {
    this.#terms = terms
    this.#base = `${terms.publicUrl}/${terms.tenantId}`
  }

  /** The signed token of a bid, see writeToken. Cost: some 1.5 µs. */
  tokenOf(bid: NoticeToken): string {
    return writeToken(bid, this.#terms.keyId, this.#terms)
  }

  /** Where the markup tells of an event, with a hole for the token. It may bill, so an impression has the price. */
  eventOf(event: DeviceEvent): string {
    const price = event === 'impression' ? `?price=${MACROS.price}` : ''
    return `${this.#base}/event/${event}/${TOKEN_HOLE}${price}`
  }

  /** Where a click goes to be counted, on its way to a landing page that we sign; with a hole for the token. */
  clickOf(landingUrl: string): string {
    const { tenantId, keyId, sign } = this.#terms
    const signature = `${keyId}~${sign(keyId, landingText(tenantId, landingUrl))}`
    return `${this.eventOf('click')}?to=${encodeURIComponent(landingUrl)}&s=${signature}`
  }

  /**
   * JSON members of a bid, a comma before each: what the exchange is to call, by its settings.
   * @param rendition of the creative, for a win notice that is answered with its markup
   */
  membersOf(token: string, { billing, markup, notices }: Exchange, rendition: number): string {
    const base = `${this.#base}/notice`
    const fetches = markup === 'win-notice' ? `&${MARKUP_PARAMETER}=${rendition}` : ''
    const win =
      billing === 'win' || fetches !== '' || notices?.includes('win') === true
        ? `,"nurl":"${base}/win/${token}?price=${MACROS.price}${fetches}"`
        : ''
    const burl =
      billing === undefined || billing === 'burl' ? `,"burl":"${base}/billing/${token}?price=${MACROS.price}"` : ''
    if (notices?.includes('loss') !== true) return win + burl
    const told = `price=${MACROS.price}&loss=${MACROS.loss}&min=${MACROS.minToWin}`
    return `${win}${burl},"lurl":"${base}/loss/${token}?${told}"`
  }
}

/** An empty key's name makes it a text that is no token's. */
function landingText(tenantId: string, url: string): string {
  return `${tenantId}~~${url}`
}

/** Whether an address is one to which a click of ours leads. Constant time in the signature. */
export function isLanding(url: string, signature: string, { tenantId, sign, same }: TokenReader): boolean {
  const at = signature.indexOf('~')
  const expected = sign(signature.slice(0, Math.max(0, at)), landingText(tenantId, url))
  return expected !== undefined && same(expected, signature.slice(at + 1))
}

/** Which notices of a bid are billed. @param isPlayed whether a player calls the impression: video and audio */
export function billedBy({ billing }: Exchange, isPlayed: boolean): BilledBy {
  if (billing === 'win' || billing === 'impression') return billing
  return isPlayed ? 'billing-or-impression' : 'billing'
}
