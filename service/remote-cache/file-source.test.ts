import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { type RawKinds, rawKinds } from '../../test/raw-version.ts'
import { FileSource } from './file-source.ts'
import { describeSource } from './source.contract.ts'

async function putFiles(dir: string, kinds: RawKinds): Promise<void> {
  await rm(dir, { recursive: true, force: true })
  await mkdir(dir)
  for (const [kind, chunks] of Object.entries(kinds)) {
    const lines = chunks.flat()
    if (lines.length === 0) continue
    const one = kind === 'settings' || kind === 'rates'
    await writeFile(join(dir, one ? `${kind}.json` : `${kind}.ndjson`), lines.join('\n'))
  }
}

describeSource('a directory', async () => {
  const parent = await mkdtemp(join(tmpdir(), 'bidcell-files-'))
  const dir = join(parent, 'tenant')
  await mkdir(dir)
  const open = () => new FileSource(pathToFileURL(dir).href)
  return {
    source: open(),
    open,
    put: kinds => putFiles(dir, kinds),
    close: () => rm(parent, { recursive: true }),
  }
})

test('a directory that is not there can come later', async () => {
  const parent = await mkdtemp(join(tmpdir(), 'bidcell-files-'))
  const source = new FileSource(`file:${join(parent, 'later')}`)
  await expect(source.announced()).rejects.toMatchObject({ code: 'directory-unreadable', retry: true })
  await putFiles(join(parent, 'later'), rawKinds({ lineItems: 10, seed: 1 }))
  expect((await source.announced())?.number).toBe(1)
  await rm(parent, { recursive: true })
})

test('files that change while they are read are not taken, and may be tried again', async () => {
  const parent = await mkdtemp(join(tmpdir(), 'bidcell-files-'))
  const dir = join(parent, 'tenant')
  await putFiles(dir, rawKinds({ lineItems: 700, seed: 1 }))
  const source = new FileSource(`file:${dir}`)
  const version = (await source.announced())?.version ?? ''
  const read = async () => {
    for await (const { kind } of source.read(version))
      if (kind === 'advertisers') await writeFile(join(dir, 'lineItems.ndjson'), '{"id":"li-1"}\n')
  }
  await expect(read()).rejects.toMatchObject({ code: 'version-changed', retry: true })
  await rm(parent, { recursive: true })
})

test('a file that is not JSON refuses the version and is named with its line', async () => {
  const parent = await mkdtemp(join(tmpdir(), 'bidcell-files-'))
  const dir = join(parent, 'tenant')
  await putFiles(dir, { settings: [['{"name": "half']] })
  const source = new FileSource(`file:${dir}`)
  const version = (await source.announced())?.version ?? ''
  const read = async () => {
    for await (const batch of source.read(version)) expect(batch).toBeUndefined()
  }
  await expect(read()).rejects.toMatchObject({
    code: 'document-unreadable',
    retry: false,
    message: expect.stringContaining('settings.json line 1') as string,
  })
  await rm(parent, { recursive: true })
})
