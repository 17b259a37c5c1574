import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from './client.ts'

/** How the notices of a run went. */
export interface NoticeCounts {
  /** Notices that had to be told, tries of the same not counted. */
  readonly told: number
  readonly acknowledged: number
  /** Those that were acknowledged, by kind: `win`, `click`. */
  readonly kinds: Readonly<Record<string, number>>
  readonly retries: number
  /** Given up after the last try. */
  readonly lost: number
  readonly statuses: Readonly<Record<string, number>>
}

const CONNECTIONS = 32
const TIMEOUT_MS = 2_000
/** Waits before each further try, as exchanges that retry do. */
const RETRY_MS = [250, 500, 1_000, 2_000, 4_000] as const
const KIND = /\/(?:notice|event)\/([\w-]+)\/[^/]*$/

/** Calls notice addresses of bids at a service on this machine, whatever public host they name, and tries again. */
export class NoticeCalls {
  readonly #client: Client
  readonly #ownPath: string
  readonly #pending = new Set<Promise<void>>()
  readonly #statuses: Record<string, number> = {}
  readonly #kinds: Record<string, number> = {}
  #told = 0
  #acknowledged = 0
  #retries = 0
  #lost = 0

  /** @param url the tenant's path at the service, such as `http://127.0.0.1:8080/acme` */
  constructor(url: string) {
    const { origin, pathname } = new URL(url)
    this.#client = new Client(origin, { connections: CONNECTIONS, timeoutMs: TIMEOUT_MS })
    this.#ownPath = `${pathname.replace(/\/$/, '')}/`
  }

  /** Tells one notice, after a while. @param onAcknowledged is called once, with the answer's body */
  tell(address: string, delayMs: number, onAcknowledged: (body: string) => void = () => {}): void {
    this.#told++
    const told = this.#tell(address, delayMs).then(body => {
      if (body === undefined) this.#lost++
      else {
        this.#acknowledged++
        add(this.#kinds, KIND.exec(new URL(address).pathname)?.[1] ?? 'unknown')
        onAcknowledged(body)
      }
    })
    this.#pending.add(told)
    void told.finally(() => this.#pending.delete(told))
  }

  /** Waits until all are told or given up. @returns the counts */
  async end(): Promise<NoticeCounts> {
    while (this.#pending.size > 0) await Promise.all(this.#pending)
    this.#client.close()
    return {
      ...{ told: this.#told, acknowledged: this.#acknowledged, retries: this.#retries },
      ...{ lost: this.#lost, statuses: this.#statuses, kinds: this.#kinds },
    }
  }

  /** @returns the answer's body once it is taken, undefined when that is given up */
  async #tell(address: string, delayMs: number): Promise<string | undefined> {
    await sleep(delayMs)
    const path = pathOf(address)
    // An address at another tenant, or at no service of ours, is a fault of the bid: calling it would prove nothing.
    if (path === undefined || !path.startsWith(this.#ownPath)) {
      add(this.#statuses, 'not an address of the tenant')
      return undefined
    }
    for (const waitMs of [0, ...RETRY_MS]) {
      if (waitMs > 0) {
        this.#retries++
        await sleep(waitMs)
      }
      const answer = await this.#client.send('GET', path)
      if ('failure' in answer) add(this.#statuses, 'no answer')
      else {
        add(this.#statuses, String(answer.status))
        // A click is sent on to where it leads.
        if (answer.status < 400) return answer.bodyText
        // A notice that is refused is refused for ever.
        if (answer.status < 500) return undefined
      }
    }
    return undefined
  }
}

function add(counts: Record<string, number>, what: string): void {
  counts[what] = (counts[what] ?? 0) + 1
}

function pathOf(address: string): string | undefined {
  if (!URL.canParse(address)) return undefined
  const { pathname, search } = new URL(address)
  return `${pathname}${search}`
}
