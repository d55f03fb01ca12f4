import t from 'tap'
import { Dictionary } from '../../../stage2/memory/dictionary.ts'

t.test('a text gets a number when it comes again, and keeps it', async (t) => {
  const dictionary = new Dictionary()
  t.equal(dictionary.code('Phone/1'), undefined)
  t.equal(dictionary.code('Phone/1'), 0)
  t.equal(dictionary.code('Phone/2'), undefined)
  t.equal(dictionary.code('Phone/2'), 1)
  t.equal(dictionary.code('Phone/1'), 0)
  t.equal(dictionary.text(1), 'Phone/2')
  t.equal(dictionary.code(''), undefined)
  t.equal(dictionary.code(''), undefined)
})

t.test('texts that are all different are not learnt', async (t) => {
  const dictionary = new Dictionary()
  for (let i = 0; i < 100_000; i++) dictionary.code(`Phone/1 of ${i}`)
  t.ok(dictionary.size < 10)
  dictionary.code('x'.repeat(1000))
  t.equal(dictionary.code('x'.repeat(1000)), undefined, 'nor is a long one')
})

t.test('it is bounded', async (t) => {
  const dictionary = new Dictionary()
  for (let i = 0; i < 70_000; i++) {
    dictionary.code(`Phone/${i}`)
    dictionary.code(`Phone/${i}`)
  }
  t.equal(dictionary.size, 65_536)
  t.equal(dictionary.code('Phone/65535'), 65_535)
  t.equal(dictionary.text(65_535), 'Phone/65535')
  t.equal(dictionary.code('Phone/65536'), undefined)
})
