import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { AnswerFindings } from './answer-check.ts'
import type { CapacityResult } from './capacity.ts'
import { cpuSecondsOf, type Placement, placed } from './cpu.ts'
import type {
  CapacityTask,
  ExchangeReport,
  GeneratorReply,
  GeneratorTask,
  OpenLoopTask,
  WorkloadSource,
} from './generator.ts'
import type { Goodput } from './goodput.ts'
import { Histogram } from './histogram.ts'
import type { OpenLoopResult } from './open-loop.ts'
import type { SeriesPoint } from './series.ts'

/** Hears of a run: the share done, 0 to 1, and the newest second that has ended. */
export type OnProgress = (share: number, newest: SeriesPoint | undefined) => void

type Reply<K extends GeneratorReply['kind']> = Extract<GeneratorReply, { readonly kind: K }>

/** A run, and everything that was found in its answers. */
export type RunFindings = OpenLoopResult & {
  readonly findings: AnswerFindings
  readonly goodput: Goodput<Histogram> | undefined
  readonly exchange: ExchangeReport | undefined
}

/** A load generator in a process of its own. One task at a time. */
export class GeneratorProcess {
  readonly #child: ChildProcess

  /** Starts it; it needs `load` before a run. @param caFile certificate of an authority that it trusts */
  constructor(placement: Placement, caFile?: string) {
    const file = fileURLToPath(new URL('./generator.ts', import.meta.url))
    // On one processor a collection by several threads waits for its own helpers; and few collections are better.
    const heap = ['--single-threaded-gc', '--initial-heap-size=512', '--min-semi-space-size=16']
    // autocannon's timer warns of a delay below 0 at the end of each run.
    const flags = [...heap, '--max-semi-space-size=32', '--disable-warning=TimeoutNegativeWarning']
    const [command, ...args] = placed([process.execPath, ...flags, file], placement)
    const env = caFile === undefined ? process.env : { ...process.env, NODE_EXTRA_CA_CERTS: caFile }
    this.#child = spawn(command ?? process.execPath, args, { env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  }

  /** 0 when it could not be started. */
  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** Makes the requests of later runs. */
  load(source: WorkloadSource): Promise<Reply<'loaded'>> {
    return this.#perform({ kind: 'load', source }, 'loaded')
  }

  /** Runs an open loop; `onProgress` is called about four times a second. */
  async openLoop(task: OpenLoopTask, onProgress: OnProgress = () => {}): Promise<RunFindings> {
    const { result, findings, goodput, exchange } = await this.#perform(
      { kind: 'open-loop', ...task },
      'open-loop',
      onProgress,
    )
    const latencyUs = Histogram.from(result.latencyUs)
    const steps = goodput?.steps.map(step => ({ ...step, bidLatencyUs: Histogram.from(step.bidLatencyUs) }))
    return {
      ...{ ...result, latencyUs, sendLagUs: Histogram.from(result.sendLagUs), findings, exchange },
      goodput: goodput && { ...goodput, steps: steps ?? [] },
    }
  }

  /** Runs a closed loop. */
  async capacity(task: CapacityTask): Promise<CapacityResult> {
    const { result } = await this.#perform({ kind: 'capacity', ...task }, 'capacity')
    return { ...result, latencyUs: Histogram.from(result.latencyUs) }
  }

  /**
   * Runs a closed loop, and tells what the process of that id can do with a whole processor, whatever it got of it: its
   * answers per second of its own CPU time. Without /proc, as `capacity`; a process on several processors can do more.
   */
  async capacityOf(pid: number | undefined, task: CapacityTask): Promise<CapacityResult> {
    const usedBefore = pid === undefined ? undefined : cpuSecondsOf(pid)
    const result = await this.capacity(task)
    const usedAfter = pid === undefined ? undefined : cpuSecondsOf(pid)
    if (usedBefore === undefined || usedAfter === undefined || usedAfter <= usedBefore) return result
    return { ...result, answersPerS: result.latencyUs.count / (usedAfter - usedBefore) }
  }

  /** Ends it. May be called twice. */
  stop(): void {
    if (this.#child.connected) this.#child.disconnect()
  }

  #perform<K extends GeneratorReply['kind']>(
    task: GeneratorTask,
    kind: K,
    onProgress: OnProgress = () => {},
  ): Promise<Reply<K>> {
    const child = this.#child
    return new Promise((resolve, reject) => {
      const settle = (done: () => void) => {
        child.off('message', onMessage)
        child.off('exit', onExit)
        done()
      }
      const onExit = (code: number | null) => settle(() => reject(new Error(`the generator ended with ${code}`)))
      const onMessage = (reply: GeneratorReply) => {
        if (reply.kind === 'progress') onProgress(reply.share, reply.newest)
        else if (reply.kind === 'failed') settle(() => reject(new Error(reply.message)))
        else if (reply.kind === kind) settle(() => resolve(reply as Reply<K>))
      }
      child.on('message', onMessage)
      child.once('exit', onExit)
      // Without this, a generator that has ended would end this process too.
      child.send(task, error => error && settle(() => reject(error)))
    })
  }
}
