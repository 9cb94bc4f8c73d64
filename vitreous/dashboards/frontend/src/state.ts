// What the page shows lives in the URL's hash, so that a link or the back button brings it back.

export type View = "latents" | "latent" | "images" | "map" | "compare";
export type Rank = "sum" | "rare" | "iou";
export type Mode = "heat" | "mask" | "crop" | "plain";

export interface State {
  view: View;
  latent: number;
  sort: string; // column name, with "-" in front for descending; empty for the default
  query: string;
  ranges: Record<string, [number, number]>;
  picks: Record<string, number>; // category columns: the one category shown
  mode: Mode;
  opacity: number; // percent
  scale: "image" | "latent";
  smooth: boolean;
  map: string;
  image: number;
  cells: number[]; // patches picked in the image view
  rank: Rank;
  colour: string; // column that colours the map
  area: [number, number][]; // lasso on the map: only latents inside are shown
  region: number; // ground truth shown in the image view, -1 for none
}

export const START: State = {
  view: "latents", latent: 0, sort: "", query: "", ranges: {}, picks: {},
  mode: "heat", opacity: 75, scale: "image", smooth: false, map: "viridis",
  image: -1, cells: [], rank: "sum", region: -1, colour: "", area: [],
};
export const MODES: [Mode, string, string][] = [
  ["heat", "Heat", "Activation drawn over the image"],
  ["mask", "Mask", "Only the patches that fire stay visible"],
  ["crop", "Crop", "The part of the image around the strongest patches"],
  ["plain", "Plain", "The image alone"],
];

const VIEWS: View[] = ["latents", "latent", "images", "map", "compare"];
const RANKS: Rank[] = ["sum", "rare", "iou"];

export function read(hash: string): State {
  const [path = "", search = ""] = hash.replace(/^#\/?/, "").split("?");
  const [view, argument] = path.split("/");
  const query = new URLSearchParams(search);
  const state: State = { ...START, ranges: {}, picks: {}, cells: [], area: [] };
  if (VIEWS.includes(view as View)) state.view = view as View;
  if (argument !== undefined && /^\d+$/.test(argument)) state[state.view === "images" ? "image" : "latent"] = Number(argument);
  state.sort = query.get("sort") ?? START.sort;
  state.query = query.get("q") ?? "";
  const mode = query.get("mode");
  if (MODES.some(([name]) => name === mode)) state.mode = mode as Mode;
  const opacity = Number(query.get("opacity") ?? START.opacity);
  if (opacity >= 0 && opacity <= 100) state.opacity = opacity;
  if (query.get("scale") === "latent") state.scale = "latent";
  state.smooth = query.get("smooth") === "1";
  state.map = query.get("map") ?? START.map;
  state.colour = query.get("colour") ?? "";
  const area = (query.get("area") ?? "").split("_").map(Number);
  if (area.length >= 6 && area.length % 2 === 0 && area.every(Number.isFinite)) {
    state.area = Array.from({ length: area.length / 2 }, (_, i) => [area[2 * i]!, area[2 * i + 1]!]);
  }
  const cells = query.get("cells");
  if (cells && /^[\d.]+$/.test(cells)) state.cells = cells.split(".").map(Number);
  if (RANKS.includes(query.get("rank") as Rank)) state.rank = query.get("rank") as Rank;
  if (/^\d+$/.test(query.get("region") ?? "")) state.region = Number(query.get("region"));
  for (const [key, value] of query) {
    if (key.startsWith("f.")) {
      const [low, high] = value.split("..").map(Number);
      if (Number.isFinite(low) && Number.isFinite(high)) state.ranges[key.slice(2)] = [low!, high!];
    } else if (key.startsWith("is.") && /^\d+$/.test(value)) state.picks[key.slice(3)] = Number(value);
  }
  return state;
}

export function write(state: State): string {
  const query = new URLSearchParams();
  if (state.sort !== START.sort) query.set("sort", state.sort);
  if (state.query) query.set("q", state.query);
  for (const [name, [low, high]] of Object.entries(state.ranges)) query.set(`f.${name}`, `${tidy(low)}..${tidy(high)}`);
  for (const [name, value] of Object.entries(state.picks)) query.set(`is.${name}`, String(value));
  if (state.mode !== START.mode) query.set("mode", state.mode);
  if (state.opacity !== START.opacity) query.set("opacity", String(state.opacity));
  if (state.scale !== START.scale) query.set("scale", state.scale);
  if (state.smooth) query.set("smooth", "1");
  if (state.map !== START.map) query.set("map", state.map);
  if (state.area.length) query.set("area", state.area.flat().join("_"));
  if (state.view === "map" && state.colour) query.set("colour", state.colour);
  if (state.view === "images") {
    if (state.cells.length) query.set("cells", state.cells.join("."));
    if (state.rank !== START.rank) query.set("rank", state.rank);
    if (state.region >= 0) query.set("region", String(state.region));
  }
  const argument = { latent: state.latent, compare: state.latent, images: state.image, latents: -1, map: -1 }[state.view];
  const path = argument >= 0 ? `${state.view}/${argument}` : state.view;
  const search = query.toString();
  return `#/${path}${search ? `?${search}` : ""}`;
}

function tidy(value: number): string { return String(Number(value.toPrecision(6))); }

type Listener = () => void;
let current = read(location.hash);
const listeners = new Set<Listener>();

export function state(): State { return current; }
export function listen(listener: Listener): () => void { listeners.add(listener); return () => listeners.delete(listener); }

/** Change the state; a step that the back button should undo is pushed, a small adjustment replaces the entry. */
export function go(change: Partial<State>, push = false): void {
  const next = { ...current, ...change };
  const hash = write(next);
  current = next;
  if (hash !== location.hash) {
    if (push) history.pushState(null, "", hash);
    else history.replaceState(null, "", hash);
  }
  listeners.forEach((listener) => listener());
}

function fromLocation(): void {
  if (write(current) === location.hash) return;
  current = read(location.hash);
  listeners.forEach((listener) => listener());
}
window.addEventListener("popstate", fromLocation);
window.addEventListener("hashchange", fromLocation);
