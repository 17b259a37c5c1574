/**
 * Loaded before the service (`node --import`) in every thread: SIGUSR2 switches its recorders off and on again, so
 * that a benchmark can tell what recording costs within one process. Two processes of the same code differ by more than
 * that. While it is on, each call costs the switch as well.
 */
import { getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads'
import { Recorder } from '../service/telemetry/recorder.ts'

const KEY = 'telemetry-switch'
const memory = isMainThread ? new SharedArrayBuffer(4) : (getEnvironmentData(KEY) as SharedArrayBuffer)
const isOff = new Int32Array(memory)
if (isMainThread) {
  setEnvironmentData(KEY, memory)
  process.on('SIGUSR2', () => {
    isOff[0] = isOff[0] === 0 ? 1 : 0
  })
}

const { count, add, time, set, mark, since, beginRequest } = Recorder.prototype
Recorder.prototype.count = function (counter) {
  if (isOff[0] === 0) count.call(this, counter)
}
Recorder.prototype.add = function (counter, n) {
  if (isOff[0] === 0) add.call(this, counter, n)
}
Recorder.prototype.time = function (histogram, ns) {
  if (isOff[0] === 0) time.call(this, histogram, ns)
}
Recorder.prototype.set = function (gauge, value) {
  if (isOff[0] === 0) set.call(this, gauge, value)
}
Recorder.prototype.mark = function () {
  return isOff[0] === 0 ? mark.call(this) : 0
}
Recorder.prototype.since = function (histogram, markMs) {
  if (isOff[0] === 0) since.call(this, histogram, markMs)
}
Recorder.prototype.beginRequest = function () {
  if (isOff[0] === 0) beginRequest.call(this)
}
