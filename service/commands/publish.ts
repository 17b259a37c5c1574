/** `npm run publish -- DIR --to redis://… --tenant T`: puts tenant documents, or changes, into the remote cache. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { SingleBar } from 'cli-progress'
import { VersionCompiler } from '../compiled-chunks.ts'
import { LIMITS } from '../limits.ts'
import { type PublishOutcome, type PublishProgress, publishTenant } from '../remote-cache/publisher.ts'
import { readTenantDirectory, TenantDirectoryError } from '../remote-cache/tenant-directory.ts'
import { problemLine } from '../state/validate.ts'
import { CACHE_UNREACHABLE, type CacheOptions, withCache, withCacheOptions } from './cache-arguments.ts'
import { publishChanges } from './changes.ts'
import { bad, CommandProblem, EXIT, newCommand, runCommand } from './terminal.ts'

const PROBLEMS_SHOWN = 50
const MIB = 1024 * 1024

interface Options extends CacheOptions {
  readonly allowBad: boolean
  readonly allowShrink: boolean
  readonly changes?: string
  readonly quotaMib: number
}

const about =
  'Validates a directory of tenant documents, writes it to the remote cache as a new version and announces it.'
const codes = `0 published · 1 bad or over quota, nothing published · 2 usage · ${CACHE_UNREACHABLE} cache unreachable`
const command = withCacheOptions(newCommand('publish', about))
  .argument('[dir]', 'directory of tenant documents: settings.json, lineItems.json or .ndjson, …')
  .option(
    '--changes <file>',
    'instead of a directory: changes of single records, one a line; - reads them as they come',
  )
  .option('--allow-bad', 'publish the good records although there are bad ones', false)
  .option('--allow-shrink', 'publish although a tenth of the line items is left, or less', false)
  .option('--quota-mib <mib>', 'what all stored versions may have together', wholeMib, LIMITS.stateBytesMax / MIB)
  .addHelpText('after', `\nExit codes: ${codes}`)
  .action(publish)

function wholeMib(given: string): number {
  if (/^[1-9]\d{0,6}$/.test(given)) return Number(given)
  throw new CommandProblem('error: --quota-mib must be a whole number from 1 to 9999999')
}

async function publish(dir: string | undefined, options: Options): Promise<void> {
  const { changes } = options
  if ((dir === undefined) === (changes === undefined))
    throw new CommandProblem('error: give a directory, or --changes with a file; not both')
  if (changes !== undefined) await publishChanges({ ...options, changes })
  else await publishDirectory(dir ?? '', options)
}

async function publishDirectory(dir: string, options: Options): Promise<void> {
  const { tenant, allowBad, allowShrink } = options
  const quotaBytes = options.quotaMib * MIB
  await withCache(options, async connection => {
    const bar = await startedBar(dir)
    try {
      const redis = await connection.run(redis => Promise.resolve(redis))
      const documents = readTenantDirectory(dir)
      const compiler = new VersionCompiler()
      const onProgress = (progress: PublishProgress) => bar.update(progress)
      const what = { redis, tenantId: tenant, documents, allowBad, allowShrink, compiler, quotaBytes, onProgress }
      const outcome = await publishTenant(what)
      bar.stop()
      process.exitCode = tell(outcome, tenant)
    } catch (error) {
      if (!(error instanceof TenantDirectoryError)) throw error
      bar.stop()
      console.error(bad(`error: ${error.message}`))
      process.exitCode = error.code.startsWith('directory-') ? EXIT.usage : EXIT.bad
    } finally {
      bar.stop()
    }
  })
}

interface Bar {
  update(progress: PublishProgress): void
  stop(): void
}

/** Measures what is written against the size of the files; pretty files are longer than what is written. */
async function startedBar(dir: string): Promise<Bar> {
  if (process.stderr.isTTY !== true) return { update: () => {}, stop: () => {} }
  const total = await bytesOfFiles(dir)
  const format = 'publishing {bar} {percentage}% | {records} records | {mib} MiB'
  const bar = new SingleBar({ format, stream: process.stderr, clearOnComplete: true, hideCursor: true })
  bar.start(total, 0, { records: 0, mib: '0.0' })
  return {
    update: ({ records, bytes }) => bar.update(Math.min(bytes, total), { records, mib: (bytes / MIB).toFixed(1) }),
    stop: () => bar.stop(),
  }
}

/** 1 for a directory that cannot be read: the error comes from whoever needs the files. */
async function bytesOfFiles(dir: string): Promise<number> {
  let bytes = 1
  for (const name of await readdir(dir).catch(() => []))
    bytes += (await stat(join(dir, name)).catch(() => undefined))?.size ?? 0
  return bytes
}

/** Prints what came out. @returns the exit code. */
function tell(outcome: PublishOutcome, tenant: string): number {
  if (outcome.kind === 'refused' && outcome.because === 'over-quota') {
    const [stored, quota] = [outcome.storedBytes, outcome.quotaBytes].map(bytes => (bytes / MIB).toFixed(1))
    const found = `the stored versions of ${tenant} have ${stored} MiB, and this one does not fit into its ${quota} MiB`
    console.error(bad(`Nothing published: ${found}; publish fewer records or raise --quota-mib.`))
    return EXIT.bad
  }
  if (outcome.kind === 'refused' && outcome.because === 'line-items-lost') {
    const remedy = 'look whether the directory is whole; with --allow-shrink it is published as it is'
    console.error(bad(`Nothing published: ${outcome.problem}; ${remedy}.`))
    return EXIT.bad
  }
  const { report } = outcome
  for (const problem of report.problems.slice(0, PROBLEMS_SHOWN)) console.error(problemLine(problem))
  const more = report.problemsTotal - Math.min(report.problems.length, PROBLEMS_SHOWN)
  if (more > 0) console.error(`… and ${more} more problems; \`npm run validate\` lists them`)
  if (outcome.kind === 'refused') {
    const remedy = outcome.because === 'unusable' ? 'settings.json must be good' : 'correct them or add --allow-bad'
    console.error(`Nothing published: ${report.problemsTotal} problems; ${remedy}.`)
    return EXIT.bad
  }
  const { version, announcement, records, bytes, totalMs, superseded, removed } = outcome
  const size = bytes < MIB ? `${bytes} bytes` : `${(bytes / MIB).toFixed(1)} MiB`
  if (announcement.version === version)
    console.log(`Published version ${version} of ${tenant} as announcement ${announcement.number}:`)
  else {
    console.log(`Stored version ${version} of ${tenant}. Not announced: ${announcement.version} is pinned;`)
    console.log('`npm run state -- unpin` announces the newest version.')
  }
  console.log(`${records} records, ${size}, in ${(totalMs / 1_000).toFixed(2)} s.`)
  if (superseded > 0)
    console.log(
      `Superseded ${superseded} deltas of the version before: their changes count only if the directory has them.`,
    )
  if (removed.length > 0) console.log(`Removed ${removed.length} older: ${removed.join(', ')}.`)
  return EXIT.good
}

await runCommand(command)
