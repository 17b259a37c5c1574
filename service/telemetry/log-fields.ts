/**
 * The closed table of what can stand on a log line: the schema that queries rely on. A field has one meaning and one
 * type whatever the event; the documentation and a rule of style follow from this table.
 */

/** One key of a line. */
interface LogField {
  readonly type: 'text' | 'number' | 'truth' | 'list' | 'object'
  readonly meaning: string
}

/** Keys of the line itself, which no field of an event can take. All lines have the first four and the identity. */
export const LINE_KEYS = {
  level: { type: 'text', meaning: 'On every line: debug, info, warn, error or fatal.' },
  time: { type: 'text', meaning: 'On every line: instant as ISO 8601 with milliseconds, UTC.' },
  code: { type: 'text', meaning: 'On every line: which event it is.' },
  msg: { type: 'text', meaning: 'On every line: the event for people.' },
  tenant_id: { type: 'text', meaning: 'Identity: TENANT_ID.' },
  tier_id: { type: 'text', meaning: 'Identity: TIER_ID.' },
  region: { type: 'text', meaning: 'Identity: REGION.' },
  cell_id: { type: 'text', meaning: 'Identity, where it is known: CELL_ID.' },
  infra_group_id: { type: 'text', meaning: 'Identity, where it is known: INFRA_GROUP_ID.' },
  task_id: { type: 'text', meaning: 'Identity, on ECS: the task.' },
  remedy: { type: 'text', meaning: 'On warn, error and fatal: what to do, where there is something to be done.' },
  untrusted: { type: 'object', meaning: 'Whatever came with a request: texts of 256 characters, cleaned.' },
  cut: { type: 'truth', meaning: 'The line was too long: its texts are shortened.' },
  _aws: { type: 'object', meaning: 'On metrics: which keys of the line are metrics, for CloudWatch.' },
} as const satisfies Record<string, LogField>

/** Fields of events. */
export const LOG_FIELDS = {
  action: { type: 'text', meaning: 'Of an audit line: what was done, see audit actions.' },
  actor: { type: 'text', meaning: 'Of an audit line: who did it; of an address its network alone.' },
  resource: { type: 'text', meaning: 'Of an audit line: what it was done to.' },
  decision: { type: 'text', meaning: 'Of an audit line: allowed or refused.' },
  admin_port: { type: 'number', meaning: 'Port of metrics, state and brake.' },
  after_ms: { type: 'number', meaning: 'Milliseconds since the process began.' },
  announcement: { type: 'number', meaning: 'Number of an announced version.' },
  away_ms: { type: 'number', meaning: 'Milliseconds without an answer.' },
  because: { type: 'text', meaning: 'Why a version is loaded.' },
  bid: { type: 'text', meaning: 'Id of a bid of ours.' },
  build_ms: { type: 'number', meaning: 'Milliseconds until what was read served.' },
  bytes: { type: 'number', meaning: 'Bytes that were read.' },
  bytes_total: { type: 'number', meaning: 'Bytes that are to be read; 0 where that is not known.' },
  change: { type: 'text', meaning: "Number or name of a change of the tenant's users." },
  chars: { type: 'number', meaning: 'Characters of deltas.' },
  compiled: { type: 'truth', meaning: 'Whether the version was taken as its publish compiled it.' },
  copied_at: { type: 'text', meaning: 'When the copy that serves was made.' },
  creatives: { type: 'number', meaning: 'Creatives that serve.' },
  critical_percent: { type: 'number', meaning: 'MEMORY_CRITICAL_PERCENT.' },
  deltas: { type: 'number', meaning: 'Deltas of a version, or that were taken.' },
  detail: { type: 'text', meaning: 'What a library or the system said of it.' },
  dropped: { type: 'number', meaning: 'Lines that were dropped since the last such line.' },
  error: { type: 'text', meaning: 'Name and message of an error.' },
  exchange: { type: 'text', meaning: 'Path name of an exchange.' },
  fetch_ms: { type: 'number', meaning: 'Milliseconds of reading.' },
  folder: { type: 'text', meaning: 'Folder of the journals.' },
  fullest: { type: 'text', meaning: 'What used_percent is about: rss, or the thread of the fullest heap.' },
  held_back: { type: 'number', meaning: 'Bids that the guard on spend has held back.' },
  journaled: { type: 'number', meaning: 'Notices in the journal.' },
  last: { type: 'number', meaning: 'Number of the last delta that serves.' },
  left_out: { type: 'number', meaning: 'Lines that were left out before this one.' },
  limit_bytes: { type: 'number', meaning: 'Memory limit of the task.' },
  limit_from: { type: 'text', meaning: 'Who says so: setting, cgroup-v2, cgroup-v1, process or machine.' },
  line_item: { type: 'text', meaning: 'Id of a line item.' },
  line_items: { type: 'number', meaning: 'Line items that serve.' },
  loader_threads: { type: 'number', meaning: 'Threads that read a version.' },
  memory_limit_bytes: { type: 'number', meaning: 'Memory limit of the task.' },
  node: { type: 'text', meaning: 'Version of Node.' },
  not_after: { type: 'text', meaning: 'When a certificate ends.' },
  notices: { type: 'number', meaning: 'Notices in a journal.' },
  of_code: { type: 'text', meaning: 'Code of the lines that were left out.' },
  opens_in_s: { type: 'number', meaning: 'Seconds until the spend ledger leases.' },
  origin: { type: 'text', meaning: 'Where Node caught an error that nobody else did.' },
  parse_ms: { type: 'number', meaning: 'Milliseconds of parsing.' },
  phases: { type: 'list', meaning: 'What each phase of the end took, and how it ended.' },
  port: { type: 'number', meaning: 'Public port.' },
  protocol: { type: 'text', meaning: 'How OTLP travels.' },
  reachable: { type: 'truth', meaning: 'Whether the ledger answers.' },
  reason: { type: 'text', meaning: 'Code of an operating error, see error codes.' },
  records: { type: 'number', meaning: 'Records that were read.' },
  records_refused: { type: 'number', meaning: 'Records that were refused.' },
  records_total: { type: 'number', meaning: 'Records that are to be read; 0 where that is not known.' },
  rss_bytes: { type: 'number', meaning: 'Resident memory of the task.' },
  sets: { type: 'number', meaning: 'Distinct sets of segments that users have.' },
  shards: { type: 'number', meaning: 'Shards of users that were fetched.' },
  shards_replaced: { type: 'number', meaning: 'Shards of users that were not what the cache has.' },
  signal: { type: 'text', meaning: 'The signal that came.' },
  stack: { type: 'text', meaning: 'Where an error came from.' },
  state: { type: 'text', meaning: 'STATE_URL without credentials.' },
  thread: { type: 'text', meaning: 'The bid thread that the line is about.' },
  threads: { type: 'number', meaning: 'Bid threads.' },
  too_dear: { type: 'number', meaning: 'Line items above the maximum CPM; line_item names one.' },
  total_ms: { type: 'number', meaning: 'Milliseconds in all.' },
  trace_ratio: { type: 'number', meaning: 'Share of the bid requests that are traced.' },
  used_percent: { type: 'number', meaning: 'Memory in percent of its limit.' },
  users: { type: 'number', meaning: 'Users with segments that serve.' },
  validate_ms: { type: 'number', meaning: 'Milliseconds of validating.' },
  version: { type: 'text', meaning: 'A version of the state.' },
  waiting: { type: 'number', meaning: 'Notices that wait for the ledger.' },
  warn_percent: { type: 'number', meaning: 'MEMORY_WARN_PERCENT.' },
} as const satisfies Record<string, LogField>

/** Actions of the audit stream. */
export const AUDIT_ACTIONS = {
  'state-change': 'Another version, or deltas, were announced: they serve (allowed), or were refused.',
  forget: 'Users asked to be forgotten: they are in no segment of this task any more. Each id counts.',
  stop: 'Bids were stopped by hand in this task.',
  release: 'Bids that were stopped by hand may go on.',
  'admin-access': 'Somebody asked the admin port for something.',
} as const

/** Who did what to what, and whether it was let. The line adds tenant and time. */
export interface AuditEntry {
  readonly actor: string
  readonly action: keyof typeof AUDIT_ACTIONS
  readonly resource: string
  readonly decision: 'allowed' | 'refused'
}

/** Whether a key is one of the line itself. */
export function isLineKey(key: string): boolean {
  return Object.hasOwn(LINE_KEYS, key)
}
