/** How many tasks of which size a rate needs: arithmetic on what was measured. Pure. */

/** What was measured, or promised, of one tenant on this machine. */
export interface Measured {
  /** Answers per second of CPU time of a whole task, its control thread included. */
  readonly capacityPerS: number
  /** Share of the capacity at which the promised latency held. */
  readonly share: number
  /** Of a task without line items. */
  readonly baseMib: number
  readonly mibPerLineItem: number
}

/** What is wished. */
export interface SizingWish {
  readonly ratePerS: number
  readonly lineItems: number
  readonly users: number
  /** Of whatever currency; undefined: no costs are told. */
  readonly vcpuHourPrice: number | undefined
  readonly gibHourPrice: number | undefined
}

/** One task size that fits. */
export interface TaskPlan {
  readonly vcpus: number
  readonly gib: number
  readonly threads: number
  readonly perTaskPerS: number
  /** One of them may be away. */
  readonly tasks: number
  readonly costPerHour: number | undefined
  readonly costPerBillion: number | undefined
}

/** Fargate's sizes: vCPUs, the least and the most memory, and its steps, in GiB. */
const TASK_SIZES = [
  { vcpus: 1, min: 2, max: 8, step: 1 },
  { vcpus: 2, min: 4, max: 16, step: 1 },
  { vcpus: 4, min: 8, max: 30, step: 1 },
  { vcpus: 8, min: 16, max: 60, step: 4 },
] as const
/** The next version is built beside the one that serves. */
const VERSIONS = 2
/** MEMORY_WARN_PERCENT: what a task should have left. */
const FILL = 0.7
/** product.md, promise "memory". */
const USER_BYTES = 20
const MIB = 1024 * 1024
const TASKS_MIN = 2

/** MiB that one task needs: all of its state, whatever its threads. */
export function neededMib({ baseMib, mibPerLineItem }: Measured, { lineItems, users }: SizingWish): number {
  return baseMib + VERSIONS * (mibPerLineItem * lineItems + (users * USER_BYTES) / MIB)
}

/** Every task size that has the memory, the fewest vCPUs in all first. */
export function taskPlans(measured: Measured, wish: SizingWish): readonly TaskPlan[] {
  const gibMin = neededMib(measured, wish) / FILL / 1024
  return TASK_SIZES.flatMap(({ vcpus, min, max, step }): readonly TaskPlan[] => {
    const gib = Math.max(min, Math.ceil(gibMin / step) * step)
    if (gib > max) return []
    const threads = Math.max(1, vcpus - 1)
    const perTaskPerS = measured.capacityPerS * measured.share * threads
    const tasks = tasksFor(wish.ratePerS, perTaskPerS)
    const { vcpuHourPrice, gibHourPrice } = wish
    const costPerHour =
      vcpuHourPrice === undefined || gibHourPrice === undefined
        ? undefined
        : tasks * (vcpus * vcpuHourPrice + gib * gibHourPrice)
    const costPerBillion = costPerHour === undefined ? undefined : (costPerHour / (wish.ratePerS * 3_600)) * 1e9
    return [{ vcpus, gib, threads, perTaskPerS, tasks, costPerHour, costPerBillion }]
  }).sort((a, b) => a.tasks * a.vcpus - b.tasks * b.vcpus || a.tasks - b.tasks)
}

/** One more than the rate needs, and never one alone. */
export function tasksFor(ratePerS: number, perTaskPerS: number): number {
  return Math.max(TASKS_MIN, Math.ceil(ratePerS / perTaskPerS) + 1)
}
