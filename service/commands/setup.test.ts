import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'

const SETUP = fileURLToPath(new URL('setup.mjs', import.meta.url))
const folders: string[] = []

/** An empty folder, removed after the test. */
function emptyFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'bidcell-setup-'))
  folders.push(folder)
  return folder
}

function writeJson(folder: string, name: string, value: unknown): void {
  writeFileSync(join(folder, name), JSON.stringify(value))
}

/** npm without a network: nothing answers on that port, and its cache is empty. */
function offline(): Readonly<Record<string, string | undefined>> {
  return {
    ...process.env,
    npm_config_registry: 'http://127.0.0.1:1/',
    npm_config_cache: emptyFolder(),
    npm_config_fetch_retries: '0',
  }
}

/** A project with one package that lies beside it as a file, so that npm needs no network. */
function projectWithOnePackage(): string {
  const source = emptyFolder()
  writeJson(source, 'package.json', { name: 'one-package', version: '1.2.3' })
  const project = emptyFolder()
  execFileSync('npm', ['pack', '--silent', '--pack-destination', project, source], { env: offline() })
  const dependencies = { 'one-package': 'file:one-package-1.2.3.tgz' }
  writeJson(project, 'package.json', { name: 'project', version: '1.0.0', dependencies })
  execFileSync('npm', ['install', '--silent', '--package-lock-only'], { cwd: project, env: offline() })
  return project
}

function setup(project: string): { readonly status: number | null; readonly said: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [SETUP, project], { encoding: 'utf8', env: offline() })
  return { status, said: stdout + stderr }
}

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

describe('setup', () => {
  test('installs what the lockfile says once, and finds it in order afterwards', () => {
    const project = projectWithOnePackage()
    const first = setup(project)
    expect(first.said).toMatch(/installing packages with npm ci.*\n.*packages installed in \d/)
    expect(first.status).toBe(0)
    expect(setup(project)).toEqual({ status: 0, said: '' })
  })

  test('installs again when the installed version is not the locked one', () => {
    const project = projectWithOnePackage()
    setup(project)
    const record = join(project, 'node_modules', '.package-lock.json')
    writeFileSync(record, readFileSync(record, 'utf8').replace('1.2.3', '1.2.2'))
    expect(setup(project).said).toContain('packages installed')
    expect(setup(project).said).toBe('')
  })

  test('names the package on which package.json and the lockfile differ', () => {
    const project = projectWithOnePackage()
    writeJson(project, 'package.json', { dependencies: { 'one-package': '2.0.0' } })
    const { status, said } = setup(project)
    expect(status).toBe(1)
    expect(said).toContain('package.json has one-package 2.0.0, package-lock.json has file:one-package-1.2.3.tgz')
    expect(said).toContain('npm install')
  })

  test('says what it needs when npm cannot reach the registry', () => {
    const project = emptyFolder()
    const dependencies = { 'far-away': '1.0.0' }
    const locked = { version: '1.0.0', integrity: `sha512-${'A'.repeat(86)}==` }
    writeJson(project, 'package.json', { name: 'project', version: '1.0.0', dependencies })
    const packages = { '': { name: 'project', version: '1.0.0', dependencies }, 'node_modules/far-away': locked }
    writeJson(project, 'package-lock.json', { name: 'project', version: '1.0.0', lockfileVersion: 3, packages })
    const { status, said } = setup(project)
    expect(status).toBe(1)
    expect(said).toContain('npm ci failed')
    expect(said).toContain('the package registry')
  })
})
