/** Whether a task has the memory for a version, judged before any of it is read. */
import { LIMITS } from '../limits.ts'

/** What a task has, in bytes. */
export interface TaskMemory {
  /** Of the whole task. */
  readonly limitBytes: number
  readonly residentBytes: number
  /** Of what is resident: the slab that the next catalog will take has held a catalog of so many. */
  readonly reusableBytes: number
  /** The largest catalog that fits a slab. */
  readonly slabBytes: number
}

const MIB = 1024 * 1024

/**
 * Compares the peak of a load, while the catalog before it still serves, with what the task has. Pure.
 * @param readBytes what will be read, as the manifest says
 * @returns why the version must not be loaded, and the remedy; undefined when it may
 */
export function memoryProblem(readBytes: number, memory: TaskMemory): string | undefined {
  const catalogBytes = Math.ceil(readBytes * LIMITS.catalogBytesPerByte)
  const remedy = 'give the task more memory, or the tenant less data'
  if (catalogBytes > memory.slabBytes)
    return `its catalog will have about ${mib(catalogBytes)} MiB, a slab has ${mib(memory.slabBytes)}; ${remedy}`
  const newBytes = Math.max(0, catalogBytes - memory.reusableBytes) + Math.ceil(readBytes * LIMITS.loadBytesPerByte)
  const peakBytes = memory.residentBytes + newBytes
  const allowedBytes = memory.limitBytes * LIMITS.loadMemoryShareMax
  if (peakBytes <= allowedBytes) return undefined
  const has = `${mib(memory.residentBytes)} of ${mib(memory.limitBytes)} MiB are in use`
  return `to load it takes about ${mib(newBytes)} MiB more, and ${has}; ${remedy}`
}

function mib(bytes: number): number {
  return Math.round(bytes / MIB)
}
