/** The loop: changes inputs, keeps those that reach something new, and makes what finds a problem small. */
import { Random } from '../../service/foundation/random.ts'
import { Rig } from './rig.ts'
import type { Target } from './targets.ts'

/** How long, with which chance. */
export interface FuzzOptions {
  readonly seed: number
  readonly isOver: (inputs: number, findings: number) => boolean
  readonly onProgress: (inputs: number) => void
  /** Keeps what reaches new blocks; without it the inputs follow from the seed alone. */
  readonly isGuided: boolean
  /** Faults on purpose, see Rig. */
  readonly preloads?: readonly string[]
}

/** An input that should not do what it does. */
export interface Finding {
  readonly problem: string
  readonly input: Buffer
  /** Bytes of the input as it was found. */
  readonly foundBytes: number
}

/** What a run came to. */
export interface FuzzReport {
  readonly inputs: number
  readonly corpus: number
  readonly blocks: number
  readonly seconds: number
  readonly findings: readonly Finding[]
}

const BATCH = 32
const CORPUS_MAX = 3_000
const FINDINGS_MAX = 5
const MINIMISE_RUNS_MAX = 400
/** For an input that ends the process, which is started again for each try. */
const MINIMISE_RESTARTS_MAX = 25
/** Heap that may come and go between two collections, and descriptors. */
const LEAK_BYTES_MAX = 32 * 1_024 * 1_024
const LEAK_DESCRIPTORS_MAX = 20
/** Until then caches and heaps find their size. */
const WARM_INPUTS = 5_000

/** Fuzzes one target in a process of its own. */
export async function fuzz(target: Target, options: FuzzOptions): Promise<FuzzReport> {
  const run = new Run(target, options)
  try {
    return await run.whole()
  } finally {
    await run.stop()
  }
}

/** Runs one input once. @returns its problems */
export async function replayOnce(target: Target, input: Buffer): Promise<readonly string[]> {
  const rig = await Rig.start(target.rig)
  try {
    await target.seeds(rig, new Random(0))
    const problem = await problemOf(target, rig, input)
    await rig.look()
    return [problem, ...rig.takeProblems()].filter(text => text !== '')
  } finally {
    await rig.stop()
  }
}

async function problemOf(target: Target, rig: Rig, input: Buffer): Promise<string> {
  try {
    return await target.run(rig, input)
  } catch (error) {
    // No connection, or no answer for long.
    return error instanceof Error ? error.message : String(error)
  }
}

class Run {
  readonly #target: Target
  readonly #options: FuzzOptions
  readonly #random: Random
  readonly #corpus: Buffer[] = []
  readonly #findings: Finding[] = []
  #rig: Rig | undefined
  #inputs = 0
  #blocks = 0
  #restarts = 0
  #heldBefore: { readonly bytes: number; readonly descriptors: number } | undefined

  constructor(target: Target, options: FuzzOptions) {
    this.#target = target
    this.#options = options
    this.#random = new Random(options.seed)
  }

  async whole(): Promise<FuzzReport> {
    const startMs = performance.now()
    await this.#restart()
    const rig = this.#rig as Rig
    this.#corpus.push(...(await this.#target.seeds(rig, this.#random)))
    const seeds = [...this.#corpus]
    for (let at = 0; at < seeds.length; at += BATCH) await this.#check(seeds.slice(at, at + BATCH), false)
    while (!this.#options.isOver(this.#inputs, this.#findings.length) && this.#findings.length < FINDINGS_MAX) {
      const batch = Array.from({ length: BATCH }, () => this.#changed())
      await this.#check(batch)
      this.#options.onProgress(this.#inputs)
      if (this.#heldBefore === undefined && this.#inputs >= WARM_INPUTS) this.#heldBefore = await this.#held()
    }
    await this.#checkLeaks()
    return {
      ...{ inputs: this.#inputs, corpus: this.#corpus.length, blocks: this.#blocks, findings: this.#findings },
      seconds: (performance.now() - startMs) / 1e3,
    }
  }

  async stop(): Promise<void> {
    await this.#rig?.stop()
  }

  #changed(): Buffer {
    // What was found last has been changed least.
    const recent = this.#random.chance(0.5) ? Math.max(0, this.#corpus.length - 50) : 0
    const input = this.#corpus[this.#random.between(recent, this.#corpus.length - 1)] ?? Buffer.alloc(0)
    return this.#target.mutate(input, this.#random, this.#corpus)
  }

  /** Runs inputs one after the other, then looks; searches for the one that was wrong, and keeps what was new. */
  async #check(inputs: readonly Buffer[], keeps = true): Promise<void> {
    const { problems, fresh } = await this.#runAll(inputs)
    this.#inputs += inputs.length
    if (problems.length > 0) await this.#found(inputs, problems)
    this.#blocks += fresh
    if (fresh === 0 || !keeps || !this.#options.isGuided) return
    // New blocks are told once: of a batch all are kept while the corpus is small, later a few.
    const kept = this.#corpus.length < CORPUS_MAX / 2 ? inputs : inputs.slice(0, 4)
    this.#corpus.push(...kept.filter(({ length }) => length > 0 && length < 64 * 1_024))
    if (this.#corpus.length > CORPUS_MAX) this.#corpus.splice(0, this.#corpus.length - CORPUS_MAX)
  }

  async #runAll(inputs: readonly Buffer[]): Promise<{ problems: readonly string[]; fresh: number }> {
    const rig = this.#rig as Rig
    const problems: string[] = []
    for (const input of inputs) {
      const problem = await problemOf(this.#target, rig, input)
      if (problem !== '') problems.push(problem)
      if (problem !== '' || !rig.isAlive) break
    }
    const look = await rig.look()
    problems.push(...rig.takeProblems())
    if (problems.length > 0 && (!rig.isAlive || problems.includes('a thread hangs'))) await this.#restart()
    return { problems, fresh: look?.fresh ?? 0 }
  }

  async #restart(): Promise<void> {
    await this.#rig?.stop()
    this.#rig = await Rig.start({ ...this.#target.rig, preloads: this.#options.preloads ?? [] })
    this.#restarts++
    this.#heldBefore = undefined
  }

  /** Which of the inputs it was, and as little of it as still does it. */
  async #found(inputs: readonly Buffer[], problems: readonly string[]): Promise<void> {
    const kind = kindOf(problems[0] ?? '')
    const isKnown = this.#findings.some(finding => kindOf(finding.problem) === kind)
    if (isKnown) return
    this.#restarts = 0
    for (const input of inputs) {
      const { problems: again } = await this.#runAll([input])
      const problem = again[0]
      if (problem === undefined) continue
      const small = await this.#smaller(input, kindOf(problem))
      this.#findings.push({ problem, input: small, foundBytes: input.length })
      return
    }
    // Only all of them together: kept as they are, one after the other.
    const problem = `${problems[0]} (not by one input alone)`
    this.#findings.push({ problem, input: Buffer.concat(inputs), foundBytes: Buffer.concat(inputs).length })
  }

  /** Takes ever smaller pieces away for as long as the problem stays. */
  async #smaller(input: Buffer, kind: string): Promise<Buffer> {
    let small = input
    let runs = 0
    for (let size = Math.ceil(small.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
      for (let at = 0; at < small.length; ) {
        if (++runs > MINIMISE_RUNS_MAX || this.#restarts > MINIMISE_RESTARTS_MAX) return small
        const less = Buffer.concat([small.subarray(0, at), small.subarray(at + size)])
        const { problems } = await this.#runAll([less])
        if (problems.some(problem => kindOf(problem) === kind)) small = less
        else at += size
      }
    }
    return small
  }

  async #held(): Promise<{ readonly bytes: number; readonly descriptors: number }> {
    const rig = this.#rig as Rig
    const look = await rig.look(true)
    return { bytes: look?.heapBytes ?? 0, descriptors: rig.descriptors }
  }

  async #checkLeaks(): Promise<void> {
    const before = this.#heldBefore
    if (before === undefined) return
    const after = await this.#held()
    const bytes = after.bytes - before.bytes
    const descriptors = after.descriptors - before.descriptors
    if (bytes <= LEAK_BYTES_MAX && descriptors <= LEAK_DESCRIPTORS_MAX) return
    const problem = `leak: ${Math.round(bytes / 1_024)} KiB of heap and ${descriptors} descriptors`
    this.#findings.push({ problem, input: Buffer.alloc(0), foundBytes: 0 })
  }
}

/** Problems of one kind differ in numbers and in what they quote. */
function kindOf(problem: string): string {
  return problem.slice(0, 60).replaceAll(/\d+/g, '0')
}
