import { type Json, numberOf } from './json.ts'

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
