// The few figures of the page, in SVG and canvas.

import { ticks } from "d3-array";
import { memo } from "preact/compat";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { css } from "./colour";
import type { ColumnInfo, Latent, Numbers } from "./data";
import { count, number, share, value } from "./format";
import { hideTip, showTip } from "./tip";

const BINS = 28;

interface Bins { counts: number[]; edge: (i: number) => number; low: number; high: number; place: (x: number) => number }

/** Equal bins of a column on its own scale; zeros cannot be on a log axis and are left out there. */
export function bin(info: ColumnInfo, values: Numbers): Bins | null {
  const log = info.scale === "log";
  let low = Infinity, high = -Infinity;
  for (const x of values) if (Number.isFinite(x) && (!log || x > 0)) { low = Math.min(low, x); high = Math.max(high, x); }
  if (!(high >= low)) return null;
  if (high === low) { high = low + (Math.abs(low) || 1) * 1e-3; }
  const to = log ? Math.log10 : (x: number) => x, from = log ? (x: number) => 10 ** x : (x: number) => x;
  const a = to(low), b = to(high);
  const place = (x: number) => (to(x) - a) / (b - a);
  const counts = new Array<number>(BINS).fill(0);
  for (const x of values) if (Number.isFinite(x) && (!log || x > 0)) counts[Math.min(BINS - 1, Math.floor(place(x) * BINS))]!++;
  return { counts, low, high, place, edge: (i) => from(a + ((b - a) * i) / BINS) };
}

interface BrushProps {
  info: ColumnInfo; values: Numbers; range?: [number, number]; onRange: (range: [number, number] | null) => void;
}

/** The distribution of a column; drag over it to keep a range, click to release it. */
export const ColumnHistogram = memo(function ColumnHistogram({ info, values, range, onRange }: BrushProps) {
  const bins = useMemo(() => bin(info, values), [info, values]);
  const [drag, setDrag] = useState<[number, number] | null>(null);
  if (!bins) return <div class="histogram empty">no values</div>;
  const top = Math.max(...bins.counts);
  const shown = drag ?? (range ? [Math.max(0, bins.place(range[0])), Math.min(1, bins.place(range[1]))] as [number, number] : null);
  const at = (event: PointerEvent) => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
  };
  const snap = (from: number, to: number): [number, number] | null => {
    const a = Math.floor(Math.min(from, to) * BINS), b = Math.ceil(Math.max(from, to) * BINS);
    if (Math.abs(from - to) * BINS < 0.6) return null;
    return [a <= 0 ? bins.low : bins.edge(a), b >= BINS ? bins.high : bins.edge(b)];
  };
  const describe = (event: PointerEvent) => {
    const i = Math.min(BINS - 1, Math.floor(at(event) * BINS));
    showTip(event.clientX, event.clientY, info.title, [
      ["range", `${value(info, bins.edge(i))} to ${value(info, bins.edge(i + 1))}`], ["latents", count(bins.counts[i]!)],
      ["", "drag to filter, click to release"],
    ]);
  };
  return (
    <svg
      class="histogram" viewBox={`0 0 ${BINS} 24`} preserveAspectRatio="none" role="img"
      aria-label={`distribution of ${info.title} from ${value(info, bins.low)} to ${value(info, bins.high)}`}
      onPointerDown={(e) => { e.currentTarget.setPointerCapture(e.pointerId); setDrag([at(e), at(e)]); }}
      onPointerMove={(e) => { describe(e); if (drag) setDrag([drag[0], at(e)]); }}
      onPointerUp={(e) => { if (drag) { onRange(snap(drag[0], at(e))); setDrag(null); } }}
      onPointerLeave={hideTip}
    >
      <rect class="ground" x="0" y="0" width={BINS} height="24" />
      {shown && <rect class="brush" x={Math.min(...shown) * BINS} y="0" width={Math.abs(shown[1] - shown[0]) * BINS} height="24" />}
      {bins.counts.map((n, i) => {
        const h = n ? Math.max(1.2, (22 * Math.log1p(n)) / Math.log1p(top)) : 0;
        const inside = !shown || ((i + 0.5) / BINS >= Math.min(...shown) && (i + 0.5) / BINS <= Math.max(...shown));
        return <rect key={i} class={inside ? "bar" : "bar out"} x={i + 0.08} y={24 - h} width="0.84" height={h} />;
      })}
    </svg>
  );
});

/** A histogram of a few dozen pixels for a table row. */
export const Spark = memo(function Spark({ values }: { values: Uint8Array }) {
  const n = values.length;
  let path = `M0 20`;
  values.forEach((x, i) => { const y = 20 - (x ? Math.max(1, (19 * x) / 255) : 0); path += `L${i} ${y}L${i + 1} ${y}`; });
  return <svg class="spark" viewBox={`0 0 ${n} 20`} preserveAspectRatio="none" aria-hidden="true"><path d={`${path}L${n} 20Z`} /></svg>;
});

/** Activations of one latent: bars on a log axis of counts, the silent tokens apart on the left. */
export function ActivationHistogram({ latent, map }: { latent: Latent; map: string }) {
  const h = latent.histogram!;
  const used = usedBins(h.counts);
  const W = 420, H = 170, left = 76, bottom = 26, top = 10;
  const width = h.top / h.counts.length;
  const most = Math.max(h.zero, ...h.counts, 1);
  const y = (n: number) => (n ? top + (H - top - bottom) * (1 - Math.log10(n + 1) / Math.log10(most + 1)) : H - bottom);
  const x = (v: number) => left + ((W - 6 - left) * v) / (used * width);
  const total = sum(h.counts);
  const powers = Array.from({ length: Math.floor(Math.log10(most + 1)) + 1 }, (_, i) => 10 ** i).filter((_, i, all) => all.length < 6 || i % 2 === 0);
  if (!total) return <p class="quiet">Never active on these {count(h.zero)} tokens.</p>;
  const marks = [0.5, 0.9, 0.99].map((q) => [q, quantile(h.counts, q) * width] as const);
  const bar = (key: string, cls: string, px: number, w: number, n: number, title: string, fill?: string) => (
    <rect key={key} class={cls} x={px} width={w} y={y(n)} height={H - bottom - y(n)} style={fill ? { fill } : undefined}
      onMouseMove={(e) => showTip(e.clientX, e.clientY, title, [["tokens", count(n)], ["share", share(n / (total + h.zero))]])} onMouseLeave={hideTip} />
  );
  return (
    <svg class="figure" viewBox={`0 0 ${W} ${H}`} role="img" aria-label={`activation histogram: silent on ${count(h.zero)} tokens, active on ${count(total)}`}>
      {powers.map((p) => <g key={p}><line class="rule" x1="34" x2={W - 6} y1={y(p)} y2={y(p)} /><text class="tick" x="30" y={y(p) + 3.5} text-anchor="end">{p >= 1e6 ? `${p / 1e6}M` : p >= 1000 ? `${p / 1000}k` : p}</text></g>)}
      {bar("zero", "bar silent", 42, 18, h.zero, "Silent")}
      <text class="tick" x="51" y={H - 10} text-anchor="middle">silent</text>
      {Array.from(h.counts.subarray(0, used), (n, i) => n > 0 && bar(String(i), "bar", x(i * width) + 0.4, Math.max(1, x((i + 1) * width) - x(i * width) - 0.8), n,
        `${number(i * width)} to ${number((i + 1) * width)}`, css(map, 40 + (190 * i) / used)))}
      {marks.map(([q, v]) => <g key={q}><line class="mark" x1={x(v)} x2={x(v)} y1={top} y2={H - bottom} /><text class="tick" x={x(v) + 3} y={top + 7}>{100 * q}%</text></g>)}
      {ticks(0, used * width, 6).map((t) => <text key={t} class="tick" x={x(t)} y={H - 10} text-anchor="middle">{number(t)}</text>)}
      <line class="axis" x1="34" x2={W - 6} y1={H - bottom} y2={H - bottom} />
    </svg>
  );
}

function sum(counts: Numbers): number {
  let total = 0;
  for (const n of counts) total += n;
  return total;
}

function usedBins(counts: Numbers): number {
  let last = counts.length;
  while (last > 1 && !counts[last - 1]) last--;
  return last;
}

function quantile(counts: Numbers, q: number): number {
  const total = sum(counts);
  let seen = 0;
  for (let i = 0; i < counts.length; i++) {
    if (seen + counts[i]! >= q * total) return i + (q * total - seen) / Math.max(1, counts[i]!);
    seen += counts[i]!;
  }
  return counts.length;
}

/** Mean activation per patch over all images, and per token without a place. */
export function PositionMap({ latent, grid, extra, map }: { latent: Latent; grid: [number, number]; extra: string[]; map: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { scale, level } = latent.position!;
  const [rows, cols] = grid;
  useLayoutEffect(() => {
    if (!canvas.current) return;
    canvas.current.width = cols;
    canvas.current.height = rows;
    const context = canvas.current.getContext("2d")!;
    for (let i = 0; i < rows * cols; i++) {
      context.fillStyle = css(map, level[i]!);
      context.fillRect(i % cols, Math.floor(i / cols), 1, 1);
    }
  }, [latent, map]);
  const tell = (e: MouseEvent) => {
    const box = (e.currentTarget as HTMLElement).getBoundingClientRect();
    const c = Math.min(cols - 1, Math.floor(((e.clientX - box.left) / box.width) * cols));
    const r = Math.min(rows - 1, Math.floor(((e.clientY - box.top) / box.height) * rows));
    showTip(e.clientX, e.clientY, `row ${r}, column ${c}`, [["mean", number((level[r * cols + c]! / 255) * scale)]]);
  };
  return (
    <div class="position">
      {rows * cols > 0 && <canvas ref={canvas} class="pixels" style={{ aspectRatio: `${cols} / ${rows}` }} onMouseMove={tell} onMouseLeave={hideTip} role="img" aria-label="mean activation by patch position" />}
      <div class="scale">
        <span class="num">{number(scale)}</span>
        <span class="ramp" style={{ background: `linear-gradient(to top, ${[0, 64, 128, 191, 255].map((l) => css(map, l)).join(",")})` }} />
        <span class="num">0</span>
      </div>
      {extra.length > 0 && (
        <dl class="extras">
          {extra.map((name, i) => {
            const x = level[rows * cols + i]!;
            return <div key={name}><dt><i class="chip" style={{ background: css(map, x) }} />{name}</dt><dd class="num">{number((x / 255) * scale)}</dd></div>;
          })}
        </dl>
      )}
    </div>
  );
}

/** A thin bar behind a number. */
export function Meter({ part, text, title }: { part: number; text: string; title?: string }) {
  return <span class="meter" title={title}><i style={{ width: `${100 * Math.max(0, Math.min(1, part || 0))}%` }} /><b class="num">{text}</b></span>;
}
