import { type AcceptanceOptions, brokenRules } from './acceptance.ts'
import { type HttpResponse, headersOf } from './http-response.ts'
import type { WorkloadRequest } from './workload.ts'

/** What to look for in answers while a load runs. */
export interface AnswerCheckOptions {
  /** A text that must be in no answer: another tenant's mark. */
  readonly foreignMark?: string
  /** Every so many answers are judged by the acceptance rules, after the run. */
  readonly judgeEvery: number
  readonly rates?: AcceptanceOptions['rates']
  /** By exchange: whether markup comes with the bid, as agreed. */
  readonly markups?: Readonly<Record<string, AcceptanceOptions['markup']>>
}

/** What was found in the answers. */
export interface AnswerFindings {
  readonly bids: number
  readonly noBids: number
  readonly refusals: number
  readonly judged: number
  /** Broken rules among the judged, with how often. */
  readonly brokenRules: Readonly<Record<string, number>>
  readonly foreignAnswers: number
  /** The first few offending answers, short. */
  readonly examples: readonly string[]
}

const KEPT_MAX = 5_000
const EXAMPLES_MAX = 5
const BID = Buffer.from('"impid"')

/** Whether an answer has a bid: a no-bid with its reason may have an empty seatbid, but no bid lacks this. */
export function hasBid(response: HttpResponse): boolean {
  return response.status === 200 && response.body.includes(BID)
}

/** Looks at answers during a run, cheaply, and judges a sample of them afterwards. */
export class AnswerCheck {
  readonly #workload: readonly WorkloadRequest[]
  readonly #options: AnswerCheckOptions
  readonly #mark: Buffer | undefined
  readonly #kept: { readonly response: HttpResponse; readonly index: number }[] = []
  readonly #examples: string[] = []
  #seen = 0
  #bids = 0
  #noBids = 0
  #refusals = 0
  #foreign = 0

  constructor(workload: readonly WorkloadRequest[], options: AnswerCheckOptions) {
    this.#workload = workload
    this.#options = options
    this.#mark = options.foreignMark === undefined ? undefined : Buffer.from(options.foreignMark)
  }

  /** Takes one answer. Bound, to be passed as onAnswer. */
  readonly look = (response: HttpResponse, index: number): void => {
    if (response.status === 400) this.#refusals++
    else if (hasBid(response)) this.#bids++
    else if (response.status === 200 || response.status === 204) this.#noBids++
    if (this.#mark && (response.body.includes(this.#mark) || response.head.includes(this.#options.foreignMark ?? ''))) {
      this.#foreign++
      this.#example(`foreign: ${response.body.toString('utf8').slice(0, 300)}`)
    }
    if (this.#seen++ % this.#options.judgeEvery === 0 && this.#kept.length < KEPT_MAX)
      this.#kept.push({ response: { ...response, body: Buffer.from(response.body) }, index })
  }

  /** Judges the sample. Cost: O(kept answers). */
  findings(): AnswerFindings {
    const broken: Record<string, number> = {}
    for (const { response, index } of this.#kept) {
      const { body, malformed, source, exchange } = this.#workload[index] as WorkloadRequest
      const answer = {
        status: response.status,
        headers: headersOf(response.head),
        bodyText: response.body.toString('utf8'),
      }
      const { rates, markups } = this.#options
      const options = { mayRefuse: malformed, markup: markups?.[exchange], ...(rates ? { rates } : {}) }
      for (const { rule, found } of brokenRules(parsed(body), answer, options)) {
        broken[rule] = (broken[rule] ?? 0) + 1
        this.#example(`${rule}: ${found} (${source})`)
      }
    }
    return {
      bids: this.#bids,
      noBids: this.#noBids,
      refusals: this.#refusals,
      judged: this.#kept.length,
      brokenRules: broken,
      foreignAnswers: this.#foreign,
      examples: this.#examples,
    }
  }

  #example(text: string): void {
    if (this.#examples.length < EXAMPLES_MAX) this.#examples.push(text)
  }
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}
