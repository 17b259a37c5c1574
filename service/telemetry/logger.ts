/**
 * The log: one JSON object per line on stdout, with the task's identity on every one. Only the control thread has a
 * logger; bid threads post their few lines to it (thread-log.ts).
 */
import { pino } from 'pino'
import type { Clock } from '../foundation/clock.ts'
import { LIMITS } from '../limits.ts'
import { type EventCode, remedyOf } from './events.ts'
import { LineDestination } from './line-destination.ts'
import type { AuditEntry } from './log-fields.ts'
import { cleanText, cutLine, type LineDetails, type PlainDetails, plainDetails } from './log-text.ts'

/** Who and where the task is. Each is on every line as far as it is known. */
export interface Identity {
  readonly tenant_id?: string | undefined
  readonly tier_id?: string | undefined
  readonly region?: string | undefined
  readonly cell_id?: string | undefined
  readonly infra_group_id?: string | undefined
  readonly task_id?: string | undefined
}

/** Severity of a line. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'fatal'
/** Why a line was not written, as the metric counts it. */
type Loss = 'buffer-full' | 'repeated'

/** What a logger needs. */
export interface LoggerOptions {
  readonly identity: Identity
  /** Least severe line that is written. */
  readonly level: Exclude<LogLevel, 'fatal'>
  readonly clock: Clock
  /** Called for each line that is not written. */
  readonly onLoss?: (loss: Loss) => void
  /** Told each line of the log, metrics apart, that is written; without its end. */
  readonly onLine?: (line: string) => void
  /** Default: stdout. */
  readonly fd?: number
}

/** Lines of one code in the running period. */
interface Repeats {
  written: number
  leftOut: number
}

/** Writes lines; never blocks and never throws. Make one per process. */
export class Logger {
  readonly #options: LoggerOptions
  readonly #destination: LineDestination
  readonly #pino: pino.Logger
  /** At any LOG_LEVEL: whoever watches over a task wants its audit stream whole. */
  readonly #audits: pino.Logger
  /** By code; of audit lines by action. */
  readonly #repeats = new Map<string, Repeats>()
  #periodStartMs: number
  #identity: Identity

  constructor(options: LoggerOptions) {
    this.#options = options
    this.#identity = knownOf(options.identity)
    this.#periodStartMs = options.clock.monotonicMs()
    this.#destination = new LineDestination({
      fd: options.fd ?? 1,
      bufferBytesMax: LIMITS.logBufferBytesMax,
      onDrop: () => options.onLoss?.('buffer-full'),
      onRoomAgain: dropped => this.#write('warn', 'lines-dropped', 'lines were dropped', { fields: { dropped } }),
    })
    this.#pino = pino(
      {
        level: options.level,
        base: null,
        timestamp: () => `,"time":"${new Date(options.clock.nowMs()).toISOString()}"`,
        formatters: { level: label => ({ level: label }) },
        mixin: () => this.#identity,
        // The identity is ours: it wins over a field of the same name.
        mixinMergeStrategy: (line, identity) => ({ ...identity, ...line, ...identity }),
      },
      { write: line => this.#writeEntry(line) },
    )
    this.#audits = this.#pino.child({}, { level: 'info' })
  }

  /** Something to look at while searching. */
  debug(code: EventCode, msg: string, details: LineDetails = {}): void {
    this.#limited('debug', code, msg, plainDetails(details))
  }

  /** Something that happened as it should. */
  info(code: EventCode, msg: string, details: LineDetails = {}): void {
    this.#limited('info', code, msg, plainDetails(details))
  }

  /** Something that an operator should know. */
  warn(code: EventCode, msg: string, details: LineDetails = {}): void {
    this.#limited('warn', code, msg, plainDetails(details))
  }

  /** Something that an operator must look at. */
  error(code: EventCode, msg: string, details: LineDetails = {}): void {
    this.#limited('error', code, msg, plainDetails(details))
  }

  /** Why the process ends. Never left out. */
  fatal(code: EventCode, msg: string, details: LineDetails = {}): void {
    this.#write('fatal', code, msg, plainDetails(details))
  }

  /** A line of the audit stream. Left out are only repeats of one action, far later than of other lines. */
  audit(entry: AuditEntry): void {
    if (!this.#counts(`audit ${entry.action}`, LIMITS.auditRepeatsMax)) return
    const { fields } = plainDetails({ fields: { ...entry } })
    this.#audits.info({ code: 'audit' satisfies EventCode, ...fields }, `${entry.action} ${entry.decision}`)
  }

  /** A line whose details are plain already, as a bid thread posts it. */
  plain(level: Exclude<LogLevel, 'fatal'>, code: EventCode, msg: string, details: PlainDetails): void {
    this.#limited(level, code, msg, details)
  }

  /** Writes a finished JSON object, such as a metrics line; it must carry the identity itself. */
  writeLine(json: string): void {
    const line = json.endsWith('\n') ? json.slice(0, -1) : json
    this.#destination.write(`${cutLine(line, LIMITS.logLineBytesMax - 1)}\n`)
  }

  #writeEntry(line: string): void {
    this.writeLine(line)
    this.#options.onLine?.(line.trimEnd())
  }

  /** What is on every line now. */
  get identity(): Identity {
    return this.#identity
  }

  /** Adds what has become known, such as the task id. */
  learn(more: Identity): void {
    this.#identity = { ...this.#identity, ...knownOf(more) }
  }

  /** Sums up what was left out and waits until all lines are written. @returns false when the limit came first. */
  async flush(limitMs: number): Promise<boolean> {
    this.#endPeriod()
    return await this.#destination.flush(limitMs)
  }

  /** Like flush, but blocks the thread: for the end of the process. */
  flushNow(limitMs: number): boolean {
    this.#endPeriod()
    return this.#destination.flushNow(limitMs)
  }

  /** Call it now and then (each metrics period does), so that left-out lines are summed up without a new line. */
  sumUpRepeats(): void {
    if (this.#options.clock.monotonicMs() - this.#periodStartMs >= LIMITS.logRepeatPeriodMs) this.#endPeriod()
  }

  #limited(level: Exclude<LogLevel, 'fatal'>, code: EventCode, msg: string, details: PlainDetails): void {
    if (this.#pino.isLevelEnabled(level) && this.#counts(code, LIMITS.logRepeatsMax))
      this.#write(level, code, msg, details)
  }

  /** Counts a line of a code, or of an action. @returns whether it may still be written in this period */
  #counts(key: string, linesMax: number): boolean {
    this.sumUpRepeats()
    const repeats = this.#repeats.get(key) ?? { written: 0, leftOut: 0 }
    this.#repeats.set(key, repeats)
    if (repeats.written < linesMax) {
      repeats.written++
      return true
    }
    repeats.leftOut++
    this.#options.onLoss?.('repeated')
    return false
  }

  #endPeriod(): void {
    this.#periodStartMs = this.#options.clock.monotonicMs()
    for (const [of_code, { leftOut: left_out }] of this.#repeats) {
      if (left_out === 0) continue
      this.#write('warn', 'repeated', 'further lines were left out', { fields: { of_code, left_out } })
    }
    this.#repeats.clear()
  }

  #write(level: LogLevel, code: EventCode, msg: string, details: PlainDetails): void {
    const remedy = level === 'warn' || level === 'error' || level === 'fatal' ? remedyOf(code) : undefined
    const { fields, untrusted } = details
    this.#pino[level]({ code, ...fields, remedy, untrusted }, cleanText(msg, LIMITS.logTextCharsMax))
  }
}

/** Only what is known, each shortened: an identity that comes from a wrong setting must not break the line. */
function knownOf(identity: Identity): Identity {
  const known = Object.entries(identity).filter(([, value]) => typeof value === 'string' && value !== '')
  return Object.fromEntries(known.map(([key, value]) => [key, cleanText(String(value), 64)]))
}

/** The identity as far as the environment tells it, for lines before the configuration is known to be right. */
export function identityFromEnv(env: Readonly<Record<string, string | undefined>>): Identity {
  return knownOf({
    tenant_id: env.TENANT_ID,
    tier_id: env.TIER_ID,
    region: env.REGION,
    cell_id: env.CELL_ID,
    infra_group_id: env.INFRA_GROUP_ID,
  })
}

/** One line per problem of the configuration, written before it returns. The caller ends the process with 78. */
export function logConfigProblems(logger: Logger, problems: readonly string[]): void {
  for (const problem of problems) logger.fatal('config-invalid', problem)
  logger.flushNow(LIMITS.metricsTimeoutMs)
}

/**
 * Turns errors that nobody caught, rejections included, into one fatal line, and ends the process with 1. What V8
 * itself prints when it dies goes to stderr and is not ours.
 */
export function installCrashLines(logger: Logger): void {
  process.on('uncaughtException', (error, origin) => {
    try {
      logger.fatal('crash', 'the process ends', { error, fields: { origin } })
      logger.flushNow(LIMITS.metricsTimeoutMs)
    } finally {
      process.exit(1)
    }
  })
}

/** Turns what Node warns of into lines; by itself it writes texts to stderr. That something is young is no news. */
export function installWarningLines(logger: Logger): void {
  process.removeAllListeners('warning')
  process.on('warning', ({ name, message }) => {
    const level = name === 'ExperimentalWarning' ? 'debug' : 'warn'
    logger[level]('runtime-warning', 'Node warns', { fields: { detail: `${name}: ${message}` } })
  })
}
