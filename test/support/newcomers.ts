/**
 * Passes each row once. A refresh brings a row again when any transaction on the server has ended, also one of another test
 * file: then it is nothing new.
 */
export function newcomers<Row extends { readonly rev: number }>(): (rows: readonly Row[]) => Row[] {
  const seen = new Set<string>()
  return (rows) =>
    rows.filter((row) => {
      const id = JSON.stringify(row)
      const isNew = !seen.has(id)
      seen.add(id)
      return isNew
    })
}
