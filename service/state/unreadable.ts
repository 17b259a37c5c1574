/**
 * Stands for a record whose text could not be read as JSON. Readers of files and of the cache pass it on instead of
 * the value, so that one broken record is one problem in the report and not the end of the load.
 */
export class UnreadableRecord {
  /** What was found, at most 80 characters. */
  readonly found: string
  /** What to write instead, a sentence without a capital. */
  readonly remedy: string

  constructor(found: string, remedy: string) {
    this.found = found.length <= 80 ? found : `${found.slice(0, 77)}...`
    this.remedy = remedy
  }
}
