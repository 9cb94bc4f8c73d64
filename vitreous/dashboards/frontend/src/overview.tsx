// The table of all latents. Only the rows in view are in the document.

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { bin, ColumnHistogram, Spark } from "./chart";
import type { ColumnInfo, Source } from "./data";
import { count, value } from "./format";
import type { Labels } from "./labels";
import { sortOf } from "./order";
import { go, write, type State } from "./state";
import { Thumb, useRedraw } from "./tile";

const ROW = 52;
const MARGIN = 6; // rows kept ready above and below
const ORDER = ["density", "frequency", "max", "factor_f1", "class_lift", "twin", "extent", "spread", "mean", "elsewhere"];

interface Props { source: Source; state: State; shown: Int32Array; labels: Map<number, string>; names: Labels; cursor: number; onCursor: (row: number) => void }

/** The numeric columns that fit, the most telling ones first, in the record's own order. */
function fitting(source: Source, width: number): ColumnInfo[] {
  const numeric = source.manifest.columns.filter((c) => c.format !== "category");
  const room = Math.max(3, Math.floor((width - 664) / 96));
  const rank = (c: ColumnInfo) => { const i = ORDER.indexOf(c.name); return i < 0 ? ORDER.length : i; };
  const kept = new Set([...numeric].sort((a, b) => rank(a) - rank(b)).slice(0, room));
  return numeric.filter((c) => kept.has(c));
}

export function Overview({ source, state, shown, labels, names, cursor, onCursor }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 900, width: innerWidth });
  useLayoutEffect(() => {
    const box = scroller.current!;
    const measure = () => setView({ top: box.scrollTop, height: box.clientHeight, width: box.clientWidth });
    measure();
    const watch = new ResizeObserver(measure);
    watch.observe(box);
    box.addEventListener("scroll", measure, { passive: true });
    return () => { watch.disconnect(); box.removeEventListener("scroll", measure); };
  }, []);
  useEffect(() => { scroller.current!.scrollTop = 0; }, [state.sort, state.query, state.ranges, state.picks]);
  useEffect(() => {
    const box = scroller.current!, y = cursor * ROW, head = box.querySelector(".head")!.clientHeight;
    if (y < box.scrollTop) box.scrollTop = y;
    else if (y + ROW > box.scrollTop + box.clientHeight - head) box.scrollTop = y + ROW - box.clientHeight + head;
  }, [cursor]);

  const sort = sortOf(source, state);
  const columns = useMemo(() => fitting(source, view.width), [source, view.width]);
  const strip = Math.max(3, Math.min(source.strip_width, Math.floor((view.width - 664 - columns.length * 96) / 48) + 4));
  const grid = { gridTemplateColumns: `72px ${strip * 46 + 14}px minmax(172px, 1.6fr) 104px repeat(${columns.length}, minmax(84px, 1fr))` };
  const first = Math.max(0, Math.floor(view.top / ROW) - MARGIN);
  const last = Math.min(shown.length, Math.ceil((view.top + view.height) / ROW) + MARGIN);
  const rows: number[] = [];
  for (let i = first; i < last; i++) rows.push(i);

  return (
    <section class="overview">
      <Toolbar source={source} state={state} shown={shown} labels={labels} names={names} />
      <div class="scroller" ref={scroller} role="table" aria-rowcount={shown.length} aria-label="latents">
        <div class="row head" role="row" style={grid}>
          <Heading name="id" title="Latent" about="Index of the latent in the coder." sort={sort} />
          <div class="cell" role="columnheader"><span class="title">{source.manifest.groups[0]?.title ?? ""}</span></div>
          <Categories source={source} state={state} />
          <div class="cell" role="columnheader" title="Non-zero activations, log counts"><span class="title">Activations</span></div>
          {columns.map((c) => (
            <Heading key={c.name} name={c.name} title={c.title} about={c.about} sort={sort}>
              <ColumnHistogram info={c} values={source.column(c.name)} range={state.ranges[c.name]} onRange={(range) => setRange(state, c.name, range)} />
            </Heading>
          ))}
        </div>
        <div class="body" style={{ height: `${shown.length * ROW}px` }}>
          {rows.map((i) => (
            <Row key={shown[i]} source={source} state={state} id={shown[i]!} at={i} columns={columns} strip={strip} grid={grid}
              label={labels.get(shown[i]!)} active={i === cursor} onCursor={onCursor} />
          ))}
          {shown.length === 0 && <Nothing state={state} />}
        </div>
      </div>
    </section>
  );
}

function setRange(state: State, name: string, range: [number, number] | null): void {
  const ranges = { ...state.ranges };
  if (range) ranges[name] = range;
  else delete ranges[name];
  go({ ranges });
}

function Heading(props: { name: string; title: string; about: string; sort: string; children?: preact.ComponentChildren }) {
  const { name, title, about, sort } = props;
  const down = sort === `-${name}`, up = sort === name;
  return (
    <div class="cell" role="columnheader" aria-sort={down ? "descending" : up ? "ascending" : "none"}>
      <button class={`title sort ${down || up ? "on" : ""}`} title={about} onClick={() => go({ sort: down ? name : up && name !== "id" ? `-${name}` : name === "id" ? (up ? "-id" : "id") : `-${name}` }, true)}>
        {title}<i aria-hidden="true">{down ? "↓" : up ? "↑" : ""}</i>
      </button>
      {props.children}
    </div>
  );
}

/** One menu per category column: which of its values to keep. */
function Categories({ source, state }: { source: Source; state: State }) {
  const columns = source.manifest.columns.filter((c) => c.format === "category");
  return (
    <div class="cell picks" role="columnheader">
      {columns.map((c) => (
        <select key={c.name} class={state.picks[c.name] !== undefined ? "on" : ""} title={c.about} aria-label={c.title} value={state.picks[c.name] ?? ""}
          onChange={(e) => {
            const picks = { ...state.picks };
            if (e.currentTarget.value === "") delete picks[c.name];
            else picks[c.name] = Number(e.currentTarget.value);
            go({ picks });
          }}>
          <option value="">{c.title}</option>
          {c.names!.map((name, i) => <option key={i} value={i}>{name}</option>)}
        </select>
      ))}
    </div>
  );
}

interface RowProps {
  source: Source; state: State; id: number; at: number; columns: ColumnInfo[]; strip: number; grid: { gridTemplateColumns: string };
  label?: string; active: boolean; onCursor: (row: number) => void;
}

function Row({ source, state, id, at, columns, strip, grid, label, active, onCursor }: RowProps) {
  const redraw = useRedraw();
  const latent = source.latentNow(id);
  useEffect(() => {
    if (latent) return;
    const timer = setTimeout(() => void source.latent(id).then(redraw), 40); // rows flying by while scrolling load nothing
    return () => clearTimeout(timer);
  }, [id, latent === null]);
  const pictures = source.strip?.subarray(id * source.strip_width, id * source.strip_width + strip) ?? [];
  const match = source.manifest.columns.filter((c) => c.format === "category" && c.name !== "state").map((c) => c.names![source.column(c.name)[id]!]).filter(Boolean);
  const flag = source.columns.has("state") ? source.info("state")!.names![source.column("state")[id]!]! : "";
  return (
    <div class={`row item ${active ? "active" : ""}`} role="row" style={{ ...grid, transform: `translateY(${at * ROW}px)` }}>
      <span class="cell id" role="cell">
        <a class="num" href={write({ ...state, view: "latent", latent: id })} onClick={(e) => { e.preventDefault(); onCursor(at); go({ view: "latent", latent: id }, true); }}>{id}</a>
        {(flag === "dead" || flag === "dense") && <i class={`flag ${flag}`}>{flag}</i>}
      </span>
      <span class="cell strip" role="cell">
        {Array.from(pictures, (p, i) => p >= 0 && <Thumb key={i} source={source} index={p} heat={latent?.groups[0]?.[i]?.heat ?? null} map={state.map} />)}
      </span>
      <span class="cell match" role="cell">{label && <b>{label}</b>}{match.map((m, i) => <span key={i}>{m}</span>)}</span>
      <span class="cell" role="cell">{source.spark && flag !== "dead" && <Spark values={source.spark.subarray(id * source.spark_width, (id + 1) * source.spark_width)} />}</span>
      {columns.map((c) => <Value key={c.name} source={source} info={c} id={id} />)}
    </div>
  );
}

const extents = new Map<ColumnInfo, ReturnType<typeof bin>>();

function Value({ source, info, id }: { source: Source; info: ColumnInfo; id: number }) {
  if (!extents.has(info)) extents.set(info, bin(info, source.column(info.name)));
  const x = source.column(info.name)[id]!, bins = extents.get(info);
  const part = bins && Number.isFinite(x) && (info.scale === "linear" || x > 0) ? bins.place(x) : 0;
  return <span class="cell value" role="cell"><b class="num">{value(info, x)}</b><i style={{ width: `${100 * Math.max(0, Math.min(1, part))}%` }} /></span>;
}

function Toolbar({ source, state, shown, labels, names }: { source: Source; state: State; shown: Int32Array; labels: Map<number, string>; names: Labels }) {
  const chips: [string, () => void][] = [
    ...Object.entries(state.ranges).map(([name, [low, high]]): [string, () => void] => {
      const info = source.info(name);
      return [info ? `${info.title} ${value(info, low)} to ${value(info, high)}` : name, () => setRange(state, name, null)];
    }),
    ...Object.entries(state.picks).map(([name, pick]): [string, () => void] => {
      const info = source.info(name);
      return [`${info?.title ?? name}: ${info?.names?.[pick] ?? pick}`, () => { const picks = { ...state.picks }; delete picks[name]; go({ picks }); }];
    }),
  ];
  if (state.area.length) chips.push(["Lasso on the map", () => go({ area: [] })]);
  return (
    <div class="toolbar">
      <span class="count" role="status"><b class="num">{count(shown.length)}</b> of {count(source.manifest.n_latents)} latents</span>
      {chips.map(([text, drop]) => <button key={text} class="chip" onClick={drop} title="Remove this filter">{text}<i aria-hidden="true">×</i></button>)}
      {chips.length + (state.query ? 1 : 0) > 1 && <button class="quiet" onClick={() => go({ ranges: {}, picks: {}, query: "" })}>Clear all</button>}
      <span class="gap" />
      <LabelFiles names={names} />
      <button onClick={() => table(source, shown, labels)} title="The rows shown, in this order, with every column">Download CSV</button>
      <button disabled={!shown.length} onClick={() => go({ view: "latent", latent: shown[Math.floor(Math.random() * shown.length)]! }, true)} title="A latent at random (r)">Random</button>
      {state.sort && <button onClick={() => go({ sort: "" }, true)}>Default order</button>}
    </div>
  );
}

function LabelFiles({ names }: { names: Labels }) {
  const [note, setNote] = useState("");
  return (
    <>
      {note && <span class="quiet" role="status">{note}</span>}
      <button disabled={!names.shown.size} onClick={() => download("labels.jsonl", "application/jsonl", names.text())} title="All labels, one JSON object per line">Export labels</button>
      <label class="button" title="Read labels.jsonl; where it differs from what is shown, the file wins">Import labels
        <input type="file" accept=".jsonl,application/jsonl" onChange={async (e) => {
          const file = e.currentTarget.files?.[0];
          if (!file) return;
          const { taken, replaced, bad } = names.read(await file.text());
          setNote(`${count(taken)} read${replaced ? `, ${count(replaced)} replaced` : ""}${bad ? `, ${count(bad)} lines not understood` : ""}`);
        }} />
      </label>
    </>
  );
}

function Nothing({ state }: { state: State }) {
  return <div class="nothing"><p>No latent matches{state.query ? ` “${state.query}”` : ""} with these filters.</p><button onClick={() => go({ ranges: {}, picks: {}, query: "", area: [] })}>Show all</button></div>;
}

/** A CSV cell; a leading =, +, - or @ would be run as a formula by spreadsheets. */
export function csv(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) && !Number.isFinite(Number(text)) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
}

export function download(name: string, type: string, text: BlobPart): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function table(source: Source, shown: Int32Array, labels: Map<number, string>): void {
  const columns = source.manifest.columns;
  const lines = [["latent", "label", ...columns.map((c) => c.name)].map(csv).join(",")];
  for (const id of shown) {
    const cells = columns.map((c) => {
      const x = source.column(c.name)[id]!;
      return c.format === "category" ? c.names![x] ?? "" : Number.isFinite(x) ? String(x) : "";
    });
    lines.push([String(id), labels.get(id) ?? "", ...cells].map(csv).join(","));
  }
  download("latents.csv", "text/csv", lines.join("\n") + "\n");
}
