// The live state: what GET /system/events says, one signal for each function and queue, so that a change
// renders only the parts of the page that show it.
import { batch, computed, effect, signal } from './lib.js'
import { events, session } from './api.js'
import { fullName, keyOf } from './format.js'

// link is 'connecting', 'live', 'paused' or 'unreachable'; problem says why it is unreachable.
export const link = signal('connecting')
export const problem = signal('')
export const paused = signal(false)

export const loaded = signal(false)
export const functionKeys = signal([])
export const queueNames = signal([])
export const ledger = signal(null)
export const redis = signal({ available: true })
export const instances = signal([])
export const now = signal(Date.now())

const functionSignals = new Map()
const queueSignals = new Map()
const rates = new Map()

function signalOf(map, name) {
  let s = map.get(name)
  if (!s) map.set(name, s = signal(null))
  return s
}

export const functionOf = key => signalOf(functionSignals, key)
export const queueOf = name => signalOf(queueSignals, name)

const idle = { in: 0, out: 0 }

// rateOf is the signal of a queue's or a function's messages per second: {in, out}.
export function rateOf(name) {
  let s = rates.get(name)
  if (!s) rates.set(name, s = signal(idle))
  return s
}

// movers are told how many messages moved between two snapshots: (Map of name to {in, out}) => void.
const movers = new Set()
export function onMove(fn) {
  movers.add(fn)
  return () => movers.delete(fn)
}

let previous = null
let texts = new Map()

function update(map, names, list, nameOf) {
  const found = []
  for (const item of list) {
    const name = nameOf(item)
    found.push(name)
    const text = JSON.stringify(item)
    if (texts.get(map)?.get(name) === text) continue
    if (!texts.has(map)) texts.set(map, new Map())
    texts.get(map).set(name, text)
    signalOf(map, name).value = item
  }
  found.sort()
  if (found.join('\n') !== names.value.join('\n')) {
    const have = new Set(found)
    for (const [name, s] of map) {
      if (have.has(name) || !s.value) continue
      s.value = null
      texts.get(map)?.delete(name)
    }
    names.value = found
  }
}

const sameText = (a, b) => JSON.stringify(a) === JSON.stringify(b)

function totals(snapshot) {
  const all = new Map()
  for (const q of snapshot.queues || []) {
    all.set('queue ' + q.queue, { in: q.accepted_total ?? 0, out: q.done_total
      ?? 0, of: fullName(q.function) })
  }
  for (const f of snapshot.functions || []) {
    all.set('function ' + keyOf(f), { in: f.invocations ?? 0, out: 0 })
  }
  return all
}

function measure(snapshot) {
  const at = Date.parse(snapshot.at) || Date.now()
  const current = totals(snapshot)
  const moved = new Map()
  if (previous && at > previous.at) {
    const seconds = (at - previous.at) / 1000
    for (const [name, total] of current) {
      const before = previous.totals.get(name)
      // a total that shrinks is of an instance that has restarted
      const delta = side => before ? Math.max(0, total[side] - before[side]) : 0
      const d = { in: delta('in'), out: delta('out') }
      if (d.in || d.out) moved.set(name, d)
      const r = d.in || d.out ? { in: d.in / seconds, out: d.out / seconds } : idle
      const s = rateOf(name)
      if (s.value.in !== r.in || s.value.out !== r.out) s.value = r
    }
  }
  previous = { at, totals: current }
  return moved
}

let still = 0

// rest sets all rates to zero: no snapshot means that nothing changed.
function rest() {
  batch(() => { for (const s of rates.values()) if (s.value !== idle) s.value = idle })
}

export function apply(snapshot) {
  let moved
  batch(() => {
    update(functionSignals, functionKeys, snapshot.functions || [], keyOf)
    update(queueSignals, queueNames, snapshot.queues || [], q => q.queue)
    if (snapshot.ledger && !sameText(snapshot.ledger, ledger.value)) ledger.value = snapshot.ledger
    if (snapshot.redis && !sameText(snapshot.redis, redis.value)) redis.value = snapshot.redis
    if (!sameText(snapshot.instances, instances.value)) instances.value = snapshot.instances || []
    moved = measure(snapshot)
    loaded.value = true
  })
  clearTimeout(still)
  still = setTimeout(rest, 2500)
  if (moved.size) for (const fn of movers) fn(moved)
}

const sleep = (ms, abort) => new Promise(done => {
  const timer = setTimeout(done, ms)
  abort.addEventListener('abort', () => { clearTimeout(timer); done() }, { once: true })
})

// silence is how long a connection may say nothing. The instance sends a comment every 20 s.
const silence = 50000

async function follow(abort) {
  for (let wait = 500; !abort.aborted;) {
    const connection = new AbortController()
    const end = () => connection.abort()
    abort.addEventListener('abort', end)
    let watchdog = setTimeout(end, silence)
    try {
      for await (const { event, data } of events('/system/events', connection.signal)) {
        clearTimeout(watchdog)
        watchdog = setTimeout(end, silence)
        link.value = 'live'
        problem.value = ''
        wait = 500
        if (event === 'snapshot') apply(data)
      }
    } catch (err) {
      if (abort.aborted || err.status === 401) return
      problem.value = err.name === 'AbortError' ? 'The instance is silent.' : err.message
    }
    clearTimeout(watchdog)
    abort.removeEventListener('abort', end)
    if (abort.aborted) return
    link.value = 'unreachable'
    previous = null
    await sleep(wait * (0.75 + Math.random() / 2), abort)
    wait = Math.min(wait * 2, 10000)
  }
}

const visible = signal(!document.hidden)
document.addEventListener('visibilitychange', () => { visible.value = !document.hidden })

// refreshing reports whether the page should ask for news: not while paused or hidden.
export const refreshing = () => visible.value && !paused.value

// start follows the events while there is a session, the page is visible and updates are not paused.
export function start() {
  const token = computed(() => session.value?.token)
  effect(() => {
    if (!token.value) return
    if (!visible.value || paused.value) {
      link.value = 'paused'
      return
    }
    const abort = new AbortController()
    link.value = 'connecting'
    previous = null
    follow(abort.signal)
    return () => abort.abort()
  })
  setInterval(() => { if (visible.value && !paused.value) now.value = Date.now() }, 1000)
}
