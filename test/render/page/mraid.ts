/** What an app gives the ads in it: MRAID, as much of it as opens a page. IAB MRAID 2.0, section 5. */
const mraid = {
  getVersion: () => '2.0',
  getState: () => 'default',
  isViewable: () => true,
  getPlacementType: () => 'inline',
  open: (url: string) => void window.open(url, '_blank', 'noopener'),
}
Object.assign(globalThis, { mraid })
