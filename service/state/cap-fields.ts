/** Frequency caps, as documents say them, and as a catalog keeps them. */
import { assert } from '../foundation/assert.ts'
import { hashText } from '../foundation/hash.ts'
import { LIMITS } from '../limits.ts'
import { type Field, flag, list, number, oneOf, optional, type Path, type Problem, problem, record } from './fields.ts'

/** Whose impressions a cap counts: one person's, one device's, those of one internet access. */
export const CAP_SUBJECTS = ['user', 'device', 'household'] as const
/** One of them. */
export type CapSubject = (typeof CAP_SUBJECTS)[number]

/**
 * Who a request is about: per subject of CAP_SUBJECTS the two words of a hash of its id, both 0 where there is none
 * that may be stored.
 */
export type Identities = Uint32Array
/** Nobody. */
export const NO_IDENTITIES: Identities = new Uint32Array(2 * CAP_SUBJECTS.length)

const SPAN = record(
  {
    minutes: optional(number({ about: 'minutes', min: 1, max: 10_080 })),
    hours: optional(number({ about: 'hours', min: 1, max: 720 })),
    days: optional(number({ about: 'days', min: 1, max: 365 })),
  },
  'how far back impressions count; several units add up, and without it they count for ever',
  1,
)

const CAP = record(
  {
    impressions: number({ about: 'how many impressions at most', min: 1, max: LIMITS.capImpressionsMax }),
    per: optional(SPAN),
    of: optional(
      oneOf(
        CAP_SUBJECTS,
        'user: by the id of the user, also without it; device: by the advertising id; household: by the IP address',
      ),
    ),
    minGapS: optional(number({ about: 'seconds from an impression to the next at least', min: 1, max: 31_536_000 })),
    strict: optional(
      flag(
        'only the one task that owns the user, device or household bids: nothing is counted late, some bids are lost',
      ),
    ),
    withoutId: optional(
      oneOf(
        ['no-bid', 'bid'],
        'where there is no such id, or it may not be stored: no bid, also without it; or a bid that nobody counts',
      ),
    ),
  },
  'how often somebody sees it',
)

/** Twins are looked for by what is counted. */
const CAPS = list(CAP, { min: 1, max: LIMITS.capsPerRecordMax, twins: true })

/** How often somebody sees what one record stands for. */
export interface FrequencyCap {
  readonly impressions: number
  readonly per?: { readonly minutes?: number; readonly hours?: number; readonly days?: number }
  readonly of?: CapSubject
  readonly minGapS?: number
  readonly strict?: boolean
  readonly withoutId?: 'no-bid' | 'bid'
}

/** Caps of a record, all of which hold. Two of them never count the same. */
export const FREQUENCY_CAPS: Field<readonly FrequencyCap[] | undefined> & { readonly optional: true } = optional({
  ...CAPS,
  check(value: unknown, path: Path, found: Problem[]) {
    const foundBefore = found.length
    CAPS.check(value, path, found)
    if (found.length > foundBefore) return
    const caps = value as readonly FrequencyCap[]
    const counted = caps.map(cap => `${subjectOf(cap)} ${minutesOf(cap)}`)
    const twin = counted.findIndex((each, i) => counted.indexOf(each) < i)
    if (twin < 0) return
    const at = path === undefined ? path : `${path}[${twin}].per`
    const { per = 'for ever' } = caps[twin] as FrequencyCap
    found.push(problem(at, per, 'must differ from an earlier cap of this list over the same time; keep one of the two'))
  },
})

function subjectOf({ of = 'user' }: FrequencyCap): CapSubject {
  return of
}

/** How far back impressions count; 0 = for ever. */
function minutesOf({ per }: FrequencyCap): number {
  return per === undefined ? 0 : (per.minutes ?? 0) + (per.hours ?? 0) * 60 + (per.days ?? 0) * 1_440
}

/** Bits of the second word of a key that say the cap's minutes. */
export const CAP_MINUTE_BITS = 20
assert(10_080 + 720 * 60 + 365 * 1_440 < 2 ** CAP_MINUTE_BITS, 'the longest time of a cap fits a key')

/** Words of one cap in a catalog: two of a key, its limits, its gap in seconds. */
export const CAP_WORDS = 4
/** Bits of a cap's third word. */
export const CAP_LIMITS = { impressionsMask: 0xff, subjectShift: 8, subjectMask: 0x3, strict: 1 << 10, open: 1 << 11 }
assert(LIMITS.capImpressionsMax <= CAP_LIMITS.impressionsMask, 'the impressions of a cap fit their bits')

const ALL_SUBJECTS = 2 ** CAP_SUBJECTS.length - 1

/** Whose impressions any of the caps with these words counts: a bit per position in CAP_SUBJECTS. Cost: O(caps) */
export function countedSubjects(words: ArrayLike<number>): number {
  let subjects = 0
  for (let at = 2; at < words.length && subjects !== ALL_SUBJECTS; at += CAP_WORDS)
    subjects |= 1 << ((words[at]! >>> CAP_LIMITS.subjectShift) & CAP_LIMITS.subjectMask)
  return subjects
}

/** What a cap counts: its part of a key's hash is the same in every catalog and task. */
export type CapScope = 'tenant' | 'advertiser' | 'campaign' | 'line-item' | 'creative'

/**
 * The words of a record's caps, one cap after another. A key is 44 bits of a hash of what is counted, and the minutes
 * for which it is.
 */
export function capWords(scope: CapScope, id: string, caps: readonly FrequencyCap[] = []): readonly number[] {
  return caps.flatMap(cap => {
    const subject = subjectOf(cap)
    const minutes = minutesOf(cap)
    const counted = `${scope} ${id} ${subject} ${minutes}`
    const low = (hashText(counted, 1) >>> CAP_MINUTE_BITS) * 2 ** CAP_MINUTE_BITS + minutes
    const limits =
      cap.impressions |
      (CAP_SUBJECTS.indexOf(subject) << CAP_LIMITS.subjectShift) |
      (cap.strict === true ? CAP_LIMITS.strict : 0) |
      (cap.withoutId === 'bid' ? CAP_LIMITS.open : 0)
    return [hashText(counted, 0), low, limits, cap.minGapS ?? 0]
  })
}
