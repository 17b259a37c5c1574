/** What frequency caps leave to line items and creatives. It changes with every bid and impression. */
import type { Catalog } from '../state/catalog.ts'

/** Told by who counts impressions, for whoever the request at hand is about. Must be cheap. */
export interface Frequency {
  /** Whether the caps of a line item, its campaign, advertiser and tenant let it have one more impression. */
  allowsLineItem(lineItem: number): boolean
  /** The same for a creative's own caps. */
  allowsCreative(creative: number): boolean
}

/** Where nobody counts: what has a cap does not bid. */
export function withoutCounting({ columns, header }: Catalog): Frequency {
  const { lineItemCapStart: lineItems, creativeCapStart: creatives } = columns
  const isFree = header.settings.frequencyCaps === undefined
  return {
    allowsLineItem: lineItem => isFree && lineItems[lineItem] === lineItems[lineItem + 1],
    allowsCreative: creative => creatives[creative] === creatives[creative + 1],
  }
}
