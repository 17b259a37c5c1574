import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from './client.ts'
import { Histogram } from './histogram.ts'

/** What a load balancer would have seen of a target. */
export interface HealthSeen {
  readonly asked: number
  /** Checks without 200 in time. */
  readonly failed: number
  readonly latencyUs: Histogram
}

const PERIOD_MS = 200
/** The shortest time that the load balancer can be told to wait. */
const TIMEOUT_MS = 2_000

/** Asks for a service's readiness again and again, each time on a new connection, as a load balancer does. */
export class HealthProbe {
  readonly #latencyUs = new Histogram()
  readonly #done: Promise<void>
  #asked = 0
  #failed = 0
  #isOver = false

  /** Starts. @param url the tenant's path on the public port */
  constructor(url: string) {
    this.#done = this.#run(url)
  }

  /** Ends. @returns what was seen; latencies of failed checks count as they were, or as the whole timeout */
  async stop(): Promise<HealthSeen> {
    this.#isOver = true
    await this.#done
    return { asked: this.#asked, failed: this.#failed, latencyUs: this.#latencyUs }
  }

  async #run(url: string): Promise<void> {
    while (!this.#isOver) {
      const client = new Client(url, { connections: 1, timeoutMs: TIMEOUT_MS })
      const answer = await client.send('GET', '/health/ready')
      this.#asked++
      if ('failure' in answer || answer.status !== 200) this.#failed++
      this.#latencyUs.record('failure' in answer ? TIMEOUT_MS * 1e3 : answer.latencyUs)
      client.close()
      await sleep(PERIOD_MS)
    }
  }
}
