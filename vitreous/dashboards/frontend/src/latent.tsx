// Everything about one latent.

import { useEffect, useState } from "preact/hooks";
import { ActivationHistogram, Meter, PositionMap } from "./chart";
import { MAPS } from "./colour";
import type { EnrichmentInfo, Example, Latent, Source } from "./data";
import { count, number, ratio, share, value } from "./format";
import { go, MODES, type State } from "./state";
import { savePicture } from "./picture";
import { Thumb, Tile, useRedraw } from "./tile";

interface Props { source: Source; state: State; shown: Int32Array; labels: Map<number, string>; onLabel: (latent: number, label: string) => void }

export function LatentPage({ source, state, shown, labels, onLabel }: Props) {
  const [latent, setLatent] = useState<Latent | null>(source.latentNow(state.latent));
  useEffect(() => {
    let current = true;
    void source.latent(state.latent).then((found) => { if (current) setLatent(found); });
    return () => { current = false; };
  }, [state.latent]);
  if (state.latent >= source.manifest.n_latents) {
    return <div class="nothing"><p>There is no latent {state.latent}; this coder has {count(source.manifest.n_latents)}.</p><a href="#/latents">All latents</a></div>;
  }
  if (!latent || latent.id !== state.latent) return <div class="nothing" aria-busy="true" />;
  return (
    <section class="latent" style={{ "--opacity": String(state.opacity / 100), "--aspect": `${source.manifest.grid[1] || 1} / ${source.manifest.grid[0] || 1}` }}>
      <Head source={source} state={state} shown={shown} label={labels.get(latent.id) ?? ""} onLabel={onLabel} />
      <div class="columns">
        <div class="main">
          <Controls state={state} />
          <Examples source={source} state={state} latent={latent} />
        </div>
        <aside>
          {latent.histogram && <Panel title="Activations" note="tokens, log scale"><ActivationHistogram latent={latent} map={state.map} /></Panel>}
          {latent.position && <Panel title="Where in the image" note="mean over all images"><PositionMap latent={latent} grid={source.manifest.grid} extra={source.manifest.extra} map={state.map} /></Panel>}
          {source.manifest.enrichments.map((info, i) => <EnrichmentPanel key={info.kind} info={info} found={latent.enrichments[i]!} />)}
          <NeighbourPanel source={source} state={state} latent={latent} labels={labels} />
        </aside>
      </div>
    </section>
  );
}

export function Panel({ title, note, children }: { title: string; note?: preact.ComponentChildren; children: preact.ComponentChildren }) {
  return <section class="panel"><h3>{title}{note && <small>{note}</small>}</h3>{children}</section>;
}

function Head({ source, state, shown, label, onLabel }: { source: Source; state: State; shown: Int32Array; label: string; onLabel: Props["onLabel"] }) {
  const id = state.latent, place = shown.indexOf(id);
  const step = (by: number) => shown.length && go({ latent: shown[(Math.max(place, 0) + by + shown.length) % shown.length]! }, true);
  const flag = source.columns.has("state") ? source.info("state")!.names![source.column("state")[id]!]! : "";
  return (
    <header class="latent-head">
      <div class="title">
        <h2>Latent <b class="num">{id}</b></h2>
        {(flag === "dead" || flag === "dense") && <i class={`flag ${flag}`}>{flag}</i>}
        <input key={id} class="label" aria-label="label of this latent" placeholder="Add a label" title="Kept in this browser; export all labels from the table (l)" maxLength={200} defaultValue={label}
          onKeyDown={(e) => { if (e.key === "Enter" || e.key === "Escape") { if (e.key === "Escape") e.currentTarget.value = label; e.currentTarget.blur(); } }}
          onBlur={(e) => onLabel(id, e.currentTarget.value.trim())} />
        <span class="gap" />
        <nav class="steps" aria-label="other latents">
          <button onClick={() => step(-1)} title="Previous in the table's order (k or ←)" aria-label="previous latent">‹</button>
          <span class="num">{place >= 0 ? `${count(place + 1)} / ${count(shown.length)}` : "not in the filtered list"}</span>
          <button onClick={() => step(1)} title="Next in the table's order (j or →)" aria-label="next latent">›</button>
        </nav>
      </div>
      <dl class="facts">
        {source.manifest.columns.filter((c) => c.name !== "state").map((c) => (
          <div key={c.name} title={c.about}><dt>{c.title}</dt><dd class={c.format === "category" ? "" : "num"}>{value(c, source.column(c.name)[id]!)}</dd></div>
        ))}
      </dl>
    </header>
  );
}

function Controls({ state }: { state: State }) {
  return (
    <div class="controls" role="toolbar" aria-label="how examples are drawn">
      <div class="segments" role="radiogroup" aria-label="mode">
        {MODES.map(([mode, title, about]) => (
          <button key={mode} role="radio" aria-checked={state.mode === mode} title={`${about} (m)`} class={state.mode === mode ? "on" : ""} onClick={() => go({ mode })}>{title}</button>
        ))}
      </div>
      <label class="slider">Opacity
        <input type="range" min="0" max="100" step="5" value={state.opacity} disabled={state.mode === "plain"} aria-label="opacity of the overlay"
          onInput={(e) => go({ opacity: Number(e.currentTarget.value) })} />
        <span class="num">{state.opacity} %</span>
      </label>
      <label title="Scale of the colours: within one image, or over all images of the latent">
        <select aria-label="Scale" value={state.scale} onChange={(e) => go({ scale: e.currentTarget.value as State["scale"] })}>
          <option value="image">scale per image</option><option value="latent">scale per latent</option>
        </select>
      </label>
      <label title="Colour map">
        <select aria-label="Colours" value={state.map} onChange={(e) => go({ map: e.currentTarget.value })}>{MAPS.map((m) => <option key={m}>{m}</option>)}</select>
      </label>
      <label class="check"><input type="checkbox" checked={state.smooth} onChange={(e) => go({ smooth: e.currentTarget.checked })} />Smooth</label>
    </div>
  );
}

function openImage(example: Example): void {
  go({ view: "images", image: example.picture, cells: [], region: -1 }, true);
}

function Examples({ source, state, latent }: { source: Source; state: State; latent: Latent }) {
  const top = latent.groups[0]?.[0]?.peak ?? 0;
  const tiles = (examples: Latent["groups"][number]) => (
    <div class="tiles">{examples.map((e, i) => <Tile key={`${latent.id}.${i}`} source={source} example={e} look={state} top={top} onOpen={source.explorable(e.picture) ? openImage : undefined} />)}</div>
  );
  return (
    <>
      {source.manifest.groups.map((info, i) => {
        const examples = latent.groups[i]!;
        return (
          <section key={info.name} class={`group ${info.name}`}>
            <h3>{info.title}<small>{info.about}</small>
              {i === 0 && examples.length > 0 && <><span class="gap" /><button title="These images with their heatmaps as one picture" onClick={() => void savePicture(source, latent, state)}>PNG</button></>}
            </h3>
            {examples.length === 0 && <p class="quiet">{i === 0 ? "It never fires on these images." : "None."}</p>}
            {info.bands.length === 0 ? tiles(examples) : info.bands.map((band, b) => {
              const inside = examples.filter((e) => e.band === b);
              return inside.length > 0 && <div class="band" key={band}><span>{band}</span>{tiles(inside)}</div>;
            })}
          </section>
        );
      })}
    </>
  );
}

function EnrichmentPanel({ info, found }: { info: EnrichmentInfo; found: Latent["enrichments"][number] }) {
  const [by, setBy] = useState<"f1" | "lift">(info.kind === "factor" ? "f1" : "lift");
  const units = info.unit === "image" ? "images" : "patches";
  const rows = found.rows
    .map(([name, joint, f1, lift, low]) => ({ name: name!, joint: joint!, f1: f1!, lift: lift!, low: low! }))
    .sort((a, b) => (by === "f1" ? b.f1 - a.f1 : b.low - a.low))
    .slice(0, 10);
  return (
    <Panel title={info.kind === "factor" ? "Factors" : "Classes"} note={`fires on ${count(found.active)} of ${count(info.total)} ${units}`}>
      {rows.length === 0 ? <p class="quiet">It fires where none of them holds.</p> : (
        <table class="enrichment">
          <thead><tr>
            <th>{info.kind}</th>
            <th class="num"><button class={by === "f1" ? "on" : ""} onClick={() => setBy("f1")} title="F1 of 'the latent fires' as a detector">F1</button></th>
            <th class="num" title="Share of its firings where this holds">precision</th>
            <th class="num" title="Share of the places where this holds at which it fires">recall</th>
            <th class="num"><button class={by === "lift" ? "on" : ""} onClick={() => setBy("lift")} title="P(it holds | latent fires) / P(it holds), ranked by the lower end of the 95 % interval">lift</button></th>
            <th class="num" title={`${units} where it fires and this holds`}>n</th>
          </tr></thead>
          <tbody>
            {rows.map((r) => (
              <tr key={r.name}>
                <td title={info.names[r.name]}>{info.names[r.name]}</td>
                <td><Meter part={r.f1} text={r.f1.toFixed(2)} /></td>
                <td class="num">{share(r.joint / found.active)}</td>
                <td class="num">{share(r.joint / info.present[r.name]!)}</td>
                <td class="num" title={`at least ${ratio(r.low)} (95 %)`}>{ratio(r.lift)}</td>
                <td class="num quiet" title={`${count(r.joint)} ${units} where both hold, of ${count(found.active)} where it fires and ${count(info.present[r.name]!)} where it holds`}>{count(r.joint)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  );
}

export function NeighbourPanel({ source, state, latent, labels }: { source: Source; state: State; latent: Latent; labels: Map<number, string> }) {
  const [which, setWhich] = useState(0);
  const kinds = source.manifest.neighbours;
  if (!kinds.length) return null;
  const near = latent.neighbours[which] ?? [];
  const tabs = kinds.length > 1 && (
    <span class="segments small" role="radiogroup" aria-label="measure">
      {kinds.map((k, i) => <button key={k.name} role="radio" aria-checked={i === which} class={i === which ? "on" : ""} title={k.about} onClick={() => setWhich(i)}>{k.title}</button>)}
    </span>
  );
  return (
    <Panel title="Nearest latents" note={tabs || kinds[0]!.about}>
      <div class="neighbours">{near.map((n) => <Neighbour key={n.index} source={source} state={state} id={n.index} score={n.score} label={labels.get(n.index)} />)}</div>
    </Panel>
  );
}

function Neighbour({ source, state, id, score, label }: { source: Source; state: State; id: number; score: number; label?: string }) {
  const redraw = useRedraw();
  const latent = source.latentNow(id);
  useEffect(() => { if (!latent) void source.latent(id).then(redraw); }, [id]);
  const match = source.manifest.columns.find((c) => c.format === "category" && c.name !== "state");
  const text = label ?? (match ? match.names![source.column(match.name)[id]!] : "") ?? "";
  const pictures = source.strip?.subarray(id * source.strip_width, id * source.strip_width + 4) ?? [];
  return (
    <a href={`#/latent/${id}`} onClick={(e) => { e.preventDefault(); go({ latent: id, view: "latent" }, true); }}>
      <b class="num">{id}</b>
      <span class="strip">{Array.from(pictures, (p, i) => p >= 0 && <Thumb key={i} source={source} index={p} heat={latent?.groups[0]?.[i]?.heat ?? null} map={state.map} />)}</span>
      <span class="text">{text}</span>
      <Meter part={score} text={number(score)} title={`cosine ${score.toFixed(3)}`} />
    </a>
  );
}
