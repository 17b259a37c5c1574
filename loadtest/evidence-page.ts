/** All evidence of one run as one page, with links to what lies beside it. */
import { badge, factList, objectiveTable, pageOf, type RunFacts, textTable } from './html-report.ts'
import type { Objective } from './report.ts'
import { escaped } from './svg-chart.ts'

/** What one step showed. */
export interface EvidenceResult {
  readonly name: string
  readonly claim: string
  /** What somebody types to repeat it. */
  readonly command: string
  readonly objectives: readonly Objective[]
  /** Why it shows nothing, for or against. */
  readonly invalid: readonly string[]
  /** Why it did not run. */
  readonly leftOut: string | undefined
  readonly seconds: number
  /** Everything that it printed, relative to the page. */
  readonly log: { readonly file: string; readonly sha256: string } | undefined
  /** Its own page, relative to this one. */
  readonly report: string | undefined
}

const SHOWN_MAX = 15

/** Writes the page. */
export function evidencePage(results: readonly EvidenceResult[], run: RunFacts): string {
  const origin = `${String(run.at ?? '')} · commit ${String(run.commit ?? '').slice(0, 12)}`
  const body = [
    `<h1>Evidence ${overall(results)}</h1>`,
    `<p class="sub">Bidcell · ${escaped(origin)}</p>`,
    '<p>Each claim was tried by the command beside it, on the machine below. <em>Held</em>: every objective was met. ' +
      '<em>Missed</em>: at least one was not. <em>Invalid</em>: the machine or the harness itself was too slow, so ' +
      'that nothing is shown, for or against.</p>',
    summary(results),
    ...results.map(section),
    factList('Machine', run),
  ]
  return pageOf('Bidcell: evidence', body)
}

function overall(results: readonly EvidenceResult[]): string {
  const count = (kind: Verdict) => results.filter(each => verdictOf(each) === kind).length
  if (count('missed') > 0) return badge('missed', `${count('missed')} missed`)
  if (count('invalid') > 0) return badge('invalid', `${count('invalid')} invalid`)
  const held = count('held')
  return held === results.length ? badge('held', 'all held') : badge('none', `${held} of ${results.length} held`)
}

type Verdict = 'held' | 'missed' | 'invalid' | 'left out'

function verdictOf({ objectives, invalid, leftOut }: EvidenceResult): Verdict {
  if (leftOut !== undefined) return 'left out'
  if (objectives.some(({ held }) => !held)) return invalid.length > 0 ? 'invalid' : 'missed'
  return invalid.length > 0 ? 'invalid' : 'held'
}

function verdictBadge(result: EvidenceResult): string {
  const verdict = verdictOf(result)
  return badge(verdict === 'left out' ? 'none' : verdict, verdict)
}

function summary(results: readonly EvidenceResult[]): string {
  const rows = results.map(result => {
    const { name, claim, objectives } = result
    const held = objectives.filter(each => each.held).length
    const counts = `${held} of ${objectives.length}`
    return [`<a href="#${name}">${name}</a>`, escaped(claim), counts, verdictBadge(result)]
  })
  return textTable(['Step', 'Claim', 'Objectives held', 'Verdict'], rows)
}

/** Where there are many, those that were held are folded away. */
function objectivesOf(all: readonly Objective[]): string {
  if (all.length === 0) return ''
  if (all.length <= SHOWN_MAX) return objectiveTable(all)
  const missed = all.filter(({ held }) => !held)
  const held = all.filter(each => each.held)
  const folded = `<details><summary>${held.length} held</summary>${objectiveTable(held)}</details>`
  return (missed.length === 0 ? '' : objectiveTable(missed)) + folded
}

function section(result: EvidenceResult): string {
  const { name, claim, command, objectives, invalid, leftOut, seconds, log, report } = result
  const links = [
    report === undefined ? '' : `<a href="${report}">Report with plots</a>`,
    log === undefined ? '' : `<a href="${log.file}">Log</a>, SHA-256 <code>${log.sha256}</code>`,
    seconds === 0 ? '' : `${seconds} s`,
  ].filter(each => each !== '')
  return [
    `<h2 id="${name}">${escaped(name)} ${verdictBadge(result)}</h2>`,
    `<p>${escaped(claim)}</p>`,
    leftOut === undefined ? '' : `<p>Left out: ${escaped(leftOut)}.</p>`,
    ...invalid.map(why => `<p>Invalid: ${escaped(why)}.</p>`),
    `<pre>${escaped(command)}</pre>`,
    objectivesOf(objectives),
    links.length === 0 ? '' : `<p class="sub">${links.join(' · ')}</p>`,
  ]
    .filter(each => each !== '')
    .join('\n')
}
