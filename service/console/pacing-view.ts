/** Line items that follow plans: what the plan wants over its time, and what was spent. */
import type { PacingRow, PlanRow } from '../spend/pacing-rows.ts'
import { Chart, type Drawing, type Value } from './chart.ts'
import { byId, element, shown } from './element.ts'

interface Pacing {
  readonly total: number
  readonly rows: readonly PacingRow[]
}

const REFRESH_MS = 5_000
const TYPING_MS = 200
const CHART_PX = 120
const OFF_PLAN = 0.05

/** Fills its section now, while somebody types, and every few seconds as long as the page is seen. */
export class PacingView {
  #typing = 0
  #asked = 0
  #cards: ReadonlyMap<string, Card> = new Map()

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
      if (number === this.#asked) this.#show(told)
    } catch {
      byId('plans-found').textContent = 'the task does not answer'
    }
  }

  #show({ total, rows }: Pacing): void {
    const part = total > rows.length ? `the ${rows.length} furthest from their plans, of ${shown(total)}` : shown(total)
    byId('plans-found').textContent = `${part} line items with a plan`
    const shownNow = new Map<string, Card>()
    for (const row of rows)
      for (const plan of row.plans) {
        const key = [row.lineItemId, plan.of, plan.id, plan.startMs, plan.endMs].join(' ')
        const card = this.#cards.get(key) ?? newCard(row, plan)
        fill(card, row, plan)
        shownNow.set(key, card)
      }
    for (const [key, { chart }] of this.#cards) if (!shownNow.has(key)) chart.end()
    this.#cards = shownNow
    const none = element('p', { class: 'quiet' }, 'No line item that follows a plan was asked for yet.')
    const figures = [...shownNow.values()].map(({ figure }) => figure)
    const wanted = figures.length === 0 ? [none] : figures
    const there = [...byId('plans').children]
    // What is in its place stays there, or it would lose the keyboard.
    if (wanted.length !== there.length || wanted.some((each, i) => each !== there[i]))
      byId('plans').replaceChildren(...wanted)
  }
}

/** A card, whose chart is kept as long as its plan is shown: what is pointed at stays. */
interface Card {
  readonly figure: HTMLElement
  /** How the plan stands now. */
  readonly standing: HTMLElement
  readonly chart: Chart
}

function newCard({ lineItemId }: PacingRow, plan: PlanRow): Card {
  const whose = plan.of === 'campaign' ? `campaign ${plan.id}` : 'its own budget'
  const title = `${lineItemId} · ${whose} · ${plan.plan}, ${periodOf(plan)}`
  const figure = element('figure', { class: 'card', 'data-plan': `${lineItemId} ${plan.id}` })
  const chart = new Chart(figure, { title, unit: 'spend', lines: ['spent', 'plan'], heightPx: CHART_PX })
  const standing = element('div', { class: 'legend standing' })
  figure.append(standing)
  return { figure, standing, chart }
}

function fill({ standing, chart }: Card, { takesPart }: PacingRow, plan: PlanRow): void {
  const { limit, spent, planned, behind } = plan
  const way = behind >= 0 ? 'behind' : 'ahead of'
  const off = element('span', { class: Math.abs(behind) > OFF_PLAN ? 'warn' : 'good' }, percent(Math.abs(behind)))
  chart.draw(drawingOf(plan))
  standing.replaceChildren(
    element('span', {}, `spent ${shown(spent)} of ${shown(limit)}, planned by now ${shown(planned)}`),
    element('span', {}, off, ` ${way} plan`),
    element('span', {}, `takes part ${percent(takesPart)}`),
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
function drawingOf({ startMs, endMs, limit, spent, planned, curve, points }: PlanRow): Drawing {
  const now = Math.min(endMs, Math.max(startMs, Date.now()))
  const wanted = curve.map((share, i): readonly [number, Value, Value] => {
    return [startMs + (i / (curve.length - 1)) * (endMs - startMs), null, share * limit]
  })
  const was = points.map(([atMs, amount]): readonly [number, Value, Value] => [atMs, amount, null])
  const all = [...wanted, ...was, [now, spent, planned] as const].sort((a, b) => a[0] - b[0])
  return {
    ...{ from: startMs / 1e3, to: endMs / 1e3, top: limit },
    points: [all.map(([atMs]) => atMs / 1e3), all.map(([, first]) => first), all.map(([, , other]) => other)],
    mark: { atS: now / 1e3, from: spent, to: planned },
  }
}
