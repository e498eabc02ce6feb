// Numbers, durations and names as text.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })

// count writes a number of things. A missing number is a dash, not 0.
export const count = n => n == null || Number.isNaN(n) ? '–' : whole.format(n)

// compact is count for narrow places.
export const compact = n => n == null ? '–' : n < 10000 ? whole.format(n) : short.format(n)

export function rate(perSecond) {
  if (perSecond == null) return '–'
  if (perSecond === 0) return '0/s'
  return (perSecond < 10 ? perSecond.toFixed(1) : whole.format(perSecond)) + '/s'
}

export function duration(ms) {
  if (ms == null || Number.isNaN(ms)) return '–'
  if (ms < 1) return ms === 0 ? '0 ms' : '<1 ms'
  if (ms < 1000) return Math.round(ms) + ' ms'
  const s = ms / 1000
  if (s < 10) return s.toFixed(1) + ' s'
  if (s < 60) return Math.round(s) + ' s'
  const parts = (big, unit, small, less) => small ? `${big} ${unit} ${small} ${less}` : `${big} ${unit}`
  if (s < 3600) return parts(Math.floor(s / 60), 'min', Math.round(s % 60) % 60, 's')
  if (s < 86400) return parts(Math.floor(s / 3600), 'h', Math.floor(s % 3600 / 60), 'min')
  return parts(Math.floor(s / 86400), 'd', Math.floor(s % 86400 / 3600), 'h')
}

export function bytes(n) {
  if (n == null) return '–'
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let i = 0
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++ }
  return (i && n < 10 ? n.toFixed(1) : Math.round(n)) + ' ' + units[i]
}

export function money(amount, currency) {
  if (amount == null) return '–'
  const digits = amount === 0 || amount >= 1 ? 2 : amount >= 0.01 ? 4 : 6
  const text = amount.toFixed(digits)
  return currency ? `${text} ${currency}` : text
}

// clock writes a time of today as a time, and any other with its day.
export function clock(at, withMS) {
  const t = new Date(at)
  if (Number.isNaN(t.getTime())) return '–'
  const two = n => String(n).padStart(2, '0')
  let text = `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`
  if (withMS) text += '.' + String(t.getMilliseconds()).padStart(3, '0')
  if (t.toDateString() === new Date().toDateString()) return text
  return `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())} ${text}`
}

export const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many ?? one + 's'}`

export const defaultNamespace = 'openfaas-fn'

// keyOf is NAME.NAMESPACE, which names a function everywhere.
export const keyOf = f => `${f.name ?? f.function}.${f.namespace || defaultNamespace}`

// fullName adds the default namespace to a name that has none.
export const fullName = name => name.includes('.') ? name : `${name}.${defaultNamespace}`

// shown leaves the default namespace out.
export const shown = key => key.endsWith('.' + defaultNamespace) ? key.slice(0, -defaultNamespace.length - 1)
  : key

// split is the reverse of keyOf.
export function split(key) {
  const i = key.indexOf('.')
  return i < 0 ? [key, defaultNamespace] : [key.slice(0, i), key.slice(i + 1)]
}

// isSet reports whether a time of Go's is not its zero value.
export const isSet = at => !!at && !String(at).startsWith('0001-')

// textOf decodes base64 to text. ok is false if the bytes are not UTF-8.
export function textOf(base64) {
  const raw = Uint8Array.from(atob(base64 || ''), c => c.charCodeAt(0))
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(raw), ok: true, size: raw.length }
  } catch {
    return { text: '', ok: false, size: raw.length }
  }
}
