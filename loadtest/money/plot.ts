/** Plan against spend as one SVG picture: what was planned thin and grey, what was spent thick. */
import type { PacedPoint } from './paced-day.ts'

const WIDTH = 400
const HEIGHT = 240
const MARGIN = 32

/** One picture with a panel per day, side by side in rows of two. @param days name → points. Cost: O(points). */
export function plotDays(days: ReadonlyMap<string, readonly PacedPoint[]>): string {
  const panels = [...days].map(([name, points], index) => {
    const [x, y] = [(index % 2) * (WIDTH + MARGIN), Math.floor(index / 2) * (HEIGHT + 2 * MARGIN)]
    return `<g transform="translate(${x + MARGIN} ${y + MARGIN})">${panelOf(name, points)}</g>`
  })
  const width = 2 * (WIDTH + MARGIN) + MARGIN
  const height = Math.ceil(days.size / 2) * (HEIGHT + 2 * MARGIN)
  const style = 'font-family="sans-serif" font-size="12"'
  const paper = `<rect width="${width}" height="${height}" fill="#fff"/>`
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" ${style}>`
  return `${head}<title>Plan and spend over a day</title>${paper}${panels.join('')}</svg>\n`
}

function panelOf(name: string, points: readonly PacedPoint[]): string {
  const frame = `<rect width="${WIDTH}" height="${HEIGHT}" fill="none" stroke="#bbb"/>`
  const planned = lineOf(points, 'planned', 'stroke="#888" stroke-width="1" stroke-dasharray="4 3"')
  const spent = lineOf(points, 'spent', 'stroke="#06c" stroke-width="2"')
  const spentAtEnd = ((points.at(-1)?.spent ?? 0) * 100).toFixed(1)
  const title = `<text y="-8">${name}: dashed the plan, blue the spend, ${spentAtEnd} % of the budget at the end</text>`
  const hours = [0, 6, 12, 18, 24].map(hour => {
    return `<text x="${(hour / 24) * WIDTH}" y="${HEIGHT + 14}" text-anchor="middle">${hour} h</text>`
  })
  return frame + planned + spent + title + hours.join('')
}

function lineOf(points: readonly PacedPoint[], of: 'planned' | 'spent', style: string): string {
  const at = (point: PacedPoint) => `${(point.elapsed * WIDTH).toFixed(1)},${((1 - point[of]) * HEIGHT).toFixed(1)}`
  return `<polyline fill="none" ${style} points="${[`0,${HEIGHT}`, ...points.map(at)].join(' ')}"/>`
}
