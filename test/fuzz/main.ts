/** `npm run fuzz`: throws changed input at the service until something breaks or the time is over. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  bad,
  CommandProblem,
  EXIT,
  newCommand,
  runCommand,
  startProgress,
  styled,
  table,
} from '../../service/commands/terminal.ts'
import { type Finding, type FuzzReport, fuzz, replayOnce } from './fuzzer.ts'
import { TARGETS } from './targets.ts'

interface Options {
  readonly seed: string
  readonly minutes: string
  readonly target: string
  readonly replay?: string
}

const FOLDER = fileURLToPath(new URL('../../reports/fuzz', import.meta.url))
const NAMES = Object.keys(TARGETS)
const HEADING = ['target   ', '  inputs', 'a second', 'kept', 'blocks', 'findings']

function chosen({ target }: Options): readonly string[] {
  if (target === 'all') return NAMES
  if (TARGETS[target] === undefined) throw new CommandProblem(`--target must be all or one of ${NAMES.join(', ')}`)
  return [target]
}

function wholeNumber(given: string, max: number, what: string): number {
  if (/^\d{1,9}$/.test(given) && Number(given) <= max) return Number(given)
  throw new CommandProblem(`${what} must be a whole number from 0 to ${max}, got ${given}`)
}

/** Writes an input that found something. @returns where */
function save(name: string, seed: number, number: number, { input }: Finding): string {
  mkdirSync(FOLDER, { recursive: true })
  const file = join(FOLDER, `${name}-${seed}-${number}.bin`)
  writeFileSync(file, input)
  return file
}

function printFindings(name: string, seed: number, { findings }: FuzzReport): void {
  for (const [number, finding] of findings.entries()) {
    console.log(bad(`${name}: ${finding.problem}`))
    const file = save(name, seed, number, finding)
    console.log(`  ${finding.input.length} bytes (found with ${finding.foundBytes}), kept in ${file}`)
    console.log(`  again: npm run fuzz -- --target ${name} --replay ${file}`)
  }
}

async function replay(name: string, file: string): Promise<void> {
  const target = TARGETS[name]
  if (target === undefined) throw new CommandProblem('--replay needs the --target for which the file was kept')
  const problems = await replayOnce(target(), readFileSync(file))
  for (const problem of problems) console.log(bad(problem))
  if (problems.length === 0) console.log(styled('green', 'Nothing is wrong with it.'))
  process.exitCode = problems.length === 0 ? EXIT.good : EXIT.bad
}

async function run(options: Options): Promise<void> {
  if (options.replay !== undefined) return await replay(options.target, options.replay)
  const names = chosen(options)
  const seed = wholeNumber(options.seed, 2 ** 29, '--seed')
  const seconds = (Number(options.minutes) * 60) / names.length
  if (!(seconds > 0 && seconds < 86_400)) throw new CommandProblem('--minutes must be a number above 0')
  console.log(`seed ${seed}, ${Math.round(seconds)} s for each of ${names.join(', ')}`)
  let findings = 0
  for (const name of names) {
    const make = TARGETS[name] as (typeof TARGETS)[string]
    const startMs = performance.now()
    const doneS = () => (performance.now() - startMs) / 1e3
    const progress = startProgress(`Fuzzing ${name}`, Math.round(seconds))
    const report = await fuzz(make(), {
      seed,
      isGuided: true,
      isOver: () => doneS() > seconds,
      onProgress: () => progress.update(Math.min(Math.round(seconds), Math.round(doneS()))),
    }).finally(() => progress.stop())
    printFindings(name, seed, report)
    findings += report.findings.length
    const { inputs, corpus, blocks } = report
    const counts = [inputs, inputs / report.seconds, corpus, blocks, report.findings.length]
    const row = [name, ...counts.map(count => count.toFixed(0))]
    // As each target is done: who ends a long run early knows what was found until then.
    console.log(table([HEADING, row]))
  }
  process.exitCode = findings === 0 ? EXIT.good : EXIT.bad
}

const command = newCommand('fuzz', 'Throws changed input at the service and looks for what must not happen.')
  .option('--seed <n>', 'seed of all chance', String(Date.now() % 2 ** 29))
  .option('--minutes <n>', 'time for all targets together; parts of a minute are allowed', '2')
  .option('--target <name>', `all, or one of ${NAMES.join(', ')}`, 'all')
  .option('--replay <file>', 'runs one kept input once')
  .addHelpText('after', '\nExit codes: 0 nothing found, 1 findings, 2 wrong arguments.')
  .action(run)

await runCommand(command)
