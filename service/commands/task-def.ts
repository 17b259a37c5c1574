/** `npm run task-def -- --tenant … --tier … --memory …`: prints the ECS task definition of a tenant, as JSON alone. */
import { type Command, Option } from 'commander'
import { SETTINGS, tenantIdProblem } from '../config.ts'
import { type Architecture, SAMPLE_TASK, type TaskInput, taskDefinition } from './task-definition.ts'
import { explained, taskProblems, usualCpuUnits } from './task-size.ts'
import { CommandProblem, newCommand, runCommand } from './terminal.ts'

interface Options {
  readonly tenant: string
  readonly tier: string
  readonly memory: number
  readonly cpu?: number
  readonly arch: keyof typeof ARCHITECTURES
  readonly region: string
  readonly account: string
  readonly cell: string
  readonly infraGroup: string
  readonly publicUrl: string
  readonly image: string
  readonly fileSystem: string
  readonly accessPoint: string
  readonly secret: readonly string[]
  readonly collector?: string | true
  readonly explain?: true
}

const ARCHITECTURES: Readonly<Record<'x86-64' | 'arm64', Architecture>> = { 'x86-64': 'X86_64', arm64: 'ARM64' }
const SECRETS = Object.values(SETTINGS)
  .filter(setting => 'secret' in setting)
  .map(({ env }) => env)
const COLLECTOR = 'public.ecr.aws/aws-observability/aws-otel-collector@sha256:COLLECTOR_DIGEST'
/** What a value may be left to stand for, and the option that gives it. */
const FILLED_BY = {
  region: '--region',
  account: '--account',
  cell: '--cell',
  infraGroup: '--infra-group',
  publicUrl: '--public-url',
  image: '--image',
  fileSystem: '--file-system',
  accessPoint: '--access-point',
  collectorImage: '--collector',
} as const satisfies Partial<Record<keyof TaskInput, string>>

function whole(given: string): number {
  if (/^\d{1,6}$/.test(given)) return Number(given)
  throw new CommandProblem(`error: --memory and --cpu are whole numbers of MiB and CPU units, got ${given}`)
}

function secretName(given: string, before: readonly string[]): readonly string[] {
  if (!(SECRETS as readonly string[]).includes(given))
    throw new CommandProblem(`error: --secret must be one of ${SECRETS.join(', ')}, got ${given}`)
  return [...new Set([...before, given])]
}

const command: Command = newCommand(
  'task-def',
  'Prints the ECS task definition of a tenant: JSON alone on stdout, what is left to fill in on stderr.',
)
  .requiredOption('--tenant <id>', 'the one tenant that the task serves')
  .requiredOption('--tier <id>', "the tenant's SLA class; names the log group")
  .requiredOption('--memory <MiB>', 'memory of the task', whole)
  .option('--cpu <units>', 'CPU units, 1024 to a vCPU (default: the most with 2 GiB to each vCPU)', whole)
  .addOption(new Option('--arch <processor>', 'what it runs on').choices(Object.keys(ARCHITECTURES)).default('x86-64'))
  .option('--region <name>', 'region', SAMPLE_TASK.region)
  .option('--account <id>', 'account of roles, secrets and image', SAMPLE_TASK.account)
  .option('--cell <id>', 'cell', SAMPLE_TASK.cell)
  .option('--infra-group <id>', 'infra group; names the roles', SAMPLE_TASK.infraGroup)
  .option('--public-url <url>', 'address of the load balancer', SAMPLE_TASK.publicUrl)
  .option('--image <image>', 'repository@sha256:digest', SAMPLE_TASK.image)
  .option('--file-system <id>', 'EFS file system of the journal', SAMPLE_TASK.fileSystem)
  .option('--access-point <id>', "the tenant's access point to it", SAMPLE_TASK.accessPoint)
  .option(
    '--secret <setting>',
    'a setting that comes from Secrets Manager, beside STATE_URL and NOTICE_KEYS; repeat it',
    secretName,
    SAMPLE_TASK.secrets,
  )
  .option('--collector [image]', 'a collector for OpenTelemetry beside the service, which may die harmlessly')
  .option('--explain', 'tell on stderr how the memory is divided')
  .addHelpText('after', '\nExit codes: 0 printed, 2 wrong arguments, or a task that cannot do its work.')
  .action((options: Options) => {
    const input = inputOf(options)
    const tenantProblem = tenantIdProblem(options.tenant)
    const problems = tenantProblem === undefined ? taskProblems(input) : [`--tenant ${tenantProblem}`]
    if (problems.length > 0) throw new CommandProblem(problems.map(problem => `error: ${problem}`).join('\n'))
    const json = JSON.stringify(taskDefinition(input), null, 2)
    console.log(json)
    if (options.explain) console.error(explained(input))
    const left = optionsLeft(input)
    if (left.length > 0) console.error(`Left to fill in: ${left.join(', ')}`)
  })

function optionsLeft(input: TaskInput): string[] {
  return Object.entries(FILLED_BY).flatMap(([key, option]) => {
    const value = input[key as keyof typeof FILLED_BY]
    const isLeft = value !== undefined && (value === SAMPLE_TASK[key as keyof TaskInput] || value.endsWith('DIGEST'))
    return isLeft ? [option] : []
  })
}

function inputOf(options: Options): TaskInput {
  const cpuUnits = options.cpu ?? usualCpuUnits(options.memory)
  if (cpuUnits === undefined)
    throw new CommandProblem(
      `error: --memory ${options.memory} is no size that Fargate has, such as 1024, 4096 or 8192`,
    )
  const { tenant, tier, region, account, cell, infraGroup, publicUrl, fileSystem, accessPoint } = options
  return {
    ...{ tenant, tier, region, account, cell, infraGroup, publicUrl, fileSystem, accessPoint },
    ...{ cpuUnits, memoryMib: options.memory, architecture: ARCHITECTURES[options.arch] },
    image: options.image.replace('ACCOUNT', account).replace('REGION', region),
    secrets: options.secret,
    collectorImage: options.collector === true ? COLLECTOR : options.collector,
  }
}

await runCommand(command)
