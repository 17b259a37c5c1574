/** Wires a tenant's users on the control thread: the memory that bid threads look into, and who keeps it up to date. */
import { randomInt } from 'node:crypto'
import type { Config } from './config.ts'
import type { Clock } from './foundation/clock.ts'
import { LIMITS } from './limits.ts'
import { AudienceFolder } from './remote-cache/audience-folder.ts'
import { type AudienceEvent, AudienceFollower, audienceProblem } from './remote-cache/audience-follower.ts'
import type { AudienceIndex } from './remote-cache/audience-layout.ts'
import { type AudienceSource, RedisAudienceSource } from './remote-cache/audience-source.ts'
import { CopyKeeper } from './remote-cache/copy-keeper.ts'
import { DirectoryAudience } from './remote-cache/directory-audience.ts'
import { AudienceReader, type AudienceTurn } from './state/audience-reader.ts'
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
  /** Where the copy of the documents is, if one is wanted: users lie beside it. */
  readonly copyDirectory: string | undefined
  /** Resolves when no bid thread reads what was before. */
  readonly turn: (turn: AudienceTurn) => Promise<void>
}

/** The users of one task's tenant. */
export class TaskAudience {
  readonly memory: AudienceMemory
  /** This thread's view. */
  readonly reader: AudienceReader
  readonly #table: AudienceTable
  readonly #source: AudienceSource
  readonly #follower: AudienceFollower
  readonly #keeper: CopyKeeper<AudienceIndex> | undefined
  /** Users that may not come back; undefined before the first look, which cannot tell when they were forgotten. */
  #forgotten: number | undefined

  constructor({ config, clock, log, recorder, limitBytes, copyDirectory, turn }: AudienceOptions) {
    this.memory = createAudienceMemory(limitBytes / 2)
    this.reader = new AudienceReader(this.memory)
    this.#table = new AudienceTable(this.memory)
    this.#source = openSource(config, clock)
    // Users in files are on the disk as they are.
    const copy =
      copyDirectory === undefined || config.stateUrl.startsWith('file:')
        ? undefined
        : new AudienceFolder(`${copyDirectory}.users`)
    this.#keeper = copy && this.#keeperOf(copy, log)
    this.#follower = new AudienceFollower({
      ...{ source: this.#source, table: this.#table, clock, pollMs: config.statePollMs },
      ...(copy === undefined ? {} : { copy }),
      checkMs: config.stateCheckMin * 60_000,
      turn: async next => {
        await turn(next)
        this.reader.turn(next)
      },
      pickIndex: count => randomInt(count),
      admit: index =>
        audienceProblem(index, {
          ...{ limitBytes, residentBytes: process.memoryUsage.rss(), heldBytes: this.#table.bytes },
        }),
      onEvent: event => {
        tell(event, log, recorder)
        if (event.kind !== 'audience-loaded') return
        this.#keeper?.note(event.index)
        this.#auditForgotten(event.index, log)
      },
    })
  }

  #keeperOf(copy: AudienceFolder, log: Logger): CopyKeeper<AudienceIndex> {
    return new CopyKeeper({
      copy: index => copy.take(this.#source, index),
      delayMs: LIMITS.stateCopyDelayMs,
      onFailure: error => log.error('state-copy-failed', 'users: the copy before stays', { error }),
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

  /** Who asked is known to whoever forgot them: a task sees that there are more. */
  #auditForgotten({ number, forgotten }: { readonly number: number; readonly forgotten: number }, log: Logger): void {
    const more = forgotten - (this.#forgotten ?? forgotten)
    this.#forgotten = forgotten
    if (more <= 0) return
    const resource = `${more} of the users, change ${number}`
    log.audit({ actor: 'publisher', action: 'forget', resource, decision: 'allowed' })
  }

  start(): void {
    this.#follower.start()
  }

  /** Ends at once. */
  async stop(): Promise<void> {
    this.#keeper?.stop()
    this.#source.close()
    await this.#follower.stop()
  }
}

function tell(event: AudienceEvent, log: Logger, recorder: Recorder): void {
  switch (event.kind) {
    case 'audience-loaded':
      recorder.count(COUNTER.audienceLoads)
      log.info('audience-loaded', "the tenant's users as they are now serve", { fields: fieldsOf(event) })
      return
    case 'audience-copy-serves': {
      const fields = { ...fieldsOf(event), copied_at: event.copiedAt }
      log.error('state-copy-serves', 'the cache is away; an old copy of users from the disk serves', { fields })
      return
    }
    case 'audience-copy-unusable':
      log.error('state-copy-failed', `users: ${event.message}`)
      return
    case 'audience-refused':
      recorder.count(COUNTER.audienceRefusals)
      log.error('audience-refused', event.message, { fields: { change: event.change } })
      return
    case 'audience-checked':
      tellChecked(event, log, recorder)
      return
    case 'audience-check-failed':
      log.error('state-check-failed', event.message)
  }
}

function fieldsOf(taken: Extract<AudienceEvent, { kind: 'audience-loaded' | 'audience-copy-serves' }>) {
  const { index, users, sets, shards, bytes } = taken
  const [fetch_ms, total_ms] = [Math.round(taken.fetchMs), Math.round(taken.totalMs)]
  const fields = { change: String(index.number), users, sets, shards, bytes, fetch_ms, total_ms }
  return fields
}

function tellChecked(
  { shards, shardsReplaced, totalMs }: Extract<AudienceEvent, { kind: 'audience-checked' }>,
  log: Logger,
  recorder: Recorder,
): void {
  const fields = { shards, shards_replaced: shardsReplaced, total_ms: Math.round(totalMs) }
  if (shardsReplaced === 0) {
    log.info('state-checked', 'the users that serve are those that the cache has', { fields })
    return
  }
  recorder.count(COUNTER.stateDivergences)
  log.error('state-diverged', 'users that served were not those that the cache has; they were replaced', { fields })
}

function openSource({ stateUrl: url, tenantId, cacheTimeoutMs: timeoutMs }: Config, { nowMs }: Clock): AudienceSource {
  const pickIndex = (count: number) => randomInt(count)
  const word = () => randomInt(2 ** 32)
  if (url.startsWith('file:')) return new DirectoryAudience(url, [word(), word()], nowMs)
  return new RedisAudienceSource({ url, tenantId, timeoutMs, pickIndex })
}
