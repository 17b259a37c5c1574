/** Wires what tells people about bids: the explainer, with what this task knows of budgets and stops. */

import { randomInt } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { LotExplanation } from './decision/explain.ts'
import { dryRun } from './dry-run.ts'
import { type EventTail, NOTHING_SEEN, type TailCounts } from './event-tail.ts'
import { Explainer } from './explainer.ts'
import type { Clock } from './foundation/clock.ts'
import type { ConsoleFiles } from './http/console-files.ts'
import type { ExplainCall, InsightDeps, InsightReply, RecentCall } from './http/insight-routes.ts'
import { type LineItemQuery, lineItemRows } from './http/line-item-rows.ts'
import { LiveStreams } from './http/live-streams.ts'
import { idTextsOfRequest } from './openrtb/id-texts.ts'
import type { Announcement } from './remote-cache/source.ts'
import { SampledRequests } from './sampled-requests.ts'
import type { KnownBudget } from './spend/budgets-view.ts'
import type { PlanView } from './spend/pacing.ts'
import { type PacingQuery, pacingRows } from './spend/pacing-rows.ts'
import { PlanHistory } from './spend/plan-history.ts'
import type { SegmentLookup } from './state/audience-reader.ts'
import type { Catalog } from './state/catalog.ts'
import { type FoundSegments, findSegments } from './state/found-segments.ts'
import type { StopList } from './stop-list.ts'
import type { LineItemCounts } from './telemetry/line-item-counts.ts'
import { LiveSeconds } from './telemetry/live-seconds.ts'
import type { Snapshot } from './telemetry/recorder.ts'
import type { RequestSample } from './telemetry/request-sampler.ts'
import { COUNTER } from './telemetry/signals.ts'
import type { ExplainThreadData } from './thread-messages.ts'

/** What telling needs of the task; each is asked anew for every question. */
export interface InsightOptions {
  readonly consoleFiles: ConsoleFiles
  readonly thread: Omit<ExplainThreadData, 'heapMib'>
  readonly clock: Clock
  /** What is served, undefined before the first version. */
  readonly held: () => Announcement | undefined
  /** The same, to be read at once. */
  readonly catalogs: () => readonly Catalog[]
  /** The users that serve, read by this thread. */
  readonly audience: SegmentLookup
  readonly counts: LineItemCounts
  readonly snapshot: () => Snapshot
  /** Who and where the task is, and what it says of itself. */
  readonly about: () => Readonly<Record<string, unknown>>
  readonly freeBytes: () => number
  readonly stops: () => StopList
  /** Undefined where no notices can come: then nothing with a budget bids. */
  readonly money: KnownMoney | undefined
  readonly tail: EventTail
}

/** What the task knows of budgets and plans. */
interface KnownMoney {
  /** See TaskBudgets.known. */
  knownBudgets(): readonly KnownBudget[]
  /** By owner. */
  readonly plans: ReadonlyMap<string, PlanView>
  /** By ordinal of a catalog; undefined for one that does not serve. */
  passRatesOf(catalog: Catalog): Uint32Array | undefined
}

const NANOS = 1e9
const SECOND_MS = 1_000
const PLANS_EVERY_S = 5
const NOT_LOOKED_AT = ['frequency caps', 'chance where a plan slows down', 'how long the request waited']

const NOT_ASKED = ['budgets', 'frequency caps', 'how long the request waited']

/** Answers the admin port. */
export class Insight implements InsightDeps {
  readonly #options: InsightOptions
  readonly #explainer: Explainer
  readonly #seconds = new LiveSeconds()
  readonly #samples: SampledRequests
  readonly #streams = new LiveStreams()
  readonly #plans = new PlanHistory()
  #looks = 0
  /** What open consoles have been told of the tail. */
  #told: TailCounts = NOTHING_SEEN
  readonly #looking: NodeJS.Timeout

  constructor(options: InsightOptions) {
    this.#options = options
    this.#explainer = new Explainer(options)
    this.#samples = new SampledRequests(options.catalogs, options.audience, catalog =>
      options.money?.passRatesOf(catalog),
    )
    this.#looking = setInterval(() => this.#look(), SECOND_MS).unref()
  }

  get consoleFiles(): ConsoleFiles {
    return this.#options.consoleFiles
  }

  /** Begins to tell what happens, the last minutes first. @returns false when enough look already */
  openLive(res: ServerResponse): boolean {
    const tail = this.events()
    return this.#streams.add(res, { seconds: this.#seconds.all, now: this.#now(this.#options.snapshot()), tail })
  }

  #look(): void {
    const snapshot = this.#options.snapshot()
    const second = this.#seconds.look(snapshot)
    const { clock, money, tail } = this.#options
    if (this.#looks++ % PLANS_EVERY_S === 0 && money !== undefined) this.#plans.look(clock.nowMs(), money.plans)
    if (second === undefined || !this.#streams.isWatched) return
    this.#streams.tell({ second, now: this.#now(snapshot), tail: tail.since(this.#told) })
    this.#told = tail.counts
  }

  #now({ gauges, threads, counters }: Snapshot): object {
    const { about, stops } = this.#options
    const total = { bidRequests: counters[COUNTER.bidRequests], bids: counters[COUNTER.bids] }
    return { ...about(), gauges, threads, total: { ...total, spend: counters[COUNTER.spend] }, stops: stops() }
  }

  /** Takes a request that chance took to be looked at as a whole. Where memory is short nothing more is kept. */
  take(sample: RequestSample): void {
    if (this.#options.freeBytes() > 0) this.#samples.take(sample)
  }

  recent(query: RecentCall): { readonly samples: number; readonly requests: readonly object[] } {
    return { samples: this.#samples.samples, requests: this.#samples.recent(query) }
  }

  /** The last log lines, notices and versions. */
  events(): InsightReply['body'] {
    return { ...this.#options.tail.since(NOTHING_SEEN) }
  }

  /** Line items that follow plans, those furthest from them first. Cost: O(budgets that bids asked for) */
  pacing(query: PacingQuery): InsightReply['body'] {
    const { clock, money } = this.#options
    const known = { budgets: money?.knownBudgets() ?? [], views: money?.plans ?? new Map<string, PlanView>() }
    return pacingRows({ ...known, pointsOf: owner => this.#plans.of(owner) }, query, clock.nowMs())
  }

  deals(): { readonly samples: number; readonly deals: readonly object[] } {
    return { samples: this.#samples.samples, deals: this.#samples.deals() }
  }

  /** Line items that are served. Cost: O(line items) */
  lineItems(query: LineItemQuery): InsightReply['body'] {
    const { catalogs, clock, counts, money, stops } = this.#options
    const { total, rows } = lineItemRows(catalogs(), query, id => counts.of(id))
    const budgets = new Map((money?.knownBudgets() ?? []).map(budget => [budget.lineItemId, budget]))
    const funnels = this.#samples.funnels(clock.nowMs())
    const told = rows.map(row => ({ ...row, ...funnels.get(row.id), ...liveOf(row, budgets.get(row.id), stops()) }))
    return { total, samples: this.#samples.samples, rows: told }
  }

  /** Why a bid request would be answered as it would be now, with the state that serves. Spends nothing. */
  async explain({ request, exchange, lineItem, at }: ExplainCall): Promise<InsightReply> {
    const { clock, money, stops } = this.#options
    const held = this.#options.held()
    if (held === undefined) return { status: 503, body: { error: 'no state is served yet; see /state' } }
    const nowMs = at === undefined ? clock.nowMs() : Date.parse(at)
    if (Number.isNaN(nowMs)) return noInstant(at)
    const budgets = money?.knownBudgets() ?? []
    const spent = budgets.flatMap(({ isSpent, lineItemId }) => (isSpent ? [lineItemId] : []))
    const segments = this.#segmentsOf(request, exchange, nowMs)
    const question = { held, request, exchange, lineItem, nowMs, stops: stops(), spent, segments }
    const answer = await this.#explainer.ask(question)
    if (answer.kind === 'refused') return { status: answer.status, body: { error: answer.error } }
    const { explanation, problems } = answer
    const live = this.#liveOf(
      explanation.impressions.flatMap(({ lots }) => lots),
      budgets,
    )
    return {
      status: 200,
      body: { ...explanation, state: held.version, problems, live, notLookedAt: NOT_LOOKED_AT },
    }
  }

  /** Of the users whom a request may be about; whether they may be looked at is judged with the rest of it. */
  #segmentsOf(request: unknown, exchangeId: string | undefined, nowMs: number): FoundSegments {
    const { audience, catalogs } = this.#options
    const known = catalogs().at(-1)?.header.exchanges ?? []
    const id = exchangeId ?? known.find(({ status }) => status === 'active')?.id ?? ''
    return findSegments(audience, idTextsOfRequest(request, id), nowMs)
  }

  /** What it would be answered; where a line item is named, if nobody else took part. Spends and counts nothing. */
  dryRun({ request, exchange, lineItem, at }: ExplainCall): InsightReply {
    const { audience, catalogs, clock, stops } = this.#options
    const nowMs = at === undefined ? clock.nowMs() : Date.parse(at)
    if (Number.isNaN(nowMs)) return noInstant(at)
    const pickIndex = (count: number) => randomInt(count)
    const run = dryRun(catalogs(), { request, exchange, lineItem, audience, nowMs, pickIndex, stops: stops() })
    if (run.kind === 'refused') return { status: run.status, body: { error: run.error } }
    const { status, response, reasons } = run
    return { status: 200, body: { status, response, reasons, notLookedAt: NOT_ASKED } }
  }

  /** What this task knows now of line items that are told, by id: those with a budget, and those that are stopped. */
  #liveOf(lots: readonly LotExplanation[], budgets: readonly KnownBudget[]): Readonly<Record<string, object>> {
    const stops = this.#options.stops()
    const budgetOf = new Map(budgets.map(budget => [budget.lineItemId, budget]))
    const live: Record<string, object> = {}
    for (const lineItem of lots.flatMap(({ winners, others }) => [...winners, ...others])) {
      const known = liveOf(lineItem, budgetOf.get(lineItem.id), stops)
      if (Object.keys(known).length > 0) live[lineItem.id] = known
    }
    return live
  }

  async stop(): Promise<void> {
    clearInterval(this.#looking)
    this.#streams.end()
    await this.#explainer.stop()
  }
}

function noInstant(at: string | undefined): InsightReply {
  return { status: 400, body: { error: `at is no instant: ${at}` } }
}

/** What this task knows now of one line item beside its documents. */
function liveOf(
  { id, campaignId }: { readonly id: string; readonly campaignId: string },
  budget: KnownBudget | undefined,
  stops: StopList,
): object {
  const stopped = stops.lineItems.includes(id) || stops.campaigns.includes(campaignId)
  return {
    ...(budget && { leaseLeft: budget.leftNanos / NANOS, passRate: budget.passRatePpm / 1e6 }),
    ...(stopped ? { stopped } : {}),
  }
}
