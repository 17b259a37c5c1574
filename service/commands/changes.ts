/** `npm run publish -- --changes FILE`: changes of single records, as lines of JSON. */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { VersionCompiler } from '../compiled-chunks.ts'
import { LIMITS } from '../limits.ts'
import { type DeltaOutcome, DeltaPublisher } from '../remote-cache/delta-publisher.ts'
import { RedisSource } from '../remote-cache/redis-source.ts'
import { DOCUMENT_KIND_NAMES, type DocumentKindName } from '../state/documents.ts'
import { problemLine } from '../state/validate.ts'
import type { Change } from '../state/working-copy.ts'
import { type CacheOptions, connectionOptions, withCache } from './cache-arguments.ts'
import { bad, CommandProblem, EXIT } from './terminal.ts'

/** What is given beside the changes. */
export interface ChangeOptions extends CacheOptions {
  /** `-` is the standard input: each line is published as it comes. Of a file all lines are published together. */
  readonly changes: string
  readonly quotaMib: number
  readonly allowShrink: boolean
}

const LIKE = '{"put":"lineItems","record":{…}} or {"delete":"lineItems","id":"…"}'
const MIB = 1024 * 1024

/** Publishes changes and tells what became of them. Sets the exit code. @throws CommandProblem for what is no change */
export async function publishChanges(options: ChangeOptions): Promise<void> {
  const { tenant: tenantId, changes: file, quotaMib, allowShrink } = options
  await withCache(options, async connection => {
    const source = new RedisSource({ ...connectionOptions(options), tenantId })
    try {
      const redis = await connection.run(redis => Promise.resolve(redis))
      const compiler = () => new VersionCompiler()
      const quotaBytes = quotaMib * MIB
      const publisher = new DeltaPublisher({ redis, tenantId, source, compiler, quotaBytes, allowShrink })
      const publish = async (changes: readonly Change[], name: string) =>
        tell(await publisher.publish(changes, name), tenantId, changes.length)
      if (file === '-') await eachLine(file, (change, line) => publish([change], `line ${line}`))
      else {
        const changes: Change[] = []
        await eachLine(file, async change => void changes.push(change))
        if (changes.length === 0) throw new CommandProblem(`error: ${file} holds no change; lines are like ${LIKE}`)
        await publish(changes, file)
      }
    } finally {
      source.close()
    }
  })
}

async function eachLine(file: string, take: (change: Change, line: number) => Promise<void>): Promise<void> {
  const input = file === '-' ? process.stdin : createReadStream(file)
  let line = 0
  try {
    for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      line++
      if (text.trim() !== '') await take(changeOf(text, `${file} line ${line}`), line)
    }
  } catch (error) {
    if (!(error instanceof Error) || !('errno' in error)) throw error
    throw new CommandProblem(
      `error: --changes ${file} cannot be read (${error.message}); give a file of lines like ${LIKE}`,
    )
  }
}

/** @throws CommandProblem that names line and remedy */
function changeOf(text: string, where: string): Change {
  const wrong = (what: string) => new CommandProblem(`error: ${where} ${what}; a line is like ${LIKE}`)
  if (text.length > LIMITS.recordBytesMax)
    throw wrong(`has ${text.length} characters, at most ${LIMITS.recordBytesMax}`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw wrong('is not JSON')
  }
  if (typeof value !== 'object' || value === null) throw wrong('is no object')
  const { put, delete: gone, record, id } = value as Record<string, unknown>
  const kind = put ?? gone
  if (!isKind(kind)) throw wrong(`names ${JSON.stringify(kind)}, which is none of ${DOCUMENT_KIND_NAMES.join(', ')}`)
  if (put !== undefined && gone === undefined && record !== undefined) return { kind, put: record }
  if (gone !== undefined && put === undefined && typeof id === 'string') return { kind, delete: id }
  throw wrong('has neither put with a record nor delete with an id')
}

function isKind(value: unknown): value is DocumentKindName {
  return (DOCUMENT_KIND_NAMES as readonly unknown[]).includes(value)
}

function tell(outcome: DeltaOutcome, tenant: string, changes: number): void {
  const what = changes === 1 ? '1 change' : `${changes} changes`
  if (outcome.kind === 'delta') {
    console.log(`Published ${what} of ${tenant} as delta ${outcome.number} of version ${outcome.version}.`)
    return
  }
  if (outcome.kind === 'version' && outcome.outcome.kind === 'published') {
    const { version, announcement } = outcome.outcome
    const where = announcement.version === version ? 'announced' : `stored; ${announcement.version} is pinned`
    console.log(
      `Published ${what} of ${tenant} with all other records as version ${version} (${outcome.because}), ${where}.`,
    )
    return
  }
  process.exitCode = EXIT.bad
  console.error(bad(`Nothing published: ${reasonOf(outcome, tenant)}`))
}

function reasonOf(outcome: DeltaOutcome, tenant: string): string {
  switch (outcome.kind) {
    case 'refused':
      return `the changes do not fit.\n${outcome.problems.map(problemLine).join('\n')}`
    case 'nothing-announced':
      return `${tenant} has no version yet; publish a directory first.`
    case 'over-quota': {
      const [stored, quota] = [outcome.storedBytes, outcome.quotaBytes].map(bytes => (bytes / MIB).toFixed(1))
      return `${tenant} has ${stored} MiB of its ${quota} MiB; raise --quota-mib.`
    }
    default:
      return `the changes need a version, and it was refused: ${refusalOf(outcome)}`
  }
}

function refusalOf(outcome: Extract<DeltaOutcome, { kind: 'delta' | 'version' }>): string {
  const whole = outcome.kind === 'version' ? outcome.outcome : undefined
  if (whole?.kind !== 'refused') return 'try again.'
  if (whole.because === 'line-items-lost') return `${whole.problem}; add --allow-shrink if that is meant.`
  if (whole.because === 'over-quota') return 'it does not fit into the quota; raise --quota-mib.'
  return `${whole.because}.\n${whole.report.problems.map(problemLine).join('\n')}`
}
