import { expect, test } from 'vitest'
import { bannerTypesOf } from './banner-types.ts'

test.each([
  ['text', 1, '<b>boots</b>', [1]],
  ['text that says it is markup', 2, 'boots', [2, 1]],
  ['markup that says it is a frame', 4, '<style>p{}</style><p>boots</p>', [4, 2]],
  ['a script that says it is markup', 2, '<div></div><SCRIPT src="https://c.example/a.js"></SCRIPT>', [2, 3]],
  ['a frame with a script', 4, '<iframe src="https://c.example/"></iframe><script></script>', [4, 3]],
])('a banner is of the types that it says and shows: %s', (_what, bannerType, html, types) => {
  expect(bannerTypesOf({ bannerType, content: { kind: 'html', html } } as never)).toEqual(types)
})
