/** Whether a task of a size can be had, and can do its work. */
import { readConfig } from '../config.ts'
import { memoryPlan, stateRoomMib } from '../memory-plan.ts'
import { type TaskInput, taskDefinition, taskSize } from './task-definition.ts'

const GIB_MIB = 1_024

/** Memory that Fargate offers for CPU units: from, to and in steps of so many GiB. */
const FARGATE: ReadonlyMap<number, { readonly fromGib: number; readonly toGib: number; readonly stepGib: number }> =
  new Map([
    [256, { fromGib: 0.5, toGib: 2, stepGib: 0.5 }],
    [512, { fromGib: 1, toGib: 4, stepGib: 1 }],
    [1_024, { fromGib: 2, toGib: 8, stepGib: 1 }],
    [2_048, { fromGib: 4, toGib: 16, stepGib: 1 }],
    [4_096, { fromGib: 8, toGib: 30, stepGib: 1 }],
    [8_192, { fromGib: 16, toGib: 60, stepGib: 4 }],
    [16_384, { fromGib: 32, toGib: 120, stepGib: 8 }],
  ])
/** A quarter vCPU has no 1.5 GiB. */
const NOT_OFFERED = { cpuUnits: 256, memoryMib: 1.5 * GIB_MIB }
/** Below that no catalog of a real tenant fits. */
const ARENA_MIB_MIN = 16

/** Whether Fargate has this size. */
export function isOffered(cpuUnits: number, memoryMib: number): boolean {
  const range = FARGATE.get(cpuUnits)
  if (range === undefined || (cpuUnits === NOT_OFFERED.cpuUnits && memoryMib === NOT_OFFERED.memoryMib)) return false
  const { fromGib, toGib, stepGib } = range
  const steps = (memoryMib / GIB_MIB - fromGib) / stepGib
  return Number.isInteger(steps) && steps >= 0 && memoryMib <= toGib * GIB_MIB
}

/** The most CPU units with which each vCPU has 2 GiB, of those that there are for this memory; undefined: none. */
export function usualCpuUnits(memoryMib: number): number | undefined {
  const offered = [...FARGATE.keys()].filter(units => isOffered(units, memoryMib))
  return offered.findLast(units => units <= memoryMib / 2) ?? offered[0]
}

/** What is wrong with a task, each with its remedy; none when it can be registered. */
export function taskProblems(input: TaskInput): readonly string[] {
  const problems: string[] = []
  const { cpuUnits, memoryMib } = input
  if (!isOffered(cpuUnits, memoryMib)) {
    const sizes = [...FARGATE].map(([units, { fromGib, toGib }]) => `${units}: ${fromGib} to ${toGib} GiB`)
    problems.push(
      `--cpu ${cpuUnits} and --memory ${memoryMib} are no size that Fargate has; it has ${sizes.join(', ')}`,
    )
  }
  const size = taskSize(input)
  const { arenaMib } = memoryPlan(size)
  if (arenaMib < ARENA_MIB_MIN)
    problems.push(
      `--memory ${memoryMib} leaves ${arenaMib} MiB for the state beside ${size.bidThreads} bid threads, and ` +
        `${ARENA_MIB_MIN} are the least; give more memory or fewer CPU units`,
    )
  const config = readConfig({ ...environmentOf(input), ...EXAMPLE_SECRETS })
  if ('problems' in config) problems.push(...config.problems)
  return problems
}

/** Right by form: what the secrets hold is known only to the task. */
const EXAMPLE_SECRETS = { STATE_URL: 'rediss://tenant:secret@cache:6379', NOTICE_KEYS: `k1:${'x'.repeat(32)}` }

/** What stands for a value that is not known yet has its form. */
function environmentOf(input: TaskInput): Record<string, string> {
  const container = taskDefinition(input).containerDefinitions[0]
  return Object.fromEntries((container?.environment ?? []).map(({ name, value }) => [name, value]))
}

/** The memory's division as text, for a person. */
export function explained(input: TaskInput): string {
  const { limitMib, bidThreads } = taskSize(input)
  const plan = memoryPlan({ limitMib, bidThreads })
  const { bidThreadOldMib, bidThreadYoungMib } = plan
  const rows: readonly (readonly [string, number])[] = [
    ['Node: code, libraries, what they keep off the heaps', plan.processMib],
    [`control thread: old ${plan.controlOldMib}, young 3 × ${plan.semiSpaceMib}`, controlMib(plan)],
    [
      `${bidThreads} × bid thread: old ${bidThreadOldMib}, young 3 × ${plan.semiSpaceMib}`,
      bidThreads * (bidThreadOldMib + bidThreadYoungMib),
    ],
    ['their stacks, code and bodies under way', plan.bidThreadBuffersMib],
    ['counts of frequency caps', plan.capTableMib],
    ['arena: what serves and the next beside it', plan.arenaMib],
  ]
  const sum = rows.reduce((total, [, mib]) => total + mib, 0)
  const lines = rows.map(([what, mib]) => `${String(mib).padStart(7)} MiB  ${what}`)
  return [
    `${limitMib} MiB for the service, ${input.cpuUnits} CPU units`,
    ...lines,
    `${String(sum).padStart(7)} MiB  together: 85 % of the limit`,
    `Room for about ${stateRoomMib({ limitMib }, plan)} MiB of documents as JSON; ` +
      `${plan.connectionsMax} connections for each bid thread.`,
  ].join('\n')
}

function controlMib({ controlOldMib, controlYoungMib }: ReturnType<typeof memoryPlan>): number {
  return controlOldMib + controlYoungMib
}
