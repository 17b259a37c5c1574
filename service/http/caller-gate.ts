import { LIMITS } from '../limits.ts'
import type { Recorder } from '../telemetry/recorder.ts'
import { type CallerRefusal, callerCounter } from '../telemetry/signals.ts'
import { type CallerRule, callerNetwork } from './caller-rule.ts'
import type { HttpCall } from './http-call.ts'

/** Who called as an exchange and did not show to be it. */
export interface RefusedCaller {
  readonly exchange: string
  readonly cause: CallerRefusal
  /** See networkOf. */
  readonly network: string
}

/** What the gate needs of its bid thread. */
export interface CallerGateDeps {
  readonly recorder: Recorder
  /** Proxies before us, see CallerRule. */
  readonly forwardedHops: number
  readonly monotonicMs: () => number
  /** Told of a refused caller, once per exchange in LIMITS.callerLinePauseMs: all are counted. */
  readonly onRefused: (refused: RefusedCaller) => void
}

/** Lets in who shows to be the exchange, counts the others, and tells of them now and then. */
export class CallerGate {
  readonly #deps: CallerGateDeps
  readonly #toldMs = new Map<string, number>()

  constructor(deps: CallerGateDeps) {
    this.#deps = deps
  }

  /** @param pathSecret what stands behind the exchange in the path, undefined when nothing does */
  lets(call: HttpCall, exchange: string, rule: CallerRule, pathSecret: string | undefined): boolean {
    const { recorder, forwardedHops, monotonicMs, onRefused } = this.#deps
    const proof = { rawHeaders: call.rawHeaders, peer: call.peer, pathSecret }
    const cause = rule.refusal(proof, forwardedHops)
    if (cause === undefined) return true
    recorder.count(callerCounter(cause))
    const nowMs = monotonicMs()
    if (nowMs >= (this.#toldMs.get(exchange) ?? Number.NEGATIVE_INFINITY) + LIMITS.callerLinePauseMs) {
      this.#toldMs.set(exchange, nowMs)
      onRefused({ exchange, cause, network: callerNetwork(proof, forwardedHops) })
    }
    return false
  }
}
