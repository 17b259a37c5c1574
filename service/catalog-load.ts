/** One load of a version into a catalog: divides its chunks between loader threads and puts their parts together. */
import { availableParallelism } from 'node:os'
import { setImmediate as breathe } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { readCompiled } from './compiled-chunks.ts'
import { systemClock } from './foundation/clock.ts'
import { LIMITS } from './limits.ts'
import { creativeFragment } from './openrtb/creative-fragment.ts'
import { recordsOf } from './remote-cache/chunks.ts'
import type { BatchesRead, BatchReader } from './remote-cache/loader.ts'
import { CompiledRecords, type RecordBatch, SourceError, type VersionSummary } from './remote-cache/source.ts'
import { CatalogBuilder } from './state/catalog-builder.ts'
import { DIVIDED_KINDS, type DocumentKindName } from './state/documents.ts'
import { DocumentReader } from './state/validate.ts'
import type { ChunkRead, ChunkToRead, LoaderThreadData, ToLoaderThread } from './thread-messages.ts'
import { THREAD_START, threadModules } from './thread-modules.ts'

/** A chunk that a loader thread has, and what it will say. */
interface Given {
  readonly chunk: Omit<ChunkToRead, 'records'>
  readonly answer: Promise<ChunkRead>
}

/**
 * Small versions, and those that come as parsed values, are read on this thread, by the same reader and collector as on
 * the loader threads. Parts are put together in the order of their chunks: the catalog and the report come out the same
 * however the work was divided.
 */
export class CatalogLoad implements BatchReader {
  readonly builder = new CatalogBuilder(creativeFragment)
  readonly #reader = new DocumentReader(good => this.builder.add(good))
  readonly #yields: boolean
  #threadsWanted = 0
  #threads: LoaderThread[] = []
  /** Oldest first. */
  readonly #given: Given[] = []
  #lineItemsBegan = false
  #parseMs = 0
  #validateMs = 0

  /** @param isFirst nothing is served yet; otherwise loader threads take only the time that others leave them */
  constructor(isFirst: boolean) {
    this.#yields = !isFirst
  }

  begin({ bytes, compiled }: VersionSummary): void {
    const share = compiled ? 0 : Math.floor(bytes / LIMITS.loaderThreadBytesMin)
    this.#threadsWanted = Math.min(LIMITS.loaderThreadsMax, availableParallelism(), share)
  }

  async read(batch: RecordBatch): Promise<void> {
    const { kind, records, file, firstRecord } = batch
    if (records instanceof CompiledRecords) return await this.#takeCompiled(kind, records)
    if (!(records instanceof Uint8Array) || this.#threadsWanted === 0) return await this.#readHere(batch)
    if (this.#threads.length === 0) this.#startThreads()
    if (!DIVIDED_KINDS.has(kind)) {
      for (const thread of this.#threads) thread.tell({ kind: 'learn', chunk: { kind, records, file, firstRecord } })
      return await this.#readHere(batch)
    }
    if (kind === 'lineItems' && !this.#lineItemsBegan) await this.#tellCreatives()
    while (this.#given.length >= this.#threads.length * LIMITS.loaderThreadChunksMax) await this.#takeOldest()
    const thread = this.#threads.reduce((best, each) => (each.pending < best.pending ? each : best))
    // A buffer of its own, so that it can go to the thread and come back without being copied again.
    const answer = thread.ask({ kind, records: new Uint8Array(records), file, firstRecord })
    this.#given.push({ chunk: { kind, file, firstRecord }, answer })
  }

  async finish(): Promise<BatchesRead> {
    while (this.#given.length > 0) await this.#takeOldest()
    // They end while the catalog is built; close waits for it.
    for (const thread of this.#threads) void thread.end()
    const [parseMs, validateMs, threads] = [this.#parseMs, this.#validateMs, this.#threads.length]
    return { ...this.#reader.finish(), parseMs, validateMs, threads }
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map(thread => thread.end()))
  }

  async #readHere(batch: Pick<RecordBatch, 'kind' | 'records' | 'file' | 'firstRecord'>): Promise<void> {
    const { kind, file, firstRecord } = batch
    const startMs = systemClock.monotonicMs()
    const values = recordsOf(batch)
    const parsedMs = systemClock.monotonicMs()
    for (let i = 0; i < values.length; i++) this.#reader.read(kind, values[i], { file, record: firstRecord + i })
    this.#parseMs += parsedMs - startMs
    this.#validateMs += systemClock.monotonicMs() - parsedMs
    await breathe()
  }

  /** @throws SourceError `compiled-unusable` */
  async #takeCompiled(kind: DocumentKindName, { bytes }: CompiledRecords): Promise<void> {
    const { read, part } = readCompiled(kind, bytes)
    if (!this.#reader.merge(read)) throw new SourceError('compiled-unusable', `${kind} do not fit together`)
    this.builder.append(part)
    await breathe()
  }

  #startThreads(): void {
    this.#threads = Array.from({ length: this.#threadsWanted }, (_, i) => new LoaderThread(i + 1, this.#yields))
  }

  /** Line items refer to creatives of all threads. */
  async #tellCreatives(): Promise<void> {
    while (this.#given.length > 0) await this.#takeOldest()
    this.#lineItemsBegan = true
    const message = {
      kind: 'learn-creatives',
      known: this.#reader.known('creatives'),
      table: this.builder.creativeTable(),
    } as const
    for (const thread of this.#threads) thread.tell(message)
  }

  async #takeOldest(): Promise<void> {
    const oldest = this.#given.shift()
    if (oldest === undefined) return
    const { read, part, records, parseMs, validateMs } = await oldest.answer
    this.#parseMs += parseMs
    this.#validateMs += validateMs
    if (this.#reader.merge(read)) {
      this.builder.append(part)
      return
    }
    // Only here all ids are known, with their order.
    this.builder.appendTexts(part)
    await this.#readHere({ ...oldest.chunk, records })
  }
}

const LOADER_THREAD = new URL('./loader-thread.ts', import.meta.url)

/** One worker, for one load. It answers in the order in which it is asked. */
class LoaderThread {
  readonly #worker: Worker
  readonly #waiting: PromiseWithResolvers<ChunkRead>[] = []

  constructor(thread: number, yields: boolean) {
    const workerData: LoaderThreadData = { thread, yields }
    this.#worker = new Worker(THREAD_START, {
      // Stripping its modules' types itself would be half of what its start costs.
      workerData: { ...workerData, entry: LOADER_THREAD.href, modules: threadModules(LOADER_THREAD) },
      // It needs nothing of the environment, and secrets stay with the control thread.
      env: {},
      resourceLimits: {
        maxOldGenerationSizeMb: LIMITS.loaderThreadOldMib,
        maxYoungGenerationSizeMb: 3 * LIMITS.loaderThreadSemiSpaceMib,
      },
    })
    this.#worker.on('message', (message: ChunkRead) => this.#waiting.shift()?.resolve(message))
    let error = new Error('a loader thread ended')
    this.#worker.on('error', cause => {
      error = cause instanceof Error ? cause : new Error(String(cause))
    })
    this.#worker.on('exit', () => {
      for (const each of this.#waiting.splice(0)) each.reject(error)
    })
  }

  /** Questions without an answer. */
  get pending(): number {
    return this.#waiting.length
  }

  tell(message: ToLoaderThread): void {
    this.#worker.postMessage(message)
  }

  /** Gives a chunk, whose buffer goes with it. Rejects when the thread ends. */
  ask(chunk: ChunkToRead): Promise<ChunkRead> {
    const message: ToLoaderThread = { kind: 'read', chunk }
    const answer = Promise.withResolvers<ChunkRead>()
    // A load that stops for another reason does not come back for it.
    answer.promise.catch(() => {})
    this.#waiting.push(answer)
    this.#worker.postMessage(message, [chunk.records.buffer])
    return answer.promise
  }

  async end(): Promise<void> {
    await this.#worker.terminate()
  }
}
