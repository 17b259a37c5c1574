/** The ECS task definition of a tenant: what the service must have to keep its promises, as one value. */
import { LIMITS } from '../limits.ts'
import { memoryPlan } from '../memory-plan.ts'

/** What differs from tenant to tenant. Texts in capitals stand for what is filled in later. */
export interface TaskInput {
  readonly tenant: string
  readonly tier: string
  readonly region: string
  readonly account: string
  readonly cell: string
  readonly infraGroup: string
  readonly publicUrl: string
  /** `repository@sha256:digest`, or what stands for it. */
  readonly image: string
  readonly architecture: Architecture
  /** Of the whole task. */
  readonly cpuUnits: number
  readonly memoryMib: number
  /** EFS file system and access point of the journal. */
  readonly fileSystem: string
  readonly accessPoint: string
  /** Settings that come as secrets, by their names. */
  readonly secrets: readonly string[]
  /** Image of an OpenTelemetry collector beside the service; undefined: none. */
  readonly collectorImage?: string | undefined
}

/** Processors that the image exists for. */
export type Architecture = 'X86_64' | 'ARM64'

interface NameValue {
  name: string
  value: string
}

interface LogConfiguration {
  logDriver: 'awslogs'
  options: Record<string, string>
}

/** A container as ECS takes it; only what we say. */
export interface ContainerDefinition {
  name: string
  image: string
  essential: boolean
  command?: string[]
  cpu?: number
  memory: number
  user?: string
  readonlyRootFilesystem: boolean
  privileged: boolean
  linuxParameters: { initProcessEnabled: boolean; capabilities: { drop: string[] } }
  ulimits?: { name: 'nofile'; softLimit: number; hardLimit: number }[]
  portMappings?: { name: string; containerPort: number; protocol: 'tcp'; appProtocol: 'http' }[]
  environment: NameValue[]
  secrets?: { name: string; valueFrom: string }[]
  mountPoints?: { sourceVolume: string; containerPath: string; readOnly: boolean }[]
  healthCheck?: { command: string[]; interval: number; timeout: number; retries: number; startPeriod: number }
  stopTimeout?: number
  logConfiguration: LogConfiguration
}

/** A task definition as ECS takes it; only what we say. */
export interface TaskDefinition {
  family: string
  requiresCompatibilities: 'FARGATE'[]
  networkMode: 'awsvpc'
  runtimePlatform: { cpuArchitecture: Architecture; operatingSystemFamily: 'LINUX' }
  cpu: string
  memory: string
  executionRoleArn: string
  taskRoleArn: string
  containerDefinitions: ContainerDefinition[]
  volumes: {
    name: string
    efsVolumeConfiguration: {
      fileSystemId: string
      transitEncryption: 'ENABLED'
      authorizationConfig: { accessPointId: string; iam: 'ENABLED' }
    }
  }[]
  tags: { key: string; value: string }[]
}

/** The sample in ecs-task-def.json: all that a person must fill in stands in capitals. */
export const SAMPLE_TASK: TaskInput = {
  ...{ tenant: 'TENANT', tier: 'TIER', region: 'REGION', account: 'ACCOUNT', cell: 'CELL', infraGroup: 'INFRA_GROUP' },
  publicUrl: 'https://ads.example.com',
  image: 'ACCOUNT.dkr.ecr.REGION.amazonaws.com/bidcell@sha256:DIGEST',
  architecture: 'X86_64',
  ...{ cpuUnits: 2_048, memoryMib: 4_096 },
  ...{ fileSystem: 'fs-JOURNAL', accessPoint: 'fsap-TENANT' },
  secrets: ['STATE_URL', 'NOTICE_KEYS'],
}

const PUBLIC_PORT = 8080
const JOURNAL = '/journal'
/** Of the whole task; what the collector takes, the service has not. */
const COLLECTOR_MIB = 256
const COLLECTOR_CPU_UNITS = 64
/** Two checks of the load balancer, the last request, the phases after it; and until SIGKILL, what the log may take. */
const DRAIN_S = 45
const STOP_TIMEOUT_S = 60
/** A connection is a file; so are logs, the cache, the journal. */
const FILES_MIN = 65_535
const FILES_BESIDE_CONNECTIONS = 1_024

/** Memory that the service itself has, and the threads that bid. */
export function taskSize({ cpuUnits, memoryMib, collectorImage }: TaskInput): { limitMib: number; bidThreads: number } {
  return {
    limitMib: memoryMib - (collectorImage === undefined ? 0 : COLLECTOR_MIB),
    bidThreads: Math.max(1, Math.floor(cpuUnits / 1_024) - 1),
  }
}

/** Renders it. Pure; nothing is checked here, see taskProblems. */
export function taskDefinition(input: TaskInput): TaskDefinition {
  const { tenant, tier, account, infraGroup, cell, collectorImage } = input
  const containerDefinitions = [serviceContainer(input)]
  if (collectorImage !== undefined) containerDefinitions.push(collectorContainer(input, collectorImage))
  return {
    family: `bidcell-${tenant}`,
    requiresCompatibilities: ['FARGATE'],
    networkMode: 'awsvpc',
    runtimePlatform: { cpuArchitecture: input.architecture, operatingSystemFamily: 'LINUX' },
    cpu: String(input.cpuUnits),
    memory: String(input.memoryMib),
    executionRoleArn: `arn:aws:iam::${account}:role/bidcell-${infraGroup}-execution`,
    taskRoleArn: `arn:aws:iam::${account}:role/bidcell-${infraGroup}-task`,
    containerDefinitions,
    volumes: [
      {
        name: 'journal',
        efsVolumeConfiguration: {
          fileSystemId: input.fileSystem,
          transitEncryption: 'ENABLED',
          authorizationConfig: { accessPointId: input.accessPoint, iam: 'ENABLED' },
        },
      },
    ],
    tags: [
      { key: 'tenant', value: tenant },
      { key: 'tier', value: tier },
      { key: 'cell', value: cell },
      { key: 'infra-group', value: infraGroup },
    ],
  }
}

function serviceContainer(input: TaskInput): ContainerDefinition {
  const { limitMib, bidThreads } = taskSize(input)
  const { controlOldMib, semiSpaceMib } = memoryPlan({ limitMib, bidThreads })
  const files = Math.max(FILES_MIN, bidThreads * LIMITS.connectionsMax + FILES_BESIDE_CONNECTIONS)
  const health = `http://127.0.0.1:${PUBLIC_PORT}/health/live`
  return {
    name: 'bidcell',
    image: input.image,
    essential: true,
    command: [
      'node',
      `--max-old-space-size=${controlOldMib}`,
      `--max-semi-space-size=${semiSpaceMib}`,
      'service/main.ts',
    ],
    memory: limitMib,
    user: '1000:1000',
    ...confined(),
    ulimits: [{ name: 'nofile', softLimit: files, hardLimit: files }],
    portMappings: [{ name: 'public', containerPort: PUBLIC_PORT, protocol: 'tcp', appProtocol: 'http' }],
    environment: environmentOf(input),
    secrets: input.secrets.map(name => ({ name, valueFrom: secretArn(input, name) })),
    mountPoints: [{ sourceVolume: 'journal', containerPath: JOURNAL, readOnly: false }],
    // Liveness alone: a task whose cache is away must not be killed for it.
    healthCheck: {
      command: ['CMD', 'node', 'service/commands/health-check.ts', health],
      ...{ interval: 10, timeout: 5, retries: 3, startPeriod: 60 },
    },
    stopTimeout: STOP_TIMEOUT_S,
    logConfiguration: logConfiguration(input),
  }
}

function environmentOf(input: TaskInput): NameValue[] {
  const { limitMib, bidThreads } = taskSize(input)
  const values: Record<string, string> = {
    ...{ TENANT_ID: input.tenant, TIER_ID: input.tier, REGION: input.region },
    ...{ CELL_ID: input.cell, INFRA_GROUP_ID: input.infraGroup, PUBLIC_URL: input.publicUrl },
    ...{ JOURNAL_DIR: JOURNAL, PORT: String(PUBLIC_PORT), ADMIN_HOST: '127.0.0.1', ADMIN_PORT: '9090' },
    ...{ BID_THREADS: String(bidThreads), MEMORY_LIMIT_MIB: String(limitMib) },
    ...{ MEMORY_WARN_PERCENT: '70', MEMORY_CRITICAL_PERCENT: '85', ALB_IDLE_TIMEOUT_S: '60' },
    ...{ DRAIN_S: String(DRAIN_S), METRICS_SINK: 'emf', LOG_LEVEL: 'info' },
  }
  if (input.collectorImage !== undefined) values.OTEL_EXPORTER_OTLP_ENDPOINT = 'http://127.0.0.1:4318'
  return Object.entries(values).map(([name, value]) => ({ name, value }))
}

/** Nothing waits for it, and its end ends nothing: what it does not take is lost, and the metric lines stay. */
function collectorContainer(input: TaskInput, image: string): ContainerDefinition {
  return {
    name: 'collector',
    image,
    essential: false,
    cpu: COLLECTOR_CPU_UNITS,
    memory: COLLECTOR_MIB,
    ...confined(),
    environment: [{ name: 'GOMEMLIMIT', value: `${Math.floor(COLLECTOR_MIB * 0.8)}MiB` }],
    logConfiguration: logConfiguration(input),
  }
}

function confined() {
  return {
    readonlyRootFilesystem: true,
    privileged: false,
    linuxParameters: { initProcessEnabled: true, capabilities: { drop: ['ALL'] } },
  }
}

function secretArn({ region, account, tenant }: TaskInput, setting: string): string {
  const name = setting.toLowerCase().replaceAll('_', '-')
  return `arn:aws:secretsmanager:${region}:${account}:secret:bidcell/${tenant}/${name}`
}

/** A log driver that blocks would hold up the service; without a size of its own the buffer has 1 MB. */
function logConfiguration({ tier, region, tenant }: TaskInput): LogConfiguration {
  return {
    logDriver: 'awslogs',
    options: {
      'awslogs-group': `/bidcell/${tier}`,
      'awslogs-region': region,
      'awslogs-stream-prefix': tenant,
      mode: 'non-blocking',
      'max-buffer-size': '25m',
    },
  }
}
