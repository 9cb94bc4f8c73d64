// Loads the data files next to the page. A page opened from disk may not fetch, so every file is a script that calls
// one global function; a single-file page carries the same JSON in inert script elements instead.

export interface Packed { dtype: "f4" | "i4" | "u4" | "u2" | "u1"; shape: number[]; data: string }
export type Numbers = Float32Array | Int32Array | Uint32Array | Uint16Array | Uint8Array;

export interface ColumnInfo {
  name: string; title: string; about: string; scale: "linear" | "log";
  format: "integer" | "number" | "share" | "ratio" | "category" | "flag"; names?: string[];
}
export interface EnrichmentInfo { kind: "class" | "factor"; unit: "image" | "patch"; names: string[]; total: number; present: number[] }
export interface Manifest {
  schema: string; run: string; header: Record<string, string | number>; n_latents: number;
  grid: [number, number]; extra: string[]; columns: ColumnInfo[];
  groups: { name: string; title: string; about: string; bands: string[] }[];
  enrichments: EnrichmentInfo[];
  neighbours: { name: string; title: string; about: string }[];
  pixels?: { shard_size: number; shards: string[] } | null;
  map?: boolean; compare?: boolean;
  explore?: { pictures: number[]; shard_size: number; shards: string[] } | null;
  shard_size: number; shards: string[];
  n_pictures: number; picture_shard_size: number; picture_shards: string[];
}
export interface Picture {
  id: string; file?: string; data?: string; size?: [number, number];
  label?: string; caption?: string; source?: string; licence?: string;
  regions?: RegionInfo[];
}
export interface RegionInfo { name: string; size: [number, number]; runs: number[]; cover: Packed }
/** All active latents of one picture: entry i says that latent[i] has value[i] at cell[i]. */
export interface Codes { cell: Numbers; latent: Numbers; value: Float32Array }
interface CodeShard { start: number; images: { scale: number; cell: Packed; latent: Packed; value: Packed }[] }
interface Table { columns: Record<string, Packed>; labels: Record<string, string>; strip?: Packed; spark?: Packed }
interface Shard {
  start: number;
  groups: { picture: Packed; peak: Packed; heat: string[]; band?: Packed }[];
  histogram?: { top: Packed; counts: Packed; zero: Packed };
  position?: { scale: Packed; level: Packed };
  enrichments: { active: Packed; rows: number[][][] }[];
  neighbours: { index: Packed; score: Packed }[];
}

export interface Example { picture: number; peak: number; heat: string; band: number }
export interface Latent {
  id: number;
  groups: Example[][];
  histogram?: { top: number; counts: Numbers; zero: number };
  position?: { scale: number; level: Numbers };
  enrichments: { active: number; rows: number[][] }[];
  neighbours: { index: number; score: number }[][];
}

const MAJOR = "1";
const KEPT_SHARDS = 48;
const waiting = new Map<string, Promise<unknown>>();
const arrived = new Map<string, (payload: unknown) => void>();

declare global {
  interface Window { vitreous_data: (name: string, payload: unknown) => void }
}
window.vitreous_data = (name, payload) => arrived.get(name)?.(payload);

function load<T>(name: string): Promise<T> {
  const known = waiting.get(name);
  if (known) return known as Promise<T>;
  const promise = new Promise<T>((resolve, reject) => {
    const inline = document.getElementById(`data:${name}`);
    if (inline) return resolve(JSON.parse(inline.textContent ?? "") as T);
    const script = document.createElement("script");
    arrived.set(name, (payload) => { resolve(payload as T); arrived.delete(name); script.remove(); });
    script.onerror = () => reject(new Error(`data/${name}.js is missing from this folder`));
    script.src = `data/${name}.js`;
    document.head.append(script);
  });
  waiting.set(name, promise);
  return promise;
}

export function bytes(text: string): Uint8Array {
  const raw = atob(text);
  const out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out;
}

const ARRAYS = { f4: Float32Array, i4: Int32Array, u4: Uint32Array, u2: Uint16Array, u1: Uint8Array };

export function unpack(packed: Packed): Numbers {
  const raw = bytes(packed.data);
  return new ARRAYS[packed.dtype](raw.buffer as ArrayBuffer);
}

/** One heatmap as levels 0..255 per cell; the first byte names the encoding. */
export function levels(text: string, n: number): Uint8Array {
  const out = new Uint8Array(n);
  if (!text) return out;
  const raw = bytes(text);
  if (raw[0] === 0) { out.set(raw.subarray(1, n + 1)); return out; }
  const width = raw[0] === 2 ? 2 : 1;
  const count = (raw.length - 1) / (width + 1);
  for (let i = 0; i < count; i++) {
    const at = 1 + i * width;
    const cell = width === 2 ? raw[at]! + 256 * raw[at + 1]! : raw[at]!;
    out[cell] = raw[1 + count * width + i]!;
  }
  return out;
}

export interface LatentMap { place: Float32Array; about: string }
export async function latentMap(): Promise<LatentMap> {
  const map = await load<{ place: Packed; about: string }>("map");
  return { place: unpack(map.place) as Float32Array, about: map.about };
}

export interface Matches { title: string; index: Int32Array; score: Float32Array; back_index: Int32Array; back_score: Float32Array; other: Source }
export async function matches(): Promise<Matches> {
  const found = await load<{ title: string; index: Packed; score: Packed; back_index: Packed; back_score: Packed }>("compare");
  return {
    title: found.title, index: unpack(found.index) as Int32Array, score: unpack(found.score) as Float32Array,
    back_index: unpack(found.back_index) as Int32Array, back_score: unpack(found.back_score) as Float32Array, other: await Source.open("other_"),
  };
}

/** Everything that is known about all latents, and on request about one. */
export class Source {
  readonly columns = new Map<string, Numbers>();
  readonly strip: Int32Array | null;
  readonly strip_width: number;
  readonly spark: Uint8Array | null;
  readonly spark_width: number;
  readonly labels: Map<number, string>;
  readonly cells: number;
  private shards = new Map<string, Shard>();
  private pictures = new Map<number, Picture[]>();

  constructor(readonly manifest: Manifest, table: Table, private readonly prefix: string) {
    for (const [name, packed] of Object.entries(table.columns)) this.columns.set(name, unpack(packed));
    this.strip = table.strip ? (unpack(table.strip) as Int32Array) : null;
    this.strip_width = table.strip?.shape[1] ?? 0;
    this.spark = table.spark ? (unpack(table.spark) as Uint8Array) : null;
    this.spark_width = table.spark?.shape[1] ?? 0;
    this.labels = new Map(Object.entries(table.labels).map(([k, v]) => [Number(k), v]));
    this.cells = manifest.grid[0] * manifest.grid[1] + manifest.extra.length;
  }

  /** Open this dashboard, or with a prefix the one it is compared with. */
  static async open(prefix = ""): Promise<Source> {
    const manifest = await load<Manifest>(`${prefix}manifest`);
    if (manifest.schema.split(".")[0] !== MAJOR) {
      throw new Error(`This page reads dashboards of schema ${MAJOR}.x; the data is schema ${manifest.schema}. Render it again.`);
    }
    return new Source(manifest, await load<Table>(`${prefix}table`), prefix);
  }

  column(name: string): Numbers { return this.columns.get(name)!; }
  info(name: string): ColumnInfo | undefined { return this.manifest.columns.find((c) => c.name === name); }

  /** The picture if its record is here already; otherwise starts loading it and calls back. */
  picture(index: number, then: () => void): Picture | null {
    if (index < 0) return null;
    const size = this.manifest.picture_shard_size;
    const shard = Math.floor(index / size);
    const held = this.pictures.get(shard);
    if (held) return held[index - shard * size] ?? null;
    void load<{ pictures: Picture[] }>(this.prefix + this.manifest.picture_shards[shard]!).then((part) => {
      this.pictures.set(shard, part.pictures);
      then();
    });
    return null;
  }

  /** A picture as a data URI, whose pixels a page opened from disk may read; null when there are no such copies. */
  async pixels(index: number): Promise<string | null> {
    const known = this.picture(index, () => undefined);
    if (known?.data) return known.data;
    const copies = this.manifest.pixels;
    if (!copies) return null;
    const shard = Math.floor(index / copies.shard_size);
    const part = await load<{ uris: (string | null)[] }>(this.prefix + copies.shards[shard]!);
    return part.uris[index - shard * copies.shard_size] ?? null;
  }

  explorable(picture: number): boolean { return this.manifest.explore?.pictures.includes(picture) ?? false; }

  async codes(picture: number): Promise<Codes | null> {
    const explore = this.manifest.explore;
    const place = explore?.pictures.indexOf(picture) ?? -1;
    if (!explore || place < 0) return null;
    const shard = await load<CodeShard>(this.prefix + explore.shards[Math.floor(place / explore.shard_size)]!);
    const found = shard.images[place - shard.start]!;
    const value = Float32Array.from(unpack(found.value), (v) => (v / 65535) * found.scale);
    return { cell: unpack(found.cell), latent: unpack(found.latent), value };
  }

  private shardName(latent: number): string { return this.prefix + this.manifest.shards[Math.floor(latent / this.manifest.shard_size)]!; }

  /** The latent if its shard is in memory. */
  latentNow(id: number): Latent | null {
    const shard = this.shards.get(this.shardName(id));
    return shard ? cut(shard, id) : null;
  }

  async latent(id: number): Promise<Latent> {
    const name = this.shardName(id);
    const shard = this.shards.get(name) ?? (await load<Shard>(name));
    this.shards.delete(name);
    this.shards.set(name, shard);
    if (this.shards.size > KEPT_SHARDS) {
      const oldest = this.shards.keys().next().value as string;
      this.shards.delete(oldest);
      waiting.delete(oldest);
    }
    return cut(shard, id);
  }
}

const unpacked = new WeakMap<Packed, Numbers>();
function once(packed: Packed): Numbers {
  let array = unpacked.get(packed);
  if (!array) unpacked.set(packed, (array = unpack(packed)));
  return array;
}

function cut(shard: Shard, id: number): Latent {
  const row = id - shard.start;
  const part = (packed: Packed) => {
    const k = packed.shape[1]!;
    return once(packed).subarray(row * k, (row + 1) * k);
  };
  return {
    id,
    groups: shard.groups.map((group) => {
      const pictures = part(group.picture), peaks = part(group.peak), bands = group.band ? part(group.band) : null;
      const out: Example[] = [];
      pictures.forEach((picture, i) => {
        if (picture >= 0) out.push({ picture, peak: peaks[i]!, heat: group.heat[row * pictures.length + i]!, band: bands ? bands[i]! : 0 });
      });
      return out;
    }),
    histogram: shard.histogram && {
      top: once(shard.histogram.top)[row]!, counts: part(shard.histogram.counts), zero: once(shard.histogram.zero)[row]!,
    },
    position: shard.position && { scale: once(shard.position.scale)[row]!, level: part(shard.position.level) },
    enrichments: shard.enrichments.map((table) => ({ active: once(table.active)[row]!, rows: table.rows[row]! })),
    neighbours: shard.neighbours.map((near) => {
      const index = part(near.index), score = part(near.score);
      return Array.from(index, (v, i) => ({ index: v, score: score[i]! }));
    }),
  };
}
