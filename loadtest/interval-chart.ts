/** Estimates with their intervals, one below the other, beside what is allowed. As SVG text; colours by the page. */
import type { Intervals } from './report.ts'
import { escaped, linearTicks } from './svg-chart.ts'

const WIDTH = 860
const ROW = 30
const TOP = 12
const BOTTOM = 46
/** Names stand at the left of it. */
const LEFT = 150
const RIGHT = WIDTH - 30

/** Draws them. Cost: O(rows). */
export function intervalChart({ title, label, neutral, limit, rows }: Intervals): string {
  const values = [neutral, limit ?? neutral, ...rows.flatMap(({ low, high }) => [low, high])]
  const ticks = linearTicks(Math.min(...values), Math.max(...values))
  const [first = 0, last = 1] = [ticks[0], ticks.at(-1)]
  const at = (value: number) => round(LEFT + ((value - first) / (last - first)) * (RIGHT - LEFT))
  const bottom = TOP + rows.length * ROW
  const upright = (value: number, style: string) =>
    `<line class="${style}" x1="${at(value)}" x2="${at(value)}" y1="${TOP}" y2="${bottom}"/>`
  const grid = ticks.map(value => {
    const text = Number(value.toPrecision(6)).toLocaleString('en')
    return `${upright(value, '')}<text x="${at(value)}" y="${bottom + 18}" text-anchor="middle">${text}</text>`
  })
  const drawn = rows.map(({ name, low, estimate, high }, row) => {
    const y = TOP + (row + 0.5) * ROW
    const isHeld = limit === undefined || high <= limit
    return (
      `<text x="${LEFT - 10}" y="${y + 4}" text-anchor="end">${escaped(name)}</text>` +
      `<g class="${isHeld ? 'within' : 'beyond'}"><line x1="${at(low)}" x2="${at(high)}" y1="${y}" y2="${y}"/>` +
      `<circle cx="${at(estimate)}" cy="${y}" r="5"/></g>`
    )
  })
  const marks = [upright(neutral, 'neutral'), ...(limit === undefined ? [] : [upright(limit, 'limit')])]
  const height = bottom + BOTTOM
  const axis = `<text x="${(LEFT + RIGHT) / 2}" y="${height - 8}" text-anchor="middle">${escaped(label)}</text>`
  return (
    `<figure><figcaption>${escaped(title)}</figcaption>` +
    `<svg class="intervals" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(title)}">` +
    `<g class="grid">${grid.join('')}</g>${marks.join('')}${drawn.join('')}${axis}</svg></figure>`
  )
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
