/** Sends what a task has to say to its ledger, one step after another, for as long as it takes. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { PickIndex } from '../foundation/random.ts'
import type { Ledger } from '../spend/ledger.ts'
import type { TaskLedger, ToSend } from '../spend/task-ledger.ts'

/** What the driver needs. */
export interface LedgerDriverOptions {
  readonly ledger: Ledger
  readonly task: TaskLedger
  readonly monotonicMs: () => number
  readonly pickIndex: PickIndex
  /** Told of every failure to reach the ledger, and of every answer after one. */
  readonly onReached: (reached: boolean, error?: unknown) => void
  /** For how long it does not look for what nobody hurries it for; IDLE_MS without it. */
  readonly idleMs?: number
}

const IDLE_MS = 20
/** In which more may come that goes along: a script costs the cache as much as two bookings. */
const GATHER_MS = 2
const RETRY_MS_MIN = 20
const RETRY_MS_MAX = 1_000

/** One loop. It never rejects: a ledger that cannot be reached is asked again after a pause that grows. */
export class LedgerDriver {
  readonly #options: LedgerDriverOptions
  #failures = 0
  #stopped = false
  #ended: Promise<void> | undefined
  #pause: NodeJS.Timeout | undefined
  /** While there is nothing to send. */
  #endPause: (() => void) | undefined
  #isHurried = false

  constructor(options: LedgerDriverOptions) {
    this.#options = options
  }

  /** Begins to send. */
  start(): void {
    this.#ended ??= this.#run()
  }

  /** Resolves when nothing is sent any more; what waits then stays unsent. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#endPause?.()
    await this.#ended
  }

  /** Somebody waits for what there is to send now, as an exchange for a notice: it goes in a moment. */
  hurry(): void {
    if (this.#endPause === undefined || this.#isHurried) return
    this.#isHurried = true
    clearTimeout(this.#pause)
    this.#pause = setTimeout(this.#endPause, GATHER_MS)
  }

  async #run(): Promise<void> {
    const { task, monotonicMs } = this.#options
    while (!this.#stopped) {
      const sent = task.next(monotonicMs())
      if (sent === undefined && this.#failures === 0) await this.#idle()
      else if (sent === undefined || !(await this.#send(sent))) await sleep(this.#pauseMs())
    }
  }

  #idle(): Promise<void> {
    this.#isHurried = false
    return new Promise(resolve => {
      this.#endPause = () => {
        clearTimeout(this.#pause)
        this.#endPause = undefined
        resolve()
      }
      this.#pause = setTimeout(this.#endPause, this.#options.idleMs ?? IDLE_MS)
    })
  }

  /** @returns false when there is nothing to gain from sending at once again */
  async #send(sent: ToSend): Promise<boolean> {
    const { ledger, task, monotonicMs, onReached } = this.#options
    try {
      let goesOn = true
      if (sent.kind === 'rebuild') task.rebuilt((await ledger.rebuild(sent.witness)).epoch)
      else if (sent.kind === 'book') {
        const answers = await ledger.book(sent.caller, sent.bookings)
        task.booked(sent.bookings, answers, monotonicMs())
        goesOn = !('kind' in answers) || answers.kind !== 'rebuilding'
      } else {
        const answer = await ledger.apply(sent.caller, sent.operation)
        task.answered(sent.operation, answer, monotonicMs())
        goesOn = answer.kind !== 'rebuilding'
      }
      if (this.#failures > 0) onReached(true)
      this.#failures = 0
      return goesOn
    } catch (error) {
      this.#failures++
      onReached(false, error)
      return false
    }
  }

  #pauseMs(): number {
    if (this.#failures === 0) return IDLE_MS
    return 1 + this.#options.pickIndex(Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(this.#failures, 10)))
  }
}
