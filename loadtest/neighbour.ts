/** The other tenant of the isolation scenario, and everything it does to be noticed. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { type Placement, placed } from './cpu.ts'
import type { GeneratorProcess, RunFindings } from './generator-process.ts'
import type { ServiceProcess } from './service-process.ts'
import type { SharedRedis, Stage } from './stage.ts'

/**
 * What the neighbour does in a window. `alone`: it idles. `control`: core 1 is burnt as much by what shares nothing
 * else with the victim. The others are the treated arms.
 */
export const ARMS = {
  alone: 'the neighbour idles',
  control: 'the same processor time is burnt without a neighbour',
  busy: 'the neighbour runs at half of its capacity',
  overloaded: 'the neighbour gets three times its capacity',
  reloading: 'the neighbour gets one huge snapshot after the other',
  hostile: 'the neighbour gets malformed and oversized bodies',
  flooding: "the neighbour's user floods the shared cache",
  restarting: "the neighbour's task is killed and started again and again",
} as const
/** One of them. */
export type Arm = keyof typeof ARMS

/** Processes of the neighbour's side, on core 1, where everything else comes before them. */
export const NEIGHBOUR_PLACEMENT: Placement = { cpus: '1', precedence: 'idle' }
const TIMEOUT_MS = 2_000
const BURNERS = 2
const RESTART_MS = 1_500

/** What the neighbour is made of. */
export interface NeighbourParts {
  readonly mark: string
  readonly stage: Stage
  readonly redis: SharedRedis
  readonly env: Readonly<Record<string, string>>
  /** Documents that it has, and far more of them. */
  readonly directories: { readonly usual: string; readonly huge: string }
  readonly generator: GeneratorProcess
  readonly hostileGenerator: GeneratorProcess
  /** The victim's mark, which must be in no answer. */
  readonly foreignMark: string
}

/** Pressure for a window. */
export interface Pressure {
  /** Ends it. @returns what the neighbour's exchange found, where it had one */
  stop(): Promise<RunFindings | undefined>
}

const NOTHING: Pressure = { stop: () => Promise.resolve(undefined) }

/** The other tenant. It lives through all windows; its service may be another one after some. */
export class Neighbour {
  readonly #parts: NeighbourParts
  readonly #services: ServiceProcess[] = []
  #capacityPerS = 0

  constructor(parts: NeighbourParts) {
    this.#parts = parts
  }

  /** Every line that any of its services has written. */
  get logLines(): readonly string[] {
    return this.#services.flatMap(({ logLines }) => logLines)
  }

  /** Requests per second that it can take. */
  get capacityPerS(): number {
    return this.#capacityPerS
  }

  /** Publishes its documents, starts its service and measures what it can do. */
  async start(): Promise<void> {
    const { stage, redis, mark, directories } = this.#parts
    await stage.publish(redis, mark, directories.usual, NEIGHBOUR_PLACEMENT)
    await this.#startService()
    stage.say("Measuring the neighbour's capacity")
    const task = { url: this.#service.url, connections: 16, durationS: 3, timeoutS: TIMEOUT_MS / 1e3 }
    this.#capacityPerS = (await this.#parts.generator.capacity(task)).answersPerS
  }

  /** Starts what an arm is about, for so many seconds or until it is stopped. */
  press(arm: Arm, seconds: number, seed: number): Pressure {
    const { generator, hostileGenerator } = this.#parts
    const load = (times: number, from = generator) => this.#load(from, times * this.#capacityPerS, seconds, seed)
    if (arm === 'control') return this.#children('burner.ts', [], BURNERS)
    if (arm === 'busy') return load(0.5)
    if (arm === 'overloaded') return load(3)
    if (arm === 'hostile') return load(0.5, hostileGenerator)
    if (arm === 'flooding')
      return this.#children(
        'cache-flood.ts',
        [this.#parts.redis.urlOf(this.#parts.mark, 'service'), this.#parts.mark],
        1,
      )
    if (arm === 'reloading') return this.#again(() => this.#reload())
    return arm === 'restarting' ? this.#again(() => this.#restart()) : NOTHING
  }

  get #service(): ServiceProcess {
    const service = this.#services.at(-1)
    if (service === undefined) throw new Error('the neighbour has not been started')
    return service
  }

  async #startService(): Promise<void> {
    this.#services.push(await this.#parts.stage.serviceWith(this.#parts.env, NEIGHBOUR_PLACEMENT))
  }

  #load(generator: GeneratorProcess, ratePerS: number, durationS: number, seed: number): Pressure {
    const check = { foreignMark: this.#parts.foreignMark, judgeEvery: 20 }
    const plan = { arrivals: 'poisson', connectionsMax: 64, timeoutMs: TIMEOUT_MS, ratePerS, durationS, seed } as const
    const run = generator.openLoop({ ...plan, url: this.#service.url, check })
    return { stop: () => run }
  }

  /** Repeats something until it is stopped, and then lets it finish. */
  #again(work: () => Promise<void>): Pressure {
    let isOver = false
    const done = (async () => {
      while (!isOver) await work()
    })()
    return {
      stop: async () => {
        isOver = true
        await done
        return undefined
      },
    }
  }

  async #reload(): Promise<void> {
    const { stage, redis, mark, directories } = this.#parts
    await stage.publish(redis, mark, directories.huge, NEIGHBOUR_PLACEMENT)
    await stage.publish(redis, mark, directories.usual, NEIGHBOUR_PLACEMENT)
  }

  async #restart(): Promise<void> {
    const before = this.#service
    process.kill(before.pid, 'SIGKILL')
    await this.#startService()
    await new Promise(resolve => setTimeout(resolve, RESTART_MS))
  }

  #children(script: string, args: readonly string[], count: number): Pressure {
    const file = fileURLToPath(new URL(script, import.meta.url))
    const children = Array.from({ length: count }, () => {
      const [command, ...rest] = placed([process.execPath, file, ...args], NEIGHBOUR_PLACEMENT)
      return spawn(command ?? process.execPath, rest, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    })
    return {
      stop: async () => {
        const ends = children.map(child => once(child, 'exit'))
        for (const child of children) child.disconnect()
        await Promise.all(ends)
        return undefined
      },
    }
  }
}
