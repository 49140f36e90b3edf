// The looks of a widget, as a sheet that a strict Content-Security-Policy of the page allows.

const CSS = `
:host {
  --accent: var(--parley-accent, #0f6b5c);
  --on-accent: var(--parley-on-accent, #fff);
  --surface: var(--parley-surface, light-dark(#fff, #1d2321));
  --text: var(--parley-text, light-dark(#1c2422, #eef2f0));
  --soft: var(--parley-soft, light-dark(#5b6663, #a5b1ad));
  --line: var(--parley-line, light-dark(#d9dedb, #38423f));
  --danger: var(--parley-danger, light-dark(#b3261e, #ff8f86));
  --radius: var(--parley-radius, 1rem);
  display: inline-block;
  max-width: 100%;
  font: var(--parley-font, 400 1rem/1.45 system-ui, sans-serif);
  color: var(--text);
  text-align: start;
}
:host([hidden]) { display: none; }
:host([position^="bottom"]) { position: fixed; inset-block-end: 1.25rem; z-index: var(--parley-layer, 2147483000); }
:host([position="bottom-right"]) { inset-inline-end: 1.25rem; }
:host([position="bottom-left"]) { inset-inline-start: 1.25rem; }
* { box-sizing: border-box; margin: 0; }
[hidden] { display: none !important; }
.frame { display: grid; gap: 0.6rem; justify-items: start; }
:host([position="bottom-right"]) .frame { justify-items: end; }
button, input { font: inherit; color: inherit; }
button {
  display: inline-flex; align-items: center; justify-content: center; gap: 0.5rem;
  min-height: 2.75rem; padding: 0 1.1rem; border: 1px solid var(--line); border-radius: 999px;
  background: transparent; font-weight: 600; cursor: pointer;
}
button:focus-visible, input:focus-visible, .captions:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
svg { width: 1.25rem; height: 1.25rem; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
.start { min-height: 3.25rem; padding: 0 1.4rem; border-color: transparent; background: var(--accent); color: var(--on-accent); box-shadow: 0 4px 18px rgb(0 0 0 / 0.18); }
.start:hover { filter: brightness(1.08); }
.panel {
  display: grid; grid-template-columns: minmax(0, 1fr); gap: 0.75rem; width: var(--parley-width, 20rem); max-width: 100%; padding: 1rem;
  border: 1px solid var(--line); border-radius: var(--radius); background: var(--surface); box-shadow: 0 8px 30px rgb(0 0 0 / 0.16);
}
header { display: flex; align-items: center; gap: 0.7rem; }
.ring { --size: 0.75rem; flex: none; width: var(--size); height: var(--size); margin: 0.35rem; border-radius: 50%; background: var(--soft); }
.panel[data-state="listening"] .ring, .panel[data-state="speaking"] .ring, .panel[data-state="thinking"] .ring { background: var(--accent); }
.panel[data-state="speaking"] .ring { box-shadow: 0 0 0 calc(var(--level, 0) * 0.5rem) color-mix(in srgb, var(--accent) 30%, transparent); }
.panel[data-state="reconnecting"] .ring { background: var(--danger); }
.state { font-weight: 600; overflow-wrap: anywhere; }
.captions { display: grid; grid-template-columns: minmax(0, 1fr); gap: 0.4rem; align-content: start; max-height: var(--parley-captions-height, 11rem); overflow-y: auto; }
.captions:empty { display: none; }
.line { padding: 0.4rem 0.75rem; border-radius: 0.8rem; background: color-mix(in srgb, var(--text) 7%, transparent); overflow-wrap: anywhere; }
.line[data-role="user"] { margin-inline-start: 1.75rem; }
.line[data-role="agent"] { margin-inline-end: 1.75rem; background: color-mix(in srgb, var(--accent) 13%, transparent); }
.line[data-final="false"] { color: var(--soft); }
form { display: flex; gap: 0.5rem; }
input { flex: 1; min-width: 0; min-height: 2.75rem; padding: 0 0.9rem; border: 1px solid var(--line); border-radius: 999px; background: transparent; }
input::placeholder { color: var(--soft); opacity: 1; }
.send { flex: none; width: 2.75rem; padding: 0; border-color: transparent; background: var(--accent); color: var(--on-accent); }
footer { display: flex; gap: 0.5rem; }
.mute { flex: none; width: 2.75rem; padding: 0; }
.mute .slash { visibility: hidden; }
.mute[aria-pressed="true"] { background: color-mix(in srgb, var(--danger) 14%, transparent); color: var(--danger); }
.mute[aria-pressed="true"] .slash { visibility: visible; }
.hangUp { flex: 1; color: var(--danger); }
.panel button:hover { background: color-mix(in srgb, var(--text) 8%, transparent); }
.panel .send:hover { background: var(--accent); filter: brightness(1.08); }
.problem { display: grid; gap: 0.25rem; width: var(--parley-width, 20rem); max-width: 100%; padding: 0.8rem 1rem; border: 1px solid var(--line); border-inline-start: 4px solid var(--danger); border-radius: 0.6rem; background: var(--surface); font-size: 0.95em; }
.without { justify-self: start; margin-top: 0.35rem; min-height: 2.25rem; }
@media (forced-colors: active) { .ring { border: 2px solid CanvasText; } }
@media (prefers-reduced-motion: reduce) { .ring { box-shadow: none !important; } }
`;

export const SHEET = new CSSStyleSheet();
SHEET.replaceSync(CSS);
