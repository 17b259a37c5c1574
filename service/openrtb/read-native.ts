/** Reads `imp.native.request`. OpenRTB Native 1.0 to 1.2, section 4: a text, or as some send it, the object itself. */
import type { AssetWish, NativeOffer } from '../decision/opportunity.ts'
import { DATA_ASSET, IMAGE_ASSET, TITLE_ASSET } from '../state/native-assets.ts'
import { isObject, isOne, type Json, listOf, maskOf, numberOf, objectOf } from './json.ts'
import { mimesMask } from './mimes.ts'

const WISHES_MAX = 64
const ID_MAX = 0x7fff_ffff
/** An image that is not said to be an icon is the main one. */
const MAIN_IMAGE = 3
/** A code that no asset of ours has: videos and what later versions bring. */
const UNKNOWN_ASSET = 0
const ANY_LENGTH = 0x7fff_ffff

/**
 * Reads what a native place asks for. Pure.
 * @param frameworks whether those that it has are read
 * @returns undefined when it asks for nothing that can be read
 */
export function readNative(native: Json, frameworks: boolean): NativeOffer | undefined {
  const root = objectFrom(native.request)
  if (root === undefined) return undefined
  const wrapped = isObject(root.native)
  const request = wrapped ? (root.native as Json) : root
  const wishes = listOf(request.assets, WISHES_MAX).filter(isObject).flatMap(wishOf)
  if (wishes.length === 0) return undefined
  const version = typeof request.ver === 'string' ? request.ver : native.ver
  const trackers = listOf(request.eventtrackers).filter(isObject)
  return {
    wishes,
    blockedAttributes: maskOf(native.battr),
    frameworks: frameworks ? maskOf(native.api) : 0,
    // Up to 1.0 an answer has one field, "native", that holds all the others.
    wrapped: wrapped || version === '1.0',
    version: version === '1.0' || version === '1.1' ? version : '1.2',
    events: trackers.length === 0 ? undefined : trackers.map(eventOf),
    privacy: isOne(request.privacy),
  }
}

function objectFrom(request: unknown): Json | undefined {
  if (isObject(request)) return request
  if (typeof request !== 'string') return undefined
  try {
    const parsed: unknown = JSON.parse(request)
    return isObject(parsed) ? parsed : undefined
  } catch {
    return undefined
  }
}

/** Methods are a mask as maskOf makes it. */
function eventOf(tracker: Json): { readonly event: number; readonly methods: number } {
  return { event: numberOf(tracker.event, 0), methods: maskOf(tracker.methods) }
}

/** An asset without an id cannot be answered. */
function wishOf(asset: Json): AssetWish | readonly AssetWish[] {
  const id = numberOf(asset.id, -1)
  if (!Number.isInteger(id) || id < 0 || id > ID_MAX) return []
  const image = objectOf(asset.img)
  const mimes = mimesMask(image.mimes, 0)
  return {
    ...{ id, required: isOne(asset.required), code: codeOf(asset), charsMax: charsMaxOf(asset) },
    ...{ mimes, width: sideOf(image.w, image.wmin), height: sideOf(image.h, image.hmin) },
  }
}

function codeOf(asset: Json): number {
  if (isObject(asset.title)) return TITLE_ASSET
  if (isObject(asset.img)) return IMAGE_ASSET + smallCode(asset.img.type, MAIN_IMAGE)
  return isObject(asset.data) ? DATA_ASSET + smallCode(asset.data.type, UNKNOWN_ASSET) : UNKNOWN_ASSET
}

/** Codes from 1 to 15; others are none of ours. */
function smallCode(value: unknown, absent: number): number {
  const code = numberOf(value, absent)
  return Number.isInteger(code) && code >= 1 && code <= 15 ? code : UNKNOWN_ASSET
}

function charsMaxOf({ title, data }: Json): number {
  return numberOf(objectOf(title ?? data).len, ANY_LENGTH)
}

function sideOf(exact: unknown, min: unknown): AssetWish['width'] {
  const least = numberOf(min, 0)
  return least > 0 ? { exact: 0, min: least } : { exact: numberOf(exact, 0), min: 0 }
}
