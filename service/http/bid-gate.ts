/**
 * What turns bid requests away before their bodies are read: too little memory, and quotas. One for all threads of a
 * task, in shared memory: the control thread tells how much memory and how many tasks there are, bid threads count.
 */
import { LIMITS } from '../limits.ts'
import type { Exchange } from '../state/exchange-document.ts'
import type { ShedCause } from '../telemetry/signals.ts'

/** What the gate reads of the state that serves. */
export interface GatedState {
  /** Whether any quota is set: without one, none is looked at. */
  readonly hasQuotas: boolean
  readonly header: {
    readonly settings: { readonly requestsPerS?: number | undefined }
    readonly exchanges: readonly Exchange[]
  }
}

const SHED_PPM = 0
const TASKS = 1
const GROWTH_STOPPED = 2
const WORDS = 4
const WORD_BYTES = Int32Array.BYTES_PER_ELEMENT
const PPM = 1_000_000

/** Behind the words: of the tenant, then of each exchange. */
const TENANT = 0
const FIRST_EXCHANGE = 1
const NS_PER_MS = 1e6
const NS_PER_S = 1e9
/** Requests come in clumps: what a quota gives in so long may come at once. */
const BURST_NS = 250_000_000n

/** Memory for one task. */
export function createBidGateMemory(): SharedArrayBuffer {
  const instants = FIRST_EXCHANGE + LIMITS.exchangesMax
  return new SharedArrayBuffer(WORDS * WORD_BYTES + instants * BigInt64Array.BYTES_PER_ELEMENT)
}

/** The gate, as one thread sees it. */
export class BidGate {
  readonly #words: Int32Array
  /** See #take; in ns. */
  readonly #instants: BigInt64Array
  /** Of this thread: parts of a request that are due to be shed. */
  #duePpm = 0

  /** @param memory from createBidGateMemory */
  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory, 0, WORDS)
    this.#instants = new BigInt64Array(memory, WORDS * WORD_BYTES)
  }

  /** By the control thread. @param share of bid requests that are shed, 0 to 1 */
  shed(share: number): void {
    this.#words[SHED_PPM] = Math.round(share * PPM)
  }

  /** By the control thread: whether what can do without more memory should. */
  stopGrowth(isStopped: boolean): void {
    this.#words[GROWTH_STOPPED] = isStopped ? 1 : 0
  }

  /** See stopGrowth. */
  get isGrowthStopped(): boolean {
    return this.#words[GROWTH_STOPPED] === 1
  }

  /** By the control thread: how many tasks of the tenant live, this one included; quotas are divided by it. */
  share(tasks: number): void {
    this.#words[TASKS] = tasks
  }

  /**
   * Lets one bid request through, and counts it; or says why not. Exact over all threads: who comes at the same instant
   * is counted one after the other. It costs two comparisons, and some 0.5 µs where there are quotas.
   * @param monotonicMs on a clock that all threads share; asked where there is a quota
   */
  turnsAway(exchange: Exchange, state: GatedState, monotonicMs: () => number): ShedCause | undefined {
    if (this.#words[SHED_PPM] !== 0 && this.#isDue()) return 'memory'
    if (!state.hasQuotas) return undefined
    const { settings, exchanges } = state.header
    const nowNs = BigInt(Math.trunc(monotonicMs() * NS_PER_MS))
    const place = FIRST_EXCHANGE + exchanges.indexOf(exchange)
    if (exchange.requestsPerS !== undefined && !this.#take(place, exchange.requestsPerS, nowNs)) return 'exchange-quota'
    if (settings.requestsPerS !== undefined && !this.#take(TENANT, settings.requestsPerS, nowNs)) return 'tenant-quota'
    return undefined
  }

  /** Evenly spread, without chance: of a share of a third every third one. */
  #isDue(): boolean {
    this.#duePpm += this.#words[SHED_PPM] as number
    if (this.#duePpm < PPM) return false
    this.#duePpm -= PPM
    return true
  }

  /**
   * Holds the instant until which what has come is spread at the quota's rate (the generic cell rate algorithm of ITU-T
   * I.371, virtual scheduling): who would come further ahead of it than the burst allows is turned away.
   */
  #take(place: number, requestsPerS: number, nowNs: bigint): boolean {
    const apartNs = BigInt(Math.round((NS_PER_S * (this.#words[TASKS] || 1)) / requestsPerS))
    for (;;) {
      const spreadNs = Atomics.load(this.#instants, place)
      if (spreadNs > nowNs + BURST_NS) return false
      const nextNs = (spreadNs < nowNs ? nowNs : spreadNs) + apartNs
      if (Atomics.compareExchange(this.#instants, place, spreadNs, nextNs) === spreadNs) return true
    }
  }
}
