// Reads the JSON reports of the gate's test runs. `failed FILE` prints the test files that failed, a line each;
// `summary FOLDER STEPS` names what failed and ends with the count, in which STEPS failed steps are included.
// A run that was repeated for its failed files has a second report, NAME.again.json: what that says of a file stands.
import { existsSync, readdirSync, readFileSync } from 'node:fs'

const AGAIN = '.again.json'

/** The files of one report by path: { passed, failed } are the names of tests; a file that broke is one failure. */
function readFiles(path) {
  const files = new Map()
  for (const { name, status, message, assertionResults } of JSON.parse(readFileSync(path)).testResults) {
    const named = wanted => assertionResults.filter(test => test.status === wanted)
    const passed = named('passed').map(({ fullName }) => fullName)
    const failed = named('failed').map(({ fullName, failureMessages }) => ({ fullName, message: failureMessages[0] }))
    if (status === 'failed' && failed.length === 0) failed.push({ fullName: 'the file as a whole', message })
    files.set(name, { passed, failed })
  }
  return files
}

function say(line) {
  process.stdout.write(`${line}\n`)
}

function firstLine(message) {
  return (message ?? '').split('\n', 1)[0].slice(0, 300)
}

function listFailed(path) {
  for (const [name, { failed }] of readFiles(path)) if (failed.length > 0) say(name)
}

function summarize(folder, steps) {
  let [passed, failed] = [0, steps]
  for (const report of readdirSync(folder)) {
    if (!report.endsWith('.json') || report.endsWith(AGAIN)) continue
    const files = readFiles(`${folder}/${report}`)
    const secondPath = `${folder}/${report.replace(/\.json$/, AGAIN)}`
    const second = existsSync(secondPath) ? readFiles(secondPath) : new Map()
    for (const [name, first] of files) {
      const last = second.get(name) ?? first
      passed += last.passed.length
      failed += last.failed.length
      for (const { fullName, message } of last.failed) say(`failed: ${name}: ${fullName}: ${firstLine(message)}`)
      if (last.failed.length > 0) continue
      for (const { fullName, message } of first.failed) {
        say(`failed beside others, held alone: ${name}: ${fullName}: ${firstLine(message)}`)
      }
    }
  }
  say(`\n${passed} passed, ${failed} failed`)
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0
}

const [command, path, steps] = process.argv.slice(2)
try {
  if (command === 'failed') listFailed(path)
  else summarize(path, Number(steps))
} catch (error) {
  say(`unreadable report: ${error.message}`)
  process.exitCode = 2
}
