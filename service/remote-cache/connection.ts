import { Redis } from 'ioredis'
import type { PickIndex } from '../foundation/random.ts'
import { SourceError, type SourceErrorCode } from './source.ts'

/** How to reach the remote cache. */
export interface ConnectionOptions {
  /** redis:// or rediss://, with user and password where needed. For a private authority set NODE_EXTRA_CA_CERTS. */
  readonly url: string
  /** A command without an answer after this has failed; a connection that is silent so long is replaced. */
  readonly timeoutMs: number
  readonly pickIndex: PickIndex
}

const CONNECT_TIMEOUT_MS = 2_000
const RECONNECT_MS_MIN = 50
/** A cache that returns is found within this; with the refresher's own retry and a load it must stay below 2 s. */
const RECONNECT_MS_MAX = 750

/** One connection to the remote cache that comes back by itself, keeps nothing for later and repeats nothing. */
export class CacheConnection {
  readonly redis: Redis
  readonly #timeoutMs: number
  /** The last thing the socket said: commands that fail later only know that there is no connection. */
  #lastError: unknown
  /** Ends the wait of those who wait for a connection. */
  readonly #waiting = new Set<() => void>()
  #closed = false

  constructor({ url, timeoutMs, pickIndex }: ConnectionOptions) {
    this.#timeoutMs = timeoutMs
    this.redis = new Redis(url, {
      lazyConnect: true,
      // RESP2 and no CLIENT, INFO or HELLO: the cache user needs no right to them.
      protocol: 2,
      disableClientInfo: true,
      enableReadyCheck: false,
      // A command that cannot be sent now fails now, and is never sent twice.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      connectTimeout: CONNECT_TIMEOUT_MS,
      commandTimeout: timeoutMs,
      socketTimeout: timeoutMs,
      retryStrategy: times => 1 + pickIndex(Math.min(RECONNECT_MS_MAX, RECONNECT_MS_MIN * 2 ** Math.min(times, 10))),
    })
    this.redis.on('error', error => {
      this.#lastError = error
    })
    this.redis.on('ready', () => {
      this.#lastError = undefined
    })
  }

  /**
   * Runs commands once there is a connection. While there is none, waits for the outcome of the next attempt, not
   * longer. @throws SourceError whatever happens
   */
  async run<T>(commands: (redis: Redis) => Promise<T>): Promise<T> {
    try {
      await this.#ready()
      return await commands(this.redis)
    } catch (error) {
      throw this.coded(error)
    }
  }

  /** Names an error that a command of this connection gave, without anything secret in it. */
  coded(error: unknown): SourceError {
    if (error instanceof SourceError) return error
    const code = codeOf(error)
    if (code !== 'cache-unreachable' || this.#lastError === undefined) return new SourceError(code, messageOf(error))
    // The reason for having no connection says more than its absence. Only its text: the object may hold a password.
    return new SourceError(codeOf(this.#lastError), messageOf(this.#lastError))
  }

  /** Closes the connection at once. May be called twice. */
  close(): void {
    this.#closed = true
    this.redis.disconnect()
    // Between two attempts to connect, the client ends without an event.
    for (const fail of this.#waiting) fail()
  }

  #ready(): Promise<void> {
    const { redis } = this
    if (this.#closed) return Promise.reject(new SourceError('cache-unreachable', 'the connection is closed'))
    if (redis.status === 'ready') return Promise.resolve()
    return new Promise((resolve, reject) => {
      const settle = (outcome: () => void) => () => {
        clearTimeout(timer)
        this.#waiting.delete(fail)
        redis.off('ready', succeed)
        redis.off('close', fail)
        redis.off('end', fail)
        outcome()
      }
      const succeed = settle(resolve)
      const fail = settle(() => reject(new Error('no connection')))
      const timer = setTimeout(fail, this.#timeoutMs)
      this.#waiting.add(fail)
      redis.once('ready', succeed)
      redis.once('close', fail)
      redis.once('end', fail)
      // The outcome arrives as an event, too; the promise only must not go unhandled.
      if (redis.status === 'wait' || redis.status === 'end') redis.connect().catch(fail)
    })
  }
}

/** Answers that mean "not now": the server starts, fails over or is busy. */
const NOT_NOW = /^(LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY|READONLY|UNBLOCKED|ERR max number of clients)/
const DENIED = /^(NOPERM|NOAUTH|WRONGPASS)/

function codeOf(error: unknown): SourceErrorCode {
  if (!(error instanceof Error)) return 'cache-unreachable'
  if (DENIED.test(error.message)) return 'cache-denied'
  return error.name === 'ReplyError' && !NOT_NOW.test(error.message) ? 'cache-answer' : 'cache-unreachable'
}

function messageOf(error: unknown): string {
  if (error instanceof AggregateError) return [...new Set(error.errors.map(messageOf))].join(', ')
  return error instanceof Error ? error.message : String(error)
}
