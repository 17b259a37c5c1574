/** `npm run evidence`: runs what shows that promises are kept, and writes one folder for somebody who audits. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { InvalidArgumentError, Option } from 'commander'
import { bad, EXIT, newCommand, runCommand, styled } from '../service/commands/terminal.ts'
import { type EvidenceResult, evidencePage } from './evidence-page.ts'
import { EVIDENCE_STEPS, type EvidenceStep } from './evidence-steps.ts'
import { machineFacts, type Objective } from './report.ts'

interface EvidenceOptions {
  readonly out?: string
  readonly only?: readonly string[]
  readonly seed: number
}

const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** Longer than any step takes on a slow machine. */
const STEP_S_MAX = 1_800
const OBSERVED_CHARS_MAX = 200

let running: ChildProcess | undefined
let isInterrupted = false

/** A scenario writes its own report; tests write what vitest says of each. */
function commandOf({ run }: EvidenceStep, folder: string, seed: number): readonly string[] {
  if (run.kind === 'scenario')
    return ['loadtest/main.ts', run.scenario, ...run.args, '--seed', String(seed), '--report', folder]
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${join(folder, 'tests.json')}`]
  return ['node_modules/vitest/vitest.mjs', 'run', ...run.args, ...reporters]
}

/** What somebody types to repeat it. */
function shownCommand({ run }: EvidenceStep, seed: number): string {
  if (run.kind === 'scenario') return ['npm run loadtest --', run.scenario, ...run.args, '--seed', seed].join(' ')
  return ['npx vitest run', ...run.args].join(' ')
}

/** Runs one step; its output goes to a file, and its last line to whoever waits. @returns its exit code */
async function played(args: readonly string[], logFile: string): Promise<number | null> {
  const log = createWriteStream(logFile)
  const env = { ...process.env, NO_COLOR: '1' }
  const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] })
  running = child
  const timer = setTimeout(() => child.kill('SIGTERM'), STEP_S_MAX * 1e3)
  for (const stream of [child.stdout, child.stderr]) stream.pipe(log, { end: false })
  child.stderr.on('data', (bytes: Buffer) => {
    const last = bytes.toString().trimEnd().split('\n').at(-1) ?? ''
    if (last !== '') console.error(styled('dim', `    ${last.slice(0, 110)}`))
  })
  const code = await new Promise<number | null>(done => child.once('close', done))
  clearTimeout(timer)
  running = undefined
  await new Promise<void>(done => log.end(done))
  return code
}

interface ScenarioJson {
  readonly objectives: readonly Objective[]
  readonly invalid: readonly string[]
}

interface TestsJson {
  readonly testResults: readonly {
    readonly assertionResults: readonly {
      readonly fullName: string
      readonly status: string
      readonly failureMessages: readonly string[]
    }[]
  }[]
}

async function jsonIn<T>(file: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as T
  } catch {
    return undefined
  }
}

/** A test is an objective: its name says what is promised. */
async function foundIn({ run }: EvidenceStep, folder: string): Promise<ScenarioJson | undefined> {
  if (run.kind === 'scenario') return jsonIn<ScenarioJson>(join(folder, `${run.scenario}.json`))
  const tests = await jsonIn<TestsJson>(join(folder, 'tests.json'))
  return (
    tests && {
      invalid: [],
      objectives: tests.testResults.flatMap(({ assertionResults }) =>
        assertionResults.map(({ fullName, status, failureMessages }) => ({
          ...{ name: fullName, promised: 'passes', held: status === 'passed' },
          observed: failureMessages[0]?.split('\n')[0]?.slice(0, OBSERVED_CHARS_MAX) ?? status,
        })),
      ),
    }
  )
}

async function shown(step: EvidenceStep, out: string, seed: number): Promise<EvidenceResult> {
  const folder = join(out, step.name)
  await mkdir(folder, { recursive: true })
  const logFile = join(folder, 'log.txt')
  const startMs = Date.now()
  const code = await played(commandOf(step, folder, seed), logFile)
  const found = await foundIn(step, folder)
  const { objectives = [], invalid = [] } = found ?? {}
  const sha256 = createHash('sha256')
    .update(await readFile(logFile))
    .digest('hex')
  return {
    ...{ name: step.name, claim: step.claim, command: shownCommand(step, seed), objectives },
    invalid: found === undefined ? [`it ended with ${String(code)} before it had a result; see its log`] : invalid,
    leftOut: undefined,
    seconds: Math.round((Date.now() - startMs) / 1e3),
    log: { file: relative(out, logFile), sha256 },
    report: step.run.kind === 'scenario' && found !== undefined ? join(step.name, 'report.html') : undefined,
  }
}

/** Nothing is claimed of what could not run here. */
function leftOut(step: EvidenceStep, seed: number): EvidenceResult {
  return {
    ...{ name: step.name, claim: step.claim, command: shownCommand(step, seed), objectives: [], invalid: [] },
    leftOut: 'no container engine answers here: `docker info` fails, and CONTAINER_ENGINE_UP is not set',
    ...{ seconds: 0, log: undefined, report: undefined },
  }
}

function hasContainers(): boolean {
  const { CONTAINER_ENGINE_UP = '' } = process.env
  return CONTAINER_ENGINE_UP !== '' || spawnSync('docker', ['info'], { stdio: 'ignore' }).status === 0
}

function verdictLine({ name, objectives, invalid, leftOut: why, seconds }: EvidenceResult): string {
  if (why !== undefined) return styled('yellow', `left out ${name}: ${why}`)
  const held = objectives.filter(each => each.held).length
  const counts = `${name}: ${held} of ${objectives.length} held, ${seconds} s`
  if (invalid.length > 0) return bad(`invalid ${counts}: ${invalid[0] ?? ''}`)
  return held === objectives.length ? styled('green', `held    ${counts}`) : bad(`missed  ${counts}`)
}

async function evidence({ out, only, seed }: EvidenceOptions): Promise<void> {
  const run = machineFacts()
  const folder = resolve(out ?? join('reports', `evidence-${String(run.at).slice(0, 16).replaceAll(':', '')}`))
  await mkdir(folder, { recursive: true })
  const steps = EVIDENCE_STEPS.filter(({ name }) => only === undefined || only.includes(name))
  const mayContain = steps.some(each => each.needsContainers) && hasContainers()
  const results: EvidenceResult[] = []
  for (const [number, step] of steps.entries()) {
    if (isInterrupted) break
    console.error(`${number + 1} of ${steps.length} ${step.name}: ${step.claim}`)
    const isPossible = step.needsContainers !== true || mayContain
    const result = isPossible ? await shown(step, folder, seed) : leftOut(step, seed)
    results.push(result)
    console.error(verdictLine(result))
    // After each step: whoever stops it early has what was shown until then.
    const facts = { ...run, seed, finished: new Date().toISOString() }
    await writeFile(join(folder, 'evidence.json'), `${JSON.stringify({ run: facts, results }, undefined, 2)}\n`)
    await writeFile(join(folder, 'index.html'), evidencePage(results, facts))
  }
  console.log(`Evidence: ${join(folder, 'index.html')}`)
  const isGood = results.every(each => each.invalid.length === 0 && each.objectives.every(({ held }) => held))
  process.exitCode = isGood && results.length === steps.length ? EXIT.good : EXIT.bad
}

function names(given: string): readonly string[] {
  const found = given.split(',')
  const unknown = found.find(each => !EVIDENCE_STEPS.some(({ name }) => name === each))
  if (unknown === undefined) return found
  throw new InvalidArgumentError(`${unknown} is none of ${EVIDENCE_STEPS.map(({ name }) => name).join(', ')}.`)
}

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    isInterrupted = true
    running?.kill('SIGTERM')
  })

const command = newCommand('evidence', 'Runs what shows that promises are kept, and writes a folder for an auditor.')
  .option('--out <dir>', 'folder to write; else one in reports/ named by date')
  .addOption(new Option('--only <names>', 'some steps, with commas between them').argParser(names))
  .option('--seed <number>', 'of all steps', Number, 1)
  .addHelpText(
    'after',
    `\nSteps:\n${EVIDENCE_STEPS.map(({ name, claim }) => `  ${name.padEnd(12)}${claim}`).join('\n')}`,
  )
  .addHelpText('after', '\nTakes about a quarter of an hour. Exit codes: 0 all held, 1 something was not, 2 usage.')
  .action(evidence)

await runCommand(command)
