import { once } from 'node:events'
import { createWriteStream, type WriteStream } from 'node:fs'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { readTenantDirectory } from '../service/remote-cache/tenant-directory.ts'
import { DOCUMENT_KINDS, type DocumentKindName } from '../service/state/documents.ts'
import { isObject, type Json, objectFrom, textFrom, textsFrom } from './acceptance-rules.ts'

/** Fields in which a record names itself or another record. */
const ID_FIELDS = ['id', 'campaignId', 'advertiserId', 'seat'] as const

/**
 * Copies a directory of tenant documents, with a mark in every identifier, name and advertiser's domain, so that one
 * search for the mark finds any of them in another tenant's answers or logs. Exchanges keep their ids, which are paths,
 * and lists theirs, which expressions name.
 * @param mark lower-case letters, digits and hyphens, at most 20
 */
export async function writeMarkedTenant(source: string, target: string, mark: string): Promise<void> {
  let current: { readonly kind: DocumentKindName; readonly stream: WriteStream } | undefined
  const close = async () => {
    if (current === undefined) return
    current.stream.end()
    await finished(current.stream)
  }
  for await (const { kind, value } of readTenantDirectory(source)) {
    const ending = DOCUMENT_KINDS[kind].count === 'one' ? 'json' : 'ndjson'
    if (current?.kind !== kind) {
      await close()
      current = { kind, stream: createWriteStream(join(target, `${kind}.${ending}`)) }
    }
    if (!current.stream.write(`${JSON.stringify(marked(kind, objectFrom(value), mark))}\n`))
      await once(current.stream, 'drain')
  }
  await close()
}

function marked(kind: DocumentKindName, document: Json, mark: string): Json {
  const copy: Record<string, unknown> = { ...document }
  for (const field of ID_FIELDS) {
    const text = textFrom(copy[field])
    if (text !== undefined && !(field === 'id' && (kind === 'exchanges' || kind === 'lists')))
      copy[field] = `${text}-${mark}`
  }
  if (textFrom(copy.name) !== undefined) copy.name = `${String(copy.name)} ${mark}`
  if (kind === 'advertisers') copy.domain = `${mark}.${String(copy.domain)}`
  if (kind === 'lineItems') copy.creativeIds = textsFrom(copy.creativeIds).map(id => `${id}-${mark}`)
  if (isObject(copy.creativeWeights)) {
    const weights = Object.entries(copy.creativeWeights).map(([id, weight]) => [`${id}-${mark}`, weight])
    copy.creativeWeights = Object.fromEntries(weights)
  }
  return copy
}
