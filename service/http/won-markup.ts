/** Markup as the answer to a win notice (OpenRTB 2.6, 4.3.1), for exchanges that want none in the bid. */
import { spelledFor } from '../openrtb/auction-macros.ts'
import { filledFragment } from '../openrtb/macro-values.ts'
import type { NoticeToken } from '../openrtb/notice-token.ts'
import type { Serving } from './serving.ts'

/** What is sent. */
export interface Markup {
  readonly contentType: string
  readonly body: string
}

/** Which markup is asked for. */
export interface MarkupAsked {
  readonly token: NoticeToken
  readonly tokenText: string
  /** Which of the creative's renditions was bid. */
  readonly rendition: number
  readonly nowMs: number
  /** See MacroSource. */
  readonly cacheBuster: number
}

const NOTHING = Object.freeze({})

/**
 * The markup of the creative that a token names, with its macros filled as far as the token tells of the bid: what only
 * the request told is empty.
 * @returns undefined when the creative is not served any more. Cost: O(characters of the markup)
 */
export function wonMarkup({ token, tokenText, rendition, nowMs, cacheBuster }: MarkupAsked, serving: Serving) {
  const fragment = serving.renditionOf(token.creativeId, rendition)
  const exchange = serving.exchange(token.exchangeId)
  if (fragment === undefined || exchange === undefined) return undefined
  const { bidId, exchangeId, campaignId, lineItemId } = token
  const source = { bidId, exchangeId, campaignId, lineItemId, dealId: '', noticeToken: tokenText, nowMs, cacheBuster }
  const filled = filledFragment(fragment, { ...source, request: NOTHING, imp: NOTHING })
  const { adm } = JSON.parse(`{${spelledFor(exchange, filled)}}`) as { readonly adm: string }
  const contentType = adm.startsWith('<VAST ') ? 'application/xml; charset=utf-8' : 'text/html; charset=utf-8'
  return { contentType, body: adm } satisfies Markup
}
