import { FileSource } from './file-source.ts'
import { RedisSource, type RedisSourceOptions } from './redis-source.ts'
import type { OpenSource } from './source.ts'

/** Where the state is: a directory for a `file:` URL, else the remote cache. Connects on the first question. */
export function openSource(options: RedisSourceOptions): OpenSource {
  return options.url.startsWith('file:') ? new FileSource(options.url) : new RedisSource(options)
}
