/** The bid request that a task sends to itself before it says that it is ready. */
import type { Catalog } from '../state/catalog.ts'
import { FORMAT } from '../state/catalog.ts'

/** @returns a request for the place that the best line item's first creative needs. Any valid answer passes. */
export function selfBidRequest({ header, columns }: Catalog): string {
  const creative = header.lineItems === 0 ? -1 : (columns.lineItemCreatives[0] as number)
  const w = creative < 0 ? 300 : columns.creativeWidth[creative]
  const h = creative < 0 ? 250 : columns.creativeHeight[creative]
  const isVideo = creative >= 0 && columns.creativeFormat[creative] === FORMAT.video
  const imp = isVideo ? { id: '1', video: { mimes: ['video/mp4'], w, h } } : { id: '1', banner: { w, h } }
  return JSON.stringify({ id: 'self-bid', test: 1, imp: [imp], site: { domain: 'self-bid.invalid' } })
}
