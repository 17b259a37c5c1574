import { type Json, listOf, numberOf, objectOf } from './json.ts'

/**
 * Whether a width and a height have the shape that a size asks for, and are at least as wide: to a pixel, because small
 * sides cannot be truer. OpenRTB 2.6, 3.2.10: wratio, hratio, wmin. False where it asks for none. Pure.
 */
export function hasShape(size: Json, width: number, height: number): boolean {
  const across = numberOf(size.wratio, 0)
  const down = numberOf(size.hratio, 0)
  if (across <= 0 || down <= 0 || width < numberOf(size.wmin, 0)) return false
  return Math.abs((width * down) / across - height) < 1
}

/**
 * Members of a bid that say by which shape a banner fits (bid.wratio and hratio, OpenRTB 2.6, 4.2.3), a comma before
 * each; '' for one whose size the place lists. Pure. Cost: O(formats).
 */
export function shapeMembers(banner: Json, width: number, height: number): string {
  const isSize = ({ w, h }: Json) => w === width && h === height
  const formats = listOf(banner.format).map(objectOf)
  if (isSize(banner) || formats.some(isSize)) return ''
  const shape = formats.find(format => hasShape(format, width, height))
  return shape === undefined ? '' : `,"wratio":${shape.wratio},"hratio":${shape.hratio}`
}
