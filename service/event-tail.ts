/** The last of what happened in this task, for people who look at it: its log, notices and events, and its state. */
import { LIMITS } from './limits.ts'
import type { Notice, NoticeKind } from './openrtb/notice.ts'
import type { RefreshEvent } from './remote-cache/refresh-events.ts'
import { cutLine } from './telemetry/log-text.ts'
import { Tail } from './telemetry/tail.ts'

/** A line of the log without the identity, which is the same on every one. */
export interface ToldLine {
  readonly time: string
  readonly level: string
  readonly code: string
  readonly msg: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** A notice or an event, whether or not it was the first of its kind. Nothing of a person. */
export interface ToldNotice {
  readonly atMs: number
  readonly kind: NoticeKind
  readonly exchange: string
  readonly lineItem: string
  readonly creative: string
  /** In the tenant's currency; undefined where it bills nothing. */
  readonly amount: number | undefined
}

/** What became of a version, or of changes of it. */
export interface ToldVersion {
  readonly atMs: number
  readonly outcome: 'serves' | 'changed' | 'refused' | 'copy serves' | 'repaired'
  readonly version: string
  readonly announcement: number
  /** Changes of single records that serve on top of it. */
  readonly deltas: number
  /** Why it was refused, or what was left out. */
  readonly detail: string
}

/** How much of each has come, so that only news is told. */
export interface TailCounts {
  readonly log: number
  readonly notices: number
  readonly versions: number
}

/** What is new; of versions all that are kept, or none where nothing is new. */
export interface TailNews {
  readonly counts: TailCounts
  readonly log: readonly ToldLine[]
  readonly notices: readonly ToldNotice[]
  readonly versions: readonly ToldVersion[]
}

const NANOS = 1e9
/** Keys of a line that are no field of its event; who says it is the same on every line. */
const TOLD_APART: readonly string[] = [
  ...['time', 'level', 'code', 'msg', 'tenant_id', 'tier_id', 'region', 'cell_id', 'infra_group_id', 'task_id'],
]
/** Before anything came. */
export const NOTHING_SEEN: TailCounts = { log: 0, notices: 0, versions: 0 }

/** Keeps the last of each. A notice costs it one small object, a line one JSON.parse. */
export class EventTail {
  readonly #log = new Tail<ToldLine>(LIMITS.tailLinesKept)
  readonly #notices = new Tail<ToldNotice>(LIMITS.tailNoticesKept)
  readonly #versions = new Tail<ToldVersion>(LIMITS.tailVersionsKept)

  get counts(): TailCounts {
    return { log: this.#log.count, notices: this.#notices.count, versions: this.#versions.count }
  }

  /** What came since then. Cost: O(what is kept) */
  since({ log, notices, versions }: TailCounts): TailNews {
    const isChanged = this.#versions.count > versions
    return {
      counts: this.counts,
      log: this.#log.since(log),
      notices: this.#notices.since(notices),
      versions: isChanged ? this.#versions.since(0) : [],
    }
  }

  /** Takes a finished line. That somebody looks at the admin port is no news for who looks at it. */
  takeLine(line: string): void {
    const entry = JSON.parse(cutLine(line, LIMITS.tailLineBytesMax)) as Record<string, unknown>
    if (entry.action === 'admin-access') return
    const { time, level, code, msg } = entry
    const fields = Object.fromEntries(Object.entries(entry).filter(([key]) => !TOLD_APART.includes(key)))
    this.#log.add({ time: String(time), level: String(level), code: String(code), msg: String(msg), fields })
  }

  /** Takes a notice or an event as it comes. */
  takeNotice({ kind, token, atMs, price }: Notice): void {
    const { exchangeId: exchange, lineItemId: lineItem, creativeId: creative } = token
    const amount = price === undefined ? undefined : price.nanos / NANOS
    this.#notices.add({ atMs, kind, exchange, lineItem, creative, amount })
  }

  /** Takes what happened to the state, where it is worth telling. */
  takeState(event: RefreshEvent, atMs: number): void {
    const told = toldVersion(event, atMs)
    if (told === undefined) return
    const last = this.#versions.last
    // Changes come up to four times a second: they are one row until something else happens.
    const isMore = told.outcome === 'changed' && last?.outcome === 'changed' && last.version === told.version
    if (isMore) this.#versions.replaceLast(told)
    else this.#versions.add(told)
  }
}

function toldVersion(event: RefreshEvent, atMs: number): ToldVersion | undefined {
  if (!('announcement' in event)) return undefined
  const { version, number: announcement, deltas } = event.announcement
  const row = (outcome: ToldVersion['outcome'], detail = ''): ToldVersion => ({
    ...{ atMs, outcome, version, announcement, deltas: deltas?.length ?? 0, detail },
  })
  switch (event.kind) {
    case 'version-loaded': {
      const { lineItems } = event.report.counts
      const bad = Object.values(event.report.counts).reduce((sum, count) => sum + count.bad, 0)
      return row('serves', `${lineItems.good} line items${bad === 0 ? '' : `, ${bad} records refused`}`)
    }
    case 'deltas-taken':
      return row('changed', event.problems.length === 0 ? '' : `${event.problems.length} records refused`)
    case 'copy-serves':
      return row('copy serves', `made ${event.createdAt}`)
    case 'version-refused':
      return row('refused', event.code)
    case 'state-checked':
      return event.isSame ? undefined : row('repaired')
    default:
      return undefined
  }
}
