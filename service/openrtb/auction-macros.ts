import type { Exchange } from '../state/exchange-document.ts'

/** A macro that the exchange fills. OpenRTB 2.6, 4.4. */
const AUCTION_MACRO = /\$\{(AUCTION_[A-Z_]+(?::[A-Z0-9]+)?)\}/g

/** Text whose macros are spelled as the exchange spells them: nearly always the very text. Pure. Cost: O(text). */
export function spelledFor({ auctionMacros }: Exchange, text: string): string {
  if (auctionMacros === undefined) return text
  return text.replace(AUCTION_MACRO, (standard: string, name: string) => auctionMacros[name] ?? standard)
}
