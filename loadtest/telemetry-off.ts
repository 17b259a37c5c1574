/**
 * Loaded before the service (`node --import`) in every thread: its recorder records nothing, so that a benchmark can
 * tell what recording costs. Not for use: such a service knows nothing about itself.
 */
import { Recorder } from '../service/telemetry/recorder.ts'

Object.assign(Recorder.prototype, {
  count: () => undefined,
  add: () => undefined,
  time: () => undefined,
  set: () => undefined,
  mark: () => 0,
  since: () => undefined,
  beginRequest: () => undefined,
})
