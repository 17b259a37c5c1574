/** Line items that are served, with what they did in this task. */
import type { Estimate } from '../estimates.ts'
import { byId, element, shown, shownEstimate } from './element.ts'

interface Row {
  readonly id: string
  readonly campaignId: string
  readonly priority: number
  readonly cpm: number
  readonly bids: number
  readonly wins: number
  readonly billed: number
  readonly spendNanos: number
  /** Impressions, estimated since the version serves. */
  readonly targeted?: Estimate
  readonly eligible?: Estimate
  /** Of these, how many pacing lets through. */
  readonly paced?: Estimate
  readonly leaseLeft?: number
  readonly passRate?: number
  readonly stopped?: boolean
}

const HEAD = [
  'line item',
  'campaign',
  'priority',
  'CPM',
  'targeted',
  'eligible',
  'paced',
  'bids',
  'wins',
  'billed',
  'spend',
  'lease left',
  'takes part',
  '',
]
const REFRESH_MS = 5_000
const TYPING_MS = 200
const NANOS = 1e9

/** Fills the table now, while somebody types, and every few seconds as long as the page is seen. */
export class LineItemsView {
  readonly #onWhy: (lineItemId: string) => void
  #typing = 0
  #asked = 0

  constructor(onWhy: (lineItemId: string) => void) {
    this.#onWhy = onWhy
    const head = HEAD.map((name, i) => element('th', { scope: 'col', ...(i === 1 ? { class: 'text' } : {}) }, name))
    byId('line-items-head').replaceChildren(element('tr', {}, ...head))
    byId('search').addEventListener('input', () => {
      clearTimeout(this.#typing)
      this.#typing = window.setTimeout(() => void this.#load(), TYPING_MS)
    })
    byId('sort').addEventListener('change', () => void this.#load())
    byId('find').addEventListener('submit', event => event.preventDefault())
    window.setInterval(() => document.visibilityState === 'visible' && void this.#load(), REFRESH_MS)
    void this.#load()
  }

  async #load(): Promise<void> {
    const number = ++this.#asked
    const search = byId<HTMLInputElement>('search').value
    const sort = byId<HTMLSelectElement>('sort').value
    try {
      const answer = await fetch(`/line-items?${new URLSearchParams({ search, sort, limit: '100' })}`)
      const told = (await answer.json()) as { readonly total: number; readonly rows: readonly Row[] }
      // An answer that was overtaken is not shown.
      if (number === this.#asked) this.#show(told)
    } catch {
      byId('found').textContent = 'the task does not answer'
    }
  }

  #show({ total, rows }: { readonly total: number; readonly rows: readonly Row[] }): void {
    byId('found').textContent = total > rows.length ? `${rows.length} of ${shown(total)}` : `${shown(total)} line items`
    byId('line-items').replaceChildren(...rows.map(row => this.#row(row)))
  }

  #row(row: Row): HTMLElement {
    const why = element('button', { class: 'plain', type: 'button', 'aria-label': `why ${row.id}` }, 'why?')
    why.addEventListener('click', () => this.#onWhy(row.id))
    const id = row.stopped ? [row.id, element('span', { class: 'warn' }, ' stopped')] : [row.id]
    const rank = [row.priority, row.cpm].map(shown)
    const funnel = [row.targeted, row.eligible, row.paced].map(shownEstimate)
    const cells = [...rank, ...funnel, ...[row.bids, row.wins, row.billed, row.spendNanos / NANOS].map(shown)]
    const rate = row.passRate === undefined ? '–' : `${shown(100 * row.passRate)} %`
    const left = row.leaseLeft === undefined ? '–' : shown(row.leaseLeft)
    return element(
      'tr',
      { 'data-line-item': row.id },
      element('td', {}, ...id),
      element('td', { class: 'text quiet' }, row.campaignId),
      ...[...cells, left, rate].map(text => element('td', {}, text)),
      element('td', {}, why),
    )
  }
}
