import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { type Lockfile, lockProblems } from '../service/commands/lock-check.ts'

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))
const lock = JSON.parse(readFileSync(path('../package-lock.json'), 'utf8')) as Lockfile
const manifest = JSON.parse(readFileSync(path('../package.json'), 'utf8'))

/** The lockfile with one package changed. */
function changed(change: object): Lockfile {
  const name = 'node_modules/fastify'
  return { packages: { ...lock.packages, [name]: { ...lock.packages[name], ...change } } }
}

describe('the lockfile', () => {
  test('keeps our rules', () => {
    expect(lockProblems(lock, manifest)).toEqual([])
  })

  test.each([
    [{ integrity: undefined }, 'has no sha512 integrity'],
    [{ integrity: 'sha1-x' }, 'has no sha512 integrity'],
    [{ link: true }, 'has no sha512 integrity'],
    [{ resolved: 'git+ssh://host/x.git' }, 'comes from git+ssh://host/x.git'],
    [{ hasInstallScript: true }, 'has an install script'],
    [{ license: 'GPL-3.0' }, 'has the licence GPL-3.0'],
    [{ license: '(MIT AND GPL-3.0)' }, 'has the licence (MIT AND GPL-3.0)'],
    [{ license: undefined }, 'has the licence unknown'],
  ])('with %j is refused', (change, problem) => {
    const problems = lockProblems(changed(change), manifest)
    expect(problems.length).toBe(1)
    expect(problems[0]).toContain(`fastify ${problem}`)
  })

  test('of a range instead of a version is refused', () => {
    expect(lockProblems(lock, { dependencies: { fastify: '^5.12.8' } })[0]).toContain('write one exact version')
  })
})

test('no package runs a script when it is installed', () => {
  expect(readFileSync(path('../.npmrc'), 'utf8')).toMatch(/^ignore-scripts=true$/m)
})

test('audit:deps --offline checks without a network', () => {
  const command = path('../service/commands/audit-deps.ts')
  const { status, stdout } = spawnSync(process.execPath, [command, '--offline'], { encoding: 'utf8' })
  expect([status, stdout]).toEqual([0, expect.stringContaining('exact versions, integrity')])
})

test('the SBOM has what the image has, and is the same each time', { timeout: 60_000 }, () => {
  const made = () => spawnSync(process.execPath, [path('../service/commands/sbom.ts')], { encoding: 'utf8' }).stdout
  const text = made()
  const { bomFormat, metadata, components } = JSON.parse(text) as {
    bomFormat: string
    metadata: { component: { name: string } }
    components: { name: string; version: string; purl: string; hashes?: unknown[] }[]
  }
  expect([bomFormat, metadata.component.name]).toEqual(['CycloneDX', 'bidcell'])
  const names = components.map(({ name }) => name)
  expect(names).toEqual(expect.arrayContaining([...Object.keys(manifest.dependencies), 'node']))
  // Not all development packages: protobufjs brings @types/node along.
  for (const name of ['vitest', 'typescript', 'autocannon', ...Object.keys(manifest.optionalDependencies)])
    expect(names).not.toContain(name)
  expect(text).not.toMatch(/resolved|timestamp|serialNumber|file:/)
  expect(made()).toBe(text)
})
