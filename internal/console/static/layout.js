// Where the nodes and edges of the map are. Functions are in columns, from the first of a chain to the last;
// on a narrow page they are in rows. An edge back to an earlier column goes around the others.

export const callers = '(callers)'

// edgesOf finds who hands messages to whom: a topic that one emits and another subscribes to.
function edgesOf(functions) {
  const edges = []
  const namespace = key => key.slice(key.indexOf('.') + 1)
  for (const to of functions) {
    for (const topic of to.topics) {
      const emitters = functions.filter(f => f.emits.includes(topic))
      const near = emitters.filter(f => namespace(f.key) === namespace(to.key))
      const from = near.length ? near : emitters
      for (const f of from) {
        edges.push({ id: `${f.key} ${topic} ${to.key}`, from: f.key, to: to.key, topic, name: topic,
          sharedBy: from.length })
      }
    }
  }
  return edges
}

// columnsOf gives each function of a chain its column: one after those that hand to it. Cycles are cut where
// the search comes back to a function that it is still in.
function columnsOf(functions, edges) {
  const next = new Map(functions.map(f => [f.key, []]))
  const reached = new Set()
  for (const e of edges) {
    next.get(e.from).push(e.to)
    if (e.from !== e.to) reached.add(e.to)
  }
  const starts = [...functions].sort((a, b) => reached.has(a.key) - reached.has(b.key) || b.entry - a.entry
    || a.key.localeCompare(b.key))
  const order = []
  const seen = new Map()
  const forward = new Map(functions.map(f => [f.key, []]))
  const visit = key => {
    seen.set(key, 'open')
    for (const to of next.get(key)) {
      if (seen.get(to) === 'open') continue
      forward.get(key).push(to)
      if (!seen.has(to)) visit(to)
    }
    seen.set(key, 'done')
    order.unshift(key)
  }
  for (const f of starts) if (!seen.has(f.key)) visit(f.key)
  const column = new Map(functions.map(f => [f.key, 0]))
  for (const key of order) {
    for (const to of forward.get(key)) column.set(to, Math.max(column.get(to), column.get(key) + 1))
  }
  return column
}

const size = { w: 182, h: 102, gapY: 34, pad: 12 }

export function layoutOf(functions, width) {
  const edges = edgesOf(functions)
  const linked = new Set(edges.flatMap(e => [e.from, e.to]))
  const chained = functions.filter(f => linked.has(f.key))
  const alone = functions.filter(f => !linked.has(f.key))
  const out = width < 720 ? rows(chained, edges, width) : columns(chained, edges, width)
  grid(out, alone, width)
  out.height = Math.max(out.height, 120)
  return out
}

function groups(chained, edges) {
  const column = columnsOf(chained, edges)
  const list = []
  for (const f of chained) (list[column.get(f.key)] ||= []).push(f)
  return list.filter(Boolean)
}

// fromCallers adds the edges of calls that come from outside. Without any, the first column has them.
function fromCallers(list, edges) {
  const entries = list.flat().filter(f => f.entry)
  return (entries.length ? entries : list[0] || []).map(f => ({
    id: `${callers} ${f.key}`, from: callers, to: f.key, topics: f.topics, name: 'calls', sharedBy: 1,
  })).concat(edges)
}

function columns(chained, edges, width) {
  const list = groups(chained, edges)
  const out = { nodes: [], edges: [], width, height: 0, callers: null }
  if (!list.length) return out
  const callersW = 68
  const share = (width - 2 * size.pad - callersW) / list.length
  const gap = Math.max(82, Math.min(150, share * 0.36))
  const w = Math.max(148, Math.min(210, share - gap))
  const h = w < 190 ? 118 : size.h
  const tallest = Math.max(...list.map(c => c.length)) * (h + size.gapY) - size.gapY
  const place = new Map()
  list.forEach((column, i) => {
    const height = column.length * (h + size.gapY) - size.gapY
    column.forEach((f, j) => {
      const node = {
        key: f.key, w, h, column: i, x: size.pad + callersW + gap + i * (w + gap),
        y: size.pad + 8 + (tallest - height) / 2 + j * (h + size.gapY),
      }
      place.set(f.key, node)
      out.nodes.push(node)
    })
  })
  out.callers = { x: size.pad, y: size.pad + 8 + tallest / 2 - 18, w: callersW, h: 36 }
  place.set(callers, { ...out.callers, column: -1 })
  out.width = Math.max(width, out.nodes.reduce((w, n) => Math.max(w, n.x + n.w), 0) + size.pad)
  let under = size.pad + 8 + tallest + 34
  for (const e of fromCallers(list, edges)) {
    const a = place.get(e.from)
    const b = place.get(e.to)
    if (b.column > a.column) {
      const [x1, y1, x2, y2] = [a.x + a.w, a.y + a.h / 2, b.x - 2, b.y + b.h / 2]
      const bend = (x2 - x1) / 2
      e.d = `M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`
      e.label = { x: (x1 + x2) / 2, y: (y1 + y2) / 2 - 21 }
    } else {
      const [x1, y1, x2, y2] = [a.x + a.w * 0.6, a.y + a.h, b.x + b.w * 0.4, b.y + b.h + 2]
      e.d = `M${x1} ${y1} C${x1} ${under} ${x1} ${under} ${x1 - 24} ${under} `
        + `L${x2 + 24} ${under} C${x2} ${under} ${x2} ${under} ${x2} ${y2}`
      e.label = { x: (x1 + x2) / 2, y: under - 20 }
      under += 40
    }
    out.edges.push(e)
  }
  out.height = under + size.pad
  return out
}

function rows(chained, edges, width) {
  const list = groups(chained, edges)
  const out = { nodes: [], edges: [], width, height: 0, callers: null }
  if (!list.length) return out
  const side = 34
  const gapY = 54
  const area = width - 2 * size.pad - side
  const place = new Map()
  let y = size.pad
  out.callers = { x: size.pad + area / 2 - 40, y, w: 80, h: 32 }
  place.set(callers, { ...out.callers, column: -1 })
  y += 32 + gapY
  list.forEach((row, i) => {
    const perRow = Math.max(1, Math.floor(area / 150))
    for (let j = 0; j < row.length; j += perRow) {
      const some = row.slice(j, j + perRow)
      const w = Math.min(260, (area - (some.length - 1) * 10) / some.length)
      const left = size.pad + (area - some.length * w - (some.length - 1) * 10) / 2
      some.forEach((f, k) => {
        const node = { key: f.key, w, h: size.h, column: i, x: left + k * (w + 10), y }
        place.set(f.key, node)
        out.nodes.push(node)
      })
      y += size.h + (j + perRow < row.length ? 10 : gapY)
    }
  })
  let right = width - size.pad - side + 14
  for (const e of fromCallers(list, edges)) {
    const a = place.get(e.from)
    const b = place.get(e.to)
    if (b.column > a.column) {
      const [x1, y1, x2, y2] = [a.x + a.w / 2, a.y + a.h, b.x + b.w / 2, b.y - 2]
      e.d = `M${x1} ${y1} C${x1} ${(y1 + y2) / 2} ${x2} ${(y1 + y2) / 2} ${x2} ${y2}`
      e.label = { x: (x1 + x2) / 2 + 54, y: (y1 + y2) / 2 - 1 }
    } else {
      const [x1, y1, x2, y2] = [a.x + a.w, a.y + a.h * 0.6, b.x + b.w + 2, b.y + b.h * 0.4]
      e.d = `M${x1} ${y1} C${right} ${y1} ${right} ${y1} ${right} ${y1 - 24} `
        + `L${right} ${y2 + 24} C${right} ${y2} ${right} ${y2} ${x2} ${y2}`
      right = Math.min(width - 6, right + 8)
    }
    out.edges.push(e)
  }
  out.height = y - gapY + size.pad
  return out
}

// grid puts functions without topics under the chains.
function grid(out, alone, width) {
  if (!alone.length) return
  const inner = width - 2 * size.pad
  const perRow = Math.max(1, Math.floor((inner + 14) / (214)))
  const w = Math.min(240, (inner - (perRow - 1) * 14) / perRow)
  const top = out.nodes.length ? out.height + 14 : size.pad
  alone.forEach((f, i) => {
    out.nodes.push({
      key: f.key, w, h: size.h, x: size.pad + (i % perRow) * (w + 14),
        y: top + Math.floor(i / perRow) * (size.h + 14),
    })
  })
  out.height = top + Math.ceil(alone.length / perRow) * (size.h + 14)
}
