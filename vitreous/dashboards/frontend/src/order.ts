// Which latents are shown, in which order: pure functions over columns.

import type { Source } from "./data";
import type { State } from "./state";

const UNDEFINED = -Infinity;

/** The sort column; without one in the address, the best explained latents come first. */
export function sortOf(source: Source, state: State): string {
  if (state.sort) return state.sort;
  const best = ["factor_f1", "class_lift", "frequency"].find((name) => source.columns.has(name));
  return best ? `-${best}` : "id";
}

/** Everything that can be searched of a latent, in lower case. */
export function haystack(source: Source, labels: Map<number, string>, id: number): string {
  const parts = [`#${id}`, labels.get(id) ?? ""];
  for (const info of source.manifest.columns) {
    if (info.format === "category") parts.push(info.names?.[source.column(info.name)[id]!] ?? "");
  }
  return parts.join("\n").toLowerCase();
}

export function select(source: Source, labels: Map<number, string>, state: State, within: Uint8Array | null = null): Int32Array {
  const n = source.manifest.n_latents;
  const ranges = Object.entries(state.ranges).filter(([name]) => source.columns.has(name));
  const picks = Object.entries(state.picks).filter(([name]) => source.columns.has(name));
  const words = state.query.toLowerCase().split(/\s+/).filter(Boolean);
  const out = new Int32Array(n);
  let kept = 0;
  next: for (let id = 0; id < n; id++) {
    if (within && !within[id]) continue;
    for (const [name, [low, high]] of ranges) {
      const x = source.column(name)[id]!;
      if (!(x >= low && x <= high)) continue next;
    }
    for (const [name, pick] of picks) if (source.column(name)[id] !== pick) continue next;
    if (words.length) {
      const text = haystack(source, labels, id);
      for (const word of words) {
        if (word.startsWith("#") ? word !== `#${id}` : !text.includes(word)) continue next;
      }
    }
    out[kept++] = id;
  }
  return sorted(source, labels, out.subarray(0, kept), sortOf(source, state));
}

function sorted(source: Source, labels: Map<number, string>, ids: Int32Array, sort: string): Int32Array {
  const down = sort.startsWith("-"), name = sort.replace(/^-/, "");
  const sign = down ? -1 : 1;
  if (name === "label") {
    const text = (id: number) => labels.get(id) ?? "";
    return ids.sort((a, b) => (text(a) && text(b) ? sign * text(a).localeCompare(text(b)) : text(a) ? -1 : text(b) ? 1 : 0) || a - b);
  }
  const column = source.columns.get(name);
  if (!column) return down && name === "id" ? ids.reverse() : ids;
  const names = source.info(name)?.format === "category" ? source.info(name)!.names! : null;
  const rank = names ? ranks(names) : null;
  const key = new Float64Array(source.manifest.n_latents);
  for (const id of ids) {
    const x = column[id]!;
    const k = rank ? (x < 0 ? NaN : rank[x]!) : x;
    key[id] = Number.isNaN(k) ? UNDEFINED : sign * k;
  }
  return ids.sort((a, b) => {
    const x = key[a]!, y = key[b]!;
    if (x === y) return a - b;
    return x === UNDEFINED ? 1 : y === UNDEFINED ? -1 : x - y;
  });
}

function ranks(names: string[]): number[] {
  const order = names.map((_, i) => i).sort((a, b) => names[a]!.localeCompare(names[b]!));
  const out: number[] = new Array(names.length);
  order.forEach((name, i) => (out[name] = i));
  return out;
}
