/** The bid request that a task sends to itself before it says that it is ready. */
import type { Catalog } from '../state/catalog.ts'
import { FORMAT } from '../state/catalog.ts'

const ANY_TITLE = '{"assets":[{"id":1,"title":{}}]}'

/** @returns a request for the place that the best line item's first creative needs. Any valid answer passes. */
export function selfBidRequest({ header, columns }: Catalog): string {
  const creative = header.lineItems === 0 ? -1 : (columns.lineItemCreatives[0] as number)
  const w = creative < 0 ? 300 : columns.creativeWidth[creative]
  const h = creative < 0 ? 250 : columns.creativeHeight[creative]
  const format = creative < 0 ? FORMAT.banner : columns.creativeFormat[creative]
  const place = {
    [FORMAT.video]: { video: { w, h } },
    [FORMAT.audio]: { audio: {} },
    [FORMAT.native]: { native: { request: ANY_TITLE } },
  }[format ?? 0] ?? {
    banner: { w, h },
  }
  const imp = { id: '1', ...place }
  return JSON.stringify({ id: 'self-bid', test: 1, imp: [imp], site: { domain: 'self-bid.invalid' } })
}
