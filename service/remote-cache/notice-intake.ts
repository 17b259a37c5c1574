/**
 * Makes notices safe before they are acknowledged: in the ledger and in the event stream, or, while these are away or
 * slow, in the journal, from which they go there later. Repeated notices change nothing.
 */
import { LRUCache } from 'lru-cache'
import { LIMITS } from '../limits.ts'
import type { BookOperation } from '../spend/ledger.ts'
import type { TenantEvent } from './event-stream.ts'
import type { KeptNotice, NoticeJournal } from './notice-journal.ts'

/** A notice before it has its number. */
export interface ArrivedNotice {
  readonly booking: BookOperation | undefined
  readonly event: Omit<TenantEvent, 'task' | 'number'>
  /** Whoever tells it tells it again when it is turned away; otherwise it is lost, and its number is missing. */
  readonly comesAgain: boolean
}

/** Where notices go, and who is told. */
export interface NoticeIntakeOptions {
  /** Distinct for every start of every task. */
  readonly task: string
  /** Resolves when the ledger has booked it, or had before; never rejects. */
  readonly book: (operation: BookOperation) => Promise<void>
  /** Resolves when the event is in the stream; never rejects. */
  readonly append: (event: TenantEvent) => Promise<void>
  /** undefined: without one, notices that are not safe in time are turned away. */
  readonly journal: NoticeJournal | undefined
  readonly onJournaled: () => void
  /** A journal that was adopted has nothing left. */
  readonly onEmptied: (journal: NoticeJournal) => void
  /** The journal could not be written; the notice is turned away. */
  readonly onJournalFailure: (error: unknown) => void
}

interface Waiting {
  readonly notice: KeptNotice
  readonly journal: NoticeJournal
}

/** The notices of one task that are not done. */
export class NoticeIntake {
  readonly #options: NoticeIntakeOptions
  readonly #underWay = new Map<string, Promise<void>>()
  readonly #recent = new LRUCache<string, true>({ max: LIMITS.noticesRecentMax })
  /** In a journal only, because there are enough under way; those before the first are begun. */
  #backlog: Waiting[] = []
  #backlogFirst = 0
  #numbers = 0
  #isSlow = false

  constructor(options: NoticeIntakeOptions) {
    this.#options = options
  }

  /** Goes on with what a task that ended has kept. Cost: O(notices of the journal). */
  adopt(journal: NoticeJournal): void {
    const { notices } = journal
    if (notices.length === 0) this.#options.onEmptied(journal)
    for (const notice of notices) this.#backlog.push({ notice, journal })
    this.#feed()
  }

  /** Notices that are not done, in memory or in the journal. */
  get waitingCount(): number {
    return this.#underWay.size + this.#backlog.length - this.#backlogFirst
  }

  /** Takes a notice. @returns whether it is safe and may be acknowledged */
  async take({ booking, event, comesAgain }: ArrivedNotice): Promise<boolean> {
    const { task, journal } = this.#options
    const { key } = event
    if (this.#recent.has(key) || journal?.has(key) === true) return true
    const underWay = this.#underWay.get(key)
    if (underWay === undefined && this.#isFull(comesAgain)) {
      if (!comesAgain) this.#numbers++
      return false
    }
    const notice: KeptNotice = { key, booking, event: { ...event, task, number: this.#numbers } }
    if (underWay !== undefined) return await this.#safe(notice, underWay)
    this.#numbers++
    if (this.#underWay.size < LIMITS.noticesUnderWayMax) return await this.#safe(notice, this.#begin(notice))
    const isKept = await this.#keep(notice)
    if (isKept && journal !== undefined) this.#backlog.push({ notice, journal })
    return isKept
  }

  /** Resolves when nothing is under way any more. What the journal has beyond that stays there. */
  async drain(): Promise<void> {
    this.#backlogFirst = this.#backlog.length
    while (this.#underWay.size > 0) await Promise.all(this.#underWay.values())
  }

  /** Events of devices, of which there are many for each bill, have half of the places. */
  #isFull(comesAgain: boolean): boolean {
    const { journal } = this.#options
    const part = comesAgain ? 1 : 0.5
    if (this.#underWay.size < LIMITS.noticesUnderWayMax * part) return false
    return journal === undefined || journal.isFull(part)
  }

  /** @param done resolves when the ledger and the stream have the notice */
  async #safe(notice: KeptNotice, done: Promise<void>): Promise<boolean> {
    const { journal } = this.#options
    if (journal === undefined) return await isDoneWithin(done, LIMITS.noticeAnswerMs)
    // While they are away nobody waits to see it again.
    if (await isDoneWithin(done, this.#isSlow ? 0 : LIMITS.ledgerAnswerMs)) return true
    this.#isSlow = true
    if (!(await this.#keep(notice))) return false
    void done.then(() => this.#drop(notice.key, journal))
    return true
  }

  #begin(notice: KeptNotice): Promise<void> {
    const { key } = notice
    const done = this.#finish(notice)
    this.#underWay.set(key, done)
    void done.then(() => {
      this.#underWay.delete(key)
      this.#recent.set(key, true)
      this.#isSlow = false
      this.#feed()
    })
    return done
  }

  async #finish({ booking, event }: KeptNotice): Promise<void> {
    const { book, append } = this.#options
    await Promise.all([booking === undefined ? undefined : book(booking), append(event)])
  }

  /** Half of what may be under way is left to notices that come now. */
  #feed(): void {
    while (this.#backlogFirst < this.#backlog.length && this.#underWay.size < LIMITS.noticesUnderWayMax / 2) {
      const { notice, journal } = this.#backlog[this.#backlogFirst++] as Waiting
      const underWay = this.#underWay.get(notice.key) ?? this.#begin(notice)
      void underWay.then(() => this.#drop(notice.key, journal))
    }
    if (this.#backlogFirst < this.#backlog.length || this.#backlogFirst === 0) return
    this.#backlog = []
    this.#backlogFirst = 0
  }

  async #keep(notice: KeptNotice): Promise<boolean> {
    const { journal, onJournaled, onJournalFailure } = this.#options
    try {
      const isKept = (await journal?.keep(notice)) === true
      if (isKept) onJournaled()
      return isKept
    } catch (error) {
      onJournalFailure(error)
      return false
    }
  }

  /** What cannot be dropped now is sent again after the next start, and changes nothing. */
  async #drop(key: string, from: NoticeJournal): Promise<void> {
    const { journal, onEmptied } = this.#options
    try {
      await from.drop(key)
      if (from !== journal && from.count === 0) onEmptied(from)
    } catch (error) {
      this.#options.onJournalFailure(error)
    }
  }
}

async function isDoneWithin(done: Promise<void>, limitMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>(resolve => {
    timer = setTimeout(() => resolve(false), limitMs)
  })
  try {
    return await Promise.race([done.then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}
