/** `npm run loadtest -- [SCENARIO]`: load, measured from outside, with objectives that can be missed. */
import { Argument, InvalidArgumentError } from 'commander'
import { bad, CommandProblem, EXIT, newCommand, runCommand, styled, table } from '../service/commands/terminal.ts'
import { TenantDirectoryError } from '../service/remote-cache/tenant-directory.ts'
import type { summaryOf } from './histogram.ts'
import { loopbackTarget, TargetRefused } from './loopback.ts'
import { ms, type Report, writeReport } from './report.ts'
import { playScenario, SCENARIOS, type ScenarioName, type ScenarioOptions } from './scenarios.ts'
import { Stage } from './stage.ts'

interface Options extends ScenarioOptions {
  readonly report?: string
}

const EXAMPLES_SHOWN = 10
function wholeFrom(min: number, max: number): (given: string) => number {
  return given => {
    const value = Number(given)
    if (/^\d+$/.test(given) && value >= min && value <= max) return value
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
  }
}

function priceFrom(given: string): number {
  if (/^\d{1,6}(\.\d{1,9})?$/.test(given)) return Number(given)
  throw new InvalidArgumentError('It must be a price like 0.04.')
}

function loopback(given: string): string {
  try {
    loopbackTarget(given)
    return given
  } catch (error) {
    throw error instanceof TargetRefused ? new InvalidArgumentError(error.message) : error
  }
}

/** The canonical workload says two numbers; everything else says a table. */
function showFigures(scenario: ScenarioName, report: Report): void {
  if (scenario !== 'canonical') {
    console.log(table(padded(report.table)))
    return
  }
  const { capacityPerS, steps } = report.figures as {
    capacityPerS?: number
    steps: readonly { answersPerS: number; latencyUs: ReturnType<typeof summaryOf> }[]
  }
  const step = steps[0]
  if (step === undefined) return
  console.log(`throughput  ${capacityPerS ?? step.answersPerS} requests/s`)
  console.log(`p99         ${ms(step.latencyUs.p99)} ms at ${step.answersPerS} requests/s`)
}

function padded(rows: Report['table']): Report['table'] {
  const columns = Math.max(...rows.map(row => row.length))
  return rows.map(row => [...row, ...Array.from({ length: columns - row.length }, () => '')])
}

/** @returns whether the run is valid and all objectives were held */
function showVerdict({ objectives, invalid, examples }: Report): boolean {
  for (const { name, promised, observed, held } of objectives) {
    const text = `${name}: ${observed}, promised ${promised}`
    if (held) console.log(styled('green', `held    ${text}`))
    else console.error(bad(`missed  ${text}`))
  }
  for (const why of invalid) console.error(bad(`invalid ${why}`))
  for (const example of examples.slice(0, EXAMPLES_SHOWN)) console.error(`  ${example}`)
  return invalid.length === 0 && objectives.every(each => each.held)
}

async function loadtest(scenario: ScenarioName, urls: readonly string[], given: Omit<Options, 'urls'>): Promise<void> {
  const options = { ...given, urls }
  const stage = new Stage(what => console.error(styled('dim', what)))
  const end = () => void stage.close().finally(() => process.exit(EXIT.bad))
  process.once('SIGINT', end).once('SIGTERM', end)
  try {
    const report = await playScenario(scenario, options, stage)
    showFigures(scenario, report)
    const good = showVerdict(report)
    if (options.report !== undefined) console.log(`Report: ${(await writeReport(options.report, report)).join(' ')}`)
    process.exitCode = good ? EXIT.good : EXIT.bad
  } catch (error) {
    if (error instanceof TenantDirectoryError || error instanceof TargetRefused) throw new CommandProblem(error.message)
    throw error
  } finally {
    await stage.close()
  }
}

const command = newCommand('loadtest', 'Loads a service on this machine and judges it by the promised figures.')
  .addArgument(new Argument('[scenario]', 'what to show').choices(Object.keys(SCENARIOS)).default('canonical'))
  .argument('[urls...]', 'of running services, for compare')
  .option('--target <url>', "a running service, with the tenant's path: http://127.0.0.1:8080/acme", loopback)
  .option('--tenant-dir <dir>', 'tenant documents to load and to draw traffic from; else the sample tenant')
  .option('--line-items <count>', 'load a generated tenant of so many line items', wholeFrom(1, 200_000))
  .option('--recorded <file>', 'recorded requests instead of drawn ones, one JSON object a line')
  .option('--exchange <id>', 'exchange that sends the recorded ones', 'prebid')
  .option(
    '--rate <per second>',
    'requests per second, wished ones for sizing; else shares of the measured capacity',
    wholeFrom(1, 1_000_000),
  )
  .option('--users <count>', 'people with segments that sizing counts with', wholeFrom(0, 1_000_000_000), 0)
  .option('--vcpu-hour-price <price>', 'what a vCPU costs an hour, for sizing', priceFrom)
  .option('--gib-hour-price <price>', 'what a GiB of memory costs an hour, for sizing', priceFrom)
  .option('--duration <seconds>', 'of one measurement, or of one window of isolation', wholeFrom(1, 86_400))
  .option('--rounds <count>', 'interleaved rounds of isolation', wholeFrom(2, 1_000), 5)
  .option('--lag-ms-max <ms>', 'p99 of its send lag above which the generator was too slow', wholeFrom(1, 1_000), 1)
  .option('--seed <number>', 'of traffic and arrivals', wholeFrom(0, 4_294_967_295), 1)
  .option('--report <dir>', 'write the result there, as JSON and as one HTML page')
  .addHelpText('after', `\nScenarios:\n${table(Object.entries(SCENARIOS).map(([name, { shows }]) => [name, shows]))}`)
  .addHelpText('after', '\nExit codes: 0 all objectives held, 1 one was missed or the run is invalid, 2 usage.')
  .action(loadtest)

await runCommand(command)
