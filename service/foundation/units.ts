/** Money: whole 10^-9 units of the ledger currency. One impression at a CPM of four decimals is a whole number. */
export type Nanos = number & { readonly unit: 'nanos' }

/** Cost per thousand impressions, decimal, in some currency. What documents and OpenRTB carry. */
export type Cpm = number & { readonly unit: 'cpm' }

/** 10^9 nanos per unit, a thousand impressions per CPM. */
export const NANOS_PER_CPM = 1_000_000

/** Nanos of one impression at a CPM. `up` rounds a part of a nano up (holds, floors), otherwise down (offers). */
export function nanosFromCpm(cpm: number, rounding: 'up' | 'down'): Nanos {
  const nanos = cpm * NANOS_PER_CPM
  // 1.1 * 1e6 is 1100000.0000000002: a part smaller than a millionth of a nano is the float's error, not money. The
  // error grows with the amount: two multiplications leave less than 10^-15 of it.
  const nearest = Math.round(nanos)
  if (Math.abs(nanos - nearest) < Math.max(1e-6, nearest * 1e-15)) return nearest as Nanos
  return (rounding === 'up' ? Math.ceil(nanos) : Math.floor(nanos)) as Nanos
}

/** CPM of one impression's nanos. */
export function cpmFromNanos(nanos: number): Cpm {
  return (nanos / NANOS_PER_CPM) as Cpm
}
