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

/** One thing that is stopped or let go. */
export type Stop = { readonly tenant: true } | { readonly [K in keyof typeof LISTS]?: string }

/** The list with one thing more or less. Pure. */
export function changedStops(list: StopList, stop: Stop, isStopped: boolean): StopList {
  if ('tenant' in stop) return { ...list, tenant: isStopped }
  const [kind, id] = Object.entries(stop)[0] as [keyof typeof LISTS, string]
  const name = LISTS[kind]
  const others = list[name].filter(each => each !== id)
  return { ...list, [name]: isStopped ? [...others, id] : others }
}
