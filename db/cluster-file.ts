import { createHash } from 'node:crypto'
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type ClusterSnapshot, fromText, toText } from './cluster-snapshot.ts'

const FORMAT = 'tandem-cluster 1'

/**
 * Keeps the last good map in a local file, the first line of which tells its format and checksum. Only its owner can
 * read it, for it holds the cluster's keys. The file is replaced in one step: a crash leaves the old one or the new one.
 */
export async function saveCluster(path: string, saved: ClusterSnapshot): Promise<void> {
  const body = toText(saved)
  await mkdir(dirname(path), { recursive: true })
  const temporary = `${path}.new`
  const file = await open(temporary, 'w', 0o600)
  try {
    await file.writeFile(`${FORMAT} ${checksum(body)}\n${body}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
}

/** The saved map; `undefined` if there is none, or one that is damaged or of another format. */
export async function loadCluster(path: string): Promise<ClusterSnapshot | undefined> {
  const text = await readFile(path, 'utf8').catch(() => '')
  const line = text.indexOf('\n')
  const body = text.slice(line + 1).trimEnd()
  if (line < 0 || text.slice(0, line) !== `${FORMAT} ${checksum(body)}`) return undefined
  return fromText(body)
}

const checksum = (body: string): string => createHash('sha256').update(body).digest('hex')
