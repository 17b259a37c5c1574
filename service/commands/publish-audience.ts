/** `npm run publish-audience -- FILE --segment S --to redis://… --tenant T`: who is in a segment. */
import { stat } from 'node:fs/promises'
import type { HashKey } from '../foundation/keyed-hash.ts'
import { keyedHash } from '../foundation/keyed-hash.ts'
import { LIMITS } from '../limits.ts'
import { type AudienceFileDefaults, minuteAt, readAudienceFile } from '../remote-cache/audience-file.ts'
import { type AudienceOutcome, AudiencePublisher } from '../remote-cache/audience-publisher.ts'
import { AudienceRows } from '../remote-cache/audience-rows.ts'
import { NEVER_ENDS } from '../state/audience-chunk.ts'
import { ID_KINDS, idTextMaker } from '../state/user-ids.ts'
import { CACHE_UNREACHABLE, type CacheOptions, withCache, withCacheOptions } from './cache-arguments.ts'
import { bad, CommandProblem, EXIT, newCommand, runCommand, startProgress } from './terminal.ts'

const MIB = 1024 * 1024
const PROBLEMS_SHOWN = 50
const SEGMENT = /^\S{1,256}$/
const SPANS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 }

interface Options extends CacheOptions {
  readonly segment?: string
  readonly add?: boolean
  readonly remove?: boolean
  readonly replace?: boolean
  readonly clear?: boolean
  readonly idKind: string
  readonly expiresIn?: number
  readonly allowBad: boolean
  readonly quotaMib: number
}

const codes = `0 done · 1 bad lines or over quota, nothing changed · 2 usage · ${CACHE_UNREACHABLE} cache unreachable`
const command = withCacheOptions(newCommand('publish-audience', 'Says which users are in a segment.'))
  .argument('[file]', 'one user a line: .csv with the columns id, kind, expires (or id alone), or .ndjson of the same')
  .option('--segment <id>', 'as the targeting of line items has it')
  .option('--add', 'the users of the file come to it; also without it')
  .option('--remove', 'the users of the file leave it')
  .option('--replace', 'the users of the file are all that it has')
  .option('--clear', 'instead of a file: removes all users of the tenant, from all segments')
  .option('--id-kind <kind>', `what lines without a kind have: ${ID_KINDS}`, idKind, 'buyeruid')
  .option('--expires-in <span>', 'when lines without an end of their own end, like 45m, 12h or 30d', span)
  .option('--allow-bad', 'publish the good lines although there are bad ones', false)
  .option('--quota-mib <mib>', 'what users and versions may have together', wholeMib, LIMITS.stateBytesMax / MIB)
  .addHelpText('after', `\nExit codes: ${codes}`)
  .action(publishAudience)

function idKind(given: string): string {
  if (idTextMaker(given) !== undefined) return given
  throw new CommandProblem(`error: --id-kind must be ${ID_KINDS}`)
}

/** In ms. */
function span(given: string): number {
  const [, count = '', unit = ''] = /^([1-9]\d{0,4})([mhd])$/.exec(given) ?? []
  if (count !== '') return Number(count) * (SPANS[unit] ?? 0)
  throw new CommandProblem('error: --expires-in must be a whole number and m, h or d, like 30d')
}

function wholeMib(given: string): number {
  if (/^[1-9]\d{0,6}$/.test(given)) return Number(given)
  throw new CommandProblem('error: --quota-mib must be a whole number from 1 to 9999999')
}

async function publishAudience(file: string | undefined, options: Options): Promise<void> {
  const { add, remove, replace, clear = false, segment = '', tenant } = options
  if (clear !== (file === undefined)) throw new CommandProblem('error: give a file, or --clear; not both')
  if (!clear && !SEGMENT.test(segment))
    throw new CommandProblem('error: --segment must be an id of 1 to 256 characters without blanks')
  if ([add, remove, replace].filter(Boolean).length > 1)
    throw new CommandProblem('error: give one of --add, --remove and --replace')
  if (file !== undefined && !/\.(csv|ndjson)$/.test(file))
    throw new CommandProblem(`error: ${file} must end in .csv or .ndjson`)
  const kind = remove === true ? 'remove' : replace === true ? 'replace' : 'add'
  await withCache(options, async connection => {
    const redis = await connection.run(redis => Promise.resolve(redis))
    const bar = startProgress('shards', 0)
    const quotaBytes = options.quotaMib * MIB
    const onProgress = (done: number) => bar.update(done)
    try {
      const publisher = new AudiencePublisher({ redis, tenantId: tenant, nowMs: Date.now, quotaBytes, onProgress })
      if (file === undefined) {
        await publisher.clear()
        console.log(`Removed all users of ${tenant}.`)
        return
      }
      const rows = await readRows(file, await publisher.key(), options)
      if (rows === undefined) return
      const startMs = performance.now()
      const outcome = await publisher.publish({ kind, segment, rows })
      bar.stop()
      tell(outcome, { ...options, segment, rows: rows.count, ms: performance.now() - startMs })
    } finally {
      bar.stop()
    }
  })
}

/** @returns undefined where bad lines forbid to publish; that is told then. */
async function readRows(file: string, key: HashKey, options: Options): Promise<AudienceRows | undefined> {
  const nowMs = Date.now()
  const { expiresIn, idKind: kind, allowBad } = options
  const minute = expiresIn === undefined ? NEVER_ENDS : minuteAt(nowMs + expiresIn, nowMs)
  const defaults: AudienceFileDefaults = { kind, minute, nowMs }
  const { size } = await stat(file).catch((error: Error) => {
    throw new CommandProblem(`error: cannot read ${file}: ${error.message}`)
  })
  const bar = startProgress('bytes read', size)
  const rows = new AudienceRows()
  const hash = new Uint32Array(2)
  let badLines = 0
  try {
    await readAudienceFile(file, defaults, {
      row: (idText, ends) => {
        keyedHash(idText, key, hash)
        rows.add(hash[0] as number, hash[1] as number, ends)
        if (rows.count > LIMITS.audienceRowsMax)
          throw new CommandProblem(`error: ${file} has more than ${LIMITS.audienceRowsMax} users; publish it in parts`)
      },
      bad: (line, reason) => {
        badLines++
        if (badLines <= PROBLEMS_SHOWN) console.error(`${file} line ${line}: ${reason}`)
      },
      onProgress: bytes => bar.update(bytes),
    })
  } finally {
    bar.stop()
  }
  if (badLines > PROBLEMS_SHOWN) console.error(`… and ${badLines - PROBLEMS_SHOWN} more bad lines`)
  if (badLines === 0 || allowBad) return rows
  console.error(bad(`Nothing published: ${badLines} bad lines; correct them or add --allow-bad.`))
  process.exitCode = EXIT.bad
  return undefined
}

function tell(
  outcome: AudienceOutcome,
  {
    tenant,
    segment,
    rows,
    ms,
  }: CacheOptions & { readonly segment: string; readonly rows: number; readonly ms: number },
): void {
  if (outcome.kind === 'over-quota') {
    const [stored, quota] = [outcome.storedBytes, outcome.quotaBytes].map(bytes => (bytes / MIB).toFixed(1))
    const found = `users and versions of ${tenant} have ${stored} MiB, and this does not fit into its ${quota} MiB`
    console.error(bad(`Nothing published: ${found}; publish fewer users or raise --quota-mib.`))
    process.exitCode = EXIT.bad
    return
  }
  const { number, users, bytes, shardsWritten, rowsOfForgotten, rowsOfFull } = outcome
  console.log(`Published ${rows} rows of segment ${segment} of ${tenant} as change ${number} of its users:`)
  console.log(
    `${users} users, ${(bytes / MIB).toFixed(1)} MiB; wrote ${shardsWritten} shards in ${(ms / 1_000).toFixed(2)} s.`,
  )
  if (rowsOfForgotten > 0) console.log(`Left out ${rowsOfForgotten} rows: their users asked to be forgotten.`)
  if (rowsOfFull > 0)
    console.log(`Left out ${rowsOfFull} rows: their users have ${LIMITS.segmentsPerUserMax} segments.`)
}

await runCommand(command)
