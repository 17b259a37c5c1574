/** Charts as SVG text. Colours are the classes s0 to s7 of the page that holds them: light and dark can differ. */

/** One line of a chart. */
export interface Line {
  readonly name: string
  /** Which colour; lines of one thing keep theirs from chart to chart. */
  readonly colour: number
  readonly points: readonly (readonly [x: number, y: number])[]
}

/** A chart: what it shows, and its two scales. */
export interface Chart {
  readonly title: string
  readonly x: Scale
  readonly y: Scale
  readonly lines: readonly Line[]
}

/** Where values lie on an axis, and which are named. */
export interface Scale {
  readonly label: string
  /** Position of a value, 0 to 1. */
  readonly at: (value: number) => number
  readonly ticks: readonly { readonly value: number; readonly text: string }[]
}

/** Most lines a chart may hold: as many as there are colours. */
export const LINES_MAX = 8

const WIDTH = 860
const HEIGHT = 330
const PLOT = { left: 76, top: 14, right: WIDTH - 30, bottom: HEIGHT - 46 }
/** More points than pixels only make the page heavy. */
const POINTS_MAX = 600

/** Draws a chart with its legend. Cost: O(points). */
export function svgChart({ title, x, y, lines }: Chart): string {
  const px = (value: number) => round(PLOT.left + clamp(x.at(value)) * (PLOT.right - PLOT.left))
  const py = (value: number) => round(PLOT.bottom - clamp(y.at(value)) * (PLOT.bottom - PLOT.top))
  const grid = [
    ...y.ticks.map(({ value, text }) => {
      const at = py(value)
      const line = `<line x1="${PLOT.left}" x2="${PLOT.right}" y1="${at}" y2="${at}"/>`
      return `${line}<text x="${PLOT.left - 8}" y="${at + 4}" text-anchor="end">${escaped(text)}</text>`
    }),
    ...x.ticks.map(({ value, text }) => {
      const at = px(value)
      const line = `<line x1="${at}" x2="${at}" y1="${PLOT.top}" y2="${PLOT.bottom}"/>`
      return `${line}<text x="${at}" y="${PLOT.bottom + 18}" text-anchor="middle">${escaped(text)}</text>`
    }),
  ]
  const drawn = lines.slice(0, LINES_MAX).map(line => {
    const points = thinned(line.points).map(([each, value]) => `${px(each)},${py(value)}`)
    const style = `s${line.colour % LINES_MAX}`
    const shape =
      points.length === 1 && points[0] !== undefined
        ? `<circle cx="${points[0].split(',')[0]}" cy="${points[0].split(',')[1]}" r="3" class="dot"/>`
        : `<polyline points="${points.join(' ')}"/>`
    return `<g class="${style}"><title>${escaped(line.name)}</title>${shape}</g>`
  })
  const middle = (PLOT.top + PLOT.bottom) / 2
  const centre = (PLOT.left + PLOT.right) / 2
  const axes =
    `<text class="axis" x="${centre}" y="${HEIGHT - 8}" text-anchor="middle">${escaped(x.label)}</text>` +
    `<text class="axis" transform="translate(14 ${middle}) rotate(-90)" text-anchor="middle">${escaped(y.label)}</text>`
  return (
    `<figure><figcaption>${escaped(title)}</figcaption>${legend(lines)}` +
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">` +
    `<g class="grid">${grid.join('')}</g>${drawn.join('')}${axes}</svg></figure>`
  )
}

function legend(lines: readonly Line[]): string {
  const entries = lines.slice(0, LINES_MAX).map(({ name, colour }) => {
    const key = `<svg class="key s${colour % LINES_MAX}" viewBox="0 0 24 8">`
    return `<li>${key}<polyline points="0,4 24,4"/></svg>${escaped(name)}</li>`
  })
  return `<ul class="legend">${entries.join('')}</ul>`
}

/** Of each run of neighbours the highest is kept: a spike must not vanish. */
function thinned(points: Line['points']): Line['points'] {
  const step = Math.ceil(points.length / POINTS_MAX)
  if (step <= 1) return points
  const kept: (readonly [number, number])[] = []
  for (let from = 0; from < points.length; from += step) {
    let highest = points[from]
    for (const point of points.slice(from, from + step))
      if (highest === undefined || point[1] > highest[1]) highest = point
    if (highest !== undefined) kept.push(highest)
  }
  return kept
}

/** From 0 to a round number above the largest value, with up to six ticks. */
export function linearScale(label: string, valueMax: number): Scale {
  const step = roundStep(Math.max(valueMax, 1e-9) / 5)
  const count = Math.max(1, Math.ceil(valueMax / step))
  const top = step * count
  const ticks = Array.from({ length: count + 1 }, (_, i) => ({ value: i * step, text: shortNumber(i * step) }))
  return { label, at: value => value / top, ticks }
}

/** Round numbers from at most one value to at least the other, some five of them; 0 is one where it lies between. */
export function linearTicks(valueMin: number, valueMax: number): readonly number[] {
  const step = roundStep(Math.max(valueMax - valueMin, 1e-9) / 5)
  const first = Math.floor(valueMin / step + 1e-9)
  const last = Math.max(first + 1, Math.ceil(valueMax / step - 1e-9))
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step)
}

/** Time in whole seconds: it ends with the run, and its ticks are whole. */
export function secondsScale(seconds: number): Scale {
  const last = Math.max(1, seconds)
  const step = Math.max(1, roundStep(last / 8))
  const ticks = Array.from({ length: Math.floor(last / step) + 1 }, (_, i) => ({
    value: i * step,
    text: shortNumber(i * step),
  }))
  return { label: 'seconds since the start', at: value => value / last, ticks }
}

/** From a round number (1, 2 or 5 times a power of ten) to another; named where there is room. Values above 0. */
export function logScale(label: string, valueMin: number, valueMax: number): Scale {
  const rounds: number[] = []
  const firstPower = Math.floor(Math.log10(valueMin)) - 1
  for (let power = firstPower; (rounds.at(-1) ?? 0) < valueMax; power++)
    for (const factor of [1, 2, 5]) if ((rounds.at(-1) ?? 0) < valueMax) rounds.push(factor * 10 ** power)
  const values = rounds.filter((_, i) => i === rounds.length - 1 || (rounds[i + 1] ?? 0) > valueMin)
  if (values.length === 1) values.push((values[0] ?? 1) * 2)
  const low = Math.log10(values[0] ?? 1)
  const high = Math.log10(values.at(-1) ?? 10)
  const named = values.length > 10 ? values.filter(each => Number.isInteger(round(Math.log10(each)))) : values
  const ticks = named.map(value => ({ value, text: shortNumber(value) }))
  return { label, at: value => (Math.log10(Math.max(value, 1e-9)) - low) / (high - low), ticks }
}

/** Percentiles, each nine as wide as the one before. */
export function percentileScale(percentMax: number): Scale {
  const at = (percent: number) => -Math.log10(1 - Math.min(percent, percentMax) / 100)
  const top = at(percentMax)
  const ticks = [0, 50, 90, 99, 99.9, 99.99, 99.999].filter(each => each <= percentMax)
  return {
    label: 'percentile',
    at: percent => at(percent) / top,
    ticks: ticks.map(value => ({ value, text: `${value} %` })),
  }
}

/** 1, 2 or 5 times a power of ten, not below the value. */
function roundStep(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return power * ([1, 2, 5, 10].find(each => each * power >= value * 0.999_999) ?? 10)
}

function shortNumber(value: number): string {
  return Number(value.toPrecision(6)).toLocaleString('en')
}

function clamp(share: number): number {
  return Math.max(0, Math.min(1, share))
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

/** Text that is safe inside HTML and SVG. */
export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, each => `&#${each.charCodeAt(0)};`)
}
