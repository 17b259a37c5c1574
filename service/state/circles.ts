/**
 * Circles on the earth, such as `52.52,13.405 10km`. They lie in a grid of squares that halve from level to level: a
 * circle is in all that it touches of the finest level at which it is no more than four squares across. A place is in
 * one square of each level, and only the circles there are measured.
 */
import type { ColumnKinds, Columns } from './arena.ts'

/** A circle's form: latitude, longitude, and a radius; see isCircle for their bounds. */
export const CIRCLE = /^(-?\d{1,2}(?:\.\d{1,6})?),(-?\d{1,3}(?:\.\d{1,6})?) (\d{1,5}(?:\.\d{1,3})?)km$/
const PLACE = /^(-?\d{1,2}(?:\.\d{1,20})?),(-?\d{1,3}(?:\.\d{1,20})?)$/

const EARTH_RADIUS_KM = 6_371.0088
const RADIANS = Math.PI / 180
/** Half of the earth's girth: no place is farther. */
const KM_MAX = Math.PI * EARTH_RADIUS_KM
/** Squares of the finest level are 0.011° high: 1.2 km. All levels together have less than 2^32 squares. */
const LEVELS = 15
const SQUARES_ACROSS = 4
/** More than the arithmetic of squares can be wrong by. */
const DEGREES_MARGIN = 1e-9

/** A place in degrees. */
export interface Place {
  readonly lat: number
  readonly lon: number
}

/** What a text says; undefined when it is no circle. */
function circleOf(text: string): (Place & { readonly km: number }) | undefined {
  const match = CIRCLE.exec(text)
  return match === null ? undefined : { lat: Number(match[1]), lon: Number(match[2]), km: Number(match[3]) }
}

/** Whether latitude, longitude and radius are ones. */
export function isCircle(text: string): boolean {
  const circle = circleOf(text)
  return circle !== undefined && isPlace(circle) && circle.km > 0
}

function isPlace({ lat, lon }: Place): boolean {
  return Math.abs(lat) <= 90 && Math.abs(lon) <= 180
}

/** A place such as `52.52,13.405`; undefined when it is none. */
export function placeOf(text: string): Place | undefined {
  const match = PLACE.exec(text)
  if (match === null) return undefined
  const place = { lat: Number(match[1]), lon: Number(match[2]) }
  return isPlace(place) ? place : undefined
}

/** The distinct circles of a catalog, and the squares that have any, by their numbers. */
export const CIRCLE_COLUMNS = {
  /** The centre as a direction from the centre of the earth: no sine is needed to compare a place. */
  circleX: 'f64',
  circleY: 'f64',
  circleZ: 'f64',
  /** The square of the longest chord from the centre to a place inside, in earth radii. */
  circleLimit: 'f64',
  /** The number of the circle's text. */
  circleValue: 'u32',
  /** The levels of which there are squares. */
  squareLevel: 'u8',
  squareNumber: 'u32',
  /** CSR: circles of square s are squareCircles[start[s] .. start[s + 1]]. */
  squareStart: 'u32',
  squareCircles: 'u32',
} as const satisfies ColumnKinds

type CircleColumns = Columns<typeof CIRCLE_COLUMNS>

/** Squares of level k are numbered from (4^k − 1) / 3 on, row by row. */
function squareAt(level: number, row: number, column: number): number {
  return ((1 << (2 * level)) - 1) / 3 + (row << level) + column
}

function rowOf(level: number, lat: number): number {
  const side = 1 << level
  return Math.min(side - 1, Math.max(0, Math.floor(((lat + 90) / 180) * side)))
}

function columnOf(level: number, lon: number): number {
  const side = 1 << level
  const column = Math.floor(((lon + 180) / 360) * side)
  return ((column % side) + side) % side
}

/** All squares that a circle touches, and corners that it does not. Cost: O(1): at most 16. */
function squaresOf({ lat, lon, km }: Place & { readonly km: number }) {
  const angle = Math.min(km, KM_MAX) / EARTH_RADIUS_KM
  const height = angle / RADIANS + DEGREES_MARGIN
  const isAroundPole = Math.abs(lat) + height >= 90
  const width = isAroundPole ? 180 : Math.asin(Math.sin(angle) / Math.cos(lat * RADIANS)) / RADIANS + DEGREES_MARGIN
  let level = LEVELS - 1
  const span = SQUARES_ACROSS - 1
  while (level > 0 && (2 * height > (span * 180) / 2 ** level || 2 * width > (span * 360) / 2 ** level)) level--
  const found = new Set<number>()
  // Steps of no more than a square, so that none in between is left out.
  for (let i = 0; i <= span; i++)
    for (let j = 0; j <= span; j++) {
      const row = rowOf(level, lat - height + (2 * height * i) / span)
      found.add(squareAt(level, row, columnOf(level, lon - width + (2 * width * j) / span)))
    }
  return { level, squares: [...found] }
}

/** Circles with the numbers of their texts, and their squares in order. Cost: O(circles × log). */
export function planCircles(texts: readonly (readonly [text: string, value: number])[]) {
  const circles = texts.flatMap(([text, value]) => {
    const circle = circleOf(text)
    return circle === undefined ? [] : [{ ...circle, value }]
  })
  const levels = new Set<number>()
  const squares = circles.flatMap((circle, i) => {
    const { level, squares: touched } = squaresOf(circle)
    levels.add(level)
    return touched.map(square => ({ square, circle: i }))
  })
  squares.sort((a, b) => a.square - b.square || a.circle - b.circle)
  return { circles, squares, levels: [...levels].sort(), distinct: new Set(squares.map(each => each.square)).size }
}

type CirclePlan = ReturnType<typeof planCircles>

/** Lengths of the columns, in elements. */
export function circleSizes({ circles, squares, levels, distinct }: CirclePlan) {
  const count = circles.length
  return {
    ...{ circleX: count, circleY: count, circleZ: count, circleLimit: count, circleValue: count },
    ...{ squareLevel: levels.length, squareNumber: distinct, squareStart: distinct + 1, squareCircles: squares.length },
  }
}

/** Fills columns of those lengths. Cost: O(circles). */
export function writeCircles(columns: CircleColumns, { circles, squares, levels }: CirclePlan): void {
  columns.squareLevel.set(levels)
  for (let i = 0; i < circles.length; i++) {
    const { lat, lon, km, value } = circles[i]!
    columns.circleX[i] = Math.cos(lat * RADIANS) * Math.cos(lon * RADIANS)
    columns.circleY[i] = Math.cos(lat * RADIANS) * Math.sin(lon * RADIANS)
    columns.circleZ[i] = Math.sin(lat * RADIANS)
    columns.circleLimit[i] = (2 * Math.sin(Math.min(km, KM_MAX) / EARTH_RADIUS_KM / 2)) ** 2
    columns.circleValue[i] = value
  }
  let last = -1
  for (let i = 0; i < squares.length; i++) {
    const { square, circle } = squares[i]!
    if (last < 0 || columns.squareNumber[last] !== square) {
      columns.squareNumber[++last] = square
      columns.squareStart[last] = i
    }
    columns.squareCircles[i] = circle
  }
  columns.squareStart[last + 1] = squares.length
}

/** Calls back with the value of every circle around a place. Cost: O(levels × log squares + circles near it). */
export function eachCircleAround(columns: CircleColumns, { lat, lon }: Place, found: (value: number) => void): void {
  const x = Math.cos(lat * RADIANS) * Math.cos(lon * RADIANS)
  const y = Math.cos(lat * RADIANS) * Math.sin(lon * RADIANS)
  const z = Math.sin(lat * RADIANS)
  for (let i = 0; i < columns.squareLevel.length; i++) {
    const level = columns.squareLevel[i]!
    const square = findSquare(columns.squareNumber, squareAt(level, rowOf(level, lat), columnOf(level, lon)))
    if (square < 0) continue
    for (let at = columns.squareStart[square]!; at < columns.squareStart[square + 1]!; at++) {
      const circle = columns.squareCircles[at]!
      const dx = x - columns.circleX[circle]!
      const dy = y - columns.circleY[circle]!
      const dz = z - columns.circleZ[circle]!
      if (dx * dx + dy * dy + dz * dz <= columns.circleLimit[circle]!) found(columns.circleValue[circle]!)
    }
  }
}

function findSquare(numbers: Uint32Array, wanted: number): number {
  let low = 0
  let high = numbers.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (numbers[middle]! < wanted) low = middle + 1
    else high = middle
  }
  return numbers[low] === wanted ? low : -1
}
