/** Collects creatives, one at a time, and writes them into a catalog's columns. */
import type { Column } from './arena.ts'
import { bannerTypesOf } from './banner-types.ts'
import { capWords } from './cap-fields.ts'
import {
  AUDIO_SLOT,
  bannerSlot,
  type CatalogColumns,
  FORMAT,
  NATIVE_SLOT,
  SPACE,
  TRANSPARENCY,
  VIDEO_SLOT,
} from './catalog.ts'
import { type Creative, isVast, mediaMimesOf, protocolOf } from './creative-document.ts'
import { categoryWithParents } from './dimensions.ts'
import type { Advertiser } from './documents.ts'
import { type Growing, GrowingText, growingU32, mapColumns } from './growing.ts'
import { assetWords } from './native-assets.ts'
import type { TextTableBuilder } from './text-table.ts'
import { languageCode, mimeBit } from './vocabulary.ts'

/** Creatives as one collector has them: columns in the order in which they were added, texts by its own numbers. */
export interface CreativesPart {
  readonly numbers: { readonly [name in keyof CreativeColumns['numbers']]: Uint32Array }
  readonly barredStart: Uint32Array
  readonly barred: Uint32Array
  readonly fragmentStart: Uint32Array
  readonly fragments: Uint8Array
  readonly categoryStart: Uint32Array
  readonly categories: Uint32Array
  readonly assetStart: Uint32Array
  readonly assets: Uint32Array
  readonly capStart: Uint32Array
  readonly caps: Uint32Array
}

/** What a creative is beside its document. */
interface CreativeParts {
  /** Its part of every bid, ASCII. */
  readonly fragment: string
  /** Positions of the exchanges that do not take it. */
  readonly barred: readonly number[]
}

/** Creatives of one build. Categories are numbers of texts, of whoever adds. */
export class CreativeColumns {
  /** One number per creative. */
  readonly numbers = {
    format: growingU32(),
    attributes: growingU32(),
    bannerTypes: growingU32(),
    mimes: growingU32(),
    protocols: growingU32(),
    secure: growingU32(),
    durationS: growingU32(),
    width: growingU32(),
    height: growingU32(),
    slot: growingU32(),
    rendition: growingU32(),
    language: growingU32(),
    ownCategories: growingU32(),
    frameworks: growingU32(),
    transparency: growingU32(),
  }
  #lastId = ''
  #rendition = 0
  readonly #barredStart = growingU32()
  readonly #barred = growingU32()
  readonly #fragmentStart = growingU32()
  readonly #fragments = new GrowingText()
  readonly #categoryStart = growingU32()
  readonly #categories = growingU32()
  readonly #assetStart = growingU32()
  readonly #assets = growingU32()
  readonly #capStart = growingU32()
  readonly #caps = growingU32()

  /** How many there are. */
  get count(): number {
    return this.#fragmentStart.length
  }

  /**
   * Takes one rendition of an active creative of an advertiser, those of one creative one after another. Its ordinal
   * is the count before.
   * @throws AssertionFailure when the fragment is not ASCII
   */
  add(document: Creative, advertiser: Advertiser, { fragment, barred }: CreativeParts, texts: TextTableBuilder): void {
    const { numbers } = this
    const fits = fitOf(document)
    numbers.format.push(fits.format)
    numbers.attributes.push(attributeMask(document))
    numbers.bannerTypes.push(fits.bannerTypes)
    numbers.mimes.push(fits.mimes)
    numbers.protocols.push(fits.protocols)
    numbers.secure.push(fits.secure)
    numbers.durationS.push(fits.durationS)
    numbers.width.push(fits.width)
    numbers.height.push(fits.height)
    numbers.slot.push(fits.slot)
    this.#rendition = document.id === this.#lastId ? this.#rendition + 1 : 0
    this.#lastId = document.id
    numbers.rendition.push(this.#rendition)
    this.#fragmentStart.push(this.#fragments.length)
    this.#fragments.push(fragment)
    this.#barredStart.push(this.#barred.length)
    for (const exchange of barred) this.#barred.push(exchange)
    this.#assetStart.push(this.#assets.length)
    if (document.format === 'native') for (const word of assetWords(document)) this.#assets.push(word)
    this.#capStart.push(this.#caps.length)
    for (const word of capWords('creative', document.id, document.frequencyCaps)) this.#caps.push(word)
    this.#categoryStart.push(this.#categories.length)
    const own = new Set([...(document.categories ?? []), ...advertiser.categories])
    const categories = new Set([...own, ...[...own].flatMap(categoryWithParents)])
    numbers.language.push(languageCode(document.language ?? ''))
    numbers.ownCategories.push(own.size)
    for (const category of categories) this.#categories.push(texts.add(SPACE.blockedCategory, category))
    if (document.appBundle !== undefined) this.#categories.push(texts.add(SPACE.blockedApp, document.appBundle))
    numbers.frameworks.push(maskOf(document.apis))
    numbers.transparency.push(transparencyOf(document, advertiser))
  }

  /** Whether any creative needs a framework of the place's. Cost: O(creatives). */
  needsFrameworks(): boolean {
    return this.numbers.frameworks.view().some(mask => mask !== 0)
  }

  /** Hands over all creatives and has none any more. Cost: O(bytes). */
  take(): CreativesPart {
    return {
      numbers: mapColumns(this.numbers, column => column.take()),
      barredStart: this.#barredStart.take(),
      barred: this.#barred.take(),
      fragmentStart: this.#fragmentStart.take(),
      fragments: this.#fragments.take(),
      categoryStart: this.#categoryStart.take(),
      categories: this.#categories.take(),
      assetStart: this.#assetStart.take(),
      assets: this.#assets.take(),
      capStart: this.#capStart.take(),
      caps: this.#caps.take(),
    }
  }

  /** Adds what another one handed over; `numberOf` are its texts' numbers here. Cost: O(bytes). */
  append(part: CreativesPart, numberOf: Growing<Uint32Array>): void {
    this.#barredStart.append(part.barredStart, this.#barred.length)
    this.#barred.append(part.barred)
    this.#fragmentStart.append(part.fragmentStart, this.#fragments.length)
    this.#fragments.append(part.fragments)
    this.#categoryStart.append(part.categoryStart, this.#categories.length)
    this.#categories.appendMapped(part.categories, numberOf)
    this.#assetStart.append(part.assetStart, this.#assets.length)
    this.#assets.append(part.assets)
    this.#capStart.append(part.capStart, this.#caps.length)
    this.#caps.append(part.caps)
    mapColumns(this.numbers, (column, name) => column.append(part.numbers[name]))
  }

  /** Lengths of the creatives' columns, in elements. */
  sizes() {
    const creatives = this.count
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
      creativeBarredStart: creatives + 1,
      creativeBarred: this.#barred.length,
      creativeFragmentStart: creatives + 1,
      fragmentBytes: this.#fragments.length,
      creativeCategoryStart: creatives + 1,
      creativeCategories: this.#categories.length,
      creativeSlot: creatives,
      creativeRendition: creatives,
      creativeAssetStart: creatives + 1,
      creativeAssets: this.#assets.length,
      creativeCapStart: creatives + 1,
      creativeCaps: this.#caps.length,
      creativeLanguage: creatives,
      creativeOwnCategories: creatives,
      creativeFrameworks: creatives,
      creativeTransparency: creatives,
    }
  }

  /** Writes all creatives into columns of those lengths. Cost: O(bytes of the columns). */
  write(columns: CatalogColumns): void {
    const { numbers } = this
    columns.creativeFormat.set(numbers.format.view())
    columns.creativeAttributes.set(numbers.attributes.view())
    columns.creativeBannerTypes.set(numbers.bannerTypes.view())
    columns.creativeMimes.set(numbers.mimes.view())
    columns.creativeProtocols.set(numbers.protocols.view())
    columns.creativeSecure.set(numbers.secure.view())
    columns.creativeDurationS.set(numbers.durationS.view())
    columns.creativeWidth.set(numbers.width.view())
    columns.creativeHeight.set(numbers.height.view())
    columns.creativeSlot.set(numbers.slot.view())
    columns.creativeRendition.set(numbers.rendition.view())
    columns.creativeLanguage.set(numbers.language.view())
    columns.creativeOwnCategories.set(numbers.ownCategories.view())
    columns.creativeTransparency.set(numbers.transparency.view())
    columns.creativeFrameworks.set(numbers.frameworks.view())
    writeStarts(columns.creativeBarredStart, this.#barredStart.view(), this.#barred.length)
    columns.creativeBarred.set(this.#barred.view())
    writeStarts(columns.creativeFragmentStart, this.#fragmentStart.view(), this.#fragments.length)
    columns.fragmentBytes.set(this.#fragments.view())
    writeStarts(columns.creativeCategoryStart, this.#categoryStart.view(), this.#categories.length)
    columns.creativeCategories.set(this.#categories.view())
    writeStarts(columns.creativeAssetStart, this.#assetStart.view(), this.#assets.length)
    columns.creativeAssets.set(this.#assets.view())
    writeStarts(columns.creativeCapStart, this.#capStart.view(), this.#caps.length)
    columns.creativeCaps.set(this.#caps.view())
  }
}

/** Writes where each list begins, and after them where the last one ends. */
export function writeStarts(target: Column<'u32'>, starts: Uint32Array, end: number): void {
  target.set(starts)
  target[starts.length] = end
}

/** The skippable attribute is implied by the document, so that nobody forgets to declare it (OpenRTB attr 16). */
function attributeMask(creative: Creative): number {
  const mask = maskOf(creative.attributes)
  if (isVast(creative) && creative.skipAfterS !== undefined) return mask | (1 << 16)
  return mask
}

function transparencyOf({ rendersTransparency }: Creative, { transparency }: Advertiser): number {
  if (transparency === undefined) return 0
  return rendersTransparency === true ? TRANSPARENCY.told | TRANSPARENCY.rendered : TRANSPARENCY.told
}

function maskOf(codes: readonly number[] = []): number {
  return codes.reduce((mask, code) => mask | (1 << code), 0)
}

/** What an impression must offer for this creative, as codes and masks. */
function fitOf(creative: Creative) {
  if (creative.format === 'banner') {
    const mime = creative.content.kind === 'image' ? creative.content.mime : 'text/html'
    return {
      format: FORMAT.banner,
      bannerTypes: bannerTypesOf(creative).reduce((mask, type) => mask | (1 << type), 0),
      mimes: mimeBit(mime),
      protocols: 0,
      secure: creative.secure ? 1 : 0,
      durationS: 0,
      width: creative.width,
      height: creative.height,
      slot: bannerSlot(creative.width, creative.height),
    }
  }
  if (creative.format === 'native')
    return {
      ...{ format: FORMAT.native, bannerTypes: 0, mimes: 0, protocols: 0, secure: 1, durationS: 0 },
      ...{ width: 0, height: 0, slot: NATIVE_SLOT },
    }
  return {
    format: FORMAT[creative.format],
    bannerTypes: 0,
    mimes: mediaMimesOf(creative).reduce((mask, mime) => mask | mimeBit(mime), 0),
    protocols: 1 << protocolOf(creative),
    secure: 1,
    durationS: creative.durationS,
    width: creative.format === 'video' ? creative.width : 0,
    height: creative.format === 'video' ? creative.height : 0,
    slot: creative.format === 'video' ? VIDEO_SLOT : AUDIO_SLOT,
  }
}
