import { describe, expect, test } from 'vitest'
import { Random } from '../foundation/random.ts'
import { ArenaWriter, viewColumns } from './arena.ts'
import {
  CIRCLE_COLUMNS,
  circleSizes,
  eachCircleAround,
  isCircle,
  placeOf,
  planCircles,
  writeCircles,
} from './circles.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)

function columnsOf(texts: readonly string[]) {
  const plan = planCircles(texts.map((text, value) => [text, value]))
  const sizes = circleSizes(plan)
  const writer = new ArenaWriter(new SharedArrayBuffer(texts.length * 128 + 8_192))
  const layout = Object.fromEntries(
    Object.entries(CIRCLE_COLUMNS).map(([name, kind]) => [name, writer.column(kind, sizes[name as never]).span]),
  ) as never
  const columns = viewColumns<typeof CIRCLE_COLUMNS>(writer.slab, layout)
  writeCircles(columns, plan)
  return columns
}

/** By the angle between two directions from the centre of the earth. */
function kmBetween(a: readonly [number, number], b: readonly [number, number]): number {
  const direction = ([lat, lon]: readonly [number, number]) => {
    const [phi, lambda] = [(lat * Math.PI) / 180, (lon * Math.PI) / 180]
    return [Math.cos(phi) * Math.cos(lambda), Math.cos(phi) * Math.sin(lambda), Math.sin(phi)] as const
  }
  const [u, v] = [direction(a), direction(b)]
  return 2 * Math.asin(Math.min(1, Math.hypot(u[0] - v[0], u[1] - v[1], u[2] - v[2]) / 2)) * 6_371.0088
}

describe('a circle', () => {
  test.each([
    ['52.52,13.405 10km', true],
    ['-90,180 0.5km', true],
    ['0,0 20037km', true],
    ['52.52,13.405 0km', false],
    ['90.1,0 1km', false],
    ['0,180.1 1km', false],
    ['52.52, 13.405 10km', false],
    ['52.52,13.405 10mi', false],
    ['52.52,13.405', false],
  ])('%s is one: %s', (text, is) => {
    expect(isCircle(text)).toBe(is)
  })

  test('is found from every place inside and from none outside, at poles and where days begin too', () => {
    const random = new Random(SEED)
    const near = (of: number, by: number, max: number) => Math.max(-max, Math.min(max, of + (random.unit() - 0.5) * by))
    let inside = 0
    for (let round = 0; round < 20; round++) {
      const centre = random.pick([
        [52.5, 13.4],
        [0, 0],
        [89.9, 0],
        [-90, 0],
        [-17, 179.99],
        [60, -180],
      ] as const)
      const circles = Array.from({ length: 200 }, () => {
        const [lat, lon] = [near(centre[0], 4, 90), near(centre[1], 4, 180)]
        return { lat, lon, km: random.pick([0.4, 3, 25, 180, 1_500, 9_000, 19_000]) * (0.5 + random.unit()) }
      })
      const columns = columnsOf(
        circles.map(({ lat, lon, km }) => `${lat.toFixed(6)},${lon.toFixed(6)} ${km.toFixed(3)}km`),
      )
      for (let ask = 0; ask < 50; ask++) {
        const far = random.chance(0.2)
        const lat = far ? random.unit() * 180 - 90 : near(centre[0], 4, 90)
        const lon = far || Math.abs(centre[0]) > 89 ? random.unit() * 360 - 180 : near(centre[1], 4, 180)
        const side = random.chance(0.5) && Math.abs(lon) > 170 ? -lon : lon
        const found = new Set<number>()
        eachCircleAround(columns, { lat, lon: side }, value => found.add(value))
        circles.forEach((circle, index) => {
          const km = kmBetween([lat, side], [circle.lat, circle.lon])
          // A centimetre around the edge belongs to rounding.
          if (Math.abs(km - circle.km) < 1e-3) return
          expect(found.has(index), `SEED=${SEED} round=${round} ${lat},${side} ${JSON.stringify(circle)}`).toBe(
            km < circle.km,
          )
          if (km < circle.km) inside++
        })
      }
    }
    expect(inside).toBeGreaterThan(25_000)
  })
})

describe('a place', () => {
  test.each([
    ['52.52,13.405', { lat: 52.52, lon: 13.405 }],
    ['-90.000000,180.000000', { lat: -90, lon: 180 }],
    ['91,0', undefined],
    ['NaN,0', undefined],
    ['1e3,0', undefined],
  ])('%s is %j', (text, place) => {
    expect(placeOf(text)).toEqual(place)
  })
})
