/** The same for a task alone: traffic in a small file, and nobody to agree with. Losing it costs a day of learning. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { LIMITS } from '../limits.ts'
import type { PlanBoard } from '../spend/plan-board.ts'

const FILE = 'traffic.json'

/** Traffic in a folder that no other process uses. */
export class FilePlans implements PlanBoard {
  readonly #path: string
  readonly #hours: Map<number, number>

  private constructor(path: string, hours: Map<number, number>) {
    this.#path = path
    this.#hours = hours
  }

  /** Reads the folder's traffic; none where there is no file, or one that is not ours. @throws Error of the disk */
  static async open(folder: string): Promise<FilePlans> {
    await mkdir(folder, { recursive: true })
    const path = join(folder, FILE)
    return new FilePlans(path, new Map(await storedHours(path)))
  }

  async exchange(): Promise<ReadonlyMap<string, number>> {
    return new Map()
  }

  async addTraffic(hour: number, opportunities: number): Promise<ReadonlyMap<number, number>> {
    const hours = this.#hours
    hours.set(hour, (hours.get(hour) ?? 0) + opportunities)
    for (const known of hours.keys()) if (known <= hour - LIMITS.trafficHoursKept) hours.delete(known)
    await writeFile(`${this.#path}.next`, JSON.stringify([...hours]), { mode: 0o600 })
    await rename(`${this.#path}.next`, this.#path)
    return new Map(hours)
  }
}

async function storedHours(path: string): Promise<[number, number][]> {
  try {
    const stored: unknown = JSON.parse(await readFile(path, 'utf8'))
    return Array.isArray(stored) ? stored.filter(isHour) : []
  } catch (error) {
    if (error instanceof SyntaxError || (error as { code?: unknown }).code === 'ENOENT') return []
    throw error
  }
}

function isHour(value: unknown): value is [number, number] {
  return Array.isArray(value) && value.length === 2 && value.every(part => Number.isSafeInteger(part) && part >= 0)
}
