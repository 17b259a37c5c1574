/** A copy of the announced state on the task's disk, for a start without the cache: a directory of tenant documents. */
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { idOfRecord } from '../state/delta.ts'
import { DOCUMENT_KIND_NAMES, DOCUMENT_KINDS, type DocumentKindName } from '../state/documents.ts'
import { UnreadableRecord } from '../state/unreadable.ts'
import { recordsOf } from './chunks.ts'
import { NO_DELTAS } from './deltas.ts'
import type { Announcement, StateSource } from './source.ts'

/** What deltas say of each record: `kind id` → the record, undefined when it is gone. */
type Changed = Map<string, { readonly kind: DocumentKindName; readonly value: unknown }>

/**
 * Writes a version with its deltas beside the directory, then takes the directory's place in one step: whoever reads it
 * finds the copy before or this one. Records that cannot be read are left out.
 * @throws SourceError, or the file system's; then the copy before stays. Cost: O(bytes); holds a chunk and the deltas
 */
export async function copyState(source: StateSource, announcement: Announcement, directory: string): Promise<void> {
  const [part, old] = [`${directory}.part`, `${directory}.old`]
  await rm(part, { recursive: true, force: true })
  await mkdir(part, { recursive: true })
  const changed = await changedRecords(source, announcement)
  for await (const batch of source.read(announcement.version)) {
    const records = recordsOf(batch).filter(value => !(value instanceof UnreadableRecord))
    const current = records.flatMap(value => {
      const key = `${batch.kind} ${idOfRecord(value)}`
      const change = changed.get(key)
      if (change === undefined) return [value]
      changed.delete(key)
      return change.value === undefined ? [] : [change.value]
    })
    await append(part, batch.kind, current)
  }
  for (const { kind, value } of changed.values()) if (value !== undefined) await append(part, kind, [value])
  await rm(old, { recursive: true, force: true })
  await rename(directory, old).catch(() => {})
  await rename(part, directory)
  await rm(old, { recursive: true, force: true })
}

async function changedRecords(source: StateSource, { version, deltas }: Announcement): Promise<Changed> {
  const changed: Changed = new Map()
  if (deltas === undefined) return changed
  for await (const { delta } of source.deltas(version, NO_DELTAS, deltas))
    for (const kind of DOCUMENT_KIND_NAMES) {
      for (const value of delta.put[kind] ?? []) changed.set(`${kind} ${idOfRecord(value)}`, { kind, value })
      for (const id of delta.delete[kind] ?? []) changed.set(`${kind} ${id}`, { kind, value: undefined })
    }
  return changed
}

async function append(directory: string, kind: DocumentKindName, values: readonly unknown[]): Promise<void> {
  if (values.length === 0) return
  const isOne = DOCUMENT_KINDS[kind].count === 'one'
  const handle = await open(join(directory, `${kind}.${isOne ? 'json' : 'ndjson'}`), isOne ? 'w' : 'a', 0o600)
  try {
    await handle.writeFile(values.map(value => `${JSON.stringify(value)}\n`).join(''))
    // A copy that a power cut has emptied would be worse than none.
    await handle.datasync()
  } finally {
    await handle.close()
  }
}
