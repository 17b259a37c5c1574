/**
 * Ranges of operating system versions, such as `ios 15.2+`. Versions are compared part by part, three parts at most;
 * a part that a range leaves out takes any: `ios 17` takes 17.0 to 17.x, `android 12-14` takes 14.9.
 */
import type { ColumnKinds, Columns } from './arena.ts'

/** A range's form: a system, then VERSION, VERSION+ or VERSION-VERSION. */
export const VERSION_RANGE =
  /^([a-z0-9 ._-]*[a-z0-9._-]) (\d{1,5}(?:\.\d{1,5}){0,2})(?:(\+)|-(\d{1,5}(?:\.\d{1,5}){0,2}))?$/

/** Versions from `from` to `to`, both included, as versionNumber gives them. */
interface VersionRange {
  readonly system: string
  readonly from: number
  readonly to: number
}

/** A part needs 17 bits: three of them stay a whole number below 2^53. */
const PART_SPAN = 2 ** 17
const PART_MAX = PART_SPAN - 1

/**
 * The first three parts of a version as one number, so that versions compare as their numbers do; NaN for a text that
 * does not begin with a number. `missing` stands for parts that are left out.
 */
export function versionNumber(version: string, missing: 0 | typeof PART_MAX = 0): number {
  let total = 0
  let at = 0
  for (let part = 0; part < 3; part++) {
    let value = -1
    for (; at < version.length; at++) {
      const digit = version.charCodeAt(at) - 48
      if (digit < 0 || digit > 9) break
      value = Math.min(PART_MAX, (value < 0 ? 0 : value) * 10 + digit)
    }
    if (value < 0 && part === 0) return Number.NaN
    total = total * PART_SPAN + (value < 0 ? missing : value)
    // Some write 17_1; anything else ends the version.
    if (version.charCodeAt(at) === DOT || version.charCodeAt(at) === UNDERSCORE) at++
    else at = version.length
  }
  return total
}

const DOT = 46
const UNDERSCORE = 95

/** What a range says; undefined when it is none. */
function versionRange(text: string): VersionRange | undefined {
  const match = VERSION_RANGE.exec(text)
  if (match === null) return undefined
  const [, system = '', first = '', open, last] = match
  const to = open === undefined ? versionNumber(last ?? first, PART_MAX) : Number.POSITIVE_INFINITY
  return { system, from: versionNumber(first), to }
}

/** Whether it takes any version at all: `ios 17-15` does not. */
export function isVersionRange(text: string): boolean {
  const range = versionRange(text)
  return range !== undefined && range.from <= range.to
}

/** The distinct ranges of a catalog, those of a system side by side, by their beginnings. */
export const VERSION_COLUMNS = {
  versionFrom: 'f64',
  versionTo: 'f64',
  /** The number of the range's text. */
  versionValue: 'u32',
} as const satisfies ColumnKinds

/** Where the ranges of each system lie in the columns. */
export type VersionSystems = ReadonlyMap<string, { readonly start: number; readonly end: number }>

/** Ranges with the numbers of their texts, in the order of the columns. Cost: O(ranges × log). */
export function sortedVersionRanges(texts: readonly (readonly [text: string, value: number])[]) {
  const ranges = texts.flatMap(([text, value]) => {
    const range = versionRange(text)
    return range === undefined ? [] : [{ ...range, value }]
  })
  return ranges.sort((a, b) => (a.system < b.system ? -1 : a.system > b.system ? 1 : a.from - b.from))
}

/** Fills the columns. @returns where each system's ranges are. Cost: O(ranges). */
export function writeVersionRanges(
  columns: Columns<typeof VERSION_COLUMNS>,
  ranges: ReturnType<typeof sortedVersionRanges>,
): VersionSystems {
  const systems = new Map<string, { start: number; end: number }>()
  for (let i = 0; i < ranges.length; i++) {
    const { system, from, to, value } = ranges[i]!
    columns.versionFrom[i] = from
    columns.versionTo[i] = to
    columns.versionValue[i] = value
    const place = systems.get(system)
    if (place === undefined) systems.set(system, { start: i, end: i + 1 })
    else place.end = i + 1
  }
  return systems
}
