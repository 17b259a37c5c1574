import { assert } from './foundation/assert.ts'

const KIB = 1024
const MIB = 1024 * KIB

const BOUNDS = {
  /** Headers of a bid request as Node counts them. The load balancer passes 64 KiB; no exchange needs a quarter. */
  headerBytesMax: 16 * KIB,
  headersMax: 100,
  /** Bid request on the wire, and after inflating. The largest of the 261 recorded requests has 5 KiB. */
  bodyBytesMax: 256 * KIB,
  inflatedBytesMax: 1 * MIB,
  /** Bodies up to here inflate on the bid thread in one go (about 0.1 ms); larger ones stream first. */
  inflateSyncBytesMax: 32 * KIB,
  /**
   * Bodies of one bid thread that have come in part, or wait for a thread that inflates them: 64 of the largest. What
   * would be more gets its no-bid at once. A body that comes whole in one piece is read there and then.
   */
  partialBodyBytesMax: 16 * MIB,
  /**
   * A turn of the event loop gives bids so long when the one before was as long already: what is read later in it is
   * shed. A request then waits for at most the turn before and its own, which is less than the shortest time that
   * exchanges give, 80 ms.
   */
  bidTurnMsMax: 20,
  /** And so long when it comes after rest: a burst of some 1,000 requests at once is served, within those 80 ms. */
  bidBurstMsMax: 60,
  /** Answers that wait for others of their turn, and for how long the first does at most. */
  answersWaitingMax: 32,
  answerWaitMsMax: 1,
  /** When the event loop was held up for longer, whoever waits in its sockets has gone: exchanges give 80 to 300 ms. */
  bidLagMsMax: 300,
  /** Connections of one bid thread: each costs 8 KiB of heap (measured, idle), so a third of the heap at most. */
  connectionsMax: 8_192,
  /** Sockets of one bid thread that listen: it accepts so many connections a turn, some 0.1 ms of work each. */
  listenersPerThread: 64,
  /** `{` and `[` inside each other. OpenRTB needs about 8; native markup as a string counts from its own start. */
  jsonDepthMax: 64,
  /** Members of all objects of one request: 64 impressions of 300 each. Distinct names cost the parser 0.5 µs each. */
  jsonMembersMax: 20_000,
  /** Below this size both are bounded by the size: 8 Ki levels parse in about 2 ms. */
  boundsCheckBytesMin: 8 * KIB,
  /** A certificate with its chain has some 10 KiB. Files are compared so often; one is renewed weeks before its end. */
  certificateBytesMax: 64 * KIB,
  certificateLookMs: 5_000,
  /** Lines about callers that are refused, one per exchange and bid thread in so long; all are counted. */
  callerLinePauseMs: 60_000,
  impressionsMax: 64,
  /** Items of one list, such as formats or deals: the rest of the list is not read. */
  listItemsMax: 1_000,
  /** Advertisers or categories that a request blocks: leaving one out would bid against it. About 2 ms to look up. */
  blockedItemsMax: 20_000,
  /** Different sizes of one banner. Real ones have up to some 30; 64 impressions with 1,000 each took 0.25 s. */
  sizesMax: 64,
  /** Characters of one id that is echoed or looked up. Longer ones cannot be ours. */
  idCharsMax: 512,
  /** Of one request: more categories, keywords or segments say nothing about it. Each is a look-up of some 60 ns. */
  categoriesReadMax: 64,
  keywordsReadMax: 64,
  keywordsCharsMax: 4 * KIB,
  segmentsReadMax: 256,
  /** Ids of one request that are looked up among the tenant's users, some 0.3 µs each. Real ones have up to some 10. */
  userIdsReadMax: 32,
  /** User agents whose reading a bid thread keeps: about 1 KB each. Few hundred make nearly all traffic. */
  agentsKeptMax: 2_000,
  /** Impressions that one showing on a screen is billed as: some thousand people at most; keeps amounts below 2^53. */
  multiplierMax: 100_000,
  /** Roadblocks that are tried for one page: each is a decision per impression. */
  roadblocksTriedMax: 8,
  /** Deals of one impression that are looked at. */
  dealOffersMax: 100,
  responseBytesMax: 1 * MIB,

  /** Tenant documents. 200,000 line items are twice the design load. */
  lineItemsMax: 200_000,
  creativesMax: 200_000,
  campaignsMax: 50_000,
  advertisersMax: 50_000,
  exchangesMax: 100,
  /** A .json file of documents is parsed as one text, and V8's longest string has 512 Mi units. */
  documentFileBytesMax: 256 * MIB,
  /** Lists of values that line items refer to, and their parts: two million values, some 100 bytes each at load. */
  listsMax: 1_000,
  listPartsMax: 200,
  listPartValuesMax: 10_000,
  listsPerRuleMax: 100,
  /** One record as JSON, and its lists. */
  recordBytesMax: 256 * KIB,
  targetingValuesMax: 10_000,
  /** Values that a request must have all at once: each is a part of the line item's program. */
  targetingAllMax: 100,
  /** Expressions: deep enough for any that a person can read; a running program's stack is 32 bits. */
  expressionDepthMax: 16,
  expressionPartsMax: 256,
  expressionValuesMax: 1_000,
  creativesPerLineItemMax: 50,
  /** Frequency caps of one record; those of tenant, advertiser, campaign, line item and creative hold together. */
  capsPerRecordMax: 4,
  /** Impressions that a cap allows: who may see something more often needs none. Counted in bytes. */
  capImpressionsMax: 200,
  /** Counts of frequency caps: 64 bytes each, so 4 million of them. Pages that no count touches cost nothing. */
  capTableBytesMax: 256 * MIB,
  /** Tasks of one tenant that share the users of strict caps. */
  capTasksMax: 64,
  /** How often tasks tell each other what they count: with a bid thread's report, a second's quarter at most. */
  capTurnMs: 150,
  /** A task is ready without leases if the ledger has not said by then whether it leases: as long as the grace. */
  leasesAwaitedMs: 10_000,
  /** A task that has nothing to tell says that it lives; one that was not heard for so long shares no users. */
  capHeartbeatMs: 500,
  capTaskSilentMs: 3_000,
  /** What is capped does not bid before earlier counts are there; after so long it does, without them. */
  capOpenMs: 10_000,
  /** One part of 64 of all counts is saved so often. */
  capSaveMs: 1_000,
  /** One batch: 64 KiB. */
  capEventsPerBatchMax: 4_096,
  capBatchesReadMax: 1_000,
  /** Batches in the tenant's stream: of 64 tasks that tell six a second, for longer than saving all counts takes. */
  capBatchesKeptMax: 30_000,
  /** The same in the file of a task alone, twice. */
  capBatchesInFileMax: 2_000,
  /** Bids and impressions of capped line items that other tasks do not know of yet: 16 bytes each; minutes of them. */
  capEventsWaitingMax: 500_000,
  dealsPerLineItemMax: 1_000,
  markupCharsMax: 64 * KIB,
  /** Parts of a native creative, in several lengths and sizes. */
  nativeAssetsMax: 40,
  /** Addresses that one creative reports to; real ones have up to some 20. */
  trackersMax: 40,
  /** Macros of ours in one creative: with the longest values they add some 200 KiB to its bid. */
  macrosPerCreativeMax: 100,
  /** Macros that an exchange spells in its own way: OpenRTB has fourteen, each with some encodings. */
  auctionMacrosMax: 40,
  /** A consent string that goes into a macro: real ones have up to some 2,000 characters. */
  consentCharsMax: 4 * KIB,
  /** One chunk of a version in the cache: large enough that the client's cost per reply vanishes. */
  chunkBytesMax: 4 * MIB,
  chunksMax: 4_096,
  /** A chunk is closed once it has this much: with its last record it stays far below chunkBytesMax. */
  chunkBytesAim: 1 * MIB,
  /** Chunks that are read ahead: bounds what a load holds besides the catalog to 3 x 4 MiB. */
  chunksInFlightMax: 3,
  /** The announced version and two earlier ones, to go back to. */
  versionsKeptMax: 3,
  /** Of one tenant in the cache, unless a publish says else: four versions of about 1 GiB with what is compiled. */
  stateBytesMax: 4 * 1024 * MIB,
  /** Versions that failed and are remembered, so that they are not tried again. The oldest are forgotten first. */
  versionsRefusedKeptMax: 100,
  /** A version with this share of the line items before it, or less, is an accident until somebody says otherwise. */
  shrinkShareMin: 0.1,
  /** Of fewer line items a tenth is too few to tell an accident by. */
  shrinkLineItemsMin: 100,
  /** Segments of a tenant's users; of one user. Names are ids of segments in targeting, see dimensions.ts. */
  audienceSegmentsMax: 65_536,
  segmentsPerUserMax: 256,
  /** Segments that came with a request, and those of one user. */
  segmentsFoundMax: 512,
  /** Users of one shard, about: 12 bytes each and their sets, so one change of one user reads and writes 400 KB. */
  audienceShardUsersAim: 32_768,
  /** 134 million users at what is aimed at. */
  audienceShardsMax: 4_096,
  /** Rows of a file that is published: 12 bytes of memory each meanwhile. */
  audienceRowsMax: 200_000_000,
  audienceLineCharsMax: 4 * KIB,
  /** Shards of users that are read ahead. */
  audienceChunksInFlightMax: 4,
  /** Shards of users that a check compares between two looks for changes: some 50 ms of the control thread. */
  audienceShardsCheckedMax: 8,
  /** A task bids without its users when it could not look at them for so long since its start. */
  audienceOpenMs: 10_000,
  /** Memory for users that a task fills anew before it frees what was there: bounds what a change takes besides. */
  audienceSpareBytes: 32 * MIB,
  /** Users of one task, and their sets, at most; pages that nothing touches cost nothing. */
  audienceBytesMax: 4 * 1024 * MIB,
  audienceSetBytesMax: 1024 * MIB,
  /** Users that were asked to be forgotten and may not come back: some 80 bytes each in the cache. */
  forgottenUsersMax: 1_000_000,
  /** One delta as text. What touches more is published as a version: a task reads 100 MB of those in a second. */
  deltaCharsMax: 1 * MIB,
  /** Deltas of one version, and their characters together: what comes after them is published as a version. */
  deltasMax: 10_000,
  deltasCharsMax: 64 * MIB,
  /**
   * Memory of a load per byte that is read: of the catalog in its slab (0.67 to 0.76 measured), and of what is gathered
   * for it meanwhile (1.5 beside it). A version that would bring the task above the share of its limit is not loaded.
   */
  catalogBytesPerByte: 0.8,
  loadBytesPerByte: 1.5,
  loadMemoryShareMax: 0.95,
  /** Above the first line a share of the bid requests is shed, from the second on all of them. */
  memoryShedPercent: 92,
  memoryStopPercent: 95,
  /** After a change of state until it is copied to the disk, where that is wanted: many changes make one copy. */
  stateCopyDelayMs: 10_000,
  /** A task that could not reach the cache for so long since its start takes the copy, after a try that failed. */
  stateCopyAfterMs: 1_500,
  /** The longest pause between two builds of an overlay, beside which a change still bids within a second. */
  deltaRestMsMax: 400,
  /** Line items in an overlay, which is built anew with each look that finds deltas: some 45 µs each. */
  overlayLineItemsMax: 3_000,
  /** Bad records that are kept with their reasons; more are only counted. */
  problemsKeptMax: 1_000,

  /** How often a bid thread tells what it held of its budgets, in ms: a share covers a few such times. */
  sharesReportMs: 100,
  /** Tasks come to one rate for each plan: rates move within a minute. */
  planExchangeMs: 10_000,
  /** How often opportunities are added to those of their hour, and how many hours are kept: four weeks. */
  trafficTellMs: 60_000,
  trafficHoursKept: 4 * 168 + 1,
  /** Line items that have a lease before a request asks for it: a tenth of a second of the ledger's time. */
  leasesAtStartMax: 500,
  /** Bookings that one script makes, while the cache does nothing else: 1 to 3 ms, by how many accounts they have. */
  bookingsPerTripMax: 100,
  /** Commands of a task's witness to a ledger without memory that are under way at once. */
  witnessesPerTripMax: 500,
  /** Operations on the ledger that a task can repeat for a ledger that went back in time: some 300 bytes each. */
  operationsKeptMax: 20_000,
  /** Characters of a notice's token: five ids of at most 64, a lease's name, numbers, signature; and 286 of 20 caps. */
  noticeTokenCharsMax: 800,
  /**
   * Seconds for which a bid can be billed: holds last an hour at most, exchanges repeat a notice within minutes. The
   * ledger remembers a billed key for as long, in some 120 bytes: 130 MB at 50 a second.
   */
  noticeLifeS: 6 * 3_600,
  /** Seconds for which events other than impressions are taken after that: a person buys within a month, or never. */
  eventLifeS: 30 * 86_400,
  /** Notices of one bid thread that wait to be safe: seconds of them; some 1 KB each. */
  noticesWaitingMax: 5_000,
  /** Within this a notice is safe or turned away: exchanges wait some seconds. */
  noticeAnswerMs: 4_000,
  /** Exchanges send a notice again every 10 s for a minute (OpenRTB 2.6, section 7.8 of the implementation guide). */
  noticeRetryS: 10,
  /** A ledger that has not answered within this is slow: the journal takes the notice. */
  ledgerAnswerMs: 200,
  /** Notices and events of a task that ledger and stream are told of at once; those beyond wait in the journal. */
  noticesUnderWayMax: 2_000,
  /** Keys of notices that the ledger has, so that repeating one costs nothing: some 100 bytes each. */
  noticesRecentMax: 20_000,
  /** A task says that it lives; one that has not for so long has ended, and another takes its journal over. */
  journalOwnerBeatMs: 5_000,
  journalOwnerMs: 30_000,
  eventsPerAppendMax: 500,
  /** Events in the tenant's stream: some 300 bytes each, so 60 MB; who reads it must not be further behind. */
  eventsKeptMax: 200_000,
  /**
   * Notices in a task's journal: an hour at 40 a second while the cache is away. Kept in memory, too, some 1 KB each
   * (measured), so 150 MB; a small task takes as many as a third of its control heap has room for.
   */
  journalNoticesMax: 150_000,

  /** Markup of often winning creatives as text, per bid thread: one byte per character. */
  fragmentCacheCharsMax: 16 * MIB,

  /** Heaps of a bid thread. State is outside of them, so they need not grow with it. */
  bidThreadOldMib: 192,
  bidThreadSemiSpaceMib: 16,

  /** Threads that parse and validate a version; more would wait for the control thread, which puts parts together. */
  loaderThreadsMax: 4,
  /** A version has one loader thread for so many bytes: a thread takes some 100 ms to start. */
  loaderThreadBytesMin: 4 * MIB,
  /** Chunks that a loader thread has in hand: one at work, one waiting. */
  loaderThreadChunksMax: 2,
  /** Heaps of a loader thread: ids of 200,000 line items and creatives, some 300,000 texts, one chunk. */
  loaderThreadOldMib: 256,
  loaderThreadSemiSpaceMib: 16,

  /** Heap of the explain thread, which holds the documents while somebody asks: part of the memory that is free. */
  explainHeapMibMin: 64,
  explainHeapMibMax: 1_024,
  /** Bytes of heap per byte of a version that is held as documents, while it is read (measured: 2.7 of 40 MiB). */
  explainHeapFactor: 4,
  explainQuestionsMax: 4,
  explainAnswerMs: 60_000,
  /** After so long without a question the documents are let go of. */
  explainIdleMs: 120_000,
  /** Line items beside the winners of which one answer tells everything. */
  explainOthersMax: 100,
  /** Requests that a bid thread tells whole in a second, to be judged completely; larger ones are left out. */
  samplesPerSecondMax: 2,
  sampleCharsMax: 64 * KIB,
  /** Sampled requests that are kept to be looked at, some 10 KB each, and line items told with each. */
  samplesKept: 200,
  sampleLineItemsMax: 200,
  /** Deals that are watched: a tenant has some hundreds. */
  dealsWatchedMax: 1_000,
  /** What the console's tails keep: lines of so many bytes, notices, and versions; some 250 KB together. */
  tailLinesKept: 100,
  tailLineBytesMax: 2 * KIB,
  tailNoticesKept: 100,
  tailVersionsKept: 50,
  /** Plans whose course is kept to be plotted, and points of each: 16 bytes and an object, 5 MB together. */
  plansWatchedMax: 1_000,
  planPointsMax: 120,
  /** Line items in one answer of /line-items, and in one of /pacing, where each has its plot. */
  pacingRowsMax: 100,
  lineItemRowsMax: 1_000,

  /** Line items of equal rank between which chance decides. */
  tiedCandidatesMax: 32,
  /** Log lines from one bid thread per second; more are counted. */
  threadLogLinesPerSecondMax: 20,
  logLineBytesMax: 16 * KIB - 1,
  /** Lines that wait while nobody reads stdout; more are dropped and counted. Some 5,000 ordinary lines. */
  logBufferBytesMax: 1 * MIB,
  /** Lines of one event code per period; more are counted and summed up in one line. */
  logRepeatsMax: 50,
  logRepeatPeriodMs: 60_000,
  /** The same of one action of the audit stream: some 3 KB a second at most. */
  auditRepeatsMax: 600,
  /** Characters of one text that came with a request, of one of our own, and of a stack. */
  logUntrustedCharsMax: 256,
  logTextCharsMax: 1_024,
  logStackCharsMax: 4_096,
  /** CloudWatch's own: metrics in one embedded line, values of one metric in a line, metrics in a call. */
  embeddedMetricsMax: 100,
  embeddedValuesMax: 100,
  cloudWatchMetricsMax: 1_000,
  /** It takes 150 per metric and call; with as many as in a line both sinks join the same buckets. */
  cloudWatchValuesMax: 100,
  /** All tasks of an account share one quota of calls. */
  cloudWatchPeriodSMin: 60,
  /** A metrics endpoint that takes longer has not taken the report. */
  metricsTimeoutMs: 2_000,
  /** Requests that one bid thread traces in a second: some ten spans each, of which 2,048 wait at most. */
  tracesPerSecondMax: 10,
  bidThreadsMax: 64,
  /** Idle connections live this much longer than at the load balancer, which must be the one that closes them. */
  keepAliveMarginMs: 5_000,
  /** Without a bid request for this long after SIGTERM, the load balancer has looked away. */
  quietTrafficMs: 5_000,
  /** And this long in any case: two health checks, 5 s apart, and their time-out. */
  drainNoticedMs: 15_000,
  /** One of the arena's two slabs, at most. Pages that no catalog touches cost nothing. */
  slabBytesMax: 4 * 1024 * MIB,
  /** The same for overlays, which hold what at most deltasCharsMax of deltas have changed. */
  overlaySlabBytesMax: 256 * MIB,
  /** A thread whose event loop has not turned for so long is stuck; state swaps and collections take far less. */
  heartbeatAgeMsMax: 10_000,
  /** Beats, one a second, that a bid thread may miss before it is ended and replaced. */
  stuckBeatsMax: 5,
  /** The same for a thread that starts: a busy machine takes seconds to load its code. */
  threadStartBeatsMax: 30,
} as const

/**
 * Every upper bound of the service. A number elsewhere that bounds input or memory is a defect. It is a copy because V8
 * makes a table of a literal with 128 and more members, and looks into that at each use; of a copy it knows the values.
 */
export const LIMITS: typeof BOUNDS = { ...BOUNDS }

assert(
  (LIMITS.stuckBeatsMax + 2) * 1_000 < LIMITS.heartbeatAgeMsMax,
  'a stuck bid thread is replaced before the liveness check fails',
)
assert(
  LIMITS.memoryStopPercent <= 100 * LIMITS.loadMemoryShareMax,
  'a load never brings a task where it sheds everything',
)
assert(LIMITS.inflatedBytesMax >= LIMITS.bodyBytesMax, 'a body that is not compressed must fit the inflated limit')
assert(
  LIMITS.bodyBytesMax >= LIMITS.impressionsMax * 2 * KIB,
  'a request with every impression must fit the body limit',
)
assert(
  LIMITS.partialBodyBytesMax >= 16 * LIMITS.bodyBytesMax,
  'several of the largest bodies must be able to come at once',
)
assert(LIMITS.bidTurnMsMax < LIMITS.bidBurstMsMax, 'turns become shorter when they follow each other')
assert(LIMITS.bidBurstMsMax < LIMITS.bidLagMsMax, 'a burst is no reason to take what comes after it for late')
assert(
  LIMITS.connectionsMax * 8 * KIB * 3 <= (LIMITS.bidThreadOldMib + 1) * MIB,
  'connections must leave most of the heap to the rest',
)
assert(
  LIMITS.chunkBytesMax >= 4 * LIMITS.audienceShardUsersAim * 12,
  'a shard of users must have room for many distinct sets of segments',
)
assert(
  LIMITS.segmentsFoundMax >= LIMITS.segmentsReadMax + LIMITS.segmentsPerUserMax,
  'a request with the most segments leaves a user all of theirs',
)
assert(Number.isInteger(Math.log2(LIMITS.audienceShardsMax)), 'bits of a hash say the shard of a user')
assert(LIMITS.chunkBytesMax >= 4 * LIMITS.recordBytesMax, 'a chunk must hold several of the largest records')
assert(LIMITS.recordBytesMax >= 2 * LIMITS.markupCharsMax, 'a record must hold the longest markup, escaped')
assert(LIMITS.logBufferBytesMax >= 16 * LIMITS.logLineBytesMax, 'the buffer must hold several of the longest lines')
assert(LIMITS.embeddedValuesMax > LIMITS.bidThreadsMax, 'a gauge of every thread must fit one embedded metric')
assert(LIMITS.expressionDepthMax + 2 <= 32, 'every level of an expression keeps one bit, and two are joined')
assert(LIMITS.inflateSyncBytesMax <= LIMITS.bodyBytesMax, 'the synchronous part is a part')
assert(
  LIMITS.journalOwnerMs >= 6 * LIMITS.journalOwnerBeatMs,
  'a journal changes hands only after several missed beats',
)
