/** Log lines from a bid thread: posted to the control thread, bounded per second, and counted when left out. */
import { LIMITS } from '../limits.ts'
import type { EventCode } from './events.ts'
import { cleanText, type LineDetails, type PlainDetails, plainDetails } from './log-text.ts'
import type { Logger, LogLevel } from './logger.ts'

/** One line as it is posted to the control thread. */
export interface ThreadLogMessage {
  readonly kind: 'log'
  readonly level: Exclude<LogLevel, 'fatal'>
  readonly code: EventCode
  readonly msg: string
  readonly details: PlainDetails
  /** Lines of this thread that were left out since the last one. */
  readonly leftOut: number
}

/** What a bid thread's log needs. */
export interface ThreadLogOptions {
  readonly post: (message: ThreadLogMessage) => void
  readonly monotonicMs: () => number
  /** Called for each line that is left out. */
  readonly onLoss: () => void
}

/** The log of a bid thread: at most LIMITS.threadLogLinesPerSecondMax lines in any one second of its clock. */
export class ThreadLog {
  readonly #options: ThreadLogOptions
  #second = Number.NEGATIVE_INFINITY
  #written = 0
  #leftOut = 0

  constructor(options: ThreadLogOptions) {
    this.#options = options
  }

  /** Posts a line or leaves it out. */
  write(level: ThreadLogMessage['level'], code: EventCode, msg: string, details: LineDetails = {}): void {
    const second = Math.floor(this.#options.monotonicMs() / 1_000)
    if (second !== this.#second) {
      this.#second = second
      this.#written = 0
    }
    if (this.#written >= LIMITS.threadLogLinesPerSecondMax) {
      this.#leftOut++
      this.#options.onLoss()
      return
    }
    this.#written++
    const leftOut = this.#leftOut
    this.#leftOut = 0
    const text = cleanText(msg, LIMITS.logTextCharsMax)
    this.#options.post({ kind: 'log', level, code, msg: text, details: plainDetails(details), leftOut })
  }
}

/** Writes a line that a bid thread posted. @param thread its name, such as `bid-1`. */
export function logFromThread(logger: Logger, thread: string, message: ThreadLogMessage): void {
  const { level, code, msg, details, leftOut } = message
  const left = leftOut > 0 ? { left_out: leftOut } : {}
  logger.plain(level, code, msg, { ...details, fields: { ...details.fields, ...left, thread } })
}
