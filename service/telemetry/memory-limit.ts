/** How much memory the task has: a setting, the cgroup's limit, or the machine. Read once, at start. */
import { readFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { dirname, join } from 'node:path'

/** A limit and who said so. */
export interface MemoryLimit {
  readonly bytes: number
  readonly from: 'setting' | 'cgroup-v2' | 'cgroup-v1' | 'process' | 'machine'
}

/** Where to look; all but the setting have real defaults, so that a test can bring its own. */
export interface MemoryLimitSources {
  /** MEMORY_LIMIT_MIB, if it is set. */
  readonly settingMib: number | undefined
  /** The cgroup file system. */
  readonly cgroupRoot?: string
  /** Which cgroups this process is in. */
  readonly ownCgroupsFile?: string
  readonly constrainedBytes?: number
  readonly machineBytes?: number
}

const MIB = 1024 * 1024

/**
 * The first of: the setting; the smallest memory.max from the process's own cgroup up to the root (v2); the same of
 * memory.limit_in_bytes (v1); what Node found; the machine's memory. "max" and anything from the machine's size up
 * means no limit. Reads files, never throws.
 */
export function readMemoryLimit(sources: MemoryLimitSources): MemoryLimit {
  const { settingMib, cgroupRoot = '/sys/fs/cgroup', ownCgroupsFile = '/proc/self/cgroup' } = sources
  if (settingMib !== undefined) return { bytes: settingMib * MIB, from: 'setting' }
  const machine = sources.machineBytes ?? totalmem()
  const own = textOf(ownCgroupsFile) ?? ''

  const v2Path = /^0::(\/.*)$/m.exec(own)?.[1] ?? '/'
  const v2 = smallestUpwards(cgroupRoot, v2Path, 'memory.max')
  if (v2 !== undefined && v2 < machine) return { bytes: v2, from: 'cgroup-v2' }

  const v1Path = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(\/.*)$/m.exec(own)?.[1] ?? '/'
  const v1 = smallestUpwards(join(cgroupRoot, 'memory'), v1Path, 'memory.limit_in_bytes')
  if (v1 !== undefined && v1 < machine) return { bytes: v1, from: 'cgroup-v1' }

  const constrained = sources.constrainedBytes ?? process.constrainedMemory()
  if (constrained > 0 && constrained < machine) return { bytes: constrained, from: 'process' }
  return { bytes: machine, from: 'machine' }
}

/** A parent's limit binds its children. In a container the path may name folders that only the host sees. */
function smallestUpwards(root: string, path: string, file: string): number | undefined {
  let smallest: number | undefined
  for (let at = path; ; at = dirname(at)) {
    const bytes = Number(textOf(join(root, at, file)) ?? Number.NaN)
    if (bytes > 0 && bytes < (smallest ?? Number.POSITIVE_INFINITY)) smallest = bytes
    if (at === '/' || at === '.') return smallest
  }
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    // Absent is normal: each machine has only some of these files.
    return undefined
  }
}
