/** Stories as data: what their files may say, and how a place in a document is named (`imp[0].banner.w`). */
import { readdirSync, readFileSync } from 'node:fs'

/** Place → what stands there. The text "(absent)" takes the field away. */
export type Changes = Readonly<Record<string, unknown>>

/** What is given: every part is the file's, changed by the pair's, changed by the half's. */
export interface Given {
  /** Changes of the tenant's documents; a record is named by its id: `lineItems[banner].price.cpm`. */
  readonly state?: Changes
  /** Changes of the bid request; an item is named by its position: `imp[0].bidfloor`. */
  readonly request?: Changes
  /** Segment → its users, each as the kind of an id and the id: `buyeruid b-1`, `eid:id.example e-1`. */
  readonly audience?: Readonly<Record<string, readonly string[]>>
  /** The exchange that asks. */
  readonly exchange?: string
  /** The instant at which it asks. */
  readonly at?: string
  /** How long the request waited behind other work. */
  readonly lagMs?: number
  /** Headers of the HTTP request beside Host and Content-Length; "(absent)" leaves one out. */
  readonly headers?: Readonly<Record<string, string>>
  /** The HTTP body instead of the bid request. */
  readonly body?: string
  /** The HTTP method instead of POST. */
  readonly method?: string
  /** Whether the body is sent as gzip; the header that says so is told apart. */
  readonly gzip?: boolean
}

/** What comes of it. */
export interface Outcome {
  /** HTTP status: 200 where bids are told, 204 where none are, when it is not said. */
  readonly status?: number
  /** Every bid in its order, each with the fields that matter here. */
  readonly bids?: readonly Changes[]
  /** The reason of every impression without a bid. */
  readonly 'no-bid'?: readonly string[]
  /** Fields of the bid response. */
  readonly answer?: Changes
  /** Headers of the HTTP answer, by lower-case name. */
  readonly answerHeaders?: Readonly<Record<string, string>>
  /** Changes of the bid response that an exchange would not take ... */
  readonly spoilt?: Changes
  /** ... and by what the judges say so. */
  readonly refusedBy?: Refusal
}

/** What two judges find wrong. */
export interface Refusal {
  /** Names of acceptance rules. */
  readonly rules: readonly string[]
  /** Places at which the answer breaks the JSON Schema. */
  readonly schema: readonly string[]
}

/** One rule of the protocol, once kept and once at stake. */
export interface Pair extends Given {
  /** What the rule says, as a sentence. */
  readonly rule: string
  /** Fields of the must-honour list that the pair shows. */
  readonly fields: readonly string[]
  readonly honoured: Given & Outcome
  readonly violated: Given & Outcome
}

/** One file of stories. */
export interface StoryFile {
  /** Its name without the ending. */
  readonly name: string
  readonly about: string
  readonly given: Given
  /** The bid request that the pairs change. */
  readonly request: unknown
  readonly pairs: readonly Pair[]
}

/** The word for a field that is not there. */
export const ABSENT = '(absent)'

const GIVEN_KEYS = ['state', 'request', 'audience', 'exchange', 'at', 'lagMs', 'headers', 'body', 'method', 'gzip']
const OUTCOME_KEYS = ['status', 'bids', 'no-bid', 'answer', 'answerHeaders', 'spoilt', 'refusedBy']
const HALF_KEYS = [...GIVEN_KEYS, ...OUTCOME_KEYS]
const PAIR_KEYS = ['rule', 'fields', 'honoured', 'violated', ...GIVEN_KEYS]
const FILE_KEYS = ['about', 'pairs', ...GIVEN_KEYS]
const FOLDER = new URL('.', import.meta.url)

/** Every file of stories, by name. @throws Error that names file, pair and key where one says what none may say. */
export function readStories(): readonly StoryFile[] {
  const names = readdirSync(FOLDER).filter(name => name.endsWith('.json'))
  return names.sort().map(name => storyFileOf(name.replace(/\.json$/, ''), JSON.parse(readText(name))))
}

/** One of the files that all stories stand on: the tenant, the must-honour list. */
export function readGround(name: string): unknown {
  return JSON.parse(readText(`ground/${name}.json`))
}

function readText(path: string): string {
  return readFileSync(new URL(path, FOLDER), 'utf8')
}

function storyFileOf(name: string, file: Omit<Given, 'request'> & Omit<StoryFile, 'name' | 'given'>): StoryFile {
  const { about, pairs, request, ...given } = file
  checkKeys(`${name}.json`, file, FILE_KEYS)
  for (const pair of pairs) {
    const where = `${name}.json, "${pair.rule}"`
    checkKeys(where, pair, PAIR_KEYS)
    for (const half of ['honoured', 'violated'] as const) {
      checkKeys(`${where}, ${half}`, pair[half], HALF_KEYS)
      const { status, bids, spoilt, refusedBy } = pair[half]
      if (status === undefined && bids === undefined && pair[half]['no-bid'] === undefined)
        throw new Error(`${where}, ${half}: tell the status, the bids or the no-bid reasons`)
      if ((spoilt === undefined) !== (refusedBy === undefined))
        throw new Error(`${where}, ${half}: "spoilt" and "refusedBy" go together`)
    }
  }
  return { name, about, given, request, pairs }
}

function checkKeys(where: string, value: object, known: readonly string[]): void {
  for (const key of Object.keys(value))
    if (!known.includes(key)) throw new Error(`${where}: "${key}" is none of ${known.join(', ')}`)
}

/** `imp[0].banner.w` as its steps: names of fields, and positions or ids of items. */
function stepsOf(place: string): readonly string[] {
  return place.split(/[.[\]]+/).filter(step => step !== '')
}

type Holder = Record<string, unknown>

/** A copy with every change made. What lies on the way to a place is made where it is missing. */
export function changed(document: unknown, changes: Changes = {}): unknown {
  const copy = structuredClone(document)
  for (const [place, value] of Object.entries(changes)) {
    const steps = stepsOf(place)
    let at = copy as Holder
    for (const [i, step] of steps.slice(0, -1).entries()) at = inside(at, step, steps[i + 1] as string)
    const last = keyIn(at, steps.at(-1) as string)
    if (value !== ABSENT) at[last] = structuredClone(value)
    else if (Array.isArray(at)) at.splice(Number(last), 1)
    else delete at[last]
  }
  return copy
}

function inside(at: Holder, step: string, next: string): Holder {
  const key = keyIn(at, step)
  at[key] ??= /^\d+$/.test(next) ? [] : Array.isArray(at) && !/^\d+$/.test(step) ? { id: step } : {}
  return at[key] as Holder
}

/** Where an item of a list is: its position, or that of the one with this id, or the end of the list. */
function keyIn(at: Holder, step: string): string {
  if (!Array.isArray(at) || /^\d+$/.test(step)) return step
  const found = at.findIndex(item => (item as Holder).id === step)
  return String(found < 0 ? at.length : found)
}

/** What stands at a place, ABSENT when nothing does. */
export function valueAt(document: unknown, place: string): unknown {
  let at = document
  for (const step of stepsOf(place)) {
    if (typeof at !== 'object' || at === null) return ABSENT
    at = (at as Holder)[keyIn(at as Holder, step)]
  }
  return at === undefined ? ABSENT : at
}
