/** `npm run state -- list | pin VERSION | unpin | rollback | diff A B`: the versions that a tenant has in the cache. */
import { stateKeys } from '../remote-cache/layout.ts'
import { RedisSource } from '../remote-cache/redis-source.ts'
import { SourceError } from '../remote-cache/source.ts'
import { differenceOf, type RecordDifference } from '../remote-cache/version-difference.ts'
import { bytesStored, type Move, moveAnnouncement, storedVersions, VersionError } from '../remote-cache/versions.ts'
import {
  CACHE_UNREACHABLE,
  type CacheOptions,
  connectionOptions,
  withCache,
  withCacheOptions,
} from './cache-arguments.ts'
import { CommandProblem, EXIT, newCommand, runCommand, table } from './terminal.ts'

const MIB = 1024 * 1024
const DIFFERENCES_SHOWN = 50
const MARKS = { added: '+', removed: '-', changed: '~' } as const
const codes = `0 done · 1 versions differ (diff) · 2 usage, nothing changed · ${CACHE_UNREACHABLE} cache unreachable`

const command = newCommand('state', 'Lists, pins and compares the versions of a tenant that are in the remote cache.')
command.addHelpText('after', `\nExit codes: ${codes}`)

function subcommand(name: string, about: string) {
  return withCacheOptions(command.command(name).description(about)).exitOverride()
}

subcommand('list', 'shows what is stored, and what of it is announced').action(list)
subcommand('pin', 'announces a stored version, and keeps to it whatever is published')
  .argument('<version>', 'as `list` shows it')
  .action((version: string, options: CacheOptions) => move({ kind: 'pin', version }, options))
subcommand('unpin', 'takes the pin away and announces the newest version').action((options: CacheOptions) =>
  move({ kind: 'unpin' }, options),
)
subcommand('rollback', 'announces the version before the announced one; the next publish counts again').action(
  (options: CacheOptions) => move({ kind: 'rollback' }, options),
)
subcommand('diff', 'shows which records B has added, removed and changed since A, without their deltas')
  .argument('<A>', 'the older version')
  .argument('<B>', 'the newer version')
  .action(diff)

async function list(options: CacheOptions): Promise<void> {
  await withCache(options, async connection => {
    const stored = await connection.run(redis => storedVersions(redis, stateKeys(options.tenant)))
    const { announced, pinned, versions } = stored
    if (announced === undefined) console.log(`Nothing was ever announced for ${options.tenant}.`)
    if (versions.length === 0) return
    const rows = versions.map(({ version, record }) => {
      const isAnnounced = version === announced?.version
      const state = !isAnnounced ? '' : pinned ? 'announced, pinned' : 'announced'
      const deltas = isAnnounced ? String(announced?.deltas?.length ?? 0) : ''
      const { createdAt, number, records, bytes } = record
      return [version, createdAt, String(number), String(records), String(bytes), deltas, state]
    })
    console.log(table([['version', 'created', 'number', 'records', 'bytes', 'deltas', 'state'], ...rows]))
    const mib = (bytesStored(stored) / MIB).toFixed(1)
    console.log(`They take ${mib} MiB of the tenant's quota, with what is compiled of them.`)
  })
}

async function move(wish: Move, options: CacheOptions): Promise<void> {
  await withCache(options, async connection => {
    // Not inside run: its errors are all the cache's.
    const redis = await connection.run(redis => Promise.resolve(redis))
    const { from, to, pinned } = await moveAnnouncement(redis, options.tenant, wish).catch(throwRepairable)
    console.log(`Announcement ${to.number} of ${options.tenant}: ${from?.version ?? 'nothing'} → ${to.version}`)
    console.log(pinned ? 'It is pinned: `unpin` ends that.' : 'Nothing is pinned: the next publish is announced.')
  })
}

async function diff(older: string, newer: string, options: CacheOptions): Promise<void> {
  await withCache(options, async () => {
    const source = new RedisSource({ ...connectionOptions(options), tenantId: options.tenant })
    try {
      const differences = await differenceOf(source, older, newer).catch(throwRepairable)
      tell(differences)
      process.exitCode = differences.length === 0 ? EXIT.good : EXIT.bad
    } finally {
      source.close()
    }
  })
}

/** A version that is not there, or broken, is for a person to repair, unlike a cache that does not answer. */
function throwRepairable(error: unknown): never {
  const repairable = error instanceof VersionError || (error instanceof SourceError && !error.retry)
  if (!repairable) throw error
  const remedy = error.code === 'version-missing' ? '; `npm run state -- list` shows those stored' : ''
  throw new CommandProblem(`error: ${error.message}${remedy}`)
}

function tell(differences: readonly RecordDifference[]): void {
  if (differences.length === 0) {
    console.log('The versions have the same records.')
    return
  }
  const kinds = [...new Set(differences.map(({ kind }) => kind))]
  const counts = kinds.map(kind => [
    kind,
    ...(['added', 'removed', 'changed'] as const).map(what => String(countOf(differences, kind, what))),
  ])
  console.log(table([['kind', 'added', 'removed', 'changed'], ...counts]))
  for (const { kind, id, what, fields } of differences.slice(0, DIFFERENCES_SHOWN))
    console.log(`${MARKS[what]} ${kind} ${id}${fields.length === 0 ? '' : `: ${fields.join(', ')}`}`)
  const more = differences.length - DIFFERENCES_SHOWN
  if (more > 0) console.log(`… and ${more} more`)
}

function countOf(all: readonly RecordDifference[], kind: string, what: RecordDifference['what']): number {
  return all.filter(difference => difference.kind === kind && difference.what === what).length
}

await runCommand(command)
