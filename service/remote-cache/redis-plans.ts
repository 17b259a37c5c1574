/**
 * What plans need of other tasks and days, in the remote cache. Losing it costs a day of learning, and no money.
 *
 *   t:{acme}:spend:rates:<day>    hash   owner of a plan → rate, when it was told (ms), by whom; of a day in UTC
 *   t:{acme}:spend:traffic        hash   whole hours since 1970 → opportunities of all tasks
 */
import { randomBytes } from 'node:crypto'
import { LIMITS } from '../limits.ts'
import type { PlanBoard } from '../spend/plan-board.ts'
import { CacheConnection, type ConnectionOptions } from './connection.ts'
import { spendPrefix } from './layout.ts'

const DAY_MS = 86_400_000
/** An older rate is that of another hour. Clocks of tasks may differ by less. */
const FRESH_MS = 60_000
const RATES_AT_ONCE = 1_000

/** Some round trips each. Everything rejects with a SourceError. */
export class RedisPlans implements PlanBoard {
  readonly #connection: CacheConnection
  readonly #prefix: string
  /** Whoever tells: a task does not agree with itself. */
  readonly #name = randomBytes(4).toString('hex')

  constructor(options: ConnectionOptions & { readonly tenantId: string }) {
    this.#connection = new CacheConnection(options)
    this.#prefix = spendPrefix(options.tenantId)
  }

  async exchange(rates: ReadonlyMap<string, number | undefined>, nowMs: number): Promise<ReadonlyMap<string, number>> {
    const key = `${this.#prefix}rates:${Math.floor(nowMs / DAY_MS)}`
    const all = [...rates]
    const told = new Map<string, number>()
    for (let from = 0; from < all.length; from += RATES_AT_ONCE) {
      const some = all.slice(from, from + RATES_AT_ONCE)
      const owners = some.map(([owner]) => owner)
      const own = some.flatMap(([owner, rate]) => (rate === undefined ? [] : [owner, `${rate} ${nowMs} ${this.#name}`]))
      const [texts] = await this.#connection.run(redis =>
        Promise.all([
          redis.hmget(key, ...owners),
          own.length > 0 && redis.hset(key, ...own),
          redis.pexpire(key, 2 * DAY_MS),
        ]),
      )
      for (const [i, text] of texts.entries()) {
        const [rate = '', atMs = '', name = ''] = (text ?? '').split(' ')
        if (name === '' || name === this.#name || Math.abs(nowMs - Number(atMs)) > FRESH_MS) continue
        told.set(owners[i] as string, Math.min(1, Math.max(0, Number(rate) || 0)))
      }
    }
    return told
  }

  async addTraffic(hour: number, opportunities: number): Promise<ReadonlyMap<number, number>> {
    const key = `${this.#prefix}traffic`
    const fields = await this.#connection.run(async redis => {
      await redis.hincrby(key, String(hour), opportunities)
      return await redis.hgetall(key)
    })
    const old = Object.keys(fields).filter(field => Number(field) <= hour - LIMITS.trafficHoursKept)
    if (old.length > 0) await this.#connection.run(redis => redis.hdel(key, ...old))
    return new Map(Object.entries(fields).map(([field, count]) => [Number(field), Number(count)]))
  }

  /** Closes the connection at once. May be called twice. */
  close(): void {
    this.#connection.close()
  }
}
