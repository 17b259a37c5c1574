/** The composition root: reads the environment, wires the parts, starts them and stops them. */
import { randomInt } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { TaskAudience } from './audience.ts'
import { BidThreads } from './bid-threads.ts'
import { CatalogLoad } from './catalog-load.ts'
import { openCertificates } from './certificate-files.ts'
import { compilerIdentity } from './compiled-chunks.ts'
import { type Config, portProblem, readConfig } from './config.ts'
import { EventTail } from './event-tail.ts'
import { systemClock } from './foundation/clock.ts'
import { AdminGate } from './http/admin-gate.ts'
import { createAdminServer } from './http/admin-server.ts'
import { BidGate, createBidGateMemory } from './http/bid-gate.ts'
import { readConsoleFiles } from './http/console-files.ts'
import { Insight } from './insight.ts'
import { LIMITS } from './limits.ts'
import { memoryRung } from './memory-ladder.ts'
import { memoryPlan } from './memory-plan.ts'
import { openMoney } from './money.ts'
import { NextState } from './next-state.ts'
import { CopyKeeper } from './remote-cache/copy-keeper.ts'
import { FileSource } from './remote-cache/file-source.ts'
import { openSource } from './remote-cache/open-source.ts'
import { Refresher } from './remote-cache/refresher.ts'
import type { Announcement } from './remote-cache/source.ts'
import { copyState } from './remote-cache/state-copy.ts'
import { lookedAway, runPhases, stopPhases } from './shutdown.ts'
import { memoryProblem } from './state/admission.ts'
import { knownIds } from './state/known-ids.ts'
import { stateEventTeller } from './state-events.ts'
import { changedStops, NO_STOPS, type Stop, stopName, type ToldStops, toldStops } from './stop-list.ts'
import { readEcsTask } from './telemetry/ecs-task.ts'
import { type Exporters, startExporters } from './telemetry/exporters.ts'
import { BASELINE_PERIOD_MS, LatencyBaseline } from './telemetry/latency-baseline.ts'
import { LineItemCounts } from './telemetry/line-item-counts.ts'
import { withoutCredentials } from './telemetry/log-text.ts'
import {
  identityFromEnv,
  installCrashLines,
  installWarningLines,
  Logger,
  logConfigProblems,
} from './telemetry/logger.ts'
import { readMemoryLimit } from './telemetry/memory-limit.ts'
import { levelNumber, type MemoryState, MemoryWatch, memoryUse } from './telemetry/memory-watch.ts'
import { otelSettings } from './telemetry/otel-settings.ts'
import { prometheusText } from './telemetry/prometheus.ts'
import { createRecorderBlock, Recorder, type Snapshot, snapshot, type TaskGauges } from './telemetry/recorder.ts'
import { COUNTER, logLossCounter, reportLossCounter } from './telemetry/signals.ts'
import { logFromThread } from './telemetry/thread-log.ts'
import { bidHeapsOf, startThreadWatch } from './telemetry/thread-watch.ts'
import { compileEarly, setUpV8 } from './v8-settings.ts'

const EXIT_CONFIG = 78
const MIB = 1_024 * 1_024
const env = process.env
const startedAtMs = systemClock.nowMs()

const read = readConfig(env)
const recorderBlocks = [createRecorderBlock()]
const recorder = new Recorder(recorderBlocks[0] as SharedArrayBuffer)
const tail = new EventTail()
const log = new Logger({
  identity: identityFromEnv(env),
  level: 'problems' in read ? 'info' : read.logLevel,
  clock: systemClock,
  onLoss: cause => recorder.count(logLossCounter(cause)),
  onLine: line => tail.takeLine(line),
})
if ('problems' in read) {
  logConfigProblems(log, read.problems)
  process.exit(EXIT_CONFIG)
}
const config: Config = read
installCrashLines(log)
installWarningLines(log)

const STOP_SIGNALS = ['SIGTERM', 'SIGINT'] as const

/** For a signal before there is anything to drain, and for the second one. */
function leaveAtOnce(): never {
  log.info('stopped', 'the process ends at once')
  log.flushNow(LIMITS.metricsTimeoutMs)
  process.exit(0)
}

for (const signal of STOP_SIGNALS) process.on(signal, leaveAtOnce)

/** What another process has, or cannot be read or written: for a person to repair, as other settings. */
function leaveWithout(settings: string): (error: unknown) => never {
  return error => {
    logConfigProblems(log, [`${settings} cannot be used: ${String(error)}`])
    process.exit(EXIT_CONFIG)
  }
}

/** Threads that bid: as set, else all cores but the control thread's; one where a port cannot be shared. */
function bidThreadCount({ bidThreads }: Config): number {
  if (process.platform !== 'linux') return 1
  return bidThreads ?? Math.max(1, availableParallelism() - 1)
}

const task = await readEcsTask(env.ECS_CONTAINER_METADATA_URI_V4)
log.learn({ task_id: task?.taskId })
log.info('started', 'Bidcell begins', { fields: { node: process.version, state: withoutCredentials(config.stateUrl) } })

if (config.sampleTraffic === 'on') log.warn('sample-traffic', 'made-up bid requests are sent to this task')

const limit = readMemoryLimit({ settingMib: config.memoryLimitMib ?? task?.memoryLimitMib })
const threadCount = bidThreadCount(config)
const plan = memoryPlan({ limitMib: Math.floor(limit.bytes / MIB), bidThreads: threadCount })
// The flag has sized this heap; left as it is, it would overrule the limits of each thread that starts from now on.
setFlagsFromString('--max-old-space-size=0')
setUpV8()
for (let i = 0; i < threadCount; i++) recorderBlocks.push(createRecorderBlock())
startThreadWatch(recorder)

const gateMemory = createBidGateMemory()
const gate = new BidGate(gateMemory)
const counts = new LineItemCounts()

/** Without keys no notice can come, so there is nothing to book. */
const money =
  config.noticeKeys.length === 0
    ? undefined
    : await openMoney({
        ...{ config, clock: systemClock, log, recorder, recorderBlocks, threads: threadCount },
        share: (thread, message) => threads.share(thread, message),
        ...{ counts, tail },
        memoryBytes: limit.bytes,
        journalNoticesMax: plan.journalNoticesMax,
      }).catch(leaveWithout('SPEND_URL or JOURNAL_DIR'))

const copyDirectory = config.stateCopyDir === undefined ? undefined : resolve(config.stateCopyDir, config.tenantId)
const audience = new TaskAudience({
  ...{ config, clock: systemClock, log, recorder, limitBytes: limit.bytes, copyDirectory },
  turn: turn => threads.turnAudience(turn),
})
const otel = otelSettings(env)
const certificates = await openCertificates(config, log, certificate => threads.renewCertificate(certificate)).catch(
  leaveWithout('TLS_CERT_FILE or TLS_KEY_FILE'),
)
const slabBytes = Math.min(LIMITS.slabBytesMax, Math.floor(limit.bytes / 2))
const threads: BidThreads = new BidThreads({
  tenantId: config.tenantId,
  threads: threadCount,
  host: config.host,
  port: config.port,
  forwardedHops: config.forwardedHops,
  certificate: () => certificates?.current,
  keepAliveMs: config.albIdleTimeoutS * 1_000 + LIMITS.keepAliveMarginMs,
  size: plan,
  gate: gateMemory,
  notices: { publicUrl: config.publicUrl, keys: config.noticeKeys, priceKeys: config.priceKeys },
  onNotice: notice => money?.take(notice) ?? Promise.resolve(false),
  budgets: money?.threadsBudgets,
  caps: money?.frequency,
  audience: audience.memory,
  slabBytes,
  overlaySlabBytes: Math.min(LIMITS.overlaySlabBytesMax, Math.floor(limit.bytes / 8)),
  recorderBlocks: recorderBlocks.slice(1),
  traces: otel && { ratio: otel.traceRatio, take: (thread, message) => exporters?.trace(thread, message) },
  onBids: bids => counts.addBids(bids),
  onSample: sample => insight.take(sample),
  onLog: (thread, message) => logFromThread(log, `bid-${thread}`, message),
  onStuck: thread => log.error('thread-stuck', 'a bid thread is ended', { fields: { thread: `bid-${thread}` } }),
  onLost: (thread, error) => {
    recorder.count(COUNTER.threadRestarts)
    log.error('thread-lost', 'a bid thread ended unasked', { fields: { thread: `bid-${thread}` }, error })
  },
})

const source = openSource({
  ...{ url: config.stateUrl, tenantId: config.tenantId, timeoutMs: config.cacheTimeoutMs },
  ...{ compiledBy: compilerIdentity(), pickIndex: count => randomInt(count) },
})
const nextState = new NextState(threads)
const copyKeeper =
  copyDirectory === undefined
    ? undefined
    : new CopyKeeper<Announcement>({
        copy: announcement => copyState(source, announcement, copyDirectory),
        delayMs: LIMITS.stateCopyDelayMs,
        onFailure: error => log.error('state-copy-failed', 'the copy before stays', { error }),
      })
const tellState = stateEventTeller(log, recorder)
const refresher = new Refresher<CatalogLoad>({
  source,
  clock: systemClock,
  pickIndex: count => randomInt(count),
  pollMs: config.statePollMs,
  checkMs: config.stateCheckMin * 60_000,
  openReader: isFirst => new CatalogLoad(isFirst),
  ...(copyDirectory === undefined ? {} : { copy: new FileSource(pathToFileURL(copyDirectory).href) }),
  admit: ({ bytes }) =>
    memoryProblem(bytes, {
      ...{ limitBytes: limit.bytes, residentBytes: process.memoryUsage.rss(), slabBytes },
      reusableBytes: nextState.reusableBytes,
    }),
  onLoaded: ({ builder }, { version, announcementNumber }) => {
    nextState.load(builder, { version, announcement: announcementNumber })
    compileEarly()
  },
  onDelta: stored => nextState.take(stored),
  swap: () => nextState.swap(),
  differs: () => nextState.differs(),
  drop: () => nextState.drop(),
  onEvent: event => {
    tellState(event)
    tail.takeState(event, systemClock.nowMs())
    if (event.kind === 'version-loaded' || event.kind === 'copy-serves') void allIsThere.then(tellReady)
    if (event.kind === 'version-loaded' || event.kind === 'deltas-taken') copyKeeper?.note(event.announcement)
  },
})

const bidHeaps = () => bidHeapsOf(snapshotWith({}))

/** The ladder, and how many tasks share the quotas: both change within a second. */
function climb({ rssBytes, limitBytes, level }: MemoryState): void {
  // To bid less gives nothing back to the heap of the control thread, which a load fills.
  const { usedPercent } = memoryUse(rssBytes, limitBytes, bidHeaps())
  const { isGrowthStopped, shedShare } = memoryRung(usedPercent, level === 'critical')
  gate.stopGrowth(isGrowthStopped)
  gate.shed(shedShare)
  gate.share(money?.frequency?.gauges.capTasks ?? 1)
}

const memory = new MemoryWatch({
  limit,
  lines: { warnPercent: config.memoryWarnPercent, criticalPercent: config.memoryCriticalPercent },
  log,
  bidHeaps,
  onCheck: climb,
})

/** Before that nothing with a budget or a frequency cap bids, and it is not known who must not see something. */
const allIsThere = Promise.all([money?.begun, money?.frequency?.opened, audience.opened])
let isReady = false
let stopping: Promise<void> | undefined
let exporters: Exporters | undefined

function tellReady(): void {
  if (isReady || stopping !== undefined) return
  isReady = true
  const afterMs = Math.round(systemClock.nowMs() - startedAtMs)
  const fields = { after_ms: afterMs, port: threads.port, admin_port: adminPort() }
  log.info('ready', 'the readiness check passes', { fields })
}

function snapshotWith(known: TaskGauges): Snapshot {
  return snapshot({ blocks: recorderBlocks, gauges: known, takenAtMs: systemClock.nowMs() })
}

const baseline = new LatencyBaseline()

function gauges(): TaskGauges {
  const { held, answeredMs, unreachableSinceMs } = refresher.view
  const { base, overlay } = threads.serving ?? {}
  return {
    ready: isReady ? 1 : 0,
    ...(held === undefined ? {} : { stateVersion: held.number }),
    ...(answeredMs === undefined ? {} : { stateAge: (systemClock.monotonicMs() - answeredMs) / 1e3 }),
    lineItems: base?.header.lineItems ?? 0,
    overlayLineItems: overlay?.header.lineItems ?? 0,
    deltas: held?.deltas?.length ?? 0,
    arenaBytes: (base?.header.bytes ?? 0) + (overlay?.header.bytes ?? 0),
    ...baseline.gauges,
    memoryRss: memory.state.rssBytes,
    memoryLimit: memory.state.limitBytes,
    memoryUsed: memory.state.usedPercent,
    memoryLevel: levelNumber(memory.state.level),
    liveThreads: threads.liveCount,
    cacheReachable: unreachableSinceMs === undefined ? 1 : 0,
    ...money?.gauges,
    ...audience.gauges,
  }
}

const snapshotNow = (): Snapshot => snapshotWith(gauges())

let stops = NO_STOPS
const stopsNow = (): ToldStops => toldStops(stops, threads.catalogs.map(knownIds))

/** The brake: an operator's word holds at once, and the log says who was stopped. */
function stopByHand(stop: Stop, isStopped: boolean, actor: string): ToldStops {
  stops = changedStops(stops, stop, isStopped)
  threads.stopBids(stops)
  const resource = stopName(stop, config.tenantId)
  const told = stopsNow()
  const holds = told.unknown.includes(resource) ? 'nothing that is served has this id' : 'it bids no more in this task'
  log.warn('stopped-by-hand', isStopped ? holds : 'it may bid again', { fields: { resource } })
  log.audit({ actor, action: isStopped ? 'stop' : 'release', resource, decision: 'allowed' })
  return told
}

function stateNow() {
  const { stateVersion, stateAge, lineItems, arenaBytes, ready } = gauges()
  const version = refresher.view.held?.version
  const ageS = stateAge === undefined ? undefined : Number(stateAge.toFixed(2))
  const held = { version, announcement: stateVersion, ageS, lineItems, arenaBytes }
  return { ready: ready === 1, ...held, memory: memory.view, spend: money?.view }
}

const insight = new Insight({
  consoleFiles: await readConsoleFiles(),
  thread: { stateUrl: config.stateUrl, tenantId: config.tenantId, timeoutMs: config.cacheTimeoutMs },
  ...{ clock: systemClock, counts, money, tail, snapshot: snapshotNow },
  held: () => refresher.view.held,
  catalogs: () => threads.catalogs,
  audience: audience.reader,
  about: () => ({ identity: log.identity, isSample: config.sampleTraffic === 'on', ...stateNow() }),
  freeBytes: () => (memory.state.level === 'critical' ? 0 : limit.bytes - process.memoryUsage.rss()),
  stops: () => stops,
})

const admin = createAdminServer({
  gate: new AdminGate(config.adminTokens),
  onAccess: ({ resource, actor, isAllowed }) =>
    log.audit({ actor, action: 'admin-access', resource, decision: isAllowed ? 'allowed' : 'refused' }),
  insight,
  stops: stopsNow,
  stop: stopByHand,
  metrics: () => prometheusText(snapshotNow(), log.identity),
  state: stateNow,
})

function adminPort(): number {
  const address = admin.server.address()
  return typeof address === 'object' && address !== null ? address.port : config.adminPort
}

/** A port that cannot be had is a setting to correct, and no defect. */
function leaveWithoutPort(problem: string | undefined, error: unknown): never {
  if (problem === undefined) throw error
  logConfigProblems(log, [problem])
  process.exit(EXIT_CONFIG)
}

await threads.start().catch(error => leaveWithoutPort(portProblem('PORT', config.port, error), error))
await admin
  .listen({ host: config.adminHost, port: config.adminPort })
  .catch(error => leaveWithoutPort(portProblem('ADMIN_PORT', config.adminPort, error), error))
const fields = { port: threads.port, admin_port: adminPort(), threads: threadCount, memory_limit_bytes: limit.bytes }
log.info('thread-started', 'the public port listens; bid requests get no-bids until state is loaded', { fields })
const stopMemoryWatch = memory.start()
setInterval(() => log.sumUpRepeats(), LIMITS.logRepeatPeriodMs).unref()
setInterval(() => baseline.look(snapshotWith({})), BASELINE_PERIOD_MS).unref()
exporters = await startExporters({
  config,
  snapshotNow,
  log,
  otel,
  task,
  startedAtMs,
  onLoss: sink => recorder.count(reportLossCounter(sink)),
})
refresher.start()
audience.start()

const bidRequests = (): number => snapshotWith({}).counters[COUNTER.bidRequests] as number

async function release(): Promise<void> {
  copyKeeper?.stop()
  source.close()
  const ends = [threads.kill(), refresher.stop(), audience.stop(), admin.close(), money?.stop(), insight.stop()]
  await Promise.all(ends)
}

async function stop(signal: string): Promise<void> {
  isReady = false
  log.info('draining', 'bids go on while the load balancer looks away', { fields: { signal } })
  threads.drain()
  const { monotonicMs } = systemClock
  const phases = stopPhases(config.drainS * 1_000, {
    drain: times => lookedAway(bidRequests, times, monotonicMs),
    close: () => threads.stop(),
    ledger: async () => await money?.drain(),
    release,
    report: async () => await exporters?.stop(),
  })
  const reports = await runPhases(phases, monotonicMs)
  stopMemoryWatch()
  const ends = reports.map(({ name, ms, outcome }) => `${name} ${outcome} ${ms} ms`)
  log.info('stopped', 'the process ends', { fields: { phases: ends } })
  await log.flush(LIMITS.metricsTimeoutMs)
  process.exit(0)
}

for (const signal of STOP_SIGNALS) {
  process.off(signal, leaveAtOnce)
  process.on(signal, () => {
    if (stopping === undefined) stopping = stop(signal)
    else leaveAtOnce()
  })
}
