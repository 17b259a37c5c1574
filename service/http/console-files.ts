/**
 * The console's files as a browser gets them: types are stripped when the service starts, there is no build. The one
 * package in the browser is uPlot, whose own file is served beside them.
 */
import { readFile } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'

/** One file. */
interface ConsoleFile {
  readonly type: string
  readonly body: string
}

const SCRIPTS = [
  '../console/page.ts',
  '../console/chart.ts',
  '../console/element.ts',
  '../console/events-view.ts',
  '../console/explain-view.ts',
  '../console/line-items-view.ts',
  '../console/live-view.ts',
  '../console/pacing-view.ts',
  '../console/recent-view.ts',
] as const
const HTML = 'text/html; charset=utf-8'
const CSS = 'text/css; charset=utf-8'
const SCRIPT = 'text/javascript; charset=utf-8'
const CHARTS = { script: '/console/uplot.js', style: '/console/uplot.css' } as const

/** By their paths at the admin port. */
export type ConsoleFiles = ReadonlyMap<string, ConsoleFile>

/** What a browser may load and do on the page: our own files, and nothing from anywhere else. */
export const CONSOLE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** Reads all files, by their paths at the admin port. Cost: some ms, once. */
export async function readConsoleFiles(): Promise<ConsoleFiles> {
  const read = (path: string) => readFile(new URL(path, import.meta.url), 'utf8')
  const scripts = SCRIPTS.map(async path => {
    // A browser knows no packages, only paths.
    const text = (await read(path)).replace("from 'uplot'", `from '${CHARTS.script}'`)
    return [path.replace('..', ''), { type: SCRIPT, body: stripTypeScriptTypes(text, { mode: 'strip' }) }] as const
  })
  const charts = (name: string) => readFile(new URL(import.meta.resolve(`uplot/dist/${name}`)), 'utf8')
  return new Map([
    ...(await Promise.all(scripts)),
    ['/console', { type: HTML, body: await read('../console/index.html') }],
    ['/console/style.css', { type: CSS, body: await read('../console/style.css') }],
    [CHARTS.script, { type: SCRIPT, body: await charts('uPlot.esm.js') }],
    [CHARTS.style, { type: CSS, body: await charts('uPlot.min.css') }],
  ])
}
