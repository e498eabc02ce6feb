// The live map: functions as nodes, topics and calls from outside as edges, messages that move along them.
import { computed, html, signal, useEffect, useLayoutEffect, useRef, useState } from './lib.js'
import { functionKeys, functionOf, onMove, queueOf, rateOf } from './live.js'
import { compact, duration, keyOf, rate, shown } from './format.js'
import { layoutOf, callers } from './layout.js'
import { to } from './route.js'

const still = matchMedia('(prefers-reduced-motion: reduce)')

// shape is what the layout depends on: who there is, and who emits what to whom. It changes at deployments.
const shape = computed(() => functionKeys.value.map(key => {
  const f = functionOf(key).value
  return f ? { key, topics: f.topics || [], emits: f.emits || [], outside: outside(f) } : null
}).filter(Boolean))

const shapeText = computed(() => JSON.stringify(ranked(shape.value)))

// outside is how many calls of a function came from outside: those that its topics did not give it.
function outside(f) {
  let byTopics = 0
  for (const topic of f.topics || []) byTopics += queueOf(queueName(keyOf(f), topic)).peek()?.done_total || 0
  return Math.max(0, (f.invocations || 0) - byTopics)
}

let first = ''

// ranked says where calls enter: 2 is the function that a chain begins with, 1 are others with calls from
// outside. The beginning changes only for one with twice as many, so that the map does not jump.
function ranked(functions) {
  const most = functions.reduce((a, b) => b.outside > a.outside ? b : a, { outside: 0 })
  const now = functions.find(f => f.key === first)?.outside || 0
  if (most.outside > 2 * now + 5) first = most.key
  return functions.map(({ outside, ...f }) => ({ ...f, entry: f.key === first ? 2 : outside > 5 ? 1 : 0 }))
}

export const queueName = (key, topic) => `${shown(key)}:${topic}`

export function stateOf(f) {
  if (f.available > 0) return ['ready', 'good']
  if (f.starting > 0) return ['starting', 'warn']
  if (!f.replicas) return ['scaled to zero', 'quiet']
  return ['no replica ready', 'bad']
}

// Replicas draws one square for each replica, as far as there is room.
export function Replicas({ f, max = 12 }) {
  const busy = Math.min(f.busy || 0, f.available || 0)
  const all = [
    ...Array(busy).fill('busy'), ...Array(Math.max(0, (f.available || 0) - busy)).fill('ready'),
    ...Array(f.starting || 0).fill('starting'), ...Array(f.standby || 0).fill('standby'),
  ]
  return html`<span class="replicas" aria-hidden="true">${all.slice(0, max).map(kind =>
    html`<i class=${kind}></i>`)}${all.length > max && html`<b>+${all.length - max}</b>`}</span>`
}

export function replicasText(f) {
  const parts = [`${f.available || 0} ready`]
  if (f.busy) parts.push(`${f.busy} busy`)
  if (f.starting) parts.push(`${f.starting} starting`)
  if (f.standby) parts.push(`${f.standby} standby`)
  return parts.join(', ')
}

function Node({ id, at, edges }) {
  const f = functionOf(id).value
  if (!f) return null
  const [state, tone] = stateOf(f)
  const narrow = at.w < 190
  const zero = tone === 'quiet' && !f.queued
  const emits = edges.filter(e => e.from === id && e.to !== id).map(e => `${e.topic} to ${shown(e.to)}`)
  return html`<a class=${'node ' + tone} href=${to(['function', id])}
      style=${{ left: at.x + 'px', top: at.y + 'px', width: at.w + 'px', height: at.h + 'px' }}>
    <span class="node-name" title=${shown(id)}>${shown(id)}</span>
    <span class="node-state"><em class=${tone}>${state}</em><${Replicas} f=${f} max=${narrow ? 4 : 8} />
      <span class="visually-hidden">, ${replicasText(f)}</span></span>
    ${zero ? html`<span class="node-zero">costs nothing until called</span>`
      : html`<span class="node-numbers">
        <span><b>${compact(f.in_flight || 0)}</b> in flight</span>
        <span class=${f.queued ? 'some' : ''}><b>${compact(f.queued || 0)}</b> queued</span>
        ${f.dead > 0 && html`<span class="bad-text"><b>${compact(f.dead)}</b> dead</span>`}
        ${f.oldest_ms > 1000 && !(narrow && f.dead) && html`<span
          class="quiet">oldest ${duration(f.oldest_ms)}</span>`}
      </span>`}
    ${emits.length > 0 && html`<span class="visually-hidden">emits ${emits.join(', ')}</span>`}
  </a>`
}

// movedOn is how many messages moved along an edge. Emitters of one topic share its messages.
function movedOn(edge, moved) {
  if (edge.from !== callers) {
    return (moved.get('queue ' + queueName(edge.to, edge.topic))?.in || 0) / edge.sharedBy
  }
  let all = moved.get('function ' + edge.to)?.in || 0
  for (const topic of edge.topics) all -= moved.get('queue ' + queueName(edge.to, topic))?.out || 0
  return Math.max(0, all)
}

const outOf = (key, topic) => rateOf('queue ' + queueName(key, topic)).value.out

function EdgeLabel({ edge }) {
  const topic = edge.from === callers ? rateOf('function ' + edge.to).value.in
    : rateOf('queue ' + queueName(edge.to, edge.topic)).value.in / edge.sharedBy
  const value = edge.from === callers
    ? Math.max(0, topic - edge.topics.reduce((sum, t) => sum + outOf(edge.to, t), 0))
    : topic
  return html`<text class="edge-label" x=${edge.label.x} y=${edge.label.y}><tspan x=${edge.label.x}>${
    edge.name}</tspan><tspan class="edge-rate" x=${edge.label.x}
      dy="13">${value > 0 ? rate(value) : ' '}</tspan></text>`
}

const most = 6 // dots of one edge in one second

// send lets dots move along a path, spread over the second until the next snapshot.
function send(layer, path, n) {
  const dots = Math.min(most, Math.max(1, Math.round(n)))
  const length = path.getTotalLength()
  const frames = []
  for (let i = 0; i <= 16; i++) {
    const p = path.getPointAtLength(length * i / 16)
    frames.push({ transform: `translate(${p.x}px, ${p.y}px)`, opacity: i === 0 || i === 16 ? 0 : 1 })
  }
  for (let i = 0; i < dots; i++) {
    const dot = document.createElement('i') // not in the SVG: a browser moves HTML elements at less cost
    dot.className = 'dot'
    layer.append(dot)
    const run = dot.animate(frames, {
      duration: 1100, delay: i * 1000 / dots, fill: 'both', easing: 'ease-in-out',
    })
    run.onfinish = run.oncancel = () => dot.remove()
  }
}

const width = signal(0)

export function LiveMap() {
  const frame = useRef()
  const dots = useRef()
  const paths = useRef(new Map())
  const [, redraw] = useState(0)
  useLayoutEffect(() => {
    const watch = new ResizeObserver(([entry]) => {
      const w = Math.floor(entry.contentRect.width)
      if (Math.abs(w - width.value) > 1) { width.value = w; redraw(n => n + 1) }
    })
    watch.observe(frame.current)
    return () => watch.disconnect()
  }, [])
  const text = shapeText.value
  const layout = layoutOf(JSON.parse(text), width.value || 800)
  useEffect(() => onMove(moved => {
    if (still.matches || document.hidden || dots.current.childElementCount > 150) return
    for (const edge of layout.edges) {
      const n = movedOn(edge, moved)
      const path = paths.current.get(edge.id)
      if (n >= 0.5 && path) send(dots.current, path, n)
    }
  }), [text, width.value])
  return html`<div class="map" ref=${frame}><div class="map-scroll" tabindex="0" role="region"
    aria-label="Live map">
    <div class="map-area" style=${{ width: layout.width + 'px', height: layout.height + 'px' }}>
      <svg width=${layout.width} height=${layout.height} aria-hidden="true" focusable="false">
        <defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"
          orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" class="arrow" /></marker></defs>
        ${layout.edges.map(e => html`<path key=${e.id} class="edge" d=${e.d} marker-end="url(#arrow)"
          ref=${el => el ? paths.current.set(e.id, el) : paths.current.delete(e.id)} />`)}
        ${layout.edges.map(e => e.label && html`<${EdgeLabel} key=${'l' + e.id} edge=${e} />`)}
      </svg>
      <div class="dots" ref=${dots} aria-hidden="true"></div>
      ${layout.callers && html`<div class="node callers" style=${{ left: layout.callers.x + 'px',
        top: layout.callers.y + 'px', width: layout.callers.w + 'px',
          height: layout.callers.h + 'px' }}>Callers</div>`}
      ${layout.nodes.map(n => html`<${Node} key=${n.key} id=${n.key} at=${n} edges=${layout.edges} />`)}
    </div></div>
  </div>`
}

