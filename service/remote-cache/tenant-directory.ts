/**
 * Tenant documents as files: DIR/settings.json and DIR/rates.json hold one object each; every other kind is NAME.json,
 * a list, or NAME.ndjson, one record per line. Only reads; what the records say is checked by state/validate.ts.
 */
import { isUtf8 } from 'node:buffer'
import { type FileHandle, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { LIMITS } from '../limits.ts'
import { DOCUMENT_KIND_NAMES, DOCUMENT_KINDS, type DocumentKindName } from '../state/documents.ts'
import { UnreadableRecord } from '../state/unreadable.ts'

/** One record as it stands in its file. */
export interface DirectoryRecord {
  readonly kind: DocumentKindName
  /** Parsed JSON, or an UnreadableRecord where one line of an .ndjson file is not JSON. */
  readonly value: unknown
  /** `record` counts from 0; in an .ndjson file it is the line, empty ones counted, so that an editor finds it. */
  readonly where: { readonly file: string; readonly record: number }
}

/** Why a directory is refused. None of these is tried again: a person has to change the files. */
const DIRECTORY_ERRORS = {
  'directory-unreadable': { meaning: 'The directory is not there or may not be listed.' },
  'directory-without-documents': { meaning: 'The directory holds no file of tenant documents.' },
  'file-unknown': { meaning: 'A .json or .ndjson file has a name that no kind of document has.' },
  'file-twice': { meaning: 'One kind of document is there as .json and as .ndjson.' },
  'file-unreadable': { meaning: 'A file may not be read, or reading it failed.' },
  'file-too-large': { meaning: 'A .json file is larger than is parsed as one text.' },
  'file-not-json': { meaning: 'A .json file is not JSON, or not UTF-8.' },
  'file-not-a-list': { meaning: 'A .json file of many records holds something else than a list.' },
} as const

/** One of DIRECTORY_ERRORS. */
export type TenantDirectoryErrorCode = keyof typeof DIRECTORY_ERRORS

/** A directory or file that cannot be read as tenant documents at all. The message names file, line and remedy. */
export class TenantDirectoryError extends Error {
  override readonly name = 'TenantDirectoryError'
  readonly code: TenantDirectoryErrorCode
  /** The file inside the directory, '' for the directory itself. */
  readonly file: string
  /** Line from 1, 0 when no line is to blame. */
  readonly line: number

  constructor(code: TenantDirectoryErrorCode, at: { file: string; line?: number }, remedy: string) {
    const line = at.line ?? 0
    super(`${at.file}${line > 0 ? ` line ${line}` : ''}${at.file === '' ? '' : ': '}${remedy}`)
    this.code = code
    this.file = at.file
    this.line = line
  }
}

interface KindFile {
  readonly kind: DocumentKindName
  readonly file: string
}

/**
 * Reads a directory of tenant documents, record by record, in the order of DOCUMENT_KIND_NAMES. A kind without a file
 * gives no record. Memory: an .ndjson file is never held whole, a .json file is. Cost: O(bytes).
 * @throws TenantDirectoryError, before the first record for everything that the list of files shows.
 */
export async function* readTenantDirectory(directory: string): AsyncGenerator<DirectoryRecord, void, undefined> {
  for (const { kind, file } of await kindFiles(directory)) {
    const handle = await openFile(directory, file)
    try {
      if (file.endsWith('.ndjson')) yield* readLines(handle, kind, file)
      else yield* readWhole(handle, kind, file)
    } catch (error) {
      throw error instanceof Error && 'errno' in error ? fileUnreadable(file, error) : error
    } finally {
      await handle.close()
    }
  }
}

/** The document files of a directory in reading order; a .json or .ndjson file of another name is refused. */
async function kindFiles(directory: string): Promise<readonly KindFile[]> {
  const present = await readdir(directory).catch((error: Error) => {
    const remedy = `cannot read the directory ${directory} (${error.message}); give a directory of tenant documents`
    throw new TenantDirectoryError('directory-unreadable', { file: '' }, remedy)
  })
  const known = new Map<string, DocumentKindName>()
  for (const kind of DOCUMENT_KIND_NAMES) {
    known.set(`${kind}.json`, kind)
    if (DOCUMENT_KINDS[kind].count === 'many') known.set(`${kind}.ndjson`, kind)
  }
  const found = new Map<DocumentKindName, string>()
  for (const file of present.filter(name => /\.(nd)?json$/.test(name) && !name.startsWith('.')).sort()) {
    const kind = known.get(file)
    // A misspelt file must not silently leave out all its records.
    if (kind === undefined) {
      const remedy = `is no tenant document; rename or remove it (known: ${[...known.keys()].join(', ')})`
      throw new TenantDirectoryError('file-unknown', { file }, remedy)
    }
    const other = found.get(kind)
    if (other !== undefined)
      throw new TenantDirectoryError('file-twice', { file }, `holds the same kind as ${other}; keep one of them`)
    found.set(kind, file)
  }
  if (found.size === 0) {
    const remedy = `${directory} holds no tenant documents; begin with settings.json`
    throw new TenantDirectoryError('directory-without-documents', { file: '' }, remedy)
  }
  return DOCUMENT_KIND_NAMES.flatMap(kind => {
    const file = found.get(kind)
    return file === undefined ? [] : [{ kind, file }]
  })
}

function fileUnreadable(file: string, error: Error): TenantDirectoryError {
  return new TenantDirectoryError(
    'file-unreadable',
    { file },
    `cannot be read (${error.message}); check its permissions`,
  )
}

async function openFile(directory: string, file: string): Promise<FileHandle> {
  return await open(join(directory, file)).catch((error: Error) => {
    throw fileUnreadable(file, error)
  })
}

async function* readWhole(handle: FileHandle, kind: DocumentKindName, file: string): AsyncGenerator<DirectoryRecord> {
  const { size } = await handle.stat()
  if (size > LIMITS.documentFileBytesMax) {
    const remedy = `has ${size} bytes, at most ${LIMITS.documentFileBytesMax} are read as one text; use ${kind}.ndjson`
    throw new TenantDirectoryError('file-too-large', { file }, remedy)
  }
  const bytes = await handle.readFile()
  if (!isUtf8(bytes)) throw new TenantDirectoryError('file-not-json', { file }, 'is not UTF-8; save it as UTF-8')
  const value = parseWhole(withoutMark(bytes).toString(), file)
  if (DOCUMENT_KINDS[kind].count === 'one') {
    yield { kind, value, where: { file, record: 0 } }
    return
  }
  if (!Array.isArray(value)) {
    const remedy = 'must hold a list of records: [ { … }, { … } ]'
    throw new TenantDirectoryError('file-not-a-list', { file, line: 1 }, remedy)
  }
  const mayBeTooLong = bytes.length > LIMITS.recordBytesMax
  for (let record = 0; record < value.length; record++) {
    const each: unknown = value[record]
    const tooLong = mayBeTooLong && Buffer.byteLength(JSON.stringify(each)) > LIMITS.recordBytesMax
    yield { kind, value: tooLong ? overlong() : each, where: { file, record } }
  }
}

function parseWhole(text: string, file: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    throw new TenantDirectoryError(
      'file-not-json',
      { file, line: lineOfSyntaxError(message, text) },
      `is not JSON: ${message}`,
    )
  }
}

/** Characters of the text that V8 quotes on each side of what it did not expect. */
const QUOTED_CHARS = 10

/** The line that V8's message names by line, position or quotation; 0 when it cannot be told. */
function lineOfSyntaxError(message: string, text: string): number {
  const line = /\(line (\d+) column \d+\)/.exec(message)?.[1]
  if (line !== undefined) return Number(line)
  const quoted = /, \.\.\."([\s\S]*)"(?:\.\.\.)? is not valid JSON$/.exec(message)?.[1]
  // What is wrong is wrong wherever it stands, so the first place is the one that stopped the parser.
  if (quoted !== undefined) return lineAt(text, text.indexOf(quoted) + QUOTED_CHARS)
  return message.includes('end of JSON input') ? lineAt(text, text.length) : 0
}

function lineAt(text: string, position: number): number {
  return text.slice(0, position).split('\n').length
}

/** Without the byte order mark that some editors put first. */
function withoutMark(bytes: Buffer): Buffer {
  return bytes.length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes
}

function overlong(): UnreadableRecord {
  return new UnreadableRecord('a longer record', `must have at most ${LIMITS.recordBytesMax} bytes as JSON`)
}

const NEWLINE = 10

async function* readLines(handle: FileHandle, kind: DocumentKindName, file: string): AsyncGenerator<DirectoryRecord> {
  let record = 0
  for await (const line of linesOf(handle)) {
    const value = line === undefined ? overlong() : valueOfLine(record === 0 ? withoutMark(line) : line)
    if (value !== undefined) yield { kind, value, where: { file, record } }
    record++
  }
}

/** undefined for an empty line: JSON has no undefined. */
function valueOfLine(line: Buffer): unknown {
  if (!isUtf8(line)) return new UnreadableRecord(line.toString('latin1'), 'must be UTF-8')
  const text = line.toString()
  try {
    return JSON.parse(text)
  } catch (error) {
    if (text.trim() === '') return undefined
    const message = error instanceof Error ? error.message : String(error)
    return new UnreadableRecord(text, `must be one JSON object on one line: ${message}`)
  }
}

/**
 * The lines of a file without their ends; undefined for one over LIMITS.recordBytesMax, which is skipped and not held.
 * A line is a view that the next read overwrites.
 */
async function* linesOf(handle: FileHandle): AsyncGenerator<Buffer | undefined> {
  const buffer = Buffer.allocUnsafe(LIMITS.chunkBytesMax)
  let held = 0
  let skipping = false
  for (;;) {
    const { bytesRead } = await handle.read(buffer, held, buffer.length - held)
    const filled = held + bytesRead
    let start = 0
    for (let end = buffer.subarray(0, filled).indexOf(NEWLINE); end >= 0; ) {
      yield skipping || end - start > LIMITS.recordBytesMax ? undefined : buffer.subarray(start, end)
      skipping = false
      start = end + 1
      end = buffer.subarray(0, filled).indexOf(NEWLINE, start)
    }
    held = filled - start
    if (bytesRead === 0) break
    if (held > LIMITS.recordBytesMax) {
      skipping = true
      held = 0
    } else buffer.copyWithin(0, start, filled)
  }
  if (skipping) yield undefined
  else if (held > 0) yield buffer.subarray(0, held)
}
