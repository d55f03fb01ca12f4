import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/*
 * Builds the native UDP addon, if it is not there or older than its sources: `node scripts/build-addon.mjs [--copy-to DIR]`.
 * Run by `npm ci`, `npm run build` and `npm test`, before anything else is built, hence plain JavaScript. It never fails: without
 * the addon UDP goes through Node's dgram, and one line says why.
 */

const LIMIT_MS = 300_000

const directory = fileURLToPath(new URL('../src/net/native', import.meta.url))
const addon = join(directory, 'build', 'Release', 'udp.node')
const logFile = join(directory, 'build.log')

function isCurrent() {
  if (!existsSync(addon)) return false
  const built = statSync(addon).mtimeMs
  const sources = readdirSync(directory).filter((name) => /\.(cc|h|gyp)$/.test(name))
  return sources.every((name) => statSync(join(directory, name)).mtimeMs <= built)
}

/** The reason for which there is no addon, or undefined. */
function build() {
  if (process.platform !== 'linux') return `it needs Linux, this is ${process.platform}`
  // npm says where its own node-gyp is; elsewhere it has to be on the PATH.
  const bundled = process.env.npm_config_node_gyp
  const [command, ...first] = bundled ? [process.execPath, bundled] : ['node-gyp']
  const args = [...first, 'rebuild', `--directory=${directory}`, ...localHeaders()]
  const { error, status, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    // `npm --silent` would silence it too, and the reason with it.
    env: { ...process.env, npm_config_loglevel: 'info' },
    timeout: LIMIT_MS,
    maxBuffer: 64 * 1024 * 1024,
  })
  const log = `${stdout ?? ''}${stderr ?? ''}`
  if (!error && status === 0) {
    rmSync(logFile, { force: true })
    return undefined
  }
  if (error) return error.code === 'ENOENT' ? 'node-gyp is not installed' : error.message
  writeFileSync(logFile, log)
  return `${reasonIn(log)} (${logFile})`
}

/** Node's headers where they came with it, so that nothing has to be downloaded. */
function localHeaders() {
  const prefix = dirname(dirname(process.execPath))
  return existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? [`--nodedir=${prefix}`] : []
}

function reasonIn(log) {
  if (/Could not find any Python/.test(log)) return 'there is no Python, which node-gyp needs'
  if (/not found: make|spawn make ENOENT/.test(log)) return 'there is no make'
  if (/(g\+\+|c\+\+)['"]?: (No such file|(command )?not found)/.test(log)) return 'there is no C++ compiler'
  if (/node-gyp\/lib\/(download|install)\.js/.test(log)) return "Node's headers could not be downloaded"
  return 'the build failed'
}

function copyTo(target) {
  if (!existsSync(addon)) return
  mkdirSync(target, { recursive: true })
  copyFileSync(addon, join(target, 'udp.node'))
}

const reason = isCurrent() ? undefined : build()
if (reason !== undefined) {
  console.log(
    `tandem: the native UDP addon was not built: ${reason}; UDP goes through Node's dgram, several times slower. \`npm run build:addon\` tries again.`,
  )
}
const [option, target] = process.argv.slice(2)
if (option === '--copy-to' && target !== undefined) copyTo(target)
