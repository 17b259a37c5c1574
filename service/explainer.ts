/**
 * Answers "why" for the state that serves. The documents are held by a thread of its own with a heap of its own, which
 * is there only while somebody asks: its memory is optional, and whatever happens to it no bid is touched.
 */
import { Worker } from 'node:worker_threads'
import { LIMITS } from './limits.ts'
import type { ExplainAnswer, ExplainQuestion, ExplainThreadData } from './thread-messages.ts'

/** What the explainer needs of its task. */
export interface ExplainerOptions {
  readonly thread: Omit<ExplainThreadData, 'heapMib'>
  /** Memory that nothing else needs now. */
  readonly freeBytes: () => number
}

type Resolve = (answer: ExplainAnswer) => void

/** Starts and ends the explain thread. */
export class Explainer {
  readonly #options: ExplainerOptions
  #worker: Worker | undefined
  /** In the order of the questions. */
  readonly #waiting: Resolve[] = []
  #idle: NodeJS.Timeout | undefined
  #late: NodeJS.Timeout | undefined

  constructor(options: ExplainerOptions) {
    this.#options = options
  }

  /** Never rejects. */
  ask(question: ExplainQuestion): Promise<ExplainAnswer> {
    if (this.#waiting.length >= LIMITS.explainQuestionsMax)
      return Promise.resolve(
        refusal(`${LIMITS.explainQuestionsMax} questions are being answered; ask again in a while`),
      )
    const worker = this.#worker ?? this.#start()
    if (worker === undefined)
      return Promise.resolve(refusal('this task has no memory left to explain; use npm run explain elsewhere'))
    clearTimeout(this.#idle)
    return new Promise(resolve => {
      this.#waiting.push(resolve)
      if (this.#waiting.length === 1) this.#watch()
      worker.postMessage(question)
    })
  }

  /** Lets go of the documents; who waits is refused. */
  async stop(): Promise<void> {
    await this.#end('the task stops')
  }

  #start(): Worker | undefined {
    const heapMib = Math.min(LIMITS.explainHeapMibMax, Math.floor(this.#options.freeBytes() / 2 / (1_024 * 1_024)))
    if (heapMib < LIMITS.explainHeapMibMin) return undefined
    const workerData: ExplainThreadData = { ...this.#options.thread, heapMib }
    const worker = new Worker(new URL('./explain-thread.ts', import.meta.url), {
      workerData,
      env: {},
      resourceLimits: { maxOldGenerationSizeMb: heapMib },
    })
    worker.unref()
    worker.on('message', (answer: ExplainAnswer) => worker === this.#worker && this.#answered(answer))
    worker.on('error', error => worker === this.#worker && void this.#end(`the explain thread ended: ${String(error)}`))
    this.#worker = worker
    return worker
  }

  #answered(answer: ExplainAnswer): void {
    clearTimeout(this.#late)
    this.#waiting.shift()?.(answer)
    if (this.#waiting.length > 0) this.#watch()
    else this.#idle = setTimeout(() => void this.#end(''), LIMITS.explainIdleMs).unref()
  }

  #watch(): void {
    const error = `there was no answer within ${LIMITS.explainAnswerMs / 1_000} s`
    this.#late = setTimeout(() => void this.#end(error), LIMITS.explainAnswerMs).unref()
  }

  async #end(error: string): Promise<void> {
    clearTimeout(this.#idle)
    clearTimeout(this.#late)
    const worker = this.#worker
    this.#worker = undefined
    for (const resolve of this.#waiting.splice(0)) resolve(refusal(error))
    await worker?.terminate()
  }
}

function refusal(error: string): ExplainAnswer {
  return { kind: 'refused', status: 503, error }
}
