/**
 * Stands for a record whose text could not be read as JSON. Readers of files and of the cache pass it on instead of
 * the value, so that one broken record is one problem in the report and not the end of the load.
 */
export class UnreadableRecord {
  /** The text that was found, or its beginning. */
  readonly found: string
  /** What to write instead, a sentence without a capital. */
  readonly remedy: string

  constructor(found: string, remedy: string) {
    this.found = found.slice(0, 80)
    this.remedy = remedy
  }
}
