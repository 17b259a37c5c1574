/** Events on their way to the tenant's stream: one append at a time, in order, again and again until it is there. */
import { setTimeout as sleep } from 'node:timers/promises'
import { LIMITS } from '../limits.ts'
import type { EventStream, TenantEvent } from './event-stream.ts'

/** What the outbox tells. */
export interface EventOutboxOptions {
  readonly stream: EventStream
  readonly onAppended: (count: number) => void
  readonly onFailure: (error: unknown) => void
}

const RETRY_MS = 500

interface Waiting {
  readonly event: TenantEvent
  readonly done: () => void
}

/** The outbox of one task. */
export class EventOutbox {
  readonly #options: EventOutboxOptions
  #waiting: Waiting[] = []
  #appending: Promise<void> | undefined
  #closed = false

  constructor(options: EventOutboxOptions) {
    this.#options = options
  }

  /** Resolves when the event is in the stream; never, when the outbox is closed before that. */
  add(event: TenantEvent): Promise<void> {
    return new Promise(done => {
      this.#waiting.push({ event, done })
      this.#appending ??= this.#append()
    })
  }

  /** Gives up what is not appended, and waits for what is under way. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#appending
  }

  async #append(): Promise<void> {
    const { stream, onAppended, onFailure } = this.#options
    while (this.#waiting.length > 0 && !this.#closed) {
      const some = this.#waiting.slice(0, LIMITS.eventsPerAppendMax)
      try {
        await stream.append(some.map(({ event }) => event))
      } catch (error) {
        onFailure(error)
        if (!this.#closed) await sleep(RETRY_MS)
        continue
      }
      this.#waiting = this.#waiting.slice(some.length)
      for (const { done } of some) done()
      onAppended(some.length)
    }
    this.#appending = undefined
  }
}
