/** `npm run publish -- DIR --to redis://… --tenant T`: puts a directory of tenant documents into the remote cache. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { SingleBar } from 'cli-progress'
import { Command, CommanderError } from 'commander'
import { VersionCompiler } from '../compiled-chunks.ts'
import { tenantIdProblem } from '../config.ts'
import { AssertionFailure } from '../foundation/assert.ts'
import { Random } from '../foundation/random.ts'
import { CacheConnection } from '../remote-cache/connection.ts'
import { type PublishOutcome, type PublishProgress, publishTenant } from '../remote-cache/publisher.ts'
import { readTenantDirectory, TenantDirectoryError } from '../remote-cache/tenant-directory.ts'
import { problemLine } from '../state/validate.ts'

const EXIT = { good: 0, badRecords: 1, usage: 2, cacheUnreachable: 69 } as const
const PROBLEMS_SHOWN = 50
const MIB = 1024 * 1024

interface Options {
  readonly to: string
  readonly tenant: string
  readonly allowBad: boolean
  readonly timeoutMs: number
}

const program = new Command('publish')
  .description(
    'Validates a directory of tenant documents, writes it to the remote cache as a new version and announces it.',
  )
  .argument('<dir>', 'directory of tenant documents: settings.json, lineItems.json or .ndjson, …')
  .requiredOption('--to <url>', 'the remote cache: redis://user:password@host:port or rediss://…', cacheUrl)
  .requiredOption('--tenant <id>', 'tenant whose state it is', tenantId)
  .option('--allow-bad', 'publish the good records although there are bad ones', false)
  .option('--timeout-ms <ms>', 'longest wait for one answer of the cache', wholeMs, 10_000)
  .addHelpText('after', '\nExit codes: 0 published · 1 bad records, nothing published · 2 usage · 69 cache unreachable')
  .exitOverride()
  .action(publish)

function refusal(message: string): CommanderError {
  return new CommanderError(EXIT.usage, 'bidcell.value', message)
}

function cacheUrl(given: string): string {
  if (URL.canParse(given) && /^rediss?:$/.test(new URL(given).protocol)) return given
  throw refusal('error: --to must be a URL that begins with redis:// or rediss://')
}

function tenantId(given: string): string {
  const problem = tenantIdProblem(given)
  if (problem === undefined) return given
  throw refusal(`error: --tenant ${problem}`)
}

function wholeMs(given: string): number {
  if (/^\d{2,6}$/.test(given)) return Number(given)
  throw refusal('error: --timeout-ms must be a whole number from 10 to 999999')
}

async function publish(dir: string, { to, tenant, allowBad, timeoutMs }: Options): Promise<void> {
  const connection = new CacheConnection({ url: to, timeoutMs, pickIndex: new Random(process.pid).pickIndex })
  const bar = await startedBar(dir)
  try {
    const redis = await connection.run(redis => Promise.resolve(redis))
    const documents = readTenantDirectory(dir)
    const compiler = new VersionCompiler()
    const onProgress = (progress: PublishProgress) => bar.update(progress)
    const outcome = await publishTenant({ redis, tenantId: tenant, documents, allowBad, compiler, onProgress })
    bar.stop()
    process.exitCode = tell(outcome, tenant)
  } catch (error) {
    bar.stop()
    if (error instanceof AssertionFailure || error instanceof TypeError) throw error
    if (error instanceof TenantDirectoryError) {
      console.error(`error: ${error.message}`)
      process.exitCode = error.code.startsWith('directory-') ? EXIT.usage : EXIT.badRecords
      return
    }
    // The address may hold a password: the host is enough.
    console.error(`error: ${connection.coded(error).message} (${new URL(to).host})`)
    process.exitCode = EXIT.cacheUnreachable
  } finally {
    connection.close()
  }
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
  const { report } = outcome
  for (const problem of report.problems.slice(0, PROBLEMS_SHOWN)) console.error(problemLine(problem))
  const more = report.problemsTotal - Math.min(report.problems.length, PROBLEMS_SHOWN)
  if (more > 0) console.error(`… and ${more} more problems; \`npm run validate\` lists them`)
  if (outcome.kind === 'refused') {
    const remedy = outcome.because === 'unusable' ? 'settings.json must be good' : 'correct them or add --allow-bad'
    console.error(`Nothing published: ${report.problemsTotal} problems; ${remedy}.`)
    return EXIT.badRecords
  }
  const { announcement, records, bytes, totalMs, removed } = outcome
  const size = bytes < MIB ? `${bytes} bytes` : `${(bytes / MIB).toFixed(1)} MiB`
  console.log(`Published version ${announcement.version} of ${tenant} as announcement ${announcement.number}:`)
  console.log(`${records} records, ${size}, in ${(totalMs / 1_000).toFixed(2)} s.`)
  if (removed.length > 0) console.log(`Removed ${removed.length} older: ${removed.join(', ')}.`)
  return EXIT.good
}

try {
  await program.parseAsync()
} catch (error) {
  if (!(error instanceof CommanderError)) throw error
  if (error.code === 'bidcell.value') console.error(error.message)
  process.exitCode = error.exitCode === 0 ? EXIT.good : EXIT.usage
}
