/** An explanation as text for people. */
import type { FindingGroup, JudgedLineItem, LotExplanation } from '../decision/explain.ts'
import { findingText } from '../decision/finding.ts'
import type { Explanation } from '../openrtb/explain-request.ts'
import { styled, table } from './terminal.ts'

const OUTRANKED_SHOWN = 10
const FINDING_CHARS_MAX = 120

/** Per impression who wins, and what keeps the others from it, in the order of decision. */
export function explanationText({ impressions, ...request }: Explanation): string {
  const parts = [requestText(request)]
  for (const { id, reason, lots } of impressions) {
    parts.push(`${styled('bold', `Impression ${id}`)}: ${outcomeText(reason)}`)
    for (const lot of lots) parts.push(lotText(lot))
  }
  return parts.join('\n\n')
}

/** Per impression what becomes of one line item, with all that it fails. */
export function lineItemText(explanation: Explanation, lineItemId: string): string {
  const parts = [requestText(explanation)]
  for (const { id, reason, lots } of explanation.impressions) {
    if (lots.length === 0) parts.push(`${styled('bold', `Impression ${id}`)}: ${outcomeText(reason)}`)
    for (const lot of lots) {
      const judged = judgedIn(lot, lineItemId)
      if (judged !== undefined) parts.push(`${styled('bold', `Impression ${id}`)}, ${lot.of}: ${whyText(judged, lot)}`)
    }
  }
  return parts.join('\n\n')
}

/** What became of one line item, where it is told. */
export function judgedIn({ winners, others }: LotExplanation, lineItemId: string): JudgedLineItem | undefined {
  return [...winners, ...others].find(({ id }) => id === lineItemId)
}

function requestText({ requestId, exchange, at, userDataAllowed, reason }: Omit<Explanation, 'impressions'>): string {
  const lines = [`Request ${requestId} from ${exchange} at ${at}.`]
  if (!userDataAllowed) lines.push('Nothing about the person may be used: what tells of the person is unknown.')
  if (reason !== undefined)
    lines.push(styled('red', `Nothing is bid at all: ${reason}. Below is what would be if it were not so.`))
  return lines.join('\n')
}

function outcomeText(reason: string | undefined): string {
  return reason === undefined ? styled('green', 'bid') : styled('red', `no bid (${reason})`)
}

function lotText({ of, winners, others, counts, groups }: LotExplanation & { readonly of: string }): string {
  const lines = [`${of}:`]
  if (winners.length > 0) {
    const [first, ...more] = winners
    lines.push(counts.wins > 1 ? `  One of these ${counts.wins} bids, by chance:` : '  This line item bids:')
    lines.push(table([WINNER_HEADING, ...[first as JudgedLineItem, ...more].map(winnerRow)]))
  }
  const outranked = others.filter(({ outcome }) => outcome === 'outranked')
  if (counts.outranked > 0) {
    const shown = outranked.slice(0, OUTRANKED_SHOWN).map(({ id, priority, cpm }) => `${id} (${priority}, ${cpm})`)
    const more = counts.outranked - shown.length
    lines.push(`  Outranked (priority, CPM): ${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`)
  }
  if (counts.fails > 0) {
    lines.push(`  ${counts.fails} do not bid. Of each check, in their order: how many it stops, and how many fail it.`)
    lines.push(groupsText(groups))
  }
  return lines.join('\n')
}

const WINNER_HEADING = ['    line item', 'priority', 'CPM', 'bids', 'deal', 'creatives']

function winnerRow({ id, priority, cpm, bid }: JudgedLineItem): readonly string[] {
  const { cpm: bidCpm = cpm, dealId = '', creativeIds = [] } = bid ?? {}
  return [`    ${id}`, String(priority), String(cpm), String(bidCpm), shownDeal(dealId), creativeIds.join(' ')]
}

/** The deal of a roadblock is only ours. */
function shownDeal(dealId: string): string {
  return dealId === '' ? '–' : dealId.startsWith('\u0001') ? 'roadblock' : dealId
}

function groupsText(groups: readonly FindingGroup[]): string {
  const stopping = groups.filter(({ stops }) => stops > 0)
  const width = Math.max(...stopping.map(({ what }) => what.length))
  let reason = ''
  const lines: string[] = []
  for (const { what, stops, fails, examples, ...group } of stopping) {
    if (group.reason !== reason) lines.push(`    ${styled('bold', group.reason)}`)
    reason = group.reason
    const [example] = examples
    const shown = example === undefined ? '' : `${example.lineItemId} ${findingText(example.finding)}`
    const counts = `${String(stops).padStart(8)}${String(fails).padStart(8)}`
    lines.push(`${counts}  ${what.padEnd(width)}  ${styled('dim', shortened(shown))}`)
  }
  const rest = groups.filter(({ stops }) => stops === 0).map(({ what, fails }) => `${what} ${fails}`)
  if (rest.length > 0) lines.push(`    Stopped before, they also fail: ${rest.join(', ')}`)
  return lines.join('\n')
}

function whyText(
  { id, name, priority, cpm, outcome, reason, findings, bid }: JudgedLineItem,
  lot: LotExplanation,
): string {
  const own = `${id} (${name}, priority ${priority}, CPM ${cpm})`
  const creatives = bid === undefined ? '' : ` with ${bid.creativeIds.join(' or ')}`
  if (outcome === 'wins') {
    const others = lot.counts.wins - 1
    const chance = others > 0 ? `, or one of ${others} others, by chance` : ''
    return `${own} ${styled('green', 'wins')}${creatives}${chance}.`
  }
  if (outcome === 'outranked') {
    const [best] = lot.winners
    const by = best === undefined ? '' : ` by ${best.id} (priority ${best.priority}, CPM ${best.cpm})`
    return `${own} could bid${creatives}, and is ${styled('yellow', 'outranked')}${by}.`
  }
  const lines = findings.map((finding, i) => {
    const text = `  ${finding.reason}: ${finding.what}: ${shortened(findingText(finding))}`
    return i === 0 ? styled('bold', text) : text
  })
  const more = findings.length > 1 ? ', and fails every check below' : ''
  return `${own} does ${styled('red', 'not bid')}: ${reason} stops it${more}.\n${lines.join('\n')}`
}

function shortened(text: string): string {
  return text.length <= FINDING_CHARS_MAX ? text : `${text.slice(0, FINDING_CHARS_MAX)}…`
}
