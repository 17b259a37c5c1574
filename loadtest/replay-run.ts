import { Random } from '../service/foundation/random.ts'
import { type AcceptanceOptions, type BrokenRule, bidsOf, brokenRules } from './acceptance.ts'
import { isObject, type Json, numberFrom, objectFrom, objectsFrom, textsFrom } from './acceptance-rules.ts'
import type { Client } from './client.ts'
import { Histogram } from './histogram.ts'
import { MALFORMED_WAYS, malformedBody } from './malformed.ts'
import { schemaFaults } from './schema-judge.ts'
import type { RecordedRequest } from './workload.ts'

/** What is sent, and how it is judged. */
export interface ReplayOptions {
  readonly client: Client
  /** Path below the client's URL. */
  readonly path: string
  readonly rates: AcceptanceOptions['rates']
  /** The exchange's own currency. */
  readonly currency: string
  /** Requests under way at once. */
  readonly parallel: number
  readonly onProgress: (done: number) => void
  /** Called after each answer; missed = the request had enough to bid on and got no bid. */
  readonly onAnswer?: (source: string, missed: boolean) => Promise<void>
}

/** An answer that a judge refused, or that never came. */
export interface Offence {
  readonly source: string
  /** Acceptance rules that it broke. */
  readonly broken: readonly BrokenRule[]
  /** Where it breaks the JSON Schema. */
  readonly faults: readonly string[]
  readonly failure?: string
}

/** What a replay found. */
export interface ReplayFindings {
  readonly sent: number
  readonly statuses: Readonly<Record<string, number>>
  /** Requests with a bid, and bids in all. */
  readonly requestsWithBid: number
  readonly bids: number
  /** Requests that offer a banner or video with enough to bid on, and how many of them got a bid. */
  readonly biddable: number
  readonly biddableWithBid: number
  readonly latencyUs: Histogram
  /** Answers with a body, which both judges read. */
  readonly responses: number
  readonly offences: readonly Offence[]
}

interface Shot {
  readonly source: string
  readonly body: Buffer
  /** After JSON.parse; undefined when the body is not JSON. */
  readonly request: unknown
  readonly mayRefuse: boolean
}

/** Sends each recorded request once. Never rejects for what a server does. */
export function replayRecorded(recorded: readonly RecordedRequest[], options: ReplayOptions): Promise<ReplayFindings> {
  const shots = recorded.map(({ source, request }) => {
    return { source, request, body: Buffer.from(JSON.stringify(request)), mayRefuse: false }
  })
  return fire(shots, options)
}

/** Sends each recorded request spoilt in every way of malformed.ts; the same seed sends the same bytes. */
export function replayMalformed(
  recorded: readonly RecordedRequest[],
  seed: number,
  options: ReplayOptions,
): Promise<ReplayFindings> {
  const random = new Random(seed)
  const shots = recorded.flatMap(({ source, request }) =>
    MALFORMED_WAYS.map(how => {
      const { body } = malformedBody(request, how, random)
      return { source: `${source} (${how})`, body, request: parsed(body), mayRefuse: true }
    }),
  )
  return fire(shots, options)
}

/** Whether a request offers a banner with a size, or a video with a media type: less cannot be bid on. */
function offersEnough(request: unknown): boolean {
  return objectsFrom(objectFrom(request).imp).some(imp => {
    const banner = imp.banner
    if (isObject(banner) && (hasSize(banner) || objectsFrom(banner.format).some(hasSize))) return true
    return isObject(imp.video) && textsFrom(imp.video.mimes).length > 0
  })
}

function hasSize(owner: Json): boolean {
  return (numberFrom(owner.w) ?? 0) > 0 && (numberFrom(owner.h) ?? 0) > 0
}

async function fire(shots: readonly Shot[], options: ReplayOptions): Promise<ReplayFindings> {
  const tally = new Tally(options)
  let next = 0
  const shooter = async (): Promise<void> => {
    for (let at = next++; at < shots.length; at = next++) {
      const shot = shots[at] as Shot
      const gotBid = tally.take(shot, await options.client.send('POST', options.path, shot.body))
      await options.onAnswer?.(shot.source, !gotBid && offersEnough(shot.request))
      options.onProgress(at + 1)
    }
  }
  await Promise.all(Array.from({ length: options.parallel }, shooter))
  return tally.findings()
}

interface Taken {
  readonly shot: Shot
  readonly answer: Awaited<ReturnType<Client['send']>>
}

class Tally {
  readonly #agreed: Pick<AcceptanceOptions, 'rates' | 'currency'>
  readonly #statuses: Record<string, number> = {}
  readonly #latencyUs = new Histogram()
  readonly #taken: Taken[] = []
  #requestsWithBid = 0
  #bids = 0
  #biddable = 0
  #biddableWithBid = 0

  constructor({ rates, currency }: Pick<ReplayOptions, 'rates' | 'currency'>) {
    this.#agreed = { currency, ...(rates === undefined ? {} : { rates }) }
  }

  /** @returns whether there was a bid */
  take(shot: Shot, answer: Taken['answer']): boolean {
    this.#taken.push({ shot, answer })
    const biddable = offersEnough(shot.request)
    if (biddable) this.#biddable++
    if ('failure' in answer) return false
    this.#statuses[answer.status] = (this.#statuses[answer.status] ?? 0) + 1
    this.#latencyUs.record(answer.latencyUs)
    const bids = answer.status === 200 ? bidsOf(answer.bodyText).length : 0
    this.#bids += bids
    if (bids > 0) this.#requestsWithBid++
    if (bids > 0 && biddable) this.#biddableWithBid++
    return bids > 0
  }

  /** Asks both judges: at the end, because what they take would stand in the latencies. */
  findings(): ReplayFindings {
    return {
      sent: this.#taken.length,
      statuses: this.#statuses,
      requestsWithBid: this.#requestsWithBid,
      bids: this.#bids,
      biddable: this.#biddable,
      biddableWithBid: this.#biddableWithBid,
      latencyUs: this.#latencyUs,
      responses: this.#statuses[200] ?? 0,
      offences: this.#taken.flatMap(taken => this.#offencesOf(taken)),
    }
  }

  #offencesOf({ shot: { source, request, mayRefuse }, answer }: Taken): readonly Offence[] {
    if ('failure' in answer) return [{ source, broken: [], faults: [], failure: answer.failure }]
    const broken = brokenRules(request, answer, { mayRefuse, ...this.#agreed })
    const faults = answer.status === 200 ? schemaFaults(request, answer.bodyText, this.#agreed) : []
    return broken.length > 0 || faults.length > 0 ? [{ source, broken, faults }] : []
  }
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}
