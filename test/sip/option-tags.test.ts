import t from 'tap'
import { optionTags } from '../../src/sip/option-tags.ts'

t.test('option tags compare in any case', async (t) => {
  t.same([...optionTags(['Path', 'OUTBOUND', 'path'])], ['path', 'outbound'])
})
