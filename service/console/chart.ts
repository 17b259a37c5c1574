/** Two lines over the last minutes: small enough to need no library. */
import { element, shape, shown } from './element.ts'

/** What a chart shows. */
export interface ChartOptions {
  readonly title: string
  readonly unit: string
  /** Names of its lines: the first has a wash below it. */
  readonly lines: readonly [string, string]
}

const WIDTH = 300
const HEIGHT = 100

/** Draws into a figure; draw is called with as many values as there are seconds. */
export class Chart {
  readonly #options: ChartOptions
  readonly #svg = shape('svg', { class: 'chart', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none' })
  readonly #caption = element('figcaption')
  readonly #legend = element('div', { class: 'legend' })

  constructor(figure: HTMLElement, options: ChartOptions) {
    this.#options = options
    this.#svg.setAttribute('role', 'img')
    figure.append(this.#caption, this.#svg, this.#legend)
  }

  /** @param values per line, oldest first; undefined where there is none */
  draw(values: readonly [readonly (number | undefined)[], readonly (number | undefined)[]]): void {
    const { title, unit, lines } = this.#options
    const max = niceMax(Math.max(0, ...values.flat().map(value => value ?? 0)))
    const [first, other] = values.map(line => pathOf(line, max)) as [string, string]
    this.#svg.setAttribute('aria-label', `${title}, up to ${shown(max)} ${unit}`)
    this.#svg.replaceChildren(
      ...[0, 0.5, 1].map(part => shape('line', { x1: 0, x2: WIDTH, y1: part * HEIGHT, y2: part * HEIGHT })),
      shape('path', {
        class: 'area',
        d: first === '' ? '' : `${first}L${WIDTH} ${HEIGHT}L${startOf(values[0])} ${HEIGHT}Z`,
      }),
      shape('path', { class: 'first', d: first }),
      shape('path', { class: 'other', d: other }),
    )
    this.#caption.textContent = `${title} (top: ${shown(max)} ${unit})`
    const last = (line: readonly (number | undefined)[]) => shown(line.findLast(value => value !== undefined) ?? 0)
    this.#legend.replaceChildren(
      element('span', {}, element('i'), `${lines[0]} ${last(values[0])}`),
      element('span', { class: 'other' }, element('i'), `${lines[1]} ${last(values[1])}`),
    )
  }
}

const SECONDS = 300
const xOf = (i: number, count: number) => ((SECONDS - count + i + 1) / SECONDS) * WIDTH
const startOf = (line: readonly unknown[]) => xOf(0, line.length).toFixed(1)

/** The newest value is at the right edge; where there is none, the line goes on from the one before. */
function pathOf(line: readonly (number | undefined)[], max: number): string {
  let before = 0
  const points = line.map((value, i) => {
    before = value ?? before
    return `${xOf(i, line.length).toFixed(1)} ${(HEIGHT - (before / max) * HEIGHT).toFixed(1)}`
  })
  return points.length === 0 ? '' : `M${points.join('L')}`
}

/** 1, 2 or 5 times a power of ten. */
function niceMax(max: number): number {
  if (max <= 0) return 1
  const power = 10 ** Math.floor(Math.log10(max))
  return ([1, 2, 5, 10].find(step => step * power >= max) ?? 10) * power
}
