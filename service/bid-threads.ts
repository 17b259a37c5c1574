/** The bid threads of a task, as the control thread sees them: started, given catalogs, replaced, drained, stopped. */
import { Worker } from 'node:worker_threads'
import { assert } from './foundation/assert.ts'
import { systemClock } from './foundation/clock.ts'
import { checkPortIsFree } from './http/doors.ts'
import type { Certificate } from './http/public-server.ts'
import type { BidsTold } from './http/served-catalog.ts'
import type { MemoryPlan } from './memory-plan.ts'
import type { Notice } from './openrtb/notice.ts'
import type { BudgetLayer } from './spend/budget-layer.ts'
import type { SharesMessage } from './spend/shares.ts'
import { ArenaPool } from './state/arena.ts'
import type { AudienceTurn } from './state/audience-reader.ts'
import type { AudienceMemory } from './state/audience-table.ts'
import { type Catalog, openCatalog } from './state/catalog.ts'
import { NO_STOPS, type StopList } from './stop-list.ts'
import { CONTROL_THREAD, createHeartbeats, HEARTBEAT_MS, Heartbeats, StuckWatch } from './telemetry/heartbeats.ts'
import type { RequestSample } from './telemetry/request-sampler.ts'
import type { ThreadLogMessage } from './telemetry/thread-log.ts'
import type { BidThreadData, FromBidThread, NoticeSettings, PlacedState, ToBidThread } from './thread-messages.ts'
import { THREAD_START, type ThreadModules, threadModules } from './thread-modules.ts'
import type { ThreadsBudgets, ThreadsCaps, ThreadsTraces } from './thread-ports.ts'

/** What the control thread decides about its bid threads, once. */
export interface BidThreadsOptions {
  readonly tenantId: string
  readonly threads: number
  readonly host: string
  readonly port: number
  readonly keepAliveMs: number
  /** Of one thread. */
  readonly size: BidThreadSize
  /** Proxies before us, see CallerRule. */
  readonly forwardedHops: number
  /** See BidGate. */
  readonly gate: SharedArrayBuffer
  /** With which the public port speaks TLS now; asked for each thread that starts. */
  readonly certificate: () => Certificate | undefined
  readonly notices: NoticeSettings
  /** Bytes of one of the two slabs. */
  readonly slabBytes: number
  /** The same for overlays. */
  readonly overlaySlabBytes: number
  /** One block per bid thread. */
  readonly recorderBlocks: readonly SharedArrayBuffer[]
  /** Which share of the bid requests is traced, above 0, and who takes that. */
  readonly traces?: ThreadsTraces | undefined
  /** @returns whether the notice is safe and may be acknowledged; must not reject */
  readonly onNotice: (notice: Notice) => Promise<boolean>
  /** Without them no line item that has a budget bids. */
  readonly budgets: ThreadsBudgets | undefined
  /** Frequency caps; without them nothing that has one bids. */
  readonly caps: ThreadsCaps | undefined
  /** The tenant's users, see turnAudience. */
  readonly audience: AudienceMemory
  /** What line items have bid since a thread last said so. */
  readonly onBids: (bids: BidsTold) => void
  /** A request that chance took to be looked at as a whole. */
  readonly onSample: (sample: RequestSample) => void
  readonly onLog: (thread: number, message: ThreadLogMessage) => void
  /** The event loop of a thread turns no more; the thread is being ended. */
  readonly onStuck: (thread: number) => void
  /** A thread ended unasked; another is being started. */
  readonly onLost: (thread: number, error: Error) => void
}

/** What one bid thread may take: generations of its heap in MiB, and connections. */
export type BidThreadSize = Pick<MemoryPlan, 'bidThreadOldMib' | 'bidThreadYoungMib' | 'connectionsMax'>

const BID_THREAD = new URL('./bid-thread.ts', import.meta.url)

/** How a thread took a state. */
type Acknowledge = (problem: string) => void

/**
 * Owns the worker threads and the arena. Not safe against two announcements at once: the refresher sends one after
 * another. A thread that ends unasked or is stuck is replaced for as long as the task lives.
 */
export class BidThreads {
  readonly #options: BidThreadsOptions
  readonly #arena: ArenaPool
  readonly #overlayArena: ArenaPool
  readonly #heartbeatMemory: SharedArrayBuffer
  readonly #heartbeats: Heartbeats
  readonly #stuckWatch: StuckWatch
  #heart: NodeJS.Timeout | undefined
  readonly #workers = new Map<number, Worker>()
  /** Per thread, in the order in which it was given catalogs: a thread answers in this order. */
  readonly #waiting = new Map<number, Acknowledge[]>()
  #announced: PlacedState | undefined
  /** With all names of segments, for threads that start later. */
  #audience: AudienceTurn | undefined
  /** Budgets of what was announced. */
  #layers: readonly BudgetLayer[] = []
  #modules: ThreadModules | undefined
  #port = 0
  #draining = false
  #stops = NO_STOPS
  #stopping = false

  constructor(options: BidThreadsOptions) {
    this.#options = options
    this.#arena = new ArenaPool(options.slabBytes)
    this.#overlayArena = new ArenaPool(options.overlaySlabBytes)
    this.#heartbeatMemory = createHeartbeats(options.threads)
    this.#heartbeats = new Heartbeats(this.#heartbeatMemory)
    this.#stuckWatch = new StuckWatch(this.#heartbeats, options.threads)
  }

  /** The public port, once started. */
  get port(): number {
    return this.#port
  }

  get liveCount(): number {
    return this.#workers.size
  }

  /** What is served. */
  get serving(): PlacedState | undefined {
    return this.#announced
  }

  /** What is served, to be read until the next is announced: the catalog, then its overlay. */
  get catalogs(): readonly Catalog[] {
    const { base, overlay } = this.#announced ?? {}
    const below = base && openCatalog(base.header, this.#arena.slabs[base.slot])
    const above = overlay && openCatalog(overlay.header, this.#overlayArena.slabs[overlay.slot])
    return [below, above].filter(catalog => catalog !== undefined)
  }

  /** Starts all threads; they listen when this resolves, and answer no-bid until there is a catalog. */
  async start(): Promise<void> {
    this.#beat()
    this.#heart = setInterval(() => this.#beat(), HEARTBEAT_MS).unref()
    await checkPortIsFree(this.#options.host, this.#options.port)
    this.#port = await this.#startThread(1, this.#options.port)
    const others = Array.from({ length: this.#options.threads - 1 }, (_, i) => this.#startThread(i + 2, this.#port))
    await Promise.all(others)
  }

  #beat(): void {
    this.#heartbeats.beat(CONTROL_THREAD, systemClock.monotonicMs())
    for (const thread of this.#stuckWatch.look()) {
      const worker = this.#workers.get(thread)
      if (worker === undefined) continue
      this.#options.onStuck(thread)
      // It ends in the middle of whatever it does, unless that is not JavaScript: then the liveness check fails.
      void worker.terminate()
    }
  }

  /** The slab to build the next catalog in. @throws AssertionFailure while a thread still reads it */
  nextSlab(): SharedArrayBuffer {
    return freeSlab(this.#arena)
  }

  /** The slab to build the next overlay in. @throws AssertionFailure while a thread still reads it */
  nextOverlaySlab(): SharedArrayBuffer {
    return freeSlab(this.#overlayArena)
  }

  /**
   * Gives a state to all threads and waits until each has it.
   * @param base built in nextSlab; undefined: the one that serves stays
   * @param overlay built in nextOverlaySlab, over that base
   * @throws CatalogRefused when a thread's self-bid fails; those that took it go back to the state before
   */
  async announce(base: Catalog | undefined, overlay?: Catalog): Promise<void> {
    const before = this.#announced
    const { budgets } = this.#options
    const layersBefore = this.#layers
    const layers = [
      base === undefined ? layersBefore[0] : budgets?.sharesOf(base),
      overlay && budgets?.sharesOf(overlay),
    ]
    const placed =
      base === undefined
        ? before?.base
        : { header: base.header, slot: this.#announceIn(this.#arena), shares: layers[0]?.shares }
    assert(placed !== undefined, 'an overlay lies over a catalog that serves')
    if (overlay === undefined) this.#overlayArena.revert(undefined)
    this.#announced = {
      base: placed,
      overlay: overlay && {
        header: overlay.header,
        slot: this.#announceIn(this.#overlayArena),
        shares: layers[1]?.shares,
      },
    }
    const problems = await Promise.all([...this.#workers.keys()].map(thread => this.#give(thread)))
    const problem = problems.find(text => text !== '')
    if (problem === undefined) {
      this.#layers = layers.filter(layer => layer !== undefined)
      budgets?.serve(this.#layers)
      return
    }
    this.#announced = before
    this.#arena.revert(before?.base.slot)
    this.#overlayArena.revert(before?.overlay?.slot)
    await Promise.all([...this.#workers.keys()].map(thread => this.#give(thread)))
    throw new CatalogRefused(problem)
  }

  #announceIn(arena: ArenaPool): 0 | 1 {
    const slot = arena.free()
    assert(slot !== undefined, 'the catalog lies in the free slab')
    arena.announce(slot)
    return slot
  }

  /** Gives a thread what it may hold, and takes some back. A thread that has ended gets nothing. */
  share(thread: number, shares: SharesMessage): void {
    const worker = this.#workers.get(thread)
    if (worker !== undefined) post(worker, { kind: 'shares', shares })
  }

  /** What bids no more, by hand, in threads that start later, too. */
  stopBids(stops: StopList): void {
    this.#stops = stops
    for (const worker of this.#workers.values()) post(worker, { kind: 'stops', stops })
  }

  /** For new connections, of all threads. */
  renewCertificate(certificate: Certificate): void {
    for (const worker of this.#workers.values()) post(worker, { kind: 'certificate', certificate })
  }

  /** From now on every answer asks for its connection to be closed, and the readiness check fails. */
  drain(): void {
    this.#draining = true
    for (const worker of this.#workers.values()) post(worker, { kind: 'drain' })
  }

  /** Closes the port; resolves when open requests are answered and all threads have ended. */
  async stop(): Promise<void> {
    this.#stopping = true
    clearInterval(this.#heart)
    const ends = [...this.#workers.values()].map(
      worker => new Promise<void>(resolve => worker.once('exit', () => resolve())),
    )
    for (const worker of this.#workers.values()) post(worker, { kind: 'stop' })
    await Promise.all(ends)
  }

  /** Ends threads that did not stop. */
  async kill(): Promise<void> {
    await Promise.all([...this.#workers.values()].map(worker => worker.terminate()))
  }

  /** All threads look into another map of users; resolves when none looks into the one before. */
  async turnAudience(turn: AudienceTurn): Promise<void> {
    this.#audience = { ...turn, segments: turn.segments ?? this.#audience?.segments }
    await Promise.all([...this.#workers.keys()].map(thread => this.#ask(thread, { kind: 'audience', turn })))
  }

  #give(thread: number): Promise<string> {
    const announced = this.#announced
    return announced === undefined ? Promise.resolve('') : this.#ask(thread, { kind: 'state', state: announced })
  }

  #ask(thread: number, message: ToBidThread): Promise<string> {
    const worker = this.#workers.get(thread)
    if (worker === undefined) return Promise.resolve('')
    return new Promise(resolve => {
      const waiting = this.#waiting.get(thread)
      if (waiting === undefined) this.#waiting.set(thread, [resolve])
      else waiting.push(resolve)
      post(worker, message)
    })
  }

  /** @returns the port it listens on. */
  #startThread(thread: number, port: number): Promise<number> {
    const { tenantId, host, keepAliveMs, forwardedHops, size, gate, notices, recorderBlocks, caps } = this.#options
    const recorderBlock = recorderBlocks[thread - 1]
    assert(recorderBlock !== undefined, 'every bid thread has a recorder block')
    const workerData: BidThreadData = {
      thread,
      tenantId,
      host,
      port,
      reusePort: process.platform === 'linux',
      keepAliveMs,
      connectionsMax: size.connectionsMax,
      forwardedHops,
      certificate: this.#options.certificate(),
      notices,
      caps: caps?.memory,
      audience: this.#options.audience,
      guard: this.#options.budgets?.guard,
      slabs: this.#arena.slabs,
      overlaySlabs: this.#overlayArena.slabs,
      recorderBlock,
      traceRatio: this.#options.traces?.ratio ?? 0,
      gate,
      heartbeats: this.#heartbeatMemory,
    }
    this.#modules ??= threadModules(BID_THREAD)
    const worker = new Worker(THREAD_START, {
      workerData: { ...workerData, entry: BID_THREAD.href, modules: this.#modules },
      // Nothing of the environment reaches a bid thread: it needs none, and secrets stay with the control thread.
      env: {},
      resourceLimits: {
        maxOldGenerationSizeMb: size.bidThreadOldMib,
        maxYoungGenerationSizeMb: size.bidThreadYoungMib,
      },
    })
    this.#workers.set(thread, worker)
    // The thread reads these before it listens: who comes later has the state from its first request.
    if (this.#draining) post(worker, { kind: 'drain' })
    post(worker, { kind: 'stops', stops: this.#stops })
    void this.#give(thread)
    if (this.#audience !== undefined) void this.#ask(thread, { kind: 'audience', turn: this.#audience })
    return new Promise((resolve, reject) => {
      let error = new Error('the thread ended')
      worker.on('error', (cause: unknown) => {
        error = cause instanceof Error ? cause : new Error(String(cause))
      })
      worker.on('exit', () => this.#ended(thread, worker, error, reject))
      worker.on('message', (message: FromBidThread) => {
        if (message.kind === 'listening') resolve(message.port)
        if (message.kind === 'notice') void this.#notice(worker, message.id, message.notice)
        else this.#heard(thread, message)
      })
    })
  }

  async #notice(worker: Worker, id: number, notice: Notice): Promise<void> {
    post(worker, { kind: 'noticed', id, isKept: await this.#options.onNotice(notice) })
  }

  #heard(thread: number, message: FromBidThread): void {
    if (message.kind === 'log') this.#options.onLog(thread, message)
    else if (message.kind === 'trace') this.#options.traces?.take(thread, message)
    if (message.kind === 'held') this.#options.budgets?.report(thread, message.report)
    if (message.kind === 'bids') this.#options.onBids(message.bids)
    if (message.kind === 'sample') this.#options.onSample(message.sample)
    if (message.kind === 'counted') this.#options.caps?.counted(message.events)
    if (message.kind === 'turned') this.#waiting.get(thread)?.shift()?.('')
    if (message.kind !== 'serving') return
    if (message.problem === '') {
      this.#arena.acknowledge(thread, message.slot)
      if (message.overlaySlot === undefined) this.#overlayArena.release(thread)
      else this.#overlayArena.acknowledge(thread, message.overlaySlot)
    }
    this.#waiting.get(thread)?.shift()?.(message.problem)
  }

  /** A thread that ends before it ever listened cannot be helped by another; one that did is replaced. */
  #ended(thread: number, worker: Worker, error: Error, rejectStart: (error: Error) => void): void {
    if (this.#workers.get(thread) !== worker) return
    this.#workers.delete(thread)
    this.#arena.release(thread)
    this.#overlayArena.release(thread)
    this.#heartbeats.forget(thread)
    this.#options.budgets?.threadLost(thread)
    for (const acknowledge of this.#waiting.get(thread) ?? []) acknowledge('')
    this.#waiting.delete(thread)
    rejectStart(error)
    if (this.#stopping || this.#port === 0) return
    this.#options.onLost(thread, error)
    setTimeout(() => this.#replace(thread), RESTART_PAUSE_MS).unref()
  }

  #replace(thread: number): void {
    // #ended tells about a failure and tries again.
    if (!this.#stopping) this.#startThread(thread, this.#port).catch(() => {})
  }
}

/** So that a thread that dies at once does not take a core with it. */
const RESTART_PAUSE_MS = 500

function freeSlab(arena: ArenaPool): SharedArrayBuffer {
  const slot = arena.free()
  assert(slot !== undefined, 'all bid threads have acknowledged the last catalog before the next is built')
  return arena.slabs[slot]
}

function post(worker: Worker, message: ToBidThread): void {
  worker.postMessage(message)
}

/** A catalog with which a bid thread cannot bid: the version is refused. */
class CatalogRefused extends Error {
  override readonly name = 'CatalogRefused'
}
