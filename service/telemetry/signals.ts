/**
 * The closed table of signals: everything that is measured, once. The recorder's columns, the names in CloudWatch,
 * Prometheus and OpenTelemetry, and the documentation all follow from it.
 */
import { NO_BID_REASON_NAMES } from '../decision/reasons.ts'
import { DEVICE_EVENTS, EXCHANGE_NOTICES, type NoticeKind } from '../openrtb/notice.ts'
import { PRICE_READINGS, type PriceReading } from '../openrtb/notice-price.ts'
import { TOKEN_REFUSALS, type TokenRefusal } from '../openrtb/notice-token.ts'

/** What a number counts. Histograms are recorded in nanoseconds and published in the unit each sink is used to. */
export type Unit = 'count' | 'bytes' | 'percent' | 'ratio' | 'seconds' | 'milliseconds' | 'none'

/** A closed set of label values. In CloudWatch the value is part of the metric's name, never a dimension. */
export interface Label {
  readonly name: string
  readonly values: readonly string[]
}

/** One row of the table. */
export interface Signal {
  /** Words joined by `_`; each sink adds its own prefix and suffix. */
  readonly name: string
  readonly unit: Unit
  readonly meaning: string
  readonly label?: Label
}

/** HTTP statuses that are counted one by one; every other one is `other`. */
const STATUSES = [
  '200',
  '204',
  '302',
  '400',
  '403',
  '404',
  '405',
  '408',
  '410',
  '413',
  '415',
  '429',
  '431',
  '500',
  '503',
  'other',
]
const SHED_CAUSES = ['deadline', 'overload', 'not-ready', 'memory', 'exchange-quota', 'tenant-quota'] as const
const LOG_LOSSES = ['buffer-full', 'repeated', 'thread-limit'] as const
const NOTICE_KINDS: readonly NoticeKind[] = [...EXCHANGE_NOTICES, ...DEVICE_EVENTS]
const BOOKINGS = ['booked', 'late', 'repeated'] as const
const CALLER_REFUSALS = ['address', 'certificate', 'secret'] as const
const SINKS = ['cloudwatch', 'opentelemetry'] as const

/** Why a request was answered early without a decision. */
export type ShedCause = (typeof SHED_CAUSES)[number]
/** Why a log line was not written. */
export type LogLoss = (typeof LOG_LOSSES)[number]
/** What of a request did not show that it comes from the exchange that its path names. */
export type CallerRefusal = (typeof CALLER_REFUSALS)[number]
/** What became of a booking: in time, too late for its hold, or booked before. */
export type BookingOutcome = (typeof BOOKINGS)[number]
/** Where a metric report can get lost. */
export type MetricSink = (typeof SINKS)[number]

/** Counters only grow. Each thread has its own column; a snapshot is their sum. */
export const COUNTERS = {
  bidRequests: { name: 'bid_requests', unit: 'count', meaning: 'Bid requests that were read as OpenRTB.' },
  contextualRequests: {
    name: 'contextual_requests',
    unit: 'count',
    meaning: 'Bid requests whose privacy signals allow the context only.',
  },
  impressions: { name: 'impressions', unit: 'count', meaning: 'Impressions in those requests.' },
  bids: { name: 'bids', unit: 'count', meaning: 'Impressions that were bid on.' },
  noBids: {
    name: 'no_bids',
    unit: 'count',
    meaning: 'Impressions without a bid, by the reason.',
    label: { name: 'reason', values: NO_BID_REASON_NAMES },
  },
  responses: {
    name: 'responses',
    unit: 'count',
    meaning: 'Answers on the public port, by HTTP status.',
    label: { name: 'status', values: STATUSES },
  },
  shed: {
    name: 'shed',
    unit: 'count',
    meaning: 'Bid requests answered with no bid before any decision, by the cause.',
    label: { name: 'cause', values: SHED_CAUSES },
  },
  callersRefused: {
    name: 'callers_refused',
    unit: 'count',
    meaning: 'Requests that did not show that they come from the exchange that their path names, by what was wrong.',
    label: { name: 'cause', values: CALLER_REFUSALS },
  },
  gzipIn: { name: 'gzip_in', unit: 'count', meaning: 'Bid requests that came compressed.' },
  gzipOut: { name: 'gzip_out', unit: 'count', meaning: 'Bid responses that were sent compressed.' },
  bytesIn: { name: 'bytes_in', unit: 'bytes', meaning: 'Body bytes of bid requests as they came over the wire.' },
  bytesOut: { name: 'bytes_out', unit: 'bytes', meaning: 'Body bytes of bid responses as they were sent.' },
  connections: { name: 'connections', unit: 'count', meaning: 'Connections accepted on the public port.' },
  tlsFailures: {
    name: 'tls_failures',
    unit: 'count',
    meaning: 'Connections whose TLS handshake failed or did not come.',
  },
  connectionsRefused: {
    name: 'connections_refused',
    unit: 'count',
    meaning: 'Connections closed at once: a bid thread had as many as it takes.',
  },
  requestsByNode: {
    name: 'requests_by_node',
    unit: 'count',
    meaning:
      'Requests that Node read, for some 10 % more CPU: their heads were not plain, or one before on the connection.',
  },
  notices: {
    name: 'notices',
    unit: 'count',
    meaning: 'Notices and events with a good token, by kind, repeated ones included.',
    label: { name: 'kind', values: NOTICE_KINDS },
  },
  noticeRefusals: {
    name: 'notice_refusals',
    unit: 'count',
    meaning: 'Notices and events whose token is worth nothing, by the cause.',
    label: { name: 'cause', values: TOKEN_REFUSALS },
  },
  noticePrices: {
    name: 'notice_prices',
    unit: 'count',
    meaning: 'Prices of billed notices: exact, unreadable or above what was bid (the most is booked), or an audit.',
    label: { name: 'reading', values: PRICE_READINGS },
  },
  noticesTurnedAway: {
    name: 'notices_turned_away',
    unit: 'count',
    meaning: 'Notices that could not be made safe in time: 503, and the exchange sends them again.',
  },
  noticesJournaled: {
    name: 'notices_journaled',
    unit: 'count',
    meaning: 'Notices that went to the journal, because the ledger was away or slow.',
  },
  bookings: {
    name: 'bookings',
    unit: 'count',
    meaning: 'Bookings that the ledger answered, by what became of them.',
    label: { name: 'outcome', values: BOOKINGS },
  },
  spend: { name: 'spend', unit: 'none', meaning: 'Booked by this task, late spend included, in the ledger currency.' },
  eventsAppended: { name: 'events_appended', unit: 'count', meaning: "Events appended to the tenant's stream." },
  eventsLost: {
    name: 'events_lost',
    unit: 'count',
    meaning: 'Events that found the queue full; the stream has a gap.',
  },
  ledgerFailures: {
    name: 'ledger_failures',
    unit: 'count',
    meaning: 'Operations on the spend ledger or the event stream that failed or took too long; they are sent again.',
  },
  capsElsewhere: {
    name: 'caps_elsewhere',
    unit: 'count',
    meaning: 'Times that a line item did not bid, because another task owns whoever its strict cap counts.',
  },
  capEventsLost: {
    name: 'cap_events_lost',
    unit: 'count',
    meaning: 'Bids and impressions of capped line items of which other tasks were not told: too many waited.',
  },
  capFailures: {
    name: 'cap_failures',
    unit: 'count',
    meaning: 'Exchanges of counts with the other tasks that failed or took too long; they are made up for.',
  },
  capEventsMissed: {
    name: 'cap_events_missed',
    unit: 'count',
    meaning:
      'Times that another task told counts which were gone before they were heard; saved counts make up for them.',
  },
  stateLoads: { name: 'state_loads', unit: 'count', meaning: 'Versions that were loaded and swapped in.' },
  deltas: { name: 'deltas_taken', unit: 'count', meaning: 'Changes of single records that were taken and serve.' },
  stateDivergences: {
    name: 'state_divergences',
    unit: 'count',
    meaning: 'Full checks that found what is served to differ from what the cache has; it was replaced.',
  },
  stateRefusals: { name: 'state_refusals', unit: 'count', meaning: 'Versions that were refused whole.' },
  recordRefusals: {
    name: 'record_refusals',
    unit: 'count',
    meaning: 'Records refused while the rest of their version was loaded.',
  },
  cacheFailures: {
    name: 'cache_failures',
    unit: 'count',
    meaning: 'Commands to the remote cache that failed or took too long.',
  },
  audienceLoads: { name: 'audience_loads', unit: 'count', meaning: "Changes of the tenant's users that were taken." },
  audienceRefusals: {
    name: 'audience_refusals',
    unit: 'count',
    meaning: "Changes of the tenant's users that could not be taken; the users before serve on.",
  },
  threadRestarts: {
    name: 'thread_restarts',
    unit: 'count',
    meaning: 'Bid threads that ended unasked and were started again.',
  },
  logLinesLost: {
    name: 'log_lines_lost',
    unit: 'count',
    meaning: 'Log lines that were not written: stdout stalled, a repeat, or too many from one bid thread.',
    label: { name: 'cause', values: LOG_LOSSES },
  },
  reportsLost: {
    name: 'reports_lost',
    unit: 'count',
    meaning: 'Metric reports that a sink did not take in time.',
    label: { name: 'sink', values: SINKS },
  },
} as const satisfies Record<string, Signal>

/** Histograms of durations, recorded in nanoseconds. */
export const HISTOGRAMS = {
  requestTime: {
    name: 'request_time',
    unit: 'seconds',
    meaning: "From the request's headers being read to its answer being handed to the socket.",
  },
  bodyTime: {
    name: 'body_time',
    unit: 'seconds',
    meaning: "Stage of a request: from its headers being read to its body's last byte, inflated.",
  },
  readTime: {
    name: 'read_time',
    unit: 'seconds',
    meaning: 'Stage of one request in 13: parsing its JSON, reading its OpenRTB.',
  },
  decideTime: {
    name: 'decide_time',
    unit: 'seconds',
    meaning: 'Stage of one request in 13: one decision, of one impression against the catalog.',
  },
  sendTime: {
    name: 'send_time',
    unit: 'seconds',
    meaning: 'Stage of one request in 13: compressing its answer where that is wanted, and handing it to the socket.',
  },
  noticeTime: {
    name: 'notice_time',
    unit: 'seconds',
    meaning: 'From a notice reaching the control thread to its being safe, or turned away.',
  },
  loopLag: { name: 'loop_lag', unit: 'seconds', meaning: 'How late the event loops of all threads came to a timer.' },
  gcPause: { name: 'gc_pause', unit: 'seconds', meaning: 'Garbage collection pauses of all threads.' },
  stateLoadTime: { name: 'state_load_time', unit: 'seconds', meaning: 'From an announced version to its swap.' },
  deltaTime: { name: 'delta_time', unit: 'seconds', meaning: 'Fetching deltas, building their overlay and its swap.' },
} as const satisfies Record<string, Signal>

/** One column: a counter, or one label value of a counter. */
export interface CounterSlot {
  /** Key in COUNTERS. */
  readonly key: keyof typeof COUNTERS
  readonly signal: Signal
  /** Undefined for a counter without a label. */
  readonly labelValue: string | undefined
}

/** All counter columns in order; the position is the column. */
export const COUNTER_SLOTS: readonly CounterSlot[] = Object.entries(COUNTERS).flatMap(([name, signal]) =>
  slotsOf(name as keyof typeof COUNTERS, signal),
)

function slotsOf(key: keyof typeof COUNTERS, signal: Signal): readonly CounterSlot[] {
  const values = signal.label?.values ?? [undefined]
  return values.map(labelValue => ({ key, signal, labelValue }))
}

/** Column of each counter; of a labelled one the first, so that `COUNTER.noBids + index` is the column of a value. */
export const COUNTER = Object.fromEntries(
  Object.keys(COUNTERS).map(key => [key, COUNTER_SLOTS.findIndex(slot => slot.key === key)]),
) as { readonly [K in keyof typeof COUNTERS]: number }

/** Number of each row of a table, by its key. */
export function positions<K extends string>(table: Readonly<Record<K, Signal>>): { readonly [P in K]: number } {
  return Object.fromEntries(Object.keys(table).map((key, index) => [key, index])) as { readonly [P in K]: number }
}

/** Number of each histogram, for Recorder.time. */
export const HISTOGRAM = positions(HISTOGRAMS)

/** Column of a no-bid reason; the index is the reason's place in NO_BID_REASON_NAMES. */
export function noBidCounter(reasonIndex: number): number {
  return COUNTER.noBids + reasonIndex
}

const STATUS_SLOTS = new Uint8Array(600).fill(STATUSES.length - 1)
STATUSES.forEach((status, index) => {
  if (status !== 'other') STATUS_SLOTS[Number(status)] = index
})

/** Column of a kind of notice or event. */
export function noticeCounter(kind: NoticeKind): number {
  return COUNTER.notices + NOTICE_KINDS.indexOf(kind)
}

/** Column of what a token is worth nothing for. */
export function refusalCounter(refusal: TokenRefusal): number {
  return COUNTER.noticeRefusals + TOKEN_REFUSALS.indexOf(refusal)
}

/** Column of how a price was read. */
export function priceCounter(reading: PriceReading): number {
  return COUNTER.noticePrices + PRICE_READINGS.indexOf(reading)
}

/** Column of what became of a booking. */
export function bookingCounter(outcome: BookingOutcome): number {
  return COUNTER.bookings + BOOKINGS.indexOf(outcome)
}

/** Column of an HTTP status; those that are not in the table share one. */
export function responseCounter(status: number): number {
  return COUNTER.responses + (STATUS_SLOTS[status] ?? STATUSES.length - 1)
}

/** Column of a cause for answering early. Cost: O(causes); look it up once, not per request. */
export function shedCounter(cause: ShedCause): number {
  return COUNTER.shed + SHED_CAUSES.indexOf(cause)
}

/** Column of what was wrong with a caller. */
export function callerCounter(refusal: CallerRefusal): number {
  return COUNTER.callersRefused + CALLER_REFUSALS.indexOf(refusal)
}

/** Column of a cause for losing a log line. */
export function logLossCounter(cause: LogLoss): number {
  return COUNTER.logLinesLost + LOG_LOSSES.indexOf(cause)
}

/** Column of a sink that did not take a report. */
export function reportLossCounter(sink: MetricSink): number {
  return COUNTER.reportsLost + SINKS.indexOf(sink)
}

/** Name in CloudWatch: `no_bids` with `paced-out` is `NoBidsPacedOut`. */
export function cloudName(signal: Signal, labelValue?: string): string {
  const words = [...signal.name.split('_'), ...(labelValue === undefined ? [] : labelValue.split('-'))]
  return words.map(word => word.charAt(0).toUpperCase() + word.slice(1)).join('')
}
