/** Two lines over time, by uPlot in the page's colours; a pointer or the arrow keys tell the values of an instant. */
import uPlot from 'uplot'
import { element, shown } from './element.ts'

/** What a chart shows. */
export interface ChartOptions {
  readonly title: string
  readonly unit: string
  /** Names of its lines: the first has a wash below it. */
  readonly lines: readonly [string, string]
  readonly heightPx: number
}

/** One value of a line; null where there is none, and the line goes on to the next. */
export type Value = number | null

/** What is drawn. Instants are seconds since 1970. */
export interface Drawing {
  readonly from: number
  readonly to: number
  /** The highest value that is seen; without it, that of the lines. */
  readonly top?: number
  /** Instants, and for each a value of either line. */
  readonly points: [atS: number[], first: Value[], other: Value[]]
  /** An instant to mark, and what lies between two values then. */
  readonly mark?: { readonly atS: number; readonly from: number; readonly to: number }
}

const DAY_S = 86_400
const FONT = '11px system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif'
const COLORS = ['--accent', '--second'] as const
const dark = matchMedia('(prefers-color-scheme: dark)')

/** Draws into a figure, whose caption and legend tell the newest values, or those of the instant that is pointed at. */
export class Chart {
  readonly #options: ChartOptions
  readonly #holder: HTMLElement
  readonly #caption = element('figcaption')
  readonly #legend = element('div', { class: 'legend' })
  readonly #plot: uPlot
  readonly #sizes = new ResizeObserver(([entry]) => this.#fit(entry?.contentRect.width ?? 0))
  readonly #redraw = () => this.#plot.redraw()
  #drawing: Drawing = { from: 0, to: 1, points: [[], [], []] }

  constructor(figure: HTMLElement, options: ChartOptions) {
    this.#options = options
    const holder = element('div', { class: 'chart', role: 'img', tabindex: '0', 'aria-label': options.title })
    this.#holder = holder
    figure.append(this.#caption, holder, this.#legend)
    this.#plot = new uPlot(this.#plotOptions(), this.#drawing.points, holder)
    this.#sizes.observe(holder)
    dark.addEventListener('change', this.#redraw)
    holder.addEventListener('keydown', event => this.#step(event))
    holder.addEventListener('blur', () => this.#plot.setCursor({ left: -1, top: -1 }))
  }

  draw(drawing: Drawing): void {
    this.#drawing = drawing
    this.#plot.setData(drawing.points)
    this.#tell()
  }

  /** It is shown no more. */
  end(): void {
    this.#sizes.disconnect()
    dark.removeEventListener('change', this.#redraw)
    this.#plot.destroy()
  }

  #plotOptions(): uPlot.Options {
    const { heightPx, lines } = this.#options
    const line = (name: string, color: string): uPlot.Series => {
      return { label: name, stroke: () => this.#color(color), width: 1.5, spanGaps: true, points: { show: false } }
    }
    const [first, other] = lines
    const axis: uPlot.Axis = {
      ...{ font: FONT, stroke: () => this.#color('--quiet') },
      ...{ grid: { stroke: () => this.#color('--line'), width: 1 }, ticks: { show: false } },
    }
    return {
      ...{ width: 300, height: heightPx, legend: { show: false }, padding: [6, 10, 0, 0] },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { range: () => [this.#drawing.from, this.#drawing.to] },
        y: { range: (_, __, max) => [0, this.#drawing.top ?? (max > 0 ? max * 1.1 : 1)] },
      },
      axes: [
        { ...axis, size: 22, space: 70, values: (_, splits) => splits.map(atS => this.#instant(atS)) },
        { ...axis, size: 44, space: 28, values: (_, splits) => splits.map(value => shown(value)) },
      ],
      series: [{}, { ...line(first, COLORS[0]), fill: () => this.#color('--wash') }, line(other, COLORS[1])],
      hooks: { draw: [() => this.#drawMark()], setCursor: [() => this.#tell()] },
    }
  }

  /** A canvas knows no variables of the page. */
  #color(name: string): string {
    const before = this.#caption.style.color
    this.#caption.style.color = `var(${name})`
    const color = getComputedStyle(this.#caption).color
    this.#caption.style.color = before
    return color
  }

  #fit(width: number): void {
    this.#plot.setSize({ width, height: this.#options.heightPx })
  }

  /** Goes to the instant before or after the one that is pointed at, the newest at first; Escape leaves. */
  #step(event: KeyboardEvent): void {
    const [instants] = this.#drawing.points
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
    if (event.key === 'Escape') this.#plot.setCursor({ left: -1, top: -1 })
    if (way === undefined || instants.length === 0) return
    event.preventDefault()
    const at = Math.min(instants.length - 1, Math.max(0, (this.#plot.cursor.idx ?? instants.length) + way))
    this.#plot.setCursor({ left: this.#plot.valToPos(instants[at] as number, 'x'), top: 0 })
  }

  /** Caption and legend. */
  #tell(): void {
    const { title, unit, lines } = this.#options
    const { points, mark } = this.#drawing
    const [instants, ...values] = points
    const at = this.#plot.cursor.idx
    const instant = at === null || at === undefined ? undefined : instants[at]
    this.#caption.textContent = `${title}, ${unit}${instant === undefined ? '' : ` · ${this.#instant(instant, true)}`}`
    const untilS = instant ?? mark?.atS ?? Number.POSITIVE_INFINITY
    const upTo = instants.findLastIndex(each => each <= untilS) + 1
    const texts = lines.map((name, line) => {
      const value = values[line]?.slice(0, upTo).findLast(each => each !== null && each !== undefined)
      return `${name} ${value === null || value === undefined ? '–' : shown(value)}`
    })
    this.#legend.replaceChildren(
      element('span', {}, element('i'), texts[0]),
      element('span', { class: 'other' }, element('i'), texts[1]),
    )
    this.#holder.setAttribute('aria-label', `${title}, ${unit}: ${texts.join(', ')}`)
  }

  /** The time of day, or the day where days are seen. */
  #instant(atS: number, isExact = false): string {
    const { from, to } = this.#drawing
    const at = new Date(atS * 1e3)
    const date = at.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })
    const hour = { hour: '2-digit', minute: '2-digit' } as const
    if (to - from <= 2 * DAY_S) return at.toLocaleTimeString('en-GB', isExact ? { ...hour, second: '2-digit' } : hour)
    return isExact ? `${date} ${at.toLocaleTimeString('en-GB', hour)}` : date
  }

  #drawMark(): void {
    const { mark } = this.#drawing
    if (mark === undefined) return
    const { ctx, bbox } = this.#plot
    const x = this.#plot.valToPos(mark.atS, 'x', true)
    const [low, high] = [mark.from, mark.to].map(value => this.#plot.valToPos(value, 'y', true)) as [number, number]
    ctx.save()
    ctx.strokeStyle = this.#color('--quiet')
    ctx.setLineDash([2, 3])
    strokeDown(ctx, x, bbox.top, bbox.top + bbox.height)
    ctx.setLineDash([])
    ctx.lineWidth = 3
    ctx.strokeStyle = this.#color('--warn')
    strokeDown(ctx, x, low, high)
    ctx.restore()
  }
}

function strokeDown(ctx: CanvasRenderingContext2D, x: number, from: number, to: number): void {
  ctx.beginPath()
  ctx.moveTo(x, from)
  ctx.lineTo(x, to)
  ctx.stroke()
}
