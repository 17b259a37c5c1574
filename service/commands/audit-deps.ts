/** `npm run audit:deps`: holds the packages against our rules, and against the advisories that the registry knows. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { type Lockfile, lockProblems, type PinnedManifest } from './lock-check.ts'
import { bad, EXIT, newCommand, runCommand, styled, table } from './terminal.ts'

interface Options {
  readonly offline?: true
}

/** What `npm audit --json` says, of which only this is read. */
interface NpmAudit {
  readonly error?: { readonly summary?: string }
  readonly message?: string
  readonly vulnerabilities?: Readonly<Record<string, { readonly severity: string; readonly range: string }>>
}

const ROOT = new URL('../..', import.meta.url)

function readJson<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(name, ROOT), 'utf8')) as T
}

/** Asks the registry, which learns names and versions of our packages. Never offline: npm would find nothing then. */
async function askRegistry(): Promise<NpmAudit> {
  const args = ['audit', '--json', '--package-lock-only', '--audit=true', '--offline=false']
  const npm = spawn('npm', args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'ignore'] })
  let told = ''
  npm.stdout.on('data', (part: Buffer) => (told += part.toString()))
  const failure = await new Promise<Error | undefined>(resolve =>
    npm.on('error', resolve).on('close', () => resolve(undefined)),
  )
  if (failure !== undefined) return { message: failure.message }
  try {
    return JSON.parse(told) as NpmAudit
  } catch {
    return { message: 'npm audit said nothing that can be read' }
  }
}

function printAdvisories(found: NonNullable<NpmAudit['vulnerabilities']>): number {
  const rows = Object.entries(found).map(([name, { severity, range }]) => [name, severity, range])
  if (rows.length > 0) console.log(table([['package', 'severity', 'versions'], ...rows]))
  else console.log(styled('green', 'No advisory is known for any of them.'))
  return rows.length === 0 ? EXIT.good : EXIT.bad
}

async function audit({ offline }: Options): Promise<void> {
  const lock = readJson<Lockfile>('package-lock.json')
  const problems = lockProblems(lock, readJson<PinnedManifest>('package.json'))
  for (const problem of problems) console.log(bad(problem))
  const count = Object.keys(lock.packages).length - 1
  if (problems.length === 0)
    console.log(`${count} packages: exact versions, integrity, known licences, no install script that would be run.`)
  process.exitCode = problems.length === 0 ? EXIT.good : EXIT.bad
  if (offline === true) return
  const { vulnerabilities, error, message } = await askRegistry()
  if (vulnerabilities !== undefined) process.exitCode = Math.max(printAdvisories(vulnerabilities), process.exitCode)
  else {
    const why = (error?.summary || message) ?? 'no answer'
    console.error(bad(`Advisories could not be asked for: ${why.split('\n')[0]}`))
    console.error('Run it where the registry can be reached; --offline checks the lockfile alone.')
    if (problems.length === 0) process.exitCode = EXIT.usage
  }
}

const command = newCommand(
  'audit:deps',
  'Checks every package: version, integrity, licence, scripts, known advisories.',
)
  .option('--offline', 'without the registry: no advisories')
  .addHelpText('after', '\nExit codes: 0 good, 1 findings, 2 advisories could not be asked for.')
  .action(audit)

await runCommand(command)
