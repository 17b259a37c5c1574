/** What the container agent says about this task. Asked once, at start; anywhere but on ECS there is no answer. */

/** Facts about the task, each as far as it is known. */
export interface EcsTask {
  /** Last part of the task's ARN: the name that the ECS console shows. */
  readonly taskId?: string
  readonly taskArn?: string
  /** Of the container that asks. */
  readonly containerArn?: string
  readonly cluster?: string
  readonly family?: string
  readonly revision?: string
  readonly launchType?: string
  readonly availabilityZone?: string
  /** The task's own limit, which on Fargate no cgroup of the container shows. */
  readonly memoryLimitMib?: number
}

const TIMEOUT_MS = 1_000

/**
 * Asks the metadata endpoint.
 * @param metadataUri ECS_CONTAINER_METADATA_URI_V4; undefined outside ECS.
 * @returns undefined when there is no endpoint, no answer within a second, or none that can be read. Never throws.
 */
export async function readEcsTask(
  metadataUri: string | undefined,
  timeoutMs = TIMEOUT_MS,
): Promise<EcsTask | undefined> {
  if (metadataUri === undefined || metadataUri === '') return undefined
  try {
    const signal = AbortSignal.timeout(timeoutMs)
    const [task, container] = await Promise.all([
      jsonAt(`${metadataUri}/task`, signal),
      jsonAt(metadataUri, signal).catch(() => undefined),
    ])
    return ecsTaskOf(task, container)
  } catch {
    return undefined
  }
}

async function jsonAt(url: string, signal: AbortSignal): Promise<unknown> {
  const answer = await fetch(url, { signal, redirect: 'error' })
  return answer.ok ? await answer.json() : undefined
}

function ecsTaskOf(body: unknown, container: unknown): EcsTask | undefined {
  if (typeof body !== 'object' || body === null) return undefined
  const given = body as Readonly<Record<string, unknown>>
  const text = (key: string) => (typeof given[key] === 'string' ? given[key] : undefined)
  const limits = given.Limits
  const memory = typeof limits === 'object' && limits !== null && 'Memory' in limits ? limits.Memory : undefined
  const ofContainer = typeof container === 'object' && container !== null ? container : {}
  const containerArn = 'ContainerARN' in ofContainer ? ofContainer.ContainerARN : undefined
  const facts = {
    taskId: text('TaskARN')?.split('/').at(-1),
    taskArn: text('TaskARN'),
    containerArn: typeof containerArn === 'string' ? containerArn : undefined,
    cluster: text('Cluster'),
    family: text('Family'),
    revision: text('Revision'),
    launchType: text('LaunchType'),
    availabilityZone: text('AvailabilityZone'),
    memoryLimitMib: typeof memory === 'number' ? memory : undefined,
  }
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined)) as EcsTask
}
