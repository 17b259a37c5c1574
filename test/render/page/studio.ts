/** Draws what the sample tenants' addresses name: pictures and films, encoded by the browser itself. */
import type { Film } from './film.ts'
import { mp4Of } from './mp4.ts'
import { webmOf } from './webm.ts'

/** What is in a picture or a film. Text is only where it belongs: a native ad's image has none. */
export interface Artwork {
  /** An SVG document; it covers the whole picture. */
  readonly scene: string
  readonly brand?: string
  readonly line?: string
  /** What the button says. */
  readonly call?: string
}

/** What the tests call in this page. Files come back in Base64, because that is what crosses the protocol well. */
export interface Studio {
  picture(artwork: Artwork, mime: string, width: number, height: number): Promise<string>
  film(artwork: Artwork, mime: string, size: { width: number; height: number; durationS: number }): Promise<string>
  /** Distinct colours, of 4,096, and the share of the most frequent one, in each part of a PNG. */
  colours(png: string, parts: readonly Box[]): Promise<readonly Colours[]>
}

/** A part of a picture, in its pixels. */
export interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

/** How much there is to be seen: nothing has one colour. */
export interface Colours {
  readonly distinct: number
  readonly most: number
}

const FRAMES_PER_S = 5

async function imageOf(scene: string): Promise<HTMLImageElement> {
  const image = new Image()
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(scene)}`
  await image.decode()
  return image
}

/** Covers the canvas with the scene, as large as its smaller side asks for. */
function cover(context: CanvasRenderingContext2D, image: HTMLImageElement, zoom: number): void {
  const { width, height } = context.canvas
  const scale = Math.max(width / image.width, height / image.height) * zoom
  const [across, down] = [image.width * scale, image.height * scale]
  context.drawImage(image, (width - across) / 2, (height - down) / 2, across, down)
}

/** Brand, line and button in the lower left, over a shadow that keeps them readable. */
function letter(context: CanvasRenderingContext2D, artwork: Artwork, shown: number, lift = 0): void {
  const { width, height: whole } = context.canvas
  const height = whole - lift
  const { brand, line = '', call } = artwork
  if (brand === undefined) return
  const isStrip = width / height > 2.8
  const unit = isStrip ? Math.min(height / 5, width / 24) : Math.min(height / 14, width / 15)
  const pad = unit * (isStrip ? 1 : 1.2)
  const shade = isStrip ? context.createLinearGradient(0, 0, width, 0) : context.createLinearGradient(0, whole, 0, 0)
  shade.addColorStop(0, '#000b')
  shade.addColorStop(isStrip ? 0.75 : 0.55, '#0000')
  context.fillStyle = shade
  context.fillRect(0, 0, width, whole)
  const font = (weight: number, size: number) => `${weight} ${size}px "Liberation Sans", Arial, sans-serif`
  context.globalAlpha = Math.min(1, shown * 3)
  context.fillStyle = '#fff'
  context.font = font(700, unit * 0.95)
  const lineAt = isStrip ? height * 0.72 : height - pad * 3.1
  context.fillText(brand.toUpperCase(), pad, lineAt - unit * 1.9)
  context.font = font(700, isStrip ? unit * 1.5 : unit * 1.25)
  context.fillText(line, pad, lineAt, width - pad * (isStrip ? 9 : 2))
  if (call !== undefined) button(context, call, font(700, unit * 0.9), { unit, pad, isStrip, height })
  context.globalAlpha = 1
}

function button(
  context: CanvasRenderingContext2D,
  call: string,
  font: string,
  { unit, pad, isStrip, height }: { unit: number; pad: number; isStrip: boolean; height: number },
): void {
  const { width } = context.canvas
  context.font = font
  const across = context.measureText(call).width + unit * 1.8
  const down = unit * 2
  const left = isStrip ? width - across - pad : pad
  const top = isStrip ? (height - down) / 2 : height - pad - down
  context.fillStyle = '#fff'
  context.beginPath()
  context.roundRect(left, top, across, down, down / 2)
  context.fill()
  context.fillStyle = '#111827'
  context.fillText(call, left + unit * 0.9, top + down / 2 + unit * 0.32)
}

function canvasOf(width: number, height: number): CanvasRenderingContext2D {
  const canvas = Object.assign(document.createElement('canvas'), { width, height })
  const context = canvas.getContext('2d', { willReadFrequently: true })
  if (context === null) throw new Error('this browser draws no canvas')
  return context
}

async function picture(artwork: Artwork, mime: string, width: number, height: number): Promise<string> {
  const context = canvasOf(width, height)
  cover(context, await imageOf(artwork.scene), 1)
  letter(context, artwork, 1)
  const blob = await new Promise<Blob | null>(resolve => context.canvas.toBlob(resolve, mime, 0.9))
  if (blob?.type !== mime) throw new Error(`this browser writes no ${mime}`)
  return base64(new Uint8Array(await blob.arrayBuffer()))
}

async function film(
  artwork: Artwork,
  mime: string,
  { width, height, durationS }: { width: number; height: number; durationS: number },
): Promise<string> {
  const isMp4 = mime === 'video/mp4'
  const frames: { bytes: Uint8Array; isKey: boolean }[] = []
  const told: { error?: DOMException; configuration?: Uint8Array } = {}
  const encoder = new VideoEncoder({
    output: (chunk, { decoderConfig } = {}) => {
      const bytes = new Uint8Array(chunk.byteLength)
      chunk.copyTo(bytes)
      frames.push({ bytes, isKey: chunk.type === 'key' })
      const description = decoderConfig?.description
      if (description !== undefined) told.configuration = new Uint8Array(description as ArrayBuffer)
    },
    error: error => {
      told.error = error
    },
  })
  const codec = isMp4 ? 'avc1.42001f' : 'vp8'
  encoder.configure({ codec, width, height, bitrate: 600_000, framerate: FRAMES_PER_S, latencyMode: 'realtime' })
  const [context, image] = [canvasOf(width, height), await imageOf(artwork.scene)]
  const count = durationS * FRAMES_PER_S
  for (let index = 0; index < count; index++) {
    cover(context, image, 1 + (0.25 * index) / count)
    // Above a player's bar.
    letter(context, artwork, (index * 2) / count, height / 9)
    const frame = new VideoFrame(context.canvas, { timestamp: (index * 1_000_000) / FRAMES_PER_S })
    encoder.encode(frame, { keyFrame: index % (FRAMES_PER_S * 2) === 0 })
    frame.close()
    // Frames that wait hold memory.
    while (encoder.encodeQueueSize > 8) await new Promise(resolve => setTimeout(resolve, 1))
  }
  await encoder.flush()
  encoder.close()
  if (told.error) throw told.error
  const made: Film = {
    ...{ width, height, framesPerS: FRAMES_PER_S, frames },
    configuration: told.configuration ?? new Uint8Array(),
  }
  return base64(isMp4 ? mp4Of(made) : webmOf(made))
}

async function colours(png: string, parts: readonly Box[]): Promise<readonly Colours[]> {
  const image = new Image()
  image.src = `data:image/png;base64,${png}`
  await image.decode()
  const context = canvasOf(image.width, image.height)
  context.drawImage(image, 0, 0)
  return parts.map(({ x, y, width, height }) => coloursOf(context.getImageData(x, y, width, height).data))
}

function coloursOf(data: Uint8ClampedArray): Colours {
  const counts = new Map<number, number>()
  for (let at = 0; at < data.length; at += 4) {
    const colour = ((data[at] ?? 0) >> 4) * 256 + ((data[at + 1] ?? 0) >> 4) * 16 + ((data[at + 2] ?? 0) >> 4)
    counts.set(colour, (counts.get(colour) ?? 0) + 1)
  }
  return { distinct: counts.size, most: Math.max(...counts.values()) / (data.length / 4) }
}

function base64(bytes: Uint8Array<ArrayBuffer>): string {
  return bytes.toBase64()
}

Object.assign(globalThis, { studio: { picture, film, colours } satisfies Studio })
