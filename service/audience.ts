/** Wires a tenant's users on the control thread: the memory that bid threads look into, and who keeps it up to date. */
import { randomInt } from 'node:crypto'
import type { Config } from './config.ts'
import type { Clock } from './foundation/clock.ts'
import { type AudienceEvent, AudienceFollower, audienceProblem } from './remote-cache/audience-follower.ts'
import { type AudienceSource, RedisAudienceSource } from './remote-cache/audience-source.ts'
import { DirectoryAudience } from './remote-cache/directory-audience.ts'
import type { AudienceTurn } from './state/audience-reader.ts'
import { type AudienceMemory, AudienceTable, createAudienceMemory } from './state/audience-table.ts'
import type { Logger } from './telemetry/logger.ts'
import type { Recorder, TaskGauges } from './telemetry/recorder.ts'
import { COUNTER } from './telemetry/signals.ts'

/** What users need of the control thread. */
export interface AudienceOptions {
  readonly config: Config
  readonly clock: Clock
  readonly log: Logger
  readonly recorder: Recorder
  /** The task's memory limit. */
  readonly limitBytes: number
  /** Resolves when no bid thread reads what was before. */
  readonly turn: (turn: AudienceTurn) => Promise<void>
}

/** The users of one task's tenant. */
export class TaskAudience {
  readonly memory: AudienceMemory
  readonly #table: AudienceTable
  readonly #source: AudienceSource
  readonly #follower: AudienceFollower

  constructor({ config, clock, log, recorder, limitBytes, turn }: AudienceOptions) {
    this.memory = createAudienceMemory(limitBytes / 2)
    this.#table = new AudienceTable(this.memory)
    this.#source = openSource(config, clock)
    this.#follower = new AudienceFollower({
      ...{ source: this.#source, table: this.#table, turn, clock, pollMs: config.statePollMs },
      pickIndex: count => randomInt(count),
      admit: index =>
        audienceProblem(index, {
          ...{ limitBytes, residentBytes: process.memoryUsage.rss(), heldBytes: this.#table.bytes },
        }),
      onEvent: event => tell(event, log, recorder),
    })
  }

  /** Resolves when the users that there are serve, or cannot be had. */
  get opened(): Promise<void> {
    return this.#follower.opened
  }

  /** What metrics show. */
  get gauges(): TaskGauges {
    const { users, bytes, sets } = this.#table
    return { audienceUsers: users, audienceBytes: bytes, audienceSets: sets.count, audienceSetBytes: sets.bytes }
  }

  start(): void {
    this.#follower.start()
  }

  /** Ends at once. */
  async stop(): Promise<void> {
    this.#source.close()
    await this.#follower.stop()
  }
}

function tell(event: AudienceEvent, log: Logger, recorder: Recorder): void {
  if (event.kind === 'audience-refused') {
    recorder.count(COUNTER.audienceRefusals)
    log.error('audience-refused', event.message, { fields: { change: event.change } })
    return
  }
  recorder.count(COUNTER.audienceLoads)
  const { number, users, sets, shards, bytes } = event
  const [fetch_ms, total_ms] = [Math.round(event.fetchMs), Math.round(event.totalMs)]
  const fields = { change: String(number), users, sets, shards, bytes, fetch_ms, total_ms }
  log.info('audience-loaded', "the tenant's users as they are now serve", { fields })
}

function openSource({ stateUrl: url, tenantId, cacheTimeoutMs: timeoutMs }: Config, { nowMs }: Clock): AudienceSource {
  const pickIndex = (count: number) => randomInt(count)
  const word = () => randomInt(2 ** 32)
  if (url.startsWith('file:')) return new DirectoryAudience(url, [word(), word()], nowMs)
  return new RedisAudienceSource({ url, tenantId, timeoutMs, pickIndex })
}
