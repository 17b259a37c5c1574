/** A bid thread: wires one HTTP server to one engine, and takes catalogs from the control thread. */
import { randomBytes, randomInt } from 'node:crypto'
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { assert } from './foundation/assert.ts'
import { systemClock } from './foundation/clock.ts'
import { hashText } from './foundation/hash.ts'
import { Random } from './foundation/random.ts'
import { BidGate } from './http/bid-gate.ts'
import { BidPath } from './http/bid-path.ts'
import { BidRoute } from './http/bid-route.ts'
import { CallerGate } from './http/caller-gate.ts'
import { Doors } from './http/doors.ts'
import { priceReadersOf } from './http/encrypted-price.ts'
import { sameSignature, signerOf } from './http/notice-keys.ts'
import { NoticeRoute } from './http/notice-route.ts'
import { NoticeSender } from './http/notice-sender.ts'
import { createPublicServer, renewCertificate } from './http/public-server.ts'
import { SelfBidder } from './http/self-bidder.ts'
import { type BidsTold, ServedCatalog } from './http/served-catalog.ts'
import { Serving } from './http/serving.ts'
import { wonMarkup } from './http/won-markup.ts'
import { LIMITS } from './limits.ts'
import { NoticeUrls } from './openrtb/notice-urls.ts'
import type { CatalogShares } from './spend/budget-layer.ts'
import { CapBoard } from './spend/cap-board.ts'
import { CapLog } from './spend/cap-log.ts'
import { CapTable } from './spend/cap-table.ts'
import { Shares, type SharesReport } from './spend/shares.ts'
import { SpendBrake } from './spend/spend-guard.ts'
import { ThreadBudgets } from './spend/thread-budgets.ts'
import { CapAsker, ThreadCaps } from './spend/thread-caps.ts'
import { AudienceReader, type AudienceTurn } from './state/audience-reader.ts'
import { type Catalog, openCatalog } from './state/catalog.ts'
import { NO_STOPS, type StopList } from './stop-list.ts'
import { HEARTBEAT_MS, Heartbeats } from './telemetry/heartbeats.ts'
import { Recorder } from './telemetry/recorder.ts'
import { RequestSampler } from './telemetry/request-sampler.ts'
import { RequestTracer } from './telemetry/request-tracer.ts'
import { COUNTER, logLossCounter } from './telemetry/signals.ts'
import { ThreadLog } from './telemetry/thread-log.ts'
import { startThreadWatch } from './telemetry/thread-watch.ts'
import type { BidThreadData, FromBidThread, PlacedCatalog, PlacedState, ToBidThread } from './thread-messages.ts'

assert(parentPort !== null, 'a bid thread is a worker')
const control = parentPort
const data = workerData as BidThreadData
const post = (message: FromBidThread): void => control.postMessage(message)

const recorder = new Recorder(data.recorderBlock)
const watch = startThreadWatch(recorder)
const heartbeats = new Heartbeats(data.heartbeats)
const random = new Random(randomInt(2 ** 31))
const log = new ThreadLog({
  post,
  monotonicMs: systemClock.monotonicMs,
  onLoss: () => recorder.count(logLossCounter('thread-limit')),
})

const shares = new Shares()
/** Bids of capped line items that the control thread has not been told of. */
const counted = new CapLog(LIMITS.capEventsWaitingMax)
const capBoard = data.caps && new CapBoard(data.caps.board)
const capAsker =
  data.caps &&
  capBoard &&
  new CapAsker({
    table: new CapTable(data.caps.counts),
    board: capBoard,
    log: counted,
    onUntold: () => recorder.count(COUNTER.capEventsLost),
    onElsewhere: () => recorder.count(COUNTER.capsElsewhere),
  })
const audience = new AudienceReader(data.audience)
let serving: Serving | undefined
/** Where the base lies. */
let servedSlot: 0 | 1 | undefined
let draining = false
let stops = NO_STOPS

const { publicUrl, keys, priceKeys } = data.notices
const [signingKey] = keys
const sign = signerOf(keys)
const notices =
  publicUrl === undefined || signingKey === undefined
    ? undefined
    : new NoticeUrls({ publicUrl, tenantId: data.tenantId, keyId: signingKey.id, sign })
const noticeSender = new NoticeSender((id, notice) => post({ kind: 'notice', id, notice }), systemClock.monotonicMs)
const tracer =
  data.traceRatio > 0
    ? new RequestTracer({
        ...{ ratio: data.traceRatio, recorder, post },
        ...{ unit: () => random.unit(), nowMs: systemClock.nowMs },
      })
    : undefined

const noticeRoute =
  signingKey &&
  new NoticeRoute({
    reader: { tenantId: data.tenantId, sign, same: sameSignature },
    prices: priceReadersOf(priceKeys),
    ...{ recorder, tracer },
    send: notice => noticeSender.send(notice),
    markupOf: (token, tokenText, rendition) => {
      const asked = { token, tokenText, rendition, nowMs: systemClock.nowMs(), cacheBuster: random.next() }
      return serving && wonMarkup(asked, serving)
    },
    nowMs: systemClock.nowMs,
    isDraining: () => draining,
  })

const bidPath = new BidPath({
  spendLimit: data.guard && new SpendBrake(data.guard),
  identitySalt: hashText(data.tenantId, 0),
  audience,
  recorder,
  notices,
  pickIndex: random.pickIndex,
  bidIdPrefix: `${randomBytes(6).toString('hex')}-`,
  alarm: (code, detail, error) => log.write('error', code, detail, error === undefined ? {} : { error }),
})

const sampler = new RequestSampler({
  ...{ recorder, unit: () => random.unit(), nowMs: systemClock.nowMs },
  post: sample => post({ kind: 'sample', sample }),
  takeBidders: () => tellBids().map(([lineItemId]) => lineItemId),
})

const gate = new BidGate(data.gate)
const route = new BidRoute({
  tenantId: data.tenantId,
  bidPath,
  recorder,
  tracer,
  sampler,
  serving: () => serving,
  gate,
  nowMs: systemClock.nowMs,
  monotonicMs: systemClock.monotonicMs,
  loopLagMs: watch.lagMs,
  isDraining: () => draining,
  callers: new CallerGate({
    ...{ recorder, forwardedHops: data.forwardedHops, monotonicMs: systemClock.monotonicMs },
    onRefused: refused => log.write('warn', 'caller-refused', 'not the exchange', { fields: { ...refused } }),
  }),
})

const app = createPublicServer({
  tenantId: data.tenantId,
  route,
  noticeRoute,
  recorder,
  keepAliveMs: data.keepAliveMs,
  certificate: data.certificate,
  connectionsMax: data.connectionsMax,
  health: {
    isReady: () => serving !== undefined && !draining && capBoard?.isOpen !== false && audience.isOpen,
    isLive: () => heartbeats.areFresh(systemClock.monotonicMs()),
  },
})

const doors = new Doors(app.server, () => recorder.count(COUNTER.connectionsRefused))

const selfBidder = new SelfBidder({ notices, pickIndex: random.pickIndex })

/** The swap: one reference, between two requests. A state whose self-bid fails is not taken. */
function take({ base, overlay }: PlacedState): void {
  let problem: string
  const before = serving
  tellBids()
  try {
    const below = servedBase(base)
    const next = new Serving(below, systemClock.nowMs(), overlay && servedOverlay(overlay, below))
    const moment = { nowMs: systemClock.nowMs(), monotonicMs: systemClock.monotonicMs(), waitedMs: 0 }
    problem = selfBidder.problemOf(next, moment)
    // The self-bid is nobody's: it does not count.
    next.takeBids()
    next.stop(stops)
    if (problem === '') serving = next
  } catch (error) {
    problem = String(error)
  }
  // The same engine may be under both.
  if (problem !== '') before?.resume()
  post({ kind: 'serving', slot: base.slot, overlaySlot: overlay?.slot, problem })
}

/** A base that only gets another overlay keeps its engine and its markup. */
function servedBase({ header, slot, shares: ofCatalog }: PlacedCatalog): ServedCatalog {
  const served = serving?.base
  if (served?.catalog.header.announcement === header.announcement && servedSlot === slot) return served
  servedSlot = slot
  const catalog = openCatalog(header, data.slabs[slot])
  return new ServedCatalog(catalog, { notices, budgets: budgetsOf(ofCatalog, catalog), caps: capsOf(catalog) })
}

function servedOverlay({ header, slot, shares: ofCatalog }: PlacedCatalog, { catalog }: ServedCatalog): ServedCatalog {
  const overlay = openCatalog(header, data.overlaySlabs[slot])
  return new ServedCatalog(overlay, {
    ...{ below: catalog, notices },
    ...{ budgets: budgetsOf(ofCatalog, overlay), caps: capsOf(overlay) },
  })
}

function budgetsOf(ofCatalog: CatalogShares | undefined, { columns }: Catalog): ThreadBudgets | undefined {
  return ofCatalog && new ThreadBudgets(shares, ofCatalog, columns.lineItemPriceNanos)
}

function capsOf(catalog: Catalog): ThreadCaps | undefined {
  return capAsker && new ThreadCaps(capAsker, catalog)
}

/** What was held since the last time is told; the control thread leases and settles by it. */
function tellHeld(report: SharesReport | undefined): void {
  if (report !== undefined) post({ kind: 'held', report })
  if (counted.count > 0) post({ kind: 'counted', events: counted.takeAll() })
}

/** Once a second, and before another catalog is taken: the ids are read from this one's slab. */
function tellBids(): BidsTold {
  const bids = serving?.takeBids() ?? []
  if (bids.length > 0) post({ kind: 'bids', bids })
  return bids
}

/** Between two requests, so that no look-up goes on in the map before. */
function turnAudience(turn: AudienceTurn): void {
  audience.turn(turn)
  post({ kind: 'turned' })
}

function takeStops(list: StopList): void {
  stops = list
  serving?.stop(stops)
}

function beat(): void {
  heartbeats.beat(data.thread, systemClock.monotonicMs())
  noticeSender.sweep()
  sampler.turn()
  tellBids()
  serving?.turnClock(systemClock.nowMs())
  if (gate.isGrowthStopped) serving?.forgetMarkup()
}

async function stop(): Promise<void> {
  clearInterval(heart)
  clearInterval(tellingHeld)
  watch.stop()
  app.server.closeIdleConnections()
  await Promise.all([app.close(), doors.close()])
  // All that is not held goes back.
  tellHeld(shares.close())
  tellBids()
  control.close()
}

function hear(message: ToBidThread): void {
  if (message.kind === 'state') take(message.state)
  else if (message.kind === 'audience') turnAudience(message.turn)
  else if (message.kind === 'shares') shares.take(message.shares)
  else if (message.kind === 'noticed') noticeSender.answered(message.id, message.isKept)
  else if (message.kind === 'drain') draining = true
  else if (message.kind === 'stops') takeStops(message.stops)
  else if (message.kind === 'certificate') renewCertificate(app, message.certificate)
  else void stop()
}

beat()
const heart = setInterval(beat, HEARTBEAT_MS)
const tellingHeld = setInterval(() => tellHeld(shares.report(systemClock.monotonicMs())), LIMITS.sharesReportMs)
// What was posted meanwhile comes first: a thread that replaces another has its state before it listens.
for (let first = receiveMessageOnPort(control); first !== undefined; first = receiveMessageOnPort(control))
  hear(first.message as ToBidThread)
control.on('message', hear)
await app.listen({ host: data.host, port: data.port, ...(data.reusePort ? { reusePort: true } : {}) })
const address = app.server.address()
const port = typeof address === 'object' && address !== null ? address.port : data.port
if (data.reusePort) await doors.open({ host: data.host, port })
post({ kind: 'listening', port })
