import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { readConfig, SETTINGS } from '../service/config.ts'

interface NameValue {
  readonly name: string
  readonly value: string
}

interface Container {
  readonly name: string
  readonly memory: number
  readonly user: string
  readonly readonlyRootFilesystem: boolean
  readonly privileged: boolean
  readonly linuxParameters: { initProcessEnabled: boolean; capabilities: { add?: string[]; drop: string[] } }
  readonly ulimits: readonly { name: string; softLimit: number; hardLimit: number }[]
  readonly portMappings: readonly { containerPort: number }[]
  readonly environment: readonly NameValue[]
  readonly secrets: readonly { name: string; valueFrom: string }[]
  readonly mountPoints: readonly { sourceVolume: string; containerPath: string }[]
  readonly healthCheck: { command: string[]; interval: number; timeout: number; retries: number; startPeriod: number }
  readonly stopTimeout: number
  readonly logConfiguration: { logDriver: string; options: Record<string, string> }
}

interface TaskDefinition {
  readonly family: string
  readonly networkMode: string
  readonly requiresCompatibilities: readonly string[]
  readonly cpu: string
  readonly memory: string
  readonly containerDefinitions: readonly Container[]
  readonly volumes: readonly {
    name: string
    efsVolumeConfiguration: { transitEncryption: string; authorizationConfig: { accessPointId: string } }
  }[]
}

interface ComposeService {
  readonly user: string
  readonly read_only: boolean
  readonly init: boolean
  readonly cap_drop: string[]
  readonly mem_limit: string
  readonly memswap_limit: string
  readonly stop_grace_period: string
  readonly environment: Record<string, string>
  readonly image: string
}

const read = (name: string): string => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8')
const task = JSON.parse(read('ecs-task-def.json')) as TaskDefinition
const container = task.containerDefinitions[0]!
const compose = parse(read('docker/compose.yaml'), { merge: true }) as { services: Record<string, ComposeService> }
const dockerfile = read('docker/Dockerfile')

const TENANTS = ['acme-outdoor', 'bluebird-games', 'cinema-now'] as const
const environment = Object.fromEntries(container.environment.map(({ name, value }) => [name, value]))
const secretNames = container.secrets.map(secret => secret.name)
const settings = Object.values(SETTINGS)
const settingNames: readonly string[] = settings.map(setting => setting.env)
const secretSettings: readonly string[] = settings.filter(setting => 'secret' in setting).map(setting => setting.env)
/** The values that replace the placeholders of the task definition. */
const FILLED: Record<string, string> = {
  TENANT: 'acme-outdoor',
  TIER: 'standard',
  CELL: 'cell-1',
  INFRA_GROUP: 'group-1',
}

describe('the task definition', () => {
  test('sets only what the service reads, each once', () => {
    const names = [...Object.keys(environment), ...secretNames]
    expect(names.filter(name => !settingNames.includes(name))).toEqual([])
    expect(new Set(names).size).toBe(container.environment.length + container.secrets.length)
  })

  test('starts the service once its placeholders are filled', () => {
    const filled = Object.fromEntries(
      Object.entries(environment).map(([name, value]) => [name, FILLED[value] ?? value]),
    )
    const secrets = { STATE_URL: 'rediss://tenant:secret@cache:6379', NOTICE_KEYS: `k1:${'s'.repeat(32)}` }
    const config = readConfig({ ...filled, REGION: 'eu-west-1', ...secrets })
    expect(config).not.toHaveProperty('problems')
    expect(config).toMatchObject({ tenantId: 'acme-outdoor', tierId: 'standard', region: 'eu-west-1' })
  })

  test('keeps notices on a disk that outlives the task, and mounts it where the service writes', () => {
    expect(container.mountPoints.map(({ containerPath }) => containerPath)).toEqual([environment.JOURNAL_DIR])
    const [volume] = task.volumes
    expect(volume?.name).toBe(container.mountPoints[0]?.sourceVolume)
    expect(volume?.efsVolumeConfiguration).toMatchObject({ transitEncryption: 'ENABLED' })
    // Each tenant has an access point of its own: it sees no other's folder.
    expect(volume?.efsVolumeConfiguration.authorizationConfig.accessPointId).toContain('TENANT')
  })

  test('keeps secrets out of the plain environment', () => {
    expect(secretSettings.length).toBeGreaterThan(0)
    expect(Object.keys(environment).filter(name => secretSettings.includes(name))).toEqual([])
    for (const name of secretNames) expect(secretSettings).toContain(name)
    for (const secret of container.secrets) expect(secret.valueFrom).toMatch(/^arn:aws:secretsmanager:.*\/TENANT\//)
  })

  test('agrees with itself and the image about the public port, and maps no admin port', () => {
    expect(container.portMappings.map(mapping => String(mapping.containerPort))).toEqual([environment.PORT])
    expect(environment.PORT).toBe(SETTINGS.port.default)
    expect(dockerfile).toContain(`EXPOSE ${environment.PORT}\n`)
    expect(environment.ADMIN_HOST).toBe('127.0.0.1')
  })

  test('checks liveness with the command of the image, on the public port', () => {
    const [kind, ...command] = container.healthCheck.command
    expect(kind).toBe('CMD')
    expect(command.at(-1)).toBe(`http://127.0.0.1:${environment.PORT}/health/live`)
    expect(dockerfile).toContain(`CMD ${JSON.stringify(command).replaceAll(',', ', ')}`)
    expect(container.healthCheck.timeout).toBeLessThan(container.healthCheck.interval)
  })

  test('leaves the service time to drain before it is killed', () => {
    expect(container.stopTimeout).toBeGreaterThan(Number(environment.DRAIN_S))
    expect(container.stopTimeout).toBeLessThanOrEqual(120)
    // The load balancer sends requests until it has noticed; two checks of at most 10 s, and the last request.
    expect(Number(environment.DRAIN_S)).toBeGreaterThan(20)
  })

  test('asks for a size that Fargate has, all of it for the one container', () => {
    expect(fargateMemoriesMib(Number(task.cpu))).toContain(Number(task.memory))
    expect(container.memory).toBe(Number(task.memory))
    expect(environment.MEMORY_LIMIT_MIB).toBe(task.memory)
    expect(environment.BID_THREADS).toBe(String(Math.max(1, Number(task.cpu) / 1024 - 1)))
  })

  test('confines the container', () => {
    expect(container).toMatchObject({ user: '1000:1000', readonlyRootFilesystem: true, privileged: false })
    expect(container.linuxParameters).toEqual({ initProcessEnabled: true, capabilities: { drop: ['ALL'] } })
    // A connection is a file. Compose leaves the number to the engine: not every engine may raise it.
    expect(container.ulimits).toEqual([{ name: 'nofile', softLimit: 65_535, hardLimit: 65_535 }])
    expect(task).toMatchObject({ networkMode: 'awsvpc', requiresCompatibilities: ['FARGATE'] })
  })

  test('logs to the group of the tier under the name of the tenant, and never blocks', () => {
    expect(container.logConfiguration).toEqual({
      logDriver: 'awslogs',
      options: {
        'awslogs-group': '/bidcell/TIER',
        'awslogs-region': 'REGION',
        'awslogs-stream-prefix': 'TENANT',
        mode: 'non-blocking',
        'max-buffer-size': '25m',
      },
    })
  })
})

describe.each(TENANTS)('the compose service of %s', tenant => {
  const service = compose.services[tenant]!

  test('is confined as the task definition says', () => {
    expect(service).toMatchObject({ user: container.user, read_only: container.readonlyRootFilesystem, init: true })
    expect(service.cap_drop).toEqual(container.linuxParameters.capabilities.drop)
    expect(service.stop_grace_period).toBe(`${container.stopTimeout}s`)
    expect(service.mem_limit).toMatch(/^\d+m$/)
    expect(service.memswap_limit).toBe(service.mem_limit)
  })

  test('sets what the service reads and the authority that signed the cache, nothing else', () => {
    const { NODE_EXTRA_CA_CERTS: authority, ...rest } = service.environment
    expect(authority).toBe('/trust/ca.crt')
    expect(Object.keys(rest).filter(name => !settingNames.includes(name))).toEqual([])
    expect(readConfig(rest)).toMatchObject({ tenantId: tenant })
    expect(new URL(rest.STATE_URL ?? '').username).toBe(`${tenant}-service`)
  })

  test('is where the proxy sends its path', () => {
    const proxy = read('docker/proxy/haproxy.cfg')
    expect(proxy).toContain(`use_backend ${tenant} if { path_beg /${tenant}/ }`)
    expect(proxy).toContain(`option httpchk GET /${tenant}/health/ready`)
    expect(proxy).toContain(`server task ${tenant}:${SETTINGS.port.default}\n`)
  })
})

test('the proxy lives by the idle time-out that the service is told', () => {
  const proxy = read('docker/proxy/haproxy.cfg')
  expect(environment.ALB_IDLE_TIMEOUT_S).toBe(SETTINGS.albIdleTimeoutS.default)
  expect(proxy).toContain(`timeout http-keep-alive ${environment.ALB_IDLE_TIMEOUT_S}s`)
})

/** Memory sizes that Fargate offers for a number of CPU units. */
function fargateMemoriesMib(cpuUnits: number): number[] {
  const range = (fromGib: number, toGib: number, stepGib: number) =>
    Array.from({ length: (toGib - fromGib) / stepGib + 1 }, (_, index) => (fromGib + index * stepGib) * 1024)
  const offered: Record<number, number[]> = {
    256: [512, 1024, 2048],
    512: range(1, 4, 1),
    1024: range(2, 8, 1),
    2048: range(4, 16, 1),
    4096: range(8, 30, 1),
    8192: range(16, 60, 4),
    16384: range(32, 120, 8),
  }
  return offered[cpuUnits] ?? []
}
