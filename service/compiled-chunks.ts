/**
 * Chunks as a publish has compiled them: what a collector made of the chunk's records, so that a task needs not parse
 * and validate them again. They are of use only to the very code that wrote them; the JSON records beside them are the
 * state, and are read whenever the two differ.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { deserialize, serialize } from 'node:v8'
import { creativeFragment } from './openrtb/creative-fragment.ts'
import type { ChunkCompiler } from './remote-cache/publisher.ts'
import { SourceError } from './remote-cache/source.ts'
import { type CatalogPart, PartCollector } from './state/catalog-part.ts'
import { DIVIDED_KINDS, type DocumentKindName } from './state/documents.ts'
import { type GoodDocument, ownerOf, type ReadPart } from './state/validate.ts'

/** What records mean is written here. */
const MEANING_FOLDERS = ['foundation/', 'state/', 'openrtb/'] as const
/** Parts of one version come from one collector. */
const COLLECTOR = 1

/** What a compiled chunk holds. Plain data. */
interface CompiledChunk {
  readonly ids: readonly string[]
  readonly owners: readonly string[]
  readonly part: CatalogPart
}

/**
 * Tells the code that compiles, and the serialization, by 64 hexadecimal digits: another release, or a change of one
 * line, is another compiler. Cost: reads about a MiB of source text.
 */
export function compilerIdentity(): string {
  const identity = createHash('sha256').update(process.versions.v8)
  for (const folder of MEANING_FOLDERS) {
    const url = new URL(folder, import.meta.url)
    const names = readdirSync(url).filter(name => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    for (const name of names.sort()) identity.update(`\n${folder}${name}\n`).update(readFileSync(new URL(name, url)))
  }
  return identity.digest('hex')
}

/** Compiles the chunks of one version, in its order. */
export class VersionCompiler implements ChunkCompiler {
  readonly by = compilerIdentity()
  readonly #collector = new PartCollector(COLLECTOR, creativeFragment)
  #ids: string[] = []
  #owners: string[] = []
  readonly #creativeIds: string[] = []
  readonly #creativeSlots: number[] = []
  #lineItemsBegan = false

  add(good: GoodDocument): void {
    if (good.kind === 'lineItems' && !this.#lineItemsBegan) {
      this.#lineItemsBegan = true
      this.#collector.learnCreatives({ ids: this.#creativeIds, slots: Uint32Array.from(this.#creativeSlots) })
    }
    this.#collector.add(good)
    if (!DIVIDED_KINDS.has(good.kind) || !('id' in good.document)) return
    this.#ids.push(good.document.id)
    this.#owners.push(ownerOf(good.document))
  }

  take(kind: DocumentKindName): Uint8Array | undefined {
    if (!DIVIDED_KINDS.has(kind)) return undefined
    const part = this.#collector.take()
    for (const id of part.creativeIds) this.#creativeIds.push(id)
    for (const slot of part.creatives.numbers.slot) this.#creativeSlots.push(slot)
    const chunk: CompiledChunk = { ids: this.#ids, owners: this.#owners, part }
    this.#ids = []
    this.#owners = []
    return serialize(chunk)
  }
}

/**
 * What was made of a chunk. The bytes must be what VersionCompiler.take gave: their checksum has been compared.
 * @throws SourceError `compiled-unusable`. Cost: O(bytes)
 */
export function readCompiled(kind: DocumentKindName, bytes: Uint8Array): { read: ReadPart; part: CatalogPart } {
  try {
    const { ids, owners, part } = deserialize(bytes) as CompiledChunk
    return { read: { kind, bad: 0, ids, owners, refused: [], problems: [], problemsTotal: 0 }, part }
  } catch (error) {
    throw new SourceError('compiled-unusable', error instanceof Error ? error.message : String(error))
  }
}
