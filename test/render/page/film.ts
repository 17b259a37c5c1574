/** Frames of one video, encoded; what a file is written of. */
export interface Film {
  readonly width: number
  readonly height: number
  readonly framesPerS: number
  readonly frames: readonly { readonly bytes: Uint8Array; readonly isKey: boolean }[]
  /** What the decoder has to know before the first frame; empty where it needs nothing. */
  readonly configuration: Uint8Array
}
