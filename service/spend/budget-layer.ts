/** A catalog that serves, with the slices of its line items. */
import type { Catalog } from '../state/catalog.ts'

/** What bid threads need beside a catalog: by ordinal the slice of each line item, and its rate. */
export interface CatalogShares {
  /** Int32 per ordinal: the slice's number, −1 for a line item without a budget. */
  readonly slices: SharedArrayBuffer
  /** Uint32 per ordinal: of 1,000,000 opportunities, how many it takes part in. Written while it serves. */
  readonly rates: SharedArrayBuffer
}

/** A catalog, or an overlay above one, with its slices. */
export interface BudgetLayer {
  readonly catalog: Catalog
  readonly shares: CatalogShares
  /** Of the shares. */
  readonly rates: Uint32Array
  /** Ordinals by slice number. */
  readonly ordinals: ReadonlyMap<number, number>
}

/** Where a line item of a slice is. */
export interface Place {
  readonly layer: BudgetLayer
  readonly ordinal: number
}

/** Where a slice's line item is: in the overlay, or in the catalog unless the overlay replaces it. */
export function placeOf([base, overlay]: readonly BudgetLayer[], number: number): Place | undefined {
  const above = overlay?.ordinals.get(number)
  if (overlay !== undefined && above !== undefined) return { layer: overlay, ordinal: above }
  const ordinal = base?.ordinals.get(number)
  if (base === undefined || ordinal === undefined) return undefined
  const masked = overlay?.catalog.columns.maskedBelow[ordinal >>> 5] ?? 0
  return (masked >>> (ordinal & 31)) & 1 ? undefined : { layer: base, ordinal }
}
