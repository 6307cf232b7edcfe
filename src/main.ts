#!/usr/bin/env node
/**
 * The entry. It checks Node's version before it loads the program: with an older Node, a package or a missing function would
 * fail first, and that would look like a bug. So it imports nothing, and uses only syntax that Node 14 knows.
 */

/** As `engines` in package.json. */
const NEEDED = [22, 18]

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
const [neededMajor = 0, neededMinor = 0] = NEEDED
if (major > neededMajor || (major === neededMajor && minor >= neededMinor)) {
  await import('./program.ts')
} else {
  const found = process.versions.node
  const complaint = `needs Node.js ${NEEDED.join('.')} or newer, but this is Node.js ${found}`
  process.stderr.write(`xtrimd: ${complaint}\n`)
  process.exitCode = 2
}

export {}
