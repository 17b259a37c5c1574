/** The gauges in the table of signals: what is so now. Counters and histograms are in signals.ts. */
import { positions, type Signal } from './signals.ts'

/** Gauges of the whole task. The control thread sets them. */
export const TASK_GAUGES = {
  ready: { name: 'ready', unit: 'none', meaning: '1 while the readiness check passes, else 0.' },
  stateVersion: { name: 'state_version', unit: 'none', meaning: 'Announcement number of the catalog that serves.' },
  stateAge: { name: 'state_age', unit: 'seconds', meaning: 'Since the state was last known to be the announced one.' },
  deltas: { name: 'deltas', unit: 'count', meaning: 'Deltas of the version that serves.' },
  overlayLineItems: {
    name: 'overlay_line_items',
    unit: 'count',
    meaning: 'Line items that deltas have changed and that serve.',
  },
  lineItems: { name: 'line_items', unit: 'count', meaning: 'Line items in the catalog that serves.' },
  arenaBytes: { name: 'arena_bytes', unit: 'bytes', meaning: 'Shared memory held by catalogs, current and next.' },
  requestTimeP95: {
    name: 'request_time_p95',
    unit: 'milliseconds',
    meaning: '95th percentile of request_time in the last minute that had 100 requests.',
  },
  requestTimeBaseline: {
    name: 'request_time_baseline',
    unit: 'milliseconds',
    meaning: 'What request_time_p95 was in the last hours, on average; nothing above twice of it counts.',
  },
  audienceUsers: { name: 'audience_users', unit: 'count', meaning: 'Users with segments, in shared memory.' },
  audienceSets: { name: 'audience_sets', unit: 'count', meaning: 'Distinct sets of segments that those users have.' },
  audienceBytes: { name: 'audience_memory', unit: 'bytes', meaning: 'Memory of users and their sets of segments.' },
  audienceSetBytes: { name: 'audience_set_memory', unit: 'bytes', meaning: 'Of this, memory of sets.' },
  memoryRss: { name: 'memory_rss', unit: 'bytes', meaning: 'Resident memory of the task.' },
  memoryLimit: { name: 'memory_limit', unit: 'bytes', meaning: 'Memory limit of the task; 0 where there is none.' },
  memoryUsed: {
    name: 'memory_used',
    unit: 'percent',
    meaning: 'The greater of resident memory against its limit and the fullest heap against its own.',
  },
  memoryLevel: { name: 'memory_level', unit: 'none', meaning: '0 ok, 1 warn, 2 critical.' },
  liveThreads: { name: 'live_threads', unit: 'count', meaning: 'Bid threads that serve.' },
  ledgerOpensIn: {
    name: 'ledger_opens_in',
    unit: 'seconds',
    meaning: 'Until the spend ledger leases; above 0 it is new, or has lost its memory.',
  },
  ledgerReachable: { name: 'ledger_reachable', unit: 'none', meaning: '1 while the spend ledger answers, else 0.' },
  leases: { name: 'leases', unit: 'count', meaning: 'Leases of budgets that this task has.' },
  leaseHeld: {
    name: 'lease_held',
    unit: 'none',
    meaning: 'What bids hold of these leases, in the ledger currency; shares of bid threads count as held.',
  },
  leaseRoom: { name: 'lease_room', unit: 'none', meaning: 'What is left of these leases, in the ledger currency.' },
  plans: { name: 'plans', unit: 'count', meaning: 'Budgets of bidding line items and campaigns that follow a plan.' },
  plansBehind: {
    name: 'plans_behind',
    unit: 'count',
    meaning: 'Of them those whose spend is more than 5 % of the budget behind the plan.',
  },
  plansAhead: {
    name: 'plans_ahead',
    unit: 'count',
    meaning: 'Of them those whose spend is more than 5 % of the budget ahead of the plan.',
  },
  passRate: {
    name: 'pass_rate',
    unit: 'ratio',
    meaning: 'Mean share of the eligible opportunities in which plans let their budgets take part.',
  },
  capTasks: {
    name: 'cap_tasks',
    unit: 'count',
    meaning: 'Tasks that share counts of frequency caps, this one included.',
  },
  capEvictions: {
    name: 'cap_evictions',
    unit: 'count',
    meaning: 'Counts of frequency caps that were forgotten early, because their table was full.',
  },
  noticesWaiting: {
    name: 'notices_waiting',
    unit: 'count',
    meaning: 'Notices that the ledger and the stream have not got yet, in memory or in the journal.',
  },
  cacheReachable: { name: 'cache_reachable', unit: 'none', meaning: '1 while the remote cache answers, else 0.' },
} as const satisfies Record<string, Signal>

/** Gauges that each thread sets for itself, once a second. Every sink gets the value of every thread. */
export const THREAD_GAUGES = {
  loopUtilization: {
    name: 'loop_utilization',
    unit: 'ratio',
    meaning: 'Share of the last second the event loop was busy.',
  },
  loopLagMax: {
    name: 'loop_lag_max',
    unit: 'milliseconds',
    meaning: 'Longest lag of the event loop in the last minute.',
  },
  gcPauseMax: {
    name: 'gc_pause_max',
    unit: 'milliseconds',
    meaning: 'Longest garbage collection pause in the last minute.',
  },
  gcShare: {
    name: 'gc_share',
    unit: 'ratio',
    meaning: 'Share of the last minute that went into garbage collection pauses.',
  },
  heapUsed: { name: 'heap_used', unit: 'bytes', meaning: "The thread's heap in use." },
  heapLimit: { name: 'heap_limit', unit: 'bytes', meaning: "The limit of the thread's heap." },
  externalMemory: {
    name: 'external_memory',
    unit: 'bytes',
    meaning: "What the thread's heap holds outside of itself, such as buffers.",
  },
} as const satisfies Record<string, Signal>

/** Key of a gauge of the task. */
export type TaskGauge = keyof typeof TASK_GAUGES
/** Key of a gauge of a thread. */
export type ThreadGauge = keyof typeof THREAD_GAUGES

/** Number of each gauge of a thread, for Recorder.set. */
export const THREAD_GAUGE = positions(THREAD_GAUGES)
