/** Asks why, and shows the answer: per impression who wins, what stops the others, or all that one line item fails. */
import type { JudgedLineItem, LotExplanation } from '../decision/explain.ts'
import type { Finding } from '../decision/finding.ts'
import type { Explanation } from '../openrtb/explain-request.ts'
import { byId, element, shown, tableOf } from './element.ts'

type Told = Explanation & { readonly error?: string; readonly live: Readonly<Record<string, object>> }
interface DryRun {
  readonly error?: string
  readonly status?: number
  readonly response?: unknown
  readonly reasons?: Readonly<Record<string, number>>
}
type Lot = LotExplanation & { readonly of: string }

const SAMPLE = {
  id: '1',
  imp: [{ id: '1', banner: { w: 300, h: 250 } }],
  site: { domain: 'news.example' },
  device: { geo: { country: 'USA' }, devicetype: 2 },
}

/** The form and its answer. */
export class ExplainView {
  readonly #request = byId<HTMLTextAreaElement>('request')
  readonly #exchange = byId<HTMLInputElement>('exchange')
  readonly #lineItem = byId<HTMLInputElement>('line-item')

  constructor() {
    this.#request.value = JSON.stringify(SAMPLE, undefined, 2)
    byId('ask').addEventListener('submit', event => {
      event.preventDefault()
      void this.#ask()
    })
    this.#request.addEventListener('keydown', event => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) void this.#ask()
    })
  }

  /** Asks about one line item, with the request that is there. */
  why(lineItemId: string): void {
    this.#lineItem.value = lineItemId
    byId('explain').scrollIntoView({ behavior: 'smooth' })
    void this.#ask()
  }

  /** Asks about a request as it was seen. */
  explain(request: object, exchange: string): void {
    this.#request.value = JSON.stringify(request, undefined, 2)
    this.#exchange.value = exchange
    this.#lineItem.value = ''
    byId('explain').scrollIntoView({ behavior: 'smooth' })
    void this.#ask()
  }

  async #ask(): Promise<void> {
    const answer = byId('answer')
    let request: unknown
    try {
      request = JSON.parse(this.#request.value)
    } catch (error) {
      answer.replaceChildren(element('p', { class: 'bad' }, `The bid request is not JSON: ${String(error)}`))
      return
    }
    answer.replaceChildren(element('p', { class: 'quiet' }, 'Reading what is served …'))
    const [exchange, lineItem] = [this.#exchange.value.trim(), this.#lineItem.value.trim()]
    const body = { request, ...(exchange === '' ? {} : { exchange }), ...(lineItem === '' ? {} : { lineItem }) }
    const [told, run] = await Promise.all([asked<Told>('/explain', body), asked<DryRun>('/dry-run', body)])
    if (told.error !== undefined) answer.replaceChildren(problem(told.error))
    else answer.replaceChildren(...answerOf(told, lineItem), dryRunOf(run, lineItem))
  }
}

async function asked<T>(path: string, body: object): Promise<T> {
  const headers = { 'content-type': 'application/json' }
  try {
    const answer = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) })
    return (await answer.json()) as T
  } catch (error) {
    return { error: `the task does not answer: ${String(error)}` } as T
  }
}

/** The answer as it would be sent, but for addresses of notices. */
function dryRunOf({ error, status, response, reasons = {} }: DryRun, lineItemId: string): HTMLElement {
  const whose = lineItemId === '' ? 'The answer' : `The answer if ${lineItemId} were alone`
  const why = Object.entries(reasons).map(([reason, count]) => `${reason} (${count})`)
  const text = response === undefined ? why.join(', ') : JSON.stringify(response, undefined, 2)
  return element(
    'details',
    { id: 'dry-run', class: 'card' },
    element('summary', {}, `${whose}: ${error ?? status}, nothing held or counted`),
    element('pre', {}, text),
  )
}

function problem(error: string): HTMLElement {
  return element('p', { class: 'bad' }, error)
}

function answerOf(told: Told, lineItemId: string): readonly HTMLElement[] {
  const whole =
    told.reason === undefined ? [] : [problem(`Nothing is bid at all: ${told.reason}. Else it would be so:`)]
  const parts = told.impressions.map(({ id, reason, lots }) => {
    const outcome =
      reason === undefined
        ? element('span', { class: 'good' }, 'bid')
        : element('span', { class: 'bad' }, `no bid (${reason})`)
    const shownLots = lots.flatMap(lot => (lineItemId === '' ? lotOf(lot) : lineItemOf(lot, lineItemId, told.live)))
    return element('div', { class: 'card' }, element('h3', {}, `Impression ${id}: `, outcome), ...shownLots)
  })
  const person = told.userDataAllowed ? [] : [element('p', { class: 'quiet' }, 'Nothing about the person may be used.')]
  return [...whole, ...person, ...parts]
}

function lotOf({ of, counts, winners, others, groups }: Lot): readonly HTMLElement[] {
  const outranked = others.filter(({ outcome }) => outcome === 'outranked').map(({ id }) => id)
  const title = counts.wins > 1 ? `${of}: one of these ${counts.wins} bids, by chance` : of
  return [
    element('h4', {}, title),
    ...(winners.length === 0 ? [] : [winnersTable(winners)]),
    ...(outranked.length === 0 ? [] : [element('p', {}, `Outranked: ${outranked.join(', ')}`)]),
    ...(counts.fails === 0 ? [] : [element('h4', {}, `${counts.fails} do not bid`), groupsTable(groups)]),
  ]
}

function winnersTable(winners: readonly JudgedLineItem[]): HTMLElement {
  const rows = winners.map(({ id, name, priority, cpm, bid }) => [
    ...[id, name, shown(priority), shown(bid?.cpm ?? cpm)],
    ...[bid?.dealId.replace('\u0001', 'roadblock ') || '–', bid?.creativeIds.join(', ') ?? ''],
  ])
  return tableOf(['line item', 'name', 'priority', 'bids CPM', 'deal', 'creatives'], rows, [1, 4, 5])
}

function groupsTable(groups: LotExplanation['groups']): HTMLElement {
  const rows = groups
    .filter(({ stops }) => stops > 0)
    .map(({ reason, what, stops, fails, examples: [example] }) => [
      ...[reason, what, shown(stops), shown(fails)],
      example === undefined ? '' : `${example.lineItemId} ${findingText(example.finding)}`,
    ])
  return tableOf(['reason', 'check', 'stops', 'fail it', 'for example'], rows, [1, 4])
}

function lineItemOf(lot: Lot, lineItemId: string, live: Told['live']): readonly HTMLElement[] {
  const judged = [...lot.winners, ...lot.others].find(({ id }) => id === lineItemId)
  if (judged === undefined) return []
  const { outcome, findings, reason, name } = judged
  const by = lot.winners[0]?.id ?? ''
  const [text, mood] = {
    wins: [lot.counts.wins > 1 ? `wins, or one of ${lot.counts.wins - 1} others, by chance` : 'wins', 'good'],
    outranked: [`could bid, and is outranked by ${by}`, 'warn'],
    fails: [`does not bid: ${reason}`, 'bad'],
  }[outcome] as [string, string]
  const known = Object.entries(live[lineItemId] ?? {}).map(([key, value]) => `${key} ${value}`)
  const rows = findings.map(finding => [finding.reason, finding.what, findingText(finding)])
  const table = tableOf(['reason', 'check', 'what is compared'], rows, [1, 2])
  table.querySelector('tbody tr')?.classList.add('stops')
  return [
    element('h4', {}, lot.of),
    element('p', { id: 'verdict' }, `${lineItemId} (${name}) `, element('span', { class: mood }, text)),
    ...(known.length === 0 ? [] : [element('p', { class: 'quiet' }, `In this task now: ${known.join(', ')}`)]),
    ...(findings.length === 0 ? [] : [table]),
  ]
}

const VALUES_SHOWN = 12

function findingText({ ours, theirs, creativeId }: Finding): string {
  const whose = creativeId === undefined ? '' : `creative ${creativeId} `
  return `${whose}${sideText(ours)}; ${sideText(theirs)}`
}

function sideText({ verb, values }: Finding['ours']): string {
  if (values === undefined) return verb
  const more = values.length > VALUES_SHOWN ? ` … and ${values.length - VALUES_SHOWN} more` : ''
  return `${verb} ${values.slice(0, VALUES_SHOWN).join(', ') || 'nothing'}${more}`
}
