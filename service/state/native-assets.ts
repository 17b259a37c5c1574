/** What a native creative is made of, as numbers that an impression's wishes can be compared with. */
import type { NativeCreative } from './creative-document.ts'
import { mimeBit } from './vocabulary.ts'

/** Numbers per asset in the catalog: code, two measures, media types. */
export const ASSET_WORDS = 4
/** Code of a title; its measure is its length in UTF-16 units. */
export const TITLE_ASSET = 1
/** Codes of images: this and OpenRTB Native's image type (1 icon, 3 main). Its measures are width and height. */
export const IMAGE_ASSET = 16
/** Codes of texts: this and OpenRTB Native's data type. The measure is the length. */
export const DATA_ASSET = 32

/** ASSET_WORDS numbers per asset, in the order of the document. */
export function assetWords({ assets }: NativeCreative): readonly number[] {
  return assets.flatMap(asset => {
    if (asset.kind === 'title') return [TITLE_ASSET, asset.text.length, 0, 0]
    if (asset.kind === 'data') return [DATA_ASSET + asset.type, asset.text.length, 0, 0]
    return [IMAGE_ASSET + asset.type, asset.width, asset.height, mimeBit(asset.mime)]
  })
}
