/** Burns processor time and shares nothing else: the control arm of the isolation scenario. Ends with its parent. */
const share = Number(process.argv[2] ?? '1')
const PERIOD_MS = 10

function burn(): void {
  const endMs = performance.now() + PERIOD_MS * share
  while (performance.now() < endMs);
  setTimeout(burn, PERIOD_MS * (1 - share))
}

process.on('disconnect', () => process.exit(0))
burn()
