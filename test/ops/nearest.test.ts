import t from 'tap'
import { nearest } from '../../src/ops/nearest.ts'

t.test('what was probably meant', async (t) => {
  t.equal(nearest('egde', ['inside', 'edge']), 'edge')
  t.equal(nearest('Level', ['format', 'level']), 'level')
  t.equal(nearest('poolsize', ['poolSize', 'url']), 'poolSize')
  t.equal(nearest('leve', ['level', 'lever']), 'level', 'the first of equals')
})

t.test('nothing is near', async (t) => {
  t.equal(nearest('colour', ['level', 'format']), undefined)
  t.equal(nearest('x', ['edge']), undefined)
  t.equal(nearest('edge', []), undefined)
})
