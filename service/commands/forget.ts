/** `npm run forget -- --user-id ID --to redis://… --tenant T`: users who asked to be forgotten. */
import { keyedHash } from '../foundation/keyed-hash.ts'
import { LIMITS } from '../limits.ts'
import { AudiencePublisher } from '../remote-cache/audience-publisher.ts'
import { ID_KINDS, idTextMaker } from '../state/user-ids.ts'
import { CACHE_UNREACHABLE, type CacheOptions, withCache, withCacheOptions } from './cache-arguments.ts'
import { bad, CommandProblem, EXIT, newCommand, runCommand } from './terminal.ts'

interface Options extends CacheOptions {
  readonly userId: readonly string[]
  readonly idKind: readonly string[]
  readonly allowAgain: boolean
}

const about =
  'Takes users out of all segments of a tenant, within a second on every task, and leaves them out of what comes.'
const codes = `0 done · 1 too many are forgotten already · 2 usage · ${CACHE_UNREACHABLE} cache unreachable`
const command = withCacheOptions(newCommand('forget', about))
  .requiredOption('--user-id <id...>', 'ids of the users')
  .option('--id-kind <kind...>', `what the ids are: ${ID_KINDS}`, ['buyeruid', 'ifa'])
  .option('--allow-again', 'instead: they may be published again', false)
  .addHelpText('after', `\nExit codes: ${codes}`)
  .action(forget)

/** All texts that the ids may have: which kind it was is easily mistaken, and one too many hurts nobody. */
function idTexts({ userId, idKind }: Options): readonly string[] {
  const makers = idKind.map(kind => {
    const maker = idTextMaker(kind)
    if (maker === undefined) throw new CommandProblem(`error: --id-kind ${kind} must be ${ID_KINDS}`)
    return maker
  })
  const texts = userId.flatMap(id => makers.map(maker => maker(id))).filter(text => text !== '')
  if (userId.some(id => id.length > LIMITS.idCharsMax) || texts.length === 0)
    throw new CommandProblem(`error: --user-id must be an id of 1 to ${LIMITS.idCharsMax} characters`)
  return texts
}

async function forget(options: Options): Promise<void> {
  const { tenant: tenantId, allowAgain } = options
  const texts = idTexts(options)
  await withCache(options, async connection => {
    const redis = await connection.run(redis => Promise.resolve(redis))
    const publisher = new AudiencePublisher({ redis, tenantId, nowMs: Date.now })
    const key = await publisher.key()
    const hashes = texts.map(text => {
      const hash = new Uint32Array(2)
      keyedHash(text, key, hash)
      return [hash[0] as number, hash[1] as number] as const
    })
    if (allowAgain) {
      await publisher.allowAgain(hashes)
      console.log(`They may be published again, to tenant ${tenantId}.`)
      return
    }
    const outcome = await publisher.forget(hashes)
    if (outcome?.kind !== 'published') {
      console.error(bad(`Nothing changed: ${LIMITS.forgottenUsersMax} users are forgotten already; see --allow-again.`))
      process.exitCode = EXIT.bad
      return
    }
    const found = outcome.rowsOfForgotten
    console.log(`Forgotten as change ${outcome.number} of the users of ${tenantId}; ${found} of the ids had segments.`)
  })
}

await runCommand(command)
