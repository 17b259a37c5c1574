import type { CatalogColumns } from '../state/catalog.ts'
import { ASSET_WORDS, IMAGE_ASSET } from '../state/native-assets.ts'
import type { AssetWish, NativeOffer } from './opportunity.ts'

/**
 * Whether a native creative has an asset for every wish that is required, and for one at least. Pure.
 * Cost: O(wishes × assets).
 */
export function nativeFits(columns: CatalogColumns, creative: number, offer: NativeOffer): boolean {
  if ((columns.creativeAttributes[creative]! & offer.blockedAttributes) !== 0) return false
  let granted = 0
  for (let i = 0; i < offer.wishes.length; i++) {
    const wish = offer.wishes[i]!
    if (assetFor(columns, creative, wish) >= 0) granted++
    else if (wish.required) return false
  }
  return granted > 0
}

/** The position of a creative's first asset that grants a wish, −1 when none does. Pure. Cost: O(assets). */
export function assetFor({ creativeAssetStart, creativeAssets }: CatalogColumns, creative: number, wish: AssetWish) {
  const start = creativeAssetStart[creative]!
  const end = creativeAssetStart[creative + 1]!
  for (let at = start; at < end; at += ASSET_WORDS) {
    if (creativeAssets[at] !== wish.code) continue
    const measure = creativeAssets[at + 1]!
    const isImage = wish.code >= IMAGE_ASSET && wish.code < 2 * IMAGE_ASSET
    if (!isImage && measure > wish.charsMax) continue
    if (isImage && !imageFits(wish, measure, creativeAssets[at + 2]!, creativeAssets[at + 3]!)) continue
    return (at - start) / ASSET_WORDS
  }
  return -1
}

function imageFits({ width, height, mimes }: AssetWish, ownWidth: number, ownHeight: number, mime: number): boolean {
  if (mimes !== 0 && (mimes & mime) === 0) return false
  return sideFits(width, ownWidth) && sideFits(height, ownHeight)
}

/** A side is asked for exactly, or as the least, or not at all. OpenRTB Native 1.2, 4.4: w alone is exact. */
function sideFits(side: AssetWish['width'], own: number): boolean {
  return side.exact === 0 ? own >= side.min : own === side.exact
}
