import { execFile } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'

const SCRIPT = join(import.meta.dirname, '..', '..', 'scripts', 'build-addon.mjs')
const run = promisify(execFile)
const skip = process.platform !== 'linux' && 'the addon is for Linux'

/** The script in a tree of its own, whose node-gyp is `gyp`. */
class Tree {
  readonly root = mkdtempSync(join(tmpdir(), 'tandem-addon-'))
  readonly native = join(this.root, 'src', 'net', 'native')
  readonly addon = join(this.native, 'build', 'Release', 'udp.node')
  readonly #gyp = join(this.root, 'gyp.js')

  constructor(t: Test, gyp: string) {
    t.teardown(() => rmSync(this.root, { recursive: true }))
    mkdirSync(this.native, { recursive: true })
    mkdirSync(join(this.root, 'scripts'))
    cpSync(SCRIPT, join(this.root, 'scripts', 'build-addon.mjs'))
    writeFileSync(join(this.native, 'addon.cc'), '')
    writeFileSync(this.#gyp, gyp)
  }

  async build(...args: string[]): Promise<string> {
    const env = { ...process.env, npm_config_node_gyp: this.#gyp }
    const script = join(this.root, 'scripts', 'build-addon.mjs')
    return (await run(process.execPath, [script, ...args], { env })).stdout
  }
}

const fails = (message: string) => `console.error(${JSON.stringify(message)}); process.exit(1)`

t.test('a build that fails is one line and no failure', { skip }, async (t) => {
  const reasons = [
    ['gyp ERR! find Python Could not find any Python installation to use', 'there is no Python'],
    ['gyp ERR! stack Error: not found: make', 'there is no make'],
    ['make: g++: No such file or directory', 'there is no C++ compiler'],
    [
      'gyp ERR! stack at download (/x/node-gyp/lib/download.js:19:17)',
      "Node's headers could not be downloaded",
    ],
    ['something else', 'the build failed'],
  ] as const
  for (const [message, reason] of reasons) {
    const tree = new Tree(t, fails(message))
    const said = await tree.build()
    t.match(said, `tandem: the native UDP addon was not built: ${reason}`)
    t.equal(said.trim().split('\n').length, 1)
    t.match(readFileSync(join(tree.native, 'build.log'), 'utf8'), message)
    await tree.build('--copy-to', join(tree.root, 'dist'))
    t.notOk(existsSync(join(tree.root, 'dist')), 'nothing to copy')
  }
})

t.test('what is built already is not built again, until a source changes', { skip }, async (t) => {
  const tree = new Tree(
    t,
    `const fs = require('fs')
     const [, , , directory] = process.argv
     const release = directory.slice('--directory='.length) + '/build/Release'
     fs.mkdirSync(release, { recursive: true })
     fs.appendFileSync(release + '/udp.node', 'built ')`,
  )
  const source = join(tree.native, 'addon.cc')
  utimesSync(source, 1, 1)
  t.equal(await tree.build(), '')
  t.equal(await tree.build('--copy-to', join(tree.root, 'dist')), '')
  t.equal(readFileSync(join(tree.root, 'dist', 'udp.node'), 'utf8'), 'built ')
  const later = Date.now() / 1000 + 60
  utimesSync(source, later, later)
  await tree.build()
  t.equal(readFileSync(tree.addon, 'utf8'), 'built built ')
})
