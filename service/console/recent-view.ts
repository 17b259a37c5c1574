/** Sampled requests with their decisions, and the deals that they offered. */
import type { Estimate } from '../estimates.ts'
import { byId, element, shown, shownEstimate, tableOf } from './element.ts'

interface SeenRequest {
  readonly atMs: number
  readonly exchange: string
  readonly request: { readonly id: string }
  readonly bidders: readonly string[]
  readonly reasons: readonly string[]
  readonly impressions: readonly {
    readonly deals: readonly string[]
    readonly targeted: number
    readonly eligible: number
  }[]
}

interface DealRow {
  readonly id: string
  readonly seen: Estimate
  readonly bids: Estimate
  readonly reasons: readonly (readonly [reason: string, impressions: Estimate])[]
}

const REFRESH_MS = 10_000
const REASONS_SHOWN = 3
const ID_CHARS_SHOWN = 40

/** Fills both tables, and anew every few seconds as long as the page is seen. */
export class RecentView {
  readonly #onExplain: (request: object, exchange: string) => void

  constructor(onExplain: (request: object, exchange: string) => void) {
    this.#onExplain = onExplain
    byId('filter').addEventListener('submit', event => {
      event.preventDefault()
      void this.#load()
    })
    window.setInterval(() => document.visibilityState === 'visible' && void this.#load(), REFRESH_MS)
    void this.#load()
  }

  async #load(): Promise<void> {
    const said = { lineItem: wordIn('of-line-item'), deal: wordIn('of-deal'), reason: wordIn('of-reason') }
    const wanted = Object.entries(said).filter(([, value]) => value !== '')
    try {
      const [recent, health] = await Promise.all([fetch(`/recent?${new URLSearchParams(wanted)}`), fetch('/deals')])
      if (!recent.ok) throw new Error('nothing can be found so; take a reason from the list')
      this.#showRecent(await recent.json())
      showDeals(await health.json())
    } catch (error) {
      byId('sampled').textContent = error instanceof Error ? error.message : String(error)
    }
  }

  #showRecent({ samples, requests }: { readonly samples: number; readonly requests: readonly SeenRequest[] }): void {
    byId('sampled').textContent = `${requests.length} of the last ones; ${shown(samples)} looked at, taken by chance`
    const rows = requests.map(seen => this.#row(seen))
    const head = ['at', 'exchange', 'request', 'impressions', 'targeted', 'eligible', 'bid', 'no bid', 'deals', '']
    byId('recent').replaceChildren(
      rows.length === 0 ? element('p', { class: 'quiet pad' }, 'None yet.') : tableOf(head, rows, [1, 2, 6, 7, 8]),
    )
    if (wordIn('of-reason') !== '') return
    const known = new Set(requests.flatMap(({ reasons }) => reasons))
    byId('reasons-known').replaceChildren(...[...known].map(reason => element('option', { value: reason })))
  }

  #row({ atMs, exchange, request, bidders, reasons, impressions }: SeenRequest): readonly (string | Node)[] {
    const label = `explain ${request.id}`
    const button = element('button', { class: 'plain', type: 'button', 'aria-label': label }, 'explain')
    button.addEventListener('click', () => this.#onExplain(request, exchange))
    const sum = (of: 'targeted' | 'eligible') => shown(impressions.reduce((all, each) => all + each[of], 0))
    const deals = [...new Set(impressions.flatMap(each => each.deals))].join(', ')
    const at = new Date(atMs).toLocaleTimeString('en-GB')
    return [
      ...[at, exchange, request.id.slice(0, ID_CHARS_SHOWN), String(impressions.length)],
      ...[sum('targeted'), sum('eligible'), bidders.join(', '), reasons.join(', '), deals, button],
    ]
  }
}

function showDeals({ deals }: { readonly deals: readonly DealRow[] }): void {
  const rows = deals.map(({ id, seen, bids, reasons }) => {
    const why = reasons.slice(0, REASONS_SHOWN).map(([reason, times]) => `${reason} (${shownEstimate(times)})`)
    return [id, shownEstimate(seen), shownEstimate(bids), why.join('; ')]
  })
  byId('deals').replaceChildren(
    rows.length === 0
      ? element('p', { class: 'quiet pad' }, 'No sampled request offered a deal yet.')
      : tableOf(['deal', 'seen', 'bid in it', 'otherwise stopped by'], rows, [3]),
  )
}

function wordIn(id: string): string {
  return byId<HTMLInputElement>(id).value.trim()
}
