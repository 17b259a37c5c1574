import { existsSync, readFileSync } from 'node:fs'
import { creativeFragment } from '../service/openrtb/creative-fragment.ts'
import { type Catalog, openCatalog } from '../service/state/catalog.ts'
import { CatalogBuilder } from '../service/state/catalog-builder.ts'
import { DOCUMENT_KIND_NAMES, type TenantDocuments } from '../service/state/documents.ts'
import { DocumentReader } from '../service/state/validate.ts'

const SLAB_BYTES = 16 * 1024 * 1024

/** All documents of a sample tenant in test/tenants. */
export function sampleTenant(name = 'acme-outdoor'): TenantDocuments {
  const entries = DOCUMENT_KIND_NAMES.map(kind => {
    const file = new URL(`tenants/${name}/${kind}.json`, import.meta.url)
    return [kind, existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : []]
  })
  return Object.fromEntries(entries)
}

/**
 * Validates and compiles documents as the service does, and opens the catalog as a bid thread does.
 * @throws Error when a document is bad
 */
export function compiledTenant(documents: TenantDocuments): Catalog {
  const builder = new CatalogBuilder(creativeFragment)
  const reader = new DocumentReader(good => builder.add(good))
  for (const kind of DOCUMENT_KIND_NAMES) {
    const values: readonly unknown[] = [documents[kind]].flat()
    for (const [record, value] of values.entries()) reader.read(kind, value, { file: `${kind}.json`, record })
  }
  const { problems } = reader.finish()
  if (problems.length > 0) throw new Error(JSON.stringify(problems))
  const slab = new SharedArrayBuffer(SLAB_BYTES)
  const built = builder.finish(slab, { version: 'v1', announcement: 1 })
  return openCatalog(structuredClone(built.header), slab)
}
