/** `npm run caller-secret`: makes a secret for an exchange and the hash of it that its record holds. */
import { hash, randomBytes } from 'node:crypto'
import { Option } from 'commander'
import type { Callers } from '../state/callers.ts'
import { CommandProblem, newCommand, runCommand } from './terminal.ts'

type Place = NonNullable<Callers['secret']>['in']

interface Options {
  readonly in: Place
  readonly header?: string
  readonly user: string
  readonly stdin?: true
}

/** Half of what is made here: a secret of fewer characters may be guessed by whoever can read its hash. */
const CHARS_MIN = 22
const PLACES: readonly Place[] = ['path', 'header', 'basic']

async function fromStdin(): Promise<string> {
  let text = ''
  for await (const part of process.stdin) text += String(part)
  const secret = text.replace(/\r?\n$/, '')
  if (secret.length < CHARS_MIN)
    throw new CommandProblem(
      `error: the secret has ${secret.length} characters, at least ${CHARS_MIN} are needed: a short one is found by ` +
        'trying, from its hash; leave --stdin out and give the exchange a secret of ours',
    )
  return secret
}

/** What the exchange sends, as it is hashed. */
async function secretOf({ in: place, user, stdin }: Options): Promise<string> {
  if (stdin === true) return await fromStdin()
  const made = randomBytes(32).toString('base64url')
  return place === 'basic' ? `${user}:${made}` : made
}

async function print(options: Options): Promise<void> {
  const { in: place, header } = options
  if (header !== undefined && place !== 'header') throw new CommandProblem('error: --header goes with --in header')
  if (options.user.includes(':')) throw new CommandProblem('error: a user has no colon')
  const secret = await secretOf(options)
  const hashes = [`sha256:${hash('sha256', secret, 'base64url')}`]
  const named = header === undefined ? {} : { header: header.toLowerCase() }
  if (options.stdin !== true) console.log(`For the exchange, shown once: ${secret}`)
  console.log(`For its record: ${JSON.stringify({ callers: { secret: { in: place, ...named, hashes } } })}`)
}

const command = newCommand(
  'caller-secret',
  'Makes a secret by which an exchange is known, and the hash for its record.',
)
  .addOption(new Option('--in <place>', 'where the exchange sends it').choices(PLACES).default('header'))
  .option('--header <name>', 'name of the header; without it authorization')
  .option('--user <name>', 'user of --in basic', 'exchange')
  .option('--stdin', 'hash a secret that is there already (for basic user:password), read from stdin')
  .addHelpText('after', '\nTo replace a secret, list both hashes until the exchange sends the new one.')
  .addHelpText('after', '\nExit codes: 0 printed, 2 wrong arguments.')
  .action(print)

await runCommand(command)
