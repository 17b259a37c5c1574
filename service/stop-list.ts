/** What is stopped by hand at the admin port, in this task alone and until it ends: the brake that needs no cache. */

/** Ids of what must not bid. */
export interface StopList {
  readonly tenant: boolean
  readonly exchanges: readonly string[]
  readonly campaigns: readonly string[]
  readonly lineItems: readonly string[]
}

/** Nothing is stopped. */
export const NO_STOPS: StopList = Object.freeze({ tenant: false, exchanges: [], campaigns: [], lineItems: [] })

const LISTS = { exchange: 'exchanges', campaign: 'campaigns', lineItem: 'lineItems' } as const
/** What has an id and can be stopped. */
export type StopKind = keyof typeof LISTS
const STOP_KINDS = Object.keys(LISTS) as StopKind[]

/** One thing that is stopped or let go. */
export type Stop = { readonly tenant: true } | { readonly [K in StopKind]?: string }

/** What whoever asks is told. */
export interface ToldStops extends StopList {
  /** Kinds and ids that nothing served has: misspelt, or not published yet. Empty while nothing serves. */
  readonly unknown: readonly string[]
}

/** Whether a catalog has an exchange, campaign or line item of this id. */
export type Knows = (kind: StopKind, id: string) => boolean

/** The list, and what of it holds nothing. @param known by each catalog that serves */
export function toldStops(list: StopList, known: readonly Knows[]): ToldStops {
  const stopped = STOP_KINDS.flatMap(kind => list[LISTS[kind]].map(id => ({ kind, id })))
  const isUnknown = ({ kind, id }: (typeof stopped)[number]) =>
    known.length > 0 && !known.some(knows => knows(kind, id))
  return { ...list, unknown: stopped.filter(isUnknown).map(({ kind, id }) => `${kind} ${id}`) }
}

/** Kind and id of what is stopped, as `unknown` and logs have it. */
export function stopName(stop: Stop, tenantId: string): string {
  const [kind, id] = Object.entries(stop)[0] as [string, string | true]
  return `${kind} ${id === true ? tenantId : id}`
}

/** The list with one thing more or less. Pure. */
export function changedStops(list: StopList, stop: Stop, isStopped: boolean): StopList {
  if ('tenant' in stop) return { ...list, tenant: isStopped }
  const [kind, id] = Object.entries(stop)[0] as [StopKind, string]
  const name = LISTS[kind]
  const others = list[name].filter(each => each !== id)
  return { ...list, [name]: isStopped ? [...others, id] : others }
}
