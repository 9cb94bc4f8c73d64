// Two coders side by side: a latent of one and its most similar latent of the other.

import { useEffect, useMemo, useState } from "preact/hooks";
import { ActivationHistogram, ColumnHistogram, Meter } from "./chart";
import { matches, type ColumnInfo, type Latent, type Matches, type Source } from "./data";
import { count, number, value } from "./format";
import { go, type State } from "./state";
import { Tile, Thumb, useRedraw } from "./tile";

const LISTED = 200;
const SCORE: ColumnInfo = { name: "score", title: "Cosine", about: "", format: "number", scale: "linear" };

export function ComparePage({ source, state, labels }: { source: Source; state: State; labels: Map<number, string> }) {
  const [found, setFound] = useState<Matches | null>(null);
  const [range, setRange] = useState<[number, number] | null>(null);
  const [down, setDown] = useState(true);
  const [side, setSide] = useState<"first" | "second">("first");
  useEffect(() => { void matches().then(setFound); }, []);
  const scores = found ? (side === "first" ? found.score : found.back_score) : null;
  const order = useMemo(() => {
    if (!scores) return [];
    const ids = Array.from(scores.keys()).filter((i) => !range || (scores[i]! >= range[0] && scores[i]! <= range[1]));
    return ids.sort((a, b) => (down ? scores[b]! - scores[a]! : scores[a]! - scores[b]!) || a - b);
  }, [scores, range, down]);
  if (!found || !scores) return <div class="nothing" aria-busy="true" />;
  const pair = side === "first" ? { a: state.latent, b: found.index[state.latent] ?? -1, score: found.score[state.latent] } :
    { a: found.back_index[state.latent] ?? -1, b: state.latent, score: found.back_score[state.latent] };
  const name = String(source.manifest.header["hook point"] ?? "this coder");
  return (
    <section class="compare">
      <aside class="pairs">
        <div class="pairs-head">
          <span class="segments small" role="radiogroup" aria-label="list latents of">
            <button role="radio" aria-checked={side === "first"} class={side === "first" ? "on" : ""} onClick={() => { setSide("first"); setRange(null); }}>this coder</button>
            <button role="radio" aria-checked={side === "second"} class={side === "second" ? "on" : ""} onClick={() => { setSide("second"); setRange(null); }}>{found.title}</button>
          </span>
          <button onClick={() => setDown(!down)}>{down ? "best matched first" : "unmatched first"}</button>
          <ColumnHistogram info={SCORE} values={scores} range={range ?? undefined} onRange={setRange} />
          <span class="quiet">{count(order.length)} of {count(scores.length)}; cosine with the best match</span>
        </div>
        <div class="neighbours">
          {order.slice(0, LISTED).map((id) => (
            <Line key={`${side}.${id}`} source={side === "first" ? source : found.other} id={id} score={scores[id]!} on={id === state.latent} map={state.map} text={side === "first" ? labels.get(id) : undefined} />
          ))}
          {order.length > LISTED && <p class="quiet">The first {LISTED} of {count(order.length)}.</p>}
        </div>
      </aside>
      <div class="pair" style={{ "--opacity": String(state.opacity / 100) }}>
        <header><h2>Cosine <b class="num">{pair.score === undefined ? "–" : pair.score.toFixed(3)}</b></h2>
          <span class="quiet">{side === "first" ? `the ${found.title} latent whose decoder is closest` : "the latent of this coder whose decoder is closest"}; colours scale within each image</span></header>
        <div class="sides">
          <Side title={name} source={source} id={pair.a} state={state} onOpen={() => go({ view: "latent", latent: pair.a }, true)} />
          <Side title={found.title} source={found.other} id={pair.b} state={state} />
        </div>
      </div>
    </section>
  );
}

function Line({ source, id, score, on, map, text }: { source: Source; id: number; score: number; on: boolean; map: string; text?: string }) {
  const match = source.manifest.columns.find((c) => c.format === "category" && c.name !== "state");
  return (
    <a class={on ? "on" : ""} href={`#/compare/${id}`} onClick={(e) => { e.preventDefault(); go({ latent: id }, true); }}>
      <b class="num">{id}</b>
      <span class="strip">{Array.from(source.strip?.subarray(id * source.strip_width, id * source.strip_width + 3) ?? [], (p, i) => p >= 0 && <Thumb key={i} source={source} index={p} heat={null} map={map} />)}</span>
      <span class="text">{text ?? (match ? match.names![source.column(match.name)[id]!] : "")}</span>
      <Meter part={score} text={number(score)} />
    </a>
  );
}

function Side({ title, source, id, state, onOpen }: { title: string; source: Source; id: number; state: State; onOpen?: () => void }) {
  const redraw = useRedraw();
  const latent: Latent | null = id >= 0 && id < source.manifest.n_latents ? source.latentNow(id) : null;
  useEffect(() => { if (!latent && id >= 0 && id < source.manifest.n_latents) void source.latent(id).then(redraw); }, [id]);
  if (id < 0 || id >= source.manifest.n_latents) return <section class="panel"><h3>{title}</h3><p class="quiet">No such latent.</p></section>;
  if (!latent) return <section class="panel" aria-busy="true" />;
  return (
    <section class="panel" style={{ "--aspect": `${source.manifest.grid[1] || 1} / ${source.manifest.grid[0] || 1}` }}>
      <h3><span>{title} · latent <b class="num">{id}</b></span>{onOpen && <button onClick={onOpen}>Open</button>}</h3>
      <dl class="facts">{source.manifest.columns.filter((c) => ["density", "max", "factor", "factor_f1", "class"].includes(c.name)).map((c) => (
        <div key={c.name} title={c.about}><dt>{c.title}</dt><dd>{value(c, source.column(c.name)[id]!)}</dd></div>))}</dl>
      <div class="group top"><div class="tiles">{latent.groups[0]?.slice(0, 12).map((e, i) => <Tile key={`${id}.${i}`} source={source} example={e} look={state} top={0} />)}</div></div>
      {latent.histogram && <ActivationHistogram latent={latent} map={state.map} />}
    </section>
  );
}
