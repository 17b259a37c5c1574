/** Which versions of a tenant are stored, and moving its announcement between them: pin, unpin, roll back. */
import type { ChainableCommander, Redis } from 'ioredis'
import { type Clock, systemClock } from '../foundation/clock.ts'
import { lastDelta } from './deltas.ts'
import {
  ANNOUNCEMENT_FIELDS,
  chainText,
  parseAnnouncement,
  type StateKeys,
  stateKeys,
  type VersionRecord,
} from './layout.ts'
import { type Announcement, SourceError } from './source.ts'

/** One version that is stored. */
export interface StoredVersion {
  readonly version: string
  readonly record: VersionRecord
}

/** What the cache holds of a tenant, as of one moment between two changes. */
export interface StoredVersions {
  readonly announced: Announcement | undefined
  /** A pinned announcement keeps its version until it is unpinned: a publish stores, and changes only the number. */
  readonly pinned: boolean
  /** Newest first. */
  readonly versions: readonly StoredVersion[]
}

/** What a person wants to have announced. Roll back = the version before the announced one; it is not pinned. */
export type Move =
  | { readonly kind: 'pin'; readonly version: string }
  | { readonly kind: 'unpin' }
  | { readonly kind: 'rollback' }

/** What an announcement became. */
export interface Moved {
  readonly from: Announcement | undefined
  readonly to: Announcement
  readonly pinned: boolean
}

/** Why an announcement is not moved. Nothing was changed. */
const VERSION_ERRORS = {
  'version-unknown': { meaning: 'The version is not among those that are stored.' },
  'nothing-pinned': { meaning: 'There is no pin to take away.' },
  'nothing-older': { meaning: 'No version before the announced one is stored.' },
  'pin-stands': { meaning: 'A pinned version is not rolled back.' },
} as const

/** A wish that cannot be met; the message names the remedy. */
export class VersionError extends Error {
  override readonly name = 'VersionError'
  readonly code: keyof typeof VERSION_ERRORS

  constructor(code: keyof typeof VERSION_ERRORS, remedy: string) {
    super(`${VERSION_ERRORS[code].meaning} ${remedy}`)
    this.code = code
  }
}

/** Tries of a transaction that others interfere with. Each loser means that somebody else has won. */
export const ANNOUNCE_TRIES_MAX = 10

/**
 * Reads what is stored. Cost: O(versions), which are LIMITS.versionsKeptMax or few more.
 * @throws SourceError `cache-answer` for a record that is not of our layout
 */
export async function storedVersions(redis: Redis, keys: StateKeys): Promise<StoredVersions> {
  const fields = await redis.hmget(keys.announced, ...ANNOUNCEMENT_FIELDS, 'pinned')
  const pinned = fields.pop()
  const texts = Object.entries(await redis.hgetall(keys.versions))
  const versions = texts.map(([name, text]) => ({ version: name, record: parseRecord(name, text) }))
  versions.sort((left, right) => right.record.number - left.record.number)
  return { announced: parseAnnouncement(fields), pinned: pinned === '1', versions }
}

/** Bytes of all versions together, with what is compiled. */
export function bytesStored({ versions }: StoredVersions): number {
  return versions.reduce((sum, { record }) => sum + (record.storedBytes ?? record.bytes), 0)
}

function parseRecord(version: string, text: string): VersionRecord {
  let value: Partial<VersionRecord> | null = null
  try {
    value = JSON.parse(text) as Partial<VersionRecord> | null
  } catch {
    // Told below, as what is JSON and no record.
  }
  if (!Number.isSafeInteger(value?.number) || typeof value?.chunks !== 'object' || value.chunks === null)
    throw new SourceError('cache-answer', `the record of version ${version.slice(0, 64)} is ${text.slice(0, 100)}`)
  return value as VersionRecord
}

/**
 * Which version a move leads to. Pure.
 * @throws VersionError
 */
function planMove({ announced, pinned, versions }: StoredVersions, move: Move): string {
  switch (move.kind) {
    case 'pin':
      if (!versions.some(({ version }) => version === move.version))
        throw new VersionError(
          'version-unknown',
          `Given: ${move.version}; \`npm run state -- list\` shows those stored.`,
        )
      return move.version
    case 'unpin': {
      const newest = versions[0]?.version
      if (!pinned || newest === undefined) throw new VersionError('nothing-pinned', 'Nothing has to be done.')
      return newest
    }
    case 'rollback': {
      if (pinned) throw new VersionError('pin-stands', 'Pin the version that is wanted, or unpin first.')
      const at = versions.findIndex(({ version }) => version === announced?.version)
      const older = at < 0 ? undefined : versions[at + 1]
      if (older === undefined) throw new VersionError('nothing-older', 'Publish the documents that are wanted.')
      return older.version
    }
  }
}

/**
 * Moves the announcement in one transaction. Tasks see a new number, so that a version that they refused is tried
 * once more. @throws VersionError, SourceError `version-incomplete` where the manifest is gone, or the connection's
 */
export async function moveAnnouncement(
  redis: Redis,
  tenantId: string,
  move: Move,
  clock: Clock = systemClock,
): Promise<Moved> {
  const keys = stateKeys(tenantId)
  for (let tries = 0; tries < ANNOUNCE_TRIES_MAX; tries++) {
    // Watched: a publish announces, and removes old versions.
    await redis.watch(keys.announced, keys.versions)
    const stored = await storedVersions(redis, keys)
    const version = await wantedVersion(redis, keys, { stored, move })
    const number = (stored.announced?.number ?? 0) + 1
    const pinned = move.kind === 'pin'
    const at = new Date(clock.nowMs()).toISOString()
    const deltas = chainText(version, await lastDelta(redis, keys.deltas(version)))
    const fields = ['number', number, 'version', version, 'at', at, 'pinned', pinned ? '1' : '0', 'deltas', deltas]
    // Whoever moves it by hand has looked.
    if (await executed(redis.multi().hset(keys.announced, ...fields, 'meant', version)))
      return { from: stored.announced, to: { number, version }, pinned }
  }
  throw new SourceError('cache-answer', `others announced ${ANNOUNCE_TRIES_MAX} times meanwhile`)
}

/** As planMove, and the version is there. Ends the watch when it throws. */
async function wantedVersion(
  redis: Redis,
  keys: StateKeys,
  { stored, move }: { readonly stored: StoredVersions; readonly move: Move },
): Promise<string> {
  try {
    const version = planMove(stored, move)
    if ((await redis.exists(keys.manifest(version))) === 1) return version
    throw new SourceError('version-incomplete', `${version} has lost its manifest; pin another`)
  } catch (error) {
    await redis.unwatch()
    throw error
  }
}

/**
 * Runs a transaction. @returns false when a watched key had changed, so that nothing was done.
 * @throws the first error among its answers
 */
export async function executed(transaction: ChainableCommander): Promise<boolean> {
  const answers = await transaction.exec()
  if (answers === null) return false
  for (const [error] of answers) if (error !== null) throw error
  return true
}
