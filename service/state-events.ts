/** Tells what happened to the state: in log lines and in counters. */
import type { RefreshEvent } from './remote-cache/refresh-events.ts'
import { problemLine } from './state/validate.ts'
import type { Logger } from './telemetry/logger.ts'
import type { Recorder } from './telemetry/recorder.ts'
import { COUNTER, HISTOGRAM } from './telemetry/signals.ts'

/** Bad records that get a line of their own; the others are in the count, and `npm run validate` names all. */
const RECORD_LINES_MAX = 20

/** @returns a listener for the refresher. It writes log lines and counts, nothing else. */
export function stateEventTeller(log: Logger, recorder: Recorder): (event: RefreshEvent) => void {
  return event => {
    switch (event.kind) {
      case 'cache-unreachable':
        recorder.count(COUNTER.cacheFailures)
        log.warn('cache-unreachable', 'the remote cache does not answer', {
          fields: { reason: event.code, detail: event.message },
        })
        return
      case 'cache-back':
        log.info('cache-reachable', 'the remote cache answers again', { fields: { away_ms: Math.round(event.awayMs) } })
        return
      case 'nothing-announced':
        log.warn('not-ready', 'no version of this tenant is announced yet; publish one')
        return
      case 'copy-serves':
        log.error('state-copy-serves', 'the cache is away; an old copy from the disk serves', {
          fields: { version: event.announcement.version, copied_at: event.createdAt },
        })
        return
      case 'copy-unusable':
        log.error('state-copy-failed', event.message)
        return
      case 'version-loading':
        log.info('state-loading', 'a version is being loaded', {
          fields: { version: event.announcement.version, because: event.because },
        })
        return
      case 'compiled-unusable':
        log.warn('state-loading', event.message, { fields: { version: event.announcement.version } })
        return
      case 'version-progress':
        log.info('state-loading', 'a version is being loaded', {
          fields: {
            version: event.announcement.version,
            records: event.progress.records,
            records_total: event.progress.recordsTotal,
            bytes: event.progress.bytes,
            bytes_total: event.progress.bytesTotal,
          },
        })
        return
      case 'version-loaded':
        tellLoaded(event, log, recorder)
        return
      case 'deltas-taken':
        tellDeltas(event, log, recorder)
        return
      case 'state-checked':
        tellChecked(event, log, recorder)
        return
      case 'check-failed':
        log.error('state-check-failed', event.message, {
          fields: { version: event.announcement.version, reason: event.code },
        })
        return
      case 'version-refused':
        recorder.count(COUNTER.stateRefusals)
        auditState(log, event.announcement.version, 'refused')
        log.error('state-refused', event.message, {
          fields: { version: event.announcement.version, reason: event.code },
        })
        tellProblems(event.report?.problems ?? [], log)
    }
  }
}

/** Who published is known to whoever published: a task sees what was announced. */
function auditState(log: Logger, version: string, decision: 'allowed' | 'refused'): void {
  log.audit({ actor: 'publisher', action: 'state-change', resource: `version ${version}`, decision })
}

function tellLoaded(event: Extract<RefreshEvent, { kind: 'version-loaded' }>, log: Logger, recorder: Recorder): void {
  const { announcement, report, buildMs } = event
  const bad = Object.values(report.counts).reduce((sum, count) => sum + count.bad, 0)
  recorder.count(COUNTER.stateLoads)
  recorder.add(COUNTER.recordRefusals, bad)
  recorder.time(HISTOGRAM.stateLoadTime, (report.totalMs + buildMs) * 1e6)
  log.info('state-loaded', 'a version was loaded and serves', {
    fields: {
      version: announcement.version,
      announcement: announcement.number,
      line_items: report.counts.lineItems.good,
      creatives: report.counts.creatives.good,
      records_refused: bad,
      bytes: report.bytes,
      compiled: report.compiled,
      loader_threads: report.threads,
      fetch_ms: Math.round(report.fetchMs),
      parse_ms: Math.round(report.parseMs),
      validate_ms: Math.round(report.validateMs),
      build_ms: Math.round(buildMs),
      total_ms: Math.round(report.totalMs + buildMs),
    },
  })
  auditState(log, announcement.version, 'allowed')
  tellProblems(report.problems, log)
}

function tellChecked(event: Extract<RefreshEvent, { kind: 'state-checked' }>, log: Logger, recorder: Recorder): void {
  const { announcement, isSame, totalMs } = event
  const fields = {
    version: announcement.version,
    deltas: announcement.deltas?.length ?? 0,
    total_ms: Math.round(totalMs),
  }
  if (isSame) {
    log.info('state-checked', 'what is served is what the cache has', { fields })
    return
  }
  recorder.count(COUNTER.stateDivergences)
  log.error('state-diverged', 'what was served was not what the cache has; it was replaced', { fields })
}

function tellDeltas(event: Extract<RefreshEvent, { kind: 'deltas-taken' }>, log: Logger, recorder: Recorder): void {
  const { announcement, deltas, chars, problems, fetchMs, buildMs } = event
  recorder.add(COUNTER.deltas, deltas)
  recorder.add(COUNTER.recordRefusals, problems.length)
  recorder.time(HISTOGRAM.deltaTime, (fetchMs + buildMs) * 1e6)
  log.info('deltas-taken', 'changes of single records serve', {
    fields: {
      version: announcement.version,
      deltas,
      last: announcement.deltas?.length ?? 0,
      chars,
      records_refused: problems.length,
      fetch_ms: Math.round(fetchMs),
      build_ms: Math.round(buildMs),
    },
  })
  auditState(log, `${announcement.version}, delta ${announcement.deltas?.length ?? 0}`, 'allowed')
  tellProblems(problems, log)
}

function tellProblems(problems: readonly Parameters<typeof problemLine>[0][], log: Logger): void {
  for (const problem of problems.slice(0, RECORD_LINES_MAX)) log.warn('record-refused', problemLine(problem))
}
