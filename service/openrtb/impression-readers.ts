/** Reads what line items target in an impression. OpenRTB 2.6, 3.2.4 to 3.2.10. Pure. */
import type { FactValue } from '../decision/opportunity.ts'
import { LIMITS } from '../limits.ts'
import {
  type DimensionName,
  dimensionOf,
  IMPRESSION_DIMENSIONS,
  type ImpressionDimension,
} from '../state/dimensions.ts'
import { codeOf, isObject, isOne, type Json, listOf, objectOf } from './json.ts'

/** One reader per dimension that each impression has for itself. */
const READERS: Readonly<Record<ImpressionDimension, (imp: Json) => FactValue>> = {
  format: imp => FORMATS.filter(format => isObject(imp[format])),
  size: sizesOf,
  position: imp => codeOf(objectOf(imp.banner).pos) || codeOf(objectOf(imp.video).pos),
  interstitial: imp => (isOne(imp.instl) ? 'yes' : 'no'),
  rewarded: imp => (isOne(imp.rwdd) || isOne(objectOf(objectOf(imp.video).ext).rewarded) ? 'yes' : 'no'),
  videoPlacement: imp => codeOf(objectOf(imp.video).plcmt),
}
const FORMATS = ['banner', 'video', 'audio', 'native'] as const

/** Sizes of the banner and of the player, as `300x250`. */
function sizesOf(imp: Json): readonly string[] {
  const banner = objectOf(imp.banner)
  const places = [banner, ...listOf(banner.format, LIMITS.sizesMax).map(objectOf), objectOf(imp.video)]
  const sizes = new Set<string>()
  for (const { w, h } of places) if (typeof w === 'number' && typeof h === 'number') sizes.add(`${w}x${h}`)
  return [...sizes]
}

interface Reading {
  readonly position: number
  readonly read: (imp: Json) => FactValue
}

const UNKNOWN: readonly FactValue[] = IMPRESSION_DIMENSIONS.map(name =>
  dimensionOf(name).many === true ? Object.freeze([]) : '',
)
/** Every request of one catalog asks with the same list. */
const readingsByList = new WeakMap<readonly DimensionName[], readonly Reading[]>()

function readingsOf(targeted: readonly DimensionName[]): readonly Reading[] {
  const known = readingsByList.get(targeted)
  if (known !== undefined) return known
  const readings = IMPRESSION_DIMENSIONS.flatMap((name, position) =>
    targeted.includes(name) ? [{ position, read: READERS[name] }] : [],
  )
  readingsByList.set(targeted, readings)
  return readings
}

/** The impression's values in the order of IMPRESSION_DIMENSIONS; those that nobody targets stay unknown. */
export function impressionValues(imp: Json, targeted: readonly DimensionName[]): readonly FactValue[] {
  const readings = readingsOf(targeted)
  if (readings.length === 0) return UNKNOWN
  const values = UNKNOWN.slice()
  for (let i = 0; i < readings.length; i++) {
    const { position, read } = readings[i] as Reading
    values[position] = read(imp)
  }
  return values
}
