// Charts over time, by uPlot. It is loaded when the first chart is shown.
import { html, useEffect, useRef } from './lib.js'
import { clock } from './format.js'

const dark = matchMedia('(prefers-color-scheme: dark)')
let library = null

const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

// timeIn writes times of an axis: with seconds if they are close together.
const timeIn = values => t =>
  clock(t * 1000).slice(-8, values[1] - values[0] < 60 ? undefined : -3)

function options(width, height, series, write) {
  const axis = { stroke: colour('--quiet'), grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
    font: '11px system-ui, sans-serif' }
  return {
    width, height, legend: { show: false }, padding: [8, 28, 0, 0],
    cursor: { drag: { x: false, y: false }, points: { size: 6 } },
    scales: { y: { range: (_, min, max) => [0, Math.max(max || 0, 0.001) * 1.1] } },
    axes: [{ ...axis, size: 28, values: (_, values) => values.map(timeIn(values)) },
      { ...axis, size: 58, values: (_, values) => values.map(write) }],
    series: [{}, ...series.map(s => ({
      label: s.label, stroke: colour(s.colour), fill: s.fill ? colour(s.fill) : undefined, width: 1.75,
      points: { show: false }, dash: s.dash,
    }))],
  }
}

// A Chart shows series over time: {label, colour, values}. Its legend has the values under the pointer,
// or the last ones.
export function Chart({ title, times, series, write, height = 170 }) {
  const box = useRef()
  const plot = useRef()
  const legend = useRef()
  const latest = i => series.map(s => s.values[i])
  const writeOr = value => value == null ? '–' : write(value)
  const lasts = latest(times.length - 1).map(writeOr)
  const tell = i => {
    if (!legend.current) return
    const values = latest(i ?? times.length - 1)
    legend.current.querySelectorAll('b').forEach((b, n) => { b.textContent = writeOr(values[n]) })
  }
  const data = useRef()
  data.current = { times, series, tell }
  useEffect(() => {
    let gone = false
    let watch
    const draw = () => {
      plot.current?.destroy()
      const d = data.current
      plot.current = new library(options(box.current.clientWidth || 300, height, d.series, write),
        [d.times, ...d.series.map(s => s.values)], box.current)
      plot.current.over.addEventListener('mousemove', () => data.current.tell(plot.current.cursor.idx))
      plot.current.over.addEventListener('mouseleave', () => data.current.tell(null))
    }
    import('./vendor/uplot-1.6.32/uPlot.esm.js').then(module => {
      if (gone) return
      library = module.default
      draw()
      watch = new ResizeObserver(([entry]) => {
        const width = Math.floor(entry.contentRect.width)
        if (plot.current && width > 0 && width !== plot.current.width) plot.current.setSize({ width, height })
      })
      watch.observe(box.current)
      dark.addEventListener('change', draw)
    })
    return () => {
      gone = true
      watch?.disconnect()
      dark.removeEventListener('change', draw)
      plot.current?.destroy()
      plot.current = null
    }
  }, [series.length])
  useEffect(() => {
    plot.current?.setData([times, ...series.map(s => s.values)])
    tell(null)
  }, [times, series])
  return html`<figure class="chart">
    <figcaption>${title}<span class="chart-legend" ref=${legend}>${series.map((s, i) => html`<span><i
      class=${'key c' + s.colour.replace('--', '-')}></i>${s.label} <b>${lasts[i]}</b></span>`)}</span>
    </figcaption>
    <div class="chart-box" ref=${box} role="img" aria-label=${`${title}, now: ${series.map((s, i) =>
      `${s.label} ${lasts[i]}`).join(', ')}`}
      style=${{ height: height + 'px' }}></div>
  </figure>`
}
