// An image with the activations of one latent over it. The heatmap is a canvas of one pixel per patch that the
// browser enlarges, so drawing hundreds costs little and opacity and smoothing are pure style.

import { memo } from "preact/compat";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { table } from "./colour";
import { levels, type Example, type Picture, type Source } from "./data";
import { number } from "./format";
import type { State } from "./state";
import { hideTip, showTip, type Lines } from "./tip";

export type Look = Pick<State, "mode" | "scale" | "smooth" | "map">;
const CROP_LEVEL = 0.5; // patches above this share of the peak set the crop

export function useRedraw(): () => void {
  const [, set] = useState(0);
  return useMemo(() => () => set((n) => n + 1), []);
}

/** Where the record lives: in a file next to the page, or inside a single-file page. */
export function address(picture: Picture | null): string | undefined {
  return picture?.data ?? (picture?.file ? `img/${picture.file}` : undefined);
}

export function paint(canvas: HTMLCanvasElement, level: Uint8Array, rows: number, cols: number, gain: number, look: Look): void {
  canvas.width = cols;
  canvas.height = rows;
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(cols, rows);
  const colours = table(look.map);
  for (let cell = 0; cell < rows * cols; cell++) {
    const x = Math.min(255, level[cell]! * gain), at = 4 * cell;
    if (look.mode === "mask") {
      image.data.set([9, 11, 16, x > 0 ? 0 : 255], at);
    } else {
      const i = 3 * Math.round(x);
      image.data.set([colours[i]!, colours[i + 1]!, colours[i + 2]!, x > 0 ? Math.round(90 + 165 * (x / 255)) : 0], at);
    }
  }
  context.putImageData(image, 0, 0);
}

/** The box of the strongest patches with one patch of margin, squared, in fractions of the image. */
export function cropBox(level: Uint8Array, rows: number, cols: number): { x: number; y: number; w: number; h: number } {
  let top = 0;
  for (let i = 0; i < rows * cols; i++) top = Math.max(top, level[i]!);
  if (!top) return { x: 0, y: 0, w: 1, h: 1 };
  let x0 = cols, y0 = rows, x1 = 0, y1 = 0;
  for (let i = 0; i < rows * cols; i++) {
    if (level[i]! < CROP_LEVEL * top) continue;
    const r = Math.floor(i / cols), c = i % cols;
    x0 = Math.min(x0, c); x1 = Math.max(x1, c + 1); y0 = Math.min(y0, r); y1 = Math.max(y1, r + 1);
  }
  const side = Math.min(1, Math.max((x1 - x0 + 2) / cols, (y1 - y0 + 2) / rows));
  const x = Math.max(0, Math.min(1 - side, (x0 + x1) / 2 / cols - side / 2));
  const y = Math.max(0, Math.min(1 - side, (y0 + y1) / 2 / rows - side / 2));
  return { x, y, w: side, h: side };
}

function strongest(level: Uint8Array, n: number): number {
  let best = -1, top = 0;
  for (let i = 0; i < n; i++) if (level[i]! > top) { top = level[i]!; best = i; }
  return best;
}

interface Props {
  source: Source; example: Example; look: Look; top: number; caption?: boolean; onOpen?: (example: Example) => void;
}

export const Tile = memo(function Tile({ source, example, look, top, caption = true, onOpen }: Props) {
  const redraw = useRedraw();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [rows, cols] = source.manifest.grid;
  const picture = source.picture(example.picture, redraw);
  const level = useMemo(() => levels(example.heat, source.cells), [example.heat, source]);
  const gain = look.scale === "latent" && top > 0 ? example.peak / top : 1;
  useLayoutEffect(() => {
    if (canvas.current) paint(canvas.current, level, rows, cols, gain, look);
  }, [level, gain, look.mode, look.map]);

  const extra = source.manifest.extra
    .map((name, i) => [name, (level[rows * cols + i]! / 255) * example.peak] as const)
    .filter(([, x]) => x > 0);
  const peak = useMemo(() => strongest(level, rows * cols), [level]);
  const box = look.mode === "crop" ? cropBox(level, rows, cols) : null;
  const place = box ? { width: `${100 / box.w}%`, height: `${100 / box.h}%`, left: `${(-100 * box.x) / box.w}%`, top: `${(-100 * box.y) / box.h}%` } : undefined;
  const name = picture?.label ?? picture?.id ?? "image";

  const hover = (event: MouseEvent) => {
    const frame = (event.currentTarget as HTMLElement).getBoundingClientRect();
    let u = (event.clientX - frame.left) / frame.width, v = (event.clientY - frame.top) / frame.height;
    if (box) { u = box.x + u * box.w; v = box.y + v * box.h; }
    const c = Math.min(cols - 1, Math.max(0, Math.floor(u * cols))), r = Math.min(rows - 1, Math.max(0, Math.floor(v * rows)));
    tell(event.clientX, event.clientY, [["here", `row ${r}, column ${c}: ${number((level[r * cols + c]! / 255) * example.peak)}`]]);
  };
  const tell = (x: number, y: number, more: Lines = []) => showTip(x, y, picture?.id ?? "", [
    ["class", picture?.label ?? ""], ["caption", picture?.caption ?? ""],
    ["peak", number(example.peak)], ...extra.map(([n, x]) => [n, number(x)] as [string, string]), ...more,
    ["", onOpen ? "click to explore this image" : ""], ["source", picture?.source ?? ""], ["licence", picture ? picture.licence ?? "not stated" : ""],
  ]);

  return (
    <figure class="tile">
      <button
        class={`frame ${look.smooth ? "smooth" : ""} ${look.mode} ${onOpen ? "opens" : ""}`}
        aria-label={`${name}, peak ${number(example.peak)}`}
        onMouseMove={hover} onMouseLeave={hideTip} onBlur={hideTip}
        onFocus={(e) => { const b = e.currentTarget.getBoundingClientRect(); if (e.currentTarget.matches(":focus-visible")) tell(b.left, b.bottom); }}
        onClick={() => onOpen?.(example)}
      >
        <span class="layers" style={place}>
          {address(picture) ? <img src={address(picture)} alt="" loading="lazy" decoding="async" /> : <span class="blank" />}
          {look.mode !== "plain" && <canvas ref={canvas} />}
          {peak >= 0 && (look.mode === "heat" || look.mode === "crop") && (
            <span class="peak" style={{ left: `${(100 * (peak % cols)) / cols}%`, top: `${(100 * Math.floor(peak / cols)) / rows}%`, width: `${100 / cols}%`, height: `${100 / rows}%` }} />
          )}
        </span>
        {extra.length > 0 && <span class="pill">{extra.map(([n]) => n).join(" ")}</span>}
      </button>
      {caption && (
        <figcaption><span class="num">{number(example.peak)}</span><span class="name">{picture?.label ?? ""}</span></figcaption>
      )}
    </figure>
  );
});

/** A small picture of the overview: the heatmap appears once the latent's shard is here. */
export const Thumb = memo(function Thumb({ source, index, heat, map }: { source: Source; index: number; heat: string | null; map: string }) {
  const redraw = useRedraw();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [rows, cols] = source.manifest.grid;
  const picture = source.picture(index, redraw);
  useLayoutEffect(() => {
    if (canvas.current && heat !== null) {
      paint(canvas.current, levels(heat, source.cells), rows, cols, 1, { mode: "heat", scale: "image", smooth: false, map });
    }
  }, [heat, map]);
  return (
    <span class="thumb">
      {address(picture) && <img src={address(picture)} alt="" decoding="async" />}
      {heat !== null && <canvas ref={canvas} />}
    </span>
  );
});
