/** What worker threads run, with its types taken away once for all of them. */
import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'

/** Where a thread with such modules begins; it needs them as `modules` and its first one as `entry`. */
export const THREAD_START = new URL('./thread-start.mjs', import.meta.url)

/** Of a module of ours: JavaScript by the address of its file. */
export type ThreadModules = ReadonlyMap<string, string>

/** Bid threads and loader threads have most modules in common. */
const stripped = new Map<string, string>()
const IMPORTED = /\bfrom '(\.{1,2}\/[^']+\.ts)'/g

/**
 * A module and all of ours that it imports, as JavaScript with the same lines. A thread that strips types itself loads
 * Node's compiler for that: 12 MiB, which then stay.
 * @throws where a file cannot be read or stripped. Cost: about a millisecond a file, the first time
 */
export function threadModules(entry: URL): ThreadModules {
  const modules = new Map<string, string>()
  const wanted = [entry.href]
  for (let href = wanted.pop(); href !== undefined; href = wanted.pop()) {
    if (modules.has(href)) continue
    const source = stripped.get(href) ?? stripTypeScriptTypes(readFileSync(new URL(href), 'utf8'))
    stripped.set(href, source)
    modules.set(href, source)
    for (const [, path] of source.matchAll(IMPORTED)) wanted.push(new URL(path ?? '', href).href)
  }
  return modules
}
