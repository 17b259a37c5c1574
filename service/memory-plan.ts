/**
 * What a task's memory is for: the sizes of all heaps, and what is left for state. The service and its task definition
 * both go by it. Pure.
 */
import { LIMITS } from './limits.ts'

/** What a plan is made for. */
export interface MemoryPlanInput {
  readonly limitMib: number
  readonly bidThreads: number
}

/** Sizes in MiB. All parts together are PLANNED_PERCENT of the limit. */
export interface MemoryPlan {
  /** Node's code and libraries, and what they keep off the heaps. */
  readonly processMib: number
  /** Old generation of the control thread, for --max-old-space-size, and its young one: 3 semi-spaces. */
  readonly controlOldMib: number
  readonly controlYoungMib: number
  /** Of one bid thread, for its resourceLimits. */
  readonly bidThreadOldMib: number
  readonly bidThreadYoungMib: number
  /** Of all heaps: V8 takes one size for the process. */
  readonly semiSpaceMib: number
  /** Stacks, code and bodies under way of all bid threads. */
  readonly bidThreadBuffersMib: number
  /** Counts of frequency caps. */
  readonly capTableMib: number
  /** What is left: catalogs and users, the next ones beside those that serve. Below 0 where the rest does not fit. */
  readonly arenaMib: number
  /** Connections that the heap of a bid thread has room for. */
  readonly connectionsMax: number
  /** Notices that the heap of the control thread has room for while the ledger is away. */
  readonly journalNoticesMax: number
}

const KIB = 1024
const MIB = 1024 * KIB
/** As the critical line: what is planned ends where the ladder begins to shed. */
const PLANNED_PERCENT = 85
/** Resident without any heap, measured: 63 MiB of files, some 40 beside them. */
const PROCESS_MIB = 100
/** Of one bid thread beside its heap and the bodies that it holds, measured: stack, code, sockets. */
const THREAD_NATIVE_MIB = 12
const CONTROL_SHARE = 0.2
const BID_THREADS_SHARE = 0.2
const OLD_MIB_MIN = 64
const CONTROL_OLD_MIB_MIN = 96
const CONTROL_OLD_MIB_MAX = 1_024
/** Tasks below this have half the semi-spaces. */
const SMALL_TASK_MIB = 1_024
const CONNECTION_KIB = 8
const NOTICE_KIB = 1

/** Divides a task's memory. The same input gives the same plan. */
export function memoryPlan({ limitMib, bidThreads }: MemoryPlanInput): MemoryPlan {
  const semiSpaceMib = limitMib < SMALL_TASK_MIB ? LIMITS.bidThreadSemiSpaceMib / 2 : LIMITS.bidThreadSemiSpaceMib
  const youngMib = 3 * semiSpaceMib
  const controlOldMib = between(CONTROL_OLD_MIB_MIN, Math.floor(limitMib * CONTROL_SHARE), CONTROL_OLD_MIB_MAX)
  const perThreadMib = Math.floor((limitMib * BID_THREADS_SHARE) / bidThreads) - youngMib - THREAD_NATIVE_MIB
  const bidThreadOldMib = between(OLD_MIB_MIN, perThreadMib, LIMITS.bidThreadOldMib)
  const bidThreadBuffersMib = bidThreads * (THREAD_NATIVE_MIB + LIMITS.partialBodyBytesMax / MIB)
  const capTableMib = Math.floor(Math.min(LIMITS.capTableBytesMax / MIB, limitMib / 8))
  const heapsMib = controlOldMib + youngMib + bidThreads * (bidThreadOldMib + youngMib)
  const plannedMib = Math.floor((limitMib * PLANNED_PERCENT) / 100)
  return {
    processMib: PROCESS_MIB,
    ...{ controlOldMib, controlYoungMib: youngMib, bidThreadOldMib, bidThreadYoungMib: youngMib, semiSpaceMib },
    ...{ bidThreadBuffersMib, capTableMib },
    arenaMib: plannedMib - PROCESS_MIB - heapsMib - bidThreadBuffersMib - capTableMib,
    // A third of the heap, as LIMITS.connectionsMax is a third of the largest one.
    connectionsMax: Math.min(LIMITS.connectionsMax, Math.floor((bidThreadOldMib * KIB) / (3 * CONNECTION_KIB))),
    journalNoticesMax: Math.min(LIMITS.journalNoticesMax, Math.floor((controlOldMib * KIB) / (3 * NOTICE_KIB))),
  }
}

function between(least: number, wanted: number, most: number): number {
  return Math.max(least, Math.min(wanted, most))
}

/**
 * How much state a plan has room for, in MiB of documents as JSON: the catalog that serves and the next one in the
 * arena, and while a version is read, what is gathered for it below the share at which a load is refused.
 */
export function stateRoomMib({ limitMib }: Pick<MemoryPlanInput, 'limitMib'>, { arenaMib }: MemoryPlan): number {
  const inArena = Math.min(arenaMib / 2, LIMITS.slabBytesMax / MIB) / LIMITS.catalogBytesPerByte
  const spareMib = limitMib * (LIMITS.loadMemoryShareMax - PLANNED_PERCENT / 100) + Math.max(0, arenaMib)
  const whileLoading = spareMib / (2 * LIMITS.catalogBytesPerByte + LIMITS.loadBytesPerByte)
  return Math.max(0, Math.floor(Math.min(inArena, whileLoading)))
}
