// Entry point: the frame around the views, the keyboard, the theme.

import { render } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import "./app.css";
import { Source } from "./data";
import { ComparePage } from "./compare";
import { ImagePage } from "./images";
import { LatentPage } from "./latent";
import { Labels } from "./labels";
import { inside, MapPage, useMap } from "./map";
import { select } from "./order";
import { Overview } from "./overview";
import { go, listen, MODES, state, write, type State, type View } from "./state";
import { useRedraw } from "./tile";
import { hideTip } from "./tip";

const KEYS: [string, string][] = [
  ["/", "search"], ["j k", "next, previous"], ["Enter", "open the marked latent"], ["Esc", "back to the table"],
  ["r", "a latent at random"], ["m", "heat, mask, crop, plain"], ["[ ]", "overlay fainter, stronger"], ["l", "label this latent"], ["t", "light or dark"], ["?", "this list"],
];

const VIEWS: [View, string][] = [["latents", "Latents"], ["latent", "Latent"], ["images", "Image"], ["map", "Map"], ["compare", "Compare"]];
function available(source: Source, view: View): boolean {
  return view === "images" ? !!source.manifest.explore : view === "map" ? !!source.manifest.map : view === "compare" ? !!source.manifest.compare : view === "latents" || view === "latent";
}
const TITLES: Partial<Record<View, string>> = { images: "Image", map: "Map", compare: "Compare" };

function Logo() {
  return (
    <svg class="logo" viewBox="0 0 24 24" aria-hidden="true">
      <path fill="#440154" d="M3 3h8L7 12z" /><path fill="#31688e" d="M11 3h4l-3 18-5-9z" />
      <path fill="#35b779" d="M15 3h6l-9 18z" opacity=".95" /><path fill="#fde725" d="M21 3l-5.2 10.4L12 21 15 3z" opacity=".85" />
    </svg>
  );
}

function App({ source }: { source: Source }) {
  const redraw = useRedraw();
  useEffect(() => listen(redraw), []);
  const now = state();
  const names = useMemo(() => new Labels(source, redraw), [source]);
  const labels = names.shown;
  const map = useMap(source);
  const within = useMemo(() => (map && now.area.length ? inside(map, now.area) : null), [map, now.area]);
  const shown = useMemo(() => select(source, labels, now, within), [now.sort, now.query, now.ranges, now.picks, labels, within]);
  window.vitreous_state = () => ({ ...state(), shown: shown.length });
  const [cursor, setCursor] = useState(-1);
  const [help, setHelp] = useState(false);
  const search = useRef<HTMLInputElement>(null);
  useEffect(() => setCursor(-1), [shown]);
  useKeys({ source, shown, cursor, setCursor, setHelp, search });
  useLayoutEffect(() => {
    hideTip();
    document.title = now.view === "latent" ? `Latent ${now.latent} · vitreous` : TITLES[now.view] ? `${TITLES[now.view]} · vitreous` : `${source.manifest.header["hook point"] ?? "latents"} · vitreous`;
    document.documentElement.dataset.ready = now.view === "map" && !map ? "loading" : now.view;
  });
  return (
    <>
      <header class="topbar">
        <a class="brand" href="#/latents" onClick={(e) => { e.preventDefault(); go({ view: "latents" }, true); }}><Logo />vitreous</a>
        <nav aria-label="views" data-views>
          <a class={now.view === "latents" ? "on" : ""} href={write({ ...now, view: "latents" })} onClick={(e) => { e.preventDefault(); go({ view: "latents" }, true); }}>Latents</a>
          {VIEWS.filter(([view]) => view !== "latents" && available(source, view)).map(([view, title]) => (
            <a key={view} class={now.view === view ? "on" : ""} href={write({ ...now, view })} onClick={(e) => { e.preventDefault(); go({ view }, true); }}>{title}</a>
          ))}
        </nav>
        <input ref={search} class="search" type="search" placeholder="Search labels, classes, factors, #latent   /" aria-label="search latents" value={now.query}
          onInput={(e) => go({ query: e.currentTarget.value, view: "latents" }, now.view !== "latents")}
          onKeyDown={(e) => { if (e.key === "Enter") { e.currentTarget.blur(); setCursor(0); } if (e.key === "Escape") e.currentTarget.blur(); }} />
        <span class="gap" />
        <button class="icon" onClick={theme} title="Light or dark (t)" aria-label="switch between light and dark">◐</button>
        <button class="icon" onClick={() => setHelp(true)} title="Keyboard (?)" aria-label="keyboard shortcuts">?</button>
      </header>
      <Provenance header={source.manifest.header} />
      <main>
        {now.view === "latents" ? <Overview source={source} state={now} shown={shown} labels={labels} names={names} cursor={cursor} onCursor={setCursor} />
          : now.view === "images" ? <ImagePage source={source} state={now} labels={labels} />
          : now.view === "map" ? map && <MapPage source={source} state={now} shown={shown} labels={labels} map={map} />
          : now.view === "compare" ? <ComparePage source={source} state={now} labels={labels} />
          : <LatentPage source={source} state={now} shown={shown} labels={labels} onLabel={(id, label) => names.set(id, label)} />}
      </main>
      {help && <Help onClose={() => setHelp(false)} />}
    </>
  );
}

function Provenance({ header }: { header: Record<string, string | number> }) {
  return (
    <dl class="provenance" aria-label="provenance">
      {Object.entries(header).map(([name, text]) => (
        <div key={name}><dt>{name}</dt><dd title={String(text)}>{typeof text === "number" ? text.toLocaleString("en-US") : text}</dd></div>
      ))}
    </dl>
  );
}

function Help({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => { dialog.current?.showModal(); }, []);
  return (
    <dialog ref={dialog} onClose={onClose} onClick={(e) => { if (e.target === dialog.current) dialog.current?.close(); }}>
      <h3>Keyboard</h3>
      <dl class="keys">{KEYS.map(([key, text]) => <div key={key}><dt>{key.split(" ").map((k) => <kbd key={k}>{k}</kbd>)}</dt><dd>{text}</dd></div>)}</dl>
      <p class="quiet">Drag over a column's histogram to filter, click it to release. Every view, filter and setting is in the address: copy it to share.</p>
    </dialog>
  );
}

const THEME = "vitreous:theme";
function theme(): void {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem(THEME, root.dataset.theme); } catch { /* storage can be off */ }
}
function storedTheme(): void {
  try {
    const kept = localStorage.getItem(THEME);
    if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
  } catch { /* storage can be off */ }
}

function stepImage(source: Source, now: State, by: number): void {
  const all = source.manifest.explore?.pictures ?? [];
  if (all.length) go({ image: all[(Math.max(0, all.indexOf(now.image)) + by + all.length) % all.length]!, cells: [], region: -1 }, true);
}

interface Keys {
  source: Source; shown: Int32Array; cursor: number; setCursor: (at: number) => void; setHelp: (on: boolean) => void;
  search: { current: HTMLInputElement | null };
}

function useKeys(keys: Keys): void {
  const held = useRef(keys);
  held.current = keys;
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName) || document.querySelector("dialog[open]")) return;
      if (press1(event.key, held.current, state(), target)) event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

function press1(key: string, { source, shown, cursor, setCursor, setHelp, search }: Keys, now: State, target: HTMLElement): boolean {
  const table = now.view === "latents";
  const move = (by: number) => {
    if (now.view === "images") return stepImage(source, now, by);
    if (!shown.length) return;
    if (table) setCursor(Math.max(0, Math.min(shown.length - 1, cursor + by)));
    else go({ latent: shown[(Math.max(0, shown.indexOf(now.latent)) + by + shown.length) % shown.length]! }, true);
  };
  switch (key) {
    case "/": search.current?.focus(); search.current?.select(); return true;
    case "?": setHelp(true); return true;
    case "t": theme(); return true;
    case "r": if (shown.length) go({ view: "latent", latent: shown[Math.floor(Math.random() * shown.length)]! }, true); return true;
    case "j": move(1); return true;
    case "k": move(-1); return true;
    case "ArrowDown": if (table) move(1); return table;
    case "ArrowUp": if (table) move(-1); return table;
    case "ArrowRight": if (!table) move(1); return !table;
    case "ArrowLeft": if (!table) move(-1); return !table;
    case "Enter": if (table && cursor >= 0 && target === document.body) { go({ view: "latent", latent: shown[cursor]! }, true); return true; } return false;
    case "Escape": if (!table) go({ view: "latents" }, true); return !table;
    case "l": document.querySelector<HTMLInputElement>("input.label")?.focus(); return now.view === "latent";
    case "m": go({ mode: MODES[(MODES.findIndex(([m]) => m === now.mode) + 1) % MODES.length]![0] }); return true;
    case "[": go({ opacity: Math.max(0, now.opacity - 10) }); return true;
    case "]": go({ opacity: Math.min(100, now.opacity + 10) }); return true;
    default: return false;
  }
}

declare global { interface Window { vitreous_state: () => State & { shown: number } } }

storedTheme();
const root = document.getElementById("app")!;
Source.open().then(
  (source) => {
    render(<App source={source} />, root);
  },
  (error: Error) => {
    root.className = "nothing";
    root.textContent = `This dashboard could not be opened. ${error.message}`;
    document.documentElement.dataset.ready = "error";
  },
);
