import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { SAMPLE_TASK, type TaskDefinition, taskDefinition } from '../service/commands/task-definition.ts'
import { isOffered, taskProblems, usualCpuUnits } from '../service/commands/task-size.ts'
import { readConfig, SETTINGS } from '../service/config.ts'
import { LIMITS } from '../service/limits.ts'
import { memoryPlan } from '../service/memory-plan.ts'
import { runService } from './wire/service-run.ts'

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
const { secrets: containerSecrets = [], mountPoints = [], portMappings = [], healthCheck, stopTimeout = 0 } = container
/** Variables of the environment have their defaults. */
const composed = read('docker/compose.yaml').replaceAll(/\$\{\w+:-([^}]*)\}/g, '$1')
const compose = parse(composed, { merge: true }) as { services: Record<string, ComposeService> }
const dockerfile = read('docker/Dockerfile')

const TENANTS = ['acme-outdoor', 'bluebird-games', 'cinema-now'] as const
const environment = Object.fromEntries(container.environment.map(({ name, value }) => [name, value]))
const secretNames = containerSecrets.map(secret => secret.name)
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
  test('in the file is the one that the command renders', () => {
    expect(task, 'npm run format writes it anew').toEqual(taskDefinition(SAMPLE_TASK))
  })

  test('is one that the AWS SDK takes, without a field of our own', () => {
    expect('./aws/task-definition-types.ts').toContain('aws')
    const folder = fileURLToPath(new URL('./aws', import.meta.url))
    const { stdout, status } = spawnSync('npx', ['--no-install', 'tsc', '--noEmit', '-p', folder], { encoding: 'utf8' })
    expect({ stdout, status }).toEqual({ stdout: '', status: 0 })
  })

  test('sets only what the service reads, each once', () => {
    const names = [...Object.keys(environment), ...secretNames]
    expect(names.filter(name => !settingNames.includes(name))).toEqual([])
    expect(new Set(names).size).toBe(container.environment.length + containerSecrets.length)
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
    expect(mountPoints.map(({ containerPath }) => containerPath)).toEqual([environment.JOURNAL_DIR])
    const [volume] = task.volumes
    expect(volume?.name).toBe(mountPoints[0]?.sourceVolume)
    expect(volume?.efsVolumeConfiguration).toMatchObject({ transitEncryption: 'ENABLED' })
    // Each tenant has an access point of its own: it sees no other's folder.
    expect(volume?.efsVolumeConfiguration.authorizationConfig.accessPointId).toContain('TENANT')
  })

  test('keeps secrets out of the plain environment', () => {
    expect(secretSettings.length).toBeGreaterThan(0)
    expect(Object.keys(environment).filter(name => secretSettings.includes(name))).toEqual([])
    for (const name of secretNames) expect(secretSettings).toContain(name)
    for (const secret of containerSecrets) expect(secret.valueFrom).toMatch(/^arn:aws:secretsmanager:.*\/TENANT\//)
  })

  test('agrees with itself and the image about the public port, and maps no admin port', () => {
    expect(portMappings.map(mapping => String(mapping.containerPort))).toEqual([environment.PORT])
    expect(environment.PORT).toBe(SETTINGS.port.default)
    expect(dockerfile).toContain(`EXPOSE ${environment.PORT}\n`)
    expect(environment.ADMIN_HOST).toBe('127.0.0.1')
  })

  test('checks liveness with the command of the image, on the public port', () => {
    const [kind, ...command] = healthCheck!.command
    expect(kind).toBe('CMD')
    expect(command.at(-1)).toBe(`http://127.0.0.1:${environment.PORT}/health/live`)
    expect(dockerfile).toContain(`CMD ${JSON.stringify(command).replaceAll(',', ', ')}`)
    expect(healthCheck!.timeout).toBeLessThan(healthCheck!.interval)
  })

  test('leaves the service time to drain before it is killed', () => {
    expect(stopTimeout).toBeGreaterThan(Number(environment.DRAIN_S))
    expect(stopTimeout).toBeLessThanOrEqual(120)
    // The load balancer sends requests until it has noticed; two checks of at most 10 s, and the last request.
    expect(Number(environment.DRAIN_S)).toBeGreaterThan(20)
  })

  test('asks for a size that Fargate has, all of it for the one container', () => {
    expect(isOffered(Number(task.cpu), Number(task.memory))).toBe(true)
    expect(container.memory).toBe(Number(task.memory))
    expect(environment.MEMORY_LIMIT_MIB).toBe(task.memory)
    expect(environment.BID_THREADS).toBe(String(Math.max(1, Number(task.cpu) / 1024 - 1)))
  })

  test('starts the image, with the heap of the control thread as planned', () => {
    const { controlOldMib, semiSpaceMib } = memoryPlan({ limitMib: Number(task.memory), bidThreads: 1 })
    const flags = [`--max-old-space-size=${controlOldMib}`, `--max-semi-space-size=${semiSpaceMib}`]
    expect(container.command).toEqual(['node', ...flags, 'service/main.ts'])
    expect(dockerfile).toContain('CMD ["node", "service/main.ts"]')
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

/** What the command prints and how it ends. */
function rendered(...args: string[]): { out: string; err: string; status: number | null } {
  const command = fileURLToPath(new URL('../service/commands/task-def.ts', import.meta.url))
  const { stdout, stderr, status } = spawnSync(process.execPath, [command, ...args], { encoding: 'utf8' })
  return { out: stdout, err: stderr, status }
}
const ACME = ['--tenant', 'acme-outdoor', '--tier', 'gold']

describe('npm run task-def', () => {
  test('prints JSON alone on stdout, and what is left to fill in and the memory on stderr', () => {
    const { out, err, status } = rendered(...ACME, '--memory', '8192', '--arch', 'arm64', '--explain')
    expect(status).toBe(0)
    const definition = JSON.parse(out) as TaskDefinition
    expect(definition).toMatchObject({ family: 'bidcell-acme-outdoor', cpu: '4096', memory: '8192' })
    expect(definition.runtimePlatform).toEqual({ cpuArchitecture: 'ARM64', operatingSystemFamily: 'LINUX' })
    expect(out).toContain('/bidcell/gold')
    expect(out).toContain('secret:bidcell/acme-outdoor/state-url')
    expect(err).toMatch(/3 × bid thread: old 192/)
    expect(err).toMatch(/6963 MiB {2}together: 85 % of the limit/)
    expect(err).toContain('Left to fill in: --region, --account, --cell')
  })

  test('leaves nothing to fill in when all is given, and takes further secrets', () => {
    const { out, err, status } = rendered(
      ...[...ACME, '--memory', '4096', '--cpu', '1024', '--region', 'eu-west-1', '--account', '123456789012'],
      ...['--cell', 'cell-1', '--infra-group', 'group-1', '--public-url', 'https://ads.acme.example'],
      ...['--image', 'registry.example/bidcell@sha256:00', '--file-system', 'fs-1', '--access-point', 'fsap-1'],
      ...['--secret', 'SPEND_URL'],
    )
    expect({ err, status }).toEqual({ err: '', status: 0 })
    const { secrets = [] } = (JSON.parse(out) as TaskDefinition).containerDefinitions[0]!
    expect(secrets.map(({ name }) => name)).toEqual(['STATE_URL', 'NOTICE_KEYS', 'SPEND_URL'])
    expect(out).not.toMatch(/[A-Z]{4,}_?(DIGEST|ACCOUNT|REGION|CELL)"/)
  })

  test('puts a collector beside the service that may end, and that nothing waits for', () => {
    const { out } = rendered(...ACME, '--memory', '4096', '--collector', 'registry.example/collector@sha256:00')
    const [service, collector] = (JSON.parse(out) as TaskDefinition).containerDefinitions
    expect(collector).toMatchObject({ essential: false, readonlyRootFilesystem: true })
    expect(service!.memory + collector!.memory).toBe(4_096)
    expect(out).not.toContain('dependsOn')
    expect(service?.environment).toContainEqual({ name: 'MEMORY_LIMIT_MIB', value: String(service?.memory) })
    expect(service?.environment.some(({ name }) => name === 'OTEL_EXPORTER_OTLP_ENDPOINT')).toBe(true)
  })

  test.each([
    ['a tenant id', ['--tenant', 'Acme', '--tier', 'gold', '--memory', '4096'], '--tenant must be 3 to 20'],
    ['a tier', ['--tenant', 'acme', '--tier', 'go ld', '--memory', '4096'], 'TIER_ID must be'],
    ['a size', [...ACME, '--memory', '3000', '--cpu', '1024'], 'no size that Fargate has'],
    ['memory', [...ACME, '--memory', '3000'], 'no size that Fargate has'],
    ['too little memory', [...ACME, '--memory', '512', '--collector'], 'give more memory'],
    ['a public address', [...ACME, '--memory', '4096', '--public-url', 'http://x.example'], 'PUBLIC_URL must be'],
    ['a secret', [...ACME, '--memory', '4096', '--secret', 'PORT'], '--secret must be one of'],
  ])('refuses %s that is wrong, with 2 and the remedy', (_what, args, problem) => {
    const { out, err, status } = rendered(...args)
    expect({ out, status }).toEqual({ out: '', status: 2 })
    expect(err).toContain(problem)
  })

  test('can render every size that Fargate has and that leaves room for state', () => {
    let rendered = 0
    for (let memoryMib = 512; memoryMib <= 122_880; memoryMib += 512) {
      const cpuUnits = usualCpuUnits(memoryMib)
      if (cpuUnits === undefined) continue
      const input = { ...SAMPLE_TASK, tenant: 'acme-outdoor', tier: 'gold', cpuUnits, memoryMib }
      expect(taskProblems(input), `${cpuUnits} ${memoryMib}`).toEqual([])
      const { ulimits = [], environment: values } = taskDefinition(input).containerDefinitions[0]!
      const bidThreads = Number(values.find(({ name }) => name === 'BID_THREADS')?.value)
      expect(ulimits[0]?.softLimit).toBeGreaterThan(bidThreads * LIMITS.connectionsMax)
      rendered++
    }
    expect(rendered).toBeGreaterThan(30)
  })
})

test('a task that is started as the command says has the heaps of the plan, in all of its threads', async () => {
  const MIB = 1_024 * 1_024
  const plan = memoryPlan({ limitMib: 1_024, bidThreads: 2 })
  const run = await runService({
    ...{ TENANT_ID: 'acme-outdoor', BID_THREADS: '2', MEMORY_LIMIT_MIB: '1024', DRAIN_S: '1' },
    STATE_URL: `file:${fileURLToPath(new URL('./tenants/acme-outdoor', import.meta.url))}`,
    NODE_OPTIONS: `--max-old-space-size=${plan.controlOldMib} --max-semi-space-size=${plan.semiSpaceMib}`,
  })
  try {
    await run.entry('ready')
    const text = await (await fetch(`http://127.0.0.1:${run.adminPort}/metrics`)).text()
    const limits = [...text.matchAll(/^bidcell_heap_limit_bytes\{.*thread="(.+)"\} (\d+)$/gm)]
    expect(Object.fromEntries(limits.map(([, thread, bytes]) => [thread, Number(bytes) / MIB]))).toEqual({
      control: plan.controlOldMib + plan.controlYoungMib,
      'bid-1': plan.bidThreadOldMib + plan.bidThreadYoungMib,
      'bid-2': plan.bidThreadOldMib + plan.bidThreadYoungMib,
    })
  } finally {
    run.kill('SIGKILL')
  }
})

describe.each(TENANTS)('the compose service of %s', tenant => {
  const service = compose.services[tenant]!

  test('is confined as the task definition says', () => {
    expect(service).toMatchObject({ user: container.user, read_only: container.readonlyRootFilesystem, init: true })
    expect(service.cap_drop).toEqual(container.linuxParameters.capabilities.drop)
    expect(service.stop_grace_period).toBe(`${stopTimeout}s`)
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
    expect(proxy).toContain(`server-template task 3 ${tenant}:${SETTINGS.port.default}\n`)
  })
})

test('the proxy lives by the idle time-out that the service is told', () => {
  const proxy = read('docker/proxy/haproxy.cfg')
  expect(environment.ALB_IDLE_TIMEOUT_S).toBe(SETTINGS.albIdleTimeoutS.default)
  expect(proxy).toContain(`timeout http-keep-alive ${environment.ALB_IDLE_TIMEOUT_S}s`)
})
