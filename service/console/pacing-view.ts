/** Line items that follow plans: what the plan wants over its time, and what was spent. */
import type { PacingRow, PlanRow } from '../spend/pacing-rows.ts'
import { byId, element, shape, shown } from './element.ts'

interface Pacing {
  readonly total: number
  readonly rows: readonly PacingRow[]
}

const REFRESH_MS = 5_000
const TYPING_MS = 200
const WIDTH = 300
const HEIGHT = 90
const OFF_PLAN = 0.05

/** Fills its section now, while somebody types, and every few seconds as long as the page is seen. */
export class PacingView {
  #typing = 0
  #asked = 0

  constructor() {
    byId('plans-search').addEventListener('input', () => {
      clearTimeout(this.#typing)
      this.#typing = window.setTimeout(() => void this.#load(), TYPING_MS)
    })
    byId('find-plans').addEventListener('submit', event => event.preventDefault())
    window.setInterval(() => document.visibilityState === 'visible' && void this.#load(), REFRESH_MS)
    void this.#load()
  }

  async #load(): Promise<void> {
    const number = ++this.#asked
    const search = byId<HTMLInputElement>('plans-search').value
    try {
      const answer = await fetch(`/pacing?${new URLSearchParams({ search })}`)
      const told = (await answer.json()) as Pacing
      // An answer that was overtaken is not shown.
      if (number === this.#asked) show(told)
    } catch {
      byId('plans-found').textContent = 'the task does not answer'
    }
  }
}

function show({ total, rows }: Pacing): void {
  const found = total > rows.length ? `the ${rows.length} furthest from their plans, of ${shown(total)}` : shown(total)
  byId('plans-found').textContent = `${found} line items with a plan`
  const none = element('p', { class: 'quiet' }, 'No line item that follows a plan was asked for yet.')
  const cards = rows.flatMap(row => row.plans.map(plan => cardOf(row, plan)))
  byId('plans').replaceChildren(...(cards.length === 0 ? [none] : cards))
}

function cardOf({ lineItemId, takesPart }: PacingRow, plan: PlanRow): HTMLElement {
  const { of, id, limit, spent, planned, behind } = plan
  const whose = of === 'campaign' ? `campaign ${id}` : 'its own budget'
  const way = behind >= 0 ? 'behind' : 'ahead of'
  const off = element('span', { class: Math.abs(behind) > OFF_PLAN ? 'warn' : 'good' }, percent(Math.abs(behind)))
  return element(
    'figure',
    { class: 'card', 'data-plan': `${lineItemId} ${id}` },
    element('figcaption', {}, `${lineItemId} · ${whose} · ${plan.plan}, ${periodOf(plan)}`),
    plotOf(plan),
    element(
      'div',
      { class: 'legend' },
      element('span', {}, element('i'), `spent ${shown(spent)} of ${shown(limit)}`),
      element('span', { class: 'other' }, element('i'), `plan ${shown(planned)}`),
      element('span', {}, off, ` ${way} plan`),
      element('span', {}, `takes part ${percent(takesPart)}`),
    ),
  )
}

function percent(share: number): string {
  return `${shown(100 * share)} %`
}

const DAY_HOURS_MAX = 26
const HOUR_MS = 3_600_000

function periodOf({ startMs, endMs }: PlanRow): string {
  if (endMs - startMs <= DAY_HOURS_MAX * HOUR_MS) return 'today'
  const date = (ms: number) => new Date(ms).toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })
  return `${date(startMs)} to ${date(endMs)}`
}

/** From the plan's start to its end, from nothing to the whole budget; a line stands where it is now. */
function plotOf({ startMs, endMs, limit, spent, planned, curve, points }: PlanRow): Element {
  const x = (atMs: number) => (((atMs - startMs) / (endMs - startMs)) * WIDTH).toFixed(2)
  const y = (share: number) => (HEIGHT * (1 - Math.min(1, share))).toFixed(2)
  const now = Math.min(endMs, Math.max(startMs, Date.now()))
  const wanted = curve.map((share, i) => `${((i / (curve.length - 1)) * WIDTH).toFixed(2)} ${y(share)}`)
  const was = [...points, [now, spent] as const].map(([atMs, amount]) => `${x(atMs)} ${y(amount / limit)}`)
  const svg = shape('svg', { class: 'chart plot', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none' })
  svg.setAttribute('role', 'img')
  svg.setAttribute('aria-label', `spent ${shown(spent)} of ${shown(limit)}, planned by now ${shown(planned)}`)
  svg.append(
    ...[0, 0.5, 1].map(part => shape('line', { x1: 0, x2: WIDTH, y1: part * HEIGHT, y2: part * HEIGHT })),
    shape('path', { class: 'other', d: `M${wanted.join('L')}` }),
    shape('path', { class: 'first', d: `M${was.join('L')}` }),
    shape('line', { class: 'now', x1: x(now), x2: x(now), y1: 0, y2: HEIGHT }),
    shape('line', { class: 'off', x1: x(now), x2: x(now), y1: y(spent / limit), y2: y(planned / limit) }),
  )
  return svg
}
