// Where a worker thread begins that has its modules from the control thread, see thread-modules.ts. JavaScript, because
// whatever else it were, Node would load its compiler for it.
import { registerHooks } from 'node:module'
import { workerData } from 'node:worker_threads'

const { entry, modules } = workerData
const hooks = registerHooks({
  load(url, context, nextLoad) {
    const source = modules.get(url)
    return source === undefined ? nextLoad(url, context) : { format: 'module', source, shortCircuit: true }
  },
})
await import(entry)
hooks.deregister()
