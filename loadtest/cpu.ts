/** What the harness asks of the machine's processors: pinning, precedence, and how much a process used. */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** How a process is to be run. */
export interface Placement {
  /** A list as taskset takes it, such as `0` or `1-3`; without it any. Ignored where there is no taskset (macOS). */
  readonly cpus?: string
  /**
   * From 'urgent', for generators, which must not lag behind what they load, to 'idle', for what may be starved. A
   * real-time class would be stronger, but on one processor V8's main thread then starves its own sweeper for ever.
   */
  readonly precedence?: 'urgent' | 'idle'
}

const works = new Map<string, boolean>()

function canRun(command: string, args: readonly string[]): boolean {
  const key = [command, ...args].join(' ')
  const known = works.get(key)
  if (known !== undefined) return known
  const found = spawnSync(command, args, { stdio: 'ignore' }).status === 0
  works.set(key, found)
  return found
}

/** Whether processes can be pinned here. */
export function canPin(cpus: string): boolean {
  return canRun('taskset', ['-c', cpus, 'true'])
}

/** Pins a process that runs, with all of its threads; nothing where there is no taskset. */
export function pin(pid: number, cpus: string): void {
  if (canPin(cpus)) spawnSync('taskset', ['-a', '-p', '-c', cpus, String(pid)], { stdio: 'ignore' })
}

/** A command line run as wished, as far as this machine lets it; taskset, chrt and nice keep the pid. */
export function placed(command: readonly string[], { cpus, precedence }: Placement): readonly string[] {
  const pinned = cpus !== undefined && canPin(cpus) ? ['taskset', '-c', cpus] : []
  return [...pinned, ...prefixFor(precedence), ...command]
}

function prefixFor(precedence: Placement['precedence']): readonly string[] {
  if (precedence === undefined) return []
  // What is in the idle class gives way at once; what is only nice keeps its core to the end of its slice, 3 ms.
  if (precedence === 'idle' && canRun('chrt', ['-i', '0', 'true'])) return ['chrt', '-i', '0']
  const nice = ['nice', '-n', precedence === 'urgent' ? '-20' : '19']
  if (!isQuiet(nice)) return []
  return precedence === 'urgent' && canRun(OWN_GROUP[0] ?? '', [...OWN_GROUP.slice(1), 'true'])
    ? [...OWN_GROUP, ...nice]
    : nice
}

/**
 * Where Linux groups processes by session (autogroup), niceness only counts within a session: the group itself must be
 * raised, and it must hold nothing else. setsid and exec keep the pid.
 */
const OWN_GROUP = ['setsid', 'sh', '-c', 'echo -20 >/proc/self/autogroup && exec "$0" "$@"']

/** nice runs the command even when it may not change the precedence, but says so. */
function isQuiet(nice: readonly string[]): boolean {
  return spawnSync(nice[0] ?? 'nice', [...nice.slice(1), 'true'], { encoding: 'utf8' }).stderr === ''
}

/** Ticks per second of /proc, fixed by Linux for programs. */
const TICKS_PER_S = 100

/** CPU seconds that a process used so far, or undefined where /proc does not tell. */
export function cpuSecondsOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name of the program may contain spaces and brackets: count from its end.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S
  } catch {
    return undefined
  }
}

/**
 * The same of the threads that live now, to the nanosecond instead of to a hundredth of a second: for short windows in
 * which no thread ends.
 */
export function threadCpuSecondsOf(pid: number): number | undefined {
  try {
    const threads = readdirSync(`/proc/${pid}/task`)
    const ns = threads.map(thread => readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0])
    return ns.reduce((sum, each) => sum + Number(each), 0) / 1e9
  } catch {
    return undefined
  }
}

/**
 * Resident memory of a process in bytes without the files that it maps, such as Node itself: what a container's limit
 * is about. Undefined where /proc does not tell.
 */
export function residentBytes(pid: number): number | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1')
    const [all, files] = ['VmRSS', 'RssFile'].map(name => new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1])
    return all === undefined ? undefined : (Number(all) - Number(files ?? 0)) * 1024
  } catch {
    return undefined
  }
}

/** Seconds that a processor was not idle since the machine started, or undefined where /proc does not tell. */
function busySecondsOf(core: number): number | undefined {
  try {
    const line = readFileSync('/proc/stat', 'latin1')
      .split('\n')
      .find(each => each.startsWith(`cpu${core} `))
    if (line === undefined) return undefined
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line.split(' ').slice(1).map(Number)
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_S
  } catch {
    return undefined
  }
}

/** Seconds that threads of a process were ready to run and did not, or undefined where /proc does not tell. */
function waitSecondsOf(pid: number): number | undefined {
  try {
    const waits = readdirSync(`/proc/${pid}/task`).map(thread => {
      const [, waitNs] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')
      return Number(waitNs) / 1e9
    })
    return waits.reduce((sum, each) => sum + each, 0)
  } catch {
    return undefined
  }
}

/** Above this share of the time, work that is not the harness's own makes a measurement on a core worthless. */
const FOREIGN_SHARE_MAX = 0.1

/**
 * Watches whether a core belongs to the process that is pinned to it. Others may use what it leaves: they only count
 * when they were many and it had to wait. (Waits alone are no sign, for its own threads wait for each other.)
 */
export class CoreWatch {
  readonly #core: number
  readonly #pid: number
  readonly #startMs = performance.now()
  readonly #foreignAtStart: number | undefined
  readonly #waitAtStart: number | undefined

  /** Starts to watch. */
  constructor(core: number, pid: number) {
    this.#core = core
    this.#pid = pid
    this.#foreignAtStart = this.#foreignSeconds()
    this.#waitAtStart = waitSecondsOf(pid)
  }

  /** Why what was measured since the start is worthless, if others used the core; undefined where nobody can tell. */
  problem(): string | undefined {
    const foreign = this.#share(this.#foreignSeconds(), this.#foreignAtStart)
    const waited = this.#share(waitSecondsOf(this.#pid), this.#waitAtStart) ?? 1
    if (foreign === undefined || Math.min(foreign, waited) <= FOREIGN_SHARE_MAX) return undefined
    const [used, wait] = [foreign, Math.min(1, waited)].map(share => `${Math.round(share * 100)} %`)
    return `other processes used ${used} of core ${this.#core}, and the service waited for it ${wait} of the time`
  }

  #share(nowS: number | undefined, startS: number | undefined): number | undefined {
    if (nowS === undefined || startS === undefined) return undefined
    return (nowS - startS) / ((performance.now() - this.#startMs) / 1e3)
  }

  #foreignSeconds(): number | undefined {
    const [busy, own] = [busySecondsOf(this.#core), cpuSecondsOf(this.#pid)]
    return busy === undefined || own === undefined ? undefined : busy - own
  }
}
