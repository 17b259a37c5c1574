/** What package-lock.json alone says about the supply chain; needs no network. */

/** A package as the lockfile has it. */
interface LockedPackage {
  readonly version?: string
  readonly resolved?: string
  readonly integrity?: string
  readonly license?: string
  readonly hasInstallScript?: boolean
  readonly link?: boolean
}

/** A parsed package-lock.json of version 3. */
export interface Lockfile {
  readonly packages: Readonly<Record<string, LockedPackage>>
}

/** The parts of package.json that are held against it. */
export interface PinnedManifest {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

/** Licences under which a package may be used here without asking; MPL because nothing of it is changed. */
const LICENSES: ReadonlySet<string> = new Set([
  ...['MIT', 'ISC', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD', 'BlueOak-1.0.0', 'MPL-2.0', 'Zlib'],
])
/** Packages that bring a script for the installation. None is run (.npmrc); each was looked at. */
const KNOWN_SCRIPTS: ReadonlySet<string> = new Set(['protobufjs'])
const EXACT = /^\d+\.\d+\.\d+(-[\w.]+)?$/

/** @returns what is wrong, a line each with its remedy; none for a good lockfile. Cost: O(packages). */
export function lockProblems({ packages }: Lockfile, manifest: PinnedManifest): readonly string[] {
  const problems: string[] = []
  const { dependencies, devDependencies, optionalDependencies } = manifest
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies }))
    if (!EXACT.test(version)) problems.push(`${name} is ${version} in package.json; write one exact version`)
  for (const [path, locked] of Object.entries(packages)) {
    if (path === '') continue
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
    const { integrity, license, resolved = '', hasInstallScript, link } = locked
    if (link === true || integrity?.startsWith('sha512-') !== true)
      problems.push(`${name} has no sha512 integrity; take it from the registry`)
    // npmrc leaves addresses out: whoever installs chooses the registry, and the hash decides.
    if (resolved !== '') problems.push(`${name} comes from ${resolved}; take it from the registry, without an address`)
    if (hasInstallScript === true && !KNOWN_SCRIPTS.has(name))
      problems.push(`${name} has an install script, which is not run; see that it works without, and name it here`)
    if (!isAllowed(license)) problems.push(`${name} has the licence ${license ?? 'unknown'}; ask, or take another one`)
  }
  return problems
}

/** All of `A AND B`, one of `A OR B`. */
function isAllowed(license = ''): boolean {
  const bare = license.replace(/^\((.*)\)$/, '$1')
  if (bare.includes(' OR ')) return bare.split(' OR ').some(isAllowed)
  return bare.split(' AND ').every(each => LICENSES.has(each))
}
