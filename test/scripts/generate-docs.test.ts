import t from 'tap'
import { errorReference, replaceSection } from '../../scripts/generate-docs.ts'
import { errorCodes } from '../../src/ops/errors.ts'

t.test('what stands between the markers is replaced, and nothing else', async (t) => {
  const text = 'a\n<!-- options -->\nold\nold\n<!-- /options -->\nz\n'
  const replaced = 'a\n<!-- options -->\nnew\n<!-- /options -->\nz\n'
  t.equal(replaceSection(text, 'options', 'new'), replaced)
  t.equal(replaceSection(replaced, 'options', 'new'), replaced)
  t.throws(() => replaceSection(text, 'errors', 'new'), /<!-- errors --> and <!-- \/errors --> are missing/)
})

t.test('a row for each code', async (t) => {
  t.equal(errorReference().split('\n').length, Object.keys(errorCodes).length + 2)
  t.match(errorReference(), /^\| `USAGE` \| 2 \| The command line is wrong/m)
})
