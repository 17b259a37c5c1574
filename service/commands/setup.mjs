// Brings node_modules to what package-lock.json says, so that `npm start` and `npm test` work on a fresh clone.
// Plain JavaScript for Node 20 and up: it runs before the pinned Node 26, which is itself one of the packages.
// npm scripts call it explicitly, because this project switches npm's own install hooks off (.npmrc).
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const PINNED_MAJOR = 26
const root = process.argv[2] ?? fileURLToPath(new URL('../..', import.meta.url))
const pinnedNode = join(root, 'node_modules', '.bin', 'node')

/** Stops with one problem and its remedy. */
function stop(problem, remedy) {
  console.error(`setup: ${problem}\n  ${remedy}`)
  process.exit(1)
}

function readJson(...path) {
  return JSON.parse(readFileSync(join(root, ...path), 'utf8'))
}

/** Why package.json and package-lock.json do not belong together, or undefined. npm says it less clearly. */
function lockProblem(manifest, lock) {
  const locked = lock.packages[''] ?? {}
  for (const kind of ['dependencies', 'devDependencies', 'optionalDependencies']) {
    const names = new Set([...Object.keys(manifest[kind] ?? {}), ...Object.keys(locked[kind] ?? {})])
    for (const name of names) {
      const [wanted, found] = [manifest[kind]?.[name], locked[kind]?.[name]]
      if (wanted !== found) return `package.json has ${name} ${wanted}, package-lock.json has ${found}`
    }
  }
  return undefined
}

/** The first package that node_modules lacks or has in another version, by npm's own record; undefined: none. */
function missingPackage(lock) {
  const recordPath = join(root, 'node_modules', '.package-lock.json')
  if (!existsSync(recordPath)) return 'node_modules'
  const installed = readJson('node_modules', '.package-lock.json').packages
  for (const [path, wanted] of Object.entries(lock.packages)) {
    if (path === '') continue
    const found = installed[path]
    // npm leaves out optional packages that are made for other systems.
    if (found === undefined && (wanted.optional || wanted.devOptional)) continue
    if (found?.version !== wanted.version || found?.integrity !== wanted.integrity) return path
  }
  return undefined
}

/** Runs `npm ci`; its own words appear only when it fails. */
async function install() {
  console.error('setup: installing packages with npm ci; this takes a minute the first time …')
  const startedMs = performance.now()
  // EBADENGINE warnings are hushed: the machine's Node only installs, the pinned one runs.
  const args = ['ci', '--loglevel=error', '--no-audit', '--no-fund', '--no-progress']
  const npmPath = process.env.npm_execpath
  const [command, before] = npmPath === undefined ? ['npm', []] : [process.execPath, [npmPath]]
  const npm = spawn(command, [...before, ...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
  let words = ''
  for (const stream of [npm.stdout, npm.stderr]) stream.on('data', chunk => (words += chunk))
  const code = await new Promise(resolve => npm.on('error', resolve).on('close', resolve))
  if (code !== 0) {
    console.error(code instanceof Error ? code.message : words.trim())
    stop(
      `npm ci failed (${code instanceof Error ? 'it did not start' : `exit ${code}`})`,
      'It needs npm, the package registry (once; afterwards no network) and about 500 MB of disk. Then try again.',
    )
  }
  console.error(`setup: packages installed in ${((performance.now() - startedMs) / 1000).toFixed(1)} s`)
}

/** Makes sure that scripts run on the pinned major: by node_modules/.bin/node, or by a machine that has it anyway. */
function checkNode(freshlyInstalled) {
  const machineMajor = Number(process.versions.node.split('.')[0])
  if (!existsSync(pinnedNode)) {
    if (machineMajor >= PINNED_MAJOR) return
    stop(
      `there is no packaged Node ${PINNED_MAJOR} for ${process.platform}-${process.arch}`,
      `Install Node ${PINNED_MAJOR} yourself (nodejs.org), or use Linux, macOS, WSL 2 or the image in docker/.`,
    )
  }
  if (!freshlyInstalled) return
  const { status, stdout, stderr } = spawnSync(pinnedNode, ['--version'], { encoding: 'utf8' })
  if (status === 0 && stdout.startsWith(`v${PINNED_MAJOR}.`)) return
  stop(
    `the packaged Node does not run here: ${(stderr ?? '').trim().split('\n')[0] || stdout || 'it did not start'}`,
    `It needs glibc 2.28 or newer (not Alpine). Use such a system, or the image in docker/.`,
  )
}

if (Number(process.versions.node.split('.')[0]) < 20)
  stop(`Node ${process.versions.node} is too old to install with`, 'Install Node 20 or newer; it then fetches Node 26.')
const lock = readJson('package-lock.json')
const problem = lockProblem(readJson('package.json'), lock)
if (problem !== undefined) stop(problem, 'Run `npm install` and commit both files.')
const missing = missingPackage(lock)
if (missing !== undefined) await install()
checkNode(missing !== undefined)
