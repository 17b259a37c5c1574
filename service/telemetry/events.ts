/**
 * The closed table of log events. The code is what alarms and queries match; the message is for people. What to do is
 * part of the table, so that it is in the documentation and on the line at once.
 */
interface Event {
  readonly meaning: string
  /** What an operator does about it; absent where nothing is to be done. */
  readonly remedy?: string
}

/** Every code that a log line can carry. */
export const EVENTS = {
  started: { meaning: 'The process began; the line shows the settings, without secrets.' },
  ready: { meaning: 'The readiness check passes.' },
  'sample-traffic': {
    meaning: 'The bid requests that come are made up: what is bid, booked and counted is no business.',
    remedy: 'Start without SAMPLE_TRAFFIC=on where bids are for sale.',
  },
  'not-ready': { meaning: 'The readiness check stopped passing.', remedy: 'The lines before say why.' },
  draining: { meaning: 'SIGTERM came; open requests are answered and no new connection is kept.' },
  stopped: { meaning: 'The process ends.' },
  'stopped-by-hand': {
    meaning: 'Somebody stopped bids at the admin port of this task, or let them go; it lasts until the task ends.',
    remedy: 'Say the same in the documents, so that it holds in all tasks and after a restart.',
  },
  'config-invalid': {
    meaning: 'A setting is missing or wrong; the process ends with 78.',
    remedy: 'Correct the named setting.',
  },
  'state-loading': { meaning: 'A version is being loaded; about one line a second.' },
  'state-loaded': { meaning: 'A version was loaded and serves.' },
  'deltas-taken': { meaning: 'Changes of single records were taken and serve.' },
  'state-checked': {
    meaning: 'Catalog or users that serve were compared with all that the cache has; they are the same.',
  },
  'state-check-failed': {
    meaning: 'Catalog or users that serve could not be compared with what the cache has; they serve on.',
    remedy: 'The line says what the cache lacks; publish again, or a task that starts now cannot load it.',
  },
  'state-diverged': {
    meaning: 'Catalog or users that served were not what the cache has, and were replaced.',
    remedy: 'Report it: this is a defect, or damaged memory.',
  },
  'state-copy-serves': {
    meaning: 'The cache is away at the start: a copy from the disk serves, as old as the line says.',
    remedy: 'Bring the cache back; what has changed since the copy is not served.',
  },
  'state-copy-failed': {
    meaning: 'The copy of the state, or of its users, on the disk could not be written or read.',
    remedy: 'Check the folder of STATE_COPY_DIR.',
  },
  'audience-loaded': { meaning: "A change of the tenant's users was taken and serves." },
  'audience-refused': {
    meaning: "A change of the tenant's users could not be taken whole; those before serve on.",
    remedy:
      'The line says what is missing: memory for more users, or a shard, whose segments are to be published anew.',
  },
  'state-refused': {
    meaning: 'A version was refused whole; the last good one serves on.',
    remedy: 'Correct the documents and publish again.',
  },
  'record-refused': {
    meaning: 'A record was refused; the others were loaded.',
    remedy: 'Correct the named record and publish again.',
  },
  'cache-unreachable': {
    meaning: 'The remote cache does not answer; it is tried again with growing pauses.',
    remedy: "Check the cache, the network and the tenant's cache user.",
  },
  'cache-reachable': { meaning: 'The remote cache answers again.' },
  'ledger-unreachable': {
    meaning: 'The spend ledger does not answer; notices go to the journal, or are turned away where there is none.',
    remedy: "Check the cache of SPEND_URL, the network and the tenant's cache user.",
  },
  'ledger-reachable': { meaning: 'The spend ledger answers again; the journal is sent to it.' },
  'ledger-closed': {
    meaning:
      'The spend ledger is new, or has lost its memory: no budget is leased until tasks have told what they know.',
    remedy:
      'For a new tenant: npm run spend -- begin --never-spent. Otherwise wait, with all tasks and journals running.',
  },
  'ledger-open': { meaning: 'The spend ledger leases again.' },
  journal: {
    meaning: 'Where notices are kept while the ledger is away, or that they are not.',
    remedy: 'Set JOURNAL_DIR to a folder on a durable disk.',
  },
  'journal-failed': {
    meaning: 'A journal could not be read or written; notices are turned away, and exchanges send them again.',
    remedy: 'Check the disk of JOURNAL_DIR.',
  },
  'price-above': {
    meaning: 'An exchange bills more than was bid; the most that was bid is booked.',
    remedy: 'Ask the exchange; compare with its statement.',
  },
  'above-maximum-cpm': {
    meaning: "Line items have a CPM above the maximum of the tenant's guards, and do not bid; the line says how many.",
    remedy: 'Correct their price, or guards.cpmMax in the settings.',
  },
  'caller-refused': {
    meaning: 'Somebody called as an exchange and did not show to be it; 403. At most one line a minute per exchange.',
    remedy:
      'If it is the exchange, compare `callers` in its record with what it sends; otherwise nothing is to be done.',
  },
  'spending-too-fast': {
    meaning: "Bids are held back, because a minute of them would cost more than the maximum of the tenant's guards.",
    remedy: 'Find what runs away in the report of spend, or raise guards.spendPerMinuteMax in the settings.',
  },
  'spending-calm': { meaning: 'No bid has been held back for a minute; the line says how many were.' },
  'certificate-taken': { meaning: 'Another certificate was read; new connections get it. The line says when it ends.' },
  'certificate-refused': {
    meaning: 'What the files of the certificate hold now cannot be used; the one before stays.',
    remedy: 'Write a certificate with its chain to TLS_CERT_FILE and its key to TLS_KEY_FILE, both as PEM.',
  },
  'memory-ok': { meaning: 'Memory is below both lines again.' },
  'memory-warn': {
    meaning: 'Memory is above the warning line.',
    remedy: 'Give the task more memory or the tenant less data.',
  },
  'memory-critical': {
    meaning: 'Memory is above the critical line; the kernel may end the task.',
    remedy: 'Give the task more memory now.',
  },
  'thread-started': { meaning: 'A bid thread serves.' },
  'thread-stuck': {
    meaning: 'The event loop of a bid thread has not turned for 5 s; the thread is ended.',
    remedy: 'Report it: this is a defect. A machine without processor time for the task has the same effect.',
  },
  'thread-lost': {
    meaning: 'A bid thread ended unasked; another is started.',
    remedy: 'The error on the line says why.',
  },
  'bid-refused': {
    meaning: 'A finished bid broke an acceptance rule and was not sent.',
    remedy: 'Report it: this is a defect.',
  },
  'internal-error': { meaning: 'A broken assertion; the process goes on.', remedy: 'Report it: this is a defect.' },
  'runtime-warning': {
    meaning: 'Node warns of something, such as listeners that grow in number.',
    remedy: 'Report it: this is a defect.',
  },
  crash: { meaning: 'An error that nobody caught; the process ends with 1.', remedy: 'Report it: this is a defect.' },
  repeated: { meaning: 'Further lines of one code were left out in the last period; the line says how many.' },
  'lines-dropped': {
    meaning: 'Nobody read stdout for so long that lines were dropped; the line says how many.',
    remedy: 'Check the log driver.',
  },
  audit: { meaning: 'The audit stream: who did what to what, and whether it was allowed.' },
  metrics: { meaning: 'Metrics in the embedded metric format.' },
  'report-lost': {
    meaning: 'A metric report was not taken in time and is dropped.',
    remedy: 'Check the endpoint and its credentials.',
  },
  'exporter-started': { meaning: 'A metric exporter runs.' },
} as const satisfies Record<string, Event>

/** Code of one event. */
export type EventCode = keyof typeof EVENTS

/** What an operator does about an event, or undefined. */
export function remedyOf(code: EventCode): string | undefined {
  const event: Event = EVENTS[code]
  return event.remedy
}
