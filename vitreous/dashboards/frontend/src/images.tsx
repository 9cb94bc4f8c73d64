// One image: pick patches and see which latents fire there, or see where one latent lies against the ground truth.

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { Meter } from "./chart";
import { unpack, type Codes, type Picture, type RegionInfo, type Source } from "./data";
import { number } from "./format";
import { go, type Rank, type State } from "./state";
import { address, paint, Thumb, useRedraw } from "./tile";
import { hideTip, showTip } from "./tip";

const LISTED = 40;
const COVERED = 128; // a patch belongs to a region from half of its area on

export interface Ranked { latent: number; score: number; value: number; iou: number; levels: Uint8Array }

/** Latents of an image in order: by summed activation, by that times rarity, or by IoU with a region. */
export function rank(codes: Codes, cells: Set<number>, by: Rank, density: ArrayLike<number>, cover: Uint8Array | null, n: number): Ranked[] {
  const entries = new Map<number, number[]>();
  for (let i = 0; i < codes.latent.length; i++) {
    if (cells.size && !cells.has(codes.cell[i]!) && by !== "iou") continue;
    const latent = codes.latent[i]!;
    const known = entries.get(latent);
    if (known) known.push(i);
    else entries.set(latent, [i]);
  }
  const area = cover ? cover.reduce((a, b) => a + b, 0) / 255 : 0;
  const out: Ranked[] = [];
  for (const [latent, list] of entries) {
    let value = 0, hit = 0, fired = 0;
    for (const i of list) {
      value += codes.value[i]!;
      if (codes.cell[i]! < n) { fired++; hit += cover ? cover[codes.cell[i]!]! / 255 : 0; }
    }
    const iou = cover && fired + area - hit > 0 ? hit / (fired + area - hit) : 0;
    const score = by === "sum" ? value : by === "rare" ? -value * Math.log10(Math.max(density[latent]!, 1e-9)) : iou;
    out.push({ latent, score, value, iou, levels: new Uint8Array(0) });
  }
  return out.sort((a, b) => b.score - a.score || a.latent - b.latent);
}

/** The whole heatmap of one latent on this image. */
export function plane(codes: Codes, latent: number, cells: number): { level: Uint8Array; peak: number } {
  const level = new Uint8Array(cells);
  let peak = 0;
  for (let i = 0; i < codes.latent.length; i++) if (codes.latent[i] === latent) peak = Math.max(peak, codes.value[i]!);
  for (let i = 0; i < codes.latent.length; i++) {
    if (codes.latent[i] === latent) level[codes.cell[i]!] = Math.max(1, Math.round((255 * codes.value[i]!) / peak));
  }
  return { level, peak };
}

export function ImagePage({ source, state, labels }: { source: Source; state: State; labels: Map<number, string> }) {
  const redraw = useRedraw();
  const pictures = source.manifest.explore?.pictures ?? [];
  const image = pictures.includes(state.image) ? state.image : pictures[0] ?? -1;
  const [codes, setCodes] = useState<[number, Codes] | null>(null);
  const [over, setOver] = useState(-1);
  useEffect(() => {
    let current = true;
    setOver(-1);
    void source.codes(image).then((found) => { if (current && found) setCodes([image, found]); });
    return () => { current = false; };
  }, [image]);
  const picture = source.picture(image, redraw);
  const found = codes && codes[0] === image ? codes[1] : null;
  const region = picture?.regions?.[state.region] ?? null;
  const cover = useMemo(() => (region ? (unpack(region.cover) as Uint8Array) : null), [region]);
  const chosen = useMemo(() => new Set(state.cells), [state.cells]);
  const by: Rank = state.rank === "iou" && !cover ? "sum" : state.rank;
  const n = source.manifest.grid[0] * source.manifest.grid[1];
  const ranked = useMemo(() => (found ? rank(found, chosen, by, source.column("density") ?? [], cover, n) : []), [found, chosen, by, cover]);
  if (!pictures.length) return <div class="nothing"><p>This dashboard was collected without complete codes of any image.</p></div>;
  const shown = over >= 0 ? over : -1;
  return (
    <section class="images">
      <Filmstrip source={source} pictures={pictures} image={image} />
      <div class="explorer">
        <div class="stage">
          {picture && <Stage source={source} picture={picture} codes={found} latent={shown} region={region} chosen={chosen} state={state} />}
          <div class="stage-controls">
            <span class="quiet">{chosen.size ? `${chosen.size} ${chosen.size === 1 ? "patch" : "patches"} picked` : "Click or drag over patches to pick them."}</span>
            {chosen.size > 0 && <button class="quiet" onClick={() => go({ cells: [] })}>Clear</button>}
            {source.manifest.extra.map((name, i) => (
              <button key={name} class={chosen.has(n + i) ? "on" : ""} aria-pressed={chosen.has(n + i)} onClick={() => toggle(chosen, [n + i])}>{name}</button>
            ))}
          </div>
          {picture?.regions && <Regions regions={picture.regions} state={state} />}
          <dl class="about">
            {[["image", picture?.id], ["class", picture?.label], ["caption", picture?.caption], ["source", picture?.source], ["licence", picture?.licence ?? "not stated"]]
              .filter(([, text]) => text).map(([name, text]) => <div key={name}><dt>{name}</dt><dd>{text}</dd></div>)}
          </dl>
        </div>
        <div class="ranked">
          <h3>Latents {chosen.size && by !== "iou" ? "in the picked patches" : "in this image"}<small>{ranked.length} active</small>
            <span class="gap" />
            <span class="segments small" role="radiogroup" aria-label="rank by">
              {([["sum", "Activation", "Sum of activations over the picked patches"], ["rare", "Rarity", "Activation times minus log10 of the latent's density"],
                ["iou", "IoU", "Overlap of the patches where it fires with the region"]] as [Rank, string, string][]).map(([name, title, about]) => (
                <button key={name} role="radio" aria-checked={by === name} class={by === name ? "on" : ""} title={about} disabled={name === "iou" && !cover} onClick={() => go({ rank: name })}>{title}</button>
              ))}
            </span>
          </h3>
          <div class="ranking" onMouseLeave={() => setOver(-1)}>
            {ranked.slice(0, LISTED).map((r) => (
              <Entry key={r.latent} source={source} state={state} ranked={r} best={ranked[0]!.score} iou={!!cover} label={labels.get(r.latent)} onOver={setOver} />
            ))}
          </div>
          {ranked.length > LISTED && <p class="quiet">The first {LISTED} of {ranked.length}.</p>}
        </div>
      </div>
    </section>
  );
}

function toggle(chosen: Set<number>, cells: number[], on = !chosen.has(cells[0]!)): void {
  const next = new Set(chosen);
  for (const cell of cells) if (on) next.add(cell); else next.delete(cell);
  go({ cells: [...next].sort((a, b) => a - b) });
}

function Filmstrip({ source, pictures, image }: { source: Source; pictures: number[]; image: number }) {
  const box = useRef<HTMLElement>(null);
  useLayoutEffect(() => box.current?.querySelector(".on")?.scrollIntoView({ block: "nearest", inline: "nearest" }), [image]);
  return (
    <nav class="film" ref={box} aria-label="images">
      {pictures.map((p) => (
        <button key={p} class={p === image ? "on" : ""} aria-current={p === image} aria-label={`image ${p}`} onClick={() => go({ image: p, cells: [], region: -1 }, true)}>
          <Thumb source={source} index={p} heat={null} map="viridis" />
        </button>
      ))}
    </nav>
  );
}

interface StageProps { source: Source; picture: Picture; codes: Codes | null; latent: number; region: RegionInfo | null; chosen: Set<number>; state: State }

function Stage({ source, picture, codes, latent, region, chosen, state }: StageProps) {
  const [rows, cols] = source.manifest.grid;
  const heat = useRef<HTMLCanvasElement>(null), truth = useRef<HTMLCanvasElement>(null);
  const drag = useRef<{ on: boolean; seen: Set<number> } | null>(null);
  const drawn = useMemo(() => (codes && latent >= 0 ? plane(codes, latent, source.cells) : null), [codes, latent]);
  useLayoutEffect(() => {
    if (heat.current) paint(heat.current, drawn?.level ?? new Uint8Array(source.cells), rows, cols, 1, { ...state, mode: "heat", scale: "image" });
  }, [drawn, state.map]);
  useLayoutEffect(() => { if (truth.current) drawRegion(truth.current, region); }, [region]);
  const at = (e: PointerEvent) => {
    const box = (e.currentTarget as HTMLElement).getBoundingClientRect();
    const c = Math.floor(((e.clientX - box.left) / box.width) * cols), r = Math.floor(((e.clientY - box.top) / box.height) * rows);
    return r >= 0 && r < rows && c >= 0 && c < cols ? r * cols + c : -1;
  };
  const pick = (cell: number) => {
    if (!drag.current || cell < 0 || drag.current.seen.has(cell)) return;
    drag.current.seen.add(cell);
    toggle(chosen, [...drag.current.seen], drag.current.on);
  };
  return (
    <div class="canvas" style={{ aspectRatio: `${cols} / ${rows}` }}
      onPointerDown={(e) => { const cell = at(e); e.currentTarget.setPointerCapture(e.pointerId); drag.current = { on: !chosen.has(cell), seen: new Set() }; pick(cell); }}
      onPointerMove={(e) => {
        const cell = at(e);
        pick(cell);
        if (drawn && cell >= 0) showTip(e.clientX, e.clientY, `row ${Math.floor(cell / cols)}, column ${cell % cols}`, [[`latent ${latent}`, number((drawn.level[cell]! / 255) * drawn.peak)]]);
      }}
      onPointerUp={() => { drag.current = null; }} onPointerLeave={hideTip}>
      {address(picture) && <img src={address(picture)} alt={picture.caption ?? picture.label ?? picture.id} draggable={false} />}
      <canvas ref={heat} class="heat" style={{ opacity: state.opacity / 100 }} />
      <canvas ref={truth} class="truth" />
      <svg viewBox={`0 0 ${cols} ${rows}`} preserveAspectRatio="none" aria-hidden="true">
        {Array.from({ length: cols - 1 }, (_, i) => <line key={`c${i}`} x1={i + 1} x2={i + 1} y1="0" y2={rows} />)}
        {Array.from({ length: rows - 1 }, (_, i) => <line key={`r${i}`} y1={i + 1} y2={i + 1} x1="0" x2={cols} />)}
        {[...chosen].filter((c) => c < rows * cols).map((c) => <rect key={c} x={c % cols} y={Math.floor(c / cols)} width="1" height="1" />)}
      </svg>
    </div>
  );
}

/** Dim what is outside the region. */
function drawRegion(canvas: HTMLCanvasElement, region: RegionInfo | null): void {
  const [height, width] = region?.size ?? [1, 1];
  canvas.width = width;
  canvas.height = height;
  if (!region) return;
  const context = canvas.getContext("2d")!, image = context.createImageData(width, height);
  let at = 0, inside = false;
  for (const run of region.runs) {
    if (!inside) for (let i = at; i < at + run; i++) image.data.set([9, 11, 16, 190], 4 * i);
    at += run;
    inside = !inside;
  }
  context.putImageData(image, 0, 0);
}

function Regions({ regions, state }: { regions: RegionInfo[]; state: State }) {
  return (
    <div class="regions" role="group" aria-label="ground truth">
      {regions.map((r, i) => (
        <button key={i} class={state.region === i ? "on" : ""} aria-pressed={state.region === i} title="Show this region, and rank by overlap with it"
          onClick={() => go(state.region === i ? { region: -1, rank: "sum" } : { region: i, rank: "iou" })}>{r.name}</button>
      ))}
      {state.region >= 0 && regions[state.region] && (
        <button class="quiet" onClick={() => {
          const cover = unpack(regions[state.region]!.cover);
          go({ cells: Array.from(cover.keys()).filter((c) => cover[c]! >= COVERED), rank: "sum" });
        }}>Pick its patches</button>
      )}
    </div>
  );
}

interface EntryProps { source: Source; state: State; ranked: Ranked; best: number; iou: boolean; label?: string; onOver: (latent: number) => void }

function Entry({ source, state, ranked, best, iou, label, onOver }: EntryProps) {
  const redraw = useRedraw();
  const id = ranked.latent, latent = source.latentNow(id);
  useEffect(() => { if (!latent) void source.latent(id).then(redraw); }, [id]);
  const match = source.manifest.columns.find((c) => c.format === "category" && c.name !== "state");
  const text = label ?? (match ? match.names![source.column(match.name)[id]!] : "") ?? "";
  const strip = source.strip?.subarray(id * source.strip_width, id * source.strip_width + 5) ?? [];
  return (
    <a href={`#/latent/${id}`} onMouseEnter={() => onOver(id)} onFocus={() => onOver(id)}
      onClick={(e) => { e.preventDefault(); go({ view: "latent", latent: id }, true); }}>
      <b class="num">{id}</b>
      <span class="strip">{Array.from(strip, (p, i) => p >= 0 && <Thumb key={i} source={source} index={p} heat={latent?.groups[0]?.[i]?.heat ?? null} map={state.map} />)}</span>
      <span class="text">{text}</span>
      {iou && <span class="num quiet" title="IoU with the region">{ranked.iou.toFixed(2)}</span>}
      <Meter part={best > 0 ? ranked.score / best : 0} text={number(ranked.value)} title="sum of activations" />
    </a>
  );
}
