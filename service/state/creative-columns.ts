/** Collects creatives, one at a time, and writes them into a catalog's columns. */
import type { Column } from './arena.ts'
import { bannerSlot, type CatalogColumns, FORMAT, SPACE, VIDEO_SLOT } from './catalog.ts'
import { categoryWithParents } from './dimensions.ts'
import { type Advertiser, type Creative, VAST_PROTOCOLS } from './documents.ts'
import { GrowingText, growingU32 } from './growing.ts'
import type { TextTableBuilder } from './text-table.ts'
import { mimeBit } from './vocabulary.ts'

/** Creatives of one build. Texts of categories go into the table that the whole catalog shares. */
export class CreativeColumns {
  readonly #texts: TextTableBuilder
  readonly #format = growingU32()
  readonly #attributes = growingU32()
  readonly #bannerTypes = growingU32()
  readonly #mimes = growingU32()
  readonly #protocols = growingU32()
  readonly #secure = growingU32()
  readonly #durationS = growingU32()
  readonly #width = growingU32()
  readonly #height = growingU32()
  readonly #slot = growingU32()
  readonly #fragmentStart = growingU32()
  readonly #fragments = new GrowingText()
  readonly #categoryStart = growingU32()
  readonly #categories = growingU32()

  constructor(texts: TextTableBuilder) {
    this.#texts = texts
  }

  /**
   * Takes one active creative of an advertiser.
   * @param fragment its part of every bid, ASCII
   * @returns its ordinal
   * @throws AssertionFailure when the fragment is not ASCII
   */
  add(document: Creative, advertiser: Advertiser, fragment: string): number {
    const ordinal = this.#format.length
    const fits = fitOf(document)
    this.#format.push(fits.format)
    this.#attributes.push(attributeMask(document))
    this.#bannerTypes.push(fits.bannerTypes)
    this.#mimes.push(fits.mimes)
    this.#protocols.push(fits.protocols)
    this.#secure.push(fits.secure)
    this.#durationS.push(fits.durationS)
    this.#width.push(document.width)
    this.#height.push(document.height)
    this.#slot.push(fits.slot)
    this.#fragmentStart.push(this.#fragments.length)
    this.#fragments.push(fragment)
    this.#categoryStart.push(this.#categories.length)
    const categories = new Set([...(document.categories ?? []), ...advertiser.categories].flatMap(categoryWithParents))
    for (const category of categories) this.#categories.push(this.#texts.add(SPACE.blockedCategory, category))
    return ordinal
  }

  /** The slot that a creative needs, see bannerSlot and VIDEO_SLOT. */
  slotOf(ordinal: number): number {
    return this.#slot.at(ordinal)
  }

  /** Lengths of the creatives' columns, in elements. */
  sizes() {
    const creatives = this.#format.length
    return {
      creativeFormat: creatives,
      creativeAttributes: creatives,
      creativeBannerTypes: creatives,
      creativeMimes: creatives,
      creativeProtocols: creatives,
      creativeSecure: creatives,
      creativeDurationS: creatives,
      creativeWidth: creatives,
      creativeHeight: creatives,
      creativeFragmentStart: creatives + 1,
      fragmentBytes: this.#fragments.length,
      creativeCategoryStart: creatives + 1,
      creativeCategories: this.#categories.length,
      creativeSlot: creatives,
    }
  }

  /** Writes all creatives into columns of those lengths. Cost: O(bytes of the columns). */
  write(columns: CatalogColumns): void {
    columns.creativeFormat.set(this.#format.view())
    columns.creativeAttributes.set(this.#attributes.view())
    columns.creativeBannerTypes.set(this.#bannerTypes.view())
    columns.creativeMimes.set(this.#mimes.view())
    columns.creativeProtocols.set(this.#protocols.view())
    columns.creativeSecure.set(this.#secure.view())
    columns.creativeDurationS.set(this.#durationS.view())
    columns.creativeWidth.set(this.#width.view())
    columns.creativeHeight.set(this.#height.view())
    columns.creativeSlot.set(this.#slot.view())
    writeStarts(columns.creativeFragmentStart, this.#fragmentStart.view(), this.#fragments.length)
    columns.fragmentBytes.set(this.#fragments.view())
    writeStarts(columns.creativeCategoryStart, this.#categoryStart.view(), this.#categories.length)
    columns.creativeCategories.set(this.#categories.view())
  }
}

/** Writes where each list begins, and after them where the last one ends. */
export function writeStarts(target: Column<'u32'>, starts: Uint32Array, end: number): void {
  target.set(starts)
  target[starts.length] = end
}

/** The skippable attribute is implied by the document, so that nobody forgets to declare it (OpenRTB attr 16). */
function attributeMask(creative: Creative): number {
  let mask = 0
  for (const attribute of creative.attributes ?? []) mask |= 1 << attribute
  if (creative.format === 'video' && creative.skipAfterS !== undefined) mask |= 1 << 16
  return mask
}

/** What an impression must offer for this creative, as codes and masks. */
function fitOf(creative: Creative) {
  if (creative.format === 'banner') {
    const mime = creative.content.kind === 'image' ? creative.content.mime : 'text/html'
    return {
      format: FORMAT.banner,
      bannerTypes: 1 << creative.bannerType,
      mimes: mimeBit(mime),
      protocols: 0,
      secure: creative.secure ? 1 : 0,
      durationS: 0,
      slot: bannerSlot(creative.width, creative.height),
    }
  }
  return {
    format: FORMAT.video,
    bannerTypes: 0,
    mimes: creative.mediaFiles.reduce((mask, file) => mask | mimeBit(file.mime), 0),
    protocols: 1 << VAST_PROTOCOLS[creative.vastVersion],
    secure: 1,
    durationS: creative.durationS,
    slot: VIDEO_SLOT,
  }
}
