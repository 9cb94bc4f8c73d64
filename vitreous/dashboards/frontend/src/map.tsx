// All latents on a plane. Such a map bends distances, so the true neighbours stand beside it.

import { polygonContains } from "d3-polygon";
import { quadtree } from "d3-quadtree";
import { select as pick } from "d3-selection";
import { zoom, zoomIdentity, type ZoomTransform } from "d3-zoom";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { bin } from "./chart";
import { css } from "./colour";
import { latentMap, type LatentMap, type Source } from "./data";
import { count, value } from "./format";
import { NeighbourPanel } from "./latent";
import { go, type State } from "./state";
import { Thumb, useRedraw } from "./tile";

interface Props { source: Source; state: State; shown: Int32Array; labels: Map<number, string>; map: LatentMap }
const CATEGORIES = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#e69f00", "#44aa99", "#882255", "#999933", "#6699cc", "#cc6677"];

export function useMap(source: Source): LatentMap | null {
  const [map, set] = useState<LatentMap | null>(null);
  useEffect(() => { if (source.manifest.map) void latentMap().then(set); }, [source]);
  return map;
}

/** The latents inside a polygon of the plane. */
export function inside(map: LatentMap, area: [number, number][]): Uint8Array {
  const n = map.place.length / 2, out = new Uint8Array(n);
  for (let i = 0; i < n; i++) if (polygonContains(area, [map.place[2 * i]!, map.place[2 * i + 1]!])) out[i] = 1;
  return out;
}

export function MapPage({ source, state, shown, labels, map }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [size, setSize] = useState({ w: 800, h: 600 });
  const [view, setView] = useState<ZoomTransform>(zoomIdentity);
  const [over, setOver] = useState(-1);
  const [held, setHeld] = useState(-1);
  const [lasso, setLasso] = useState(false);
  const [path, setPath] = useState<[number, number][]>([]);
  const n = source.manifest.n_latents;
  const column = source.info(state.colour) ?? source.manifest.columns[0]!;
  const colour = useMemo(() => colours(source, column.name, state.map), [source, column, state.map]);
  const tree = useMemo(() => quadtree<number>().x((i) => map.place[2 * i]!).y((i) => map.place[2 * i + 1]!).addAll([...shown]), [map, shown]);
  const scale = Math.min(size.w, size.h) * 0.47;
  const screen = (i: number): [number, number] => view.apply([size.w / 2 + map.place[2 * i]! * scale, size.h / 2 - map.place[2 * i + 1]! * scale]);
  const plane = (x: number, y: number): [number, number] => {
    const [u, v] = view.invert([x, y]);
    return [(u - size.w / 2) / scale, (size.h / 2 - v) / scale];
  };

  useLayoutEffect(() => {
    const box = canvas.current!.parentElement!;
    const watch = new ResizeObserver(() => setSize({ w: box.clientWidth, h: box.clientHeight }));
    watch.observe(box);
    setSize({ w: box.clientWidth, h: box.clientHeight });
    return () => watch.disconnect();
  }, []);
  const behaviour = useMemo(() => zoom<HTMLCanvasElement, unknown>().scaleExtent([0.8, 60]).on("zoom", (e) => setView(e.transform as ZoomTransform)), []);
  useEffect(() => {
    const target = pick(canvas.current!);
    if (lasso) target.on(".zoom", null);
    else target.call(behaviour);
  }, [lasso]);

  useLayoutEffect(() => {
    const ratio = devicePixelRatio || 1, c = canvas.current!;
    c.width = size.w * ratio;
    c.height = size.h * ratio;
    const g = c.getContext("2d")!;
    g.scale(ratio, ratio);
    const kept = new Uint8Array(n);
    for (const i of shown) kept[i] = 1;
    const radius = Math.max(1.6, Math.min(6, (2.2 * Math.sqrt(view.k) * 40) / Math.sqrt(n)));
    for (const pass of [0, 1]) {
      for (let i = 0; i < n; i++) {
        if (kept[i] !== pass) continue;
        const [x, y] = screen(i);
        if (x < -9 || y < -9 || x > size.w + 9 || y > size.h + 9) continue;
        g.globalAlpha = pass ? 0.9 : 0.13;
        g.fillStyle = pass ? colour[i]! : "#8a929a";
        g.beginPath();
        g.arc(x, y, radius, 0, 7);
        g.fill();
      }
    }
    g.globalAlpha = 1;
    for (const i of [held, over]) {
      if (i < 0) continue;
      const [x, y] = screen(i);
      g.lineWidth = 2;
      g.strokeStyle = getComputedStyle(c).color;
      g.beginPath();
      g.arc(x, y, radius + 4, 0, 7);
      g.stroke();
    }
  }, [size, view, colour, shown, over, held, map]);

  const nearest = (e: MouseEvent) => {
    const box = canvas.current!.getBoundingClientRect();
    const [x, y] = plane(e.clientX - box.left, e.clientY - box.top);
    return tree.find(x, y, 14 / (scale * view.k)) ?? -1;
  };
  const local = (e: PointerEvent): [number, number] => { const b = canvas.current!.getBoundingClientRect(); return [e.clientX - b.left, e.clientY - b.top]; };
  const finish = () => {
    if (path.length > 4) {
      const step = Math.max(1, Math.floor(path.length / 24));
      go({ area: path.filter((_, i) => i % step === 0).map(([x, y]) => plane(x, y).map((v) => Number(v.toFixed(3))) as [number, number]) }, true);
    }
    setPath([]);
    setLasso(false);
  };
  const focus = held >= 0 ? held : over;
  return (
    <section class="map">
      <div class="field">
        <canvas ref={canvas} class={lasso ? "lasso" : ""} role="img" aria-label={`map of ${count(n)} latents coloured by ${column.title}`}
          onPointerMove={(e) => { if (lasso && e.buttons) setPath([...path, local(e)]); else if (!e.buttons) setOver(nearest(e)); }}
          onPointerDown={(e) => { if (lasso) { e.currentTarget.setPointerCapture(e.pointerId); setPath([local(e)]); } }}
          onPointerUp={() => { if (lasso) finish(); }}
          onClick={(e) => { if (!lasso) setHeld(nearest(e)); }}
          onDblClick={(e) => { const i = nearest(e); if (i >= 0) go({ view: "latent", latent: i }, true); }}
          onPointerLeave={() => setOver(-1)} />
        {path.length > 1 && <svg class="outline"><polyline points={path.map((p) => p.join(",")).join(" ")} /></svg>}
        <div class="map-controls">
          <label>Colour
            <select value={column.name} onChange={(e) => go({ colour: e.currentTarget.value })}>
              {source.manifest.columns.map((c) => <option key={c.name} value={c.name}>{c.title}</option>)}
            </select>
          </label>
          <button class={lasso ? "on" : ""} aria-pressed={lasso} onClick={() => setLasso(!lasso)} title="Draw around latents; the table and all views then show only those">Lasso</button>
          {state.area.length > 0 && <button onClick={() => go({ area: [] }, true)}>Clear selection</button>}
          <button onClick={() => pick(canvas.current!).call(behaviour.transform, zoomIdentity)}>Reset zoom</button>
        </div>
        <Legend source={source} name={column.name} map={state.map} />
        <p class="about-map">{map.about}. Positions on a map mislead: the list beside it shows true neighbours.</p>
      </div>
      <aside>
        {focus >= 0 ? <Card source={source} state={state} id={focus} labels={labels} held={held >= 0} />
          : <Chosen source={source} state={state} shown={shown} labels={labels} />}
      </aside>
    </section>
  );
}

/** The most frequent categories with their counts, as many as there are colours. */
function frequent(values: ArrayLike<number>): [number, number][] {
  const most = new Map<number, number>();
  for (let i = 0; i < values.length; i++) if (values[i]! >= 0) most.set(values[i]!, (most.get(values[i]!) ?? 0) + 1);
  return [...most].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, CATEGORIES.length);
}

function colours(source: Source, name: string, map: string): string[] {
  const info = source.info(name)!, values = source.column(name);
  if (info.format === "category") {
    const place = new Map(frequent(values).map(([v], i) => [v, CATEGORIES[i]!]));
    return Array.from(values, (v) => place.get(v) ?? "#8a929a");
  }
  const bins = bin(info, values);
  return Array.from(values, (v) => (!bins || !Number.isFinite(v) || (info.scale === "log" && v <= 0) ? "#8a929a" : css(map, 255 * bins.place(v))));
}

function Legend({ source, name, map }: { source: Source; name: string; map: string }) {
  const info = source.info(name)!;
  if (info.format === "category") {
    const top = frequent(source.column(name));
    const rest = new Set([...source.column(name)].filter((v) => v >= 0)).size - top.length;
    return (
      <ul class="legend">
        {top.map(([v, k], i) => <li key={v}><i style={{ background: CATEGORIES[i] }} />{info.names![v]}<span class="num">{count(k)}</span></li>)}
        {rest > 0 && <li><i style={{ background: "#8a929a" }} />{rest} more</li>}
      </ul>
    );
  }
  const bins = bin(info, source.column(name));
  return bins && (
    <div class="legend ramp-legend"><span class="num">{value(info, bins.low)}</span>
      <i style={{ background: `linear-gradient(to right, ${[0, 64, 128, 191, 255].map((l) => css(map, l)).join(",")})` }} /><span class="num">{value(info, bins.high)}</span></div>
  );
}

function Card({ source, state, id, labels, held }: { source: Source; state: State; id: number; labels: Map<number, string>; held: boolean }) {
  const redraw = useRedraw();
  const latent = source.latentNow(id);
  useEffect(() => { if (!latent) void source.latent(id).then(redraw); }, [id]);
  const facts = source.manifest.columns.filter((c) => c.name !== "state").slice(0, 8);
  return (
    <>
      <section class="panel card">
        <h3><a href={`#/latent/${id}`} onClick={(e) => { e.preventDefault(); go({ view: "latent", latent: id }, true); }}>Latent {id}</a><small>{labels.get(id) ?? (held ? "click elsewhere to release" : "click to hold")}</small></h3>
        <div class="strip">{latent?.groups[0]?.slice(0, 8).map((e, i) => <Thumb key={`${id}.${i}`} source={source} index={e.picture} heat={e.heat} map={state.map} />)}</div>
        <dl>{facts.map((c) => <div key={c.name}><dt>{c.title}</dt><dd class="num">{value(c, source.column(c.name)[id]!)}</dd></div>)}</dl>
      </section>
      {latent && <NeighbourPanel source={source} state={state} latent={latent} labels={labels} />}
    </>
  );
}

function Chosen({ source, state, shown, labels }: { source: Source; state: State; shown: Int32Array; labels: Map<number, string> }) {
  return (
    <section class="panel">
      <h3>{state.area.length ? "Inside the lasso" : "Latents"}<small>{count(shown.length)} of {count(source.manifest.n_latents)}</small></h3>
      <p class="quiet">Hover a point for its images and true neighbours; click to hold it, double click to open it.</p>
      {state.area.length > 0 && <button onClick={() => go({ view: "latents" }, true)}>Show them in the table</button>}
      <div class="neighbours">
        {Array.from(shown.subarray(0, 12), (id) => (
          <a key={id} href={`#/latent/${id}`} onClick={(e) => { e.preventDefault(); go({ view: "latent", latent: id }, true); }}>
            <b class="num">{id}</b>
            <span class="strip">{Array.from(source.strip?.subarray(id * source.strip_width, id * source.strip_width + 4) ?? [], (p, i) => p >= 0 && <Thumb key={i} source={source} index={p} heat={null} map={state.map} />)}</span>
            <span class="text">{labels.get(id) ?? ""}</span>
          </a>
        ))}
      </div>
    </section>
  );
}
