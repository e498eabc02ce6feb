// The libraries of all other modules, in one place: their paths have versions.
import { h } from './vendor/preact-11.2.0/preact.mjs'
import htm from './vendor/htm-3.1.1/htm.mjs'

export { render, Fragment } from './vendor/preact-11.2.0/preact.mjs'
export { useEffect, useLayoutEffect, useMemo, useRef, useState } from './vendor/preact-11.2.0/hooks.mjs'
export { batch, computed, effect, signal } from './vendor/preact-signals-2.11.4/signals.mjs'

export const html = htm.bind(h)
